"""Level sets of a quantity in a plane."""

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from gan_ode import plot


@pytest.fixture
def ax():
    return Figure().subplots()


def test_a_level_set_is_where_the_quantity_has_the_value(ax):
    drawn = plot.level_sets(
        lambda y: y.discriminator**2 + y.generator**2, ax=ax, xlim=(-2, 2), ylim=(-2, 2), levels=[1.0], label="circle"
    )
    (path,) = [path for path in drawn.contours.get_paths() if len(path.vertices)]
    # Linear between the points of a grid of 200: to the square of the spacing; measured 5e-5.
    np.testing.assert_allclose(np.hypot(*path.vertices.T), 1.0, rtol=0, atol=2e-4)
    assert [handle.get_label() for handle in drawn.handles] == ["circle"]
    assert drawn.mappable is None


def test_filled_level_sets_have_a_color_bar_and_leave_out_what_is_not_finite(ax):
    drawn = plot.level_sets(
        lambda y: jnp.log(y.generator), ax=ax, xlim=(-1, 1), ylim=(-1, 2), levels=[-1.0, 0.0], filled=True, label="Q"
    )
    assert plot.colorbar(drawn, ax=ax).ax.get_ylabel() == "Q"
    bands = np.concatenate([path.vertices for path in drawn.contours.get_paths()])
    assert np.min(bands[:, 1]) > 0
    assert not drawn.handles


def test_the_plane_is_the_one_of_the_given_states(ax):
    unit = {"xlim": (0, 1), "ylim": (0, 0.4)}
    drawn = plot.level_sets(jnp.sum, ax=ax, **unit, state=lambda x, y: jnp.stack([x, 2 * y]), levels=[1.0])
    (path,) = [path for path in drawn.contours.get_paths() if len(path.vertices)]
    np.testing.assert_allclose(path.vertices @ [1.0, 2.0], 1.0, rtol=0, atol=1e-12)
