import abc
from typing import Any, ClassVar, TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._inherited_claims import says
from .._lowering import jit
from .._types import RealScalarLike, Scalar
from ._scores import Scores

# What a loss says of `zero_sum` and `degree` is said of these.
_METHODS = ("value", "cost", "data", "sample", "pair", "generator_pair", "f", "generator")
# Newton's method for a score at which data and samples pull alike; it doubles its digits with each step.
_STEPS = 30


class AtEquilibrium(eqx.Module):
    r"""All that the local theory needs of a loss.

    Write $h$ for what the discriminator is paid for the scores $r$ of data and $m$ of samples, so that $V = E\,h(r,
    m)$, and $g$ for what the generator pays. At equilibrium $p_G = p_{data}$, and $D$ is a constant $s^*$ at which data
    and samples pull alike: $h_r + h_m = 0$. With $K_{DD} = E[\nabla D\,\nabla D^T]$, $k = E\,\nabla D$ and $K_{DG} =
    -\partial_{\theta_G} E_z[\nabla D(G(z))]$ the Jacobian of the field is

    $$J = \begin{pmatrix} 2 (c\, K_{DD} + x\, k k^T) & s\, K_{DG} \\ p\, K_{DG}^T & 0 \end{pmatrix}, \qquad
    s = -h_m, \quad c = \tfrac12 (h_{rr} + h_{mm}), \quad x = h_{rm}, \quad p = g_m .$$

    For a loss that pays data $P(r)$ and samples $Q(m)$ this is $P'(s^*) + Q'(s^*) = 0$, $s = P'(s^*) = -Q'(s^*)$,
    $c = \tfrac12 (P''(s^*) + Q''(s^*))$ and $x = 0$; with $P(r) = f(r)$ and $Q(m) = f(-m)$ it is $s^* = 0$,
    $s = f'(0)$, $c = f''(0)$. For a payment $f(r - m)$ of pairs it is $s = f'(0)$, $c = f''(0) = -x$, at any $s^*$: the
    covariance of $\nabla D$ takes the place of $K_{DD}$. A zero-sum loss has $p = -s$.

    Source: Nagarajan and Kolter (2017), arXiv:1706.04156, theorem 3.1, for one function $f$; the others derived here.

    Attributes:
        score: $s^*$; NaN if none was found.
        slope: $s$.
        curvature: $c$.
        cross: $x$.
        generator_slope: $p$.
    """

    score: Scalar
    slope: Scalar
    curvature: Scalar
    cross: Scalar
    generator_slope: Scalar


class AbstractObjective(eqx.Module):
    """What both players are paid for the scores of data and samples. To add one, implement `value` and `cost`.

    Most losses pay data and samples by themselves (`AbstractScoreLoss`), by one function of the score (`AbstractLoss`),
    or pay pairs (`AbstractPairLoss`): make yours of those, and take this class for the others. Set `zero_sum` and
    `degree`, too. Both refer to the methods of the same class. A subclass that overrides one of these methods must set
    both again: what it inherits is not trusted, and two backward passes and many nodes are taken.

    Attributes:
        zero_sum: Whether the generator minimizes exactly the value that the discriminator maximizes; one backward pass
            then serves both players.
        degree: Degree of what the discriminator is paid as a polynomial of the scores, or None if it is none. It tells
            how many quadrature nodes are exact.
    """

    if TYPE_CHECKING:
        # To a type checker an abstract variable that a property implements is an argument.
        zero_sum: ClassVar[bool]
        degree: ClassVar[int | None]
    else:
        zero_sum: eqx.AbstractVar[bool]
        degree: eqx.AbstractVar[int | None]

    @abc.abstractmethod
    def value(self, scores: Scores) -> Scalar:
        """What the discriminator maximizes."""

    @abc.abstractmethod
    def cost(self, scores: Scores) -> Scalar:
        """What the generator minimizes."""

    def at_equilibrium(self, near: RealScalarLike = 0.0) -> AtEquilibrium:
        """The numbers that the local theory needs, by automatic differentiation at two data and two samples.

        Args:
            near: Where to look for the equilibrium's score. A loss of differences of scores has one everywhere.
        """
        near = jnp.asarray(near, float) if isinstance(near, float | int) else jnp.asarray(near)
        return _at_equilibrium(self, near)

    @property
    def slope(self) -> Scalar:
        """$f'(0)$, and what is in its place of other losses: see `AtEquilibrium`."""
        return self.at_equilibrium().slope

    @property
    def curvature(self) -> Scalar:
        """$f''(0)$, and what is in its place of other losses: see `AtEquilibrium`."""
        return self.at_equilibrium().curvature

    @property
    def trusted_zero_sum(self) -> bool:
        """`zero_sum`, if it is said of the methods that there are; else False."""
        return says(self, "zero_sum", *_METHODS, otherwise=False)

    @property
    def trusted_degree(self) -> int | None:
        """`degree`, if it is said of the methods that there are; else None."""
        return says(self, "degree", *_METHODS, "activation", "conjugate", otherwise=None)


@jit
def _at_equilibrium(loss: AbstractObjective, near: Scalar) -> AtEquilibrium:
    score = _balanced(loss, near)
    four = jnp.full(4, score)

    def value(scores: Array) -> Scalar:
        return loss.value(_of_four(scores))

    first, second = jax.grad(value)(four), jax.hessian(value)(four)
    paid = jax.grad(lambda scores: loss.cost(_of_four(scores)))(four)
    numbers = AtEquilibrium(
        score=score,
        slope=-(first[2] + first[3]),
        curvature=second[0, 0] - second[0, 1] + second[2, 2] - second[2, 3],
        cross=2 * (second[0, 1] + second[2, 3] + 2 * second[0, 2]),
        generator_slope=paid[2] + paid[3],
    )
    return jax.tree.map(lambda number: jnp.where(jnp.isnan(score), jnp.nan, number), numbers)


def _of_four(scores: Float[Array, "4"]) -> Scores:
    """Two data and two samples: as many as show apart what a score does by itself and what a pair of them does."""
    half = jnp.full(2, 0.5, scores.dtype)
    return Scores(scores[:2], scores[2:], half, half)


def _balanced(loss: AbstractObjective, near: Scalar) -> Scalar:
    """Where scores of data and of samples are pulled equally, the one up, the other down; NaN if there is no place."""

    def pulls(score: Scalar) -> tuple[Scalar, Scalar]:
        pull = jax.grad(lambda s: loss.value(_of_four(s)))(jnp.full(4, score))
        return pull[0] + pull[1], pull[2] + pull[3]

    def gap(score: Scalar) -> tuple[Scalar, Scalar]:
        data, samples = pulls(score)
        return data + samples, jnp.abs(data) + jnp.abs(samples)

    def newton(_: Any, score: Scalar) -> Scalar:
        (off, size), bend = jax.value_and_grad(gap, has_aux=True)(score)
        # Where nothing but rounding is left, its quotient would be a step of any size.
        moves = (jnp.abs(off) > 4 * eps * size) & (bend != 0)
        return score - jnp.where(moves, off / jnp.where(moves, bend, 1), 0)

    eps = jnp.finfo(near.dtype).eps
    found = jax.lax.fori_loop(0, _STEPS, newton, near)
    off, size = gap(found)
    return jnp.where(jnp.abs(off) <= jnp.sqrt(eps) * size, found, jnp.nan)
