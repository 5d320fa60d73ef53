"""A run is diagnosed from its checkpoint, at the command line."""

import json
import sys

import numpy as np
import pytest
import xarray

from experiments.diagnose import __main__ as command
from gan_ode import analysis, iterate, simulate

# A GAN of two linear players in single precision, which Adam trains: small enough to be a dense matrix.
TRAINING = """
import functools

import jax.numpy as jnp
import optax
from gan_ode import distributions, fields, games, losses, updates

@functools.cache
def run():
    gan = games.from_apply(
        lambda w, x: x @ w, lambda a, z: a * z, losses.Minimax(), data=distributions.Normal(2),
        latent=distributions.Normal(2), discriminator_params=jnp.array([0.5, -0.5], jnp.float32),
        generator_params=jnp.array([0.5, 2.0], jnp.float32),
    )
    adam = optax.adam(1e-2)
    points = jnp.linspace(-1.0, 2.0, 32, dtype=jnp.float32).reshape(16, 2)
    return {
        "update": updates.Optax(adam, adam, order="simultaneous"), "field": fields.GameField(gan), "y0": gan.players,
        "args": (points, jnp.sin(3 * points)), "save_every": 10,
    }

def number():
    return 3

def broken():
    raise RuntimeError("no such\\n layer")

def other():
    return run() | {"save_every": 5}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a module and the checkpoint of a run."""
    place = tmp_path_factory.mktemp("training")
    (place / "my_training.py").write_text(TRAINING)
    sys.path.insert(0, str(place))
    import my_training  # pyright: ignore[reportMissingImports]

    iterate(**my_training.run(), num_steps=30, checkpoint=simulate.Checkpoint(place / "run", every=10))
    yield place
    sys.path.remove(str(place))
    del sys.modules["my_training"]


@pytest.fixture
def execute(folder, tmp_path, monkeypatch):
    # The precision of the tests is not the command's to change: the state is of 32 bits all the same.
    monkeypatch.setattr(command._arguments.Asked, "prepare_jax", lambda asked: None)

    def run(line):
        argv = [word.replace("RUN", str(folder / "run")).replace("OUT", str(tmp_path / "out")) for word in line.split()]
        with pytest.raises(SystemExit) as stop:
            command.main(argv)
        return stop.value.code

    return run


def test_a_checkpoint_is_diagnosed_with_the_memory_of_its_update(execute, folder, tmp_path, capsys):
    line = "--checkpoint RUN --game my_training:run --out OUT --remedies R1"
    assert execute(line) == 0
    said = capsys.readouterr()
    assert "Read the checkpoint after 30 steps." in said.err
    assert (
        said.out.endswith(f"Results are in {tmp_path / 'out'}\n")
        and "float32" in (folder / "run/config.json").read_text()
    )
    # The same by hand, from where the run itself ended.
    import my_training  # pyright: ignore[reportMissingImports]

    run = my_training.run()
    trained = simulate.load_checkpoint(folder / "run", **run)
    np.testing.assert_array_equal(trained.y.generator, iterate(**run, num_steps=30).final_state.generator)
    # Adam's counter has come along.
    assert int(trained.memory.discriminator[0].count) == trained.num_steps == 30
    expected = analysis.diagnose(
        run["field"], trained.y, update=run["update"], memory=trained.memory, args=run["args"], remedies=["R1"]
    )
    record = json.loads((tmp_path / "out" / "diagnosis.json").read_text())
    assert record["verdict"] == expected.verdict and record["report"] == str(expected)
    assert str(expected) in said.out
    dataset = xarray.load_dataset(tmp_path / "out" / "diagnosis.nc")
    np.testing.assert_allclose(dataset["step_mode_real"], expected.multipliers.real, rtol=1e-6)
    assert [each["name"] for each in record["remedies"]] == ["R1"] == dataset["remedy"].values.tolist()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "diagnosis.json", "diagnosis.nc", "diagnosis.png", "diagnosis.svg",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("", "the following arguments are required: --checkpoint, --game"),
        ("--checkpoint RUN --game my_training", "`--game` must be MODULE:FUNCTION"),
        ("--checkpoint RUN --game my_training:run()", "`--game` must be MODULE:FUNCTION"),
        ("--checkpoint RUN --game no_such_module:run", "raises ModuleNotFoundError"),
        ("--checkpoint RUN --game my_training:walk", "raises AttributeError"),
        ("--checkpoint RUN --game my_training:broken", "raises RuntimeError: no such layer"),
        ("--checkpoint RUN --game my_training:number", "must return the arguments of `iterate` as a dictionary"),
        ("--checkpoint RUN --game my_training:other", "differs in `save_every` (10 there, 5 here)"),
        ("--checkpoint OUT --game my_training:run", "must be the folder of a checkpoint"),
        ("--checkpoint RUN --game my_training:run --budget 0", "must be a whole number of at least 1"),
        ("--checkpoint RUN --game my_training:run --remedies prayer", "`remedies` must be one of"),
        ("--checkpoint RUN --game my_training:run --precision 16", "--precision"),
        ("--checkpoint RUN --game my_training:run --what", "unrecognized arguments: --what"),
    ],
)
def test_bad_usage_gives_status_2_and_one_line(execute, line, complaint, capsys, tmp_path):
    assert execute(line) == 2
    stderr = capsys.readouterr().err.removeprefix("Read the checkpoint after 30 steps.\n")
    assert complaint in stderr and stderr.startswith("python -m experiments.diagnose: error: ")
    assert stderr.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_damaged_checkpoint_is_refused(execute, folder, capsys, tmp_path):
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "config.json").write_bytes((folder / "run/config.json").read_bytes())
    content = bytearray((folder / "run/checkpoint.eqx").read_bytes())
    content[-3] ^= 1
    (damaged / "checkpoint.eqx").write_bytes(bytes(content))
    assert execute(f"--checkpoint {damaged} --game my_training:run --out OUT") == 2
    assert "is damaged: its checksum is another" in capsys.readouterr().err


def test_help_explains(execute, capsys):
    assert execute("--help") == 0
    assert "MODULE:FUNCTION" in capsys.readouterr().out
