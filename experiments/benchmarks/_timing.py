"""Timing in interleaved rounds: on a busy machine only ratios taken side by side mean anything."""

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping

LEAST_ROUNDS = 5
# Seconds of a turn: what takes less is run again and again. A single short run after somebody else's would be measured
# with cold caches and memory that the system has taken back.
TURN = 0.2


@dataclasses.dataclass(frozen=True)
class Ratio:
    """One line of the table.

    Args:
        measured: What is timed.
        baseline: What it is divided by.
        target: The largest ratio that is wanted, or None where the ratio is only reported.
    """

    measured: str
    baseline: str
    target: float | None = None


# Seconds of every task in every round, and what they are wanted for.
Measured = tuple[dict[str, list[float]], list[Ratio]]


def arguments(description: str | None, rounds: int, quick: str | None = None) -> argparse.Namespace:
    """The command line of a benchmark: how many rounds and, where it says what that is, whether quickly."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=rounds_from, default=rounds, help=f"interleaved rounds, {rounds} by default")
    if quick is not None:
        parser.add_argument("--quick", action="store_true", help=quick)
    return parser.parse_args()


def rounds_from(word: str) -> int:
    if not word.isdecimal() or int(word) < LEAST_ROUNDS:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least {LEAST_ROUNDS}, but is {word!r}.")
    return int(word)


def interleaved(tasks: Mapping[str, Callable[[], object]], rounds: int, warm: bool = False) -> dict[str, list[float]]:
    """Seconds of a run of every task in every round, the tasks in turn; the order is reversed from round to round.

    Args:
        tasks: What to time, each to return only when it is done.
        rounds: How many rounds. One more comes first, to compile, and does not count.
        warm: Whether that one has been.
    """
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for task in () if warm else tasks.values():
        task()
    for i in range(rounds):
        for name in list(tasks) if i % 2 == 0 else reversed(list(tasks)):
            seconds[name].append(_mean(tasks[name]))
    return seconds


def _mean(task: Callable[[], object]) -> float:
    """Seconds of a run, the mean over a turn."""
    start, runs = time.perf_counter(), 0
    while True:
        task()
        runs += 1
        elapsed = time.perf_counter() - start
        if elapsed >= TURN:
            return elapsed / runs


def report(seconds: Mapping[str, list[float]], ratios: list[Ratio]) -> int:
    """Prints the medians and the ratios; returns the exit status, 1 if a target is missed."""
    rounds = len(next(iter(seconds.values())))
    rows = [(f"{each.measured} / {each.baseline}", median_ratio(seconds, each), each.target) for each in ratios]
    width = max(len(name) for name in (*seconds, *(name for name, _, _ in rows)))
    print(f"{f'median of {rounds} rounds':<{width}}  {'ms':>10}")
    for name, values in seconds.items():
        print(f"{name:<{width}}  {1e3 * statistics.median(values):10.4g}")
    print(f"\n{'median of the ratios':<{width}}  {'measured':>10}  target")
    for name, value, target in rows:
        print(f"{name:<{width}}  {value:10.3f}  {verdict(value, target)}".rstrip())
    return int(any(target is not None and value > target for _, value, target in rows))


def median_ratio(seconds: Mapping[str, list[float]], ratio: Ratio) -> float:
    """The median over the rounds of the ratio in each: what slows the machine down slows both."""
    pairs = zip(seconds[ratio.measured], seconds[ratio.baseline], strict=True)
    return statistics.median(measured / baseline for measured, baseline in pairs)


def verdict(value: float, target: float | None) -> str:
    return "" if target is None else f"{target:.2f}" if value <= target else f"{target:.2f} missed"
