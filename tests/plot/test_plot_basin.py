"""What the picture of basins holds; not its pixels."""

import io
import types

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from gan_ode import analysis, plot
from gan_ode.analysis import Basin, Cycles, FATES, REASONS, TrappingRegion
from gan_ode.analysis.basins._ring import Ring
from gan_ode.games import Players
from gan_ode.plot._style import BLUE, INK, PURPLE, VERMILLION

# Fates of a grid of three columns, w, by two rows, a.
NAMES = ["converges", "converges", "undecided", "diverges", "cycles", "cycles"]


@pytest.fixture
def ax():
    return Figure(figsize=(3.4, 2.8)).subplots()


def by_hand(starts=None):
    """Fates that nobody had to solve for: an equilibrium in a trap of radius 1/2, and one that repels."""
    starts = analysis.state_grid(jnp.array([0.0, 1.0, 2.0]), jnp.array([-1.0, 1.0])) if starts is None else starts
    centers = jnp.array([[0.5, 0.5], [1.5, -0.5]])
    return Basin(
        starts=starts,
        fate=fates(),
        index=jnp.array([0, 0, -1, -1, -1, -1]),
        cycle=jnp.array([-1, -1, -1, -1, 1, 0]),
        reason=jax.vmap(lambda i: REASONS.where(i == 2, REASONS.moving, REASONS.decided))(jnp.arange(6)),
        time=jnp.array([1.0, 10.0, jnp.inf, 5.0, 10.0, 1.0]),
        final_state=starts,
        equilibria=Players(centers[:, 0], centers[:, 1]),
        traps=TrappingRegion(
            centers,
            jnp.stack([4 * jnp.eye(2)] * 2),
            jnp.array([1.0, 0.0]),
            jnp.array([False, True]),
            jnp.array([-1.0, 1.0]),
        ),
        cycles=cycles(),
    )


def cycles():
    """Two circles, with periods 2 and 12.345."""
    angles = jnp.linspace(0.0, 2 * jnp.pi, 8, endpoint=False)
    circle = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)
    points = jnp.stack([0.1 * circle, 0.2 * circle])
    ring = Ring(points, jnp.ones((2, 2)), points, jnp.ones(2), jnp.ones(2))
    return Cycles(Players(points[..., 0], points[..., 1]), jnp.array([2.0, 12.345]), jnp.zeros(2), ring)


def fates():
    def one(chosen):
        fate = FATES.undecided
        for i, name in enumerate(NAMES):
            fate = FATES.where(chosen == i, getattr(FATES, name), fate)
        return fate

    return jax.vmap(one)(jnp.arange(6))


def test_each_start_has_the_color_of_its_fate_where_it_stands(ax):
    drawn = plot.basin(by_hand(), ax=ax, time_limits=(1.0, 10.0))
    colors = drawn.image.get_array()
    assert colors.shape == (2, 3, 3)
    np.testing.assert_allclose(colors[0, 0], to_rgb(BLUE))
    np.testing.assert_allclose(colors[1, 0], to_rgb(INK))
    # Cells lie around their starts.
    assert drawn.image.get_extent() == [-0.5, 2.5, -2.0, 2.0]


def test_what_takes_longer_is_paler(ax):
    fast, slow = plot.basin(by_hand(), ax=ax, time_limits=(1.0, 10.0)).image.get_array()[0, :2]
    assert np.all(slow > fast)


def test_each_cycle_has_a_color_of_its_own_and_is_paler_too_where_it_takes_longer(ax):
    late, early = plot.basin(by_hand(), ax=ax, time_limits=(1.0, 10.0)).image.get_array()[1, 1:]
    np.testing.assert_allclose(early, to_rgb(PURPLE))
    full = np.array(to_rgb(VERMILLION))
    assert np.all(late > full)
    # On the line from the full color to white.
    np.testing.assert_allclose(np.ptp((late - full) / (1 - full)), 0, atol=1e-12)


def test_cycles_are_drawn_where_they_are(ax):
    first, second = plot.basin(by_hand(), ax=ax).cycles
    np.testing.assert_allclose(np.hypot(first.get_xdata(), first.get_ydata()), 0.1, rtol=1e-12)
    np.testing.assert_allclose(np.hypot(second.get_xdata(), second.get_ydata()), 0.2, rtol=1e-12)


def test_equilibria_and_traps_are_marked(ax):
    drawn = plot.basin(by_hand(), ax=ax)
    assert [line.get_markerfacecolor() for line in drawn.equilibria] == ["#000000", "#FFFFFF"]
    (outline,) = drawn.traps
    np.testing.assert_allclose(np.hypot(outline.get_xdata() - 0.5, outline.get_ydata() - 0.5), 0.5, rtol=1e-12)
    bare = plot.basin(by_hand(), ax=ax, traps=False)
    assert bare.traps == () and bare.cycles == ()


def test_the_legend_names_what_is_seen(ax):
    drawn = plot.basin(by_hand(), ax=ax, labels=["left", "right"])
    names = ["left", "cycle 1, period 2", "cycle 2, period 12.3", "diverges", "undecided"]
    assert [patch.get_label() for patch in drawn.patches] == names
    seen = [text.get_text() for text in plot.legend(ax, drawn).get_texts()]
    assert sorted(seen) == sorted([*names, "attracting equilibrium", "other equilibrium", "trap: no way out"])
    ax.figure.savefig(io.BytesIO(), format="svg")


def test_the_order_of_the_starts_does_not_matter(ax):
    whole = by_hand()
    order = np.array([3, 0, 5, 1, 4, 2])
    names = ("starts", "fate", "index", "cycle", "reason", "time", "final_state")
    rows = {name: _rows(getattr(whole, name), order) for name in names}
    shuffled = Basin(**rows, equilibria=whole.equilibria, traps=whole.traps, cycles=whole.cycles)
    images = [plot.basin(each, ax=ax).image.get_array() for each in (whole, shuffled)]
    np.testing.assert_array_equal(*images)


def _rows(tree, order):
    return jax.tree.map(lambda leaf: leaf[order], tree)


def test_what_cannot_be_drawn_is_refused(ax):
    scattered = Players(jnp.arange(6.0), jnp.arange(6.0))
    with pytest.raises(ValueError, match=r"must be over a grid of starts"):
        plot.basin(by_hand(scattered), ax=ax)
    with pytest.raises(ValueError, match=r"`labels` must be one for each of the 2"):
        plot.basin(by_hand(), ax=ax, labels=["one"])
    with pytest.raises(ValueError, match=r"`time_limits` must be two positive times"):
        plot.basin(by_hand(), ax=ax, time_limits=(2.0, 1.0))


@pytest.mark.parametrize(("labels", "columns"), [(["a", "b", "c"], 3), ([f"{'long ' * 4}{i}" for i in range(7)], 2)])
def test_a_legend_of_a_figure_wraps_where_one_row_does_not_fit(labels, columns):
    figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
    drawn = types.SimpleNamespace(handles=[axes.plot([0, 1], label=label)[0] for label in labels])
    legend = plot.legend(figure, drawn)
    figure.canvas.draw()
    assert legend._ncols == columns
    assert legend.get_window_extent().x0 >= 0 and legend.get_window_extent().x1 <= figure.bbox.width
    plt.close(figure)
