"""What the artists of a plane of parameters hold; not their pixels."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from gan_ode import plot
from gan_ode.analysis import CurvePoint, EventCurve, StabilityMap


@pytest.fixture
def ax():
    return Figure(figsize=(3.4, 2.8)).subplots()


def curve(kind, first, second, points=()):
    """One that nobody followed, with degenerate points at some of its places."""
    first, second = jnp.asarray(first), jnp.asarray(second)
    states, zeros = jnp.zeros((len(first), 1)), jnp.zeros(len(first))
    found = tuple(CurvePoint(name, first[i], second[i], states[i], zeros[i], i) for i, name in points)
    return EventCurve(kind, first, second, states, zeros, zeros, found, ("end of range", "end of range"), True)


PAIRS = curve("neimark-sacker", [0.0, 0.5, 0.9, 1.0], [0.0, 1.5, 2.7, 3.0], [(1, "1:4"), (2, "1:3"), (3, "1:2")])
FLIPS = curve("flip", [1.0, 1.2, 2.0], [3.0, 1.6, 0.8], [(0, "1:2"), (1, "generalized flip")])


def test_each_curve_is_a_line_and_where_curves_meet_there_is_one_mark(ax):
    drawn = plot.parameter_plane(PAIRS, FLIPS, ax=ax, names=("w", "h"))
    for line, each in zip(drawn.curves, (PAIRS, FLIPS), strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.stack([each.first, each.second], axis=-1))
    places = [tuple(np.ravel(mark.get_xydata())) for mark in drawn.points]
    assert places == [(0.5, 1.5), (0.9, 2.7), (1.0, 3.0), (1.2, 1.6)]
    assert [sign.get_text() for sign in drawn.signs] == ["1:4", "1:3", "1:2", "GF"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("$w$", "$h$")


def test_kinds_differ_in_their_dashes_labels_in_their_color_and_the_legend_says_what_letters_mean(ax):
    drawn = plot.parameter_plane(PAIRS, FLIPS, PAIRS, ax=ax, labels=("plain", "plain", "with momentum"))
    entries = {str(handle.get_label()): handle for handle in drawn.handles}
    assert list(entries) == [
        "plain: Neimark–Sacker",
        "plain: flip",
        "with momentum: Neimark–Sacker",
        "GF  generalized flip",
    ]
    dashes = [str(vars(handle)["_unscaled_dash_pattern"]) for handle in list(entries.values())[:3]]
    assert dashes[0] == dashes[2] != dashes[1]
    colors = [line.get_color() for line in drawn.curves]
    assert colors[0] == colors[1] != colors[2]


def test_signs_keep_clear_of_each_other_and_of_the_curves(ax):
    near = curve("fold", np.linspace(0, 2, 40), np.linspace(0, 2, 40) ** 2, [(20, "cusp"), (22, "bogdanov-takens")])
    drawn = plot.parameter_plane(near, ax=ax)
    boxes = [sign.get_window_extent() for sign in drawn.signs]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    path = ax.transData.transform(drawn.curves[0].get_xydata())
    assert not any(box.contains(*place) for box in boxes for place in path)
    assert plot.parameter_plane(near, ax=ax, signs=False).signs == ()


def test_on_top_of_a_stability_map_its_limits_and_labels_stay_and_what_is_outside_has_no_sign(ax):
    painted = StabilityMap(jnp.linspace(0.1, 0.8, 3), jnp.linspace(0.5, 2.0, 4), jnp.ones((3, 4)), jnp.asarray(0.0))
    plot.stability_map(painted, ax=ax, name=r"\gamma")
    before = ax.get_xlim(), ax.get_ylim(), ax.get_xlabel(), ax.get_ylabel()
    drawn = plot.parameter_plane(PAIRS, ax=ax)
    assert (ax.get_xlim(), ax.get_ylim(), ax.get_xlabel(), ax.get_ylabel()) == before
    assert [sign.get_text() for sign in drawn.signs] == ["1:4"]


def test_no_curve_and_too_many_labels_are_refused(ax):
    with pytest.raises(ValueError, match="`curves` must be at least one"):
        plot.parameter_plane(ax=ax)
    with pytest.raises(ValueError, match="`labels` must be at most one for each curve, but are 2 for 1"):
        plot.parameter_plane(PAIRS, ax=ax, labels=("a", "b"))
