from collections.abc import Callable, Sequence
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int

from .. import _checks, _chunks, _tree
from .._compiled import jit
from .._types import Args, Field, RealScalarLike, Scalar, State
from ..games import Players
from ..updates import AbstractUpdate
from . import _fates
from ._equilibria import find_equilibria
from ._trap import flow_trap, step_trap, Trap

_CHUNK_SIZE = 256
_RTOL = {4: 1e-4, 8: 1e-6}
# An invariant line, such as a = 0 of the linear-quadratic GAN, is approached closely and must not be crossed.
_ATOL_OVER_RTOL = 1e-2
# Change of the amplitude, from window to window, that counts as none; sampling alone makes 0.2 % of it.
_STEADY = 0.01
_FAR_BELOW = 0.1
# Starts from which equilibria are searched.
_SEARCHES = 64


class FATES(eqx.Enumeration):
    """What becomes of a start."""

    converges = "Comes so near to a stable equilibrium that it cannot leave again: `basin.index` says to which one."
    cycles = "Keeps going at a steady amplitude, around an equilibrium that repels."
    diverges = "Grows without bound, or is no longer finite."
    undecided = "None of the others could be shown by the end of the time."


class Basin(eqx.Module):
    """What becomes of many starts; all but `equilibria` and `traps` with a leading axis of starts.

    Attributes:
        starts: The starts.
        fate: What becomes of them, to be compared with `FATES`.
        index: Which of the `equilibria` a start converges to; -1 if to none.
        time: When that was certain, or when the state had grown past all bounds; infinity where nothing was shown.
        final_state: The state then, or at the end of the time.
        equilibria: The equilibria, with a leading axis.
        traps: Where convergence to each is certain, likewise.
    """

    starts: State
    fate: FATES
    index: Int[Array, " starts"]
    time: Float[Array, " starts"]
    final_state: State
    equilibria: State
    traps: Trap

    def fraction(self, fate: FATES, index: int | None = None) -> Scalar:
        """Which part of the starts has this fate, or converges to the equilibrium of this index."""
        chosen = self.fate == fate
        return jnp.mean(chosen if index is None else chosen & (self.index == index))


def grid(xs: Float[Array, " columns"], ys: Float[Array, " rows"]) -> Players:
    """All starts with the discriminator's parameter from `xs` and the generator's from `ys`, row by row.

    Returns:
        Players with a leading axis of `len(ys) * len(xs)`.
    """
    x, y = jnp.meshgrid(jnp.asarray(xs, float), jnp.asarray(ys, float))
    return Players(discriminator=jnp.ravel(x), generator=jnp.ravel(y))


def basin(
    field: Field,
    starts: State,
    duration: RealScalarLike,
    *,
    update: AbstractUpdate | None = None,
    equilibria: Sequence[State] | None = None,
    args: Args = None,
    solver: diffrax.AbstractSolver | None = None,
    rtol: RealScalarLike | None = None,
    atol: RealScalarLike | None = None,
    chunk_size: int = _CHUNK_SIZE,
) -> Basin:
    r"""What becomes of many starts, under the flow or under an update.

    A start converges if its orbit enters a *trap*: a set $(y - y^*)^T P (y - y^*) < c$ around an equilibrium whose
    linear part is stable, with $P$ from the Lyapunov equation, and $c$ as large as the quadratic function was seen to
    fall, in many directions, at every smaller level. From there on it need not be followed, which makes this fast; it
    also makes the verdict one about the field and not about the solver, which at a loose tolerance may damp a cycle to
    rest: where there is no trap nothing converges. An algebraic tail is therefore undecided; ask `classify`.

    Args:
        field: The field.
        starts: States with a leading axis on every leaf; see `grid`.
        duration: How long to follow them.
        update: The update to follow; the flow if None.
        equilibria: States near the equilibria; by default they are searched from some of the starts.
        args: Handed to the field.
        solver: Diffrax solver for the flow; Tsit5 by default.
        rtol: Relative tolerance of the flow; 1e-6 by default, 1e-4 in float32.
        atol: Absolute tolerance; a hundredth of `rtol` by default, so that invariant lines are not crossed.
        chunk_size: Starts to a chunk, see `simulate.ensemble`.

    Returns:
        Fates, and what they rest on.
    """
    if _checks.is_traced((field, starts, args, update)):
        raise ValueError("`field` and `starts` must be concrete for a basin: call `basin` outside `jax.jit`.")
    _checks.finite("starts", starts)
    duration = _checks.positive("duration", duration, "Time runs forward.").astype(_tree.dtype(starts))
    chunk_size = _checks.count("chunk_size", chunk_size)
    found = _equilibria(field, starts, equilibria, args)
    traps = _traps(field, starts, found, args, update)
    if update is None:
        options = {"solver": solver, **_tolerances(rtol, atol, starts)}
        lanes = _follow_flow(field, starts, duration, found, traps, args, options, chunk_size)
    else:
        # Rounded up, except where the quotient is whole but for rounding.
        steps = jnp.ceil(duration / update.step_size - 1e-6).astype(int)
        lanes = _over(_fates.follow_update, starts, chunk_size, (update, field, steps, traps, args))
    fate, time = _judge(lanes, found, traps, duration)
    return Basin(starts, fate, lanes.index, time, lanes.y, found, traps)


def _follow_flow(
    field: Field, starts: State, duration: Array, equilibria: State, traps: Trap, args: Args, options: dict[str, Any],
    chunk_size: int,
) -> _fates.Lane:  # fmt: skip
    lanes = _over(_fates.follow_flow, starts, chunk_size, (field, duration, traps, args, options))
    # Saving on the way costs more than the way: only those that may cycle go through the second half once more.
    those = np.flatnonzero(np.asarray(_may_cycle(lanes, equilibria, traps)))
    if len(those) == 0:
        return lanes
    halfway = _chunks.rows(lanes.halfway, those)
    boxes = _over(_fates.look_again, halfway, chunk_size, (field, duration, args, options))
    before = (lanes.earlier, lanes.later)
    after = jax.tree.map(lambda whole, part: whole.at[those].set(part), before, boxes)
    return eqx.tree_at(lambda each: (each.earlier, each.later), lanes, after)


def _over(follow: Callable[..., Any], starts: State, chunk_size: int, shared: tuple[Any, ...]) -> Any:
    return _chunks.over(lambda chunk, rest: follow(chunk, *rest), starts, chunk_size, starts=starts, shared=shared)


def _tolerances(rtol: Any, atol: Any, starts: State) -> dict[str, Array]:
    if rtol is None:
        rtol = _RTOL[max(jnp.dtype(_tree.dtype(starts)).itemsize, 4)]
    rtol = jnp.asarray(rtol, _tree.dtype(starts))
    return {"rtol": rtol, "atol": _ATOL_OVER_RTOL * rtol if atol is None else jnp.asarray(atol, rtol.dtype)}


@jit
def _judge(lanes: _fates.Lane, equilibria: State, traps: Trap, duration: Scalar) -> tuple[FATES, Array]:
    return eqx.filter_vmap(lambda lane: _judge_one(lane, equilibria, traps, duration))(lanes)


def _judge_one(lane: _fates.Lane, equilibria: State, traps: Trap, duration: Scalar) -> tuple[FATES, Array]:
    earlier, later = (jnp.max(box.high - box.low) for box in (lane.earlier, lane.later))
    middle = (lane.later.low + lane.later.high) / 2
    large = later > jnp.sqrt(jnp.finfo(later.dtype).eps) * (1 + jnp.max(jnp.abs(middle)))
    change = jnp.abs(later - earlier) / earlier
    # And far below what the linear part at the equilibrium would make of it, or a slow spiral would look steady.
    alone = jnp.expm1(_nearest_growth(middle, equilibria, traps) * duration / 4)
    cycles = large & (change < _STEADY) & (change < _FAR_BELOW * alone)
    fate = FATES.where(cycles, FATES.cycles, FATES.undecided)
    fate = FATES.where(lane.grown, FATES.diverges, fate)
    fate = FATES.where(lane.index >= 0, FATES.converges, fate)
    return fate, jnp.where(lane.done, lane.time, jnp.inf)


def _nearest_growth(point: Float[Array, " n"], equilibria: State, traps: Trap) -> Scalar:
    """Of small disturbances of the equilibrium next to a point, per unit time; 0 unless it repels."""
    away = jax.vmap(lambda each: jnp.linalg.norm(ravel_pytree(each)[0] - point))(equilibria)
    nearest = traps.repels & (away == jnp.min(away, initial=jnp.inf))
    return jnp.max(jnp.where(nearest, traps.growth, 0.0), initial=0.0)


@jit
def _may_cycle(lanes: _fates.Lane, equilibria: State, traps: Trap) -> Bool[Array, " starts"]:
    def one(lane: _fates.Lane) -> Bool[Array, ""]:
        came_halfway = _tree.all_finite(lane.halfway)
        return ~lane.done & came_halfway & (_nearest_growth(ravel_pytree(lane.y)[0], equilibria, traps) > 0)

    return jax.vmap(one)(lanes)


def _equilibria(field: Field, starts: State, equilibria: Sequence[State] | None, args: Args) -> State:
    if equilibria is None:
        num = jax.tree.leaves(starts)[0].shape[0]
        # At random, since a grid's rows and columns could hide an equilibrium from an even choice.
        chosen = np.random.default_rng(0).permutation(num)[:_SEARCHES]
        return find_equilibria(field, _chunks.rows(starts, chosen), args).ys
    found = find_equilibria(field, jax.tree.map(lambda *leaves: jnp.stack(leaves), *equilibria), args)
    if found.failed:
        raise ValueError(
            f"`equilibria` must lie near equilibria of the field, but number {found.failed[0]} does not: the search "
            "from it ends where the field does not vanish."
        )
    return found.ys


@jit
def _traps(field: Field, starts: State, equilibria: State, args: Args, update: AbstractUpdate | None) -> Trap:
    def distance(y: State) -> Array:
        return jnp.max(jax.vmap(lambda start: _tree.norm(_tree.subtract(start, y)))(starts))

    def trap(y: State) -> Trap:
        if update is None:
            return flow_trap(field, y, args, distance(y))
        return step_trap(update, field, y, args, distance(y))

    return eqx.filter_vmap(trap)(equilibria)
