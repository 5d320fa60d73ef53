"""The small games with what is known of them in closed form: a part of the catalogue.

Each entry is the arguments of a `GameCase` of `tests/catalogue.py`. Closed forms are written in NumPy, from derivations
by hand; nothing here evaluates a loss or a field of the package.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.linalg

from gan_ode import fields, games, losses
from gan_ode.games import Players
from tests.loss_facts import LOSSES, sigmoid


def _states(rows: Any, num_of_discriminator: int) -> Players:
    """States from flat rows, the discriminator's numbers first."""
    rows = jnp.asarray(rows, float)
    return Players(rows[:, :num_of_discriminator], rows[:, num_of_discriminator:])


def _scalars(rows: Any) -> Players:
    rows = jnp.asarray(rows, float)
    return Players(rows[:, 0], rows[:, 1])


def _field(game: Any, rate: Any = 1.0) -> fields.GameField:
    return fields.GameField(game, Players(rate, rate))


FOUR = np.array([[0.2, -0.1, 0.8, 0.2], [-0.3, 0.25, 1.2, -0.3], [0.05, 0.1, -0.9, 0.1]])

# Linear fields.

P, Q = np.array([[0.7, 0.3], [-0.1, 0.4]]), np.array([[-0.2]])
A, B = np.array([[0.9], [-0.6]]), np.array([[0.5], [0.8]])
THREE = np.array([[0.2, -0.1, 0.8], [-0.3, 0.25, 1.2], [0.05, 0.1, -0.9]])


def _linear(p: np.ndarray, a: np.ndarray, b: np.ndarray, q: np.ndarray) -> np.ndarray:
    return np.block([[-(p + p.T) / 2, a], [-b.T, -(q + q.T) / 2]])


def _quadratic(name: str, second: np.ndarray | None) -> dict[str, Any]:
    b = A if second is None else second
    own = None if second is None else jnp.asarray(second)
    return {
        "name": f"quadratic_{name}",
        "field": lambda size: _field(games.Quadratic(jnp.asarray(P), jnp.asarray(Q), size * jnp.asarray(A), own)),
        "parameter": 1.0,
        "states": _states(THREE, 2),
        "velocity": lambda y, size: _linear(P, size * A, size * A if second is None else b, Q) @ y,
        "equilibrium": np.zeros(3),
        "jacobian": _linear(P, A, b, Q),
    }


# The Dirac-GAN in the plane.


def _dirac_velocity(y: np.ndarray, rate: float) -> np.ndarray:
    psi, theta = y[:2], y[2:]
    return rate * sigmoid(-psi @ theta) * np.concatenate([theta, -psi])


# Normal data: moments by hand, or by other means over one axis.

VARIANCES, MEAN = np.array([0.5, 2.0]), np.array([0.4, -0.3])
_ROOTS, _ROOT_WEIGHTS = np.polynomial.hermite_e.hermegauss(60)
_ROOT_WEIGHTS = _ROOT_WEIGHTS / _ROOT_WEIGHTS.sum()


def _slope_of_mean(slope: Any, w: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, float]:
    """E s'(w x) x and E s'(w x) of x = mean + root(variances) z, by turning z so that one axis lies along w."""
    spread = np.sqrt(VARIANCES) * w
    width = np.sqrt(spread @ spread)
    here = slope(w @ mean + width * _ROOTS)
    along = VARIANCES * w / width
    return _ROOT_WEIGHTS @ here * mean + _ROOT_WEIGHTS @ (here * _ROOTS) * along, _ROOT_WEIGHTS @ here


def _gaussian_mean_velocity(name: str, y: np.ndarray) -> np.ndarray:
    facts, w, b = LOSSES[name], y[:2], y[2:]
    of_data, _ = _slope_of_mean(facts.slope_of_data, w, MEAN)
    of_samples, _ = _slope_of_mean(facts.slope_of_sample, w, b)
    _, downhill = _slope_of_mean(facts.slope_of_generator, w, b)
    return np.concatenate([of_data + of_samples, -downhill * w])


def _gaussian_mean(name: str, **others: Any) -> dict[str, Any]:
    facts = LOSSES[name]
    swing, damping = facts.slope * np.eye(2), 2 * facts.curvature * (np.diag(VARIANCES) + np.outer(MEAN, MEAN))
    return {
        "name": f"gaussian_mean_{name}",
        "field": lambda rate: _field(games.GaussianMean(facts.make(), jnp.asarray(VARIANCES), jnp.asarray(MEAN)), rate),
        "parameter": 0.7,
        "states": _states(FOUR, 2),
        "velocity": lambda y, rate: rate * _gaussian_mean_velocity(name, y),
        "equilibrium": np.array([0.0, 0.0, *MEAN]),
        "jacobian": 0.7 * np.block([[damping, -swing], [swing, np.zeros((2, 2))]]),
        **others,
    }


COVARIANCE = np.array([[1.0, 0.3], [0.3, 0.6]])
EIGHT = np.array(
    [
        [0.1, -0.05, 0.02, -0.1, 0.9, 0.2, -0.1, 0.8],
        [-0.1, 0.05, 0.12, 0.03, 1.1, -0.2, 0.3, 0.7],
        [0.05, 0.1, 0.1, -0.02, 0.6, 0.1, 0.1, -0.9],
    ]
)


def _covariance_states(rows: np.ndarray) -> Players:
    rows = jnp.asarray(rows).reshape(len(rows), 2, 2, 2)
    return Players(rows[:, 0], rows[:, 1])


def _fourth(w: np.ndarray, c: np.ndarray) -> np.ndarray:
    """E (x^T w x) x x^T of a normal x of covariance c, by Isserlis."""
    return np.trace(w @ c) * c + c @ (w + w.T) @ c


def _covariance_wasserstein(y: np.ndarray, c: np.ndarray) -> np.ndarray:
    w, a = y.reshape(2, 2, 2)
    return np.concatenate([(c - a @ a.T).ravel(), ((w + w.T) @ a).ravel()])


def _covariance_pearson(y: np.ndarray) -> np.ndarray:
    """V = E s - E (s + s^2/4): the samples' part has the slope -(1 + s/2)."""
    w, a = y.reshape(2, 2, 2)
    made = a @ a.T
    moved = made + _fourth(w, made) / 2
    return np.concatenate([(COVARIANCE - moved).ravel(), ((w + w.T) @ moved @ np.linalg.inv(a).T).ravel()])


def _covariance_jacobian(slope: float, curvature: float) -> np.ndarray:
    root = np.real(scipy.linalg.sqrtm(COVARIANCE))
    columns = []
    for w, a in np.eye(8).reshape(8, 2, 2, 2):
        w_dot = 2 * curvature * _fourth(w, COVARIANCE) - slope * (a @ root.T + root @ a.T)
        columns.append(np.concatenate([w_dot.ravel(), (slope * (w + w.T) @ root).ravel()]))
    return np.array(columns).T


def _covariance_energy(y: np.ndarray) -> float:
    """Kept by the Wasserstein GAN with the identity as covariance, while W is symmetric."""
    w, a = y.reshape(2, 2, 2)
    return np.trace(w @ w) + np.trace(a @ a.T) / 2 - np.log(abs(np.linalg.det(a)))


SYMMETRIC = EIGHT.copy()
SYMMETRIC[:, 2] = SYMMETRIC[:, 1]


def _multivariate_states() -> Players:
    def part(rows: np.ndarray, names: tuple[str, str], scale: float) -> dict[str, Any]:
        vector, matrix = names
        return {vector: jnp.asarray(scale * rows[:, :2]), matrix: jnp.asarray(scale * rows[:, 2:6].reshape(3, 2, 2))}

    return Players(
        part(np.roll(EIGHT, 1, axis=1), ("linear", "quadratic"), 1.0),
        part(np.roll(EIGHT, 5, axis=1), ("offset", "scale"), 0.8),
    )


def _multivariate_velocity(y: np.ndarray, rate: float) -> np.ndarray:
    """The Wasserstein one; in the order of the leaves: linear, quadratic, offset, scale."""
    w, q, b, a = y[:2], y[2:6].reshape(2, 2), y[6:8], y[8:].reshape(2, 2)
    moment = COVARIANCE + np.outer(MEAN, MEAN) - a @ a.T - np.outer(b, b)
    turn = q + q.T
    return rate * np.concatenate([MEAN - b, moment.ravel(), turn @ b + w, (turn @ a).ravel()])


def _multivariate_jacobian() -> np.ndarray:
    root = np.real(scipy.linalg.sqrtm(COVARIANCE))
    columns = []
    for y in np.eye(12):
        w, q, b, a = y[:2], y[2:6].reshape(2, 2), y[6:8], y[8:].reshape(2, 2)
        q_dot = -(a @ root.T + root @ a.T) - np.outer(b, MEAN) - np.outer(MEAN, b)
        turn = q + q.T
        columns.append(np.concatenate([-b, q_dot.ravel(), turn @ MEAN + w, (turn @ root).ravel()]))
    return np.array(columns).T


# Matrix games.


def _softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum()


ROCK = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
SIX = np.array([[0.3, -0.2, 0.1, 0.5, 0.0, -0.4], [-1.0, 0.4, 0.2, 0.1, -0.3, 0.9], [0.0, 0.7, -0.2, -0.8, 0.3, 0.2]])
PENNIES = np.array([[1.0, -1.0], [-1.0, 1.0]])
# A game of two by two whose mixed equilibrium is p = (0.25, 0.75), q = (0.4, 0.6).
UNEQUAL = np.array([[3.0, -1.0], [0.0, 1.0]])
UNEQUAL_GENERATOR = np.array([[0.0, 1.5], [1.0, 0.5]])


def _replicator(payoff: np.ndarray, second: np.ndarray, y: np.ndarray) -> np.ndarray:
    num = len(payoff)
    won, lost = payoff @ _softmax(y[num:]), second.T @ _softmax(y[:num])
    return np.concatenate([won - won.mean(), lost - lost.mean()])


def _policy_gradient(y: np.ndarray, size: float) -> np.ndarray:
    p, q = _softmax(y[:3]), _softmax(y[3:])
    won, lost = size * ROCK @ q, -size * ROCK.T @ p
    return np.concatenate([p * (won - p @ won), q * (lost - q @ lost)])


def _spread(p: np.ndarray) -> np.ndarray:
    return np.diag(p) - np.outer(p, p)


def _distance(p: np.ndarray, q: np.ndarray) -> Any:
    """The divergences from the equilibrium, but for constants: kept by replicators in zero-sum games."""
    num = len(p)
    return lambda y: -p @ np.log(_softmax(y[:num])) - q @ np.log(_softmax(y[num:]))


THIRD = np.full(3, 1 / 3)
_MIXED = (np.array([0.25, 0.75]), np.array([0.4, 0.6]))


def _centered(p: np.ndarray) -> np.ndarray:
    return np.log(p) - np.mean(np.log(p))


def _replicator_jacobian() -> np.ndarray:
    (p, q), away, none = _MIXED, np.eye(2) - 1 / 2, np.zeros((2, 2))
    return np.block([[none, away @ UNEQUAL @ _spread(q)], [away @ UNEQUAL_GENERATOR.T @ _spread(p), none]])


# Particles.

KERNEL_DATA = np.array([[-0.8, 0.1], [0.5, 0.4]])
LANDMARKS = np.array([[-1.0, 0.0], [0.0, 1.0], [0.8, -0.5]])
WIDTH, JITTER = 0.9, 1e-6


def _features(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The features of each point, and their slopes."""
    gram = np.exp(-((LANDMARKS[:, None] - LANDMARKS[None]) ** 2).sum(-1) / (2 * WIDTH**2)) + JITTER * np.eye(3)
    inverse = np.linalg.inv(np.linalg.cholesky(gram))
    apart = LANDMARKS[None] - points[:, None]
    values = np.exp(-(apart**2).sum(-1) / (2 * WIDTH**2))
    return values @ inverse.T, np.einsum("ij,njd->nid", inverse, values[:, :, None] * apart / WIDTH**2)


def _kernel_velocity(y: np.ndarray, rate: float) -> np.ndarray:
    w, particles = y[:3], y[3:].reshape(2, 2)
    made, slopes = _features(particles)
    pulled = np.einsum("i,nid->nd", w, slopes) / 2
    return rate * np.concatenate([_features(KERNEL_DATA)[0].mean(0) - made.mean(0), pulled.ravel()])


def _kernel_jacobian() -> np.ndarray:
    block = np.concatenate(list(_features(KERNEL_DATA)[1]), axis=1) / 2
    return np.block([[np.zeros((3, 3)), -block], [block.T, np.zeros((4, 4))]])


_PARTICLES = np.array([[[-0.5, 0.3], [0.2, -0.4]], [[0.1, 0.9], [-1.2, 0.2]], [[0.4, 0.4], [0.6, -0.1]]])

# A finite sample of the linear-quadratic game.

SAMPLE = np.array([-0.9, 0.1, 0.5, 1.3])
_X, _W = np.polynomial.legendre.leggauss(120)


def _sampled_velocity(y: np.ndarray, rate: float) -> np.ndarray:
    facts, (w, a) = LOSSES["minimax"], y
    made = w * a**2 * _X**2
    w_dot = np.mean(facts.slope_of_data(w * SAMPLE**2) * SAMPLE**2)
    w_dot += _W / 2 @ (facts.slope_of_sample(made) * a**2 * _X**2)
    return rate * np.array([w_dot, -_W / 2 @ (facts.slope_of_generator(made) * 2 * w * a * _X**2)])


_M2, _M4 = np.mean(SAMPLE**2), np.mean(SAMPLE**4)
_SAMPLE_A = np.sqrt(3 * _M2)

# Published ones.


def _hill_slope(z: float) -> float:
    return z / 2 - 2 * z**3 + z**5


def _forsaken_velocity(y: np.ndarray, rate: float) -> np.ndarray:
    up, down = y
    return rate * np.array([down - _hill_slope(up), 0.45 - up - _hill_slope(down)])


# By Newton's method in 40 digits.
FORSAKEN = np.array([0.41193385136581985, 0.07802666873846007])


def _hill_curvature(z: float) -> float:
    return 1 / 2 - 6 * z**2 + 5 * z**4


A_REGULATED = np.array([[0.3, -0.5], [0.8, -0.2]])
B_REGULATED = (np.array([[1.0], [1.0]]), np.array([[0.0], [1.0]]))
Q_REGULATED = (np.diag([0.01, 1.0]), np.diag([1.0, 0.32]))


def regulated_velocity(y: np.ndarray, rate: float) -> np.ndarray:
    """The policy gradient of two regulators by both Lyapunov equations, as SciPy solves them."""
    gains = (y[None, :2], y[None, 2:])
    moved = A_REGULATED - B_REGULATED[0] @ gains[0] - B_REGULATED[1] @ gains[1]
    covariance = scipy.linalg.solve_discrete_lyapunov(moved, np.eye(2))
    slopes = []
    for gain, b, q in zip(gains, B_REGULATED, Q_REGULATED, strict=True):
        value = scipy.linalg.solve_discrete_lyapunov(moved.T, q + 0.05 * gain.T @ gain)
        slopes.append((2 * (0.05 * gain - b.T @ value @ moved) @ covariance).ravel())
    return -rate * np.concatenate(slopes)


SMALL_GAMES: list[dict[str, Any]] = [
    _quadratic("zero_sum", None),
    _quadratic("general_sum", B),
    {
        "name": "quadratic_not_local_nash",
        "field": lambda rate: _field(games.Quadratic.not_local_nash(), rate),
        "parameter": 1.0,
        "states": _states(FOUR[:, 1:3], 1),
        "velocity": lambda y, rate: rate * np.array([-y[0] + 0.6 * y[1], -0.6 * y[0] + y[1] / 4]),
        "equilibrium": np.zeros(2),
        "jacobian": np.array([[-1.0, 0.6], [-0.6, 0.25]]),
    },
    {
        "name": "quadratic_rotation",
        "field": lambda damping: _field(games.Quadratic.rotation(damping, 3.0)),
        "parameter": 0.2,
        "states": _states(FOUR[:, 1:3], 1),
        "velocity": lambda y, damping: np.array([-damping * y[0] + 3 * y[1], -3 * y[0] - damping * y[1]]),
        "equilibrium": np.zeros(2),
        "jacobian": np.array([[-0.2, 3.0], [-3.0, -0.2]]),
    },
    {
        "name": "dirac_in_the_plane",
        "field": lambda rate: _field(games.Dirac(losses.Minimax(), dim=2), rate),
        "parameter": 0.7,
        "states": _states(FOUR, 2),
        "velocity": _dirac_velocity,
        "equilibrium": np.zeros(4),
        "jacobian": 0.35 * np.block([[np.zeros((2, 2)), np.eye(2)], [-np.eye(2), np.zeros((2, 2))]]),
        # What turns: psi and theta span one plane for ever.
        "invariant": lambda y: y[0] * y[3] - y[1] * y[2] + y @ y,
    },
    _gaussian_mean("least_squares"),
    _gaussian_mean("wasserstein", invariant=lambda y: y[:2] @ y[:2] + (y[2:] - MEAN) @ (y[2:] - MEAN)),
    {
        "name": "gaussian_covariance_pearson",
        "field": lambda rate: _field(
            games.GaussianCovariance(losses.PearsonChiSquared(), jnp.asarray(COVARIANCE)), rate
        ),
        "parameter": 0.7,
        "states": _covariance_states(EIGHT),
        "velocity": lambda y, rate: rate * _covariance_pearson(y),
        "equilibrium": np.concatenate([np.zeros(4), np.real(scipy.linalg.sqrtm(COVARIANCE)).ravel()]),
        "jacobian": 0.7 * _covariance_jacobian(1.0, -1 / 4),
    },
    {
        "name": "gaussian_covariance_wasserstein",
        "field": lambda rate: _field(games.GaussianCovariance(losses.Wasserstein(), jnp.eye(2)), rate),
        "parameter": 0.7,
        "states": _covariance_states(SYMMETRIC),
        "velocity": lambda y, rate: rate * _covariance_wasserstein(y, np.eye(2)),
        "invariant": _covariance_energy,
    },
    {
        "name": "multivariate_linear_quadratic_wasserstein",
        "field": lambda rate: _field(
            games.MultivariateLinearQuadratic(losses.Wasserstein(), jnp.asarray(MEAN), jnp.asarray(COVARIANCE)), rate
        ),
        "parameter": 0.7,
        "states": _multivariate_states(),
        "velocity": _multivariate_velocity,
        "equilibrium": np.concatenate([np.zeros(6), MEAN, np.real(scipy.linalg.sqrtm(COVARIANCE)).ravel()]),
        "jacobian": 0.7 * _multivariate_jacobian(),
    },
    {
        "name": "rock_paper_scissors",
        "field": lambda rate: _field(games.Matrix.rock_paper_scissors(), rate),
        "parameter": 0.7,
        "states": _states(SIX, 3),
        "velocity": lambda y, rate: rate * _replicator(ROCK, -ROCK, y),
        "equilibrium": np.zeros(6),
        "jacobian": 0.7 / 3 * np.block([[np.zeros((3, 3)), ROCK], [ROCK, np.zeros((3, 3))]]),
        "invariant": _distance(THIRD, THIRD),
    },
    {
        "name": "matching_pennies",
        "field": lambda rate: _field(games.Matrix.matching_pennies(), rate),
        "parameter": 0.7,
        "states": _states(FOUR, 2),
        "velocity": lambda y, rate: rate * _replicator(PENNIES, -PENNIES, y),
        "equilibrium": np.zeros(4),
        "jacobian": 0.35 * np.block([[np.zeros((2, 2)), PENNIES], [-PENNIES, np.zeros((2, 2))]]),
        "invariant": _distance(np.full(2, 1 / 2), np.full(2, 1 / 2)),
    },
    {
        "name": "matrix_general_sum",
        "field": lambda rate: _field(games.Matrix(jnp.asarray(UNEQUAL), jnp.asarray(UNEQUAL_GENERATOR)), rate),
        "parameter": 0.7,
        "states": _states(FOUR, 2),
        "velocity": lambda y, rate: rate * _replicator(UNEQUAL, UNEQUAL_GENERATOR, y),
        "equilibrium": np.concatenate([_centered(p) for p in _MIXED]),
        "jacobian": 0.7 * _replicator_jacobian(),
    },
    {
        "name": "rock_paper_scissors_plain_gradients",
        "field": lambda size: _field(games.Matrix(size * jnp.asarray(ROCK), natural=False)),
        "parameter": 1.2,
        "states": _states(SIX, 3),
        "velocity": _policy_gradient,
        "equilibrium": np.zeros(6),
        "jacobian": 1.2 / 9 * np.block([[np.zeros((3, 3)), ROCK], [ROCK, np.zeros((3, 3))]]),
    },
    {
        "name": "kernel_wasserstein",
        "field": lambda rate: _field(
            games.Kernel(losses.Wasserstein(), jnp.asarray(KERNEL_DATA), jnp.asarray(LANDMARKS), width=WIDTH), rate
        ),
        "parameter": 0.7,
        "states": Players(jnp.asarray(THREE), jnp.asarray(_PARTICLES)),
        "velocity": _kernel_velocity,
        "equilibrium": np.concatenate([np.zeros(3), KERNEL_DATA.ravel()]),
        "jacobian": 0.7 * _kernel_jacobian(),
    },
    {
        "name": "finite_sample_linear_quadratic_minimax",
        "field": lambda rate: _field(
            games.FiniteSample(games.LinearQuadratic(losses.Minimax()), jnp.asarray(SAMPLE)), rate
        ),
        "parameter": 0.7,
        "states": _scalars([[0.3, 0.8], [-0.4, 1.3], [0.05, -1.1]]),
        "velocity": _sampled_velocity,
        "equilibrium": np.array([0.0, _SAMPLE_A]),
        "jacobian": 0.7 * np.array([[-(_M4 + _SAMPLE_A**4 / 5) / 4, -_SAMPLE_A / 3], [_SAMPLE_A / 3, 0.0]]),
    },
    {
        "name": "almost_bilinear",
        "field": lambda epsilon: _field(games.AlmostBilinear(epsilon)),
        "parameter": 0.5,
        "states": _scalars([[0.3, 0.8], [-0.7, 1.1], [1.2, -0.9]]),
        "velocity": lambda y, epsilon: np.array([y[1] + epsilon * (y[0] - y[0] ** 3), -y[0]]),
        "equilibrium": np.zeros(2),
        "jacobian": np.array([[0.5, 1.0], [-1.0, 0.0]]),
        "one_of_its_kind": True,
    },
    {
        "name": "forsaken",
        "field": lambda rate: _field(games.Forsaken(), rate),
        "parameter": 0.7,
        "states": _scalars([[0.3, 0.8], [-0.7, 1.1], [1.2, -0.9]]),
        "velocity": _forsaken_velocity,
        "equilibrium": FORSAKEN,
        "jacobian": 0.7 * np.array([[-_hill_curvature(FORSAKEN[0]), 1.0], [-1.0, -_hill_curvature(FORSAKEN[1])]]),
    },
    {
        "name": "heusel",
        "field": lambda height: _field(games.Heusel(height)),
        "parameter": 1.5,
        "states": _scalars([[0.9, 0.3], [-0.7, 0.4], [1.2, -0.35]]),
        "velocity": lambda y, c: np.array([-2 * y[0] * (1 + y[1] ** 2), -2 * y[1] * (c - y[0] ** 2)]),
        "equilibrium": np.zeros(2),
        "jacobian": np.diag([-2.0, -3.0]),
        "invariant": lambda y: np.log(abs(y[1])) + y[1] ** 2 / 2 - 1.5 * np.log(abs(y[0])) + y[0] ** 2 / 2,
    },
    {
        "name": "mazumdar",
        "field": lambda rate: _field(games.Mazumdar(), rate),
        "parameter": 0.7,
        "states": Players(
            jnp.array([[[0.2, 0.1]], [[0.4, 0.4]], [[0.1, -0.2]]]),
            jnp.array([[[0.1, -0.2]], [[0.3, -0.6]], [[0.3, 0.1]]]),
        ),
        "velocity": regulated_velocity,
    },
]


def game_of(name: str) -> Any:
    """The game itself, of an entry."""
    facts = next(facts for facts in SMALL_GAMES if facts["name"] == name)
    return facts["field"](facts["parameter"]).game
