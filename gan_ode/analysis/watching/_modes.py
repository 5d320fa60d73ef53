"""The leading mode of a training step, followed from reading to reading by a few products with its Jacobian."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Complex, Float

from ..._types import Args, Field, Scalar, State
from ...updates import AbstractUpdate

# Vectors that a search begins with: the two of the mode, and where the step moves to.
START = 3
# A mode is led by how it grows in a step, ln|m|, and by how far it turns, a fourth of |arg m|: so a mode that keeps
# less than exp(-2 pi / 4), a fifth, of its size over a turn counts less than one that does nothing.
_TURNING = 0.25
# What remains of a vector after what lies in the space is taken away, in roundings of its length: nothing new.
_NOTHING_NEW = 10
_LEAST_CHANGE = 1e-6


class Mode(eqx.Module):
    """An approximate eigenvector of a step's Jacobian.

    Attributes:
        change: Its multiplier minus one.
        residual: What the Jacobian makes of the unit vector beyond the multiplier times it.
        space: The real and the imaginary part, in flat form; what the next search begins with.
        share: The part of the step that lies in the mode's plane: the cosine of the angle between the two.
    """

    change: Complex[Array, ""]
    residual: Scalar
    space: Float[Array, "2 n"]
    share: Scalar


class Step(eqx.Module):
    """A step of training as a map of flat vectors: the state, then the numbers of the memory.

    Attributes:
        here: The vector at which the step is linearized.
        moved: How far the step moves it.
        scales: What each number is multiplied by, since those of the memory have other units than the state.
        size: How many numbers the state has.
        change: The Jacobian minus one, times a scaled vector.
    """

    here: Float[Array, " n"]
    moved: Float[Array, " n"]
    scales: Float[Array, " n"]
    size: int = eqx.field(static=True)
    change: Callable[[Array], Array]


def linearized(
    update: AbstractUpdate, field: Field, t: Scalar, y: State, args: Args, memory: Any, leading: Complex[Array, ""]
) -> Step:
    """The step of an update, linearized at the state and the memory that training has reached.

    Args:
        update: The update.
        field: The field.
        t: Time.
        y: The state.
        args: Handed to the field.
        memory: What the update remembers.
        leading: The leading multiplier minus one, as far as it is known: see `_scales`.
    """
    numbers, rest = eqx.partition(memory, eqx.is_inexact_array)
    here, restore = ravel_pytree((y, numbers))

    def step(vector: Array) -> Array:
        there, remembered = restore(vector)
        there, after = update.step(field, t, there, args, eqx.combine(remembered, rest))
        return ravel_pytree((there, eqx.filter(after, eqx.is_inexact_array)))[0].astype(here.dtype)

    after, along = jax.linearize(step, here)
    moved, size = after - here, ravel_pytree(y)[0].size
    scales = _scales(restore(after)[1], moved[:size], jnp.abs(leading))

    def change(vector: Array) -> Array:
        image = scales * along(vector / scales)
        # A parameter without a gradient has a second moment of zero in Adam, whose root has no derivative: it rests.
        return jnp.where(jnp.isfinite(image), image, vector) - vector

    return Step(here, moved, scales, size, change)


def _scales(memory: Any, moved: Float[Array, " size"], change: Scalar) -> Float[Array, " n"]:
    """One for the state, and for each array of the memory what makes products see both alike.

    A momentum m of a mode with multiplier 1 + c is about c times the mode, in units of the step. The step moves the
    state by m, and the state moves m by about c: divided by the root of c these are equal, and the Jacobian is as near
    to a normal matrix as it gets.
    """
    length = _root_mean_square(moved) / jnp.sqrt(jnp.clip(change, _LEAST_CHANGE, 1.0))

    def scale(leaf: Array) -> Array:
        size = _root_mean_square(leaf)
        usable = (size > 0) & (length > 0)
        return jnp.full(leaf.size, jnp.where(usable, length / jnp.where(usable, size, 1.0), 1.0), moved.dtype)

    return jnp.concatenate([jnp.ones_like(moved), *map(scale, jax.tree.leaves(memory))])


def _root_mean_square(leaf: Array) -> Array:
    largest = jnp.max(jnp.abs(leaf), initial=0.0)
    unit = jnp.where(largest > 0, largest, 1.0)
    return unit * jnp.sqrt(jnp.mean(jnp.square(leaf / unit)))


def follow(step: Step, space: Float[Array, "2 n"], num_products: int) -> Mode:
    """Searches the leading mode around where it was, by a few steps of a block Krylov method.

    The space is that of the mode, of the step itself (what is moving now), and of what products add to them. Its best
    approximate eigenvector is by the Rayleigh-Ritz method; the residual is measured, not estimated.

    Args:
        step: The step.
        space: Where the mode was.
        num_products: How many products.
    """
    moved = step.scales * step.moved
    start = jnp.concatenate([step.scales * space, moved[None]])
    basis, images = _searched(step, start, min(num_products, moved.size))
    # A row that the space lacks is no mode: it is given the multiplier zero.
    lacking = jnp.sum(basis**2, axis=1) < 0.5
    values, coefficients = jnp.linalg.eig(basis @ images.T - jnp.diag(lacking.astype(basis.dtype)))
    order = jnp.argsort(-_score(values))
    first, second = order[0], order[1 % order.size]
    value, coefficient = values[first], coefficients[:, first]
    parts = jnp.stack([coefficient.real, coefficient.imag])
    real, imag = parts @ basis
    a, b = value.real, value.imag
    left = parts @ images - jnp.stack([a * real - b * imag, a * imag + b * real])
    # Beside a mode that does not turn the next one is kept.
    other = jnp.where(b == 0, coefficients[:, second].real @ basis, imag)
    kept = jnp.stack([real, other]) / step.scales
    lengths = jnp.linalg.norm(kept, axis=1, keepdims=True)
    share = _share(step.moved[: step.size], jnp.stack([real, jnp.where(b == 0, 0.0, imag)])[:, : step.size])
    residual = jnp.linalg.norm(left) / jnp.sqrt(jnp.sum(real**2) + jnp.sum(imag**2))
    return Mode(value, residual, kept / jnp.where(lengths > 0, lengths, 1.0), share)


def _score(changes: Complex[Array, " m"]) -> Float[Array, " m"]:
    return log_growth(changes) + _TURNING * turn(changes)


def log_growth(change: Complex[Array, "*values"]) -> Float[Array, "*values"]:
    """The logarithm of a multiplier's modulus, exact where the multiplier is close to one."""
    return 0.5 * jnp.log1p(2 * change.real + change.real**2 + change.imag**2)


def turn(change: Complex[Array, "*values"]) -> Float[Array, "*values"]:
    """The angle by which a mode turns in a step."""
    return jnp.abs(jnp.arctan2(change.imag, 1 + change.real))


def _searched(step: Step, start: Float[Array, "start n"], num: int) -> tuple[Float[Array, "m n"], Float[Array, "m n"]]:
    """An orthonormal basis, some rows of it perhaps zero, and what the change in a step makes of each row."""
    nothing_new = _NOTHING_NEW * jnp.finfo(start.dtype).eps

    def added(basis: Array, row: Any, vector: Array) -> Array:
        length = jnp.linalg.norm(vector)
        rest = vector
        # Twice, since once leaves rounding of what is taken away.
        for _ in range(2):
            rest = rest - (basis @ rest) @ basis
        left = jnp.linalg.norm(rest)
        new = left > nothing_new * length
        rest = jnp.where(new, rest / jnp.where(new, left, 1.0), 0.0)
        # A row that is not there is out of range, and is dropped.
        return basis.at[row].set(rest, mode="drop")

    def one(j: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        basis, images = carry
        image = step.change(basis[j])
        return added(basis, j + len(start), image), images.at[j].set(image)

    basis = jnp.zeros((num, start.shape[1]), start.dtype)
    for row in range(min(num, len(start))):
        basis = added(basis, row, start[row])
    return jax.lax.fori_loop(0, num, one, (basis, jnp.zeros_like(basis)))


def _share(moved: Float[Array, " size"], plane: Float[Array, "2 size"]) -> Scalar:
    """The cosine of the angle between a vector and a plane, by an orthonormal basis of it."""
    first = plane[0] / _positive(jnp.linalg.norm(plane[0]))
    second = plane[1]
    # Twice, since once leaves rounding of what is taken away; a plane that is a line leaves nothing else.
    for _ in range(2):
        second = second - (first @ second) * first
        second = second / _positive(jnp.linalg.norm(second))
    return jnp.minimum(jnp.hypot(first @ moved, second @ moved) / jnp.linalg.norm(moved), 1.0)


def _positive(length: Scalar) -> Scalar:
    return jnp.where(length > 0, length, 1.0)
