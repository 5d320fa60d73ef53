from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PyTree

from ... import _checks, _tree
from ..._entry import guarded
from ..._growth import Sizes
from ..._inherited_claims import says
from ..._lowering import jit
from ..._names import name_of
from ..._printing import counted, number, printed, Report
from ..._problem import state_of
from ..._rules import maker, Rule
from ..._types import Args, Field, State
from ...simulate import OUTCOMES

_LONGEST_PERIOD = 32
# Relative to the spread of what was kept: a cycle that attracts has closed long before to rounding. By dtype.
_CLOSED = {4: 1e-3, 8: 1e-7}
# How much an orbit that has settled may change in as many steps as were made, at its present pace; and how much the
# spreads of two halves of a closed curve differ, each being seen only where states fall.
_PACE, _SAMPLED = 0.2, 1e-3


_Carry = tuple[State, Any, Bool[Array, ""], Int[Array, ""], Sizes]


@printed
class OrbitDiagram(eqx.Module):
    """What orbits settle on, one for each step size.

    Attributes:
        step_sizes: The step sizes, shape `(step_sizes,)`.
        values: The last states, or the quantity of them, with leading axes `(step_sizes, num_kept)`; infinite where the
            orbit did not stay finite.
        outcome: How each orbit ended, to be compared with `simulate.OUTCOMES`: `ok`, or if it did not stay finite to
            the end `blow_up`, or `nonfinite_field` (`root_find_failed` of an implicit step) where it did not grow.
        num_finite: Steps up to the first state that was not finite; all of them if there was none.
        period: Steps after which the kept values repeat, up to 32: 1 at a fixed point. Zero if they do not: they lie on
            a closed curve, are irregular, have not settled, or are not finite.
        settled: Whether the kept values repeat, or spread as far in the second half as in the first: at the pace of
            their difference the spread would change by less than 20 % in as many steps as were made. An orbit that
            still spirals in or out is not settled; nor is one that is not finite.
    """

    step_sizes: Float[Array, "*step_sizes"]
    values: PyTree[Array]
    outcome: OUTCOMES
    num_finite: Int[Array, "*step_sizes"]
    period: Int[Array, "*step_sizes"]
    settled: Bool[Array, "*step_sizes"]

    def _report(self) -> Report:
        columns = (self.step_sizes, self.period, self.settled, name_of(self.outcome))
        rows = [
            (number(h), str(int(period)) if period else "none", "yes" if settled else "no", str(outcome))
            for h, period, settled, outcome in zip(*map(np.asarray, columns), strict=True)
        ]
        return Report(
            f"OrbitDiagram of {len(rows):,} step sizes: {counted(columns[-1])}", {},
            ("step size", "period", "settled", "outcome"), rows,
        )  # fmt: skip


@guarded("y0")
def orbit_diagram(
    rule: Rule,
    field: Field,
    y0: State,
    step_sizes: Any,
    *,
    args: Args = None,
    num_transient: int,
    num_kept: int = 256,
    quantity: Callable[[State], PyTree[Array]] | None = None,
) -> OrbitDiagram:
    """Follows an update for many step sizes at once, and keeps what the orbits come to.

    One compiled program. Memory is that of `num_kept` values for each step size; what comes before is not stored. Near
    a critical step size orbits settle slowly, over about one step divided by the distance of the spectral radius from
    1: look at `settled`.

    Args:
        rule: A class of update that takes the step size, a function from step size to update, or an update, whose step
            size is replaced.
        field: The field.
        y0: Start of every orbit.
        step_sizes: Step sizes, one axis, each above 0.
        args: Handed to the field.
        num_transient: Steps to let pass first.
        num_kept: Steps after that, whose states are kept; at least 64.
        quantity: What to keep of a state, a pytree of arrays; the state itself by default.

    Returns:
        The kept values, and for each step size the outcome, the period, and whether the orbit has settled.

    Raises:
        ValueError: If the step sizes are not one axis of numbers above 0, or a number of steps is too small.
    """
    y0 = state_of(y0)
    step_sizes = _checks.axis("step_sizes", step_sizes, above=0.0)
    num_transient = _checks.count("num_transient", num_transient, least=0)
    num_kept = _checks.count("num_kept", num_kept, least=2 * _LONGEST_PERIOD)
    return _follow(maker(rule, field, y0, args), field, y0, step_sizes, args, num_transient, num_kept, quantity)


@jit
def _follow(
    rule: Callable,
    field: Field,
    y0: State,
    step_sizes: Array,
    args: Args,
    num_transient: int,
    num_kept: int,
    quantity: Callable | None,
) -> OrbitDiagram:
    def member(step_size: Array) -> OrbitDiagram:
        h = step_size.astype(_tree.dtype(y0))
        update = rule(h)

        def one(carry: _Carry, n: Array) -> tuple[_Carry, None]:
            y, memory, finite, num_finite, sizes = carry
            y, memory = update.step(field, h * n.astype(h.dtype), y, args, memory)
            sizes, now = sizes.then(y)
            finite = finite & now
            return (y, memory, finite, num_finite + finite, sizes), None

        def keep(carry: _Carry, n: Array) -> tuple[_Carry, Any]:
            carry, _ = one(carry, n)
            return carry, carry[0] if quantity is None else quantity(carry[0])

        carry = (y0, update.init(field, y0, args), _tree.all_finite(y0), jnp.asarray(0), Sizes.of(y0))
        carry, _ = jax.lax.scan(one, carry, jnp.arange(num_transient))
        carry, values = jax.lax.scan(keep, carry, num_transient + jnp.arange(num_kept))
        _, _, ok, num_finite, sizes = carry
        may_fail = says(update, "may_fail", "step", otherwise=False)
        lost = OUTCOMES.root_find_failed if may_fail else OUTCOMES.nonfinite_field
        lost = OUTCOMES.where(sizes.grew, OUTCOMES.blow_up, lost)
        period, settled = _settled(values, num_transient + num_kept)
        return OrbitDiagram(
            step_sizes=step_size,
            values=jax.tree.map(lambda leaf: jnp.where(ok, leaf, jnp.inf), values),
            outcome=OUTCOMES.where(ok, OUTCOMES.ok, lost),
            num_finite=num_finite,
            period=jnp.where(ok, period, 0),
            settled=ok & settled,
        )

    return jax.vmap(member)(step_sizes)


def _settled(values: PyTree[Array], num_steps: int) -> tuple[Array, Array]:
    """The period of a sequence, and whether it has settled."""
    rows = jax.vmap(lambda value: ravel_pytree(value)[0])(values)
    closed = _CLOSED[max(rows.dtype.itemsize, 4)]
    half = len(rows) // 2
    size = jnp.max(jnp.abs(rows))
    before, after = (jnp.max(jnp.ptp(part, axis=0)) for part in (rows[:half], rows[half:]))
    # At a fixed point the spread itself is rounding.
    still = after <= closed * (1 + size)
    gaps = jnp.stack([jnp.max(jnp.abs(rows[p:] - rows[:-p])) for p in range(2, _LONGEST_PERIOD + 1)])
    repeats = gaps <= closed * after
    period = jnp.where(still, 1, jnp.where(jnp.any(repeats), 2 + jnp.argmax(repeats), 0))
    same = jnp.abs(after - before) <= max(_PACE * half / num_steps, _SAMPLED) * after
    return period, (period > 0) | same
