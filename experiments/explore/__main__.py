"""Writes a page that explores a game in the browser, and opens it if asked to.

    python -m experiments.explore NAME|MODULE:FUNCTION [--out FILE] [--open] [--port NUMBER]

NAME is one of the games listed by `--help`. FUNCTION, of a module that Python finds from the current folder, takes
nothing and returns the arguments of `plot.explorer` as a dictionary: `family`, `parameters`, `step_size`, and where
wanted `updates`, `start`, `view`, `presets` and so on. The page goes to FILE, `results/explore/NAME.html` by default.
It is opened from the disk: nothing is served.

A game whose `start` holds more than two numbers, such as two networks, cannot be written as a page. This process then
computes: it serves a plane through the start, along the two leading eigenvectors, on loopback, until Ctrl-C; a
minibatch for the field goes into the dictionary as `args`. The port is a free one, or that of `--port`.

Exit status: 0; 2 for bad usage.
"""

import argparse
import contextlib
import importlib
import os
import signal
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from experiments._machinery import _commandline
from experiments._machinery._output import told

COMMAND = "experiments.explore"


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are raised, to be printed as one line."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def main(argv: Sequence[str]) -> NoReturn:
    """Writes the page that the arguments ask for; exits."""
    if {"-h", "--help"} & set(argv):
        from experiments.explore._games import GAMES

        print(__doc__)
        for name, game in GAMES.items():
            print(f"{name:<18}{(game.__doc__ or '').splitlines()[0]}")
        raise SystemExit(0)
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("game")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--open", action="store_true")
    parser.add_argument("--port", type=int, default=0)
    try:
        given = parser.parse_args(list(argv))
        path = given.out or Path("results/explore") / f"{given.game.rpartition(':')[2]}.html"
        arguments = _prepared(given.game)
        if _is_large(arguments):
            if given.out:
                raise ValueError("`--out` must be left out: a game of more than two numbers is served, not written.")
            _serve(arguments, given.port, given.open)
        _write(arguments, path)
    except OSError as error:
        _commandline.refuse(COMMAND, f"cannot write the page: {error}")
    except ValueError as error:
        _commandline.refuse(COMMAND, " ".join(str(error).split()))
    print(f"The page is {path}", flush=True)
    if given.open:
        webbrowser.open(path.absolute().as_uri())
    raise SystemExit(0)


def _prepared(game: str) -> dict[str, Any]:
    from experiments._machinery._jax_setup import prepare_jax

    prepare_jax()
    return _arguments(game)


def _is_large(arguments: dict[str, Any]) -> bool:
    """Whether a state holds more numbers than a page shows."""
    import jax

    return sum(leaf.size for leaf in jax.tree.leaves(arguments.get("start")) if hasattr(leaf, "size")) > 2


def _serve(arguments: dict[str, Any], port: int, is_opened: bool) -> NoReturn:
    from experiments.explore._games import RULES
    from experiments.explore._served import serve

    # Two rules suffice: each is compiled for the game's own size.
    few = {name: RULES[name] for name in ("simultaneous", "alternating")}
    server = serve(arguments, few, port)
    address = f"http://localhost:{server.port}/"
    print(f"The page is {address}; Ctrl-C ends it", flush=True)
    if is_opened:
        webbrowser.open(address)
    # As Ctrl-C does. Bokeh's own way prints first, and goes on for ever if nobody reads it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        server.io_loop.start()
    server.stop()
    raise SystemExit(0)


def _write(arguments: dict[str, Any], path: Path) -> None:
    from experiments.explore._games import RULES
    from gan_ode import plot

    path.parent.mkdir(parents=True, exist_ok=True)
    plot.explorer(**{"updates": RULES, **arguments}, path=path)


def _arguments(game: str) -> dict[str, Any]:
    """The arguments of `plot.explorer` for a game.

    Raises:
        ValueError: If there is no such game, or the function cannot be found or gives something else.
    """
    from experiments.explore._games import GAMES

    if ":" not in game:
        if game not in GAMES:
            raise ValueError(f"`{game}` is no game: take one of {', '.join(GAMES)}, or MODULE:FUNCTION.")
        return GAMES[game]()
    module, _, function = game.partition(":")
    if not (function.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        raise ValueError(f"the game must be a name or MODULE:FUNCTION, such as `my_game:explored`, but is `{game}`.")
    sys.path.insert(0, os.getcwd())
    try:
        made = getattr(importlib.import_module(module), function)()
    except (ImportError, AttributeError) as error:
        raise ValueError(f"`{game}` cannot be found: {error}.") from error
    needed = {"family", "parameters", "step_size"}
    if not isinstance(made, dict) or not needed <= set(made):
        raise ValueError(f"`{game}` must return a dictionary with {sorted(needed)}, but returned {made!r:.80}.")
    return made


if __name__ == "__main__":
    with told(COMMAND):
        main(sys.argv[1:])
