"""The systems of the atlas: small games with a known equilibrium."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from experiments._machinery._atlas._method import System
from gan_ode import games, losses
from gan_ode.games import Players

# Copied, not computed: nothing is compiled for them.
_ONE, _EYE = jnp.asarray(np.ones(1)), jnp.asarray(np.eye(1))
# Integrands are nearly polynomials where the flows go, so that few nodes do; regularizers take pairs of them.
_NODES = 8
_USUAL = {"Minimax": losses.Minimax(), "Wasserstein": losses.Wasserstein()}


def _state(discriminator: Any, generator: Any) -> Players:
    return Players(jnp.asarray(discriminator, float), jnp.asarray(generator, float))


def _linear(loss: Any) -> games.LinearQuadratic:
    return games.LinearQuadratic(loss, linear=True, offset=True)


def _quadratic(own: float, others: float, coupling: float, generator_coupling: float | None = None) -> games.Quadratic:
    one, other, mixed = (jnp.array([[each]]) for each in (own, others, coupling))
    back = None if generator_coupling is None else jnp.array([[generator_coupling]])
    return games.Quadratic(one, other, mixed, back)


_PENNIES = jnp.array([[1.0, -1.0], [-1.0, 1.0]])
_DASKALAKIS = "Daskalakis et al. (2018), arXiv:1711.00141"
_HSIEH = "Hsieh, Mertikopoulos and Cevher (2021), arXiv:2006.09065"
_SAMPLE = jnp.array([-1.2, -0.4, 0.3, 0.9])
# Made in one program, not in twenty.
_KERNEL = eqx.filter_jit(lambda data: games.Kernel(losses.Wasserstein(), data))(jnp.array([[-0.5], [0.7]]))
_MAZUMDAR = Players(jnp.array([[0.4227, 0.4557]]), jnp.array([[0.3532, -0.7075]]))

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
        bases={name: games.LinearQuadratic(loss, num_nodes=_NODES) for name, loss in _USUAL.items()},
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
        regularized=False,
    ),
    System(
        "bilinear",
        "Bilinear game",
        "$V = u v$; state $(u, v)$, equilibrium $(0, 0)$. The flow is a rotation.",
        bases={"V = u v": games.Bilinear(_EYE)},
        equilibrium=_state([0.0], [0.0]),
        start=_state([0.5], [1.0]),
        source="Gidel et al. (2019), arXiv:1802.10551",
        window=((-1.6, 1.6), (-1.6, 1.6)),
    ),
    System(
        "quadratic",
        "Quadratic games",
        "Two numbers, equilibrium $(0, 0)$. *Weak attraction*: losses $u^2/20 - u v$ and $v^2/20 + u v$. *No local "
        "Nash*: $V = -v^2/8 - u^2/2 + 0.6\\,u v$, where $v$ minimizes a concave function. *Potential*: $u$ pays "
        "$u^2/2 + u v/2$ and $v$ pays $v^2/2 + u v/2$. *Common saddle*: both pay $u v$. *Rotation*: eigenvalues "
        "$-0.1 \\pm 10 i$.",
        bases={
            "weak attraction": _quadratic(0.1, 0.1, 1.0, 1.0),
            "no local Nash": games.Quadratic.not_local_nash(),
            "potential": _quadratic(1.0, 1.0, -0.5, 0.5),
            "common saddle": _quadratic(0.0, 0.0, -1.0, 1.0),
            "rotation": games.Quadratic.rotation(),
        },
        equilibrium=_state([0.0], [0.0]),
        start=_state([0.5], [1.0]),
        source="Balduzzi et al. (2018), arXiv:1802.05642; Daskalakis and Panageas (2018), arXiv:1807.03907; "
        "Qin et al. (2020), arXiv:2010.15040",
        window=((-1.6, 1.6), (-1.6, 1.6)),
    ),
    System(
        "gaussian_mean",
        "Gaussian with an unknown mean",
        "Data $N(\\mu, 1/4)$ with $\\mu = 1$, $D(x) = w x$, $G(z) = z + m$; state $(w, m)$, equilibrium $(0, 1)$.",
        bases={name: games.GaussianMean(loss, jnp.array([0.25]), jnp.array([1.0])) for name, loss in _USUAL.items()},
        equilibrium=_state([0.0], [1.0]),
        start=_state([0.5], [1.5]),
        source=_DASKALAKIS,
        sampled=True,
        regularized=False,
        window=((-1.6, 1.6), (-0.6, 2.6)),
        axes=("w", "m"),
    ),
    System(
        "gaussian_covariance",
        "Gaussian with an unknown covariance",
        "Data $N(0, 1)$, $D(x) = W x^2$, $G(z) = A z$; state $(W, A)$, equilibrium $(0, 1)$.",
        bases={name: games.GaussianCovariance(loss, _EYE) for name, loss in _USUAL.items()},
        equilibrium=_state([[0.0]], [[1.0]]),
        start=_state([[0.2]], [[1.1]]),
        source=_DASKALAKIS,
        sampled=True,
        regularized=False,
        window=((-0.6, 0.6), (0.4, 1.8)),
        axes=("W", "A"),
    ),
    System(
        "finite_sample",
        "Linear-quadratic GAN of a finite sample",
        "As the linear-quadratic GAN, with the four data -1.2, -0.4, 0.3 and 0.9; the generator's equilibrium is what "
        "matches their second moment.",
        bases={name: games.FiniteSample(games.LinearQuadratic(loss), _SAMPLE) for name, loss in _USUAL.items()},
        equilibrium=_state(0.0, float(jnp.sqrt(3 * jnp.mean(_SAMPLE**2)))),
        start=_state(0.2, 1.5),
        source="Nagarajan and Kolter (2017), arXiv:1706.04156",
        sampled=True,
        regularized=False,
        window=((-1.2, 1.2), (0.3, 2.6)),
        axes=("w", "a"),
    ),
    System(
        "multivariate_linear_quadratic",
        "Multivariate linear-quadratic GAN",
        "One dimension of it, data $N(1, 1)$, $D(x) = W x^2 + w x$, $G(z) = A z + b$: four parameters.",
        bases={
            "Minimax": games.MultivariateLinearQuadratic(losses.Minimax(), _ONE, _EYE),
        },
        equilibrium=games.MultivariateLinearQuadratic(losses.Minimax(), _ONE, _EYE).equilibrium,
        start=games.MultivariateLinearQuadratic(losses.Minimax(), 1.1 * _ONE, 1.1 * _EYE).equilibrium,
        source="Nagarajan and Kolter (2017), arXiv:1706.04156",
        sampled=True,
        regularized=False,
    ),
    System(
        "kernel",
        "Kernel discriminator against particles",
        "A discriminator in the span of two Gaussian bumps, two data and two particles that are the generator.",
        bases={
            "Wasserstein": _KERNEL,
        },
        equilibrium=_KERNEL.equilibrium,
        start=_state([0.1, 0.0], [[-0.4], [0.8]]),
        source="Li et al. (2017), arXiv:1705.08584; Becker et al. (2022), arXiv:2208.09938",
        sampled=True,
        regularized=False,
    ),
    System(
        "matching_pennies",
        "Matching pennies under softmax",
        "Two moves each, payoff 1 or -1, logits as parameters: replicator dynamics. Two eigenvalues are 0, and "
        "two multipliers of every rule 1, since logits may be shifted.",
        bases={"matching pennies": games.Matrix(_PENNIES)},
        equilibrium=_state([0.0, 0.0], [0.0, 0.0]),
        start=_state([0.3, -0.3], [0.5, -0.5]),
        source="Taylor and Jonker (1978); Mertikopoulos, Papadimitriou and Piliouras (2018), arXiv:1709.02738",
        regularized=False,
    ),
    System(
        "published",
        "Published counterexamples at the origin",
        "*Almost bilinear*: $V = x y + (y^2/2 - y^4/4)/2$, $x$ minimizes. *Heusel's toy*: $V = (1 + x^2)(100 - y^2)$.",
        bases={"almost bilinear": games.AlmostBilinear(0.5), "Heusel": games.Heusel()},
        equilibrium=_state(0.0, 0.0),
        start=_state(0.5, 0.5),
        source=f"{_HSIEH}; Heusel et al. (2017), arXiv:1706.08500",
        regularized=False,
        window=((-2.0, 2.0), (-2.0, 2.0)),
        axes=("y", "x"),
    ),
    System(
        "forsaken",
        "Forsaken matching pennies",
        "$V = x (y - 0.45) + \\phi(x) - \\phi(y)$, $\\phi(z) = z^2/4 - z^4/2 + z^6/6$; $x$ minimizes.",
        bases={"Forsaken": games.Forsaken()},
        equilibrium=games.Forsaken().equilibrium,
        start=_state(0.5, 0.5),
        source=_HSIEH,
        regularized=False,
        window=((-1.8, 1.8), (-1.8, 1.8)),
        axes=("y", "x"),
    ),
    System(
        "mazumdar",
        "Linear-quadratic regulation by two players",
        "Policy gradient of two linear controllers of one system, at its Nash equilibrium, which repels.",
        bases={"Mazumdar": games.Mazumdar()},
        equilibrium=_MAZUMDAR,
        start=Players(_MAZUMDAR.discriminator + 0.01, _MAZUMDAR.generator),
        source="Mazumdar et al. (2020), arXiv:1907.03712",
        regularized=False,
        note="The equilibrium repels: a turn takes 34 units of time, in which a disturbance grows by a fifth. Where "
        "the trajectory goes from there is not settled in the time that is followed.",
    ),
]
