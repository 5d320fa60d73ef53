"""What does precision cost: error against time, where the field is smooth and where it is stiff?

Smooth: 10,000 starts of the two-parameter GAN with the usual loss, end state at t = 50. Stiff: 100 starts of the same
with data on [-10, 10], about the equilibrium, end state at t = 100, where rates lie a factor of 90,000 apart. The error
is the largest of those starts that a reference near rounding was computed for. The tolerance is swept, the same for
all.
"""

import numpy as np

from experiments._machinery._jax_setup import prepare_jax
from experiments.benchmarks import _contest, _reference, _rows
from experiments.benchmarks._problem import near_equilibrium, Problem, starts, STIFF, USUAL
from experiments.benchmarks._results import Results
from experiments.benchmarks._rivals._rival import Rival
from experiments.benchmarks._rows import Row, Verdict
from experiments.benchmarks._verified import Measure, Tuned

SMOOTH_SIZE, STIFF_SIZE = 10_000, 100
# The loops take no more starts than these.
SMOOTH_CHECKED, STIFF_CHECKED = 20, 5
TOLERANCES = {"smooth": (1e-3, 1e-5, 1e-7, 1e-9, 1e-11), "stiff": (1e-3, 1e-5, 1e-7, 1e-9)}
QUICK_TOLERANCES = {"smooth": (1e-4, 1e-7), "stiff": (1e-4, 1e-6)}
# A solution that is off by more than this is none.
WORST = 0.1
# Where the curves are compared.
LEVELS = {"smooth": 1e-6, "stiff": 1e-6}


def measure(results: Results) -> None:
    prepare_jax()
    sweep(results, "smooth", smooth_rivals(results.quick), smooth_problem(results.quick), SMOOTH_CHECKED)
    sweep(results, "stiff", stiff_rivals(results.quick), stiff_problem(results.quick), STIFF_CHECKED)


def smooth_problem(quick: bool) -> Problem:
    return Problem(USUAL, starts(100 if quick else SMOOTH_SIZE), np.array([0.0, 50.0]))


def stiff_problem(quick: bool) -> Problem:
    size = 10 if quick else STIFF_SIZE
    return Problem(STIFF, near_equilibrium(size, STIFF.half_width), np.array([0.0, 100.0]))


def smooth_rivals(quick: bool) -> list[Rival]:
    import diffrax

    from experiments.benchmarks._rivals import (
        heyoka_batch,
        numba_tsit5,
        numbalsoda_loop,
        package,
        plain_diffrax,
        scipy_loop,
        sundials_loop,
        torchdiffeq_batch,
        torchode_batch,
    )

    few = [package.rival("gan_ode, Tsit5"), heyoka_batch.rival(), scipy_loop.rival("DOP853", SMOOTH_CHECKED)]
    if quick:
        return few
    return [
        *few,
        package.rival("gan_ode, Dopri8", solver=diffrax.Dopri8()),
        plain_diffrax.rival("Diffrax, Tsit5", diffrax.Tsit5()),
        numba_tsit5.rival(),
        numbalsoda_loop.rival(),
        torchdiffeq_batch.rival(),
        torchode_batch.rival(),
        scipy_loop.rival("LSODA", SMOOTH_CHECKED),
        sundials_loop.rival("Adams", SMOOTH_CHECKED),
    ]


def stiff_rivals(quick: bool) -> list[Rival]:
    import diffrax

    from experiments.benchmarks._rivals import package, plain_diffrax, scipy_loop, sundials_loop

    few = [package.rival("gan_ode, Kvaerno5", solver=diffrax.Kvaerno5()), scipy_loop.rival("LSODA", STIFF_CHECKED)]
    if quick:
        return few
    return [
        *few,
        package.rival("gan_ode, Kvaerno3", solver=diffrax.Kvaerno3()),
        plain_diffrax.rival("Diffrax, Kvaerno5", diffrax.Kvaerno5()),
        plain_diffrax.rival("Diffrax, Kvaerno3", diffrax.Kvaerno3()),
        *(scipy_loop.rival(method, STIFF_CHECKED) for method in ("Radau", "BDF")),
        sundials_loop.rival("BDF", STIFF_CHECKED),
    ]


def sweep(results: Results, case: str, rivals: list[Rival], problem: Problem, num_checked: int) -> None:
    # Radau is implicit, and at these tolerances as exact as any.
    reference = _reference.solve(problem.part(num_checked), "Radau" if case == "stiff" else "DOP853")
    held = Measure(reference, WORST / 2)
    for tolerance in (QUICK_TOLERANCES if results.quick else TOLERANCES)[case]:
        reasons = {rival.name: rival.missing() for rival in rivals}
        tunings = {
            name: Tuned(tolerance, 0.0) if reason is None else f"missing: {reason}" for name, reason in reasons.items()
        }
        results.add(_contest.hold(case, rivals, problem, tolerance, tunings, held, results.rounds))
    rows = [row for row in results.rows if row.case == case]
    results.add([], compared(rows, LEVELS[case]))


def compared(rows: list[Row], level: float) -> list[Verdict]:
    """The package's best time at one error over everybody else's: reported only."""
    times = {name: seconds_at(rows, name, level) for name in dict.fromkeys(row.name for row in rows)}
    own = {name: value for name, value in times.items() if name.startswith(_rows.PACKAGE) and value is not None}
    if not own:
        return []
    best = min(own, key=own.__getitem__)
    return [
        Verdict(rows[0].case, f"{best} / {name}, at error {level:.0e}", own[best] / value)
        for name, value in times.items()
        if value is not None and name != best
    ]


def seconds_at(rows: list[Row], name: str, level: float) -> float | None:
    """Along the line through a curve's points, both scales logarithmic; None outside of it."""
    points = sorted((row.error, row.median) for row in rows if row.name == name and row.error and row.median)
    if len(points) < 2 or not points[0][0] <= level <= points[-1][0]:
        return None
    errors, seconds = np.log(np.array(points, float)).T
    return float(np.exp(np.interp(np.log(level), errors, seconds)))
