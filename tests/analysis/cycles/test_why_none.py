"""A search for a cycle that finds none says what the flow does instead: systems whose fate is known."""

import jax.numpy as jnp
import pytest

from gan_ode.analysis import find_periodic_orbit, SEARCHES
from gan_ode.analysis.cycles._why_none import reason_of


def may_leonard(t, y, args):
    """Each species is pushed out by the next: alpha = 0.8, beta = 1.3, whose sum is above 2."""
    return y * (1 - y - 0.8 * jnp.roll(y, -1) - 1.3 * jnp.roll(y, -2))


def rock_paper_scissors(t, y, args):
    """The replicator equation with a loss that outweighs the win."""
    payoff = jnp.array([[0.0, -1.5, 1.0], [1.0, 0.0, -1.5], [-1.5, 1.0, 0.0]])
    gains = payoff @ y
    return y * (gains - y @ gains)


def homoclinic(t, y, args):
    """Duffing's oscillator, drawn to the loop on which its energy is that of the saddle."""
    energy = y[1] ** 2 / 2 - y[0] ** 2 / 2 + y[0] ** 4 / 4
    return jnp.stack([y[1], y[0] - y[0] ** 3 - 0.3 * energy * y[1]])


@pytest.mark.parametrize(
    ("field", "start"),
    [(rock_paper_scissors, [0.5, 0.3, 0.2]), (homoclinic, [1.2, 0.0])],
    ids=["heteroclinic", "homoclinic"],
)
def test_passages_of_saddles_that_take_ever_longer_are_called_a_connection(field, start):
    cycle = find_periodic_orbit(field, jnp.array(start), throw=False)
    assert not cycle.found and cycle.outcome == SEARCHES.connection, SEARCHES[cycle.outcome]
    assert "ever longer" in str(cycle)


def test_so_are_those_of_may_and_leonards_species():
    assert bool(reason_of(may_leonard, jnp.array([0.5, 0.3, 0.2]), None) == SEARCHES.connection)


def test_a_slow_cycle_is_no_connection():
    def van_der_pol(t, y, args):
        return jnp.stack([y[1], 30.0 * (1 - y[0] ** 2) * y[1] - y[0]])

    # Asked as if no cycle had been found: it stands still for nearly all of each turn, as long each time.
    assert reason_of(van_der_pol, jnp.array([2.0, 0.0]), None) is None


def test_what_leaves_and_what_rests_is_said():
    with pytest.raises(RuntimeError, match="leaves every bound"):
        find_periodic_orbit(lambda t, y, args: y, jnp.array([1.0, 0.5]))
    rest = reason_of(lambda t, y, args: -y * jnp.array([1.0, 2.0]), jnp.array([1.0, 0.5]), None)
    assert rest is not None and bool(rest == SEARCHES.settles)
