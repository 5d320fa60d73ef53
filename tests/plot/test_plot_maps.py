"""What the artists of stability maps and orbit diagrams hold; not their pixels."""

import io

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from gan_ode import analysis, games, plot
from gan_ode.simulate import OUTCOMES


@pytest.fixture
def ax():
    return Figure(figsize=(3.4, 2.8)).subplots()


ETAS, SIZES = jnp.array([0.0, 0.5, 1.0]), jnp.array([0.5, 1.0])
RADIUS = jnp.array([[1.0, 1.5], [0.5, 1.0], [0.0, jnp.nan]])
MAP = analysis.StabilityMap(ETAS, SIZES, RADIUS, jnp.asarray(1e-9))


def diagram(values):
    return analysis.OrbitDiagram(
        step_sizes=jnp.array([0.5, 0.9, 1.4]),
        values=values,
        outcome=OUTCOMES.where(jnp.asarray(True), OUTCOMES.ok, OUTCOMES.blow_up),
        num_finite=jnp.array([90, 90, 7]),
        period=jnp.array([1, 0, 0]),
        settled=jnp.array([True, False, False]),
    )


VALUES = jnp.array([[0.0, 0.0], [0.1, -0.2], [jnp.inf, jnp.inf]])


def test_a_stability_map_is_colored_by_the_growth_in_a_step(ax):
    drawn = plot.stability_map(MAP, ax=ax, limit=0.5)
    shown = np.asarray(drawn.mesh.get_array())
    # Rows are step sizes; what dies out at once is as blue as can be, and what is not a number has no color.
    np.testing.assert_allclose(shown[0, :2], [0.0, np.log(0.5)], rtol=0, atol=1e-15)
    assert shown[1, 0] == pytest.approx(np.log(1.5)) and shown[0, 2] == -np.inf
    assert np.ma.getmaskarray(drawn.mesh.get_array())[1, 2] or np.isnan(shown[1, 2])
    assert drawn.mesh.get_clim() == (-0.5, 0.5) and not drawn.handles
    ax.figure.savefig(io.BytesIO(), format="svg")


def test_the_border_is_drawn_where_it_is_finite(ax):
    drawn = plot.stability_map(MAP, ax=ax, border=(ETAS, jnp.array([0.9, 1.9, jnp.inf])))
    x, y = drawn.border.get_data()
    np.testing.assert_array_equal(x, ETAS)
    np.testing.assert_array_equal(y, [0.9, 1.9, np.nan])
    assert drawn.handles == [drawn.border] and plot.colorbar(drawn, ax=ax) is not None


def test_an_orbit_diagram_has_a_dot_for_each_kept_value_and_a_mark_where_orbits_blew_up(ax):
    drawn = plot.orbit_diagram(diagram(VALUES), ax=ax)
    np.testing.assert_allclose(drawn.points.get_data(), [[0.5, 0.5], [0.0, 0.0]], rtol=1e-7)
    np.testing.assert_allclose(drawn.moving.get_data(), [[0.9, 0.9], [0.1, -0.2]], rtol=1e-7)
    np.testing.assert_allclose(drawn.lost.get_xdata(), [1.4], rtol=1e-7)
    assert len(drawn.handles) == 3
    ax.figure.savefig(io.BytesIO(), format="svg")


def test_of_states_a_coordinate_has_to_be_chosen(ax):
    states = diagram(games.Players(VALUES, VALUES))
    with pytest.raises(ValueError, match="`values` must be one number for each step size and kept state"):
        plot.orbit_diagram(states, ax=ax)
    assert len(plot.orbit_diagram(states, states.values.generator, ax=ax).points.get_xdata()) == 2
