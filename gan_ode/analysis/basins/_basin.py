from collections.abc import Sequence
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ... import _checks, _problem, _tree
from ..._entry import guarded
from ..._lowering import jit
from ..._names import as_words, name_of
from ..._printing import counted, number, printed, Report, state
from ..._types import Args, Field, RealScalarLike, Scalar, State
from ...games import Players
from ...simulate.ensembles import _chunks
from ...updates import AbstractUpdate
from ..fates._trapping_region import TrappingRegion
from ..fates._verdict import FATES
from ._agreement import compare_tolerances
from ._attracting_cycles import Cycles
from ._explicit_time import depends_on_time
from ._follow_starts import Steps
from ._reasons import REASONS
from ._sinks import Search
from ._status_of_starts import Standing
from ._ways_to_follow import Chunks, FlowWay, UpdateWay

_CHUNK_SIZE = 256


@printed
class Basin(eqx.Module):
    """What becomes of many starts; all but `equilibria`, `traps` and `cycles` with a leading axis of starts.

    Attributes:
        starts: The starts.
        fate: What becomes of them, to be compared with `FATES` or with a word: `basin.fate == "converges"`.
        index: Which of the `equilibria` a start converges to; -1 if to none.
        cycle: Which of the `cycles` a start goes to; -1 if to none.
        reason: Why a start is undecided, to be compared with `REASONS`; `why` makes a sentence of it.
        time: When its fate was certain, or when the state had grown past all bounds; infinity where nothing was shown.
        final_state: The state then, of a start that converges or diverges; otherwise that at the end of the time.
        equilibria: The equilibria, with a leading axis.
        traps: Where convergence to each is certain, likewise.
        cycles: The attracting cycles.
    """

    starts: State
    fate: FATES
    index: Int[Array, " starts"]
    cycle: Int[Array, " starts"]
    reason: REASONS
    time: Float[Array, " starts"]
    final_state: State
    equilibria: State
    traps: TrappingRegion
    cycles: Cycles

    def fraction(self, fate: FATES | str, index: int | None = None) -> Scalar:
        """Which part of the starts has this fate, or goes to the equilibrium or the cycle of this index."""
        chosen = self.fate == fate
        if index is None:
            return jnp.mean(chosen)
        return jnp.mean(chosen & ((self.cycle if fate == FATES.cycles else self.index) == index))

    def why(self, start: int) -> str:
        """Why the start of this number is undecided, in a sentence."""
        return REASONS[jax.tree.map(lambda leaf: leaf[start], self.reason)]

    def _report(self) -> Report:
        fates, index, cycle = (np.asarray(part) for part in (name_of(self.fate), self.index, self.cycle))
        (total,), equilibria = fates.shape, jax.tree.map(np.asarray, self.equilibria)
        ends = [
            (f"equilibrium {i}: {state(jax.tree.map(lambda leaf, i=i: leaf[i], equilibria))}", np.sum(index == i))
            for i in range(int(index.max(initial=-1)) + 1)
        ]
        ends += [
            (f"cycle {i}: period {number(self.cycles.periods[i])}", np.sum(cycle == i)) for i in range(len(self.cycles))
        ]
        rows = [(end, f"{int(num):,}", f"{num / total:.1%}") for end, num in ends if num]
        undecided = np.asarray(name_of(self.reason))[fates == "undecided"]
        lines = {"undecided": counted(undecided) if undecided.size else None}
        return Report(f"Basin of {total:,} starts: {counted(fates)}", lines, ("where to", "starts", "share"), rows)


def state_grid(xs: Float[Array, " columns"], ys: Float[Array, " rows"]) -> Players:
    """All starts with the discriminator's parameter from `xs` and the generator's from `ys`, row by row.

    Returns:
        Players with a leading axis of `len(ys) * len(xs)`.
    """
    x, y = jnp.meshgrid(jnp.asarray(xs, float), jnp.asarray(ys, float))
    return Players(discriminator=jnp.ravel(x), generator=jnp.ravel(y))


@guarded("starts", rows=True)
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
    check: bool = True,
) -> Basin:
    r"""What becomes of many starts, under the flow or under an update.

    A start converges if its trajectory enters a *trap*: a set $(y - y^*)^T P (y - y^*) < c$ around an equilibrium whose
    linear part is stable, with $P$ from the Lyapunov equation, and $c$ as large as the quadratic function was seen to
    fall, in many directions, at every smaller level. From there on it need not be followed, which makes this fast; it
    also makes the verdict one about the field and not about the solver, which at a loose tolerance may damp a cycle to
    rest: where there is no trap nothing converges. An algebraic tail is therefore undecided; ask `classify`.

    A start cycles if it comes as near to a cycle that attracts. Cycles are found from where starts are in the end: of a
    flow by `find_periodic_orbit`, of an update as a set that its steps come back to, with a frame of disturbances of
    which all shrink but the one along it. Neighbors on all sides, as far away as it is said to reach, must have been
    seen to come nearer. Cycles of a family, tori and chaos are undecided.

    Args:
        field: The field.
        starts: States with a leading axis on every leaf; see `state_grid`.
        duration: How long to follow them.
        update: The update to follow; the flow if None.
        equilibria: States near the equilibria; then there are no others. By default they are searched from some of the
            starts, and again from where starts end of which nothing is known.
        args: Handed to the field.
        solver: Diffrax solver for the flow; Tsit5 by default.
        rtol: Relative tolerance of the flow; 1e-6 by default, 1e-4 in float32. What a looser one says counts only where
            the default says the same. At the border of two basins a hundred times tighter one has to.
        atol: Absolute tolerance; a hundredth of `rtol` by default, so that invariant lines are not crossed.
        chunk_size: Starts to a chunk, see `simulate.ensemble`.
        check: Whether to look if the field has explicit time. If not, its equilibria are those at time 0.

    Returns:
        Fates, and what they rest on.

    Raises:
        ValueError: If an argument cannot work, or the field has explicit time.
    """
    if _checks.is_traced((field, starts, args, update)):
        raise ValueError("`field` and `starts` must be concrete for a basin: call `basin` outside `jax.jit`.")
    starts = _problem.state(starts, "starts")
    duration = _checks.positive("duration", duration, "Time runs forward.").astype(_tree.dtype(starts))
    chunk_size = _checks.count("chunk_size", chunk_size)
    if check and depends_on_time(field, starts, duration, args):
        raise ValueError(
            "`field` must have no explicit time for a basin, but its velocity changes with t while the state does not: "
            "equilibria at one time are none at another. Freeze the time by `lambda t, y, args: field(t_end, y, args)` "
            "if it has died out by `t_end`, make it a part of the state with velocity 1, or take `check=False` if the "
            "equilibria do not depend on it."
        )
    chunks, search = Chunks.of(starts, chunk_size), Search(field, _chunks.on_host(starts), args, update)
    if update is None:
        way = FlowWay(field, chunks, duration, args, solver, rtol, atol)
    else:
        way = UpdateWay(Steps(update, field, args, duration), chunks)
    standing = Standing(way, search.first(equilibria))
    if equilibria is None:
        standing.search_again(search)
    standing.find_cycles()
    compare_tolerances(standing)
    return _assembled(starts, standing)


def _assembled(starts: State, found: Standing) -> Basin:
    fates = np.full(len(found.index), "undecided", object)
    fates[found.index >= 0], fates[found.cycle >= 0], fates[found.grown] = "converges", "cycles", "diverges"
    reasons = np.where(found.decided, "decided", found.reasons)
    return Basin(
        starts=starts,
        fate=_items(FATES, fates),
        index=jnp.asarray(found.index),
        cycle=jnp.asarray(found.cycle),
        reason=_items(REASONS, reasons),
        time=jnp.asarray(np.where(found.decided, found.time, np.inf), found.time.dtype),
        final_state=jax.tree.map(jnp.asarray, found.final_state),
        equilibria=jax.tree.map(jnp.asarray, found.sinks.ys),
        traps=jax.tree.map(jnp.asarray, found.sinks.traps),
        cycles=found.cycles,
    )


def _items(enumeration: Any, names: np.ndarray) -> Any:
    """Items of an enumeration with a leading axis."""
    known, places = tuple(sorted(set(names))), np.zeros(len(names), int)
    for place, name in enumerate(known):
        places[names == name] = place
    return _chosen(enumeration, known, jnp.asarray(places))


@jit
def _chosen(enumeration: Any, names: tuple[str, ...], places: Int[Array, " starts"]) -> Any:
    def one(place: Int[Array, ""]) -> Any:
        item = getattr(enumeration, names[0])
        for i, name in enumerate(names[1:]):
            item = enumeration.where(place == i + 1, getattr(enumeration, name), item)
        return as_words(enumeration.where(place >= 0, item, item))

    return eqx.filter_vmap(one)(places)
