from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .. import _checks, _chunks, _tree
from .._types import Args, RealScalarLike, State
from . import _inputs
from ._flow import Method, method, solve
from ._march import can_march, march
from ._orbit import Orbit
from ._unrolled import unrolled

# Members to a chunk: so many that the loop's own cost does not count, so few that they stay in a processor's cache and
# wait for few others.
_CHUNK_SIZE = {"ends": 2000, "saves": 1000}
_AXIS = "members"


def ensemble(
    field: Any,
    y0s: Any,
    ts: Float[Array, " times"],
    *,
    args: Args = None,
    solver: diffrax.AbstractSolver | None = None,
    rtol: RealScalarLike | None = None,
    atol: RealScalarLike | None = None,
    step_size: RealScalarLike | None = None,
    stepsize_controller: diffrax.AbstractAdaptiveStepSizeController | None = None,
    dt0: RealScalarLike | None = None,
    exact_times: bool = False,
    events: diffrax.Event | Callable | None = None,
    max_steps: int | None = None,
    adjoint: diffrax.AbstractAdjoint | None = None,
    batched_field: Any = False,
    batched_args: Any = False,
    chunk_size: int | None = None,
) -> Orbit:
    """Follows many starts at once: `flow` over a leading axis.

    Each member is what `flow(..., throw=False)` gives for it, with steps of its own: `orbit.outcome` says how each one
    ended, and a member that fails spoils no other. Explicit Runge-Kutta solvers run in a form that is several times
    faster for small states; the tableau is the same. The members are solved chunk by chunk, as many chunks at a time as
    there are processors; a chunk takes as long as its slowest member, and so holds members that start near each other.

    Under `jax.jit` and other transformations the batch is one chunk.

    Args:
        field: The field `(t, y, args) -> dy/dt`, one for all or, with `batched_field`, a batch of them.
        y0s: States at `ts[0]`, with a leading axis of members on every leaf.
        ts: Times to save at, increasing, shape `(times,)`. Two are fastest, the first and the last.
        args: Handed to the field; one for all, or with `batched_args` a batch.
        solver: As in `flow`.
        rtol: As in `flow`.
        atol: As in `flow`.
        step_size: As in `flow`.
        stepsize_controller: As in `flow`.
        dt0: As in `flow`.
        exact_times: As in `flow`.
        events: As in `flow`: a member stops at its own event.
        max_steps: As in `flow`.
        adjoint: How to differentiate. `diffrax.ForwardMode()` by default, which keeps nothing for a backward pass; for
            `jax.grad` give `diffrax.RecursiveCheckpointAdjoint()`.
        batched_field: Which leaves of `field` have a leading axis of members: True for every array, or an Equinox
            filter specification. A batch of fields comes from `equinox.filter_vmap(make_field)(parameters)`.
        batched_args: Likewise for `args`.
        chunk_size: Members to a chunk; by default 2,000, or 1,000 with times to save at on the way.

    Returns:
        One `Orbit` with a leading axis of members on every leaf, `ts` included.

    Raises:
        ValueError: If an argument cannot work; the text names it, and the remedy.
    """
    y0s = _inputs.state(y0s)
    num = _num_members(y0s)
    ts = _inputs.times(ts, _tree.dtype(y0s))
    how = method(
        ts, solver, rtol=rtol, atol=atol, step_size=step_size, stepsize_controller=stepsize_controller, dt0=dt0,
        exact_times=exact_times, dense=False, events=events, max_steps=max_steps,
        adjoint=diffrax.ForwardMode() if adjoint is None else adjoint, progress_meter=False,
    )  # fmt: skip
    how = eqx.tree_at(lambda m: m.solver, how, unrolled(how.solver))
    _inputs.fits_in_memory("ts", _inputs.num_bytes(y0s, ts.shape[0]), "save at fewer times.")
    own_field, field = _batched("batched_field", field, batched_field, num)
    own_args, args = _batched("batched_args", args, batched_args, num)
    usual = _CHUNK_SIZE["ends" if ts.shape[0] == 2 else "saves"]
    size = usual if chunk_size is None else _checks.count("chunk_size", chunk_size)
    ones = jnp.ones(num, ts.dtype)
    members = (own_field, y0s, own_args, ones)
    if _checks.is_traced((members, field, ts, args, how)):
        size = num
    return _chunks.over(lambda chunk: _solve_all(chunk, field, ts, args, how), members, size, starts=y0s)


@eqx.filter_jit
def _solve_all(members: tuple[Any, State, Any, Array], field: Any, ts: Array, args: Args, how: Method) -> Orbit:
    def solve_one(member: tuple[Any, State, Any, Array]) -> Orbit:
        own_field, y0, own_args, one = member
        own_field, own_args = eqx.combine(own_field, field), eqx.combine(own_args, args)
        if can_march(how):
            return march(own_field, y0, ts, own_args, eqx.tree_at(lambda m: m.solver.one, how, one), _AXIS)
        return solve(own_field, y0, ts, own_args, how)[0]

    return eqx.filter_vmap(solve_one, axis_name=_AXIS)(members)


def _num_members(y0s: State) -> int:
    lengths = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(y0s)}
    if len(lengths) > 1 or () in lengths or (0,) in lengths:
        found = ", ".join(sorted(str(jnp.shape(leaf)) for leaf in jax.tree.leaves(y0s)))
        raise ValueError(
            f"`y0s` must have one leading axis of members on every leaf, but has shapes {found}: for one start use "
            "`flow`, or add an axis by `leaf[None]`."
        )
    return lengths.pop()[0]


def _batched(name: str, tree: Any, spec: Any, num: int) -> tuple[Any, Any]:
    """What differs from member to member, and what all share."""
    own, shared = eqx.partition(tree, eqx.is_array if spec is True else spec)
    lengths = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(own)}
    if lengths - {(num,)}:
        raise ValueError(
            f"`{name}` must select leaves with a leading axis of the {num} members, but selects some of length "
            f"{', '.join(str(length[0]) if length else 'none' for length in sorted(lengths - {(num,)}))}."
        )
    return own, shared
