from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from ..._types import Args, Scalar
from ...distributions import Quadrature
from ...games import Players
from ..statistics._energy_distance import energy_distance
from ._eigenvalue_bounds import is_zero, or_one
from ._measures import largest_change, probes, probes_of_null_space, support_speed

# An energy distance is the root of a difference, and so of rounding.
_SAME = {4: 3e-3, 8: 1e-6}
# The step to look beside the state, and what a change counts as none over its square: a change of fourth order is
# larger, one of rounding smaller.
_STEP = {4: 1e-1, 8: 1e-2}
_FLAT = {4: 1e-3, 8: 1e-6}


class Assumption(eqx.Module):
    """One assumption of the theory, as measured.

    Attributes:
        margin: How far it is from failing, or, negative, by how much it fails. An assumption that something vanishes
            has at best 0.
        strict: Whether it holds as it stands.
        relaxed: Whether it holds in the relaxed form of the paper.
        measures: The numbers that went into it, by name.
        statement: What is assumed.
    """

    margin: Scalar
    strict: Bool[Array, ""]
    relaxed: Bool[Array, ""]
    measures: dict[str, Scalar]
    statement: str = eqx.field(static=True)

    @property
    def holds(self) -> Bool[Array, ""]:
        """Whether it holds, as it stands or relaxed."""
        return self.strict | self.relaxed

    @property
    def verdict(self) -> str:
        """The same in a word; needs concrete values."""
        if bool(self.strict):
            return "holds"
        return "holds in the relaxed form" if bool(self.relaxed) else "fails"

    def __str__(self) -> str:
        numbers = ", ".join(f"{name} {float(value):.3g}" for name, value in self.measures.items())
        return f"{self.statement}: {self.verdict}, margin {float(self.margin):.3g} ({numbers})"


def realizability(game: Any, y: Players, args: Args, score: Scalar) -> Assumption:
    """(I), by the largest score on the nodes, less that of equilibrium, and the energy distance between them."""
    data, latent = game.measures(y, args)
    made = jax.vmap(lambda z: game.generate(y.generator, z))(latent.nodes)
    scores = jax.vmap(lambda x: game.discriminate(y.discriminator, x) - score)
    largest = jnp.maximum(jnp.max(jnp.abs(scores(data.nodes))), jnp.max(jnp.abs(scores(made))))
    apart = energy_distance(data, Quadrature(made, latent.weights)).astype(largest.dtype)
    off = jnp.maximum(largest, apart)
    return Assumption(
        margin=0 - off,
        strict=off <= _SAME[_size(off)],
        relaxed=jnp.asarray(False),
        measures={"largest |D| on the supports": largest, "energy distance": apart},
        statement="(I) p_G = p_data and D = 0 on the support",
    )


def curvature(slope: Scalar, bend: Scalar) -> Assumption:
    """(II), by the derivatives of the loss at 0."""
    margin = jnp.minimum(jnp.abs(slope), -bend)
    return Assumption(
        margin=margin,
        strict=margin > 0,
        relaxed=jnp.asarray(False),
        measures={"f'(0)": slope, "f''(0)": bend},
        statement="(II) f''(0) < 0 and f'(0) is not 0",
    )


def full_rank(
    game: Any,
    y: Players,
    args: Args,
    k_dd: Float[Array, "d d"],
    k_dg: Float[Array, "d g"],
    score: Scalar,
    share: Scalar,
) -> Assumption:
    """(III), by eigenvalues, and along the null spaces by steps in directions of no special kind.

    Relaxed: E_data[D^2] does not change along the null space of K_DD, nor |E_data grad D - E_G grad D|^2 along that of
    K_DG^T K_DG. Scores are less that of equilibrium. With a share of -1, for losses of differences, K_DD is a
    covariance and the variance of D takes the place of its square.
    """
    data, latent = game.measures(y, args)
    discriminator, restore_d = ravel_pytree(y.discriminator)
    generator, restore_g = ravel_pytree(y.generator)

    def squared_score(d: Array) -> Scalar:
        scores = jax.vmap(lambda x: game.discriminate(restore_d(d), x) - score)(data.nodes)
        return data.mean(jnp.square(scores)) + share * jnp.square(data.mean(scores))

    def feature(x: Array) -> Array:
        return ravel_pytree(jax.grad(game.discriminate)(y.discriminator, x))[0]

    def squared_gap(g: Array) -> Scalar:
        made = jax.vmap(lambda z: feature(game.generate(restore_g(g), z)))(latent.nodes)
        real = jax.vmap(feature)(data.nodes)
        weights = data.weights.astype(real.dtype), latent.weights.astype(made.dtype)
        return jnp.sum(jnp.square(weights[0] @ real - weights[1] @ made))

    gram = k_dg.T @ k_dg
    step, size = _STEP[_size(k_dd)], _size(k_dd)
    bent_d = largest_change(squared_score, discriminator, probes_of_null_space(k_dd), step)
    bent_g = largest_change(squared_gap, generator, probes_of_null_space(gram), step)
    d_values, g_values = jnp.linalg.eigvalsh(k_dd), jnp.linalg.eigvalsh(gram)
    d_zero, g_zero = is_zero(d_values), is_zero(g_values)
    d_smallest = jnp.min(jnp.where(d_zero, jnp.inf, d_values), initial=jnp.inf)
    g_smallest = jnp.min(jnp.where(g_zero, jnp.inf, g_values), initial=jnp.inf)
    regular = ~jnp.any(d_zero) & ~jnp.any(g_zero)
    flat = (bent_d <= _FLAT[size] * or_one(d_values[-1])) & (bent_g <= _FLAT[size] * or_one(g_values[-1]))
    smallest = jnp.minimum(d_smallest, g_smallest)
    return Assumption(
        margin=jnp.where(flat, jnp.where(jnp.isfinite(smallest), smallest, 0.0), -jnp.maximum(bent_d, bent_g)),
        strict=regular,
        relaxed=flat & ~regular,
        measures={
            "smallest eigenvalue of K_DD": jnp.min(d_values),
            "smallest eigenvalue of K_DG^T K_DG": jnp.min(g_values),
            "nullity of K_DD": jnp.sum(d_zero).astype(k_dd.dtype),
            "nullity of K_DG": jnp.sum(g_zero).astype(k_dd.dtype),
            "change along the null spaces": jnp.maximum(bent_d, bent_g),
        },
        statement="(III) K_DD and K_DG^T K_DG are regular, or flat along their null spaces",
    )


def fixed_support(game: Any, y: Players, args: Args, k_dd: Float[Array, "d d"], share: Scalar) -> Assumption:
    """(IV), by the speed of the outermost generated points.

    Relaxed: the discriminators near by that are 0 on the data stay 0 on what a moved generator makes. The latent
    nodes stand for the support; of one without bounds that is where the nodes end.
    """
    _, latent = game.measures(y, args)
    discriminator, restore_d = ravel_pytree(y.discriminator)
    generator, restore_g = ravel_pytree(y.generator)

    def generate(g: Array) -> Array:
        return jax.vmap(lambda z: game.generate(restore_g(g), z))(latent.nodes)

    def scores(d: Array, g: Array) -> Array:
        made = jax.vmap(lambda x: game.discriminate(restore_d(d), x))(generate(g))
        # A constant is no change for a loss of differences.
        return made + share * latent.mean(made)

    step, size = _STEP[_size(k_dd)], _size(k_dd)
    idle = probes_of_null_space(k_dd)
    here = scores(discriminator, generator)
    there = jax.vmap(lambda v, u: scores(discriminator + step * v, generator + step * u))
    moves = probes(generator)
    moved = jnp.stack([there(v, u) for v in (jnp.zeros_like(idle), idle) for u in (moves, -moves)])
    leak = jnp.max(jnp.abs(moved - here)) / step**2
    speed = support_speed(generate, generator)
    # A score near the data is as large as the root of K_DD.
    strict = speed <= _SAME[size]
    return Assumption(
        margin=0 - jnp.minimum(speed, leak),
        strict=strict,
        relaxed=~strict & (leak <= _FLAT[size] * or_one(jnp.sqrt(jnp.max(jnp.diag(k_dd))))),
        measures={"speed of the edge": speed, "change of D there": leak},
        statement="(IV) the support of p_G does not move, or only where D stays 0",
    )


def _size(array: Array) -> int:
    return max(array.dtype.itemsize, 4)
