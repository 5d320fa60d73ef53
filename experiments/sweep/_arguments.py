"""The command line of a sweep: the grid, who computes it, and the experiment's own arguments."""

import dataclasses
import difflib
import itertools
import re
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from experiments._machinery import _commandline

OVER, WORKERS, DASK = "--over", "--workers", "--dask"


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is to be swept."""

    config: Any
    over: dict[str, list[Any]]
    out: Path
    quick: bool
    workers: int | None = None
    dask: str | None = None

    def at(self, point: dict[str, Any]) -> Any:
        """The configuration at a point."""
        return dataclasses.replace(self.config, **point)


def parse(command: str, experiment: ModuleType, argv: Sequence[str], out: Path) -> Asked:
    """Reads the arguments; prints and exits on `--help` (0) and on bad usage (2)."""
    try:
        axes, own, rest = _split(argv)
        workers = _number_of_workers(own)
    except _commandline.BadUsage as error:
        _commandline.refuse(command, error)
    description = (
        f"{OVER} FIELD=VALUE,VALUE,... sweeps a field; give it once or more. {WORKERS} N runs in N processes of this "
        f"machine, {DASK} ADDRESS by the workers of a Dask scheduler.\n\n{experiment.__doc__}"
    )
    base = _commandline.parse(command, description, experiment.Config, experiment.QUICK, rest, out)
    try:
        over = {name: _read(command, base.config, name, words) for name, words in _named(base.config, axes, rest)}
    except _commandline.BadUsage as error:
        _commandline.refuse(command, error)
    asked = Asked(base.config, over, base.out, base.quick, workers, own.get(DASK))
    for values in itertools.product(*over.values()):
        point = dict(zip(over, values, strict=True))
        try:
            asked.at(point)
        except ValueError as error:
            _commandline.refuse(command, f"at {', '.join(f'{name}={value}' for name, value in point.items())}: {error}")
    return asked


def hint(word: str, known: Iterable[str], otherwise: str) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean `{near[0]}`?" if near else otherwise


def _split(argv: Sequence[str]) -> tuple[list[str], dict[str, str], list[str]]:
    """What stands behind each `--over`, the sweep's other options, and the rest."""
    axes, own, rest, words = [], {}, [], iter(argv)
    for word in words:
        option, equals, value = word.partition("=")
        if option not in (OVER, WORKERS, DASK):
            rest.append(word)
            continue
        value = value if equals else next(words, "")
        if option == OVER:
            axes.append(value)
        elif option in own:
            raise _commandline.BadUsage(f"`{option}` must be given once.")
        else:
            own[option] = value
    for axis in axes:
        if not re.fullmatch(r"[^-=][^=]*=[^,]+(,[^,]+)*", axis):
            raise _commandline.BadUsage(f"`{OVER} {axis}` must be of the form FIELD=VALUE,VALUE,...")
    if not axes and not {"-h", "--help"} & set(rest):
        raise _commandline.BadUsage(f"`{OVER} FIELD=VALUE,VALUE,...` must be given: it says what to sweep.")
    return axes, own, rest


def _number_of_workers(own: Mapping[str, str]) -> int | None:
    """As asked for by `--workers`; `--dask` has its own."""
    if WORKERS in own and DASK in own:
        raise _commandline.BadUsage(f"`{WORKERS}` and `{DASK}` must not both be given: Dask has its own workers.")
    if DASK in own and not own[DASK]:
        raise _commandline.BadUsage(f"`{DASK}` must be given the address of a scheduler, for example tcp://HOST:8786.")
    if WORKERS not in own:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,3}", own[WORKERS]):
        raise _commandline.BadUsage(f"`{WORKERS} {own[WORKERS]}` must be a whole number from 1 to 9999.")
    return int(own[WORKERS])


def _named(config: Any, axes: list[str], rest: list[str]) -> Iterator[tuple[str, list[str]]]:
    known, seen = [field.name for field in dataclasses.fields(config)], set()
    for axis in axes:
        given, _, values = axis.partition("=")
        name = given.replace("-", "_")
        if name not in known:
            near = hint(name, known, f"there are {', '.join(known)}.")
            raise _commandline.BadUsage(f"`{OVER} {axis}`: there is no field `{given}`: {near}")
        if name in seen:
            raise _commandline.BadUsage(f"`{OVER} {given}` must be given once: put all its values into one.")
        if any(word.split("=")[0].replace("_", "-") == f"--{name.replace('_', '-')}" for word in rest):
            raise _commandline.BadUsage(f"`{given}` must be swept by `{OVER}` or set by its own option, but is both.")
        seen.add(name)
        yield name, values.split(",")


def _read(command: str, config: Any, name: str, words: list[str]) -> list[Any]:
    """The values of a field, each as the experiment's own option would read it."""
    fields = {name: typing.get_type_hints(type(config))[name], "seed": int}
    one = dataclasses.make_dataclass(
        "One",
        [(key, kind, dataclasses.field(default=getattr(config, key))) for key, kind in fields.items()],
        frozen=True,
    )
    flag = f"--{name.replace('_', '-')}"
    read = [getattr(_commandline.parse(command, None, one, one(), [f"{flag}={word}"]).config, name) for word in words]
    if not all(isinstance(value, int | float | str) for value in read):
        raise _commandline.BadUsage(f"`{OVER} {name}`: only a field of one number or word can be swept.")
    if len(set(read)) < len(read):
        raise _commandline.BadUsage(f"`{OVER} {name}={','.join(words)}` must have values that differ.")
    return read
