"""Folds of cycles in two parameters against normal forms in which the square of the radius is the only unknown."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from gan_ode import analysis

# Collocation on 16 intervals of a circle; measured at most 4e-10.
CURVE = 1e-8
# Where the second derivative passes zero, or Newton's method finds the Hopf point; measured at most 3e-12.
POINT = 1e-9
INTERVALS = 16


class Radial(eqx.Module):
    """r' = r (p + q s + c s^2 + d s^3) with s = r^2, theta' = 2."""

    c: Array
    d: Array

    def __call__(self, p, q):
        def field(t, y, args):
            s = jnp.sum(y**2)
            return 2 * jnp.stack([-y[1], y[0]]) + (p + q * s + self.c * s**2 + self.d * s**3) * y

        return field


def fold(square, value, kind="fold of cycles"):
    turn = jnp.linspace(0, 2 * jnp.pi, 65)
    orbit = jnp.sqrt(square) * jnp.stack([jnp.cos(turn), jnp.sin(turn)], axis=1)
    return analysis.CycleEvent(
        kind, jnp.asarray(value), jnp.pi * jnp.ones(()), orbit[0], jnp.ones(2, complex), orbit, turn / 2
    )


def curve(family, event, first, second, at):
    return analysis.continue_event(family, event, jnp.array(first), jnp.array(second), at=at, intervals=INTERVALS)


BAUTIN, CUSP = Radial(jnp.array(-1.0), jnp.array(0.0)), Radial(jnp.array(1.0), jnp.array(-1.0))


def test_folds_of_cycles_begin_at_the_generalized_hopf_point_of_bautin():
    # p + q s - s^2 has a double zero at s = q / 2.
    along = curve(BAUTIN, fold(0.5, -0.25), (-0.4, 0.1), (-0.5, 1.2), 1.0)
    assert along.kind == "fold of cycles" and not along.is_update
    np.testing.assert_allclose(along.first, -(along.second**2) / 4, atol=CURVE)
    np.testing.assert_allclose(jnp.sum(along.states**2, axis=1), along.second / 2, atol=CURVE)
    np.testing.assert_allclose(along.angles, 2, atol=CURVE)
    assert along.ended == ("end of range", "generalized hopf")
    np.testing.assert_allclose([along.second[0], along.second[-1]], [1.2, 0], atol=POINT)
    (point,) = along.points
    np.testing.assert_allclose([point.first, point.second], [0, 0], atol=POINT)
    assert point.kind == "generalized hopf" and point.index == len(along.first) - 1
    assert "generalized hopf" in repr(along) and along.to_xarray().attrs["kind"] == "fold of cycles"


def test_two_folds_of_cycles_meet_in_a_cusp():
    # p + q s + s^2 - s^3 has a double zero where q = 3 s^2 - 2 s and p = s^2 - 2 s^3, and a triple one at s = 1/3.
    along = curve(CUSP, fold(0.6, 0.36 - 2 * 0.216), (-0.3, 0.3), (-0.5, 0.5), 3 * 0.36 - 2 * 0.6)
    s = jnp.sum(along.states**2, axis=1)
    np.testing.assert_allclose(along.first, s**2 - 2 * s**3, atol=CURVE)
    np.testing.assert_allclose(along.second, 3 * s**2 - 2 * s, atol=CURVE)
    found = {point.kind: (float(point.first), float(point.second)) for point in along.points}
    assert found.keys() == {"cusp of cycles", "generalized hopf"}
    np.testing.assert_allclose(found["cusp of cycles"], [1 / 27, -1 / 3], atol=POINT)
    np.testing.assert_allclose(found["generalized hopf"], [0, 0], atol=POINT)


def test_what_is_no_fold_of_cycles_there_is_refused():
    with pytest.raises(ValueError, match="`event` must be a fold of cycles of a flow"):
        curve(BAUTIN, fold(0.5, -0.25, "torus"), (-0.4, 0.1), (-0.5, 1.2), 1.0)
    with pytest.raises(ValueError, match="`event` must be a fold of cycles of the family"):
        curve(BAUTIN, fold(0.5, 0.09), (-0.4, 0.1), (-0.5, 1.2), -0.4)
    with pytest.raises(ValueError, match="`at` must lie within the ranges"):
        curve(BAUTIN, fold(0.5, -0.25), (-0.4, 0.1), (-0.5, 1.2), 2.0)
