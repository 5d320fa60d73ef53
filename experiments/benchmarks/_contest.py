"""One case: everybody is checked, then timed in interleaved rounds."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from experiments.benchmarks import _reference, _timing, _verified
from experiments.benchmarks._problem import Problem
from experiments.benchmarks._rivals._rival import Rival
from experiments.benchmarks._rows import Row
from experiments.benchmarks._verified import Measure, Refused, Tuned

# Seconds of a run. Of what takes longer a tenth of the members is timed, or a hundredth, and scaled.
LONGEST = 5.0
# Of what is expected to take this much longer, the whole is not even tried.
HOPELESS = 3.0


def tune_all(rivals: list[Rival], problem: Problem, asked: float, measure: Measure) -> dict[str, Tuned | str]:
    """For each one a tolerance, or why it cannot take part."""
    found: dict[str, Tuned | str] = {}
    for rival in rivals:
        reason = rival.missing()
        if reason is not None:
            found[rival.name] = f"missing: {reason}"
            continue
        outcome = attempt(lambda rival=rival: _verified.tuned(rival, problem, asked, measure))
        found[rival.name] = outcome
    return found


def attempt(work: Callable[[], Any]) -> Any:
    """What the work returns; or what went wrong with it, in words."""
    try:
        return work()
    except Refused as error:
        return f"refused: {error}"
    except Exception as error:  # whatever somebody else's code raises is a row in the table
        text = str(error).strip().splitlines()
        return f"failed: {type(error).__name__}: {text[0][:150] if text else ''}"


def hold(
    case: str, rivals: list[Rival], problem: Problem, asked: float, tunings: dict[str, Tuned | str], measure: Measure,
    rounds: int, expected: Mapping[str, float] | None = None,
) -> list[Row]:  # fmt: skip
    """The rows of a case; `expected` are seconds that some will take."""
    tasks: dict[str, Callable[[], object]] = {}
    rows: dict[str, Row] = {}
    for rival in rivals:
        tuning = tunings[rival.name]
        part = problem.part(first_size(rival, problem, (expected or {}).get(rival.name, 0.0)))
        entry = (
            tuning if isinstance(tuning, str) else attempt(lambda r=rival, p=part, t=tuning: enter(r, p, t, measure))
        )
        common = {"case": case, "name": rival.name, "size": problem.size, "asked": asked, "allowed": measure.allowed}
        if isinstance(entry, str):
            rows[rival.name] = Row(**common, why_not=entry)
        else:
            run, size, used = entry
            tasks[rival.name] = run
            timed = None if size == problem.size else size
            rows[rival.name] = Row(**common, timed=timed, tolerance=used.tolerance, error=used.error)
    seconds = _timing.interleaved(tasks, rounds, warm=True)
    return [_timed(row, seconds.get(row.name, [])) for row in rows.values()]


def _timed(row: Row, seconds: list[float]) -> Row:
    scale = 1.0 if row.timed is None or row.size is None else row.size / row.timed
    return dataclasses.replace(row, seconds=tuple(scale * each for each in seconds))


def first_size(rival: Rival, problem: Problem, expected: float) -> int:
    """How many members to begin with."""
    size = min(problem.size, rival.most or problem.size)
    while rival.most is None and size >= 1000 and expected > HOPELESS * LONGEST:
        size, expected = size // 10, expected / 10
    return size


def enter(rival: Rival, problem: Problem, tuning: Tuned, measure: Measure) -> tuple[Callable, int, Tuned]:
    """A warm and checked run, of how many members, at which tolerance.

    The check is repeated on the ensemble itself: where all members share a step size, errors depend on the company.
    """
    size = problem.size
    task, error = checked(rival, problem.part(size), tuning.tolerance, measure.reference)
    if not error <= measure.allowed:
        used = _verified.tightened(
            lambda tolerance: _verified.measured(rival, problem.part(size), tolerance, measure.reference),
            Tuned(tuning.tolerance, error),
            measure,
        )
        task, error = checked(rival, problem.part(size), used.tolerance, measure.reference)
        tuning = used
    while size >= 1000:
        start = time.perf_counter()
        task.run()
        if time.perf_counter() - start <= LONGEST:
            break
        size //= 10
        task, error = checked(rival, problem.part(size), tuning.tolerance, measure.reference)
    return task.run, size, Tuned(tuning.tolerance, error)


def checked(rival: Rival, problem: Problem, tolerance: float, reference: np.ndarray) -> tuple[Any, float]:
    task = rival.prepare(problem, tolerance)
    return task, _reference.error(task.states(task.run()), reference)
