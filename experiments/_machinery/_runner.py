"""Runs an experiment: command line, progress, claims, files, exit status.

An experiment is a module, in this order:

1. Its docstring, whose first line is the question.
2. `Config`, a frozen dataclass with a docstring under each field, among them `seed: int`. Its `__post_init__` raises
   `ValueError` on what makes no sense. `QUICK` is a `Config` that takes seconds.
3. `if __name__ == "__main__": main(Config, QUICK)`. It stands above the imports of JAX and the rest, so that `--help`
   and a mistyped option answer at once; once the arguments are good, `main` imports the module by its own name, with
   64-bit floats already on. At the bottom of the module it works just as well, two seconds later.
4. `run(config)`: computes, and returns an `xarray.Dataset`, or any object whose `dataset` is one.
5. `claims(results)`: a list of `Claim`, at least one.
6. `draw(results)`: a Matplotlib figure. It is made, and saved, inside `gan_ode.plot.style()`.
7. Where there is more to write, `extras(results)`: the content of NAME.md and NAME.csv, by suffix.

Written are NAME.png, NAME.svg, NAME.nc and NAME.json, all together or not at all: `_folder.py` says how. If
`claims`, `draw`, `extras` or the encoding of a file raises, then what else there is is saved, the error is recorded
under `errors`, and the exit status is 1. If `run` raises, nothing is written.

Exit status: 0 all claims hold; 1 a claim fails or something raised; 2 bad usage; 130 and 143 after Ctrl-C and SIGTERM.
"""

import contextlib
import dataclasses
import datetime
import importlib
import io
import os
import shlex
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, TypeVar

from experiments._machinery import _commandline, _folder, _record
from experiments._machinery._claims import Claim as Claim, table
from experiments._machinery._compilations import Compilations
from experiments._machinery._interrupts import ignore_signals, Interrupted, interruptible
from experiments._machinery._jax_setup import prepare_jax
from experiments._machinery._output import told

T = TypeVar("T")
DOTS_PER_INCH = 200


@dataclasses.dataclass
class Run:
    """One run of one experiment: what is asked for, and what has become of it so far."""

    name: str
    experiment: ModuleType
    arguments: _commandline.Arguments[Any]
    claims: list[Claim] = dataclasses.field(default_factory=list)
    files: dict[str, bytes] = dataclasses.field(default_factory=dict)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    errors: dict[str, str] = dataclasses.field(default_factory=dict)
    compilations: Compilations = dataclasses.field(default_factory=Compilations)

    @property
    def status(self) -> int:
        return 0 if not self.errors and all(claim.holds for claim in self.claims) else 1

    def attempt(self, label: str, compute: Callable[[], T], default: T) -> T:
        """Goes on with `default` where something raises that must not cost the rest of the results."""
        try:
            with stage(label, self.seconds):
                return compute()
        except Exception as error:
            traceback.print_exc()
            self.errors[label] = f"{type(error).__name__}: {error}"
            return default


@contextlib.contextmanager
def stage(label: str, seconds: dict[str, float]) -> Iterator[None]:
    """Shows on stderr how long something takes, and notes it."""
    print(f"{label} ...", end=" ", file=sys.stderr, flush=True)
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds[label] = time.perf_counter() - start
        print(f"{seconds[label]:.1f} s", file=sys.stderr, flush=True)


def main(config_type: type[T], quick: T) -> NoReturn:
    """Runs the experiment in whose module `config_type` is defined; exits.

    Args:
        config_type: The experiment's `Config`.
        quick: The configuration under `--quick`.
    """
    module = sys.modules[config_type.__module__]
    if module.__spec__ is None:
        _commandline.refuse("experiments.NAME", "an experiment is run by `python -m`, not as a file.")
    dotted = module.__spec__.name
    with told(dotted):
        _main(dotted, module.__doc__, config_type, quick)
    raise AssertionError("it has exited")


def _main(dotted: str, description: str | None, config_type: type[T], quick: T) -> NoReturn:
    name = dotted.removeprefix("experiments.")
    out = _commandline.parse(dotted, description, config_type, quick, sys.argv[1:]).out
    _prepare_folder(dotted, name, out)
    _tolerate_any_terminal()
    try:
        with interruptible():
            status = _run(dotted, name)
    except Interrupted as stop:
        print(f"Interrupted: {_what_is_left(out, name)}", file=sys.stderr)
        status = 128 + stop.number
    raise SystemExit(status)


def _prepare_folder(dotted: str, name: str, out: Path) -> None:
    try:
        _folder.check(out, name)
        _folder.settle(out, name)
    except OSError as error:
        _commandline.refuse(dotted, f"cannot write to `--out {out}`: {error}")


def _run(dotted: str, name: str) -> int:
    seconds: dict[str, float] = {}
    compilations = Compilations()
    with stage("import", seconds):
        experiment = _import(dotted, compilations)
    # Once more, with the classes of the imported module: those of `__main__` are others of the same names.
    arguments = _commandline.parse(dotted, experiment.__doc__, experiment.Config, experiment.QUICK, sys.argv[1:])
    run = Run(name, experiment, arguments, seconds=seconds, compilations=compilations)
    compute(run)
    try:
        _folder.save(arguments.out, name, run.files, on_commit=ignore_signals)
    except OSError as error:
        print(f"Cannot write the results ({error}): {_what_is_left(arguments.out, name)}", file=sys.stderr)
        return 1
    report(run)
    return run.status


def _import(dotted: str, compilations: Compilations) -> ModuleType:
    os.environ["MPLBACKEND"] = "agg"  # needs no screen
    prepare_jax()
    compilations.watch()
    return importlib.import_module(dotted)


def compute(run: Run) -> None:
    """Fills a run with its claims and the content of its files."""
    with stage("run", run.seconds):
        results = run.experiment.run(run.arguments.config)
    run.claims = run.attempt("claims", lambda: checked(run.experiment.claims(results)), [])
    run.files |= run.attempt("draw", lambda: render(run.experiment.draw, results, salt=run.name), {})
    run.files |= run.attempt("data", lambda: {".nc": encode(results, _attributes(run))}, {})
    if hasattr(run.experiment, "extras"):
        run.files |= run.attempt("extras", lambda: run.experiment.extras(results), {})
    run.files[".json"] = _record.to_json(describe(run)).encode()


def render(draw: Callable[[Any], Any], results: Any, salt: str) -> dict[str, bytes]:
    """The figure as PNG and SVG: the same bytes for the same figure."""
    from gan_ode import plot

    with plot.style({"svg.hashsalt": salt}):
        figure = draw(results)
        png, svg = io.BytesIO(), io.BytesIO()
        figure.savefig(png, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
        figure.savefig(svg, format="svg", metadata={"Date": None})
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close(figure)
    return {".png": png.getvalue(), ".svg": svg.getvalue()}


def encode(results: Any, attributes: dict[str, str]) -> bytes:
    """The dataset as netCDF 4. Complex numbers are best kept as two real variables: few programs read others."""
    import xarray

    dataset = results if isinstance(results, xarray.Dataset) else results.dataset
    return bytes(dataset.assign_attrs(attributes).to_netcdf(engine="h5netcdf"))


def describe(run: Run) -> dict[str, Any]:
    """The content of the JSON."""
    config = run.arguments.config
    return {
        "experiment": run.name,
        "question": _question(run.experiment),
        "holds": run.status == 0,
        "claims": _record.of_claims(run.claims),
        "errors": run.errors,
        "configuration": config,
        "seed": config.seed,
        "quick": run.arguments.quick,
        "command": shlex.join(["python", "-m", run.experiment.__name__, *sys.argv[1:]]),
        "argv": sys.argv[1:],
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": run.seconds,
        "compilations": run.compilations,
        **_record.surroundings(),
        "files": _record.checksums(run.name, run.files),
    }


def report(run: Run) -> None:
    """Prints the claims, what went wrong, and where the results are."""
    for label, error in run.errors.items():
        print(f"{label} failed, and what else there is was saved: {error}", file=sys.stderr)
    if run.claims:
        print(table(run.claims))
    print(f"Results are in {run.arguments.out}", flush=True)


def checked(claims: list[Claim]) -> list[Claim]:
    names = [claim.name for claim in claims]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"an experiment must make a claim, and name each differently, but names {names}.")
    return claims


def _attributes(run: Run) -> dict[str, str]:
    configuration = _record.to_json(run.arguments.config)
    return {"experiment": run.name, "question": _question(run.experiment), "configuration": configuration}


def _question(experiment: ModuleType) -> str:
    return (experiment.__doc__ or "").strip().split("\n")[0]


def _what_is_left(out: Path, name: str) -> str:
    return f"the earlier result in {out} is unchanged." if (out / f"{name}.json").exists() else "nothing was written."


def _tolerate_any_terminal() -> None:
    """Prints ± as ? where the terminal's encoding lacks it, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
