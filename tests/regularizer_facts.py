"""Closed forms of penalized, noisy and adjusted fields, derived by hand and in NumPy, and the small games they are of.

A flat state has the discriminator's number first, then the generator's. The Dirac-GAN is that of the minimax loss.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_ode.games import Players
from tests.loss_facts import LossFacts, sigmoid

_HERMITE, _HERMITE_WEIGHTS = np.polynomial.hermite_e.hermegauss(60)
_HERMITE_WEIGHTS = _HERMITE_WEIGHTS / _HERMITE_WEIGHTS.sum()
_LEGENDRE, _LEGENDRE_WEIGHTS = np.polynomial.legendre.leggauss(60)
_LEGENDRE_WEIGHTS = _LEGENDRE_WEIGHTS / 2


# Instance noise.


def noisy_dirac(y: np.ndarray, std: float) -> np.ndarray:
    """V = E f(-psi s e) + E f(psi (theta + s e)) with f' = sigmoid(-x)."""
    psi, theta = y
    noise = std * _HERMITE
    real, made = sigmoid(psi * noise), sigmoid(-psi * (theta + noise))
    return np.array(
        [_HERMITE_WEIGHTS @ (made * (theta + noise) - real * noise), -psi * (_HERMITE_WEIGHTS @ made)],
    )


def noisy_linear_quadratic(loss: LossFacts, y: np.ndarray, std: float) -> np.ndarray:
    """Scores w (x + s e)^2 of data, and w (a z + s e)^2 of samples, over both points and noise."""
    w, a = y
    weights = np.outer(_LEGENDRE_WEIGHTS, _HERMITE_WEIGHTS)
    z, noise = _LEGENDRE[:, None], std * _HERMITE[None]
    real, made = (z + noise) ** 2, (a * z + noise) ** 2
    w_dot = np.sum(weights * (loss.slope_of_data(w * real) * real + loss.slope_of_sample(w * made) * made))
    downhill = loss.slope_of_generator(w * made) * 2 * w * (a * z + noise) * z
    return np.array([w_dot, -np.sum(weights * downhill)])


# Adjustments of the Dirac-GAN.


def dirac_parts(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The field (theta s, -psi s) with s = sigmoid(-theta psi), and its Jacobian."""
    psi, theta = y
    s = sigmoid(-theta * psi)
    bend = -s * sigmoid(theta * psi)
    cross = s + theta * psi * bend
    return np.array([theta * s, -psi * s]), np.array([[theta**2 * bend, cross], [-cross, -(psi**2) * bend]])


def symplectic_dirac(y: np.ndarray, weight: float) -> np.ndarray:
    velocity, jacobian = dirac_parts(y)
    return velocity - weight * (jacobian - jacobian.T).T @ velocity / 2


def jare_dirac(y: np.ndarray, weight: float) -> np.ndarray:
    """Each player's velocity less the slope of half the other one's squared speed."""
    velocity, jacobian = dirac_parts(y)
    return velocity - weight * np.array([jacobian[1, 0] * velocity[1], jacobian[0, 1] * velocity[0]])


def drift_cancelled_dirac(y: np.ndarray, step_size: float) -> np.ndarray:
    velocity, jacobian = dirac_parts(y)
    return velocity + step_size / 2 * jacobian @ velocity


def curl_crossed(y: np.ndarray, rate: float) -> np.ndarray:
    """The linear-quadratic Wasserstein GAN: F = ((1 - a^2)/3, 2 w a/3), F' - F'^T = (4 a/3) [[0, -1], [1, 0]]."""
    w, a = y
    return rate**2 * (4 * a / 3) * np.array([-2 * w * a / 3, (1 - a**2) / 3])


# Games of a few numbers.

# What the players of `shared` pay: L_D = -k d g + c g^2 / 2 and L_G = q d g + e d^2 / 2.
COUPLING, CHARGE, BACK, TOLL = 1.5, 0.7, 0.8, -0.3


def shared(y: Players, args: Any) -> Players:
    """A game that is not zero-sum, in which each player's loss depends on the other's parameter alone, too."""
    d, g = y.discriminator, y.generator
    return Players(-COUPLING * d * g + CHARGE / 2 * g**2, BACK * d * g + TOLL / 2 * d**2)


def aware_shared(y: np.ndarray, step_size: float, terms: str = "both") -> np.ndarray:
    """L_D + h (dL_D/dg) F_G and L_G + h (dL_G/dd) F_D, with F = (k g, -q d), and the slopes of these terms."""
    d, g = y
    plain = np.array([COUPLING * g, -BACK * d])
    ahead = COUPLING * BACK * y
    shaping = np.array([-BACK * (CHARGE * g - COUPLING * d), COUPLING * (BACK * g + TOLL * d)])
    added = {"both": ahead + shaping, "look_ahead": ahead, "shaping": shaping}[terms]
    return plain - step_size * added


# L_D = -(PUSH/2) d^2 - TURN d g and L_G = -(PUSH/2) g^2 + TURN d g.
PUSH, TURN = 0.5, 1.0


def pushed(y: Players, args: Any) -> Players:
    """Two players who are both driven away from the origin, F = PUSH y + TURN (g, -d)."""
    d, g = y.discriminator, y.generator
    return Players(-PUSH / 2 * d**2 - TURN * d * g, -PUSH / 2 * g**2 + TURN * d * g)


def aligned_pushed(y: np.ndarray, weight: float) -> np.ndarray:
    """With R the quarter turn, F' = PUSH I + TURN R: <F, F'^T F> = PUSH |F|^2, <A^T F, F'^T F> = TURN^2 |F|^2."""
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    velocity = (PUSH * np.eye(2) + TURN * turn) @ y
    sign = np.sign(0.1 - PUSH * TURN**2 * (velocity @ velocity) ** 2 / 2)
    return velocity - sign * weight * TURN * turn.T @ velocity


PAYOFF = np.array([[1.0, -1.0], [-1.0, 1.0]])
LOGITS = Players(jnp.array([0.4, -0.2]), jnp.array([0.1, 0.6]))


def pennies(y: Players, args: Any) -> Players:
    """Matching pennies between two softmax players."""
    p, q = jax.nn.softmax(y.discriminator), jax.nn.softmax(y.generator)
    value = p @ jnp.asarray(PAYOFF, p.dtype) @ q
    return Players(-value, value)


def entropic_pennies(y: np.ndarray, weight: float, anchor: np.ndarray) -> np.ndarray:
    """The replicator's slope p (v - p.v) of V, less that of the divergences; the generator pays half the weight."""

    def softmax(x: np.ndarray) -> np.ndarray:
        return np.exp(x) / np.exp(x).sum()

    def tangent(p: np.ndarray, v: np.ndarray) -> np.ndarray:
        return p * (v - p @ v)

    p, q = softmax(y[:2]), softmax(y[2:])
    to_p, to_q = np.log(p / softmax(anchor[:2])), np.log(q / softmax(anchor[2:]))
    return np.concatenate([tangent(p, PAYOFF @ q - weight * to_p), -tangent(q, PAYOFF.T @ p + weight / 2 * to_q)])


FEATURE = np.array([0.6, -0.3])


def matrix_player(y: Players, args: Any) -> Players:
    """A discriminator of a matrix and a bias: V = v^T (W x + b) at one point x."""
    score = y.discriminator["weight"] @ jnp.asarray(FEATURE, y.generator.dtype) + y.discriminator["bias"]
    return Players(-score @ y.generator, score @ y.generator)


def spectral_matrix_player(y: np.ndarray, weight: float) -> np.ndarray:
    """The bias first, as keys are sorted; sigma u v^T is the best approximation of rank 1."""
    bias, matrix, v = y[:2], y[2:6].reshape(2, 2), y[6:]
    left, sizes, right = np.linalg.svd(matrix)
    slope = np.outer(v, FEATURE) - weight * sizes[0] * np.outer(left[:, 0], right[0])
    return np.concatenate([v, slope.ravel(), -(matrix @ FEATURE + bias)])


def held_in_a_box(y: np.ndarray, bound: float) -> np.ndarray:
    """The rotation psi' = theta, theta' = -psi with |psi| <= c: slides where psi would grow past it."""
    psi, theta = y
    speed = 0.0 if abs(psi) >= bound and psi * theta > 0 else theta
    return np.array([speed, -np.clip(psi, -bound, bound)])


def held_in_a_ball(matrix: np.ndarray, y: np.ndarray, bound: float) -> np.ndarray:
    """The bilinear game with |u| <= c: on the border the part along u is taken away, and past it comes back."""
    u, v = y[:2], y[2:]
    size = np.linalg.norm(u)
    speed, back = matrix @ v, -matrix.T @ u * min(1, bound / size)
    out = u / size
    if size >= bound and speed @ out > 0:
        pull = (bound - size) * np.linalg.norm(speed) / bound
        speed = (speed - (speed @ out) * out) * max(1, size / bound) + pull * out
    return np.concatenate([speed, back])
