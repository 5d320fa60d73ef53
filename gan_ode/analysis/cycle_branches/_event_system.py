r"""The equations of an event on a branch of cycles: those of the cycle, and one or two more that are regular there.

The linear map that is singular at the event is that of displacements $w$ of the cycle which come back as $\mu w$: of a
fold with $\mu = 1$, together with the period and the phase; of a flip with $\mu = -1$; of a torus with
$\mu = e^{i\theta}$, where $\theta$ is one unknown more. It is bordered by a column and a row, and the last unknown of
the bordered system with the right-hand side (0, 1) vanishes. Its derivative is that of the product with a displacement,
seen by the vector from the left, so that no derivative goes through a solved system.

Parameters are a vector: one for an event, two for a curve of events.

Source: Govaerts (2000), Numerical Methods for Bifurcations of Dynamical Equilibria, chapters 3 and 4; Doedel, Govaerts
and Kuznetsov (2003), SIAM J. Numer. Anal. 41, 401.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..._lowering import jit_quickly
from ..._types import Scalar
from ._branch import CycleEventKind
from ._collocation import INNER, WEIGHTS

# The null vectors of the first matrix are found by so many solutions, each bordered by the last ones.
_SHARPENED = 3


class Unknowns(eqx.Module):
    """What Newton's method solves for.

    Attributes:
        x: Where each interval begins, by the size.
        k: Derivatives by the share of the period at the Gauss points, by the size.
        log_period: The logarithm of the period.
        shares: The parameters, as shares of their ranges.
        angle: Of a torus, the angle of its multipliers; else zero, and none of the unknowns.
    """

    x: Float[Array, "intervals n"]
    k: Float[Array, "intervals 4 n"]
    log_period: Scalar
    shares: Float[Array, " parameters"]
    angle: Scalar


class EventOfCycles(eqx.Module):
    """An event on a branch of cycles on a mesh.

    Attributes:
        velocity: From a flat state and the parameters to the velocity.
        kind: What the event is.
        mesh: Where intervals begin and end, as shares of the period.
        near: A cycle near it, along which the cycle is not shifted.
        size: What is a large change of the state.
        starts: Where the parameters' ranges begin.
        widths: How long they are.
    """

    velocity: Callable[[Array, Array], Array]
    kind: CycleEventKind = eqx.field(static=True)
    mesh: Float[Array, " ends"]
    near: Unknowns
    size: Scalar
    starts: Float[Array, " parameters"]
    widths: Float[Array, " parameters"]

    def flat(self, at: Unknowns) -> Float[Array, " z"]:
        parts = [at.x.ravel(), at.k.ravel(), at.log_period[None], at.shares]
        return jnp.concatenate([*parts, at.angle[None]] if self.kind == "torus" else parts)

    def unknowns(self, z: Float[Array, " z"]) -> Unknowns:
        x, k, many = self.near.x, self.near.k, len(self.starts)
        ends = np.cumsum([x.size, k.size, 1, many])
        angle = z[ends[3]] if self.kind == "torus" else self.near.angle
        return Unknowns(
            z[: ends[0]].reshape(x.shape),
            z[ends[0] : ends[1]].reshape(k.shape),
            z[ends[1]],
            z[ends[2] : ends[3]],
            angle,
        )

    @property
    def num_of_cycle(self) -> int:
        """How many unknowns are those of the cycle and its period."""
        return self.near.x.size + self.near.k.size + 1

    def parameters(self, at: Unknowns) -> Array:
        return self.starts + self.widths * at.shares

    def inside(self, x: Array, k: Array) -> Array:
        """Values at the Gauss points."""
        return x[:, None] + jnp.diff(self.mesh)[:, None, None] * jnp.einsum("jl,iln->ijn", INNER, k)

    def cycle(self, z: Float[Array, " z"]) -> Float[Array, " rows"]:
        """What vanishes at a cycle, with its phase."""
        at = self.unknowns(z)
        states, parameters = self.inside(at.x, at.k), self.parameters(at)
        fast = jax.vmap(jax.vmap(lambda x: self.velocity(self.size * x, parameters)))(states) / self.size
        old = self.inside(self.near.x, self.near.k)
        shares = jnp.diff(self.mesh)[:, None, None] * WEIGHTS[None, :, None]
        unit = jnp.sum(shares * self.near.k**2)
        phase = jnp.sum(shares * self.near.k * (states - old)) / jnp.sqrt(jnp.where(unit > 0, unit, 1))
        turned = self._closing(at.x, at.k, jnp.ones((), at.x.dtype))
        return jnp.concatenate([(at.k - jnp.exp(at.log_period) * fast).ravel(), turned.ravel(), phase[None]])

    def _closing(self, x: Array, k: Array, multiplier: Array) -> Array:
        ends = x + jnp.einsum("i,j,ijn->in", jnp.diff(self.mesh), WEIGHTS, k)
        following = jnp.roll(x, -1, axis=0)
        return following.at[-1].multiply(multiplier) - ends

    def product(self, z: Float[Array, " z"], w: Array) -> Array:
        """The singular map times a displacement."""
        if self.kind == "fold of cycles":
            rest = jnp.zeros(z.size - self.num_of_cycle, z.dtype)
            return jax.jvp(self.cycle, (z,), (jnp.concatenate([w, rest]),))[1]
        at = self.unknowns(z)
        multiplier = jnp.exp(1j * at.angle) if jnp.iscomplexobj(w) else -jnp.ones((), z.dtype)
        x, k = w[: at.x.size].reshape(at.x.shape), w[at.x.size :].reshape(at.k.shape)
        parameters = self.parameters(at)

        def along(state: Array, change: Array) -> Array:
            return jax.jvp(lambda x: self.velocity(self.size * x, parameters), (state,), (change,))[1] / self.size

        states, changes = self.inside(at.x, at.k), self.inside(x, k)
        turn = jax.vmap(jax.vmap(along))
        fast = turn(states, changes.real)
        if jnp.iscomplexobj(w):
            fast = jax.lax.complex(fast, turn(states, changes.imag))
        closing = self._closing(x, k, multiplier)
        return jnp.concatenate([(k - jnp.exp(at.log_period) * fast).ravel(), closing.ravel()])

    def seen(self, z: Float[Array, " z"], left: Array, right: Array) -> Float[Array, " more"]:
        """The product with a displacement, seen from the left: of a pair its real and its imaginary part."""
        value = jnp.vdot(left, self.product(z, right))
        return jnp.stack([value.real, value.imag]) if jnp.iscomplexobj(value) else value[None]


class Linear(eqx.Module):
    """The equations near a point.

    Attributes:
        height: What is to vanish.
        slope: Its derivative by the unknowns, with one column more than rows for each parameter beyond the first.
        left: The vector that the singular map takes to zero from the left, as it is bordered.
        right: The one from the right.
    """

    height: Float[Array, " rows"]
    slope: Float[Array, "rows z"]
    left: Array
    right: Array


@jit_quickly
def linearized(system: EventOfCycles, z: Array, borders: tuple[Array, Array], fresh: Array) -> Linear:
    """The equations of an event and their derivative; constants to JAX.

    Args:
        system: The event.
        z: Where.
        borders: A column and a row near the null vectors.
        fresh: Whether to make the borders sharper first.
    """
    z = jax.lax.stop_gradient(z)
    rows = jax.jacfwd(system.cycle)(z)
    if system.kind == "fold of cycles":
        matrix = rows[:, : system.num_of_cycle]
    else:
        like = jnp.eye(system.num_of_cycle - 1, dtype=borders[0].dtype)
        matrix = jax.vmap(lambda w: system.product(z, w), out_axes=-1)(like)
    zero = jnp.zeros((1, 1), matrix.dtype)
    aim = jnp.zeros(len(matrix) + 1, matrix.dtype).at[-1].set(1)

    def solved(borders: tuple[Array, Array]) -> tuple[Array, Array]:
        column, row = borders
        bordered = jnp.block([[matrix, column[:, None]], [row.conj()[None], zero]])
        factors = jax.scipy.linalg.lu_factor(bordered)
        return jax.scipy.linalg.lu_solve(factors, aim), jax.scipy.linalg.lu_solve(factors, aim, trans=2)

    def sharper(_: Any, borders: tuple[Array, Array]) -> tuple[Array, Array]:
        right, left = solved(borders)
        return left[:-1] / jnp.linalg.norm(left[:-1]), right[:-1] / jnp.linalg.norm(right[:-1])

    borders = jax.lax.fori_loop(0, jnp.where(fresh, _SHARPENED, 0), sharper, borders)
    right, left = solved(borders)
    height = jnp.stack([right[-1].real, right[-1].imag]) if jnp.iscomplexobj(right) else right[-1:]
    more = -jax.jacrev(lambda z: system.seen(z, left[:-1], right[:-1]))(z)
    whole = jnp.concatenate([system.cycle(z), height])
    return Linear(whole, jnp.concatenate([rows, more]), left[:-1], right[:-1])


def first_borders(system: EventOfCycles) -> tuple[Array, Array]:
    """Borders before anything is known: along no direction in particular."""
    num, random = system.num_of_cycle - (system.kind != "fold of cycles"), np.random.default_rng(0)
    dtype = system.near.x.dtype
    column, row = random.normal(size=(2, num)) / np.sqrt(num)
    kind = jnp.result_type(dtype, jnp.complex64) if system.kind == "torus" else dtype
    return jnp.asarray(column, kind), jnp.asarray(row, kind)


def equations(system: EventOfCycles, z: Array, found: Linear) -> Array:
    """The equations at fixed unknowns, differentiable in what the velocity is made of, up to a constant."""
    left, right = jax.lax.stop_gradient((found.left, found.right))
    return jnp.concatenate([system.cycle(z), -system.seen(z, left, right)])
