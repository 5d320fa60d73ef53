"""The command line of an experiment: its `Config`, and what every experiment has."""

import contextlib
import dataclasses
import math
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

import tyro

ConfigT = TypeVar("ConfigT")
SEEDS = 2**32
PLAIN_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Arguments(Generic[ConfigT]):
    config: tyro.conf.OmitArgPrefixes[ConfigT]
    quick: bool
    """Run a smaller version, to see that everything works; fields that are given win over its values."""
    out: Path
    """Folder of the results: figure, data and claims. Other files in it are left alone."""


class BadUsage(Exception):
    """What the user has to change; printed as one line, with exit status 2."""


def parse(
    module: str,
    description: str | None,
    config_type: type[ConfigT],
    quick: ConfigT,
    argv: Sequence[str],
    out: Path | None = None,
) -> Arguments[ConfigT]:
    """Reads the arguments; prints and exits on `--help` (0) and on bad usage (2).

    Args:
        module: Dotted name of the experiment.
        description: Its docstring.
        config_type: Frozen dataclass with a field `seed`; its `__post_init__` raises `ValueError` on bad values.
        quick: The defaults under `--quick`.
        argv: Arguments, without the program.
        out: Where results go if the arguments do not say; by default, a folder of the experiment's name.
    """
    _check_config_type(config_type)
    config = quick if "--quick" in argv else config_type()
    defaults = Arguments(config, quick=False, out=out or Path("results") / module.removeprefix("experiments."))
    try:
        with _objections_as_bad_usage(config_type):
            arguments = tyro.cli(
                Arguments[config_type],
                prog=f"python -m {module}",
                description=description,
                args=argv,
                default=defaults,
                config=(tyro.conf.FlagCreatePairsOff,),
                registry=_plain_numbers(),
            )
        _check_seed(arguments.config)
    except BadUsage as error:
        refuse(module, error)
    return arguments


def refuse(module: str, reason: object) -> NoReturn:
    """Prints why the arguments are refused, and exits with status 2."""
    print(f"python -m {module}: error: {reason}", file=sys.stderr)
    raise SystemExit(2)


def _check_config_type(config_type: Any) -> None:
    names = [field.name for field in dataclasses.fields(config_type)]
    if not config_type.__dataclass_params__.frozen or "seed" not in names:
        raise TypeError("`Config` must be a frozen dataclass with a field `seed: int`.")


def _check_seed(config: Any) -> None:
    if not 0 <= config.seed < SEEDS:
        raise BadUsage(f"`seed` must be at least 0 and below 2**32, but is {config.seed}.")


@contextlib.contextmanager
def _objections_as_bad_usage(config_type: Any) -> Iterator[None]:
    """Lets the text of a `ValueError` of `__post_init__` through whole: tyro would break its lines inside a box."""
    check = getattr(config_type, "__post_init__", None)
    if check is None:
        yield
        return

    def guarded(config: Any) -> None:
        try:
            check(config)
        except ValueError as error:
            raise BadUsage(error) from None

    config_type.__post_init__ = guarded
    try:
        yield
    finally:
        config_type.__post_init__ = check


def _plain_numbers() -> tyro.constructors.ConstructorRegistry:
    """Makes tyro read only finite numbers in plain digits; `int` and `float` also take nan, 1e400, 1_000 and １."""
    registry = tyro.constructors.ConstructorRegistry()

    @registry.primitive_rule
    def rule(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec | None:
        return _number_spec(info.type) if info.type in (int, float) else None

    return registry


def _number_spec(kind: Any) -> tyro.constructors.PrimitiveConstructorSpec:
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=kind.__name__.upper(),
        instance_from_str=lambda words: _read_number(kind, words[0]),
        is_instance=lambda value: type(value) is kind or ("~" if kind is float and type(value) is int else False),
        str_from_instance=lambda value: [str(value)],
    )


def _read_number(kind: Any, word: str) -> float:
    value = kind(word)
    if not (math.isfinite(value) and PLAIN_NUMBER.fullmatch(word)):
        raise BadUsage(f"`{word}` must be a finite number in plain digits, such as 1000 or 1e-3.")
    return value
