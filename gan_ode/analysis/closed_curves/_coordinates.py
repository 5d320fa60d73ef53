"""Coordinates in which a closed curve is followed: about as wide as long, so that directions across it say most."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..._types import Scalar, State
from ..arclength._motion import AbstractMotion

# A curve that is flatter than this is not made as wide as long.
_FLATTEST = 0.05


class InCoordinates(AbstractMotion):
    """The steps of an update in other coordinates, $x = \\text{origin} + \\text{axes} w$.

    Attributes:
        motion: The steps of flat states.
        origin: The flat state at zero.
        axes: What a unit of each coordinate is, in columns.
        inverse: The inverse of the axes.
    """

    motion: AbstractMotion
    origin: Float[Array, " m"]
    axes: Float[Array, "m m"]
    inverse: Float[Array, "m m"]
    is_map: bool = eqx.field(static=True, default=True)

    def flat(self, y: State, value: Scalar) -> Float[Array, " m"]:
        return self.inverse @ (self.motion.flat(y, value) - self.origin)

    def residual(self, x: Float[Array, " m"], value: Scalar) -> Float[Array, " m"]:
        return self.inverse @ self.motion.residual(self.origin + self.axes @ x, value)

    def state(self, x: Float[Array, " m"]) -> State:
        return self.motion.state(self.origin + self.axes @ x)

    def coordinates(self, rows: np.ndarray) -> np.ndarray:
        """Those of flat states."""
        return (np.asarray(rows) - np.asarray(self.origin)) @ np.asarray(self.inverse).T

    def states(self, rows: np.ndarray) -> np.ndarray:
        """The flat states of rows of coordinates."""
        return np.asarray(self.origin) + np.asarray(rows) @ np.asarray(self.axes).T


def around_curve(motion: AbstractMotion, rows: np.ndarray, size: float) -> InCoordinates:
    """Coordinates around the middle of a curve in which it is as wide as it is long.

    Args:
        motion: The steps.
        rows: Flat states along the curve.
        size: What is a large change of the state.
    """
    middle = np.mean(rows, axis=0)
    _, lengths, directions = np.linalg.svd(rows - middle, full_matrices=False)
    widths = np.ones(len(lengths))
    widths[:2] = np.maximum(lengths[:2] / lengths[0], _FLATTEST)
    widths[:2] /= np.sqrt(np.mean(widths[:2] ** 2))
    return _made(motion, middle, size * directions.T * widths, rows.dtype)


def around_point(
    motion: AbstractMotion, x: np.ndarray, matrix: np.ndarray, multiplier: complex, size: float
) -> InCoordinates:
    """Coordinates around a fixed point in which its critical pair of multipliers turns circles.

    The first two span the plane of the pair, the others what the steps near the point map to itself beside it.

    Args:
        motion: The steps.
        x: The point, a flat state.
        matrix: The Jacobian of the steps there.
        multiplier: The critical one.
        size: What is a large change of the state.
    """
    values, vectors = np.linalg.eig(matrix)
    right = vectors[:, np.argmin(np.abs(values - multiplier))]
    values, vectors = np.linalg.eig(matrix.T)
    left = vectors[:, np.argmin(np.abs(values - multiplier))]
    plane = np.stack([np.real(right), -np.imag(right)], axis=1)
    # What both parts of the left eigenvector vanish on.
    _, _, rows = np.linalg.svd(np.stack([np.real(left), np.imag(left)]))
    axes = np.concatenate([plane / np.linalg.norm(plane), rows[2:].T], axis=1)
    return _made(motion, x, size * axes, x.dtype)


def _made(motion: AbstractMotion, origin: np.ndarray, axes: np.ndarray, dtype: np.dtype) -> InCoordinates:
    parts = [jnp.asarray(part, dtype) for part in (origin, axes, np.linalg.inv(axes))]
    return InCoordinates(motion=motion, origin=parts[0], axes=parts[1], inverse=parts[2])
