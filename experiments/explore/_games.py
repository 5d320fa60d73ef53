"""The games that can be explored by name: for each the arguments of `plot.explorer`."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from gan_ode import fields, games, losses, regularizers, updates
from gan_ode.games import Players

RULES = {
    "simultaneous": updates.Simultaneous,
    "alternating": updates.Alternating,
    "extragradient": updates.Extragradient,
    "optimistic": updates.Optimistic,
    "momentum -1/2": lambda h: updates.HeavyBall(h, -0.5, alternating=True),
}


def _state(discriminator: float, generator: float) -> Players:
    return Players(jnp.asarray(discriminator), jnp.asarray(generator))


def _penalized(game: games.AbstractGame, penalty: Callable[[Any], Any]) -> Callable[..., fields.GameField]:
    """From the weight of a penalty to a field."""

    def family(weight: Any) -> fields.GameField:
        return fields.GameField(regularizers.Penalized(game, penalty(weight)))

    return family


def _linear_quadratic(loss: losses.AbstractObjective) -> Callable[..., fields.GameField]:
    def family(eta: Any) -> fields.GameField:
        return fields.GameField(regularizers.Penalized(games.LinearQuadratic(loss), regularizers.GradientNorm(eta)))

    return family


def _energy(y: Players) -> Any:
    """What the plain Wasserstein GAN keeps, and others lose."""
    return y.discriminator**2 / 2 + y.generator**2 / 4 - jnp.log(jnp.abs(y.generator)) / 2


def _half_square(y: Players) -> Any:
    """What a rotation keeps."""
    return (y.discriminator**2 + y.generator**2) / 2


def linear_quadratic() -> dict[str, Any]:
    """The GAN of two parameters of Nagarajan and Kolter: D(x) = w x^2, G(z) = a z."""
    return {
        "family": {
            "usual loss": _linear_quadratic(losses.Minimax()),
            "Wasserstein": _linear_quadratic(losses.Wasserstein()),
        },
        "parameters": {"eta": (0.0, 1.0)},
        "step_size": (0.01, 1.0),
        "start": _state(0.5, 1.3),
        "view": ((-1.5, 1.5), (-0.2, 2.2)),
        "labels": ("w", "a"),
        "presets": {
            "GAN: converges": {"family": "usual loss", "eta": 0.0, "step_size": 0.1},
            "Wasserstein GAN: cycles": {"family": "Wasserstein", "eta": 0.0, "step_size": 0.1},
            "regularized: converges": {"family": "Wasserstein", "eta": 0.5, "step_size": 0.1},
        },
        "invariant": _energy,
        "title": "A GAN with two parameters",
    }


def rotation() -> dict[str, Any]:
    """Training rules on the Wasserstein Dirac-GAN, whose flow turns for ever, damped by R1 or not."""
    return {
        "family": _penalized(games.Dirac(losses.Wasserstein()), regularizers.R1),
        "parameters": {"weight": (0.0, 1.0)},
        "step_size": (0.02, 2.0),
        "start": _state(0.5, 1.0),
        "presets": {
            "small steps": {"weight": 0.0, "step_size": 0.1},
            "large steps": {"weight": 0.0, "step_size": 0.6},
            "damped by R1": {"weight": 0.4, "step_size": 0.3},
        },
        "invariant": _half_square,
        "title": "Training rules",
    }


def dirac() -> dict[str, Any]:
    """Penalties on the Dirac-GAN of Mescheder et al., each with its weight."""
    return {
        "family": {
            "Wasserstein, gradient norm": _penalized(games.Dirac(losses.Wasserstein()), regularizers.GradientNorm),
            "Wasserstein, R1": _penalized(games.Dirac(losses.Wasserstein()), regularizers.R1),
            "usual loss, R1": _penalized(games.Dirac(losses.Minimax()), regularizers.R1),
            "usual loss, R2": _penalized(games.Dirac(losses.Minimax()), regularizers.R2),
            "non-saturating, R1": _penalized(games.Dirac(losses.NonSaturating()), regularizers.R1),
        },
        "parameters": {"weight": (0.0, 2.0)},
        "step_size": (0.02, 2.0),
        "start": _state(0.5, 1.0),
        "presets": {
            "no penalty": {"family": "Wasserstein, R1", "weight": 0.0, "step_size": 0.1},
            "R1": {"family": "Wasserstein, R1", "weight": 0.5, "step_size": 0.1},
            "gradient norm": {"family": "Wasserstein, gradient norm", "weight": 0.5, "step_size": 0.1},
        },
        "invariant": _half_square,
        "title": "Penalties",
    }


def almost_bilinear() -> dict[str, Any]:
    """A game of Hsieh et al. whose equilibrium repels, within a cycle that attracts."""

    def family(epsilon: Any) -> fields.GameField:
        return fields.GameField(games.AlmostBilinear(epsilon))

    return {
        "family": family,
        "parameters": {"epsilon": (0.05, 1.0)},
        "step_size": (0.01, 0.5),
        "start": _state(0.3, 0.3),
        "presets": {
            "a spurious cycle": {"epsilon": 0.5, "step_size": 0.05},
            "a narrow one": {"epsilon": 0.1, "step_size": 0.05, "start": (1.0, 1.0)},
        },
        "title": "Almost bilinear",
    }


def forsaken() -> dict[str, Any]:
    """A game of Hsieh et al. whose equilibrium attracts, and which is kept from it by two cycles."""
    return {
        "family": _penalized(games.Forsaken(), regularizers.GradientNorm),
        "parameters": {"weight": (0.0, 0.5)},
        "step_size": (0.01, 0.5),
        "start": _state(1.0, 1.0),
        "presets": {
            "forsaken": {"weight": 0.0, "step_size": 0.05},
            "damped": {"weight": 0.3, "step_size": 0.05},
            "from within": {"weight": 0.0, "step_size": 0.05, "start": (0.45, 0.1)},
        },
        "title": "Forsaken",
    }


GAMES: dict[str, Callable[[], dict[str, Any]]] = {
    each.__name__: each for each in (linear_quadratic, rotation, dirac, almost_bilinear, forsaken)
}
