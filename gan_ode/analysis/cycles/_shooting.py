"""The search for a closed orbit: the first return, and from there Newton's iteration at two tolerances.

All of it is one loop with one solve in it, so that one solve is compiled: the flow is followed to a section, or over a
trial period at one tolerance or the other.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ... import _tree
from ..._types import Args, Scalar
from ._closing import Closing, Looser
from ._first_return import Legs, velocity_and_wait
from ._floquet import Section, Turn
from ._smallest_sizes import FlatField

_MOST_TURNS, _MOST_BESIDE = 16, 8
# The second tolerance over the first. The first is not taken below the finest, and a return, which is but a guess, not
# told better than this.
_LOOSER, _FINER, _FINEST, _GUESS = 10.0, 0.1, {4: 1e-7, 8: 1e-13}, 1e-6
# An orbit that is so small against its state is looked at beside it too, this many sizes away, where spirals are
# faster; and again from there, until it is no longer small.
_SMALL, _AWAY = 0.1, 30.0
# Ends of a turn so far from each other, relative to its size, are those of different orbits.
_APART = 1e-2
# A neighbor that a turn changes by more than this has left for elsewhere: that is no slow spiral.
_ELSEWHERE = 0.1


class Trial(eqx.Module):
    """What to follow.

    Attributes:
        y: From where.
        duration: How long, at most.
        bend: How unevenly the samples lie in time, from 0 to 1.
        rtol: Relative tolerance.
        looser: So many times larger are the tolerances than what they are taken for.
        ys: States that tell the sizes of components.
        size: Of the orbit, about.
        section: Where to end.
        with_displacements: Whether to follow displacements.
    """

    y: Float[Array, " n"]
    duration: Scalar
    bend: Scalar
    rtol: Scalar
    looser: Scalar
    ys: Float[Array, "times n"]
    size: Scalar
    section: Section
    with_displacements: Bool[Array, ""]


class Search(eqx.Module):
    """Where the search stands.

    Attributes:
        legs: The way to the first return.
        looking: Whether that is still looked for.
        y: The next point of Newton's iteration.
        period: The next trial period.
        rtol: The finer tolerance.
        looser: What the looser one made of this point and period.
        loosely: Whether it is the looser one's turn.
        ys: Samples of the last turn.
        size: Of that turn.
        count: How many turns were followed, from the guess or from the last neighbor.
        beside: Whether a neighbor is followed.
        going: Whether to go on.
        closing: The last turn that was not beside, and its errors.
        spirals: Whether what looks like one of a family has a neighbor that does not close.
        apart: Whether the tolerances ever made different orbits of a turn of about the first return's size.
    """

    legs: Legs
    looking: Bool[Array, ""]
    y: Float[Array, " n"]
    period: Scalar
    rtol: Scalar
    looser: Looser
    loosely: Bool[Array, ""]
    ys: Float[Array, "times n"]
    size: Scalar
    count: Array
    beside: Bool[Array, ""]
    going: Bool[Array, ""]
    closing: Closing
    spirals: Bool[Array, ""]
    apart: Bool[Array, ""]

    @property
    def trial(self) -> Trial:
        """What to follow next."""
        one, looking = jnp.ones_like(self.rtol), self.looking
        section = self.legs.section
        return Trial(
            y=jnp.where(looking, self.legs.y, self.y),
            duration=jnp.where(looking, self.legs.wait, self.period),
            # At other times, or short steps from time to time would be the same at both tolerances, and seem exact.
            bend=jnp.where(self.loosely & ~looking, one, 0),
            rtol=jnp.where(looking, jnp.minimum(self.rtol, _GUESS), self.rtol),
            looser=jnp.where(self.loosely & ~looking, _LOOSER * one, one),
            ys=self.ys,
            size=self.size,
            section=Section(section.origin, section.normal, jnp.where(looking, section.sign, 0)),
            with_displacements=~looking,
        )


def search(
    follow: Callable[[Trial], Turn], field: FlatField, start: Array, args: Args, rtol: Scalar, wait: Scalar | None,
    untried: Turn,
) -> Search:  # fmt: skip
    """Searches for a return, and closes it.

    Where two tolerances do not agree, they are refined. What is left alone, as one of a family of cycles, has to close
    by itself; and where it is small, so have some at a distance from it.

    Args:
        follow: Follows the flow.
        field: The field, on flat states.
        start: Where to start; nothing is followed if that is not finite.
        args: Handed to the field.
        rtol: The finer tolerance to begin with.
        wait: How long to wait for a crossing; chosen if None.
        untried: A turn of the right shape, at the start.
    """

    def iterate(now: Search) -> Search:
        turn = follow(now.trial)
        newton = _tree.where(now.loosely, _after_the_looser(now, turn), _after_the_finer(now, turn))
        return _tree.where(now.looking, _after_a_leg(now, field, args, turn, wait), newton)

    def goes_on(now: Search) -> Bool[Array, ""]:
        return now.going & (now.count < jnp.where(now.beside, _MOST_BESIDE, _MOST_TURNS))

    no, yes, none, zero = jnp.asarray(False), jnp.asarray(True), jnp.asarray(0), jnp.zeros_like(rtol)
    looser = Looser.of(untried)
    like = eqx.filter_eval_shape(lambda: Closing.of(looser, untried, rtol, none))
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)
    legs = Legs.start(start, *velocity_and_wait(field, start, args, wait))
    begin = Search(
        legs, yes, start, zero, rtol, looser, yes, untried.ys, zero + 1, none, no, legs.goes_on, nothing, no, no
    )
    return jax.lax.while_loop(goes_on, iterate, begin)


def _after_a_leg(now: Search, field: FlatField, args: Args, leg: Turn, wait: Scalar | None) -> Search:
    legs = now.legs.after(field, args, leg, wait)
    guess = legs.guess
    there = jnp.broadcast_to(guess.y, now.ys.shape)
    # Until the flow has gone around there is no size, and nothing is divided by it.
    size = jnp.where(guess.size > 0, guess.size, now.size)
    changed = (legs, legs.goes_on, guess.y, guess.period, size, there, guess.found)
    return eqx.tree_at(lambda n: (n.legs, n.looking, n.y, n.period, n.size, n.ys, n.going), now, changed)


def _after_the_looser(now: Search, turn: Turn) -> Search:
    return eqx.tree_at(lambda n: (n.looser, n.loosely), now, (Looser.of(turn), jnp.asarray(False)))


def _after_the_finer(now: Search, turn: Turn) -> Search:
    num_family = jnp.where(now.beside, now.closing.correction.num_neutral, 0)
    closing = Closing.of(now.looser, turn, now.rtol, num_family)
    finest = 1.5 * _FINEST[max(turn.ys.dtype.itemsize, 4)]
    refines = closing.settled & ~closing.agrees & ~now.beside & (now.rtol > finest)
    done = closing.settled & ~refines
    limit = _SMALL * (1 + jnp.max(jnp.abs(turn.ys)))
    distance = jnp.minimum(limit, _AWAY * turn.size)
    one_of_a_family = closing.agrees & closing.closes & (closing.correction.num_neutral > 0)
    leaves = done & one_of_a_family & (turn.size < limit)
    change = jnp.maximum(jnp.linalg.norm(closing.step) / turn.size, jnp.abs(closing.delay) / turn.period)
    damping = jnp.minimum(1.0, 0.5 / change).astype(change.dtype)
    drifts = now.beside & closing.ok & closing.settled & ~closing.closes & (closing.left < _ELSEWHERE)
    return Search(
        legs=now.legs,
        looking=now.looking,
        y=jnp.where(leaves, turn.ys[0] + distance * _outward(closing), turn.ys[0] + damping * closing.move),
        period=turn.period + damping * closing.delay,
        rtol=jnp.where(refines, _FINER * now.rtol, now.rtol),
        looser=now.looser,
        loosely=jnp.asarray(True),
        ys=turn.ys,
        size=turn.size,
        count=jnp.where(leaves, 0, now.count + 1),
        beside=now.beside | leaves,
        going=closing.ok & (~done | leaves),
        closing=_tree.where(now.beside, now.closing, closing),
        spirals=now.spirals | drifts,
        apart=now.apart | (closing.ok & (closing.end_error > _APART) & (turn.size > _SMALL * now.legs.size)),
    )


def _outward(closing: Closing) -> Float[Array, " n"]:
    """The direction along the family, away from the middle of the orbit."""
    turn = closing.turn
    direction = turn.across @ closing.correction.most_neutral
    return direction * jnp.where(direction @ (turn.ys[0] - jnp.mean(turn.ys, axis=0)) < 0, -1, 1).astype(turn.ys.dtype)
