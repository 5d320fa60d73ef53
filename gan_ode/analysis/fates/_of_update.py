"""The verdict on an update's orbit, which is exact: followed for doubling numbers of steps until it is decided."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from ... import _tree
from ..._lowering import jit
from ..._types import Args, Field, State
from ...updates import AbstractUpdate
from ..lyapunov._exponents import lyapunov_exponents
from ..maps._multipliers import multipliers
from ..maps._rhythm import Rhythm, rhythm
from ._affine import is_affine
from ._follower import Follower
from ._rest import as_equilibrium, Rest, root_near
from ._trapping_region import step_trap, TrappingRegion
from ._verdict import Verdict
from ._wandering import CURVE, dimension, is_regular, rotation, SURFACE, weighted

SAVES = 4096
_MOST_SEGMENTS = 14
# Steps in all, unless a duration asks for more.
_BUDGET = 2_000_000
# An orbit of few steps repeats to this, relative to its size.
_REPEATS = {4: 1e-5, 8: 1e-11}
_LONGEST_PERIOD = 512
# Where a fixed point attracts by its third-order terms alone, rounding keeps orbits of its cube root from it.
_HELD = 10.0
# Weighted averages over two halves agree to this on a closed curve or a torus.
_REGULAR = {4: 1e-4, 8: 1e-7}
_ENOUGH_TURNS = 8
_SAME_LAW, _WINDOWS = 0.05, 4
_MUCH = 1e3
_SURE = 8.0
# Numbers of a state up to which matrices are dense, and many states are kept.
_FEW = 300
# States at which an invariant is taken.
_OF_INVARIANT = 2048


@dataclasses.dataclass(frozen=True)
class _Segment:
    """Evenly spaced states of an orbit.

    Attributes:
        points: Shape `(SAVES + 1, n)`, as far as they are finite.
        stride: Steps between two of them.
        steps: Number of the last step.
        whole: State and memory in flat form at its end.
        finite: Whether all states were.
    """

    points: np.ndarray
    stride: int
    steps: int
    whole: np.ndarray
    finite: bool


class _Runner:
    """Runs an update segment by segment."""

    def __init__(self, update: AbstractUpdate, field: Field, y0: State, args: Args):
        self.update, self.field, self.args = update, field, args
        self.y, self.memory = y0, update.init(field, y0, args)
        self.steps, self.step_size = 0, float(update.step_size)

    def run(self, stride: int) -> _Segment:
        points, self.y, self.memory = _run(
            self.update, self.field, self.y, self.memory, self.args, jnp.asarray(self.steps), jnp.asarray(stride)
        )
        self.steps += SAVES * stride
        points = np.asarray(points, float)
        finite = np.all(np.isfinite(points), axis=1)
        good = len(points) if np.all(finite) else int(np.argmin(finite))
        whole = np.asarray(ravel_pytree((self.y, eqx.filter(self.memory, eqx.is_inexact_array)))[0], float)
        return _Segment(points[:good], stride, self.steps, whole, good == len(points))


@jit
def _run(
    update: AbstractUpdate, field: Field, y: State, memory: Any, args: Args, first: Array, stride: Array
) -> tuple[Array, State, Any]:
    dtype = _tree.dtype(y)
    arrays, rest = eqx.partition(memory, eqx.is_array)
    step_size = update.step_size.astype(dtype)

    def one(n: Array, carry: tuple[State, Any]) -> tuple[State, Any]:
        y, arrays = carry
        t = step_size * n.astype(dtype)
        y, memory = update.step(field, t, y, args, eqx.combine(arrays, rest))
        return y, eqx.filter(memory, eqx.is_array)

    def until_save(carry: tuple[State, Any], number: Array) -> tuple[tuple[State, Any], Array]:
        start = first + number * stride
        carry = jax.lax.fori_loop(start, start + stride, one, carry)
        return carry, ravel_pytree(carry[0])[0]

    (y_end, arrays), points = jax.lax.scan(until_save, (y, arrays), jnp.arange(SAVES))
    start = ravel_pytree(y)[0]
    return jnp.concatenate([start[None], points]), y_end, eqx.combine(arrays, rest)


def judge_update(
    update: AbstractUpdate, field: Field, y0: State, args: Args, *, duration: float | None, invariant: Callable | None
) -> Verdict:
    follower = Follower(field, y0, args, diffrax.Dopri8())
    start = np.asarray(ravel_pytree(y0)[0], float)
    judge = _Judge(update, field, y0, args, follower, invariant)
    if not np.all(np.isfinite(follower.velocity(start))):
        return judge.verdict("undecided", "the field is not finite at the start: look at it there")
    around = np.stack([start, 1.1 * start + 0.1])
    h = float(update.step_size)
    fields = [follower.at(time).velocities(around) for time in (0.0, h, 97.3 * h, 1e4 * h, 1e7 * h)]
    if not all(np.array_equal(each, fields[0], equal_nan=True) for each in fields):
        return judge.verdict("undecided", "the field depends on time: freeze it, or take the time as part of the state")
    most = _BUDGET if duration is None else max(math.ceil(duration / h), SAVES)
    return judge.run(most)


class _Judge:
    """What the segments of an orbit say, one after the other."""

    def __init__(
        self,
        update: AbstractUpdate,
        field: Field,
        y0: State,
        args: Args,
        follower: Follower,
        invariant: Callable | None,
    ):
        self.update, self.field, self.y0, self.args = update, field, y0, args
        self.follower, self.invariant = follower, invariant
        self.runner = _Runner(update, field, y0, args)
        self.segments: list[_Segment] = []
        self.rest: Rest | None = None
        self.size = float(np.max(np.abs(np.asarray(ravel_pytree(y0)[0], float))))
        try:
            self.rhythm: Rhythm | None = rhythm(update, field, y0, args, strict=False)
        except ValueError:
            self.rhythm = None
        # States are compared a whole period of the rule apart.
        self.period = 1 if self.rhythm is None else self.rhythm.period

    def verdict(self, kind: Any, reason: str, **numbers: Any) -> Verdict:
        h = self.runner.step_size
        drift = float("nan")
        if self.invariant is not None and self.segments:
            along = np.concatenate([each.points for each in self.segments])
            points = along[np.linspace(0, len(along) - 1, _OF_INVARIANT).astype(int)]
            values = self.invariant(jax.vmap(self.follower.restore)(jnp.asarray(points, self.follower.dtype)))
            drift = float(np.max(np.abs(values - values[0])))
        rest = self.rest
        equilibrium = None if rest is None else as_equilibrium(self.follower, rest)
        return Verdict(
            kind, reason, self.runner.steps * h, equilibrium=equilibrium, invariant_drift=drift,
            eigenvalues=None if rest is None else self._multipliers(rest), **numbers,
        )  # fmt: skip

    def _multipliers(self, rest: Rest) -> np.ndarray | None:
        y = self.follower.restore(jnp.asarray(rest.y, self.follower.dtype))
        try:
            return np.asarray(multipliers(self.update, self.field, y, args=self.args))
        except (ValueError, RuntimeError):
            # No linear part there: it is not smooth, or the rule never repeats.
            return None

    def run(self, most: int) -> Verdict:
        stride, extensible = 1, most == _BUDGET
        for number in range(_MOST_SEGMENTS):
            left = most - self.runner.steps
            if left < SAVES and number and extensible and self._still_grows():
                most, extensible = 4 * most, False
                left = most - self.runner.steps
            if left < SAVES and number:
                break
            stride = max(min(stride, left // SAVES // self.period), 1)
            segment = self.runner.run(stride * self.period)
            self.segments.append(segment)
            self.follower.look_at(segment.points) if number == 0 else self.follower.grow(segment.points)
            found = self._ended(segment) or self._settles(segment) or self._repeats() or self._by_law()
            if found is not None:
                return found
            if number:
                stride *= 2
        return self._goes_around() or self.verdict(
            "undecided", "it neither settles, nor repeats, nor keeps a law in the steps followed"
        )

    def _ended(self, segment: _Segment) -> Verdict | None:
        largest = float(np.max(np.abs(segment.points)))
        bound = float(np.sqrt(np.finfo(self.follower.dtype).max))
        if segment.finite and largest < bound:
            return None
        past = (
            int(np.argmax(np.max(np.abs(segment.points), axis=1) >= bound)) if largest >= bound else len(segment.points)
        )
        steps = segment.steps - (SAVES + 1 - past) * segment.stride
        sizes = np.max(np.abs(segment.points), axis=1)
        grown = largest >= bound or sizes[-1] > _MUCH * (1 + self.size) or _grows_fast(sizes)
        if grown:
            return self.verdict("diverges", f"the state grows without bound, by step {steps:,}")
        y = ", ".join(f"{number:.4g}" for number in segment.points[-1][:4])
        return self.verdict("undecided", f"the field is not finite where the orbit is, after step {steps:,} at ({y})")

    def _settles(self, segment: _Segment) -> Verdict | None:
        if self.follower.size > _FEW:
            return None
        end = segment.points[-1]
        rest = root_near(self.follower, end)
        self.rest = rest
        if rest is None or not rest.smooth:
            return None
        if self.rhythm is None:
            return None
        trap, held, gap = self._trap(rest, segment)
        growth = float(trap.growth)
        if held and float(trap.level) > 0 and bool(trap.speaks(jnp.asarray(segment.steps))):
            self.rest = rest
            return self.verdict(
                "converges", "the orbit has come so near to a stable fixed point that it cannot leave", rate=growth,
                rate_error=8 * np.sqrt(self.follower.rounding) / self.runner.step_size * max(len(end), 1),
            )  # fmt: skip
        still = gap <= 1e3 * self.follower.rounding * (np.max(np.abs(rest.y)) + 1e-30)
        if still and np.max(np.ptp(segment.points, axis=0)) <= 1e3 * self.follower.rounding * np.max(np.abs(end)):
            return self.verdict("converges", "the state rests at a fixed point")
        return None

    def _trap(self, rest: Rest, segment: _Segment) -> tuple[TrappingRegion, bool, float]:
        assert self.rhythm is not None
        y = self.follower.restore(jnp.asarray(rest.y, self.follower.dtype))
        whole = jnp.asarray(segment.whole, self.follower.dtype)
        trap, held, gap = _trap_at(self.update, self.field, y, self.args, whole, self.rhythm)
        return trap, bool(held), float(gap)

    def _repeats(self) -> Verdict | None:
        """An orbit of few steps, or steps on a fixed point, to rounding."""
        segment = self.segments[-1]
        if segment.stride != self.period:
            segment = self.runner.run(self.period)
            if not segment.finite:
                return self._ended(segment)
        points = segment.points
        size = float(np.max(np.ptp(points, axis=0)))
        small = _REPEATS[self.follower.itemsize]
        if size <= small * np.max(np.abs(points)) or size == 0:
            return None
        half = points[len(points) // 2 :]
        size = float(np.max(np.ptp(half, axis=0)))
        scale = size + 1e-3 * float(np.max(np.abs(half)))
        if np.max(np.abs(half[1:] - half[:-1])) <= small * scale:
            # It rests.
            return None
        if self._may_be_rounding(size, half):
            return None
        for period in range(2, _LONGEST_PERIOD + 1):
            gap = float(np.max(np.abs(half[period:] - half[:-period])))
            if gap <= small * scale:
                h = self.runner.step_size * self.period
                amplitude = float(np.max(np.ptp(half, axis=0)) / 2)
                return self.verdict(
                    "cycles", f"the orbit repeats after {period * self.period} steps, to {gap / scale:.0e} of its size",
                    period=period * h, period_error=1e-12 * period * h, amplitude=amplitude,
                    amplitude_error=max(gap, 1e-9 * amplitude), closure=gap / scale,
                )  # fmt: skip
        return None

    def _may_be_rounding(self, size: float, points: np.ndarray) -> bool:
        """Whether an orbit is as small as rounding keeps one around a fixed point that does not repel."""
        if size > _HELD * np.cbrt(self.follower.rounding) * np.max(np.abs(points)) or self.rest is None:
            return False
        found = self._multipliers(self.rest)
        return found is not None and bool(np.max(np.abs(found)) <= 1 + np.sqrt(self.follower.rounding))

    def _by_law(self) -> Verdict | None:
        """Amplitudes of windows that shrink, or grow, by one law."""
        if len(self.segments) < _WINDOWS + 1:
            return None
        last = self.segments[-_WINDOWS - 1 :]
        if not all(each.finite for each in last):
            return None
        h = self.runner.step_size
        times = np.array([h * (each.steps - each.stride * len(each.points) / 2) for each in last])
        center = None if self.rest is None else self.rest.y
        spreads = np.array([_spread(each.points, center) for each in last])
        if np.any(spreads <= 0):
            return None
        logs = np.log(spreads)
        powers = np.diff(logs) / np.diff(np.log(times))
        rates = np.diff(logs) / np.diff(times)
        rest = self.rest
        falls = np.all(np.diff(logs) < -0.005)
        can_rest = rest is not None and self._is_not_repelled()
        if falls and can_rest and _steady(powers, least=0.05):
            p = float(powers[-1])
            reason = f"the distance falls as t^{p:.3g}, over {_WINDOWS} doublings of time"
            return self.verdict("converges", reason, power=p, power_error=4 * float(np.ptp(powers)) + 0.01 * abs(p))
        if falls and can_rest and _steady(rates) and logs[0] - logs[-1] > 1:
            rate = float(rates[-1])
            reason = f"the distance falls at a steady rate, by {np.exp(logs[-1] - logs[0]):.2g} in {_WINDOWS} windows"
            return self.verdict("converges", reason, rate=rate, rate_error=4 * float(np.ptp(rates)) + 0.02 * abs(rate))
        if np.all(np.diff(logs) > 0.005) and _steady(rates) and logs[-1] - logs[0] > 0.2 and is_affine(self.follower):
            rate = float(rates[-1])
            reason = (
                f"the distance grows at a steady rate, by {np.exp(logs[-1] - logs[0]):.3g}, and the field is linear"
            )
            return self.verdict("diverges", reason, rate=rate, rate_error=4 * float(np.ptp(rates)) + 0.02 * abs(rate))
        sizes = np.array([np.max(np.abs(each.points)) for each in last])
        exponents = np.diff(np.log(sizes)) / np.diff(np.log([each.steps for each in last]))
        steady = np.all(exponents[-3:] > 0.3) and abs(exponents[-1] - exponents[-2]) < 0.1 * exponents[-1]
        if steady and sizes[-1] > _MUCH * (1 + self.size):
            return self.verdict("diverges", f"the state grows by a power of time, over {_WINDOWS} doublings of time")
        return None

    def _is_not_repelled(self) -> bool:
        rest = self.rest
        return rest is not None and self.rhythm is not None and not bool(self._trap(rest, self.segments[-1])[0].repels)

    def _still_grows(self) -> bool:
        sizes = [float(np.max(np.abs(each.points))) for each in self.segments[-3:]]
        return len(sizes) == 3 and sizes[2] > 1.02 * sizes[1] > 1.02**2 * sizes[0]

    def _goes_around(self) -> Verdict | None:
        """A closed curve, a torus, or chaos, from many consecutive steps at the end."""
        last = self.segments[-1]
        if not last.finite:
            return None
        middle = last.points.mean(axis=0)
        scale = np.ptp(last.points, axis=0)
        if np.max(scale) <= 1e3 * self.follower.rounding * np.max(np.abs(last.points)):
            return None
        scale = np.maximum(scale, 1e-9 * np.max(scale))
        first, second = np.array_split(last.points, 2)
        before = self.segments[-2].points if len(self.segments) > 1 else first
        itemsize = self.follower.itemsize
        apart = np.max(np.abs(weighted(first, middle, scale) - weighted(second, middle, scale)))
        earlier = np.max(np.abs(weighted(before, middle, scale) - weighted(last.points, middle, scale)))
        agree = _REGULAR[itemsize]
        if apart < agree and earlier < 10 * agree:
            return self._on_a_curve(last, last.points, scale)
        in_a_row = self._regular_in_a_row(last, agree)
        return self._chaos(last) if in_a_row is None else self._on_a_curve(last, in_a_row, scale)

    def _regular_in_a_row(self, last: _Segment, agree: float) -> np.ndarray | None:
        """Some of many steps in a row, if these are regular, and so much later as well; None if not.

        Of an orbit that is seen every so many steps, that many steps may be almost a whole number of turns.
        """
        if not 2 <= self.follower.size <= _FEW:
            return None
        now = self._consecutive(8)
        if not is_regular(*np.array_split(now, 2), agree=agree):
            return None
        self.runner.run(last.stride * self.period)
        if not is_regular(now, self._consecutive(8), 10 * agree):
            return None
        return now[np.random.default_rng(0).permutation(len(now))[: len(last.points)]]

    def _on_a_curve(self, last: _Segment, spread: np.ndarray, scale: np.ndarray) -> Verdict | None:
        consecutive = self._consecutive(8)
        slope = dimension(spread / scale)
        if slope > SURFACE:
            return self.verdict(
                "wanders", "a torus: averages over two halves of the time agree, and the orbit fills a surface"
            )
        if slope > CURVE:
            return None
        turn, error = (number / self.period for number in rotation(consecutive, scale))
        if not abs(turn) * len(consecutive) > _ENOUGH_TURNS:
            return None
        amplitude = float(np.max(np.ptp(last.points, axis=0)) / 2)
        halves = [float(np.max(np.ptp(part, axis=0)) / 2) for part in np.array_split(last.points, 2)]
        period = self.runner.step_size / abs(turn)
        return self.verdict(
            "cycles", f"the orbit fills a closed curve, a turn in {1 / abs(turn):.6g} steps", period=period,
            period_error=period * (4 * error / abs(turn) + 1e-9), amplitude=amplitude,
            amplitude_error=5 * abs(halves[0] - halves[1]) + 2e-3 * amplitude,
        )  # fmt: skip

    def _is_recurrent(self) -> bool:
        """Whether the last windows are equally wide, and the orbit goes to and fro in them many times."""
        if len(self.segments) < 4:
            return False
        spans = np.array([np.ptp(each.points, axis=0) for each in self.segments[-3:]])
        widest = self.segments[-1].points[:, int(np.argmax(spans[-1]))]
        moves = np.diff(widest)
        backs = int(np.sum(moves[1:] * moves[:-1] < 0))
        spreads = [_spread(each.points, None) for each in self.segments[-3:]]
        same = max(spreads) < 1.2 * min(spreads) and np.max(spans) < 1.5 * np.max(spans, axis=1).min()
        return bool(same and backs > 100)

    def _consecutive(self, times: int) -> np.ndarray:
        return np.concatenate([self.runner.run(self.period).points[:-1] for _ in range(times)])

    def _chaos(self, last: _Segment) -> Verdict | None:
        follower, h = self.follower, self.runner.step_size
        if not self._is_recurrent():
            return None
        roots = [root_near(follower, y) for y in last.points[:: max(len(last.points) // 16, 1)]]
        for root in roots:
            if root is None:
                continue
            if self.rhythm is not None and float(self._trap(root, last)[0].level) > 0:
                return self.verdict(
                    "undecided", "irregular so far, but there is a stable fixed point: it may still come to it"
                )
        found = []
        for place in (0, len(last.points) // 2):
            start = follower.restore(jnp.asarray(last.points[place], follower.dtype))
            exponents = lyapunov_exponents(
                self.field, start, 20_000 * h, update=self.update, num=1, num_spans=1000, args=self.args
            )
            found.append((float(exponents.exponents[0]), float(exponents.standard_error[0])))
        (one, error), (other, its_error) = found
        spread = abs(one - other) + 4 * max(error, its_error)
        if not np.isfinite(spread) or min(one, other) < _SURE * max(error, its_error) or spread > 0.5 * one:
            return None
        reason = f"chaos: neighbors part at the rate {(one + other) / 2:.3g}, on two stretches alike"
        return self.verdict("wanders", reason, exponent=(one + other) / 2, exponent_error=spread)


@jit
def _trap_at(
    update: AbstractUpdate, field: Field, y: State, args: Args, whole: Array, known: Rhythm
) -> tuple[TrappingRegion, Array, Array]:
    """The trap at a fixed point, whether it holds state and memory, and how far these are from its center."""
    _, memory = update.step(field, 0.0, y, args, update.init(field, y, args))
    center = ravel_pytree((y, eqx.filter(memory, eqx.is_inexact_array)))[0]
    # Not so near that all changes are rounding.
    least = jnp.cbrt(jnp.finfo(whole.dtype).eps).astype(whole.dtype) * (1 + jnp.linalg.norm(center))
    reach = jnp.maximum(1.01 * jnp.linalg.norm(whole - center), least)
    trap = step_trap(update, field, y, args, reach, known)
    return trap, trap.holds(whole), jnp.max(jnp.abs(whole - trap.center))


def _steady(numbers: np.ndarray, least: float = 0.0) -> bool:
    size = abs(float(numbers[-1]))
    return (
        size > least
        and float(np.max(np.abs(numbers - numbers[-1]))) < 3 * _SAME_LAW * size
        and (abs(float(numbers[-1] - numbers[-2])) < _SAME_LAW * size)
    )


def _grows_fast(sizes: np.ndarray) -> bool:
    """Whether the last steps before the end grew ever faster, as before an overflow."""
    if len(sizes) < 3:
        return False
    late = sizes[-3:]
    return bool(late[0] > 0 and late[2] / late[1] > 10 and late[1] / late[0] > 1)


def _spread(points: np.ndarray, center: np.ndarray | None) -> float:
    """The root of the weighted mean of squares about a center, or about the mean."""
    s = (np.arange(len(points)) + 0.5) / len(points)
    weights = np.exp(-1 / (s * (1 - s)))
    middle = np.average(points, weights=weights, axis=0) if center is None else center
    return float(np.sqrt(np.average(np.sum((points - middle) ** 2, axis=1), weights=weights)))
