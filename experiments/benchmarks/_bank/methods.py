"""Games and updates of the literature whose end follows from one matrix, written down by hand."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.benchmarks._bank._case import Case
from gan_ode import fields, games, losses, regularizers, updates
from gan_ode.games import Players

_ROTATION = np.array([[0.0, 1.0], [-1.0, 0.0]])
_DAMPED = np.array([[-1.0, 1.0], [-1.0, 0.0]])
_I, _O = np.eye(2), np.zeros((2, 2))
_BY_HAND = "the matrix by hand"


def _rotation() -> fields.GameField:
    """The Dirac-GAN with the Wasserstein loss: psi' = theta, theta' = -psi."""
    return fields.GameField(games.Dirac(losses.Wasserstein()))


def _damped_rotation() -> fields.GameField:
    """The same with R1 of weight 1: psi' = theta - psi."""
    return fields.GameField(regularizers.Penalized(games.Dirac(losses.Wasserstein()), regularizers.R1(1.0)))


# Updates.


def _rule(name: str, make: Callable, update: Callable, matrix: np.ndarray, h: float, **more: Any) -> Case:
    """One whose step is this matrix, of the state and of what is remembered; its radius decides, in the time h."""
    radius = float(np.max(np.abs(np.linalg.eigvals(matrix))))
    facts: dict[str, Any] = {"fate": "converges" if radius < 1 else "diverges", "rate": np.log(radius) / h} | more
    return Case(name=name, make=make, start=Players(1.0, 0.0), update=update, source=_BY_HAND, **facts)


def _nesterov(jacobian: np.ndarray, h: float, beta: float) -> np.ndarray:
    """Of z and the last y: y = z + h J z, then z = y + beta (y - the last y)."""
    step = _I + h * jacobian
    return np.block([[(1 + beta) * step, -beta * _I], [step, _O]])


def _from_the_past(jacobian: np.ndarray, h: float) -> np.ndarray:
    """Of y and the last z: z = y + h J (the last z), then y + h J z."""
    turn = h * jacobian
    return np.block([[_I + turn, turn @ turn], [_I, turn]])


def _averaged(jacobian: np.ndarray, h: float, rate: float) -> np.ndarray:
    """Of y and the average: both move, the average by a part of the way to the new y."""
    step = _I + h * jacobian
    return np.block([[step, _O], [rate * step, (1 - rate) * _I]])


def _slingshot(jacobian: np.ndarray, h: float) -> np.ndarray:
    one = np.diag([1.0, -1.0])
    return (_I - h * one @ jacobian) @ (_I + h * one @ jacobian)


def _slingshot_update() -> updates.Cycle:
    plain = updates.Simultaneous(0.1)
    return updates.Cycle([plain, plain], factors=[Players(1.0, -1.0), Players(-1.0, 1.0)])


_INNER = _I + 0.1 * _ROTATION

# Games.


def _game(make: Callable[[], Any]) -> Callable[[], fields.GameField]:
    return lambda: fields.GameField(make())


def _damped_product(y: Players, args: Any) -> Players:
    """The discriminator maximizes d g - d^2/2, the generator minimizes d g."""
    product = y.discriminator * y.generator
    return Players(y.discriminator**2 / 2 - product, product)


def _abscissa(*matrices: Any) -> float:
    return max(float(np.linalg.eigvals(np.array(matrix)).real.max()) for matrix in matrices)


def _near(name: str, make: Callable[[], Any], start: Players, rate: float, source: str = _BY_HAND) -> Case:
    """One that comes back to its equilibrium, at the rate of its Jacobian there."""
    return Case(name=name, make=_game(make), start=start, fate="converges", source=source, rate=rate)


# With the loss of Pearson's divergence f'(0) = 1 and f''(0) = -1/4: a parameter whose feature has the mean square k is
# damped by k/2.
_SAMPLE = (-1.0, -0.5, 0.5, 1.0)
_SCALE = np.sqrt(3 * np.mean(np.square(_SAMPLE)))
_FOURTH = np.mean(np.power(_SAMPLE, 4)) + _SCALE**4 / 5
_VARIANCE = [[-3 / 2, -2.0], [2.0, 0.0]]

CASES = (
    _rule(
        "nesterov_damped", _damped_rotation, lambda: updates.Nesterov(0.5, 0.3), _nesterov(_DAMPED, 0.5, 0.3), 0.5,
    ),
    _rule("nesterov", _rotation, lambda: updates.Nesterov(0.1, 0.5), _nesterov(_ROTATION, 0.1, 0.5), 0.1),
    _rule(
        "from_the_past", _rotation, lambda: updates.ExtragradientFromThePast(0.1), _from_the_past(_ROTATION, 0.1), 0.1,
    ),
    _rule(
        "from_the_past_beyond", _rotation, lambda: updates.ExtragradientFromThePast(0.7),
        _from_the_past(_ROTATION, 0.7), 0.7,
    ),
    # In single precision its linear solve rounds.
    _rule(
        "competitive_gradient", _rotation, lambda: updates.CompetitiveGradient(0.1),
        np.linalg.inv(_I - 0.1 * _ROTATION), 0.1, single=False,
    ),
    _rule(
        "lookahead", _rotation, lambda: updates.Lookahead(updates.Simultaneous(0.1), 5, 0.5),
        (_I + np.linalg.matrix_power(_INNER, 5)) / 2, 0.5,
    ),
    _rule(
        "lookahead_that_keeps_too_much", _rotation, lambda: updates.Lookahead(updates.Simultaneous(0.1), 5, 0.9),
        0.1 * _I + 0.9 * np.linalg.matrix_power(_INNER, 5), 0.5,
    ),
    _rule(
        "averaged", _damped_rotation, lambda: updates.Averaged(updates.Simultaneous(0.5), 0.5),
        _averaged(_DAMPED, 0.5, 0.5), 0.5,
    ),
    _rule("slingshot", _rotation, _slingshot_update, _slingshot(_ROTATION, 0.1), 0.2),
    _rule(
        "clipped_where_the_box_is_far", _damped_rotation, lambda: updates.Clipped(updates.Simultaneous(0.5), 10.0),
        _I + 0.5 * _DAMPED, 0.5,
    ),
    # The anchor is pulled less and less, so that no step has the multipliers of the next one.
    Case(
        name="anchored_extragradient", make=_rotation, start=Players(1.0, 0.0), fate="converges", asked=False,
        update=lambda: updates.AnchoredExtragradient(0.1), source="Yoon and Ryu (2021), arXiv:2102.07922: as 1/n",
    ),
    _near(
        "gaussian_mean", lambda: games.GaussianMean(losses.PearsonChiSquared(), jnp.array([1.0, 2.0])),
        Players([0.1, -0.1], [0.2, 0.1]), _abscissa([[-1 / 2, -1.0], [1.0, 0.0]], [[-1.0, -1.0], [1.0, 0.0]]),
    ),
    _near(
        "gaussian_variance", lambda: games.GaussianCovariance(losses.PearsonChiSquared(), jnp.eye(1)),
        Players([[0.05]], [[0.9]]), _abscissa(_VARIANCE),
    ),
    _near(
        "gaussian_mean_and_variance",
        lambda: games.MultivariateLinearQuadratic(losses.PearsonChiSquared(), jnp.zeros(1), jnp.eye(1)),
        Players({"quadratic": [[0.05]], "linear": [0.1]}, {"scale": [[0.9]], "offset": [0.1]}),
        _abscissa(_VARIANCE, [[-1 / 2, -1.0], [1.0, 0.0]]),
    ),
    # One datum at 0, one particle, a landmark at 1/2: the feature is exp(-1/8) at the datum, and its slope half of it.
    _near(
        "particle_of_a_kernel",
        lambda: games.Kernel(
            losses.PearsonChiSquared(), jnp.zeros((1, 1)), jnp.full((1, 1), 0.5), width=1.0, jitter=0.0
        ),
        Players([0.1], [[0.1]]),
        _abscissa(np.exp(-1 / 4) * np.array([[-1 / 2, 0.0], [0.0, 0.0]]) + np.exp(-1 / 8) * _ROTATION.T / 2),
    ),
    _near(
        "finite_sample",
        lambda: games.FiniteSample(games.LinearQuadratic(losses.Minimax()), jnp.array(_SAMPLE)), Players(0.1, 1.3),
        _abscissa([[-_FOURTH / 4, -_SCALE / 3], [_SCALE / 3, 0.0]]),
    ),
    _near(
        "any_two_losses", lambda: games.FromLosses(_damped_product), Players(0.1, 0.1),
        _abscissa([[-1.0, 1.0], [-1.0, 0.0]]),
    ),
    _near("heusel", lambda: games.Heusel(1.5), Players(0.3, 0.3), -2.0, "Heusel et al. (2017), arXiv:1706.08500"),
    Case(
        name="replicators_of_matching_pennies", make=_game(games.Matrix.matching_pennies), start=Players([0.5, -0.5],
        [0.0, 0.0]), fate="cycles", source="Hofbauer and Sigmund (1998), chapter 11: two divergences are kept",
    ),
    Case(
        name="linear_quadratic_regulators", make=_game(games.Mazumdar), start=Players([[0.2, 0.1]], [[0.1, -0.2]]),
        fate="cycles", asked=False, single=False, source="Mazumdar et al. (2020), arXiv:1907.03712; by LSODA of SciPy",
    ),
)  # fmt: skip
