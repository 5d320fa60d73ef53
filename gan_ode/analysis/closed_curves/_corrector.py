"""A closed curve that the steps of an update map to itself, from a guess, by Newton's method across the curve."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..._lowering import jit_quickly
from ..._types import Scalar
from ..arclength._motion import AbstractMotion
from ._fourier import Fourier, nodes, smoothed, spread_by, weights_at

# Newton's method stops at a step this short, whose square is rounding; what does not shrink any more this near has come
# to rounding as well.
_ENOUGH, _NEAR = {4: 1e-4, 8: 1e-9}, {4: 1e-3, 8: 1e-6}
_MOST_STEPS, _CONTRACTS = 12, 0.7
# Corners are rounded to about so many harmonics where nodes are moved across.
_ROUNDED = 4.0
# Steps to the nearest place of the curve.
_PROJECTING = 6


class Units(eqx.Module):
    r"""Units in which a branch of closed curves is measured.

    The product of two changes is $\frac1N \sum_j \delta u_j \cdot \delta v_j / \text{size}^2$ over the nodes, plus that
    of the shares of the parameter's range.

    Attributes:
        size: What is a large change of the state.
        start: Where the parameter's range begins.
        width: Its length, negative where it falls.
    """

    size: Scalar
    start: Scalar
    width: Scalar

    def value(self, share: Array) -> Array:
        return self.start + self.width * share

    def within(self, value: Array) -> Array:
        """The value, or the end of the range that it is beyond: there may be no field outside."""
        ends = jnp.stack([self.start, self.start + self.width])
        return jnp.clip(value, jnp.min(ends), jnp.max(ends))

    def product(self, left: "Change", right: "Change") -> Scalar:
        rows = jnp.mean(jnp.sum(left.rows * right.rows, axis=1)) / self.size**2
        return rows + left.share * right.share


class Change(eqx.Module):
    """A closed curve and a value of the parameter, or a change of both.

    Attributes:
        rows: States with what else is mapped, at evenly spaced phases, shape `(nodes, m)`; their number is odd.
        share: The parameter as a share of its range.
    """

    rows: Float[Array, "nodes m"]
    share: Scalar

    def moved(self, step: Scalar, along: "Change") -> "Change":
        return jax.tree.map(lambda a, b: a + step * b, self, along)


class Place(eqx.Module):
    """A point of a branch of closed curves.

    Attributes:
        curve: The curve.
        tangent: The branch's unit tangent; it moves nodes across the curve alone.
        images: The phases to which the nodes are mapped.
        jacobians: Of the map at the nodes, shape `(nodes, m, m)`.
        velocities: Derivatives of the curve by its phase, at the nodes and at their images, shape `(2, nodes, m)`.
        ok: Whether Newton's method converged.
        finite: Whether the map was finite all the way.
        contraction: By how much Newton's first steps shrank; small for a good guess.
        residual: How far between two nodes the curve is mapped away from itself, at most, by its amplitude.
        amplitude: The mean distance of the nodes from their middle.
        overlap: The product of their deviations with those of the curve before: negative where a point was passed.
        turned: The cosine of the angle between the direction that was searched along, and the tangent.
    """

    curve: Change
    tangent: Change
    images: Float[Array, " nodes"]
    jacobians: Float[Array, "nodes m m"]
    velocities: Float[Array, "2 nodes m"]
    ok: Bool[Array, ""]
    finite: Bool[Array, ""]
    contraction: Scalar
    residual: Scalar
    amplitude: Scalar
    overlap: Scalar
    turned: Scalar


class _Linear(eqx.Module):
    """The equations near a curve: what each node's image is off it, in the directions across, and their derivatives.

    Attributes:
        left: What is off, shape `(nodes, m - 1)`.
        matrix: Its derivatives by shifts of the nodes across the curve, `(nodes, m - 1, nodes, m - 1)`.
        by_share: That by the parameter.
        frames: The directions across the curve at the nodes, `(nodes, m, m - 1)`.
        images: Phases of the images.
        jacobians: Of the map.
        velocities: At the nodes and at the images.
    """

    left: Array
    matrix: Array
    by_share: Array
    frames: Array
    images: Array
    jacobians: Array
    velocities: Array


def _stepped(motion: AbstractMotion, x: Array, value: Scalar) -> Array:
    return x + motion.residual(x, value)


def _across(velocities: Float[Array, "places m"]) -> Float[Array, "places m others"]:
    """Orthonormal directions across a curve."""
    if velocities.shape[1] == 2:
        speeds = jnp.linalg.norm(velocities, axis=1, keepdims=True)
        normals = jnp.stack([-velocities[:, 1], velocities[:, 0]], axis=1)
        return (normals / jnp.where(speeds > 0, speeds, 1))[:, :, None]
    return jnp.linalg.qr(velocities[:, :, None], mode="complete")[0][:, :, 1:]


def _rounded(velocities: Float[Array, "nodes m"]) -> Float[Array, "nodes m"]:
    """The directions of a curve with rounded corners, across which nodes do not run together."""
    coefficients = jnp.fft.rfft(velocities, axis=0)
    kept = np.exp(-((np.arange(len(coefficients)) / _ROUNDED) ** 2))
    return jnp.fft.irfft(kept[:, None] * coefficients, len(velocities), axis=0)


def _nearest(curve: Fourier, rows: Array, states: Float[Array, "places m"]) -> Array:
    """The phases of the places of a curve that are nearest to some states."""
    apart = jnp.sum((states[:, None] - rows[None]) ** 2, axis=-1)
    phases = jnp.asarray(nodes(len(rows)), rows.dtype)[jnp.argmin(apart, axis=1)]

    def nearer(_: Array, phases: Array) -> Array:
        there, velocities = curve.at(phases)
        speeds = jnp.sum(velocities**2, axis=1)
        return phases + jnp.sum((states - there) * velocities, axis=1) / jnp.where(speeds > 0, speeds, jnp.inf)

    # In a loop, which is compiled once.
    return jax.lax.fori_loop(0, _PROJECTING, nearer, phases)


def _mapped(motion: AbstractMotion, units: Units, x: Array, share: Scalar) -> tuple[Array, Array]:
    """Where a state is mapped to, and its slope in the parameter.

    Beyond the range it goes on as a straight line: there may be no field, and Newton's method is to see no kink.
    """
    asked = units.value(share)
    value = units.within(asked)
    there, by_value = jax.jvp(lambda v: _stepped(motion, x, v), (value,), (jnp.ones_like(value),))
    return there + (asked - value) * by_value, by_value


def _linear(motion: AbstractMotion, units: Units, curve: Change) -> _Linear:
    rows, value = curve.rows, units.within(units.value(curve.share))
    num = len(rows)

    def at(x: Array) -> tuple[Array, Array, Array]:
        there, by_value = _mapped(motion, units, x, curve.share)
        return there, jax.jacfwd(lambda x: _stepped(motion, x, value))(x), by_value * units.width

    there, jacobians, by_share = jax.vmap(at)(rows)
    fourier = Fourier.through(rows)
    images = _nearest(fourier, rows, there)
    on_it, arriving = fourier.at(images)
    _, leaving = fourier.at(jnp.asarray(nodes(num), rows.dtype))
    frames, others = _across(_rounded(leaving)), _across(arriving)
    own = jnp.einsum("jpa,jpq,jqb->jab", others, jacobians, frames)
    matrix = -jnp.einsum("jk,jpa,kpb->jakb", weights_at(images, num), others, frames)
    here = jnp.arange(num)
    matrix = matrix.at[here, :, here, :].add(own)
    return _Linear(
        left=jnp.einsum("jpa,jp->ja", others, there - on_it),
        matrix=matrix,
        by_share=jnp.einsum("jpa,jp->ja", others, by_share),
        frames=frames,
        images=images,
        jacobians=jacobians,
        velocities=jnp.stack([leaving, arriving]),
    )


def _solved(linear: _Linear, units: Units, border: Change, gap: Scalar) -> tuple[Change, Change]:
    """Newton's step, and the solution of the equations with 0 but for the 1 of the last row."""
    num, others = linear.left.shape
    size = num * others
    last = jnp.einsum("jpa,jp->ja", linear.frames, border.rows).ravel() / (num * units.size**2)
    matrix = jnp.block(
        [
            [linear.matrix.reshape(size, size), linear.by_share.reshape(size, 1)],
            [last[None], border.share[None, None]],
        ]
    )
    step = jnp.append(-linear.left.ravel(), gap)
    right = jnp.stack([step, jnp.zeros_like(step).at[-1].set(1)], axis=1)
    found = jnp.linalg.solve(matrix, right)

    def change(column: Array) -> Change:
        shifts = column[:-1].reshape(num, others)
        return Change(jnp.einsum("jpa,ja->jp", linear.frames, shifts), column[-1])

    return change(found[:, 0]), change(found[:, 1])


class _Search(eqx.Module):
    """Where Newton's method is.

    Attributes:
        curve: The curve.
        tangent: The branch's tangent at the one before, or at this one if it is done.
        images: Phases of the images, likewise.
        jacobians: Of the map, likewise.
        velocities: At the nodes and at the images, likewise.
        shift: The length of the last step.
        count: The number of steps.
        done: Whether the last step was rounding.
        failed: Whether there is no use in going on.
        finite: Whether all was finite.
        contraction: By how much the second step was shorter than the first.
    """

    curve: Change
    tangent: Change
    images: Array
    jacobians: Array
    velocities: Array
    shift: Scalar
    count: Int[Array, ""]
    done: Bool[Array, ""]
    failed: Bool[Array, ""]
    finite: Bool[Array, ""]
    contraction: Scalar


def _correct(motion: AbstractMotion, units: Units, before: Change, guess: Change, border: Change) -> Place:
    """The closed curve in the hyperplane through a guess, across a direction of length 1."""
    zero, itemsize = jnp.zeros((), guess.rows.dtype), max(guess.rows.dtype.itemsize, 4)
    num, m = guess.rows.shape

    def advance(search: _Search) -> _Search:
        curve = search.curve
        linear = _linear(motion, units, curve)
        gap = units.product(border, jax.tree.map(lambda a, b: a - b, guess, curve))
        step, tangent = _solved(linear, units, border, gap)
        shift = jnp.sqrt(units.product(step, step))
        finite, settled = jnp.isfinite(shift), search.shift <= _ENOUGH[itemsize]
        ratio = shift / search.shift
        stuck = (ratio > _CONTRACTS) & ~settled
        near = shift <= _NEAR[itemsize]
        # All that is known at the end is known at the curve itself, in the same pass.
        done = finite & (settled | (stuck & near))
        return _Search(
            jax.tree.map(lambda a, b: jnp.where(finite & ~done, a + b, a), curve, step),
            tangent,
            linear.images,
            linear.jacobians,
            linear.velocities,
            shift,
            search.count + 1,
            done,
            ~finite | (stuck & ~near) | (shift > 10),
            search.finite & finite,
            jnp.where(search.count == 1, ratio, search.contraction),
        )

    def goes_on(search: _Search) -> Array:
        return ~search.done & ~search.failed & (search.count < _MOST_STEPS)

    no, yes = jnp.asarray(False), jnp.asarray(True)
    start = _Search(
        guess,
        guess,
        jnp.zeros(num, zero.dtype),
        jnp.zeros((num, m, m), zero.dtype),
        jnp.zeros((2, num, m), zero.dtype),
        zero + jnp.inf,
        jnp.asarray(0),
        no,
        no,
        yes,
        zero,
    )
    end = jax.lax.while_loop(goes_on, advance, start)
    length = jnp.sqrt(units.product(end.tangent, end.tangent))
    tangent = jax.tree.map(lambda leaf: leaf / jnp.where(length > 0, length, 1), end.tangent)
    swing, old = (each - jnp.mean(each, axis=0) for each in (end.curve.rows, before.rows))
    amplitude = jnp.sqrt(jnp.mean(jnp.sum(swing**2, axis=1)))
    return Place(
        curve=end.curve,
        tangent=tangent,
        images=end.images,
        jacobians=end.jacobians,
        velocities=end.velocities,
        ok=end.done & jnp.isfinite(length),
        finite=end.finite,
        contraction=end.contraction,
        residual=_between(motion, units, end.curve) / jnp.where(amplitude > 0, amplitude, 1),
        amplitude=amplitude,
        overlap=jnp.mean(jnp.sum(swing * old, axis=1)),
        turned=units.product(border, tangent),
    )


def _between(motion: AbstractMotion, units: Units, curve: Change) -> Scalar:
    """How far off the curve it is mapped in the middle between two nodes, at most."""
    num = len(curve.rows)
    fourier = Fourier.through(curve.rows)
    states, _ = fourier.at(jnp.asarray(nodes(num) + jnp.pi / num, curve.rows.dtype))
    there = jax.vmap(lambda x: _mapped(motion, units, x, curve.share)[0])(states)
    on_it, _ = fourier.at(_nearest(fourier, curve.rows, there))
    return jnp.max(jnp.linalg.norm(there - on_it, axis=1))


@jit_quickly
def follow(
    motion: AbstractMotion,
    units: Units,
    here: Change,
    tangent: Change,
    density: Float[Array, " nodes"],
    step: Scalar,
    border: Change,
) -> Place:
    """A closed curve beside another one: a step along its tangent, and from there by Newton's method.

    The nodes are first spread anew. One program does all that is done along a branch, so that it compiles once for a
    number of nodes.

    Args:
        motion: The steps.
        units: The units.
        here: A curve, or a guess at the first one.
        tangent: Where to go from it.
        density: How densely its places are to have nodes.
        step: How far.
        border: The direction across which the new one is searched.

    Returns:
        The new place.
    """
    weights = weights_at(spread_by(density), len(here.rows))
    here, tangent, border = (Change(smoothed(weights @ each.rows), each.share) for each in (here, tangent, border))
    return _correct(motion, units, here, here.moved(step, tangent), border)
