"""Runs an experiment at every point of a grid of its configuration, and joins the results.

    python -m experiments.sweep NAME --over FIELD=VALUE,VALUE,... [--over ...] [--quick] [--out DIR]
        [--workers N | --dask ADDRESS] [--FIELD VALUE ...]

Every run is put into DIR as soon as it is finished. After Ctrl-C, SIGTERM or a kill the same command goes on from
there. When all is done, DIR/NAME.nc holds the experiment's datasets along new dimensions, one for each field, and of
each claim whether it holds and what was measured; until then `gan_ode.sweeps.open_sweep(DIR)` gives what there is.

`--workers` runs in so many processes of this machine, `--dask` by the workers of a Dask scheduler, which must see DIR
and should be started with JAX_ENABLE_X64=1.

Exit status: 0 every point is computed, whatever its claims say; 1 something raised at a point, which is noted while
the others go on, and tried again by the same command; 2 bad usage, a DIR of another sweep among it; 130 and 143 after
Ctrl-C and SIGTERM.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from experiments import __main__ as listing, __path__ as folders
from experiments._machinery import _commandline, _folder
from experiments._machinery._interrupts import Interrupted, interruptible
from experiments._machinery._jax_setup import prepare_jax
from experiments._machinery._output import told
from experiments.sweep import _arguments

COMMAND = "experiments.sweep"


def main(argv: Sequence[str]) -> NoReturn:
    """Sweeps as the arguments say; exits."""
    if not argv or (argv[0].startswith("-") and argv[0] not in ("-h", "--help")):
        _commandline.refuse(COMMAND, "an experiment must be named first: `python -m experiments` lists them.")
    if argv[0].startswith("-"):
        print(__doc__)
        raise SystemExit(0)
    name = argv[0]
    known = [found for folder in folders for found in listing.find(Path(folder))]
    if name not in known:
        hint = _arguments.hint(name, known, "`python -m experiments` lists them.")
        _commandline.refuse(COMMAND, f"there is no experiment `{name}`: {hint}")
    try:
        with interruptible():
            status = _sweep(name, _import(name), argv[1:])
    except Interrupted as stop:
        print("Interrupted before anything was computed.", file=sys.stderr)
        status = 128 + stop.number
    raise SystemExit(status)


def _import(name: str) -> ModuleType:
    os.environ["MPLBACKEND"] = "agg"  # needs no screen
    prepare_jax()
    return importlib.import_module(f"experiments.{name}")


def _sweep(name: str, experiment: ModuleType, argv: Sequence[str]) -> int:
    from experiments.sweep import _points

    command = f"{COMMAND} {name}"
    asked = _arguments.parse(command, experiment, argv, Path("results") / f"sweep_{name}")
    try:
        _folder.check(asked.out, name)
    except OSError as error:
        _commandline.refuse(command, f"cannot write to `--out {asked.out}`: {error}")
    try:
        dataset = _points.compute(name, asked)
    except Interrupted as stop:
        print(f"Interrupted: {_points.how_far(asked.out)}, and the same command goes on.", file=sys.stderr)
        return 128 + stop.number
    except ValueError as error:
        _commandline.refuse(command, error)
    except OSError as error:
        print(f"Cannot write ({error}): {_points.how_far(asked.out)}, and the same command goes on.", file=sys.stderr)
        return 1
    return _points.report(dataset, asked)


if __name__ == "__main__":
    with told(COMMAND):
        main(sys.argv[1:])
