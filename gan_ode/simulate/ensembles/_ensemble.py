import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import diffrax
import equinox as eqx
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from ... import _checks, _problem, _tree
from ..._lowering import is_plain, is_small_state, jit, kernel_jit, map_in_kernels, on_cpu
from ..._progress import told
from ..._types import Args, RealScalarLike, State
from .. import _inputs
from .._flow import Method, method, solve
from .._orbit import Orbit
from ..runge_kutta import _dense_output, _loop as own_loop
from ..runge_kutta._step import with_traced_stages
from . import _members

# Members to a chunk: so many that handing it to a thread does not count, so few that Ctrl-C comes through soon. Large
# states, which are not taken apart, should stay in a core's cache.
_CHUNK_SIZE = {"ends": 10_000, "saves": 5_000}
_CHUNK_SIZE_OF_LARGE = {"ends": 2_000, "saves": 1_000}
# An accelerator wants many members at a time: a step of few costs it as much as one of many.
_CHUNK_SIZE_OF_ACCELERATOR = {"ends": 1_000_000, "saves": 200_000}


@told
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
    mesh: Mesh | None = None,
) -> Orbit:
    """Follows many starts at once: `flow` over a leading axis.

    Each member is what `flow(..., throw=False)` gives for it, with steps of its own: `orbit.outcome` says how each one
    ended, and a member that fails spoils no other. Explicit Runge-Kutta solvers run in a form that is several times
    faster for small states; the tableau is the same. The members are solved chunk by chunk, as many chunks at a time as
    there are cores. Within a chunk some members at a time take as long as their slowest one, and so are members
    that start near each other.

    Under `jax.jit` and other transformations the batch is one chunk, a part of that program, and slower.

    A field of few numbers is evaluated with its products in another order: intermediate numbers beyond 1e150 in float64
    may overflow that would not in `flow`. `gan_ode.plain()` keeps the order.

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
        events: As in `flow`, a member stops at its own event; but of several in one step at the first that is listed.
        max_steps: As in `flow`.
        adjoint: How to differentiate. `diffrax.ForwardMode()` by default, which keeps nothing for a backward pass; for
            `jax.grad` give `diffrax.RecursiveCheckpointAdjoint()`.
        batched_field: Which leaves of `field` have a leading axis of members: True for every array, or an Equinox
            filter specification. A batch of fields comes from `equinox.filter_vmap(make_field)(parameters)`.
        batched_args: Likewise for `args`.
        chunk_size: Members to a chunk at most; by default 10,000, or 5,000 with times to save at on the way, on
            accelerators 1,000,000 or 200,000; fewer of large states.
        mesh: The devices to share the members; all of this process by default. With devices of several processes
            (`jax.distributed`), each process calls with the same arguments and gets the whole orbit.

    Returns:
        One `Orbit` with a leading axis of members on every leaf, `ts` included.

    Raises:
        ValueError: If an argument cannot work; the text names it, and the remedy.
    """
    y0s = _inputs.state(y0s, "y0s")
    num = _members.number(y0s)
    ts = _inputs.times(ts, _tree.dtype(y0s))
    how = method(
        ts, solver, rtol=rtol, atol=atol, step_size=step_size, stepsize_controller=stepsize_controller, dt0=dt0,
        exact_times=exact_times, dense=False, events=events, max_steps=max_steps,
        adjoint=diffrax.ForwardMode() if adjoint is None else adjoint, progress_meter=False,
    )  # fmt: skip
    _checks.fits_in_memory("ts", _inputs.num_bytes(y0s, ts.shape[0]), "save at fewer times.")
    own_field, field = _members.split_batched("batched_field", field, batched_field, num)
    own_args, args = _members.split_batched("batched_args", args, batched_args, num)
    solve_all, sizes = (_solve_small, _CHUNK_SIZE) if is_small_state(y0s, num) else (_solve_large, _CHUNK_SIZE_OF_LARGE)
    sizes = sizes if on_cpu() else _CHUNK_SIZE_OF_ACCELERATOR
    usual = _members.chunk_size(y0s, sizes["ends" if ts.shape[0] == 2 else "saves"])
    size = usual if chunk_size is None else _checks.count("chunk_size", chunk_size)
    with _problem.renamed("y0", "y0s"):
        return _members.run_in_chunks(solve_all, (y0s, own_field, own_args), size, mesh, (field, ts, args, how))


def _solve_all(members: tuple[State, Any, Any], shared: tuple[Any, Array, Args, Method], mesh: Mesh | None) -> Orbit:
    field, ts, args, how = shared
    loop, how, dense = _loop(how, ends_only=ts.shape[0] == 2)

    def by_own_loop(member: tuple[State, Any, Any]) -> Orbit:
        y0, own_field, own_args = member
        return own_loop.solve(
            eqx.combine(own_field, field), y0, ts, eqx.combine(own_args, args), how, dense, _members.AXIS
        )

    def by_diffrax(member: tuple[State, Any, Any]) -> Orbit:
        y0, own_field, own_args = member
        return solve(eqx.combine(own_field, field), y0, ts, eqx.combine(own_args, args), how)[0]

    def in_kernels(members: tuple[State, Any, Any]) -> Orbit:
        return map_in_kernels(lambda block: _members.vectorized(by_own_loop, block), members)

    if loop == "Diffrax's":
        return _members.vectorized(by_diffrax, members)
    return in_kernels(members) if mesh is None else _members.per_device(in_kernels, members, mesh)


def _loop(how: Method, *, ends_only: bool) -> tuple[Literal["ours", "Diffrax's"], Method, np.ndarray | None]:
    """Which loop over steps is run, with which method, and by which coefficients it saves on the way.

    | switch | solver and control | saved | loop | stages |
    |---|---|---|---|---|
    | `gan_ode.plain` | any | any | Diffrax's | Diffrax's |
    | usual | explicit Runge-Kutta, PI control, no events | ends | ours, in kernels | written out |
    | usual | likewise, with a dense output that is known | any | ours, in kernels | written out |
    | usual | any other explicit Runge-Kutta | any | Diffrax's | written out |
    | usual | any other | any | Diffrax's | Diffrax's |
    """
    if is_plain():
        return "Diffrax's", how, None
    how = dataclasses.replace(how, solver=with_traced_stages(how.solver))
    if not own_loop.can_solve(how):
        return "Diffrax's", how, None
    if ends_only:
        return "ours", how, None
    dense = _dense_output.weights(how.solver)
    return ("Diffrax's" if dense is None else "ours"), how, dense


_solve_small, _solve_large = kernel_jit(_solve_all), jit(_solve_all)
