"""What does a branch cost beside jaxcont, and many branches at once beside one after the other?

The stirred tank's whole S, and the Brusselator's equilibrium and cycle, from one end of the range to the other. Who is
right is asked first: events and points of a branch against closed forms, the period at the end against SciPy's. jaxcont
is asked twice: as it is called, which compiles anew each time, and as one jitted program, which finds no events; so are
the branches of the package. The last rows follow the Brusselator for 256 values of its second parameter.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from experiments._machinery._jax_setup import prepare_jax
from experiments.benchmarks import _rows, _timing
from experiments.benchmarks._results import Results
from experiments.benchmarks._rivals import jaxcont_branches
from experiments.benchmarks._rows import PACKAGE, Row
from gan_ode import analysis

JITTED, VMAP = f"{PACKAGE}, jitted", f"{PACKAGE}, vmap"
WITH_EVENTS = f"{PACKAGE}, jitted, with events"
JAXCONT, JAXCONT_JITTED = "jaxcont", "jaxcont, jitted"
CALLS, JITTED_CALLS = f"{PACKAGE}, loop of calls", f"{PACKAGE}, loop of jitted calls"
NUM_VALUES, FASTER = 256, 20.0
# A loop of calls is timed on one of so many values, and its time is scaled.
EVERY = 16
# So far may values be from those that are known.
ALLOWED = 1e-6
# SciPy's DOP853 at relative tolerance 1e-13.
PERIOD_AT_4 = 6.1023895413


class Tank(eqx.Module):
    """A stirred tank by the rate of its reaction."""

    def __call__(self, rate: Any) -> Callable:
        def field(t: Any, y: Array, args: Any) -> Array:
            x, z = y
            reaction = rate * (1 - x) * jnp.exp(z)
            return jnp.stack([-x + reaction, -z + 7.06 * reaction - 0.74 * z])

        return field


class Brusselator(eqx.Module):
    """The Brusselator by its second parameter.

    Attributes:
        a: The first one.
    """

    a: Any

    def __call__(self, b: Any) -> Callable:
        def field(t: Any, y: Array, args: Any) -> Array:
            square = y[0] ** 2 * y[1]
            return jnp.stack([self.a - (b + 1) * y[0] + square, b * y[0] - square])

        return field


TANK_EVENTS = (0.13180269963847, 0.13120135299216, 0.13155128618054, 0.13250235640209)


def measure(results: Results) -> None:
    prepare_jax()
    brusselator = Brusselator(jnp.array(1.3))
    for case, family, ends, y, events, off in (
        ("stirred tank, the whole S", Tank(), (0.1, 0.15), (0.163, 0.6607), TANK_EVENTS, off_tank),
        ("Brusselator", brusselator, (0.5, 4.0), (1.3, 0.5 / 1.3), (2.69,), off_brusselator),
    ):
        rows = equilibria(case, family, ends, y, events, off, results.rounds)
        results.add(rows, against_jaxcont(rows))
    rows = cycles(brusselator, (3.0, 4.0), results.rounds)
    results.add(rows, [_rows.ratio(rows, PACKAGE, name, 1.0) for name in (JAXCONT, JAXCONT_JITTED)])
    rows = many(NUM_VALUES // 8 if results.quick else NUM_VALUES, results.rounds)
    targets = ((CALLS, None if results.quick else 1 / FASTER), (JITTED_CALLS, None))
    results.add(rows, [_rows.ratio(rows, VMAP, name, target) for name, target in targets])


def against_jaxcont(rows: list[Row]) -> list[_rows.Verdict]:
    return [
        _rows.ratio(rows, PACKAGE, JAXCONT, 1.0),
        _rows.ratio(rows, JITTED, JAXCONT_JITTED, 1.0),
        _rows.ratio(rows, WITH_EVENTS, JAXCONT_JITTED),
    ]


def off_tank(values: np.ndarray, states: np.ndarray) -> np.ndarray:
    """How far a value of the parameter is from that of the state, of which one number gives the other."""
    x = states[:, 0]
    return np.abs(values - x / ((1 - x) * np.exp(7.06 * x / 1.74)))


def off_brusselator(values: np.ndarray, states: np.ndarray) -> np.ndarray:
    return np.max(np.abs(states - np.stack([np.full_like(values, 1.3), values / 1.3], axis=1)), axis=1)


def equilibria(
    case: str, family: Any, ends: tuple[float, float], y: tuple, events: tuple, off: Callable, rounds: int
) -> list[Row]:
    """One branch by all, each held to the closed forms before it is timed."""
    start, span = jnp.array(y), jnp.array(ends)

    @jax.jit
    def without(start: Array) -> Any:
        branch = analysis.continue_equilibrium(family, span, start)
        return branch.values, branch.states, branch.eigenvalues

    @jax.jit
    def with_events(start: Array) -> Any:
        branch = analysis.continue_equilibrium(family, span, start, max_events=8)
        return (branch.values, branch.states, branch.eigenvalues), [each.value for each in branch.events]

    def call() -> Any:
        branch = analysis.continue_equilibrium(family, span, start)
        found = [(event.kind, float(event.value)) for event in branch.events]
        return (branch.values, branch.states, branch.eigenvalues), found

    def jitted_with_events() -> Any:
        arrays, values = jax.block_until_ready(with_events(start))
        return arrays, [("event", float(value)) for value in values if np.isfinite(value)]

    tasks: dict[str, Callable[[], Any]] = {
        PACKAGE: call,
        JITTED: lambda: (jax.block_until_ready(without(start)), []),
        WITH_EVENTS: jitted_with_events,
    }
    why_not = jaxcont_branches.missing()
    if not why_not:
        tasks[JAXCONT], tasks[JAXCONT_JITTED] = jaxcont_branches.equilibria(family, ends, y, 0.03)

    def judged(found: Any) -> tuple[float, str]:
        (values, states, _), here = found
        values, states = np.asarray(values), np.asarray(states)
        there = np.isfinite(values)
        error = float(np.max(off(values[there], states[there])))
        distances = [min(abs(value - each) for each in events) for _, value in here]
        return max([error, *distances]), f"{len(here)} of {len(events)} events" if here else ""

    return timed(case, tasks, judged, why_not, rounds)


def cycles(family: Brusselator, ends: tuple[float, float], rounds: int) -> list[Row]:
    """The branch of the cycle by all, each held to its period at the end."""
    cycle = analysis.find_periodic_orbit(family(ends[0]), jnp.array([2.0, 1.5]))
    span = jnp.array(ends)

    def call() -> Any:
        branch = analysis.continue_cycle(family, span, cycle)
        return branch.values, branch.periods

    tasks: dict[str, Callable[[], Any]] = {PACKAGE: call}
    why_not = jaxcont_branches.missing()
    if not why_not:
        by_call, jitted = jaxcont_branches.cycles(family, ends, cycle.orbit, float(cycle.period), 0.5)

        def periods(run: Callable[[], Any]) -> Any:
            (values, states, _), _ = run()
            return values, states[:, -1]

        tasks[JAXCONT], tasks[JAXCONT_JITTED] = lambda: periods(by_call), lambda: periods(jitted)

    def judged(found: Any) -> tuple[float, str]:
        values, lengths = (np.asarray(each) for each in found)
        there = np.isfinite(values)
        return abs(period_at(ends[1], values[there], lengths[there]) - PERIOD_AT_4), f"{int(there.sum())} cycles"

    return timed("Brusselator, cycles", tasks, judged, why_not, rounds)


def period_at(value: float, values: np.ndarray, periods: np.ndarray) -> float:
    """The period at a value between the last points of a branch, by the polynomial through six of them."""
    order = np.argsort(np.abs(values - value))[:6]
    return float(np.polyval(np.polyfit(values[order] - value, periods[order], len(order) - 1), 0.0))


def many(num: int, rounds: int) -> list[Row]:
    """Branches for many values of the other parameter: at once, and one after the other."""
    firsts, span = jnp.linspace(0.8, 1.6, num), jnp.array([0.5, 4.0])

    def one(a: Array) -> Any:
        branch = analysis.continue_equilibrium(Brusselator(a), span, jnp.stack([a, 0.5 / a]))
        return branch.values, branch.states, branch.eigenvalues, branch.events[0].value

    at_once, single = jax.jit(jax.vmap(one)), jax.jit(one)
    tasks: dict[str, Callable[[], Any]] = {
        VMAP: lambda: np.asarray(jax.block_until_ready(at_once(firsts))[-1]),
        CALLS: lambda: np.array([float(one(a)[-1]) for a in firsts[::EVERY]]),
        JITTED_CALLS: lambda: np.array([float(jax.block_until_ready(single(a))[-1]) for a in firsts]),
    }

    def judged(found: Any) -> tuple[float, str]:
        known = 1 + np.asarray(firsts) ** 2
        return float(np.max(np.abs(found - (known if len(found) == num else known[::EVERY])))), ""

    case = f"Brusselator, {num} values of the other parameter"
    rows = timed(case, tasks, judged, "", rounds)
    scale = num / len(firsts[::EVERY])
    return [_scaled(row, scale, num) if row.name == CALLS else row for row in rows]


def _scaled(row: Row, scale: float, num: int) -> Row:
    seconds = tuple(scale * each for each in row.seconds)
    return Row(**{**vars(row), "seconds": seconds, "size": num, "timed": round(num / scale)})


def timed(case: str, tasks: dict[str, Callable], judged: Callable, why_not: str, rounds: int) -> list[Row]:
    """Times what is right; what is not, or not there, is a row that says so."""
    errors = {}
    for name, task in tasks.items():
        errors[name], remark = judged(task())
        print(f"{case}, {name}: error {errors[name]:.1e} {remark}")
    right = {name: task for name, task in tasks.items() if errors[name] <= ALLOWED}
    seconds = _timing.interleaved(right, rounds, warm=True)
    rows = [
        Row(
            case, name, tuple(seconds.get(name, ())), error=error, allowed=ALLOWED,
            why_not="" if name in right else f"refused: error {error:.1e}",
        )
        for name, error in errors.items()
    ]  # fmt: skip
    return rows + ([Row(case, name, why_not=why_not) for name in (JAXCONT, JAXCONT_JITTED)] if why_not else [])
