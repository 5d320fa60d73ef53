import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
from jax.sharding import Mesh
from jaxtyping import Array

from ... import _checks, _problem, _tree
from ..._inherited_claims import says
from ..._lowering import fits_kernel, in_kernel_program, is_small_state, jit, kernel_jit, map_in_kernels, opaque
from ..._progress import told
from ..._types import Args, Field, RealScalarLike, State
from ...updates import AbstractUpdate
from .. import _inputs
from .._iterate import check_memory, prepared, scan
from .._orbit import Orbit
from .._recorder import AbstractRecorder
from .._update_loop import UpdateLoop
from . import _members

_CHUNK_SIZE = 2000
# Operations on numbers of a step by elements. Of several evaluations in it the compiler does some more than once.
_MOST = 1300


@told
def iterate_ensemble(
    update: AbstractUpdate,
    field: Field,
    y0s: Any,
    num_steps: int,
    *,
    args: Args = None,
    batches: Args | Callable[[Array], Args] = None,
    save_every: int = 1,
    record: Callable[[Array, State, Args], Any] | AbstractRecorder | None = None,
    batched_update: Any = False,
    batched_field: Any = False,
    batched_args: Any = False,
    batched_batches: Any = False,
    chunk_size: int | None = None,
    mesh: Mesh | None = None,
) -> Orbit:
    """Follows many starts at once by a discrete rule: `iterate` over a leading axis.

    Each member is what `iterate` gives for it: `orbit.outcome` says how each one ended, and a member that blows up
    spoils no other. The members are run chunk by chunk, as many chunks at a time as there are cores, or spread
    over the devices.

    Args:
        update: The rule, one for all or, with `batched_update`, a batch of them: of step sizes, say, by
            `equinox.filter_vmap(updates.Simultaneous)(step_sizes)`.
        field: The field, likewise with `batched_field`.
        y0s: Initial states, with a leading axis of members on every leaf.
        num_steps: How many steps.
        args: As in `iterate`; one for all, or with `batched_args` a batch.
        batches: As in `iterate`. Minibatches of their own for every member come from a function that is a pytree, with
            `batched_batches`: `jax.tree_util.Partial(draw, keys)` for `draw(key, n)`, one key for each member.
        save_every: As in `iterate`. Equal to `num_steps` it is fastest: then only the ends are kept.
        record: As in `iterate`.
        batched_update: Which leaves of `update` have a leading axis of members: True for every array, or an Equinox
            filter specification.
        batched_field: Likewise for `field`.
        batched_args: Likewise for `args`.
        batched_batches: Likewise for `batches`.
        chunk_size: Members to a chunk; by default 2,000, or fewer of large states.
        mesh: The devices to share the members, as in `ensemble`.

    Returns:
        One `Orbit` with a leading axis of members on every leaf, `ts` included.

    Raises:
        ValueError: If an argument cannot work; the text names it, and the remedy.
    """
    y0s = _inputs.state(y0s, "y0s")
    num = _members.number(y0s)
    own_update, update = _members.split_batched("batched_update", update, batched_update, num)
    own_field, field = _members.split_batched("batched_field", field, batched_field, num)
    own_args, args = _members.split_batched("batched_args", args, batched_args, num)
    own_batches, batches = _members.split_batched("batched_batches", batches, batched_batches, num)
    own, rest = (own_update, own_field, own_args, own_batches), (update, field, args, batches)
    update, field, args, batches = eqx.combine(_tree.first(own), rest)
    one, num_steps, save_every = prepared(update, field, num_steps, args, batches, save_every, record)
    check_memory(one, _tree.first(y0s), num * (num_steps // save_every + 1))
    size = _members.chunk_size(y0s, _CHUNK_SIZE) if chunk_size is None else _checks.count("chunk_size", chunk_size)
    solve_all = _solve_small if is_small_state(y0s, num) else _solve_large
    with _problem.renamed("y0", "y0s"):
        return _members.run_in_chunks(solve_all, (y0s, own), size, mesh, (rest, record, num_steps, save_every))


class _ByElements(AbstractUpdate):
    """A rule whose steps are evaluated element by element, for kernels."""

    update: AbstractUpdate
    step_size: Any

    def __init__(self, update: AbstractUpdate):
        self.update, self.step_size = update, update.step_size

    @property
    def may_fail(self) -> bool:
        return says(self.update, "may_fail", "step", otherwise=False)

    def init(self, field: Field, y: State, args: Args) -> Any:
        return self.update.init(field, y, args)

    def step(self, field: Field, t: RealScalarLike, y: State, args: Args, memory: Any) -> tuple[State, Any]:
        def step(t: RealScalarLike, y: State, memory: Any) -> tuple[State, Any]:
            return self.update.step(field, t, y, args, memory)

        return opaque(step, _MOST)(t, y, memory)


def _solve_all(members: tuple[State, Any], shared: tuple[Any, Callable | None, int, int], mesh: Mesh | None) -> Orbit:
    rest, record, num_steps, save_every = shared

    def solve(members: tuple[State, Any], wrap: Callable[[Any], Any]) -> Orbit:
        def solve_one(member: tuple[State, Any]) -> Orbit:
            y0, own = member
            update, field, args, batches = eqx.combine(own, rest)
            return scan(UpdateLoop(wrap(update), field, args, batches, record), y0, num_steps, save_every)

        return _members.vectorized(solve_one, members)

    solve_block = functools.partial(solve, wrap=_ByElements)
    if mesh is None and in_kernel_program():
        return map_in_kernels(solve_block, members)
    # Other programs may hold linear solves, which cannot be divided so.
    if mesh is not None and fits_kernel(solve_block, members):
        return _members.per_device(functools.partial(map_in_kernels, solve_block), members, mesh)
    return solve(members, wrap=lambda update: update)


_solve_small, _solve_large = kernel_jit(_solve_all), jit(_solve_all)
