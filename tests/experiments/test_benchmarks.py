"""The machinery of the benchmarks: what is checked, counted, written and judged. Nothing here measures speed."""

import dataclasses
import json
import sys

import jax
import numpy as np
import pytest

from experiments.benchmarks import (
    __main__ as suite,
    _contest,
    _figure,
    _reference,
    _rows,
    _table,
    _timing,
    _verified,
    work_precision,
)
from experiments.benchmarks._problem import near_equilibrium, Problem, starts, STIFF, System, USUAL, WASSERSTEIN
from experiments.benchmarks._results import Results
from experiments.benchmarks._rivals import _jax_field, _numpy_field, _tsit5, package, scipy_loop
from experiments.benchmarks._rivals._rival import Rival, Task
from experiments.benchmarks._rows import Row, Verdict
from experiments.benchmarks._verified import Measure, Refused, Tuned
from gan_ode import plot

PROBLEM = Problem(WASSERSTEIN, starts(3), np.array([0.0, 1.0]))


def rotation(name: str, factor: float = 1.0, **options) -> Rival:
    """A rival whose result is the exact one, times a factor, and an error of its tolerance."""

    def prepare(problem: Problem, tolerance: float) -> Task:
        exact = _reference.solve(problem)
        return Task(lambda: factor * exact + tolerance, lambda found: found)

    return Rival(name, prepare, **options)


def row(name: str, *seconds: float, **fields) -> Row:
    return Row("case", name, seconds, **fields)


# The problems.


@pytest.mark.parametrize("written", [_jax_field.SCALARS, _jax_field.ARRAYS, _jax_field.GAME])
@pytest.mark.parametrize("system", [WASSERSTEIN, USUAL, STIFF])
def test_however_the_field_is_written_it_is_the_same(system, written):
    # With the same nodes all are the same sum: rounding is all there is between them.
    some = near_equilibrium(5, system.half_width)
    states = written.states(Problem(system, some, PROBLEM.ts))
    np.testing.assert_array_equal(written.stacked(states), some)
    found = written.stacked(jax.vmap(lambda y: written.field(system)(0.0, y, None))(states))
    expected = [_numpy_field.make(system)(0.0, y) for y in some]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * system.half_width**2)


@pytest.mark.parametrize(("system", "reach", "tolerance"), [(USUAL, 2.6, 1e-8), (STIFF, 6.5, 1e-11)])
def test_the_quadrature_is_as_exact_as_it_says(system, reach, tolerance):
    # Measured: 2e-9 and 6e-12, against 200 nodes.
    s = np.linspace(-reach, reach, 101)[:, None]

    def phi(system: System) -> np.ndarray:
        squares, weights = system.quadrature
        return (weights / (1 + np.exp(-s * squares))).sum(axis=1)

    exact = phi(dataclasses.replace(system, num_nodes=200))
    assert np.max(np.abs(phi(system) - exact)) < tolerance


def test_the_interpolant_ends_at_the_step():
    ends = _tsit5.dense().sum(axis=0)
    np.testing.assert_allclose(ends, _tsit5.stages()[-1], atol=1e-12)


# Verification.


def test_a_rival_with_a_wrong_field_is_refused_and_not_timed():
    # The sign of the generator's velocity is wrong: no tolerance mends that.
    right = _numpy_field.make

    def prepare(problem: Problem, tolerance: float) -> Task:
        import scipy.integrate

        def wrong(t, y):
            dw, da = right(problem.system)(t, y)
            return dw, -da

        def run():
            return [scipy.integrate.solve_ivp(wrong, (0.0, 1.0), y0, rtol=tolerance) for y0 in problem.starts]

        return Task(run, lambda found: np.stack([each.y[:, -1:].T for each in found]))

    measure = Measure(_reference.solve(PROBLEM), own=1e-4)
    tunings = _contest.tune_all([Rival("wrong", prepare)], PROBLEM, 1e-6, measure)
    (found,) = _contest.hold("case", [Rival("wrong", prepare)], PROBLEM, 1e-6, tunings, measure, 5)
    assert found.why_not.startswith("refused: error") and found.seconds == ()


def test_a_rival_that_is_wrong_on_the_ensemble_alone_is_refused():
    measure = Measure(_reference.solve(PROBLEM), own=1e-4)
    (found,) = _contest.hold("case", [rotation("off", 1.1)], PROBLEM, 1e-6, {"off": Tuned(1e-6, 0.0)}, measure, 5)
    assert found.why_not.startswith("refused")


def test_a_rival_that_is_missing_or_breaks_is_a_row_and_no_error():
    def broken(problem, tolerance):
        raise ValueError("does not compile\nat all")

    rivals = [rotation("fine"), rotation("absent", needs=("no_such_module",)), Rival("broken", broken)]
    measure = Measure(_reference.solve(PROBLEM), own=1e-4)
    tunings = _contest.tune_all(rivals, PROBLEM, 1e-6, measure)
    rows = {each.name: each for each in _contest.hold("case", rivals, PROBLEM, 1e-6, tunings, measure, 5)}
    assert len(rows["fine"].seconds) == 5
    assert rows["absent"].why_not.startswith("missing: `no_such_module`")
    assert rows["broken"].why_not == "failed: ValueError: does not compile"
    assert "missing" in _table.text(list(rows.values()), [])


@pytest.mark.parametrize(
    "raised", [RuntimeError("too new\nby far"), AttributeError("no such thing"), OSError("no library")]
)
def test_a_rival_that_breaks_while_it_is_imported_is_a_row_and_no_error(raised, monkeypatch):
    class Breaks:
        def find_spec(self, name, path=None, target=None):
            if name == "breaks_beside_a_newer_torch":
                raise raised

    monkeypatch.setattr(sys, "meta_path", [Breaks(), *sys.meta_path])
    rivals = [rotation("breaks", needs=("breaks_beside_a_newer_torch",))]
    (reason,) = _contest.tune_all(rivals, PROBLEM, 1e-6, Measure(np.zeros((1, 1, 2)), own=1e-4)).values()
    kind = "" if isinstance(raised, OSError) else f"{type(raised).__name__}: "
    assert reason == f"missing: `breaks_beside_a_newer_torch` cannot be imported: {kind}{str(raised).splitlines()[0]}"


@pytest.mark.parametrize(
    ("error_per_tolerance", "used"),
    [(1.0, 1e-6), (1.9, 1e-6), (30.0, 1e-8), (0.5, 1e-6), (0.05, 1e-5), (5e-5, 1e-2)],
)
def test_the_tolerance_is_the_one_that_is_as_precise_as_the_package(error_per_tolerance, used):
    measure = Measure(np.zeros(0), own=1e-6)
    tuned = _verified.search(lambda tolerance: error_per_tolerance * tolerance, 1e-6, measure)
    assert tuned.tolerance == used and tuned.error <= measure.allowed


def test_an_error_that_is_no_number_is_refused():
    with pytest.raises(Refused):
        _verified.search(lambda tolerance: float("nan"), 1e-6, Measure(np.zeros(0), own=1e-6))
    assert _reference.error(np.array([np.nan]), np.array([1.0])) == np.inf


def test_the_package_and_scipy_agree_with_the_reference():
    # Errors of one time unit at tolerance 1e-8; measured: 4e-8 and 2e-8.
    reference = _reference.solve(PROBLEM)
    for rival in (package.rival("gan_ode"), scipy_loop.rival("LSODA")):
        assert _verified.measured(rival, PROBLEM, 1e-8, reference) < 1e-6


def test_what_takes_a_part_of_the_starts_is_scaled(monkeypatch):
    monkeypatch.setattr(_timing, "interleaved", lambda tasks, rounds, warm: {name: [0.5] * rounds for name in tasks})
    measure = Measure(_reference.solve(PROBLEM), own=1e-4)
    rival = rotation("loop", most=2)
    (found,) = _contest.hold("case", [rival], PROBLEM, 1e-6, {"loop": Tuned(1e-6, 0.0)}, measure, 5)
    assert found.timed == 2 and found.seconds == pytest.approx([0.75] * 5)


def test_what_would_take_too_long_begins_with_a_part():
    many = Problem(WASSERSTEIN, starts(10_000), PROBLEM.ts)
    assert _contest.first_size(rotation("batched"), many, 0.1) == 10_000
    assert _contest.first_size(rotation("batched"), many, 10 * _contest.HOPELESS * _contest.LONGEST) == 1000
    assert _contest.first_size(rotation("loop", most=20), many, 1e9) == 20


# Verdicts.


def test_what_is_short_is_run_again_until_its_turn_is_over(monkeypatch):
    now, runs = [0.0], {"short": 0, "long": 0}

    def task(name, seconds):
        runs[name] += 1
        now[0] += seconds

    monkeypatch.setattr(_timing.time, "perf_counter", lambda: now[0])
    tasks = {"short": lambda: task("short", _timing.TURN / 3.5), "long": lambda: task("long", 10.0)}
    seconds = _timing.interleaved(tasks, 5, warm=True)
    assert runs == {"short": 20, "long": 5}
    np.testing.assert_allclose(seconds["short"], [_timing.TURN / 3.5] * 5)
    assert seconds["long"] == [10.0] * 5


def test_a_ratio_is_the_median_of_the_rounds_ratios():
    verdict = _rows.ratio([row("gan_ode", 1.0, 2.0, 30.0), row("other", 2.0, 4.0, 3.0)], "gan_ode", "other", 0.5)
    assert verdict.value == 0.5 and not verdict.missed
    assert dataclasses.replace(verdict, strict=True).missed


def test_without_the_rival_nothing_is_judged_and_without_the_package_the_target_is_missed():
    absent, present = row("other", why_not="missing: it is not there"), row("gan_ode", 1.0)
    verdict = _rows.ratio([present, absent], "gan_ode", "other", 1.0)
    assert verdict.value is None and not verdict.missed and "not there" in _table.verdict_line(verdict)
    assert _rows.ratio([row("gan_ode", why_not="failed: x"), row("other", 1.0)], "gan_ode", "other", 1.0).missed


def test_the_fastest_of_several_is_the_one_that_was_timed():
    rows = [row("a", why_not="missing: x"), row("b", 3.0), row("c", 2.0)]
    assert _rows.fastest(rows, ("a", "b", "c")) == "c"
    assert _rows.fastest(rows, ("a",)) == "a"


def test_curves_are_compared_at_one_error_or_not_at_all():
    rows = [row("gan_ode", 1.0, error=1e-4), row("gan_ode", 100.0, error=1e-8), row("other", 1.0, error=1e-3)]
    assert work_precision.seconds_at(rows, "gan_ode", 1e-6) == pytest.approx(10.0)
    assert work_precision.seconds_at(rows, "other", 1e-6) is None


# What is written.


def filled(folder, name="ensembles", status="done"):
    results = Results(folder / "parts" / f"{name}.json", facts={
        "part": name, "rounds": 5, "machine": {"processor": "P", "cores": 2}, "versions": {"jax": "1", "numba": None},
    })  # fmt: skip
    sizes = {"size": 100, "asked": 1e-6, "tolerance": 1e-6}
    rows = [
        Row("W, end, 1e-6, 100 starts", "gan_ode", (1.0,), **sizes),
        Row("W, end, 1e-6, 100 starts", "SciPy RK45, loop", (5e-3,), timed=20, **sizes),
        Row("W, end, 1e-6, 100 starts", "numba, Tsit5 by hand", why_not="missing: `numba`", size=100, asked=1e-6),
    ]
    results.add(rows, [Verdict("W", "gan_ode / SciPy", 200.0, 1.0), Verdict("W", "memory", 1.0, 2.0, unit="GiB")])
    results.write(status=status)
    return results


def test_rows_are_in_the_file_before_the_part_is_done(tmp_path):
    results = Results(tmp_path / "x.json", facts={"status": "running"})
    results.add([row("gan_ode", 1.0, error=float("inf"))])
    read = json.loads((tmp_path / "x.json").read_text(), parse_constant=pytest.fail)
    assert read["status"] == "running" and read["rows"][0]["seconds"] == [1.0]


def test_rows_and_verdicts_come_back_from_the_file(tmp_path):
    results = filled(tmp_path)
    part = suite.collect(tmp_path)["parts"]["ensembles"]
    assert [_rows.row_from(each) for each in part["rows"]] == results.rows
    assert [_rows.verdict_from(each) for each in part["verdicts"]] == results.verdicts


def test_rendering_writes_tables_record_and_figure_and_tells_of_missed_targets(tmp_path, capsys):
    filled(tmp_path)
    assert suite.main(["--render", "--out", str(tmp_path), "--markdown", str(tmp_path / "t.md")]) == 1
    assert "MISSED" in capsys.readouterr().out
    table = (tmp_path / "t.md").read_text()
    assert "| gan_ode | 1e-06 | 1 s |" in table and "| 5 ms* |" in table and "| missing |" in table
    assert "Not installed: numba." in table and "| 1 GiB | at most 2 GiB | reached |" in table
    record = json.loads((tmp_path / "benchmarks.json").read_text(), parse_constant=pytest.fail)
    assert [each["name"] for each in record["missed"]] == ["gan_ode / SciPy"]
    assert all((tmp_path / f"benchmarks{suffix}").stat().st_size > 0 for suffix in (".png", ".svg"))


def test_a_page_keeps_what_is_outside_of_its_marks():
    page = f"# Speed\n\n{_table.BEGIN}\nold\n{_table.END}\n\nThe end.\n"
    once = _table.between_marks(page, "| new |\n")
    assert once.startswith("# Speed") and once.endswith("The end.\n") and "old" not in once and "| new |" in once
    assert _table.between_marks(once, "| new |\n") == once
    with pytest.raises(ValueError, match="must have the lines"):
        _table.between_marks("# Speed\n", "")


def test_a_part_that_dies_keeps_its_rows_and_is_no_success(tmp_path):
    filled(tmp_path, status="running")
    file = tmp_path / "parts" / "ensembles.json"
    suite.end(file, "ensembles", "failed: it ended with status -9")
    part = json.loads(file.read_text())
    assert part["status"].startswith("failed") and len(part["rows"]) == 3 and suite.is_bad(part)
    suite.end(tmp_path / "parts" / "sizes.json", "sizes", "interrupted")
    assert suite.collect(tmp_path)["parts"]["sizes"]["status"] == "interrupted"


def test_the_figure_of_nothing_says_so():
    with plot.style():
        panels = _figure.draw({}).axes
    assert all(any(text.get_text() == "not measured" for text in panel.texts) for panel in panels)


def test_devices_are_asked_for_in_the_environment_alone(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_some_flag")
    assert suite.environment(2)["XLA_FLAGS"] == "--xla_some_flag --xla_force_host_platform_device_count=2"
    assert suite.environment(None)["XLA_FLAGS"] == "--xla_some_flag"


@pytest.mark.parametrize("words", [["no_such"], ["--rounds", "3"], ["--rounds", "many"]])
def test_bad_usage_exits_with_2(words, capsys):
    with pytest.raises(SystemExit) as caught:
        suite.main(words)
    assert caught.value.code == 2


def test_an_accelerator_has_tables_of_its_own_and_without_one_there_are_none():
    row = Row("W on X, end, 1e-6, 100 starts", "gan_ode", (0.1,), size=100, tolerance=1e-6)
    record = {"machine": {"processor": "P", "cores": 1}, "versions": {}, "rounds": 3}
    verdict = Verdict(row.case, "gan_ode / other", 0.5)
    part = record | {"rows": [dataclasses.asdict(row)], "verdicts": [dataclasses.asdict(verdict)]}
    page = _table.markdown({"parts": {"accelerator": part}})
    assert "### An accelerator" in page and "| gan_ode / other | 0.5 |" in page
    assert _table.FIGURE not in page and "### Targets" not in page
    missing = part | {
        "rows": [dataclasses.asdict(Row("ensembles", "gan_ode", why_not="missing: none"))],
        "verdicts": [],
    }
    page = _table.markdown({"parts": {"sizes": part, "accelerator": missing}})
    assert "accelerator" not in page and _table.FIGURE in page
