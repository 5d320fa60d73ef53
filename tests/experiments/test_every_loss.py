"""H falls for every concave payoff between zero-sum and non-saturating; and closed forms of where other losses lead."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
from hypothesis import given, settings, strategies as st

from experiments._machinery import _every_loss as every_loss, _linear_quadratic as lq
from gan_ode import analysis, fields, games, losses
from gan_ode.games import Players

# Relative to the terms of the change; measured 3e-15.
ROUNDING = 1e-13


class Roof(losses.AbstractLoss):
    """The lowest of some lines, with a generator that is paid a mixture of zero-sum (1) and non-saturating (0)."""

    slopes: jax.Array
    heights: jax.Array
    mixture: jax.Array
    zero_sum: ClassVar[bool] = False
    degree: ClassVar[int | None] = None

    def f(self, score):
        return jnp.min(self.slopes * jnp.asarray(score)[..., None] + self.heights, axis=-1)

    def generator(self, score):
        return self.mixture * self.f(-score) - (1 - self.mixture) * self.f(score)


class TwoBentLines(losses.AbstractScoreLoss):
    """A rising line for data and a falling one for samples, each bent down at four places on both sides; zero-sum."""

    slopes: jax.Array
    places: jax.Array
    zero_sum: ClassVar[bool] = True
    degree: ClassVar[int | None] = None

    def bends(self, which, score):
        sides = jnp.array([1.0, -1.0, 1.0, -1.0])
        beyond = sides * jnp.asarray(score)[..., None] - self.places[which]
        return jnp.sum(self.slopes[which] * jax.nn.relu(beyond), axis=-1)

    def data(self, score):
        return score - self.bends(0, score)

    def sample(self, score):
        return -score - self.bends(1, score)

    def generator(self, score):
        return self.sample(score)


def some_states(num=400):
    numbers = np.random.default_rng(0)
    return Players(jnp.asarray(numbers.uniform(-5, 5, num)), jnp.asarray(np.exp(numbers.uniform(-3, 1.4, num))))


@jax.jit
def change(loss, ys):
    """dH/dt, relative to its terms."""
    field, slopes = fields.GameField(games.LinearQuadratic(loss)), jnp.append(loss.slopes, 1.0)

    def of(y):
        velocity = field(0.0, y, None)
        pull = y.generator + 1 / y.generator
        terms = jnp.abs(y.discriminator * velocity.discriminator) + pull * jnp.abs(velocity.generator)
        terms += jnp.max(jnp.abs(slopes)) * jnp.abs(y.discriminator) * (1 + y.generator**2)
        return analysis.lie_derivative(lq.invariant, field)(y) / jnp.where(terms > 0, terms, 1)

    return jax.vmap(of)(ys)


numbers = st.lists(st.floats(-3, 3), min_size=5, max_size=5)


@settings(max_examples=60)
@given(slopes=numbers, heights=numbers, mixture=st.floats(0, 1))
def test_the_invariant_never_rises_for_a_concave_payoff_and_any_mixture(slopes, heights, mixture):
    # The theorem asks for the same law of data and latent points, and a quadrature is one.
    found = change(Roof(jnp.array(slopes), jnp.array(heights), jnp.asarray(mixture)), some_states())
    assert float(jnp.max(found)) < ROUNDING


four = st.lists(st.floats(0, 3), min_size=4, max_size=4)


@settings(max_examples=60)
@given(slopes=st.tuples(four, four), places=st.tuples(four, four))
def test_the_invariant_never_rises_for_two_concave_payoffs_that_pull_alike_at_zero(slopes, places):
    found = change(TwoBentLines(jnp.array(slopes), jnp.array(places)), some_states())
    assert float(jnp.max(found)) < ROUNDING


def test_for_neymans_samples_whose_payoff_is_not_concave_it_rises_somewhere():
    field = fields.GameField(games.LinearQuadratic(losses.NeymanChiSquared()))
    rises = analysis.lie_derivative(lq.invariant, field)
    # E x^2 (exp(-w x^2) - exp(-w a^2 x^2 / 2)) has the sign of a^2 - 2 at w > 0.
    assert float(rises(lq.state(0.5, 2.0))) > 1e-3 > -1e-3 > float(rises(lq.state(0.5, 1.0)))


@pytest.mark.parametrize("mixture", [1.5, -0.5])
def test_beyond_the_mixtures_it_rises_somewhere(mixture):
    # f' = 2 below 0 and 0 above.
    slopes, heights = jnp.array([2.0, 0.0, 3.0, 3.0, 3.0]), jnp.array([0.0, 0.0, 9.0, 9.0, 9.0])
    assert float(jnp.max(change(Roof(slopes, heights, jnp.asarray(mixture)), some_states()))) > 1e-3


def mean(function):
    return scipy.integrate.quad(function, 0, 1, epsabs=1e-13, epsrel=1e-13, limit=200)[0]


def logistic(s):
    return 1 / (1 + np.exp(s))


@pytest.mark.parametrize("state", [(1.3, 0.4), (-2.0, 1.7), (4.0, 1.1), (-0.3, 0.05)])
def test_the_change_is_that_of_the_proof(state):
    w, a = state

    def psi(s):
        return mean(lambda x: x**2 * logistic(s * x**2))

    zero_sum = w * (psi(w) - psi(-w * a**2))
    not_saturating = w * (psi(w) - psi(w * a**2)) + w * a**2 * (psi(w * a**2) - psi(-w * a**2))
    for loss, expected in ((losses.Minimax(), zero_sum), (losses.NonSaturating(), not_saturating)):
        field = fields.GameField(games.LinearQuadratic(loss))
        found = float(analysis.lie_derivative(lq.invariant, field)(lq.state(w, a)))
        assert found == pytest.approx(expected, rel=1e-10)
        assert expected < 0


def test_a_number_chooses_its_field():
    y, chosen = lq.logarithmic(0.7, 1.2), jax.jit(every_loss.any_field)
    for number, case in enumerate(every_loss.CASES.values()):
        found, expected = chosen(0.0, y, jnp.asarray(number)), eqx.filter_jit(case.field)(0.0, y, None)
        np.testing.assert_allclose(jax.tree.leaves(found), jax.tree.leaves(expected), rtol=1e-14)


@pytest.mark.parametrize("state", [(0.7, 1.2), (3.0, 0.5), (-2.0, 2.0)])
def test_the_velocity_under_a_hinge_is_that_of_means(state):
    w, a = state

    def slope(s):
        kink = [s**-0.5] if s > 1 else []
        return scipy.integrate.quad(lambda x: x**2 * (s * x**2 < 1), 0, 1, points=kink)[0]

    found = every_loss.Hinge()(0.0, lq.logarithmic(w, a))
    assert float(found.discriminator) == pytest.approx(slope(w) - a**2 * slope(-w * a**2), abs=1e-12)
    # (d/dt) ln a, with the generator's payoff E D(G(z)) = w a^2 / 3.
    assert float(found.generator) == pytest.approx(2 * w / 3, abs=1e-12)


def test_the_cycle_of_the_hinge_is_the_largest_level_curve_that_no_score_beyond_the_kink_meets():
    def on_border(q):
        return float(lq.invariant(lq.state(-1 / q, np.sqrt(q))))

    lowest = scipy.optimize.minimize_scalar(on_border, bounds=(0.5, 10), method="bounded", options={"xatol": 1e-9})
    assert lowest.x == pytest.approx(2.0, abs=1e-6)
    assert pytest.approx(lowest.fun, abs=1e-12) == every_loss.HINGE_LEVEL
    # The border on the other side, w = 1, is higher.
    assert min(float(lq.invariant(lq.state(1.0, a))) for a in np.linspace(0.5, 2, 31)) > every_loss.HINGE_LEVEL


def test_the_spurious_equilibrium_of_the_sextic_is_a_stable_one_of_the_package():
    field = fields.GameField(games.LinearQuadratic(every_loss.Sextic()))
    y = lq.state(*every_loss.spurious_equilibrium())
    velocity = field(0.0, y, None)
    assert abs(float(velocity.discriminator)) < 1e-12 and abs(float(velocity.generator)) < 1e-12
    assert float(y.discriminator) > 3
    assert float(analysis.spectrum(field, y)[0].real) < -0.1


def test_the_losses_of_its_own_are_as_concave_as_said():
    score = jnp.linspace(-2.0, 2.0, 81)
    for loss, concave in ((every_loss.Quartic(), True), (every_loss.OneSided(), True), (every_loss.Sextic(), False)):
        slope = jax.vmap(jax.grad(loss.f))(score)
        assert bool(jnp.all(jnp.diff(slope) <= 1e-12)) == concave
        assert float(loss.slope) == 1.0


def test_the_generator_that_maximizes_likelihood_is_paid_more_than_between():
    loss, score = losses.MaximumLikelihood(), jnp.linspace(0.1, 3.0, 30)
    pay = -jax.vmap(jax.grad(loss.generator))(score)
    assert float(jnp.min(pay - 1 / (1 + jnp.exp(-score)))) > 0
