"""The systems of the atlas: small games with a known equilibrium."""

from typing import Any

import jax.numpy as jnp

from experiments._machinery._atlas._method import System
from gan_ode import games, losses
from gan_ode.games import Players

_USUAL = {"Minimax": losses.Minimax(), "Wasserstein": losses.Wasserstein()}


def _state(discriminator: Any, generator: Any) -> Players:
    return Players(jnp.asarray(discriminator, float), jnp.asarray(generator, float))


def _linear(loss: Any) -> games.LinearQuadratic:
    return games.LinearQuadratic(loss, linear=True, offset=True)


# Games of two numbers: u maximizes or minimizes its own loss, v likewise.


def _weak_attraction(y: Players, args: Any) -> Players:
    u, v = y
    return Players(0.05 * u**2 - u * v, 0.05 * v**2 + u * v)


def _no_minimum(y: Players, args: Any) -> Players:
    value = -(y.generator**2) / 8 - y.discriminator**2 / 2 + 0.6 * y.discriminator * y.generator
    return Players(-value, value)


def _potential(y: Players, args: Any) -> Players:
    u, v = y
    shared = u**2 / 2 + v**2 / 2 + 0.5 * u * v
    return Players(shared, shared)


def _common_saddle(y: Players, args: Any) -> Players:
    shared = y.discriminator * y.generator
    return Players(shared, shared)


SYSTEMS = [
    System(
        "dirac",
        "Dirac-GAN",
        "Data at 0, $G = \\theta$, $D(x) = \\psi x$; state $(\\psi, \\theta)$, equilibrium $(0, 0)$.",
        bases={name: games.Dirac(loss) for name, loss in _USUAL.items()},
        equilibrium=_state(0.0, 0.0),
        start=_state(0.5, 1.0),
        source="Mescheder, Geiger and Nowozin (2018), arXiv:1801.04406",
        of_loss=games.Dirac,
        sampled=True,
        window=((-1.6, 1.6), (-1.6, 1.6)),
        axes=("\\psi", "\\theta"),
    ),
    System(
        "linear_quadratic",
        "Linear-quadratic GAN",
        "Data and latent uniform on $[-1, 1]$, $D(x) = w x^2$, $G(z) = a z$; state $(w, a)$, equilibrium $(0, 1)$.",
        bases={name: games.LinearQuadratic(loss) for name, loss in _USUAL.items()},
        equilibrium=_state(0.0, 1.0),
        start=_state(0.4, 1.1),
        source="Nagarajan and Kolter (2017), arXiv:1706.04156",
        of_loss=games.LinearQuadratic,
        sampled=True,
        window=((-1.2, 1.2), (0.05, 2.2)),
        axes=("w", "a"),
    ),
    System(
        "linear_quadratic_4",
        "Linear-quadratic GAN with a linear term",
        "As before, $D(x) = w_2 x^2 + w_1 x$, $G(z) = a z + b$; state $(w_2, w_1, a, b)$, equilibrium $(0, 0, 1, 0)$.",
        bases={name: _linear(loss) for name, loss in _USUAL.items()},
        equilibrium=_state([0.0, 0.0], [1.0, 0.0]),
        start=_state([0.2, 0.1], [1.1, 0.2]),
        source="Nagarajan and Kolter (2017), arXiv:1706.04156",
        of_loss=_linear,
        sampled=True,
    ),
    System(
        "bilinear",
        "Bilinear game",
        "$V = u v$; state $(u, v)$, equilibrium $(0, 0)$. The flow is a rotation.",
        bases={"V = u v": games.Bilinear(jnp.eye(1))},
        equilibrium=_state([0.0], [0.0]),
        start=_state([0.5], [1.0]),
        source="Gidel et al. (2019), arXiv:1802.10551",
        window=((-1.6, 1.6), (-1.6, 1.6)),
    ),
    System(
        "quadratic",
        "Quadratic games",
        "Two numbers, equilibrium $(0, 0)$. *Weak attraction*: losses $u^2/20 - u v$ and $v^2/20 + u v$. *No local "
        "Nash*: $V = -v^2/8 - u^2/2 + 0.6\\,u v$, where $v$ minimizes a concave function. *Potential*: both pay "
        "$(u^2 + u v + v^2)/2$. *Common saddle*: both pay $u v$.",
        bases={
            "weak attraction": games.FromLosses(_weak_attraction),
            "no local Nash": games.FromLosses(_no_minimum),
            "potential": games.FromLosses(_potential),
            "common saddle": games.FromLosses(_common_saddle),
        },
        equilibrium=_state(0.0, 0.0),
        start=_state(0.5, 1.0),
        source="Balduzzi et al. (2018), arXiv:1802.05642; Daskalakis and Panageas (2018), arXiv:1807.03907",
        window=((-1.6, 1.6), (-1.6, 1.6)),
    ),
]


def base_fields() -> list[tuple[System, str]]:
    """Every game that regularizers and updates are tried on."""
    return [(system, base) for system in SYSTEMS for base in system.bases]
