"""A branch of cycles as one compiled program, for `jax.vmap` and `jax.jit`: its arrays have a fixed length, and are NaN
past the end."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int

from ..._lowering import jit_quickly
from ..._types import Scalar
from ..arclength._corrector import where
from ..arclength._motion import OfFields
from ._branch import CODES
from ._collocation import Chart, DEGREE, INTEGRALS_AT, Path
from ._corrector import Cycle, follow
from ._walk import (
    ANGLE,
    AT_HOPF,
    CONTRACTION,
    END_OF_RANGE,
    FIRST,
    GROWS,
    LONGER,
    MANY_FOLDS,
    MANY_POINTS,
    NO_END,
    NO_START,
    only_share,
    OUTSIDE,
    SHORT_STEP,
    SHORTEST,
    SHRINKS,
    SHRUNK,
    STANDS,
)

_ON_ITS_WAY = CODES[""]
# Corrections of the first cycle, each on a mesh that is adapted to the one before.
_CORRECTIONS = 4
# Rows that the loop holds before they are put away where all are kept: under `jax.vmap` it copies what it holds at each
# step.
_FEW = 8


class Rows(eqx.Module):
    """Cycles one after the other, of which the first `count` are there.

    Attributes:
        values: The parameter.
        periods: The periods.
        samples: Flat states, shape `(rows, samples, n)`.
        shares: When these are, as shares of the period.
        multipliers: All but the 1 of a shift along the cycle.
        count: How many there are.
    """

    values: Float[Array, " rows"]
    periods: Float[Array, " rows"]
    samples: Float[Array, "rows samples n"]
    shares: Float[Array, "rows samples"]
    multipliers: Complex[Array, "rows others"]
    count: Int[Array, ""]


class _Walk(eqx.Module):
    """Where the walk along a branch is.

    Attributes:
        here: The last cycle.
        step: The next step.
        corrections: How often the first cycle was corrected.
        shortest: The logarithm of the shortest period.
        num_folds: How often the parameter turned.
        lately: The cycles since the last time that they were put away.
        before: How many were put away.
        status: Why it ended.
    """

    here: Cycle
    step: Scalar
    corrections: Int[Array, ""]
    shortest: Scalar
    num_folds: Int[Array, ""]
    lately: Rows
    before: Int[Array, ""]
    status: Int[Array, ""]


@jit_quickly
def program(
    family: OfFields, chart: Chart, guess: Cycle, longest: Scalar, max_points: int, max_folds: int
) -> tuple[Rows, Int[Array, ""]]:
    """The cycles of a branch from a guess at the first one, and the number of the word for its end.

    Args:
        family: The fields.
        chart: The units.
        guess: Near the cycle at the start of the range.
        longest: The longest step.
        max_points: Most cycles.
        max_folds: Most folds.
    """
    few = min(_FEW, max_points)

    def goes_on(walk: _Walk) -> Array:
        return (walk.status == _ON_ITS_WAY) & (walk.lately.count < few)

    def next_page(state: tuple[_Walk, Rows]) -> tuple[_Walk, Rows]:
        """Some more cycles, put away where all are kept."""
        walk, kept = state
        walk = jax.lax.while_loop(
            goes_on, lambda walk: _advanced(family, chart, walk, longest, max_points, max_folds), walk
        )
        at, total = walk.before, walk.before + walk.lately.count
        put = jax.tree.map(
            lambda rows, new: rows if rows.ndim == 0 else jax.lax.dynamic_update_slice_in_dim(rows, new, at, 0),
            kept,
            walk.lately,
        )
        emptied = eqx.tree_at(lambda rows: rows.count, walk.lately, jnp.zeros_like(walk.lately.count))
        walk = eqx.tree_at(lambda w: (w.before, w.lately), walk, (total, emptied))
        return walk, eqx.tree_at(lambda rows: rows.count, put, total)

    zero, none = jnp.zeros_like(guess.path.share), jnp.asarray(0)
    step = jnp.minimum(jnp.asarray(FIRST, zero.dtype), longest)
    start = _Walk(guess, step, none, zero + jnp.inf, none, _nothing(few, guess), none, jnp.asarray(_ON_ITS_WAY))
    state = start, _nothing(-(-max_points // few) * few, guess)
    walk, kept = jax.lax.while_loop(lambda state: state[0].status == _ON_ITS_WAY, next_page, state)
    there = jnp.arange(max_points) < kept.count

    def known(rows: Array) -> Array:
        rows = rows[:max_points]
        return jnp.where(there.reshape(-1, *(1,) * (rows.ndim - 1)), rows, jnp.nan)

    return jax.tree.map(lambda leaf: leaf if leaf.ndim == 0 else known(leaf), kept), walk.status


def _nothing(rows: int, like: Cycle) -> Rows:
    intervals, n = like.path.x.shape
    zeros = jnp.zeros(rows, like.path.x.dtype)
    samples = jnp.zeros((rows, DEGREE * intervals + 1, n), zeros.dtype)
    multipliers = jnp.zeros((rows, n - 1), like.multipliers.dtype)
    return Rows(zeros, zeros, samples, samples[..., 0], multipliers, jnp.asarray(0))


def _advanced(family: OfFields, chart: Chart, walk: _Walk, longest: Scalar, max_points: int, max_folds: int) -> _Walk:
    """One step, taken or given up; at first a correction of the first cycle."""
    here, begins = walk.here, walk.corrections < _CORRECTIONS
    is_first = walk.corrections == _CORRECTIONS - 1
    aim = only_share(here.path)
    reach, at_border = _aimed(here, walk.step * jnp.maximum(1, here.seen.amplitude))
    step = jnp.where(begins, 0, reach)
    side = jnp.where(begins, 1, jnp.sign(here.tangent.share))
    border = where(begins | at_border, jax.tree.map(lambda leaf: side * leaf, aim), here.tangent)
    _, there = follow(family, chart, here, step, border, here.path.k, ~begins | (walk.corrections > 0))
    good, factor = _judged(here, there, border, at_border)
    taken = there.ok & (begins | good)
    shrinks_to_hopf = ~begins & there.ok & (there.seen.overlap < 0) & (here.seen.amplitude < 2 * reach)
    turned = taken & ~begins & (here.tangent.share * there.tangent.share < 0)
    num_folds = walk.num_folds + turned
    kept = taken & (~begins | is_first)
    lately = _with(walk.lately, there, chart, kept)
    shortest = jnp.where(kept, jnp.minimum(walk.shortest, there.path.log_period), walk.shortest)
    grows, moves = there.tangent.log_period, jnp.abs(there.tangent.share)
    long = there.path.log_period - shortest > np.log(LONGER)
    smaller = jnp.where(begins, walk.step, walk.step * jnp.where(taken, factor, SHRINKS))
    lost = jnp.where(there.finite, CODES[SHORT_STEP], CODES[OUTSIDE])
    ends = [
        (taken & (walk.before + lately.count >= max_points), MANY_POINTS),
        (taken & (num_folds > max_folds), MANY_FOLDS),
        (taken & ~begins & long & (grows > 0) & (moves < STANDS * grows), NO_END),
        (taken & ~begins & at_border, END_OF_RANGE),
        (shrinks_to_hopf, AT_HOPF),
        (begins & ~there.ok, NO_START),
    ]
    status = jnp.where(~taken & ~begins & (smaller < SHORTEST), lost, _ON_ITS_WAY)
    for holds, word in ends:
        status = jnp.where(holds, CODES[word], status)
    return _Walk(
        here=where(taken, there, here),
        step=jnp.minimum(smaller, longest),
        corrections=walk.corrections + begins,
        shortest=shortest,
        num_folds=num_folds,
        lately=lately,
        before=walk.before,
        status=status,
    )


def _aimed(here: Cycle, reach: Scalar) -> tuple[Scalar, Bool[Array, ""]]:
    """How far to go, and whether that is to the end of the range."""
    slope, share = here.tangent.share, here.path.share
    ahead = share + reach * slope
    at_border = (ahead >= 1) | (ahead <= 0)
    end = jnp.where(slope > 0, 1.0, 0.0).astype(share.dtype)
    moves = jnp.abs(slope) > 0
    return jnp.where(
        at_border & moves, jnp.minimum(reach, (end - share) / jnp.where(moves, slope, 1)), reach
    ), at_border


def _judged(here: Cycle, there: Cycle, border: Path, at_border: Array) -> tuple[Array, Scalar]:
    """Whether a step is good enough to keep, and by what to multiply the next."""
    angle = jnp.arccos(jnp.clip(there.seen.turned, -1, 1))
    # To the end of the range the direction that was searched across is not the branch's.
    angle = jnp.where(at_border, 0, angle)
    inside = (there.path.share >= -1e-12) & (there.path.share <= 1 + 1e-12)
    shrunk = there.seen.amplitude < SHRUNK * here.seen.amplitude
    good = ~shrunk & inside & (angle <= ANGLE[1]) & (there.contraction <= CONTRACTION[1])
    factor = jnp.minimum(
        ANGLE[0] / jnp.maximum(angle, 1e-6), jnp.sqrt(CONTRACTION[0] / jnp.maximum(there.contraction, 1e-6))
    )
    return good, jnp.clip(factor, SHRINKS, GROWS)


def _with(rows: Rows, cycle: Cycle, chart: Chart, kept: Array) -> Rows:
    """One cycle more, if it is kept: else the next one is written over it."""
    at, lengths, (intervals, n) = rows.count, jnp.diff(cycle.mesh), cycle.path.x.shape
    rises = lengths[:, None, None] * jnp.einsum("sj,ijn->isn", INTEGRALS_AT, cycle.path.k)
    samples = (cycle.path.x[:, None] + rises).reshape(intervals * DEGREE, n)
    shares = (cycle.mesh[:-1, None] + lengths[:, None] * np.arange(DEGREE) / DEGREE).ravel()
    return Rows(
        values=rows.values.at[at].set(chart.value(cycle.path.share)),
        periods=rows.periods.at[at].set(jnp.exp(cycle.path.log_period)),
        samples=rows.samples.at[at].set(jnp.concatenate([samples, samples[:1]])),
        shares=rows.shares.at[at].set(jnp.append(shares, cycle.mesh[-1])),
        multipliers=rows.multipliers.at[at].set(cycle.multipliers),
        count=at + kept,
    )
