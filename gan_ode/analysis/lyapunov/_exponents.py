from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from ... import _checks, _tree
from ..._entry import guarded
from ..._growth import Sizes
from ..._inherited_claims import says
from ..._lowering import jit
from ..._names import name_of
from ..._printing import measured, number, printed, Report, state
from ..._problem import state_of
from ..._types import Args, Field, RealScalarLike, Scalar, State
from ...simulate import flow, OUTCOMES
from ...updates import AbstractUpdate

# The first tenth only turns the frame: it then spans the directions that grow most.
_LEAD_IN = 10
# Averages of so many parts of the time, for the standard error.
_PARTS = 20
_RTOL = {4: 1e-5, 8: 1e-8}


@printed
class LyapunovExponents(eqx.Module):
    """Rates at which neighboring orbits part, on average along one orbit.

    Attributes:
        exponents: Per unit time, falling, shape `(k,)`; over the spans that were reached if the orbit ended early,
            infinite if not one of those that count was.
        standard_error: Of each, from the scatter of the averages over twenty parts of the time; infinite if the orbit
            ended early. It tells of chance, and not of a bias that the orbit's beginning leaves, which falls as one
            over the time.
        ts: Times, shape `(spans,)`; infinite from the first span on that was not reached.
        history: The averages up to each time, shape `(spans, k)`; likewise.
        final_state: Where the orbit ended.
        outcome: How it ended, to be compared with `simulate.OUTCOMES`: where that is not `ok`, the exponents are those
            of the time before.
    """

    exponents: Float[Array, " k"]
    standard_error: Float[Array, " k"]
    ts: Float[Array, " spans"]
    history: Float[Array, "spans k"]
    final_state: State
    outcome: OUTCOMES

    def _report(self) -> Report:
        values, errors = np.asarray(self.exponents), np.asarray(self.standard_error)
        rows = [(number(value), number(error, 2)) for value, error in zip(values, errors, strict=True)]
        largest = measured(values[0], errors[0])
        lines = {"orbit": str(name_of(self.outcome)), "end": state(self.final_state)}
        return Report(f"LyapunovExponents: the largest is {largest}", lines, ("exponent", "standard error"), rows)


@guarded("y0")
def lyapunov_exponents(
    field: Field,
    y0: State,
    duration: RealScalarLike,
    *,
    update: AbstractUpdate | None = None,
    num: int | None = None,
    num_spans: int = 1000,
    args: Args = None,
    solver: diffrax.AbstractSolver | None = None,
    rtol: RealScalarLike | None = None,
    atol: RealScalarLike | None = None,
) -> LyapunovExponents:
    r"""The spectrum of Lyapunov exponents along an orbit of the flow, or of an update.

    A frame of orthonormal tangent vectors is carried along by the linearized flow, $\dot Q = F'(y) Q$, or by the
    linearized step, and made orthonormal again after each span, $Q R \leftarrow Q$. The exponents are the averages of
    $\ln |R_{ii}|$ over time. At an equilibrium they are the real parts of the eigenvalues; on a cycle of the flow one
    is 0; their sum is the mean divergence of the field; a positive one is chaos. Any map `m` is an update: the
    simultaneous steps of size 1 of the field `m(y) - y`.

    Source: Benettin, Galgani, Giorgilli and Strelcyn (1980), Meccanica 15, 9; by QR as in Eckmann and Ruelle (1985),
    Rev. Mod. Phys. 57, 617, section V.C.

    Args:
        field: The field.
        y0: Initial state.
        duration: How long to follow the orbit; the first tenth is not counted. The spans of an update are whole
            steps, at least one, so that the time that it was followed for is `ts[-1]`.
        update: The update to follow; the flow if None. Its memory belongs to the state.
        num: How many exponents, the largest; all by default.
        num_spans: Into how many spans the time is divided; those of an update are whole steps. Within one the fastest
            growth must not drown the slowest: $e$ to the difference times the span has to stay below one over the
            solver's tolerance, or for an update one over rounding.
        args: Handed to the field.
        solver: As in `simulate.flow`.
        rtol: Relative tolerance; 1e-8 by default, 1e-5 in float32.
        atol: Absolute tolerance; as `rtol` by default.

    Returns:
        The exponents, with their history. Under `jax.vmap` and `jax.jit` too. An orbit that ends early, because it
        blows up, is a result: see `outcome`.

    Raises:
        ValueError: If the spans are too long, or an argument cannot work. Under a transformation a
            RuntimeError.
    """
    y0 = state_of(y0)
    duration = _checks.positive("duration", duration, "Time runs forward.").astype(_tree.dtype(y0))
    num_spans = _checks.count("num_spans", num_spans, least=2 * _PARTS)
    size = _size(field, y0, args, update)
    num = size if num is None else _checks.count("num", num)
    if num > size:
        raise ValueError(f"`num` must be at most the {size} dimensions of state and memory, but is {num}.")
    if update is None:
        usual = _RTOL[max(duration.dtype.itemsize, 4)]
        if rtol is not None:
            _checks.relative("rtol", rtol, f"{usual:g} is usual.")
        rtol = jnp.asarray(usual if rtol is None else rtol, duration.dtype)
        options = {"solver": solver, "rtol": rtol, "atol": rtol if atol is None else jnp.asarray(atol, rtol.dtype)}
        found, resolved = _along_flow(field, y0, duration, num, num_spans, args, options)
    else:
        found, resolved = _along_update(update, field, y0, duration, num, num_spans, args)
    message = (
        "`num_spans` must be larger: within one span the frame collapses to its fastest direction. Take more spans, or "
        "fewer exponents by `num`."
    )
    if _checks.is_traced(resolved):
        return eqx.tree_at(lambda f: f.exponents, found, eqx.error_if(found.exponents, ~resolved, message))
    if not resolved:
        raise ValueError(message)
    return found


def _size(field: Field, y0: State, args: Args, update: AbstractUpdate | None) -> int:
    memory = None if update is None else eqx.filter_eval_shape(update.init, field, y0, args)
    remembered = [leaf for leaf in jax.tree.leaves(memory) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return sum(leaf.size for leaf in [*jax.tree.leaves(y0), *remembered])


@jit
def _along_flow(
    field: Field, y0: State, duration: Scalar, num: int, num_spans: int, args: Args, options: dict[str, Any]
) -> tuple[LyapunovExponents, Array]:
    x0, restore = ravel_pytree(y0)
    span = duration / num_spans

    def velocity(t: Any, x: Array, args: Args) -> Array:
        return ravel_pytree(field(t, restore(x), args))[0]

    def with_frame(t: Any, state: tuple[Array, Array], args: Args) -> tuple[Array, Array]:
        x, frame = state
        push = jax.vmap(lambda v: jax.jvp(lambda x: velocity(t, x, args), (x,), (v,))[1], in_axes=1, out_axes=1)
        return velocity(t, x, args), push(frame)

    def advance(x: Array, frame: Array, number: Array) -> tuple[Array, Array, OUTCOMES]:
        ts = span * jnp.stack([number, number + 1])
        orbit = flow(with_frame, (x, frame), ts, args=args, adjoint=diffrax.ForwardMode(), throw=False, **options)
        return *orbit.final_state, orbit.outcome

    x, growths, reached, outcome = _spans(advance, x0, x0.size, num, num_spans)
    found = _averaged(growths, reached, span, restore(x), outcome)
    return found, _resolved(growths, options["rtol"] + options["atol"])


@jit
def _along_update(
    update: AbstractUpdate, field: Field, y0: State, duration: Scalar, num: int, num_spans: int, args: Args
) -> tuple[LyapunovExponents, Array]:
    remembered, counters = eqx.partition(update.init(field, y0, args), eqx.is_inexact_array)
    x0, restore = ravel_pytree((y0, remembered))
    step_size = update.step_size.astype(duration.dtype)
    stride = jnp.maximum(jnp.round(duration / num_spans / step_size), 1).astype(int)

    def one(number: Array, carry: tuple[tuple[Array, Any, Sizes], Array]) -> tuple[tuple[Array, Any, Sizes], Array]:
        (x, counters, sizes), frame = carry

        def step(x: Array) -> tuple[Array, Any]:
            y, memory = restore(x)
            y, memory = update.step(field, step_size * number, y, args, eqx.combine(memory, counters))
            remembered, later = eqx.partition(memory, eqx.is_inexact_array)
            return ravel_pytree((y, remembered))[0], later

        push = jax.vmap(lambda v: jax.jvp(lambda x: step(x)[0], (x,), (v,))[1], in_axes=1, out_axes=1)
        later, counters = step(x)
        return (later, counters, sizes.then(later)[0]), push(frame)

    may_fail = says(update, "may_fail", "step", otherwise=False)
    lost = OUTCOMES.root_find_failed if may_fail else OUTCOMES.nonfinite_field

    def advance(at: tuple[Array, Any, Sizes], frame: Array, number: Array) -> tuple[Any, Array, OUTCOMES]:
        later, pushed = jax.lax.fori_loop(number * stride, (number + 1) * stride, one, (at, frame))
        finite = _tree.all_finite((later[0], pushed))
        ended = OUTCOMES.where(later[2].grew, OUTCOMES.blow_up, lost)
        return _tree.where(finite, later, at), pushed, OUTCOMES.where(finite, OUTCOMES.ok, ended)

    start = (x0, counters, Sizes.of(x0))
    (x, _, _), growths, reached, outcome = _spans(advance, start, x0.size, num, num_spans)
    # A single step cannot be divided, and may well be singular.
    resolved = (stride == 1) | _resolved(growths, 100 * jnp.finfo(x0.dtype).eps)
    return _averaged(growths, reached, step_size * stride, restore(x)[0], outcome), resolved


def _resolved(growths: Float[Array, "spans k"], floor: Any) -> Array:
    """Whether what is left of each direction, beside the fastest one, is above the noise in every span."""
    return ~jnp.any(jnp.min(growths, axis=1) - jnp.max(growths, axis=1) < jnp.log(floor))


def _spans(
    advance: Callable, at: Any, size: int, num: int, num_spans: int
) -> tuple[Any, Float[Array, "spans k"], Bool[Array, " spans"], OUTCOMES]:
    """Where it all ends, the logarithms of the growth over each span, which spans were reached, and the outcome."""
    dtype = jax.tree.leaves(at)[0].dtype

    def go_on(at: Any, frame: Array, number: Array) -> tuple[Any, Array, OUTCOMES, Array]:
        at, frame, outcome = advance(at, frame, number)
        frame, triangle = jnp.linalg.qr(frame)
        return at, frame, outcome, jnp.log(jnp.abs(jnp.diagonal(triangle)))

    def one(carry: tuple[Any, Array, OUTCOMES], number: Array) -> tuple[tuple[Any, Array, OUTCOMES], tuple]:
        at, frame, outcome = carry
        at, frame, outcome, growth = jax.lax.cond(
            outcome == OUTCOMES.ok,
            lambda: go_on(at, frame, number),
            lambda: (at, frame, outcome, jnp.zeros(num, dtype)),
        )
        reached = outcome == OUTCOMES.ok
        return (at, frame, outcome), (jnp.where(reached, growth, 0.0), reached)

    # Axes would do, but for systems that keep them apart: the order is then that of the axes for ever.
    frame, _ = jnp.linalg.qr(jax.random.normal(jax.random.key(0), (size, num), dtype))
    start = (at, frame, OUTCOMES.where(True, OUTCOMES.ok, OUTCOMES.ok))
    (at, _, outcome), (growths, reached) = jax.lax.scan(one, start, jnp.arange(num_spans))
    return at, growths, reached, outcome


def _averaged(
    growths: Float[Array, "spans k"],
    reached: Bool[Array, " spans"],
    span: Scalar,
    final_state: State,
    outcome: OUTCOMES,
) -> LyapunovExponents:
    skipped = growths.shape[0] // _LEAD_IN
    counted, reached = growths[skipped:] / span, reached[skipped:]
    num = counted.shape[0]
    averages = jnp.cumsum(counted, axis=0) / jnp.arange(1, num + 1)[:, None]
    last = jnp.where(reached[0], averages[jnp.sum(reached) - 1], jnp.inf)
    order = jnp.argsort(-last)
    parts = counted[num % _PARTS :].reshape(_PARTS, -1, counted.shape[1]).mean(axis=1)
    error = jnp.std(parts, axis=0, ddof=1) / jnp.sqrt(jnp.asarray(_PARTS, parts.dtype))
    ts = span * (skipped + jnp.arange(1, num + 1)).astype(span.dtype)
    return LyapunovExponents(
        exponents=last[order],
        standard_error=jnp.where(reached[-1], error[order], jnp.inf),
        ts=jnp.where(reached, ts, jnp.inf),
        history=jnp.where(reached[:, None], averages[:, order], jnp.inf),
        final_state=final_state,
        outcome=outcome,
    )
