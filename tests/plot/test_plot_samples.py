"""Samples in the plane."""

import jax
import jaxtyping
import matplotlib.pyplot as plt
import numpy as np
import pytest

from gan_ode import distributions, plot

RING = distributions.Ring()
POINTS = np.array([[2.0, 0.0], [0.0, 0.1], [30.0, 0.0], [np.nan, 0.0]])


def test_samples_and_modes_are_where_they_are():
    _, ax = plt.subplots()
    drawn = plot.samples(POINTS, ax=ax, mixture=RING, within=4.0, label="made")
    np.testing.assert_array_equal(np.asarray(drawn.points.get_offsets())[:3], POINTS[:3])
    assert drawn.modes is not None
    np.testing.assert_allclose(drawn.modes.get_offsets(), RING.centers, rtol=1e-12)
    # Diameters of four standard deviations to both sides.
    np.testing.assert_allclose(drawn.modes.get_widths(), 2 * 4 * 0.02, rtol=1e-12)
    assert [handle.get_label() for handle in drawn.handles] == ["made"]


def test_far_samples_do_not_move_the_panel_and_are_counted():
    _, (left, right) = plt.subplots(1, 2)
    far = plot.samples(POINTS, ax=left, mixture=RING)
    near = plot.samples(RING.sample(jax.random.key(0), 50), ax=right, mixture=RING)
    assert (far.outside, near.outside) == (2, 0)
    assert left.get_xlim() == right.get_xlim() and left.get_xlim()[1] < 3
    assert left.get_ylim() == right.get_ylim()


def test_without_a_mixture_the_panel_holds_all_samples():
    _, ax = plt.subplots()
    drawn = plot.samples(POINTS[:3], ax=ax)
    assert drawn.modes is None and drawn.outside == 0
    assert ax.get_xlim()[1] >= 30


def test_points_that_are_in_no_plane_are_refused(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=r"`points` must have shape \(num, 2\), but have \(4, 3\)"):
        plot.samples(np.zeros((4, 3)), ax=plt.subplots()[1])
