"""Makes the pages of `docs/explorers`, which other pages show in frames: `python docs/explorers.py`.

They are not kept in the repository: each holds the library that draws it.
"""

import sys
from pathlib import Path

import jax

sys.path.insert(0, str(Path(__file__).parents[1]))
from experiments.explore._games import GAMES, RULES
from gan_ode import plot

FOLDER = Path(__file__).parent / "explorers"


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    FOLDER.mkdir(exist_ok=True)
    for name, arguments in GAMES.items():
        plot.explorer(**arguments(), updates=RULES, path=FOLDER / f"{name}.html")


if __name__ == "__main__":
    main()
