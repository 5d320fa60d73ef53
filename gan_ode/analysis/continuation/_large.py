"""Branches of states too large for a dense matrix: Newton's steps by GMRES, and the leading eigenvalues alone."""

from collections.abc import Callable
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int

from ..._lowering import jit
from ..._types import Scalar, State
from ..arclength import _trace
from ..arclength._corrector import Chart
from ..arclength._motion import AbstractMotion
from ..arclength._trace import Settings
from ..spectra._arnoldi import AbstractLinearization, leading

# States of more numbers than this are followed without a dense matrix.
MOST_DENSE = 256
# Eigenvalues that are followed, the basis that they are found in, how well, and the most products it takes.
_NUM, _SUBSPACE, _TOLERANCE, _MOST_PRODUCTS = 6, 60, 1e-9, 3000
# GMRES: how well a linear system is solved, how many vectors it keeps, and how often it starts again.
_SOLVED, _VECTORS, _RESTARTS = 1e-9, 60, 10
_MOST_STEPS = 12
_ENOUGH = {4: 1e-4, 8: 1e-11}
_FIRST, _SHORTEST, _GROWS, _SHRINKS = 1e-2, 1e-6, 1.6, 0.4
# The most that two tangents may differ by in a step, and what the steps aim at.
_ANGLE, _AIM = 0.4, 0.12


class LargePoint(eqx.Module):
    """A point of a branch of large states.

    Attributes:
        z: Its coordinates.
        tangent: The unit tangent.
        ok: Whether Newton's method converged.
        finite: Whether the residual was finite.
        eigenvalues: The leading ones of the residual's Jacobian; empty until they are asked for.
    """

    z: Float[Array, " z"]
    tangent: Float[Array, " z"]
    ok: Bool[Array, ""]
    finite: Bool[Array, ""]
    eigenvalues: Complex[np.ndarray, " k"]


class OfMotion(AbstractLinearization):
    """The residual's Jacobian in the state at a point; of a map that of the map; or the transposed one.

    Attributes:
        motion: The equations.
        x: The flat state.
        value: The parameter.
        transposed: Whether it is transposed.
    """

    motion: AbstractMotion
    x: Float[Array, " m"]
    value: Scalar
    transposed: bool = eqx.field(static=True, default=False)

    def function(self) -> tuple[Float[Array, " m"], Callable[[Array], Array], Callable[[Array], State]]:
        def forward(x: Array) -> Array:
            added = self.motion.residual(x, self.value)
            return added + x if self.motion.is_map else added

        if not self.transposed:
            return self.x, forward, lambda x: x
        _, pull = jax.vjp(forward, self.x)
        return self.x, lambda w: pull(w)[0], lambda x: x


@jit
def corrected(motion: AbstractMotion, chart: Chart, guess: Array, border: Array) -> tuple[Array, Array, Array, Array]:
    """The point of a branch in the hyperplane through a guess, its tangent, whether it was found, and was finite."""

    def residual(z: Array) -> Array:
        return motion.residual(chart.flat(z), chart.value(z))

    def system(z: Array) -> tuple[Array, Callable[[Array], Array], Scalar]:
        here, along = jax.linearize(residual, z)
        # One unit for all rows, in which the border weighs as much as the equations.
        probe = along(jax.random.rademacher(jax.random.key(0), z.shape, z.dtype))
        unit = jnp.linalg.norm(probe) / jnp.sqrt(jnp.asarray(z.size, z.dtype))
        unit = jnp.where(unit > 0, unit, 1)
        return here / unit, lambda v: jnp.append(along(v) / unit, border @ v), unit

    def advance(state: tuple[Array, ...]) -> tuple[Array, ...]:
        z, _, best, count = state
        here, product, _ = system(z)
        step = solved(product, jnp.append(here, border @ (z - guess)))
        shift = jnp.linalg.norm(step)
        return z - step, shift, jnp.minimum(best, shift), count + 1

    def goes_on(state: tuple[Array, ...]) -> Array:
        z, shift, best, count = state
        shrinks = (count < 1) | (shift <= 2 * best)
        return shrinks & ((count < 1) | (shift > enough * (1 + jnp.linalg.norm(z)))) & (count < _MOST_STEPS)

    enough = _ENOUGH[max(guess.dtype.itemsize, 4)]
    infinite = jnp.full((), jnp.inf, guess.dtype)
    z, shift, best, _ = jax.lax.while_loop(goes_on, advance, (guess, infinite, infinite, jnp.asarray(0)))
    _, product, _ = system(z)
    aim = jnp.zeros_like(border).at[-1].set(1)
    tangent = border + solved(product, aim - product(border))
    # Where it has come to rounding of the linear solver it does not shrink any more.
    ok = jnp.isfinite(shift) & (best <= jnp.sqrt(enough) * 1e-2)
    return z, tangent / jnp.linalg.norm(tangent), ok, jnp.isfinite(shift)


def solved(product: Callable[[Array], Array], right: Array) -> Array:
    """The solution of a linear system that is known by its products, by GMRES."""
    found, _ = jax.scipy.sparse.linalg.gmres(product, right, tol=_SOLVED, restart=_VECTORS, maxiter=_RESTARTS)
    return found


def point(motion: AbstractMotion, chart: Chart, guess: Array, border: Array, spectrum: bool = True) -> LargePoint:
    """A point of a branch, with the leading eigenvalues of the residual there."""
    z, tangent, ok, finite = corrected(motion, chart, guess, border)
    values = leading_at(motion, chart.flat(z), chart.value(z)) if spectrum and bool(ok) else np.zeros(0, complex)
    return LargePoint(z, tangent, ok, finite, values)


def leading_at(motion: AbstractMotion, x: Array, value: Scalar, num: int = _NUM) -> np.ndarray:
    """The leading eigenvalues of the residual's Jacobian: rightmost, or of a map those of the largest multipliers."""
    pairs = pairs_at(OfMotion(motion, x, value), motion.is_map, num)
    return pairs.values - 1 if motion.is_map else pairs.values


def pairs_at(matrix: OfMotion, is_map: bool, num: int = _NUM) -> Any:
    """Eigenvalues of the map's Jacobian, or of the field's, with their vectors."""
    size = matrix.x.size
    score = np.abs if is_map else np.real
    return leading(
        matrix, min(num, size), score, subspace=min(_SUBSPACE, size), tol=_TOLERANCE, max_products=_MOST_PRODUCTS,
        key=jax.random.key(0),
    )  # fmt: skip


class LargeTrace(eqx.Module):
    """A branch of large states: its points in a row, how often it turned, and why it ended."""

    points: list[LargePoint]
    status: Int[Array, ""]


def walk(motion: AbstractMotion, chart: Chart, guess: Array, border: Array, settings: Settings) -> LargeTrace:
    """Follows a branch until its parameter leaves the range, or something else ends it; steps are made one by one."""
    here = point(motion, chart, guess, border)
    if not bool(here.ok):
        return LargeTrace([here], jnp.asarray(_trace.NO_START))
    points, step, folds, longest = [here], min(_FIRST, float(settings.longest)), 0, float(settings.longest)
    while True:
        towards, reach, at_border = _trace.aimed(here.z, here.tangent, jnp.asarray(step, here.z.dtype))
        there = point(motion, chart, here.z + reach * here.tangent, towards)
        angle = float(jnp.arccos(jnp.clip(here.tangent @ there.tangent, -1, 1)))
        inside = -1e-12 <= float(there.z[-1]) <= 1 + 1e-12
        if not (bool(there.ok) and angle <= _ANGLE and inside):
            step *= _SHRINKS
            if step < _SHORTEST:
                ended = _trace.SHORT_STEP if bool(there.finite) else _trace.OUTSIDE
                return LargeTrace(points, jnp.asarray(ended))
            continue
        folds += int(float(there.tangent[-1]) * float(here.tangent[-1]) < 0)
        points.append(there)
        here, step = there, min(step * min(_GROWS, max(_AIM / max(angle, 1e-6), _SHRINKS)), longest)
        if bool(at_border):
            return LargeTrace(points, jnp.asarray(_trace.AT_END))
        if folds > settings.max_folds:
            return LargeTrace(points, jnp.asarray(_trace.MANY_FOLDS))
        if len(points) >= settings.max_points:
            return LargeTrace(points, jnp.asarray(_trace.MANY_POINTS))


def stacked(points: list[LargePoint]) -> tuple[Array, Array, Array]:
    """Coordinates, tangents and eigenvalues of points, each as one array."""
    num = min(len(each.eigenvalues) for each in points)
    values = np.stack([each.eigenvalues[:num] for each in points])
    return (
        jnp.stack([each.z for each in points]),
        jnp.stack([each.tangent for each in points]),
        jnp.asarray(cast(Any, values)),
    )
