"""Results print their numbers and their verdict, and shapes where there are no numbers."""

import builtins
import sys
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optimistix as optx
import pytest

from gan_ode import analysis, flow, OUTCOMES, simulate
from gan_ode._printing import number, Report, state
from gan_ode.analysis import theory
from gan_ode.analysis.basins._basin import _items
from gan_ode.analysis.basins._ring import Ring
from gan_ode.analysis.equilibria._equilibrium_types import EquilibriumKind
from gan_ode.games import Players


def scalar(value: Any) -> jax.Array:
    return jnp.asarray(value, float)


def axis(*values: Any) -> jax.Array:
    return jnp.asarray(values, float)


Y = Players(scalar(0.25), scalar(-1.5))
YES, NO = jnp.asarray(True), jnp.asarray(False)
TURN = jnp.asarray([-0.1 + 2j, -0.1 - 2j])
FOCUS = EquilibriumKind("stable focus", 0, 0, "none", np.asarray(TURN))
SEEN = analysis.Inspection(YES, YES, YES, YES, scalar(1e-12), scalar(0.02), scalar(3e-7), scalar(0.0))
ORBIT = simulate.Orbit(
    axis(0, 1, 2),
    jax.tree.map(lambda leaf: leaf + axis(0, 1, 2), Y),
    {"num_steps": jnp.asarray(7), "num_accepted_steps": jnp.asarray(5), "num_rejected_steps": jnp.asarray(2)},
    diffrax.RESULTS.successful,
    OUTCOMES.ok,
    scalar(2),
    Players(scalar(2.25), scalar(0.5)),
)
EQUILIBRIUM = analysis.Equilibrium(
    Y, scalar(1e-12), optx.RESULTS.successful, YES, SEEN, jnp.eye(2), TURN, FOCUS, count=3
)
LEADING = analysis.LeadingEigenvalues(
    TURN, axis(1e-9, 2e-3), jnp.asarray([True, False]), scalar(2.5), jnp.asarray(1234)
)
BOX = analysis.BoxExtremes(scalar(-0.5), Y, scalar(0.75), Y, scalar(0.01), YES)
MANY = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), Y)
EQUILIBRIA = analysis.Equilibria(
    MANY, axis(1e-12, 2e-9), jnp.zeros((2, 2, 2)), jnp.stack([TURN, TURN]), (FOCUS, FOCUS), np.asarray([0, 1, -1, 1]),
    axis(1e-12, 2e-9, 3, 2e-9), (SEEN, SEEN),
)  # fmt: skip
PERIODIC = analysis.PeriodicOrbit(
    Y, scalar(1e-9), scalar(6.25), scalar(1e-3), scalar(1e-8), ORBIT, jnp.eye(2), jnp.asarray([1 + 0j, 0.5 + 0j]),
    scalar(1e-6), analysis.SEARCHES.closed, YES,
)  # fmt: skip
DIAGRAM = analysis.OrbitDiagram(
    axis(0.1, 0.2), jnp.zeros((2, 4)), _items(OUTCOMES, np.asarray(["ok", "blow_up"], object)), jnp.asarray([4, 2]),
    jnp.asarray([2, 0]), jnp.asarray([True, False]),
)  # fmt: skip
RING = Ring(jnp.zeros((1, 4, 2)), jnp.ones((1, 2)), jnp.zeros((1, 4, 2)), axis(1), axis(0.1))
TRAPS = analysis.TrappingRegion(jnp.zeros((1, 2)), jnp.zeros((1, 2, 2)), axis(1), jnp.asarray([False]), axis(-0.1))
BASIN = analysis.Basin(
    starts=jax.tree.map(lambda leaf: jnp.zeros(4) + leaf, Y),
    fate=_items(analysis.FATES, np.asarray(["converges", "converges", "cycles", "undecided"], object)),
    index=jnp.asarray([0, 0, -1, -1]),
    cycle=jnp.asarray([-1, -1, 0, -1]),
    reason=_items(analysis.REASONS, np.asarray(["decided", "decided", "decided", "moving"], object)),
    time=axis(1, 1, 1, np.inf),
    final_state=jax.tree.map(lambda leaf: jnp.zeros(4) + leaf, Y),
    equilibria=jax.tree.map(lambda leaf: leaf[None], Y),
    traps=TRAPS,
    cycles=analysis.Cycles(jax.tree.map(lambda leaf: jnp.full((1, 4), leaf), Y), axis(6.25), axis(0.001), RING),
)
# Each result, and what its text says of the numbers that it was made of.
RESULTS: list[tuple[Any, list[str]]] = [
    (ORBIT, ["Orbit: ok", "0 to 2, 3 saved", "discriminator 0.25, generator -1.5", "7, 5 accepted, 2 rejected"]),
    (EQUILIBRIUM, ["stable focus", "discriminator 0.25, generator -1.5", "1e-12", "-0.1 + 2i, -0.1 - 2i", "3 ended"]),
    (EQUILIBRIA, ["2 distinct", "1 failed", "stable focus"]),
    (PERIODIC, ["attracting", "6.25 ± 0.001", "discriminator 0.25", "1, 0.5"]),
    (analysis.PeriodCurve(axis(1, 2), axis(6.25, np.inf), axis(0.5, 0), PERIODIC), ["6.25", "none was found at 1"]),
    (DIAGRAM, ["1 ok", "1 blow_up", "none"]),
    (BASIN, ["4 starts: 2 converges, 1 cycles, 1 undecided", "equilibrium 0", "50.0%", "cycle 0: period 6.25"]),
    (
        analysis.Optimality(True, False, False, None, None, "generator", None, -0.125, 1.0625),
        ["stable for the flow; unstable for the update", "-0.125", "1.0625"],
    ),
    (SEEN, ["finite, an equilibrium, smooth, autonomous", "0.02"]),
    (LEADING, ["2 leading eigenvalues, 1 of 2 converged", "-0.1 + 2i", "2.0025", "0.002", "1,234"]),
    (
        analysis.Stiffness(LEADING, LEADING, scalar(0.05), scalar(0.04), scalar(0.05), scalar(321)),
        ["slowest mode 321", "at most 0.05, at least 0.04", "not all eigenvalues converged"],
    ),
    (analysis.Comparison(axis(0, 1, 2), axis(0, 0.5, 0.25), scalar(0.5)), ["at most 0.5 apart", "at time 1", "0.25"]),
    (analysis.Convergence(axis(0.2, 0.1), axis(0.04, 0.01), axis(2), scalar(2)), ["order 2", "0.2", "0.04", "slope"]),
    (
        analysis.Verdict("cycles", "a turn closes.", 100.0, period=6.25, period_error=1e-3, closure=1e-9),
        ["cycles: a turn closes.", "6.25 ± 0.001", "1e-09", "100"],
    ),
    (analysis.Optimum(scalar(0.4), scalar(1.5), jnp.asarray(-1.5 + 0j), NO), ["Optimum at 0.4", "1.5", "-1.5"]),
    (analysis.CriticalParameter("crossing", 0.125, (0.1, 0.2), 2j, (0,)), ["crossing at 0.125", "0.1 and 0.2", "2i"]),
    (
        analysis.EigenvalueBranches(
            axis(0.1, 0.2),
            jnp.stack([TURN, 2 * TURN]),
            Y,
            axis(0, 0),
            jnp.zeros((1, 2), bool),
            jnp.asarray([True, False]),
        ),
        ["found at 1", "-0.2"],
    ),
    (
        analysis.Bifurcation(scalar(0.5), jnp.asarray(0.6 + 0.8j), jnp.asarray(-2 + 1j), scalar(1), scalar(2), Y),
        ["supercritical, closed curve", "0.6 + 0.8i", "0.5"],
    ),
    (analysis.Rotation(scalar(0.125), scalar(1e-6)), ["0.125 ± 1e-06 turns"]),
    (
        analysis.StabilityMap(axis(0, 1), axis(0.1, 0.2), jnp.asarray([[0.5, 1.0], [1.5, 1.25]]), scalar(1e-9)),
        ["25.0% stable, 25.0% neutral, 50.0% unstable", "0.1 to 0.2", "0.5 to 1.5"],
    ),
    (analysis.InvariantDrift(axis(0, 1), axis(2, 2.5), axis(0, 0.5), scalar(0.5)), ["changes by 0.5"]),
    (
        analysis.LyapunovExponents(axis(0.9, -14.5), axis(0.01, 0.02), axis(1), jnp.ones((1, 2)), Y, OUTCOMES.ok),
        ["largest is 0.9 ± 0.01", "-14.5", "ok"],
    ),
    (BOX, ["between -0.5 and 0.75", "0.01"]),
    (analysis.LyapunovCheck(BOX, BOX, scalar(1e-9), Y), ["LyapunovCheck: neither", "-0.5 to 0.75"]),
    (analysis.TransientGrowth(scalar(9), scalar(0.5), scalar(2000)), ["factor of 9", "0.5", "2000"]),
    (analysis.PathMeasures(axis(0, 1), axis(0.5, 1), axis(3, 4)), ["2 positions", "0.5", "4"]),
    (
        analysis.samples.ModeMeasures(jnp.asarray([3, 0]), jnp.asarray(1), scalar(0.75), scalar(0.7)),
        ["1 of 2 modes covered", "0.75"],
    ),
    (theory.EigenvalueBounds(scalar(-0.5), scalar(-0.25)), ["-0.5", "-0.25"]),
    (theory.Assumption(scalar(0.5), YES, NO, {"gap": scalar(0.125)}, "(I) it holds"), ["(I) it holds: holds", "0.125"]),
]
_NAMES = [type(result).__name__ for result, _ in RESULTS]
MODULES = [result for result, _ in RESULTS if isinstance(result, eqx.Module)]


@pytest.mark.parametrize(("result", "said"), RESULTS, ids=_NAMES)
def test_a_result_prints_its_numbers_and_not_its_shapes(result, said):
    text = repr(result)
    assert str(result) == text and "f64[" not in text
    assert len(text.splitlines()) < 14
    for each in said:
        assert each in text, text
    html = result._repr_html_()
    assert html.startswith(("<div><b>", "<pre>")) and html.count("<table>") == html.count("</table>")


@pytest.mark.parametrize("result", MODULES, ids=lambda result: type(result).__name__)
def test_a_result_that_is_traced_prints_its_shapes(result):
    seen = []

    def look(traced: Any) -> jax.Array:
        seen.append((repr(traced), traced._repr_html_()))
        return jnp.zeros(())

    eqx.filter_eval_shape(look, result)
    ((text, html),) = seen
    assert text.startswith(f"{type(result).__name__}(") and "f64[" in text
    assert html is None


@pytest.mark.parametrize(
    "result", [each for each in MODULES if each is not ORBIT], ids=lambda each: type(each).__name__
)
def test_many_results_at_once_print_their_shapes(result):
    arrays, rest = eqx.partition(result, eqx.is_array)
    many = eqx.combine(jax.tree.map(lambda leaf: jnp.stack([leaf] * 2), arrays), rest)
    assert "f64[2" in repr(many) and many._repr_html_() is None


def test_an_ensemble_says_how_its_members_ended():
    arrays, rest = eqx.partition(ORBIT, eqx.is_array)
    many = eqx.combine(jax.tree.map(lambda leaf: jnp.stack([leaf] * 3), arrays), rest)
    outcomes = jax.vmap(lambda up: OUTCOMES.where(up, OUTCOMES.blow_up, OUTCOMES.ok))(jnp.asarray([False, True, False]))
    text = repr(eqx.tree_at(lambda orbit: orbit.outcome, many, outcomes))
    assert "Orbit of 3 members: 2 ok, 1 blow_up" in text and "7 on average" in text


def test_placeholders_in_the_place_of_arrays_print():
    for result in MODULES:
        hollow = jax.tree.map(lambda _: None, result)
        assert isinstance(repr(hollow), str)


def test_the_texts_of_type_errors_keep_the_shapes():
    assert "ts=f64[3]" in eqx.tree_pformat(ORBIT)
    with pytest.raises(jaxtyping.TypeCheckError, match=r"ts=f64\[3\]"):
        analysis.compare.__wrapped__(ORBIT, "not an orbit")


def test_long_tables_and_large_states_are_cut_short():
    report = Report("title", {}, ("n",), [(str(i),) for i in range(20)])
    assert "and 8 more" in report.text() and "19" not in report.text()
    # The norm of a million ones.
    assert state(jnp.ones((1000, 1000))) == "1,000,000 numbers in 1 array, norm 1000"
    assert state({"a": axis(1, 2)}) == "a (1, 2)"


def test_numbers_of_every_kind_are_short():
    assert [number(each) for each in (0.1234567, 1 - 2j, 3 + 0j, 12345, np.inf, jnp.asarray(True))] == [
        "0.1235",
        "1 - 2i",
        "3",
        "12,345",
        "inf",
        "1",
    ]


# An orbit as a dataset.


def test_a_dataset_has_a_variable_for_each_leaf_named_by_its_path():
    ys = {"d": [jnp.zeros((3, 2))], "g": axis(1, 2, np.inf)}
    orbit = eqx.tree_at(lambda o: (o.ys, o.ts), ORBIT, (ys, axis(0, 1, np.inf)))
    dataset = orbit.to_xarray()
    assert {name: each.dims for name, each in dataset.data_vars.items()} == {
        "d.0": ("time", "d.0.axis0"),
        "g": ("time",),
    }
    # The time that was not reached is left out.
    np.testing.assert_array_equal(dataset["g"], [1, 2])
    np.testing.assert_array_equal(dataset["time"], [0, 1])
    assert dataset.attrs["outcome"] == "ok" and dataset.attrs["num_steps"] == 7


def test_the_dataset_of_an_ensemble_has_members_and_is_written_and_read(tmp_path):
    import xarray

    arrays, rest = eqx.partition(ORBIT, eqx.is_array)
    many = eqx.combine(jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), arrays), rest)
    outcomes = jax.vmap(lambda up: OUTCOMES.where(up, OUTCOMES.blow_up, OUTCOMES.ok))(jnp.asarray([False, True]))
    dataset = eqx.tree_at(lambda orbit: orbit.outcome, many, outcomes).to_xarray()
    assert dataset["generator"].dims == ("member", "time") and dataset["ts"].dims == ("member", "time")
    assert list(dataset["outcome"].values) == ["ok", "blow_up"]
    dataset.to_netcdf(tmp_path / "orbit.nc", engine="h5netcdf")
    with xarray.open_dataset(tmp_path / "orbit.nc", engine="h5netcdf") as back:
        np.testing.assert_array_equal(back["generator"][1], 2 * np.asarray(ORBIT.ys.generator))


def test_a_dataset_of_one_array_is_called_y_and_agrees_with_the_orbit():
    orbit = flow(lambda t, y, args: -y, jnp.ones(2), jnp.linspace(0.0, 1.0, 3))
    dataset = orbit.to_xarray()
    np.testing.assert_array_equal(dataset["y"], orbit.ys)
    assert dataset["y"].dims == ("time", "y.axis0") and "Orbit: ok" in repr(orbit)


def test_without_xarray_the_remedy_is_named(monkeypatch):
    there = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "xarray":
            raise ImportError(name)
        return there(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "xarray", raising=False)
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match="gan_ode\\[experiments\\]"):
        ORBIT.to_xarray()
