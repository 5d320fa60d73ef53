"""Events where Diffrax's word is not the one that is asked for: at the start, and several within one step."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import pytest

from gan_ode import flow, OUTCOMES, simulate

ROOT = optx.Newton(1e-10, 1e-10)
TS = jnp.linspace(0.0, 10.0, 3)
# That of dense output at a tolerance of 1e-8; measured 2e-9.
ERROR = 1e-7


def circle(t, y, args):
    return jnp.array([y[1], -y[0]])


def line(t, y, args):
    return jnp.ones_like(y)


def crossing(t, y, args, **kwargs):
    return y[0]


class At(eqx.Module):
    """A moment; a module, so that others of the same kind compile nothing anew."""

    time: jax.Array

    def __call__(self, t, y, args, **kwargs):
        return t - self.time


def at(time):
    return At(jnp.asarray(time))


# On its own surface at the start: y = sin t.


@pytest.mark.parametrize(("direction", "turns"), [(None, 0.5), (True, 1.0)])
def test_a_start_on_the_surface_of_an_event_is_none(direction, turns):
    orbit = flow(circle, jnp.array([0.0, 1.0]), TS, events=diffrax.Event(crossing, ROOT, direction))
    np.testing.assert_allclose(orbit.final_time, 2 * np.pi * turns, atol=ERROR)
    assert orbit.outcome == OUTCOMES.event and orbit.event_mask


def test_members_of_an_ensemble_leave_the_surface_to_their_own_sides():
    starts = jnp.array([[0.0, 1.0], [0.0, -1.0], [1.0, 0.0]])
    orbits = simulate.ensemble(circle, starts, TS, events=diffrax.Event(crossing, ROOT, True))
    # From above, from below, and a start that is elsewhere.
    np.testing.assert_allclose(orbits.final_time, 2 * np.pi * np.array([1.0, 0.5, 0.75]), atol=ERROR)


def test_an_orbit_that_stays_on_the_surface_has_no_event():
    assert flow(circle, jnp.zeros(2), TS, events=diffrax.Event(crossing, ROOT)).outcome == OUTCOMES.ok


def test_what_is_already_true_at_the_start_happens_there():
    orbit = flow(circle, jnp.array([0.0, 1.0]), TS, events=lambda t, y, args, **kwargs: y[1] > 0)
    assert orbit.outcome == OUTCOMES.event and orbit.final_time == 0


# Several in one step. Steps of a straight line are long.


@pytest.mark.parametrize("times", [(3.1, 3.0), (3.0, 3.1), (3.0, 9.0)])
def test_the_first_of_several_events_in_one_step_stops_the_solve(times):
    orbit = flow(line, jnp.zeros(1), TS, events=diffrax.Event([at(time) for time in times], ROOT))
    np.testing.assert_allclose(orbit.final_time, min(times), atol=ERROR)
    np.testing.assert_allclose(orbit.final_state, min(times), atol=ERROR)
    assert [bool(hit) for hit in orbit.event_mask] == [time == min(times) for time in times]


def test_only_events_in_their_own_direction_are_asked():
    """The second, downwards, is crossed upwards before the first."""
    events = diffrax.Event({"up": at(3.1), "down": at(3.0)}, ROOT, {"up": True, "down": False})
    orbit = flow(line, jnp.zeros(1), TS, events=events)
    np.testing.assert_allclose(orbit.final_time, 3.1, atol=ERROR)
    assert orbit.event_mask["up"] and not orbit.event_mask["down"]


def test_the_time_of_an_event_has_its_gradient_still():
    def time(rate):
        event = diffrax.Event(lambda t, y, args, **kwargs: y - 0.5, ROOT)
        return flow(lambda t, y, args: -args * y, jnp.ones(()), TS, args=rate, events=event).final_time

    value, slope = jax.value_and_grad(time)(jnp.asarray(2.0))
    np.testing.assert_allclose((value, slope), (np.log(2) / 2, -np.log(2) / 4), atol=1e-6)


# Not finite at the start.


def test_a_field_that_is_infinite_at_the_start_has_one_name_everywhere():
    def field(t, y, args):
        return jnp.full_like(y, args)

    alone = flow(field, jnp.ones(2), TS, args=jnp.asarray(jnp.inf), throw=False)
    many = simulate.ensemble(field, jnp.ones((2, 2)), TS, args=jnp.asarray(jnp.inf))
    assert alone.outcome == OUTCOMES.nonfinite_field and alone.final_time == 0
    assert jnp.all(many.outcome == OUTCOMES.nonfinite_field) and np.all(many.final_time == 0)
