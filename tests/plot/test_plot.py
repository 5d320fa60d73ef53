"""What the artists hold; not their pixels."""

import io
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from gan_ode import fields, games, losses, Orbit, plot, regularizers, RESULTS
from gan_ode.plot._curves import arrow_places
from gan_ode.plot._equilibria import MARKS
from gan_ode.simulate import OUTCOMES

# A nullcline is a linear interpolation between the nodes of a grid: error about curvature times spacing squared over
# eight, 3e-5 here; measured 6e-6.
NULLCLINE = 1e-4
PLANE = {"xlim": (-1.5, 1.5), "ylim": (0.2, 2.0)}


def at(discriminator, generator):
    return games.Players(jnp.asarray(float(discriminator)), jnp.asarray(float(generator)))


def wasserstein(eta=0.0):
    game = games.LinearQuadratic(losses.Wasserstein())
    return fields.GameField(regularizers.Penalized(game, regularizers.GradientNorm(eta)))


class Linear(eqx.Module):
    matrix: jax.Array

    def __call__(self, t, y, args):
        return games.Players(*(self.matrix @ jnp.stack([y.discriminator, y.generator])))


def linear(matrix):
    return Linear(jnp.asarray(matrix, float))


@pytest.fixture
def ax():
    return Figure(figsize=(3.4, 2.8)).subplots()


def along(ts, ys):
    """An orbit that nobody had to solve for."""
    ts = jnp.asarray(ts, float)
    return Orbit(ts, ys, {}, RESULTS.successful, OUTCOMES.ok, ts[-1], jax.tree.map(lambda leaf: leaf[-1], ys))


@pytest.fixture(scope="module")
def orbit():
    """Half a turn around the equilibrium (0, 1), from above to the left."""
    ts = jnp.linspace(0.0, 4.0, 41)
    return along(ts, games.Players(-0.5 * jnp.sin(ts), 1 + 0.5 * jnp.cos(ts)))


def drawn(figure):
    """Runs the renderer, which sees what construction does not."""
    figure.savefig(io.BytesIO(), format="svg")


# The phase portrait.


def test_the_nullcline_of_the_critic_is_where_the_scale_is_one(ax):
    portrait = plot.phase_portrait(wasserstein(), ax=ax, streamlines=False, **PLANE)
    w, a = portrait.nullclines[0].get_data()
    assert np.nanmin(w) <= -1.5 and np.nanmax(w) >= 1.5
    np.testing.assert_allclose(a, 1.0, atol=NULLCLINE)


def test_the_nullcline_of_the_regularized_generator_is_its_closed_form(ax):
    eta = 0.5
    portrait = plot.phase_portrait(wasserstein(eta), ax=ax, streamlines=False, **PLANE)
    w, a = portrait.nullclines[1].get_data()
    np.testing.assert_allclose(w, -2 * eta / 3 * (1 - a**2), atol=NULLCLINE)


def test_a_nullcline_on_the_edge_of_the_panel_is_drawn_whole(ax):
    portrait = plot.phase_portrait(wasserstein(), ax=ax, xlim=(-1, 1), ylim=(0, 2), streamlines=False)
    w, a = portrait.nullclines[1].get_data()
    on_edge = w[np.abs(a) < NULLCLINE]
    assert on_edge.min() < -0.95 and on_edge.max() > 0.95


def test_a_component_that_never_vanishes_has_an_empty_nullcline_and_no_legend_entry(ax):
    field = lambda t, y, args: games.Players(jnp.ones_like(y.discriminator), y.generator)  # noqa: E731
    portrait = plot.phase_portrait(field, ax=ax, xlim=(-1, 1), ylim=(-1, 1))
    assert len(portrait.nullclines[0].get_xdata()) == 0
    assert [handle.get_label() for handle in portrait.handles] == [r"$\dot{\theta}_G = 0$"]


def test_labels_carry_the_names_of_the_parameters(ax):
    portrait = plot.phase_portrait(wasserstein(), ax=ax, names=("w", "a_1"), streamlines=False, **PLANE)
    assert ax.get_xlabel() == "discriminator $w$" and ax.get_ylabel() == "generator $a_1$"
    assert [line.get_label() for line in portrait.nullclines] == [r"$\dot{w} = 0$", r"$\dot{a}_1 = 0$"]


@pytest.mark.parametrize(
    ("kind", "matrix"),
    [
        ("stable node", [[-1, 0], [0, -2]]),
        ("stable focus", [[-0.1, -1], [1, -0.1]]),
        ("unstable node", [[1, 0], [0, 2]]),
        ("unstable focus", [[0.1, -1], [1, 0.1]]),
        ("saddle", [[1, 0], [0, -1]]),
        ("center", [[0, -1], [1, 0]]),
        ("degenerate", [[-1, 0], [0, 0]]),
    ],
)
def test_an_equilibrium_is_marked_by_its_type(ax, kind, matrix):
    portrait = plot.phase_portrait(
        linear(matrix), ax=ax, xlim=(-1, 1), ylim=(-1, 1), equilibria=[at(0, 0)], streamlines=False, resolution=10
    )
    (mark,) = portrait.equilibria
    assert mark.get_label() == kind
    assert mark.get_marker() == MARKS[kind]["marker"]
    is_filled = to_rgba(mark.get_markerfacecolor()) == to_rgba("black")
    assert is_filled == (kind in ("stable node", "stable focus", "saddle"))


def test_no_two_types_of_equilibria_look_alike():
    assert len({(look["marker"], look["markerfacecolor"]) for look in MARKS.values()}) == len(MARKS) == 8


def test_an_equilibrium_at_which_the_velocity_jumps_is_marked_as_having_no_type(ax):
    game = regularizers.Penalized(games.Dirac(losses.Wasserstein()), regularizers.WGANGP(0.7))
    options = {"xlim": (-1, 1), "ylim": (-1, 1), "streamlines": False, "resolution": 10}
    portrait = plot.phase_portrait(fields.GameField(game), ax=ax, equilibria=[at(0, 0)], **options)
    assert [mark.get_label() for mark in portrait.equilibria] == ["not smooth"]


def test_equilibria_outside_the_limits_are_left_out(ax):
    portrait = plot.phase_portrait(wasserstein(), ax=ax, equilibria=[at(0, 1), at(0, -1)], streamlines=False, **PLANE)
    assert [mark.get_xydata().tolist() for mark in portrait.equilibria] == [[[0.0, 1.0]]]


def test_a_flow_is_colored_by_the_time_between_its_points(ax, orbit):
    portrait = plot.phase_portrait(wasserstein(), ax=ax, orbits=[orbit], streamlines=False, **PLANE)
    (lines,) = portrait.orbits
    np.testing.assert_allclose(lines.get_array(), np.arange(0.05, 4.0, 0.1))
    assert (portrait.norm.vmin, portrait.norm.vmax) == (0.0, 4.0)
    assert lines.get_cmap().name == "viridis"
    ends = np.array([piece[1] for piece in lines.get_segments()])
    np.testing.assert_array_equal(ends, np.stack([orbit.ys.discriminator, orbit.ys.generator], axis=-1)[1:])


def test_time_limits_share_the_colors_between_panels(ax, orbit):
    portrait = plot.phase_portrait(
        wasserstein(), ax=ax, orbits=orbit, time_limits=(0, 10), streamlines=False, resolution=10, **PLANE
    )
    assert (portrait.mappable.norm.vmin, portrait.mappable.norm.vmax) == (0.0, 10.0)


def test_without_color_by_orbits_have_one_color_and_no_scale(ax, orbit):
    portrait = plot.phase_portrait(
        wasserstein(), ax=ax, orbits=orbit, color_by=None, streamlines=False, resolution=10, **PLANE
    )
    assert portrait.orbits[0].get_array() is None
    with pytest.raises(ValueError, match="`artists` must be colored by a number"):
        plot.colorbar(portrait, ax=ax)


def test_an_update_is_a_line_with_a_dot_at_each_step_labelled_by_its_rule(ax, orbit):
    steps = {"simultaneous": orbit, "alternating": [along(orbit.ts, jax.tree.map(lambda y: 0.9 * y, orbit.ys))]}
    portrait = plot.phase_portrait(wasserstein(), ax=ax, updates=steps, streamlines=False, resolution=10, **PLANE)
    first, second = portrait.updates
    assert (first.get_label(), second.get_label()) == ("simultaneous", "alternating")
    assert first.get_color() != second.get_color() and first.get_marker() != second.get_marker()
    np.testing.assert_array_equal(first.get_xdata(), orbit.ys.discriminator)
    np.testing.assert_array_equal(second.get_ydata(), 0.9 * orbit.ys.generator)
    assert portrait.starts.get_xydata().tolist() == [[0.0, 1.35], [0.0, 1.5]]


def test_states_that_were_not_reached_or_are_very_far_away_are_not_drawn(ax):
    heights = jnp.array([0.1, 1.0, 1e3, 1e200, 1.0, jnp.inf])
    blow_up = along(jnp.array([0.0, 1.0, 2.0, 3.0, 4.0, jnp.inf]), games.Players(heights, heights))
    portrait = plot.phase_portrait(
        linear([[1, 0], [0, 1]]), ax=ax, xlim=(-2, 2), ylim=(-2, 2), orbits=blow_up, updates=blow_up, streamlines=False
    )
    assert portrait.updates[0].get_xdata().tolist() == [0.1, 1.0]
    assert portrait.orbits[0].get_array().tolist() == [0.5]
    drawn(ax.figure)


def test_an_orbit_that_reached_nothing_but_its_start_is_a_start_alone(ax):
    ts = jnp.array([0.0, jnp.inf])
    portrait = plot.phase_portrait(
        linear([[1, 0], [0, 1]]),
        ax=ax,
        xlim=(-2, 2),
        ylim=(-2, 2),
        orbits=along(ts, games.Players(ts, ts)),
        streamlines=False,
    )
    assert portrait.orbits == () and portrait.arrows == () and portrait.starts.get_xydata().tolist() == [[0.0, 0.0]]


def test_an_ensemble_is_drawn_member_by_member(ax, orbit):
    ensemble = jax.vmap(lambda factor: jax.tree.map(lambda leaf: factor * leaf, (orbit.ts, orbit.ys)))(
        jnp.arange(1.0, 4.0)
    )
    portrait = plot.phase_portrait(
        wasserstein(), ax=ax, updates=along_ensemble(*ensemble), streamlines=False, resolution=10, **PLANE
    )
    assert [line.get_ydata()[0] for line in portrait.updates] == [1.5, 3.0, 4.5]


def along_ensemble(ts, ys):
    return jax.vmap(along)(ts, ys)


def test_another_plane_shows_the_projected_velocity(ax):
    # A bilinear game in two dimensions each, seen in polar coordinates of its first rotation: it turns backward at
    # the singular value, whatever the radius.
    field = fields.GameField(games.Bilinear(jnp.diag(jnp.array([2.0, 3.0]))))
    portrait = plot.phase_portrait(
        field,
        ax=ax,
        xlim=(0.5, 1.5),
        ylim=(-1.0, 1.0),
        state=lambda r, phi: games.Players(jnp.array([r * jnp.cos(phi), 0.0]), jnp.array([r * jnp.sin(phi), 0.0])),
        project=lambda y: (
            jnp.hypot(y.discriminator[0], y.generator[0]),
            jnp.arctan2(y.generator[0], y.discriminator[0]),
        ),
        names=("r", r"\phi"),
        nullclines=False,
    )
    assert ax.get_xlabel() == "$r$"
    # Uniform speed: log10 of the singular value.
    np.testing.assert_allclose(portrait.background.get_array(), np.log10(2.0), rtol=1e-12)


def test_a_field_that_is_zero_or_not_finite_somewhere_is_drawn(ax):
    def field(t, y, args):
        return games.Players(jnp.log(y.discriminator), jnp.where(y.discriminator < 0.5, 0.0, y.generator))

    plot.phase_portrait(field, ax=ax, xlim=(-1, 1), ylim=(-1, 1))
    drawn(ax.figure)


def test_a_field_that_is_zero_everywhere_is_drawn_without_streamlines(ax):
    portrait = plot.phase_portrait(linear([[0, 0], [0, 0]]), ax=ax, xlim=(-1, 1), ylim=(-1, 1))
    assert portrait.streamlines is None and portrait.background is None
    drawn(ax.figure)


def test_arrows_of_a_flow_point_along_it(ax, orbit):
    portrait = plot.phase_portrait(wasserstein(), ax=ax, orbits=orbit, streamlines=False, resolution=10, **PLANE)
    assert 1 <= len(portrait.arrows) <= 2
    # From (0, 1.5) the orbit turns left: the critic's weight falls while the scale is above 1.
    tail, head = portrait.arrows[0]._posA_posB
    assert head[0] < tail[0]


def test_arrows_lie_on_pieces_inside_the_panel():
    points = np.stack([np.linspace(-1, 2, 301), np.full(301, 0.5)], axis=-1)
    first, *_ = arrow_places(points)
    assert points[first, 0] == pytest.approx(0.02 + 0.22, abs=0.02)


def test_the_background_is_pixels_in_a_vector_file(ax):
    portrait = plot.phase_portrait(wasserstein(), ax=ax, **PLANE)
    assert portrait.background.get_rasterized()
    file = io.StringIO()
    ax.figure.savefig(file, format="svg")
    assert file.getvalue().count("<image") == 1


def test_the_limits_are_those_asked_for(ax, orbit):
    plot.phase_portrait(wasserstein(), ax=ax, orbits=orbit, updates=orbit, equilibria=[at(0, 1)], **PLANE)
    assert (ax.get_xlim(), ax.get_ylim()) == (PLANE["xlim"], PLANE["ylim"])


def test_lines_are_thinner_in_a_small_panel(orbit):
    widths = []
    for size in (1.4, 2.4, 3.0):
        small = Figure(figsize=(size, size)).subplots()
        portrait = plot.phase_portrait(wasserstein(), ax=small, orbits=orbit, streamlines=False, resolution=10, **PLANE)
        widths.append(portrait.orbits[0].get_linewidth()[0])
    assert widths == sorted(widths) and widths[0] < widths[-1]


@pytest.mark.parametrize("limits", [(1.0, -1.0), (0.0, 0.0), (0.0, float("nan")), (0.0, 1.0, 2.0)])
def test_limits_that_are_no_interval_are_refused(ax, limits):
    with pytest.raises(ValueError, match=r"`xlim` must be two finite numbers, the smaller first, but is "):
        plot.phase_portrait(wasserstein(), ax=ax, xlim=limits, ylim=(0, 1))


def test_a_projection_to_something_else_than_two_numbers_is_refused(ax):
    field = fields.GameField(games.Bilinear(jnp.eye(2)))
    with pytest.raises(ValueError, match="`project` must give two numbers for a state, but gives shapes"):
        plot.phase_portrait(
            field,
            ax=ax,
            xlim=(-1, 1),
            ylim=(-1, 1),
            state=lambda x, y: games.Players(jnp.array([x, 0]), jnp.array([y, 0])),
        )


def test_what_is_no_orbit_is_refused(ax):
    with pytest.raises(Exception, match="orbits"):
        plot.phase_portrait(wasserstein(), ax=ax, orbits=[jnp.zeros(3)], **PLANE)


# Orbits against time.


def test_an_orbit_is_one_labelled_line_for_each_component(ax, orbit):
    plotted = plot.orbit(orbit, ax=ax)
    assert [line.get_label() for line in plotted.lines] == ["discriminator", "generator"]
    np.testing.assert_array_equal(plotted.lines[1].get_ydata(), orbit.ys.generator)
    np.testing.assert_array_equal(plotted.lines[1].get_xdata(), orbit.ts)


def test_entries_of_arrays_are_numbered(ax):
    steps = along(jnp.arange(3.0), games.Players(jnp.ones((3, 2)), {"a": jnp.ones(3), "b": jnp.zeros((3, 1))}))
    plotted = plot.orbit(steps, ax=ax, marks=True)
    names = ["discriminator[0]", "discriminator[1]", "generator['a']", "generator['b'][0]"]
    assert [line.get_label() for line in plotted.lines] == names
    assert all(line.get_marker() == "." for line in plotted.lines)


def test_a_quantity_is_drawn_in_the_place_of_the_state(ax, orbit):
    plotted = plot.orbit(orbit, ax=ax, quantity=lambda y: y.discriminator**2 + y.generator, labels=["$q$"])
    (line,) = plotted.lines
    np.testing.assert_allclose(line.get_ydata(), orbit.ys.discriminator**2 + orbit.ys.generator, rtol=1e-15)


def test_times_that_were_not_reached_are_not_drawn(ax):
    (line,) = plot.orbit(along([0.0, 1.0, jnp.inf], jnp.array([1.0, 2.0, jnp.inf])), ax=ax).lines
    assert line.get_xydata().tolist() == [[0.0, 1.0], [1.0, 2.0]]


def test_more_than_eight_components_are_refused_with_the_remedy(ax):
    with pytest.raises(ValueError, match=r"at most 8 components .* but has 9: pass `quantity=`"):
        plot.orbit(along([0.0, 1.0], jnp.ones((2, 9))), ax=ax)


def test_labels_that_are_not_as_many_as_lines_are_refused(ax, orbit):
    with pytest.raises(ValueError, match=r"`labels` must be 2, one for each line, but is \['w'\]"):
        plot.orbit(orbit, ax=ax, labels=["w"])


def test_an_ensemble_against_time_is_refused(ax, orbit):
    ensemble = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), orbit)
    with pytest.raises(ValueError, match=r"`orbit` must be a single one, but its times have shape \(2, 41\)"):
        plot.orbit(ensemble, ax=ax)


# Spectra.


def test_a_disc_has_center_minus_one_over_h_and_radius_one_over_h(ax):
    plotted = plot.spectrum(np.array([-1 + 1j, -1 - 1j]), ax=ax, step_sizes=(0.5, 1.0))
    assert [(tuple(disc.center), disc.radius) for disc in plotted.discs] == [((-2.0, 0.0), 2.0), ((-1.0, 0.0), 1.0)]
    assert [text.get_text() for text in plotted.disc_labels] == ["$h = 0.5$", "$h = 1$"]


def test_labels_of_discs_lie_on_their_circles_inside_the_panel_and_off_the_eigenvalues(ax):
    values = np.array([-0.05 + 0.33j, -0.05 - 0.33j])
    plotted = plot.spectrum(values, ax=ax, step_sizes=(0.5, 1.0))
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    for disc, text in zip(plotted.discs, plotted.disc_labels, strict=True):
        x, y = text.get_position()
        assert np.hypot(x - disc.center[0], y) == pytest.approx(disc.radius)
        assert left < x < right and low < y < high
        assert min(abs(values - complex(x, y))) > 0.1 * (high - low)


def test_a_disc_far_larger_than_the_panel_is_labelled_too(ax):
    plotted = plot.spectrum(np.array([-1 + 1j, -1 - 1j]), ax=ax, step_sizes=(1e-4,))
    assert [text.get_text() for text in plotted.disc_labels] == ["$h = 0.0001$"]


def test_the_limits_of_a_spectrum_hold_all_eigenvalues_and_zero(ax):
    values = np.array([-3 + 0j, 0.5 + 2j, 0.5 - 2j])
    plot.spectrum(values, ax=ax, step_sizes=(1e-3,))
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    assert left < -3 and right > 0.5 and low < -2 and high > 2
    assert right - left < 20  # not widened to the disc of radius 1000


def test_a_circle_is_round_on_paper(ax):
    plot.spectrum(np.array([-1 + 1j, -1 - 1j]), ax=ax)
    ax.figure.draw_without_rendering()
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    assert ax.bbox.width / (right - left) == pytest.approx(ax.bbox.height / (high - low), rel=1e-6)


def test_eigenvalues_are_marked_by_their_side_of_the_imaginary_axis(ax):
    plotted = plot.spectrum(np.array([-1 + 0j, 1j, -1j, 2 + 0j]), ax=ax)
    assert [line.get_xdata().tolist() for line in plotted.points] == [[-1.0], [0.0, 0.0], [2.0]]
    assert [line.get_marker() for line in plotted.points] == ["o", "o", "^"]


def test_branches_are_colored_by_the_parameter(ax):
    etas = np.linspace(0.0, 2.0, 5)
    rows = -etas[:, None] + 1j * np.array([1.0, -1.0])
    plotted = plot.spectrum(rows, ax=ax, parameter=etas)
    assert len(plotted.branches) == 2 and plotted.branches[0].get_cmap().name == "cividis"
    np.testing.assert_allclose(plotted.branches[0].get_array(), [0.25, 0.75, 1.25, 1.75])
    assert (plotted.norm.vmin, plotted.norm.vmax) == (0.0, 2.0)
    assert plot.colorbar(plotted, ax=ax).ax.get_ylabel() == r"$\eta$"


def test_a_branch_is_one_line_though_the_rows_are_in_any_order(ax):
    etas = np.linspace(0.0, 1.0, 40)
    smooth = np.stack([-1 + 2 * etas, -etas], axis=-1).astype(complex)
    generator = np.random.default_rng(0)
    plotted = plot.spectrum(np.stack([generator.permutation(row) for row in smooth]), ax=ax, parameter=etas)
    for line in plotted.branches:
        steps = np.diff([piece[0, 0] for piece in line.get_segments()])
        np.testing.assert_allclose(steps, steps[0], rtol=1e-9)


def test_parts_of_eigenvalues_are_drawn_along_the_parameter_with_critical_values_marked(ax):
    etas = np.linspace(0.0, 2.0, 5)
    rows = -etas[:, None] + 1j * np.array([1.0, -1.0])
    plotted = plot.branches(etas, rows, ax=ax, part="imag", critical=[0.5], label="pair")
    np.testing.assert_array_equal([line.get_ydata() for line in plotted.lines], [[1.0] * 5, [-1.0] * 5])
    assert plotted.lines[0].get_color() == plotted.lines[1].get_color()
    assert list(plotted.critical[0].get_xdata()) == [0.5, 0.5]
    assert [text.get_text() for text in ax.legend().get_texts()] == ["pair"]
    assert ax.get_xlabel() == r"$\eta$" and "Im" in ax.get_ylabel()


def test_branches_without_a_row_for_each_value_are_refused(ax):
    with pytest.raises(ValueError, match="`eigenvalues` must have one row for each value"):
        plot.branches(np.arange(3.0), np.ones((2, 2), complex), ax=ax)


def test_eigenvalues_of_the_wrong_shape_are_refused(ax):
    with pytest.raises(ValueError, match=r"`eigenvalues` must have shape \(3, n\), but has \(2, 2\)"):
        plot.spectrum(np.ones((2, 2), complex), ax=ax, parameter=np.arange(3.0))
    with pytest.raises(ValueError, match=r"`eigenvalues` must have shape \(n,\), but has \(2, 2\)"):
        plot.spectrum(np.ones((2, 2), complex), ax=ax)


def test_a_step_size_of_zero_is_refused(ax):
    with pytest.raises(ValueError, match=r"`step_sizes` must be above 0 and finite, but holds 0\.0"):
        plot.spectrum(np.ones(2, complex), ax=ax, step_sizes=(0.0,))


# Convergence.


@pytest.mark.parametrize("order", [1, 2, 5])
def test_the_slope_of_a_power_law_is_its_exponent(ax, order):
    sizes = np.array([0.4, 0.1, 0.2])
    plotted = plot.convergence(sizes, 3 * sizes**order, ax=ax, order=order)
    assert plotted.slope == pytest.approx(order)
    assert plotted.slope_label.get_text() == f"slope {order}.00"
    x, y = plotted.reference.get_data()
    assert np.log(y[1] / y[0]) / np.log(x[1] / x[0]) == pytest.approx(order)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_errors_of_zero_infinity_and_nan_are_left_out(ax):
    sizes = np.array([0.1, 0.2, 0.4, 0.8, 1.6])
    plotted = plot.convergence(sizes, np.array([0.0, 0.2, 0.4, np.inf, np.nan]), ax=ax)
    assert plotted.line.get_xdata().tolist() == [0.2, 0.4]
    assert plotted.slope == pytest.approx(1.0)


def test_a_slope_that_is_given_is_the_one_that_is_written(ax):
    sizes = np.array([0.1, 0.2])
    plotted = plot.convergence(sizes, sizes, ax=ax, slope=jnp.asarray(1.234), label="rule")
    assert plotted.slope_label.get_text() == "slope 1.23" and plotted.line.get_label() == "rule"


def test_fewer_than_two_usable_errors_are_refused(ax):
    with pytest.raises(ValueError, match="`errors` must be above 0 and finite at 2 step sizes or more, but are at 1"):
        plot.convergence(np.array([0.1, 0.2]), np.array([0.1, 0.0]), ax=ax)


def test_errors_and_step_sizes_of_different_length_are_refused(ax):
    with pytest.raises(Exception, match="errors"):
        plot.convergence(np.array([0.1, 0.2]), np.array([0.1]), ax=ax)


# Style, legend, color bar.


def test_the_axes_of_a_portrait_are_labelled_as_told(ax):
    bare = {"streamlines": False, "nullclines": False, "resolution": 10, **PLANE}
    plot.phase_portrait(wasserstein(), ax=ax, names=("w", "a"), **bare)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("discriminator $w$", "generator $a$")
    plot.phase_portrait(wasserstein(), ax=ax, axis_labels=("slope of D", "scale of G"), **bare)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("slope of D", "scale of G")


def test_the_style_ends_with_its_context_and_drawing_changes_no_setting(ax, orbit):
    before = dict(matplotlib.rcParams)
    with plot.style({"font.size": 9}):
        assert matplotlib.rcParams["mathtext.fontset"] == "dejavusans" and matplotlib.rcParams["font.size"] == 9
        assert matplotlib.rcParams["axes.prop_cycle"].by_key()["color"] == list(plot.CYCLE)
    plot.phase_portrait(wasserstein(), ax=ax, orbits=orbit, **PLANE)
    assert dict(matplotlib.rcParams) == before


def test_the_cycle_is_that_of_okabe_and_ito():
    known = {to_rgba(color) for color in matplotlib.color_sequences["okabe_ito"]}
    assert {to_rgba(color) for color in plot.CYCLE} == known


def test_a_legend_of_several_panels_has_each_label_once_lines_before_marks(orbit):
    figure = Figure(layout="constrained")
    portraits = [
        plot.phase_portrait(
            wasserstein(eta), ax=each, orbits=orbit, equilibria=[at(0, 1)], streamlines=False, resolution=20, **PLANE
        )
        for each, eta in zip(figure.subplots(1, 2), (0.0, 0.5), strict=True)
    ]
    texts = [text.get_text() for text in plot.legend(figure, *portraits).get_texts()]
    assert texts[:4] == [r"$\dot{\theta}_D = 0$", r"$\dot{\theta}_G = 0$", "flow", "start"]
    assert texts[4:] == ["center", "stable focus"]
    drawn(figure)


def test_ones_own_artists_stand_in_the_legend_where_they_are_handed_over(ax, orbit, monkeypatch):
    portrait = plot.phase_portrait(wasserstein(), ax=ax, orbits=orbit, streamlines=False, resolution=10, **PLANE)
    lines = ax.plot([0, 1], [0, 1], label="theory")
    points = ax.errorbar([0.5], [0.5], yerr=0.1, label="measured")
    (mark,) = ax.plot([0.2], [0.3], "o")
    texts = {text.get_text() for text in plot.legend(ax, portrait, lines, points).get_texts()}
    assert {"theory", "measured", "flow"} <= texts
    with pytest.raises(ValueError, match="`artists` must have labels"):
        plot.legend(ax, mark)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="`artists` must be what functions of `plot` returned"):
        plot.legend(ax, ["theory"])


def test_the_color_bar_is_labelled_time(ax, orbit):
    portrait = plot.phase_portrait(wasserstein(), ax=ax, orbits=orbit, streamlines=False, resolution=10, **PLANE)
    bar = plot.colorbar(portrait, ax=[ax])
    assert bar.ax.get_ylabel() == "time $t$" and (bar.vmin, bar.vmax) == (0.0, 4.0)


def test_a_panel_has_a_bold_letter_and_a_title_at_its_left(ax):
    plot.label_panel(ax, "a", "what it shows")
    assert ax.get_title(loc="left") == r"$\mathbf{a}$  what it shows"


def test_importing_the_plots_leaves_pyplot_alone():
    code = (
        "import sys, gan_ode; assert 'matplotlib' not in sys.modules; "
        "import gan_ode.plot; assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
