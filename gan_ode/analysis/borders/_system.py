r"""The equations of a curve of events: those of the equilibrium, and one or two more that say that it is an event.

One real eigenvalue (fold, flip): the matrix that is singular is bordered by its last singular vectors, and the last
unknown of the bordered system with the right-hand side (0, 1) vanishes. A pair: $J^2 + \kappa I$ of a field, with
$\kappa = \omega^2$, or $A^2 - 2 k A + I$ of a map, with $k = \cos\theta$, has a null plane. It is bordered by two rows
and columns; what is left over is, by the theorem of Cayley and Hamilton, $(\mathrm{tr})\,J_c + (\kappa - \det) I$ with
the pair's own matrix $J_c$, and so gives two equations. They are regular at $\kappa = 0$ and at $k = \pm 1$ too, where
the pair meets on the real axis.

The borders are held as constants when derivatives are taken: the zeros do not depend on them.

Source: Govaerts (2000), Numerical Methods for Bifurcations of Dynamical Equilibria, chapter 4; Kuznetsov (2004),
section 10.3.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._types import Scalar, State
from ..arclength._extended import EventKind
from ..arclength._motion import AbstractMotion
from ._plane import Plane


class EventSystem(AbstractMotion):
    """A curve of events as a branch: its flat state holds the equilibrium, the first parameter, and of a pair its
    frequency; its parameter is the second one.

    Attributes:
        plane: The equations of the equilibrium.
        kind: What the event is.
        start: Where the first parameter's range begins.
        width: How long it is.
        size: What is a large change of the state.
        pace: The unit of eigenvalues: of a map 1.
    """

    plane: Plane
    kind: EventKind = eqx.field(static=True)
    start: Scalar
    width: Scalar
    size: Scalar
    pace: Scalar
    is_map: bool = eqx.field(static=True, default=False)

    @property
    def has_pair(self) -> bool:
        return self.kind in ("hopf", "neimark-sacker")

    def parts(self, u: Float[Array, " u"]) -> tuple[Float[Array, " m"], Scalar, Scalar]:
        """The flat state of the equilibrium, the first parameter, and $\\kappa$ or $k$ (zero if there is no pair)."""
        if not self.has_pair:
            return self.size * u[:-1], self.start + self.width * u[-1], jnp.zeros((), u.dtype)
        return self.size * u[:-2], self.start + self.width * u[-2], self.pace**2 * u[-1]

    def joined(self, x: Float[Array, " m"], first: Scalar, pair: Scalar) -> Float[Array, " u"]:
        """The other way round."""
        share = (first - self.start) / self.width
        rest = [share, pair / self.pace**2] if self.has_pair else [share]
        return jnp.concatenate([x / self.size, jnp.stack(rest).astype(x.dtype)])

    def flat(self, y: State, value: Scalar) -> Float[Array, " u"]:
        raise NotImplementedError("A curve of events starts at an event: see `joined`.")

    def state(self, x: Float[Array, " u"]) -> State:
        return self.plane.at(self.start).state(self.parts(x)[0])

    def residual(self, x: Float[Array, " u"], value: Scalar) -> Float[Array, " u"]:
        at, first, pair = self.parts(x)
        residual, matrix = jacobian(self.plane, at, first, value)
        more = self._pair(matrix, pair) if self.has_pair else singular(matrix / self.pace, eigenvalue(self.kind))[None]
        return jnp.concatenate([residual / (self.size * self.pace), more])

    def _pair(self, matrix: Float[Array, "m m"], pair: Scalar) -> Float[Array, " 2"]:
        eye = jnp.eye(len(matrix), dtype=matrix.dtype)
        if self.kind == "hopf":
            scaled = matrix / self.pace
            return _null_plane(scaled, scaled @ scaled + pair / self.pace**2 * eye)
        step = matrix + eye
        return _null_plane(step, step @ step - 2 * pair * step + eye)


def eigenvalue(kind: EventKind) -> float:
    """The real eigenvalue of the residual's Jacobian at an event that has no pair."""
    return -2.0 if kind == "flip" else 0.0


def jacobian(
    plane: Plane, x: Float[Array, " m"], first: Scalar, second: Scalar
) -> tuple[Float[Array, " m"], Float[Array, "m m"]]:
    """The residual, and its derivative by the state, in one pass."""
    motion = plane.at(second)

    def residual(x: Array) -> Array:
        return motion.residual(x, first)

    along = jax.vmap(lambda direction: jax.jvp(residual, (x,), (direction,)), out_axes=(None, -1))
    return along(jnp.eye(x.size, dtype=x.dtype))


def singular(matrix: Float[Array, "m m"], eigenvalue: float) -> Scalar:
    """What vanishes where a matrix has an eigenvalue."""
    shifted = matrix - eigenvalue * jnp.eye(len(matrix), dtype=matrix.dtype)
    left, _, right = _still(jnp.linalg.svd(_still(shifted)))
    return _left_over(shifted, left[:, -1:], right[-1:])[1][0, 0]


def _null_plane(matrix: Float[Array, "m m"], square: Float[Array, "m m"]) -> Float[Array, " 2"]:
    """What vanishes where the second matrix, a square polynomial of the first, has a null plane."""
    left, _, right = _still(jnp.linalg.svd(_still(square)))
    columns, rows = left[:, -2:], right[-2:]
    plane, rest = _left_over(square, columns, rows)
    dual, _ = _left_over(square.T, rows.T, columns.T)
    plane, dual = _still((plane, dual))
    own = rows @ _still(matrix) @ plane
    both = -jnp.linalg.solve(dual.T @ plane, rest)
    turning = own - jnp.trace(own) / 2 * jnp.eye(2, dtype=own.dtype)
    return jnp.stack([jnp.trace(both) / 2, jnp.sum(both * turning) / jnp.sum(turning**2)])


def _left_over(matrix: Array, columns: Array, rows: Array) -> tuple[Float[Array, "m k"], Float[Array, "k k"]]:
    """Vectors that a matrix maps nearly to zero, and by how much it does not: the solution of the bordered system."""
    size, many = columns.shape
    corner = jnp.zeros((many, many), matrix.dtype)
    bordered = jnp.block([[matrix, columns], [rows, corner]])
    aim = jnp.concatenate([jnp.zeros((size, many), matrix.dtype), jnp.eye(many, dtype=matrix.dtype)])
    solved = jnp.linalg.solve(bordered, aim)
    return solved[:size], solved[size:]


def _still(tree: Any) -> Any:
    return jax.lax.stop_gradient(tree)
