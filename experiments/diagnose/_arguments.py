"""The command line of a diagnosis."""

import argparse
import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

NAME = "diagnosis"
_BUDGET = 5000


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is to be diagnosed.

    Attributes:
        checkpoint: The checkpoint's folder.
        module: The module of the function.
        function: The function that returns the arguments of `iterate`.
        out: The folder of the results.
        budget: Field evaluations.
        remedies: Which to try; None for all.
        precision: Bits of a floating-point number in the run.
    """

    checkpoint: Path
    module: str
    function: str
    out: Path
    budget: int
    remedies: list[str] | None
    precision: int

    def prepare_jax(self) -> None:
        """JAX in the precision of the run: a field in another one is another field."""
        from experiments._machinery._jax_setup import prepare_jax

        prepare_jax()
        if self.precision == 32:
            import jax

            jax.config.update("jax_enable_x64", False)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are raised, to be printed as one line."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def parse(argv: Sequence[str]) -> Asked:
    """Reads the arguments.

    Raises:
        ValueError: If one is missing or makes no sense.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--checkpoint", required=True, type=Path)
    parser.add_argument("--game", required=True)
    parser.add_argument("--out", type=Path, default=Path("results/diagnose"))
    parser.add_argument("--budget", type=_count, default=_BUDGET)
    parser.add_argument("--remedies")
    parser.add_argument("--precision", choices=("32", "64"))
    given = parser.parse_args(list(argv))
    module, colon, function = given.game.partition(":")
    if not (colon and function.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        raise ValueError(f"`--game` must be MODULE:FUNCTION, such as `my_training:run`, but is `{given.game}`.")
    config = given.checkpoint / "config.json"
    if not config.is_file():
        raise ValueError(
            f"`--checkpoint` must be the folder of a checkpoint that `iterate` wrote, but there is no `{config}`."
        )
    precision = _precision(config) if given.precision is None else int(given.precision)
    remedies = None if given.remedies is None else given.remedies.split(",")
    return Asked(given.checkpoint, module, function, given.out, given.budget, remedies, precision)


def one_line(error: Exception) -> str:
    """The text of an error without line breaks."""
    return " ".join(str(error).split())


def _count(word: str) -> int:
    # `int` takes 1_000 and digits of other scripts, too.
    if not re.fullmatch(r"0*[1-9][0-9]{0,9}", word, re.ASCII):
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, but is `{word}`.")
    return int(word)


def _precision(config: Path) -> int:
    """The bits of the run's state."""
    try:
        state = json.loads(config.read_text(encoding="utf-8"))["state"]
        shapes = " ".join(map(str, state.values()))
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise ValueError(f"`--checkpoint` must be whole, but `{config}` cannot be read ({error}).") from error
    return 64 if "float64" in shapes else 32
