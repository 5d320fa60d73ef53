"""Makes the pages of `docs/explorers`, which other pages show in frames: `python docs/explorers.py`.

They are not kept in the repository: each holds the library that draws it.
"""

from pathlib import Path

import jax
import jax.numpy as jnp

from gan_ode import fields, games, losses, plot, regularizers, updates
from gan_ode.games import Players

FOLDER = Path(__file__).parent / "explorers"
RULES = {
    "simultaneous": updates.Simultaneous,
    "alternating": updates.Alternating,
    "extragradient": updates.Extragradient,
    "optimistic": updates.Optimistic,
    "momentum -1/2": lambda h: updates.HeavyBall(h, -0.5, alternating=True),
}


def linear_quadratic(loss):
    def family(eta):
        game = regularizers.Penalized(games.LinearQuadratic(loss), regularizers.GradientNorm(eta))
        return fields.GameField(game)

    return family


def dirac(penalty, loss):
    def family(weight):
        return fields.GameField(regularizers.Penalized(games.Dirac(loss), penalty(weight)))

    return family


def first() -> None:
    """The three fates of the first page."""
    plot.explorer(
        {"usual loss": linear_quadratic(losses.Minimax()), "Wasserstein": linear_quadratic(losses.Wasserstein())},
        {"eta": (0.0, 1.0)}, (0.01, 1.0), RULES, FOLDER / "first.html",
        start=Players(jnp.array(0.5), jnp.array(1.3)), view=((-1.5, 1.5), (-0.2, 2.2)), labels=("w", "a"),
        presets={
            "GAN: converges": {"family": "usual loss", "eta": 0.0, "step_size": 0.1},
            "Wasserstein GAN: cycles": {"family": "Wasserstein", "eta": 0.0, "step_size": 0.1},
            "regularized: converges": {"family": "Wasserstein", "eta": 0.5, "step_size": 0.1},
        },
        title="A GAN with two parameters",
    )  # fmt: skip


def rules() -> None:
    """Training rules on the bilinear game: the flow turns for ever, and each rule does something else."""
    plot.explorer(
        dirac(regularizers.R1, losses.Wasserstein()), {"weight": (0.0, 1.0)}, (0.02, 2.0), RULES,
        FOLDER / "updates.html", start=Players(jnp.array(0.5), jnp.array(1.0)), labels=("discriminator", "generator"),
        presets={
            "small steps": {"weight": 0.0, "step_size": 0.1},
            "large steps": {"weight": 0.0, "step_size": 0.6},
            "damped by R1": {"weight": 0.4, "step_size": 0.3},
        },
        title="Training rules",
    )  # fmt: skip


def remedies() -> None:
    """Penalties on the Dirac-GAN, each with its weight."""
    plot.explorer(
        {
            "Wasserstein, gradient norm": dirac(regularizers.GradientNorm, losses.Wasserstein()),
            "Wasserstein, R1": dirac(regularizers.R1, losses.Wasserstein()),
            "usual loss, R1": dirac(regularizers.R1, losses.Minimax()),
            "usual loss, R2": dirac(regularizers.R2, losses.Minimax()),
            "non-saturating, R1": dirac(regularizers.R1, losses.NonSaturating()),
        },
        {"weight": (0.0, 2.0)}, (0.02, 2.0), RULES, FOLDER / "regularizers.html",
        start=Players(jnp.array(0.5), jnp.array(1.0)),
        presets={
            "no penalty": {"family": "Wasserstein, R1", "weight": 0.0, "step_size": 0.1},
            "R1": {"family": "Wasserstein, R1", "weight": 0.5, "step_size": 0.1},
            "gradient norm": {"family": "Wasserstein, gradient norm", "weight": 0.5, "step_size": 0.1},
        },
        title="Penalties",
    )  # fmt: skip


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    FOLDER.mkdir(exist_ok=True)
    for make in (first, rules, remedies):
        make()


if __name__ == "__main__":
    main()
