import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, DTypeLike, Float

from .. import _checks, _tree
from .._rules import Rule
from .._types import Args, Field, RealScalarLike, Scalar, State
from ..updates import AbstractUpdate
from . import _one_step
from ._taylor import polynomial, taylor

FORWARD = "Time runs forward."


def modified_field(rule: Rule, field: Field, step_size: RealScalarLike, order: int = 2) -> Field:
    r"""The field whose flow an update follows to higher order.

    $\tilde F = F_0 + h F_1 + \dots + h^{k-1} F_{k-1}$ with $k$ the `order`: the update's orbit follows its flow with an
    error of $O(h^k)$ over a fixed time, where it follows that of the field itself only to $O(h)$. $F_0$ is the field
    that the update is consistent with: the field itself, but $(n_d F_D, n_g F_G)$ for `Alternating` rounds of
    $n_d : n_g$. For simultaneous steps
    $F_1 = -\tfrac12 F'F$ and $F_2 = \tfrac1{12} F''(F, F) + \tfrac13 F'F'F$. The series is asymptotic: at a given $h$
    more terms help only up to a point.

    No formula is typed in: the terms are the Taylor coefficients in $h$ of $\tfrac1h \log$ of the update, by automatic
    differentiation of the update itself (see `modified_terms`), so any rule without memory has one, to any order. Time
    is the update's, $t = nh$, with one clock for both players, whatever their rates.

    It is a field like any other: it goes into `flow`, `analysis.find_equilibrium` (an equilibrium of the field stays
    one), `analysis.spectrum`, and through `jax.vmap` over `step_size` and `jax.grad` in the field's parameters.

    Source: Hairer, Lubich and Wanner (2006), Geometric Numerical Integration, chapter IX; for two players Rosca, Wu,
    Dherin and Barrett (2021), arXiv:2105.13922. The computation is our own.

    Args:
        rule: A class of update that takes the step size, a function from step size to update, or an update, whose step
            size is replaced.
        field: The field. Where it depends on time, so does the modified one, and the statement holds as it is.
        step_size: $h > 0$.
        order: $k \ge 1$. An evaluation costs about $k\, 2^k$ steps of the update.

    Returns:
        A field. In float32 terms below $10^{-7}$ of the velocity are lost in rounding, as they are in the update.

    Raises:
        ValueError: If `rule` does not make an update, or `order` is below 1; when the field is called, if the rule has
            memory (momentum, Adam, optimistic) or does not move by its `step_size` (Optax).
    """
    update = _one_step.make(rule, _checks.positive("step_size", step_size, FORWARD))
    return Modified(Terms(update, field, _checks.count("order", order)), first=0)


def modified_terms(rule: Rule, field: Field, order: int = 2) -> "Terms":
    r"""The coefficients of a modified field, each a field by itself.

    With $\Phi_h$ one step, the coefficient of $h^j$ in $\Phi_h^n(y)$ is a polynomial in $n$ of degree $j$. Its
    derivative at $n = 0$, which the powers $n = 0, \dots, k$ give exactly by finite differences, is that of $\log
    \Phi_h = \sum_{j<k} h^{j+1} F_j + \dots$. The coefficients themselves come from forward-mode automatic
    differentiation in $h$ at $h = 0$, step by step.

    Args:
        rule: A class of update that takes the step size, a function from step size to update, or an update, whose step
            size is replaced.
        field: The field.
        order: How many terms.

    Returns:
        `terms`: `terms[j]` is the field $F_j$, and `terms(t, y, args)` gives all at once, at the cost of the last.

    Raises:
        ValueError: As `modified_field`.
    """
    # Any step size will do: it is replaced by the variable of the series.
    return Terms(_one_step.make(rule, jnp.ones(())), field, _checks.count("order", order))


class Terms(eqx.Module):
    r"""The coefficients $F_0, F_1, \dots$ of a modified field $F_0 + h F_1 + h^2 F_2 + \dots$; see `modified_terms`.

    Attributes:
        rule: The update; its own step size does not matter.
        field: The field.
        order: How many terms.
    """

    rule: AbstractUpdate
    field: Field
    order: int = eqx.field(static=True)

    def __call__(self, t: RealScalarLike, y: State, args: Args = None) -> tuple[State, ...]:
        """All terms at a state.

        Args:
            t: Time.
            y: State.
            args: Handed to the field: a minibatch, the same for every step.

        Returns:
            As many as the order, each of the shape of `y`.

        Raises:
            ValueError: If the rule has memory, or its step does not depend on its `step_size`.
        """
        t = jnp.asarray(t, _tree.dtype(y))
        _one_step.check(self.rule, self.field, t, y, args)
        return _logarithm(lambda t, y, h: _one_step.step(self.rule, self.field, t, y, args, h), t, y, self.order)

    def __getitem__(self, power: int) -> Field:
        """The term of a power of the step size, a field."""
        if not 0 <= power < self.order:
            raise IndexError(f"`power` must be from 0 to {self.order - 1}, but is {power}: ask for a higher `order`.")
        return _Term(Terms(self.rule, self.field, power + 1))

    def __len__(self) -> int:
        return self.order


class _Term(eqx.Module):
    terms: Terms

    def __call__(self, t: RealScalarLike, y: State, args: Args = None) -> State:
        return self.terms(t, y, args)[-1]


class Modified(eqx.Module):
    """The sum of the terms times powers of the rule's step size, from the power `first` on."""

    terms: Terms
    first: int = eqx.field(static=True)

    def __call__(self, t: RealScalarLike, y: State, args: Args = None) -> State:
        h = jnp.asarray(self.terms.rule.step_size, _tree.dtype(y))
        total = polynomial(self.terms(t, y, args)[self.first :], h)
        return _tree.scale(h**self.first, total)


def _logarithm(step: Callable[[Scalar, State, Scalar], State], t: Scalar, y: State, order: int) -> tuple[State, ...]:
    """Taylor coefficients in h of the logarithm of a step over h."""
    still = _tree.zeros_like(y)

    def one_more(carry: tuple[tuple, tuple], weighed: tuple[Scalar, Scalar]) -> tuple[tuple[tuple, tuple], None]:
        (here, total), (n, weight) = carry, weighed
        there = taylor(lambda h: step(t + n * h, polynomial(here, h), h), order, t.dtype)
        return (there, tuple(_tree.step(sum_, weight, new) for sum_, new in zip(total, there[1:], strict=True))), None

    start = (y, *[still] * order), (still,) * order
    (_, total), _ = jax.lax.scan(one_more, start, (jnp.arange(order, dtype=t.dtype), _weights(order, t.dtype)))
    return total


def _weights(order: int, dtype: DTypeLike) -> Float[Array, " order"]:
    """What the values at n = 1, ... are multiplied by for the slope at 0 of a polynomial that vanishes there."""
    # Of log(1 + D) = sum over m of (-1)^(m + 1) D^m / m, with D^m = sum over n of (-1)^(m - n) C(m, n) S^n.
    numbers = range(1, order + 1)
    return jnp.asarray([(-1) ** (n + 1) * sum(math.comb(m, n) / m for m in numbers) for n in numbers], dtype)
