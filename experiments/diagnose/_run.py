"""The diagnosis itself, and the content of its files."""

import contextlib
import dataclasses
import datetime
import importlib
import os
import shlex
import sys
from typing import Any

from experiments._machinery import _record, _runner
from experiments.diagnose import _arguments
from experiments.diagnose._arguments import Asked
from gan_ode import analysis, plot, simulate

# What `iterate` takes and a diagnosis needs, and what else a dictionary of its arguments may hold.
_NEEDED, _ALLOWED = ("update", "field", "y0"), ("args", "batches", "save_every", "record")
_IGNORED = ("num_steps", "progress", "checkpoint")
_INCHES = (7.2, 8.0)


def diagnosis(asked: Asked) -> analysis.Diagnosis:
    """The diagnosis of the state in the checkpoint.

    Raises:
        ValueError: If the function, what it returns, or the checkpoint does not fit; the text says what.
    """
    run = _arguments_of_run(asked)
    trained = simulate.load_checkpoint(asked.checkpoint, **run)
    print(f"Read the checkpoint after {trained.num_steps:,} steps.", file=sys.stderr, flush=True)
    return analysis.diagnose(
        run["field"],
        trained.y,
        update=run["update"],
        memory=trained.memory,
        args=trained.args,
        budget=asked.budget,
        remedies=asked.remedies,
        progress=True,
    )


def _arguments_of_run(asked: Asked) -> dict[str, Any]:
    """What the user's function returns, as far as it is needed."""
    called = f"`--game {asked.module}:{asked.function}`"
    # `python -m` has put the current folder first, unless it is told not to.
    with contextlib.suppress(OSError):
        sys.path.append(os.getcwd())
    try:
        run = getattr(importlib.import_module(asked.module), asked.function)()
    # Whatever goes wrong in it is not of this program: one line says what.
    except Exception as error:
        raise ValueError(f"{called} raises {type(error).__name__}: {error}") from error
    known = (*_NEEDED, *_ALLOWED, *_IGNORED)
    if not isinstance(run, dict) or not set(_NEEDED) <= set(run) or not set(run) <= set(known):
        found = f"a dictionary of {', '.join(map(str, run))}" if isinstance(run, dict) else f"a {type(run).__name__}"
        raise ValueError(
            f"{called} must return the arguments of `iterate` as a dictionary, {', '.join(_NEEDED)} among them, but "
            f"returns {found}."
        )
    return {name: value for name, value in run.items() if name not in _IGNORED}


def files(diagnosis: analysis.Diagnosis, asked: Asked) -> dict[str, bytes]:
    """Figure, data and words, by suffix."""
    made = _runner.render(_draw, diagnosis, salt=_arguments.NAME)
    made |= {".nc": bytes(diagnosis.dataset.to_netcdf(engine="h5netcdf"))}
    return made | {".json": _record.to_json(_words(diagnosis, asked, made)).encode()}


def _draw(diagnosis: analysis.Diagnosis) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES)
    plot.diagnosis(diagnosis, figure=figure)
    return figure


def _words(diagnosis: analysis.Diagnosis, asked: Asked, made: dict[str, bytes]) -> dict[str, Any]:
    remedies = [
        {field.name: getattr(each, field.name) for field in dataclasses.fields(each)} for each in diagnosis.remedies
    ]
    # A field is no number; how to apply the remedy stands beside it in words.
    kept = [{name: value for name, value in each.items() if name not in ("field", "update")} for each in remedies]
    return {
        "disease": str(diagnosis.disease),
        "verdict": diagnosis.verdict,
        "complete": diagnosis.complete,
        "report": str(diagnosis),
        "findings": [dataclasses.asdict(each) for each in diagnosis.findings],
        "remedies": kept,
        "numbers": {name: _number(value) for name, value in diagnosis.dataset.data_vars.items() if value.ndim == 0},
        "checkpoint": str(asked.checkpoint),
        "game": f"{asked.module}:{asked.function}",
        "command": shlex.join(["python", "-m", "experiments.diagnose", *sys.argv[1:]]),
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **_record.surroundings(),
        "files": _record.checksums(_arguments.NAME, made),
    }


def _number(value: Any) -> Any:
    return value.values.item()
