"""Branches of closed curves of updates against closed forms, the flow's cycles, and plain iteration."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from gan_ode import analysis, fields, games, iterate, updates

# Newton's method to rounding; measured at most 1e-13.
EXACT = 1e-11
# Places where a number passes zero; measured at most 1e-15 for those of these maps.
EVENTS = 1e-10
# Iteration comes to a curve of 32 or 64 harmonics; measured at most 2e-10.
ON_THE_CURVE = 1e-8
# Two averages of turns over some thousand steps; measured 2e-12.
AVERAGED = 1e-9

POWERS = [(i, j) for i in range(6) for j in range(6 - i)]


class Polynomial(eqx.Module):
    """A field whose steps of size 1 are a polynomial map of the plane."""

    rows: Array

    def __call__(self, t, y, args):
        table = jnp.stack([jnp.ones_like(y), y, y**2, y**3, y**4, y**5])
        return self.rows @ jnp.prod(table[np.array(POWERS), np.arange(2)], axis=1)


class Family(eqx.Module):
    """Polynomials affine in the parameter: all share their compiled programs."""

    still: Array
    moved: Array

    def __call__(self, p):
        return Polynomial(self.still + p * self.moved)


def family(still, moved):
    """By the terms of the map, `{(i, j): complex coefficient}` with the second state as imaginary part."""
    tables = []
    for terms in (still, moved):
        table = np.zeros((2, len(POWERS)))
        for power, coefficient in terms.items():
            table[:, POWERS.index(power)] += np.real(coefficient), np.imag(coefficient)
        tables.append(table)
    # A step adds the field to the state.
    tables[0][:, POWERS.index((1, 0))] -= 1, 0
    tables[0][:, POWERS.index((0, 1))] -= 0, 1
    return Family(*map(jnp.asarray, tables))


def turning(coefficients, turn):
    r"""The terms of $z \mapsto \text{turn} \cdot z (a + b |z|^2 + c |z|^4)$."""
    terms = {}
    squares = [{(0, 0): 1}, {(2, 0): 1, (0, 2): 1}, {(4, 0): 1, (2, 2): 2, (0, 4): 1}]
    for coefficient, square in zip(coefficients, squares, strict=False):
        for (i, j), weight in square.items():
            terms[i + 1, j] = terms.get((i + 1, j), 0) + coefficient * weight * turn
            terms[i, j + 1] = terms.get((i, j + 1), 0) + coefficient * weight * turn * 1j
    return terms


STEP = updates.Simultaneous(1.0)
TURN = np.exp(1j)
# r' = r (1 + p + r^2 - r^4), theta' = theta + 1.
SUBCRITICAL = family(turning([1, 1, -1], TURN), turning([1], TURN))
# r' = r (1 + p - r^2), theta' = theta + 1.
SUPERCRITICAL = family(turning([1, -1], TURN), turning([1], TURN))
# z' = (i - p) z (1.3 - |z|^2).
THROUGH_A_QUARTER = family(turning([1.3, -1], 1j), turning([1.3, -1], -1))
# x' = p x (1 - y), y' = x.
DELAYED_LOGISTIC = family({(1, 0): 1j}, {(1, 0): 1, (1, 1): -1})


def neimark_sacker(maps, values, y):
    (event,) = analysis.continue_equilibrium(maps, jnp.array(values), jnp.array(y), update=STEP).events
    assert event.kind == "neimark-sacker"
    return event


def from_point(maps, values, y, **options):
    return analysis.continue_cycle(maps, jnp.array(values), neimark_sacker(maps, values, y), update=STEP, **options)


def distance(orbit, state):
    """Of a state from a closed curve that is given by samples: Newton's method on their trigonometric polynomial."""
    coefficients = np.fft.fft(np.asarray(orbit)[:-1], axis=0) / (len(orbit) - 1)
    orders = np.fft.fftfreq(len(coefficients), 1 / len(coefficients))[:, None]
    phase = 2 * np.pi * np.argmin(np.linalg.norm(np.asarray(orbit)[:-1] - state, axis=1)) / len(coefficients)

    def at(phase):
        waves = coefficients * np.exp(1j * orders * phase)
        return np.real(np.sum(waves, axis=0)), np.real(np.sum(1j * orders * waves, axis=0))

    for _ in range(8):
        there, velocity = at(phase)
        phase += velocity @ (state - there) / (velocity @ velocity)
    return np.linalg.norm(state - at(phase)[0])


@pytest.fixture(scope="module")
def subcritical():
    return from_point(SUBCRITICAL, [-0.5, 0.5], [0.0, 0.0])


def test_radius_rotation_and_multiplier_are_those_of_the_polar_map(subcritical):
    square = np.sum(np.asarray(subcritical.states) ** 2, axis=1)
    values = np.asarray(subcritical.values)
    np.testing.assert_allclose(values + square - square**2, 0, atol=EXACT)
    np.testing.assert_allclose(subcritical.rotations, 1 / (2 * np.pi), atol=EXACT)
    # The derivative of the radius' map.
    slopes = 1 + values + 3 * square - 5 * square**2
    np.testing.assert_allclose(subcritical.multipliers, np.abs(slopes), atol=EXACT)
    np.testing.assert_array_equal(subcritical.stable, np.abs(slopes) < 1)
    # Every sample lies on the circle.
    samples = np.sum(np.asarray(subcritical.orbits) ** 2, axis=-1)
    np.testing.assert_allclose(samples, np.broadcast_to(square[:, None], samples.shape), atol=EXACT)
    assert np.all(np.asarray(subcritical.residuals) < EXACT) and set(subcritical.harmonics.tolist()) == {32}


def test_curves_turn_in_a_fold_and_cease_to_attract_where_the_multiplier_is_minus_one(subcritical):
    assert [event.kind for event in subcritical.events] == ["fold of curves", "change of attraction"]
    fold, lost = subcritical.events
    np.testing.assert_allclose(
        [fold.value, fold.multiplier, lost.value, lost.multiplier], [-0.25, 1, 0, 1], atol=EVENTS
    )
    # Where it turns the square of the radius is known to half of the digits.
    np.testing.assert_allclose(np.sum(np.asarray(fold.orbit) ** 2, axis=1), 0.5, atol=1e-6)
    np.testing.assert_allclose([subcritical.values[0], *subcritical.states[0]], 0, atol=EVENTS)
    assert float(subcritical.values[1]) < 0 and subcritical.ended == "end of range"
    assert float(subcritical.values[-1]) == 0.5
    assert "fold of curves" in str(subcritical) and "turns in a step" in str(fold)


def test_from_a_state_that_is_drawn_to_it_a_curve_is_followed_back_to_its_neimark_sacker_point():
    branch = analysis.continue_cycle(SUPERCRITICAL, jnp.array([0.3, -0.3]), jnp.array([0.5, 0.0]), update=STEP)
    square = np.sum(np.asarray(branch.states) ** 2, axis=1)
    np.testing.assert_allclose(square, branch.values, atol=EXACT)
    assert branch.ended == "a Neimark-Sacker point" and np.all(branch.stable) and branch.events == ()
    np.testing.assert_allclose([branch.values[-1], square[-1]], 0, atol=EVENTS)
    np.testing.assert_allclose(branch.rotations, 1 / (2 * np.pi), atol=EXACT)


def test_where_a_turn_takes_four_steps_is_a_strong_resonance():
    start = jnp.array([0.5, 0.0])
    branch = analysis.continue_cycle(THROUGH_A_QUARTER, jnp.array([-0.2, 0.3]), start, update=STEP)
    (event,) = branch.events
    assert event.kind == "strong resonance" and branch.ended == "end of range"
    np.testing.assert_allclose([event.value, event.rotation], [0, 0.25], atol=EVENTS)
    values = np.asarray(branch.values)
    np.testing.assert_allclose(branch.rotations, np.angle(1j - values) / (2 * np.pi), atol=EXACT)
    np.testing.assert_allclose(np.sum(branch.states**2, axis=1), 1.3 - 1 / np.sqrt(1 + values**2), atol=EXACT)


@pytest.fixture(scope="module")
def delayed_logistic():
    return from_point(DELAYED_LOGISTIC, [1.9, 2.3], [0.45, 0.45])


def test_the_delayed_logistic_maps_curve_begins_at_two_with_a_sixth_of_a_turn(delayed_logistic):
    np.testing.assert_allclose([delayed_logistic.values[0], delayed_logistic.rotations[0]], [2, 1 / 6], atol=EVENTS)
    np.testing.assert_allclose(delayed_logistic.states[0], 0.5, atol=EVENTS)
    assert np.all(delayed_logistic.stable) and np.all(np.diff(delayed_logistic.values) > 0)


@pytest.mark.parametrize("index", [6, 8])
def test_iteration_comes_to_the_curve_and_goes_around_as_fast(delayed_logistic, index):
    value, x = float(delayed_logistic.values[index]), [0.6, 0.6]
    while len(x) < 24_000:
        x.append(value * x[-1] * (1 - x[-2]))
    states = np.stack([x[1:], x[:-1]], axis=1)[12_000:]
    orbit = np.asarray(delayed_logistic.orbits[index])
    assert max(distance(orbit, state) for state in states[::97]) < ON_THE_CURVE
    around = analysis.rotation_number(jnp.asarray(states), jnp.asarray(states.mean(axis=0)))
    np.testing.assert_allclose(abs(float(around.value)), delayed_logistic.rotations[index], atol=AVERAGED)


def test_a_curve_that_gets_rough_ends_with_its_harmonics_and_its_residual(delayed_logistic):
    assert delayed_logistic.ended == "breaks or locks"
    assert int(delayed_logistic.harmonics[-1]) == 256 and 1e-9 < float(delayed_logistic.residuals[-1]) < 1e-6
    assert "256 harmonics, mapped to itself within" in str(delayed_logistic)


# The almost bilinear game at epsilon = 0.5; the state is (y, x), as the game has it.
GAME = fields.GameField(games.AlmostBilinear(0.5))


def test_as_the_step_size_falls_the_closed_curve_becomes_the_flows_cycle():
    cycle = analysis.find_periodic_orbit(GAME, games.Players(jnp.array(0.5), jnp.array(1.0)))
    branch = analysis.continue_cycle(GAME, jnp.array([0.01, 0.03]), cycle, update=updates.Simultaneous)
    assert branch.ended == "end of range" and np.all(branch.stable)
    steps, turns = np.asarray(branch.values), 1 / np.asarray(branch.rotations)
    late = steps * turns - float(cycle.period)
    assert 0 < late[0] < 0.5 * steps[0]
    # Differences of first order: a polynomial in the step size leads to the flow's period and multiplier at 0.
    fits = [np.polyfit(steps, column, 5)[-1] for column in (steps * turns, np.log(branch.multipliers) * turns)]
    np.testing.assert_allclose(fits[0], float(cycle.period), atol=1e-6)
    np.testing.assert_allclose(np.exp(fits[1]), np.real(cycle.multipliers[1]), rtol=1e-4)


def test_an_update_with_memory_has_its_curve_where_iteration_comes_to_it():
    update, weights = updates.Optimistic(0.1), jnp.array([0.45, 0.3])

    def decayed(weight):
        def field(t, y, args):
            velocity = GAME(t, y, args)
            return games.Players(velocity.discriminator - weight * y.discriminator, velocity.generator)

        return field

    rest = games.Players(jnp.array(0.0), jnp.array(0.0))
    (event,) = analysis.continue_equilibrium(decayed, weights, rest, update=update).events
    branch = analysis.continue_cycle(decayed, weights, event, update=update)
    assert branch.ended == "end of range" and np.all(branch.stable)
    orbit = np.stack([branch.orbits.discriminator[-1], branch.orbits.generator[-1]], axis=1)
    start = games.Players(jnp.array(0.4), jnp.array(0.4))
    states = iterate(update, decayed(0.3), start, num_steps=8000).ys
    states = np.stack([states.discriminator, states.generator], axis=1)
    assert max(distance(orbit, state) for state in states[4000::131]) < ON_THE_CURVE
    # How fast it comes there, over whole turns.
    turn = 1 / float(branch.rotations[-1])
    first, last = 600, 600 + round(8 * turn)
    slope = np.log(distance(orbit, states[last]) / distance(orbit, states[first])) / (last - first)
    np.testing.assert_allclose(slope, np.log(branch.multipliers[-1]), rtol=0.02)


def test_a_dataset_holds_curves_and_events(subcritical):
    data = subcritical.to_xarray()
    assert data["state"].shape == subcritical.orbits.shape and data.attrs["ended"] == "end of range"
    np.testing.assert_array_equal(data["event_kind"], ["fold of curves", "change of attraction"])
    np.testing.assert_array_equal(data["rotation"], subcritical.rotations)


def test_what_is_no_closed_curve_is_refused(subcritical):
    ends, y = jnp.array([0.1, 0.3]), jnp.array([0.5, 0.0])
    with pytest.raises(ValueError, match="`cycle` must be a state that the update draws to a closed curve"):
        analysis.continue_cycle(SUPERCRITICAL, ends, jnp.array([9.0, 0.0]), update=STEP)
    event = neimark_sacker(SUPERCRITICAL, [-0.3, 0.3], [0.0, 0.0])
    with pytest.raises(ValueError, match="`values` must be a range that holds the Neimark-Sacker point"):
        analysis.continue_cycle(SUPERCRITICAL, ends, event, update=STEP)
    with pytest.raises(ValueError, match="`values` must reach to the side where the closed curves are, above"):
        analysis.continue_cycle(SUPERCRITICAL, jnp.array([0.0, -0.3]), event, update=STEP)
    with pytest.raises(ValueError, match="`intervals` must be left out where `update` is given"):
        analysis.continue_cycle(SUPERCRITICAL, ends, y, update=STEP, intervals=40)
    with pytest.raises(ValueError, match="`cycle` must be a periodic orbit or a Hopf point"):
        analysis.continue_cycle(SUPERCRITICAL, ends, event)
    with pytest.raises(ValueError, match="`cycle` must be concrete"):
        jax.jit(lambda y: analysis.continue_cycle(SUPERCRITICAL, ends, y, update=STEP).values)(y)


class Refusing(eqx.Module):
    """A family without members below 0.05."""

    whole: Family

    def __call__(self, p):
        return self.whole(eqx.error_if(p, p < 0.05, "there is none below 0.05"))


def test_a_branch_may_begin_where_there_is_nothing_beyond():
    begun = jnp.array([np.sqrt(0.05), 0.0])
    found = analysis.continue_cycle(Refusing(SUPERCRITICAL), jnp.array([0.05, 0.15]), begun, update=STEP)
    assert float(found.values[0]) == 0.05 and found.ended == "end of range"
    np.testing.assert_allclose(jnp.linalg.norm(found.states, axis=1) ** 2, found.values, rtol=EXACT)
