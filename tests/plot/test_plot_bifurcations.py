"""What the artists of a bifurcation diagram hold; not their pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from gan_ode import plot
from gan_ode.analysis import ClosedCurveBranch, ClosedCurveEvent, CycleBranch, CycleEvent, EquilibriumBranch, Event
from gan_ode.analysis.arclength._corrector import Chart

CHART = Chart(jnp.asarray(1.0), jnp.asarray(0.0), jnp.asarray(1.0))


@pytest.fixture
def ax():
    return Figure(figsize=(3.4, 2.8)).subplots()


def branch(values, states, stable, events=(), is_update=False):
    """One that nobody followed."""
    nothing = jnp.zeros((len(values), 1), complex)
    return EquilibriumBranch(
        values=jnp.asarray(values), states=jnp.asarray(states), eigenvalues=nothing, stable=jnp.asarray(stable),
        events=tuple(events), status=jnp.asarray(1), motion=None, chart=CHART, is_update=is_update,
    )  # fmt: skip


def event(code, value, state):
    zero = jnp.asarray(0j)
    return Event(jnp.asarray(code), jnp.asarray(value), jnp.asarray(state), zero, None, jnp.asarray(state), None)


# Up to a fold at 1, and back.
TURNING = branch([0.0, 0.5, 0.9, 0.9, 0.5], [[-1.0], [-0.7], [-0.3], [0.3], [0.7]], [True] * 3 + [False] * 2,
                 [event(1, 1.0, [0.0])])  # fmt: skip


def test_what_attracts_is_solid_up_to_the_event_and_what_does_not_is_dashed_from_it_on(ax):
    drawn = plot.bifurcation_diagram(TURNING, ax=ax, name="D")
    (solid,), (dashed,) = drawn.stable, drawn.unstable
    np.testing.assert_allclose(solid.get_data(), [[0, 0.5, 0.9, 1.0], [-1.0, -0.7, -0.3, 0.0]])
    np.testing.assert_allclose(dashed.get_data(), [[1.0, 0.9, 0.5], [0.0, 0.3, 0.7]])
    assert solid.get_linestyle() == "-" and dashed.get_linestyle() != "-"
    assert solid.get_color() == dashed.get_color()
    np.testing.assert_allclose(drawn.marks[0].get_data(), [[1.0], [0.0]])
    assert [handle.get_label() for handle in drawn.handles] == ["stable", "unstable", "fold"]
    assert ax.get_xlabel() == "$D$" and ax.get_ylabel() == "state"


def test_branches_of_one_label_have_one_color_and_the_first_lies_below_as_the_broadest(ax):
    other = branch([0.0, 1.0], [[0.1], [0.2]], [True, True], [event(5, 0.5, [0.15])], is_update=True)
    drawn = plot.bifurcation_diagram(TURNING, other, other, ax=ax, labels=("flow", "steps", "steps"), of=lambda y: y[0])
    flow, one, two = drawn.stable
    assert flow.get_linewidth() > one.get_linewidth() == two.get_linewidth()
    assert flow.get_color() != one.get_color() == two.get_color()
    labels = [handle.get_label() for handle in drawn.handles]
    assert labels == ["flow", "steps", "stable", "unstable", "fold", "Neimark–Sacker"]


def cycles(radii, stable, events):
    """Circles of these radii around 0 at the values 0, 1, ..., that nobody followed."""
    phase = jnp.linspace(0, 2 * jnp.pi, 5)
    circle = jnp.stack([jnp.cos(phase), jnp.sin(phase)], axis=1)
    orbits, values = jnp.asarray(radii)[:, None, None] * circle, jnp.arange(float(len(radii)))
    return CycleBranch(
        values=values, periods=1 + values, states=orbits[:, 0], orbits=orbits,
        times=jnp.broadcast_to(phase, orbits.shape[:2]), multipliers=jnp.ones((len(radii), 2), complex),
        stable=jnp.asarray(stable), events=tuple(
            CycleEvent(
                kind=kind, value=jnp.asarray(value), period=jnp.asarray(1.0), state=radius * circle[0],
                multipliers=jnp.ones(2, complex), orbit=radius * circle, times=phase,
            )
            for kind, value, radius in events
        ), status=jnp.asarray(1), family=None, args=None,
    )  # fmt: skip


def test_cycles_are_drawn_by_their_extent_filled_where_they_attract(ax):
    branch = cycles([1.0, 2.0, 3.0, 4.0], [True, True, False, False], [("torus", 1.4, 2.5)])
    drawn = plot.bifurcation_diagram(branch, ax=ax, of=lambda y: y[0])
    (high, low), unstable = drawn.stable, drawn.unstable
    np.testing.assert_allclose(high.get_data(), [[0, 1, 1.4], [1, 2, 2.5]])
    np.testing.assert_allclose(low.get_data(), [[0, 1, 1.4], [-1, -2, -2.5]])
    assert len(unstable) == 2 and all(line.get_linestyle() != "-" for line in unstable)
    (extent,) = drawn.extents
    np.testing.assert_allclose(extent.get_xy()[:6], [[0, 1], [1, 2], [1.4, 2.5], [1.4, -2.5], [1, -2], [0, -1]])
    np.testing.assert_allclose(drawn.marks[0].get_data(), [[1.4, 1.4], [2.5, -2.5]])
    assert [handle.get_label() for handle in drawn.handles] == ["stable", "unstable", "torus"]


def test_closed_curves_are_drawn_by_their_extent_as_cycles_are(ax):
    of_flow = cycles([1.0, 2.0, 3.0], [True, True, False], [("torus", 1.4, 2.5)])
    values, orbits = of_flow.values, of_flow.orbits
    event = ClosedCurveEvent(
        kind="fold of curves", value=jnp.asarray(1.4), rotation=values[1], multiplier=values[1],
        state=of_flow.events[0].state, orbit=of_flow.events[0].orbit,
    )  # fmt: skip
    curves = ClosedCurveBranch(
        values=values, rotations=values, states=of_flow.states, orbits=orbits, multipliers=values,
        stable=of_flow.stable, harmonics=jnp.full(3, 32), residuals=values, events=(event,), ended="end of range",
        family=None, update=None, args=None,
    )  # fmt: skip
    drawn = plot.bifurcation_diagram(curves, ax=ax, of=lambda y: y[0])
    same = plot.bifurcation_diagram(of_flow, ax=ax, of=lambda y: y[0])
    for line, other in zip(drawn.stable + drawn.unstable, same.stable + same.unstable, strict=True):
        np.testing.assert_array_equal(line.get_data(), other.get_data())
    np.testing.assert_array_equal(drawn.extents[0].get_xy(), same.extents[0].get_xy())
    assert [handle.get_label() for handle in drawn.handles] == ["stable", "unstable", "fold of curves"]


def test_cycles_make_the_line_of_their_equilibria_no_broader(ax):
    alone = plot.bifurcation_diagram(TURNING, ax=ax, of=lambda y: y[0], labels=("rest",)).stable[0].get_linewidth()
    circles = cycles([1.0, 2.0], [True, True], [])
    both = plot.bifurcation_diagram(TURNING, circles, ax=ax, of=lambda y: y[0], labels=("rest", "cycles"))
    assert {line.get_linewidth() for line in both.stable} == {alone}


def test_no_branch_and_too_many_labels_are_refused(ax):
    with pytest.raises(ValueError, match="`branches` must be at least one"):
        plot.bifurcation_diagram(ax=ax)
    with pytest.raises(ValueError, match="`labels` must be at most one for each branch"):
        plot.bifurcation_diagram(TURNING, ax=ax, labels=("a", "b"))
    batch = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), TURNING)
    with pytest.raises(ValueError, match="`branches` must be single ones, but one is a batch"):
        plot.bifurcation_diagram(batch, ax=ax)
