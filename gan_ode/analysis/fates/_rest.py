"""Where a trajectory may come to rest: a root of the field, and a region around it that it cannot leave."""

import dataclasses
import warnings
from typing import Literal, TypeAlias

import jax.numpy as jnp
import numpy as np
import optimistix as optx
from scipy.linalg import solve_continuous_lyapunov

from ..equilibria._find_one import Equilibrium
from ..linearization._preconditions import inspect
from ._follower import Follower

_NEWTON_STEPS = 60
# A root's residual is so much smaller than the speed at a small distance, or as small as rounding makes it.
_STILL = {4: 1e-5, 8: 1e-6}
_NEARBY = {4: 1e-2, 8: 1e-4}
_ROUNDINGS = 100
# A linear part that explains less of the speed nearby is none.
_FLAT = 1e-3
# One-sided differences agree with the derivative to this, at a small step, unless there is a kink or a jump.
_SMOOTH = {4: 5e-2, 8: 1e-3}
_STEP = {4: 1e-2, 8: 1e-6}
# The quadratic function is looked at on ellipsoids, each a twentieth smaller than the one before down to a hundredth of
# the first, since a pair of cycles may lie between two of them, and each a third smaller from there on.
_LEVELS = np.concatenate([0.9 ** np.arange(88), 1e-4 * 0.5 ** np.arange(16)])
_FEW_LEVELS = 0.5 ** np.arange(8)
_DIRECTIONS = 160
# It has to fall at a tenth of the rate that the linear part has at the equilibrium, against what lies between.
_SHARE = 0.1
# An end so near, against the sizes of the components, may be where the field only rounds.
_WIDE = 1e-5

Linear: TypeAlias = Literal["none", "stable", "continuum", "center", "unstable"]


@dataclasses.dataclass(frozen=True)
class Rest:
    """A root of the field.

    Attributes:
        y: The state.
        residual: Norm of the velocity there.
        matrix: The Jacobian.
        eigenvalues: By falling real part.
        linear: What the eigenvalues make of it.
        growth: The largest real part of those that are not zero.
        smooth: Whether the field has a derivative there.
    """

    y: np.ndarray
    residual: float
    matrix: np.ndarray
    eigenvalues: np.ndarray
    linear: Linear
    growth: float
    smooth: bool


def as_equilibrium(follower: Follower, rest: Rest) -> Equilibrium:
    """The root as what a search for equilibria gives."""
    y = follower.restore(jnp.asarray(rest.y, follower.dtype))
    residual, seen = jnp.asarray(rest.residual, follower.dtype), inspect(follower.field.field, y, args=follower.args)
    return Equilibrium(y, residual, optx.RESULTS.successful, jnp.asarray(True), seen)


def root_near(follower: Follower, start: np.ndarray) -> Rest | None:
    """The root that Levenberg and Marquardt's iteration finds from a state; None if it ends at none."""
    y, damping = start.copy(), 1e-3
    velocity, matrix = follower.linearized(y)
    scale = np.maximum(follower.scale, 1e-12 * np.max(follower.scale))
    for _ in range(_NEWTON_STEPS):
        size = np.linalg.norm(velocity)
        if not np.isfinite(size) or not np.all(np.isfinite(matrix)):
            return None
        if size == 0:
            break
        scaled = matrix * scale
        normal = scaled.T @ scaled
        damped = normal + damping * np.trace(normal) / len(y) * np.eye(len(y))
        if not np.all(np.isfinite(damped)):
            return None
        step = -scale * np.linalg.lstsq(damped, scaled.T @ velocity, rcond=None)[0]
        there, slope = follower.linearized(y + step)
        if np.linalg.norm(there) < size:
            converged = np.max(np.abs(step) / (np.abs(y) + scale)) < 4 * follower.rounding
            y, velocity, matrix = y + step, there, slope
            damping *= 0.02
            if converged:
                break
        elif damping > 1e8:
            break
        else:
            damping = max(10 * damping, 1e-14)
    return _as_root(follower, y, velocity, matrix)


def _as_root(follower: Follower, y: np.ndarray, velocity: np.ndarray, matrix: np.ndarray) -> Rest | None:
    size, itemsize = float(np.linalg.norm(velocity)), follower.itemsize
    if not np.isfinite(size) or not np.all(np.isfinite(matrix)):
        return None
    around = _around(y, _NEARBY[itemsize] * follower.scale)
    speeds = np.linalg.norm(follower.velocities(around), axis=1)
    nearby = float(np.max(speeds[np.isfinite(speeds)], initial=0.0))
    noise = _ROUNDINGS * follower.rounding * np.linalg.norm(np.abs(matrix) @ np.abs(y))
    if size > max(_STILL[itemsize] * nearby, noise):
        return None
    values = np.linalg.eigvals(matrix)
    values = values[np.lexsort((-values.imag, -np.round(values.real, 12)))]
    linear, growth = linear_part(values, follower.rounding)
    # At a root of higher order the Jacobian is what is left of the way to it, and no linear part.
    slope = nearby / float(np.max(_NEARBY[itemsize] * follower.scale))
    if np.max(np.abs(values)) < _FLAT * slope:
        linear, growth = "none", 0.0
    return Rest(y, size, matrix, values, linear, growth, _is_smooth(follower, y, velocity, matrix))


def _around(y: np.ndarray, distance: np.ndarray) -> np.ndarray:
    n = len(y)
    directions = np.random.default_rng(1).standard_normal((6, n)) if n > 24 else np.eye(n)
    return y + np.concatenate([directions, -directions]) * distance


def _is_smooth(follower: Follower, y: np.ndarray, velocity: np.ndarray, matrix: np.ndarray) -> bool:
    """Whether the field is differentiable at a root, by differences to all sides."""
    step = _STEP[follower.itemsize] * follower.scale
    points = _around(y, step)
    moves = points - y
    found = follower.velocities(points) - velocity
    expected = moves @ matrix.T
    size = np.max(np.linalg.norm(expected, axis=1))
    noise = _ROUNDINGS * follower.rounding * (np.linalg.norm(np.abs(matrix) @ np.abs(y)) + np.linalg.norm(velocity))
    # A flat field (a cubic at its root) differs by a power of the step.
    flat = np.max(np.linalg.norm(found, axis=1)) <= _STEP[follower.itemsize] * np.max(follower.scale)
    apart = np.max(np.linalg.norm(found - expected, axis=1))
    if not np.isfinite(apart):
        return False
    return bool(apart <= _SMOOTH[follower.itemsize] * size + noise) or bool(flat and size <= noise and apart < 1e-3)


def is_trapped(follower: Follower, rest: Rest, ends: list[np.ndarray]) -> bool:
    r"""Whether all ends lie in a set $\{z^T P z < c\}$ around a stable root in which that function falls.

    $P$ solves $J^T P + P J = -1$ in units of the components' sizes. That the function falls is not proved, but looked
    at on ellipsoids down from the outermost end, in many directions and in those of the ends.
    """
    if rest.linear != "stable":
        return False
    n, scale = len(rest.y), np.maximum(follower.scale, 1e-9 * np.max(follower.scale))
    matrix = rest.matrix * scale / scale[:, None]
    try:
        with warnings.catch_warnings():
            # What cannot be solved well has no Cholesky factor, or does not fall.
            warnings.simplefilter("ignore")
            p = solve_continuous_lyapunov(matrix.T, -np.eye(n))
        lower = np.linalg.cholesky((p + p.T) / 2)
    except (np.linalg.LinAlgError, ValueError):
        return False
    aways = [(end - rest.y) / scale for end in ends]
    heights = [float(away @ p @ away) for away in aways]
    # Rows of P-norm 1.
    directions = np.linalg.solve(lower.T, _directions(n).T).T
    own = np.array([away / np.sqrt(height) for away, height in zip(aways, heights, strict=True) if height > 0])
    directions = np.concatenate([directions, own.reshape(-1, n)])
    # Below this, coordinates round.
    floor = (1e3 * follower.rounding) ** 2 * float(np.max(np.abs(rest.y) / scale) + 1e-300) ** 2 * np.linalg.norm(p, 2)
    outermost = max(1.02 * max(heights), 1e6 * floor, 1e-280)
    # The field may round, as 1 - exp(y) does near 0, where the state does not: then a larger set will do.
    larger = _WIDE**2 * np.linalg.norm(p, 2)
    for outer in (outermost,) if outermost >= larger else (outermost, larger):
        levels = outer * (_LEVELS if n <= 50 else _FEW_LEVELS)
        away = (np.sqrt(levels)[:, None, None] * directions).reshape(-1, n)
        change = 2 * np.sum((away @ p) * (follower.velocities(rest.y + away * scale) / scale), axis=1)
        falls = change <= -_SHARE * np.sum(away**2, axis=1)
        if np.all(falls | np.repeat(levels <= floor, len(directions))):
            return True
    return False


def _directions(n: int) -> np.ndarray:
    """Unit vectors, the same in every run; in the plane evenly spread."""
    if n == 1:
        return np.array([[1.0], [-1.0]])
    if n == 2:
        angles = 2 * np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = np.random.default_rng(0).standard_normal((_DIRECTIONS if n <= 50 else 48, n))
    points = np.concatenate([points, np.eye(n), -np.eye(n)]) if n <= 50 else points
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def linear_part(growth: np.ndarray, rounding: float) -> tuple[Linear, float]:
    """Stable, a continuum (zeros, and all others stable), a center or unstable; "none" if all are zero.

    Args:
        growth: Eigenvalues of a field; of an update the logarithms of the multipliers.
        rounding: Of the dtype. Eigenvalues are known to its root, relative to the largest.

    Returns:
        The word, and the largest real part among those that are not zero; 0 for a center.
    """
    zero = np.sqrt(rounding) * np.max(np.abs(growth), initial=0.0)
    moving = growth[np.abs(growth) > zero]
    if len(moving) == 0:
        return "none", 0.0
    largest = float(np.max(np.real(moving)))
    if largest > zero:
        return "unstable", largest
    if largest >= -zero:
        return "center", 0.0
    return "stable" if len(moving) == len(growth) else "continuum", largest
