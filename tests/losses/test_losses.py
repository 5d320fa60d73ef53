"""What scores are paid, and the games that it makes, of every loss of the catalogue."""

import functools

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given, strategies as st

from gan_ode import fields, games, losses
from gan_ode.games import Players
from tests.catalogue import dirac_velocity, linear_quadratic_velocity, linear_quadratic_velocity_of_pairs
from tests.loss_facts import LOSSES, ONE_FUNCTION, PAIRS

# Both sides round once or twice: measured 2e-15.
ROUNDING = 1e-14
# float32 has 6e-8: measured 3e-8.
SINGLE = 3e-7
# Sums of 40 terms beside sums of 120: measured 1e-14.
SUMS = 1e-13

NAMES = list(LOSSES)
WIDE = np.array([-1e4, -300.0, -88.0, -17.0, -1.2, -0.1, 0.0, 0.1, 0.9, 1.1, 17.0, 88.0, 300.0, 1e4])
NEAR = np.array([-4.0, -2.5, -1.0, -0.6, -0.1, 0.0, 0.1, 0.9, 1.1, 1.5, 3.0, 4.0])


def scores_of(name):
    low, high = LOSSES[name].scores
    some = WIDE if high > 4 else NEAR
    return some[(some >= low) & (some <= high)]


# All losses are one program: compiling is what the tests cost.
@functools.cache
def measured(dtype):
    def measure(scores):
        def of(loss, s):
            curves = (loss.data, loss.sample, loss.generator)
            return [each for f in curves for each in (f(s), jax.vmap(jax.grad(f))(s))]

        return {name: of(facts.make(), scores[name]) for name, facts in LOSSES.items()}

    return jax.jit(measure)({name: jnp.asarray(scores_of(name), dtype) for name in NAMES})


def expected(name, scores):
    facts = LOSSES[name]
    pairs = [
        (facts.data, facts.slope_of_data),
        (facts.sample, facts.slope_of_sample),
        (facts.generator, facts.slope_of_generator),
    ]
    return [curve(scores) for pair in pairs for curve in pair]


@pytest.mark.parametrize("name", NAMES)
def test_values_and_slopes_are_the_closed_forms(name):
    for value, by_hand in zip(measured(jnp.float64)[name], expected(name, scores_of(name)), strict=True):
        np.testing.assert_allclose(value, by_hand, rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("name", NAMES)
def test_values_and_slopes_in_float32_are_finite_and_right_for_scores_of_any_size_that_the_loss_allows(name):
    by_hand = expected(name, scores_of(name).astype(np.float32).astype(float))
    for value, right in zip(measured(jnp.float32)[name], by_hand, strict=True):
        assert value.dtype == jnp.float32
        assert np.all(np.isfinite(value))
        # Relative to the terms that are summed, as 1 and exp(s).
        np.testing.assert_allclose(value, right, rtol=SINGLE, atol=SINGLE * max(1, np.abs(right[NEAR.size // 2])))


@pytest.mark.parametrize("name", NAMES)
def test_a_zero_sum_loss_pays_the_generator_what_the_discriminator_gets_for_its_samples(name):
    _, _, sample, _, generator, _ = expected(name, scores_of(name))
    loss = LOSSES[name].make()
    assert loss.zero_sum == loss.trusted_zero_sum == np.allclose(generator, sample)


@pytest.mark.parametrize("name", [name for name in NAMES if LOSSES[name].make().degree is not None])
def test_the_degree_is_that_of_the_polynomial(name):
    loss = LOSSES[name].make()
    x = np.linspace(-2, 2, 9)
    degrees = []
    for curve in (loss.data, loss.sample):
        polynomial = np.polynomial.Polynomial.fit(x, np.asarray(curve(jnp.asarray(x))), 6).convert()
        degrees.append(np.max(np.nonzero(np.abs(polynomial.coef) > 1e-10)))
    assert max(degrees) == loss.degree == loss.trusted_degree


@pytest.mark.parametrize("name", ONE_FUNCTION)
@given(low=st.floats(-50, 50), high=st.floats(-50, 50), part=st.floats(0, 1))
def test_f_is_concave(name, low, high, part):
    data = LOSSES[name].make().data
    chord = part * LOSSES[name].f(low) + (1 - part) * LOSSES[name].f(high)
    assert data(jnp.asarray(part * low + (1 - part) * high)) >= chord - 1e-9


@pytest.mark.parametrize("name", NAMES)
def test_what_data_and_samples_are_paid_is_concave_but_for_neymans_samples(name):
    low, high = LOSSES[name].scores
    grid = np.linspace(max(low, -4.0), min(high, 4.0), 60)
    slopes = LOSSES[name].slope_of_data(grid), LOSSES[name].slope_of_sample(grid)
    rises = [np.max(np.diff(slope)) > 1e-12 for slope in slopes]
    assert rises == [False, name == "neyman_chi_squared"]


@pytest.mark.parametrize("name", ONE_FUNCTION)
def test_a_better_score_never_costs_the_generator_below_the_label_of_data(name):
    slopes = jax.vmap(jax.grad(LOSSES[name].make().generator))(jnp.linspace(-20.0, 1.0, 50))
    assert np.all(np.asarray(slopes) <= 0)


# The games that they make, again in one program.

PLANE = Players(jnp.array([0.3, -0.4, 0.05]), jnp.array([0.8, 1.3, -1.1]))
EVERY = LOSSES | PAIRS


@functools.cache
def played():
    def velocities(game):
        return jax.vmap(lambda y: fields.GameField(game)(0.0, y, None))(PLANE)

    def both(facts):
        loss = facts.make()
        return velocities(games.LinearQuadratic(loss)), velocities(games.Dirac(loss))

    return jax.jit(lambda: {name: both(facts) for name, facts in EVERY.items()})()


def rows(velocity):
    return np.stack([velocity.discriminator, velocity.generator], axis=1)


@pytest.mark.parametrize("name", EVERY)
def test_the_linear_quadratic_gan_moves_as_by_hand(name):
    def velocity(y):
        if name in PAIRS:
            return linear_quadratic_velocity_of_pairs(PAIRS[name], y)
        return linear_quadratic_velocity(LOSSES[name], y, 1.0)

    by_hand = [velocity(y) for y in rows(PLANE)]
    np.testing.assert_allclose(rows(played()[name][0]), by_hand, rtol=SUMS, atol=SUMS)


@pytest.mark.parametrize("name", EVERY)
def test_the_dirac_gan_moves_as_by_hand(name):
    # The datum scores 0, so that its pair with the sample is paid P(-m), not Q(m): of one function the same.
    base = PAIRS[name].base if name in PAIRS else LOSSES[name]
    factor = 2 if name in PAIRS and PAIRS[name].average else 1
    by_hand = [factor * dirac_velocity(base, y) for y in rows(PLANE)]
    np.testing.assert_allclose(rows(played()[name][1]), by_hand, rtol=SUMS, atol=SUMS)


@pytest.mark.parametrize("name", PAIRS)
def test_a_loss_of_pairs_is_zero_sum_and_of_the_degree_of_its_base(name):
    loss, base = PAIRS[name].make(), PAIRS[name].base.make()
    assert loss.trusted_zero_sum == base.zero_sum
    assert loss.trusted_degree == base.degree
    assert not type(loss)(losses.KL()).trusted_zero_sum


def test_the_jensen_shannon_loss_is_minimax_and_a_constant():
    score = jnp.linspace(-5.0, 5.0, 11)
    ours, usual = losses.JensenShannon(), losses.Minimax()
    np.testing.assert_allclose(ours.data(score) - usual.f(score), np.log(2), rtol=ROUNDING)
    np.testing.assert_allclose(ours.sample(score) - usual.f(-score), np.log(2), rtol=ROUNDING)


def test_the_labels_of_least_squares_are_as_documented_where_they_are_one_function():
    score = jnp.linspace(-5.0, 5.0, 11)
    loss = losses.LeastSquares()
    np.testing.assert_array_equal(loss.data(score), -0.5 * jnp.square(1 - score))
    np.testing.assert_array_equal(loss.sample(score), loss.data(-score))
    np.testing.assert_array_equal(loss.generator(score), -loss.data(score))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: losses.LeCam(losses.Wasserstein(), -0.1), "`weight` must be at least 0 and finite, but is -0.1"),
        (lambda: losses.LeastSquares(b=float("nan")), "`b` must be finite, but is nan"),
        (lambda: losses.Alpha(float("inf")), "`alpha` must be finite, but is inf"),
        (lambda: losses.Relativistic(losses.Minimax), "`base` must be an instance, but is the class Minimax: write"),
        (lambda: losses.RelativisticAverage("minimax"), "`base` must pay data and samples by functions .* 'minimax'"),
        (lambda: losses.LeCam(losses.Relativistic(losses.Minimax()), 0.1), "`base` must pay data and samples by"),
    ],
)
def test_what_is_no_weight_label_or_base_is_refused(make, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        make()
