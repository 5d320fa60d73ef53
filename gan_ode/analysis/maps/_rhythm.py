"""After how many steps an update does the same again, once it has run for long.

The counters in its memory are followed until they repeat, or grow evenly; then they are set forward by decades, and
what a step reads off them is compared. Only numbers of the clock are computed, in one small compiled scan.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from ... import _checks
from ..._entry import guarded
from ..._problem import state_of
from ..._types import Args, Field, State
from ...updates import AbstractUpdate
from ._clock import Clock, NotKnownError, Readings, taken_apart, time_zero
from ._settled import LONGEST, Reading, Settled, settled

# Steps of the clock that are looked at in a row: two of the longest periods and some more.
_WINDOW = 2 * LONGEST + 64
# Numbers of steps that are looked at. Counters are set forward to shortly before them, so that what happens at round
# numbers is seen, and shortly before each comparison of a counter that will come out differently.
_NEXT = (2_000, 4_000, 10_000, 20_000, 10**5, 10**6, 10**7, 10**8)
_LATE = (10_000, 10**5, 10**6, 10**7, 10**8)
_SHORTLY = 128
_MOST_WINDOWS = 64


class Rhythm(eqx.Module):
    """How an update repeats.

    Attributes:
        period: Steps after which it does the same again, when it has run for long.
        since: The first step from which what it does is within a tenth of that; a multiple of the period.
        answers: Of each leaf of the memory, whether it answers to the state.
        followed: Leaves of the clock that a step takes anything from.
        before: Their values late, one step before a period begins.
        late: Their values as a period begins, where the number of steps is a multiple of the period.
        earlier: Their values at some earlier steps, with a leading axis, if anything comes to zero late.
        settled: Whether it does repeat, as far as that could not be told while JAX traced.
    """

    period: int = eqx.field(static=True)
    since: int = eqx.field(static=True)
    answers: tuple[bool, ...] = eqx.field(static=True)
    followed: tuple[int, ...] = eqx.field(static=True)
    before: list[Any]
    late: list[Any]
    earlier: list[Any]
    settled: Bool[Array, ""]

    def of_state(self, memory: Any) -> list[Array]:
        """The leaves of a memory that answer to the state."""
        return [leaf for leaf, kept in zip(taken_apart(memory)[0], self.answers, strict=True) if kept]

    def with_state(self, memory: Any, answering: Sequence[Array]) -> Any:
        """The memory with other values for those leaves."""
        leaves, restore = taken_apart(memory)
        rest = iter(answering)
        return restore([next(rest) if kept else leaf for leaf, kept in zip(leaves, self.answers, strict=True)])

    def with_clock(self, memory: Any, values: Sequence[Any]) -> Any:
        """The memory with its clock set."""
        leaves, restore = taken_apart(memory)
        for i, value in zip(self.followed, values, strict=True):
            leaves[i] = jnp.asarray(value, leaves[i].dtype)
        return restore(leaves)


def rhythm(update: AbstractUpdate, field: Field, y: State, args: Args = None, *, strict: bool = True) -> Rhythm:
    """How an update repeats.

    Works while JAX traces: numbers that are traced, as a step size that is swept, are not needed, as long as counters
    do not depend on them. Of coefficients that do, as Adam's bias corrections at rates that are swept, `settled` says.

    Args:
        update: The update.
        field: The field.
        y: A fixed point.
        args: Handed to the field.
        strict: Whether to refuse a rule that never repeats. Otherwise it is taken as at late counters.

    Raises:
        ValueError: If it does not repeat, or only after more than 256 steps; or if it remembers where it started.
        NotKnownError: If counters depend on the state or on what is traced.
    """
    try:
        return _found(Clock(update, field, y, args), strict)
    except NotKnownError:
        if _checks.is_transformed():
            raise
    _, memory = update.step(field, time_zero(y), y, args, update.init(field, y, args))
    return _found(Clock(update, field, y, args, memory), strict)


@guarded("y")
def step_period(update: AbstractUpdate, field: Field, y: State, *, args: Args = None) -> int:
    """After how many steps an update does the same again, when it has run for long.

    1 for most rules: counters that only make a warm-up, a schedule that ends or a bias correction are at rest late.
    `optax.MultiSteps(..., k)` and `optax.apply_every(k)` have the period `k`, two players with 2 and 3 have 6, and a
    learning rate that cycles has its own. `multipliers` and what is made of them belong to this many steps.

    Args:
        update: The update.
        field: The field.
        y: A fixed point: a state or an equilibrium.
        args: Handed to the field.

    Returns:
        The number of steps, a Python number also under a transformation.

    Raises:
        ValueError: If the rule does not repeat, as with a learning rate that falls for ever, or only after more than
            256 steps; or if it remembers where it started, as `updates.AnchoredExtragradient`.
    """
    return rhythm(update, field, state_of(y), args).period


def _found(clock: Clock, strict: bool) -> Rhythm:
    if clock.anchored and strict:
        raise ValueError(
            "`update` must forget where it started, but its steps go by a number of its memory that stays as it was "
            "made of the first state, an anchor: how fast it comes near depends on the start, and no multiplier tells "
            "it. Follow its orbits by `iterate`, or take `check=False` for a late step with the anchor at `y`."
        )
    if not clock.followed:
        return Rhythm(1, 0, clock.answers, (), [], [], [], jnp.asarray(True))
    if any(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in clock.start):
        raise ValueError(
            "`update` must take the same step again and again, but draws random numbers, which move every state: leave "
            "them out, and see `analysis.stationary_covariance_of_steps` for what they do."
        )
    windows, late, complete = _windows(clock)
    repeats = True
    try:
        _check(windows, complete)
        found = settled(_readings(windows), [window.at for window in windows], late)
    except ValueError:
        if strict:
            raise
        found, repeats = Settled(1, len(windows) - 1, 1, windows[-1].at, open=False, fades=False), False
    window = windows[found.window]
    before, now = ([np.asarray(leaf[k]) for leaf in window.clocks] for k in (found.tick - 1, found.tick))
    holds = jnp.asarray(repeats)
    if found.open:
        earlier = windows[late[late.index(found.window) - 1]]
        holds = _repeats(clock, window, earlier, found.period)
    earlier = [np.stack([each.clocks[i][k] for each, k in _early(windows)]) for i in range(len(now))]
    earlier = earlier if found.fades else []
    answers, followed = clock.answers, clock.followed
    return Rhythm(found.period, found.since, answers, followed, before, now, earlier, holds)


class _Window(NamedTuple):
    """Steps of the clock in a row.

    Attributes:
        at: Number of the first step.
        clocks: The followed leaves before each step, and after the last one, with a leading axis.
        readings: What each step read.
        usual: Of each leaf, how large it was in the beginning.
    """

    at: int
    clocks: list[np.ndarray]
    readings: Readings
    usual: list[float]

    @property
    def end(self) -> int:
        """Number of the first step after them."""
        return self.at + _WINDOW

    @property
    def after(self) -> list[np.ndarray]:
        """The leaves after them."""
        return [np.asarray(leaf[-1]) for leaf in self.clocks]

    @property
    def repeats(self) -> bool:
        """Whether all leaves are again what they were: then so it goes on, since nothing else runs them."""
        rows = np.concatenate([_numbers(leaf) for leaf in self.clocks], axis=1)
        return bool(np.any(np.all(rows[:-1] == rows[-1], axis=1)))

    def period(self) -> int | None:
        """After how many steps each leaf has grown by the same, again and again; None if they do not."""
        numbers = [_numbers(leaf) for leaf in self.clocks]
        for period in range(1, LONGEST + 1):
            growths = [leaf[period:] - leaf[:-period] for leaf in numbers]
            if all(map(_even, growths, self.clocks, self.usual)):
                return period
        return None

    def ahead(self, period: int, times: int) -> list[np.ndarray] | None:
        """The leaves so many periods after the last step; None if they do not fit in their type."""
        found = []
        for leaf in self.clocks:
            if leaf.dtype == bool:
                found.append(np.asarray(leaf[-1]))
                continue
            numbers = _numbers(leaf)
            there = numbers[-1] + times * (numbers[-1] - numbers[-1 - period])
            if jnp.issubdtype(leaf.dtype, jnp.integer) and np.any(np.abs(there) > jnp.iinfo(leaf.dtype).max):
                return None
            found.append(np.reshape(there.astype(leaf.dtype), leaf.shape[1:]))
        return found

    def next_event(self, period: int) -> float:
        """Number of the step at which a comparison comes out differently for the first time, if counters go on."""
        event = np.inf
        for left, right in self.readings.compared:
            gap = _numbers(np.asarray(left)) - _numbers(np.asarray(right))
            if not np.all(np.isfinite(gap)):
                continue
            growth = gap[period:] - gap[:-period]
            last, rise = gap[-period:, 0], growth[-1, 0]
            if _even(growth, gap) and rise != 0:
                ahead = last[last * rise < 0]
                periods = np.floor(np.abs(ahead) / abs(rise))
                event = min(event, self.end + float(np.min(periods, initial=np.inf) - 1) * period)
        return event


def _windows(clock: Clock) -> tuple[list[_Window], list[int], bool]:
    """What the clock does, which of the windows are late, and whether they tell of the limit."""

    def run(values: list[Array]) -> tuple[list[Array], list[Array], Readings]:
        def step(values: list[Array], _: None) -> tuple[list[Array], tuple[list[Array], Readings]]:
            after, readings = clock.tick(values)
            return after, (values, readings)

        last, (before, readings) = jax.lax.scan(step, values, length=_WINDOW)
        return last, before, readings

    compiled = jax.jit(run)

    def look(at: int, values: Sequence[Any]) -> _Window:
        last, before, readings = compiled([jnp.asarray(each) for each in values])
        clocks = [np.concatenate([np.asarray(b), np.asarray(a)[None]]) for a, b in zip(last, before, strict=True)]
        usual = [float(np.max(np.abs(leaf.astype(float)))) for leaf in clocks] if at == 0 else windows[0].usual
        return _Window(at, clocks, jax.tree.map(np.asarray, readings), usual)

    windows: list[_Window] = []
    late: list[int] = []
    with jax.ensure_compile_time_eval():
        windows.append(look(0, clock.start))
        for decade in _NEXT:
            while windows[-1].end <= decade - _SHORTLY and len(windows) < _MOST_WINDOWS:
                if windows[-1].repeats:
                    for _ in range(2):
                        windows.append(look(windows[-1].end, windows[-1].after))
                    return windows, [len(windows) - 2, len(windows) - 1], True
                windows.append(look(*_onward(windows[-1], decade - _SHORTLY)))
            if decade in _LATE:
                late.append(len(windows) - 1)
    return windows, late, windows[-1].end > _NEXT[-1] - _SHORTLY


def _onward(window: _Window, target: int) -> tuple[int, list[np.ndarray]]:
    """Number of the next step to look at, and the leaves there."""
    period = window.period()
    if period is not None:
        there = min(target, window.next_event(period) - _SHORTLY)
        times = int(there - window.end) // period
        values = window.ahead(period, times) if times > 0 else None
        if values is not None:
            return window.end + times * period, values
    return window.end, window.after


def _readings(windows: Sequence[_Window]) -> list[Reading]:
    found = []
    for name in ("coefficients", "mixed"):
        each = [getattr(window.readings, name) for window in windows]
        for arrays in zip(*each, strict=True):
            itemsize = max(arrays[0].dtype.itemsize, 4) if jnp.issubdtype(arrays[0].dtype, jnp.inexact) else 0
            rows = np.stack([array.astype(float) for array in arrays])
            found += [Reading(rows[..., k], itemsize, name == "mixed") for k in range(rows.shape[-1])]
    return found


def _early(windows: Sequence[_Window]) -> list[tuple[_Window, int]]:
    """Some steps of all windows, more of them in the beginning."""
    return [(windows[0], k) for k in (0, 1, 3, 10, 30, 100, 300)] + [(window, 0) for window in windows[1:]]


def _check(windows: Sequence[_Window], complete: bool) -> None:
    moduli = [np.max(np.abs(each)) for window in windows for each in window.readings.moduli]
    longest = max(moduli, default=0)
    if longest > LONGEST:
        raise ValueError(
            f"`update` must do the same again after at most {LONGEST} steps, but it counts by {longest:.4g}: take a "
            "shorter period, or `check=False` for one step at late counters."
        )
    if not complete:
        raise ValueError(
            f"`update` must do the same again after at most {LONGEST} steps, but its counters neither repeat nor grow "
            "evenly: write counters that count steps, or take `check=False` for one step at late counters."
        )


def _repeats(clock: Clock, window: _Window, earlier: _Window, period: int) -> Bool[Array, ""]:
    """Whether coefficients that also depend on what is traced repeat, and are at their limit."""
    if clock.by_unknown:
        return jnp.asarray(False)

    def coefficients(values: list[Array]) -> Array:
        found = clock.tick(values, traced=True)[1].coefficients
        return jnp.concatenate([each.astype(jnp.result_type(float)) for each in found])

    at_limit, before = (
        jax.vmap(coefficients)([jnp.asarray(leaf[:-1]) for leaf in each.clocks]) for each in (window, earlier)
    )
    steps = (earlier.at + np.arange(_WINDOW) - window.at) % period
    tolerance = (1e-4 if at_limit.dtype.itemsize <= 4 else 1e-6) * jnp.max(jnp.abs(at_limit), axis=0)
    again = jnp.abs(at_limit[period:] - at_limit[:-period]) <= tolerance
    return jnp.all(again) & jnp.all(jnp.abs(before - at_limit[steps]) <= tolerance)


def _numbers(leaf: np.ndarray) -> np.ndarray:
    """One row a step, wide enough that differences do not overflow."""
    wide = leaf.astype(float if np.issubdtype(leaf.dtype, np.floating) else np.int64)
    return wide.reshape(len(leaf), -1)


def _even(growth: np.ndarray, leaf: np.ndarray, usual: float = 0.0) -> bool:
    """Whether the numbers of a leaf have grown by the same at every step, but for rounding."""
    rounding = 0.0
    if np.issubdtype(leaf.dtype, np.floating):
        rounding = max(2 * float(np.finfo(leaf.dtype).eps * np.max(np.abs(leaf))), 1e-12 * usual)
    return bool(np.all(np.abs(growth - growth[-1]) <= rounding))
