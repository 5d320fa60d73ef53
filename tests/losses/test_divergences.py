"""The f-GANs: their best discriminators, the divergences there, and functions of one's own."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.special

from gan_ode import fields, games, iterate, losses, OUTCOMES, updates

# Sums of exponentials of order one to ten: measured 4e-15.
CLOSE = 1e-12
# Gauss-Hermite nodes of exponentials of linear functions; measured 4e-14, relative.
NODES = 1e-11

# The score of the best discriminator, at a density ratio u.
BEST = {
    "KL": (losses.KL(), np.log),
    "ReverseKL": (losses.ReverseKL(), np.log),
    "PearsonChiSquared": (losses.PearsonChiSquared(), lambda u: 2 * (u - 1)),
    "NeymanChiSquared": (losses.NeymanChiSquared(), lambda u: 2 * np.log(u)),
    "SquaredHellinger": (losses.SquaredHellinger(), lambda u: np.log(u) / 2),
    "JensenShannon": (losses.JensenShannon(), np.log),
    "Alpha(3)": (losses.Alpha(3), lambda u: (u**2 - 1) / 2),
    "Alpha(1)": (losses.Alpha(1), np.log),
    "Alpha(0.5)": (losses.Alpha(0.5), lambda u: 2 - 2 / np.sqrt(u)),
    "Alpha(0)": (losses.Alpha(0), lambda u: 1 - 1 / u),
    "Alpha(-1)": (losses.Alpha(-1.0), lambda u: (1 - u**-2.0) / 2),
    "FDivergence": (losses.FDivergence(lambda u: (u - 1) * jnp.log(u)), lambda u: 2 * np.log(u)),
}
# Of normal distributions of unit variance whose means are d apart.
NORMAL = {
    "KL": lambda d: d**2 / 2,
    "ReverseKL": lambda d: d**2 / 2,
    "PearsonChiSquared": lambda d: np.expm1(d**2),
    "NeymanChiSquared": lambda d: np.expm1(d**2),
    "SquaredHellinger": lambda d: 2 * (1 - np.exp(-(d**2) / 8)),
    "Alpha(3)": lambda d: np.expm1(3 * d**2) / 6,
    "Alpha(1)": lambda d: d**2 / 2,
    "Alpha(0.5)": lambda d: 4 * (1 - np.exp(-(d**2) / 8)),
    "Alpha(0)": lambda d: d**2 / 2,
    "Alpha(-1)": lambda d: np.expm1(d**2) / 2,
    "FDivergence": lambda d: d**2,
}
# Of coins: sums of q f(p / q).
P, Q = np.array([0.3, 0.7]), np.array([0.55, 0.45])
COINS = {
    "KL": np.sum(P * np.log(P / Q)),
    "ReverseKL": np.sum(Q * np.log(Q / P)),
    "PearsonChiSquared": np.sum((P - Q) ** 2 / Q),
    "NeymanChiSquared": np.sum((P - Q) ** 2 / P),
    "SquaredHellinger": np.sum((np.sqrt(P) - np.sqrt(Q)) ** 2),
    "JensenShannon": np.sum(scipy.special.rel_entr(P, (P + Q) / 2) + scipy.special.rel_entr(Q, (P + Q) / 2)),
    "Alpha(3)": np.sum(P**3 / Q**2 - Q) / 6,
    "Alpha(1)": np.sum(P * np.log(P / Q)),
    "Alpha(0.5)": 2 * np.sum((np.sqrt(P) - np.sqrt(Q)) ** 2),
    "Alpha(0)": np.sum(Q * np.log(Q / P)),
    "Alpha(-1)": np.sum((P - Q) ** 2 / P) / 2,
    "FDivergence": np.sum((P - Q) * np.log(P / Q)),
}


@functools.cache
def paid():
    """What data and samples are paid for some scores, f at some ratios: of all divergences in one program."""
    means, weights = np.polynomial.hermite_e.hermegauss(60)
    ratio = np.exp(0.8 * means)
    scores = {name: jnp.asarray(np.concatenate([best(P / Q), best(ratio)])) for name, (_, best) in BEST.items()}

    def measure(scores):
        return {
            name: (loss.data(scores[name]), loss.sample(scores[name]), loss.convex(jnp.asarray(P / Q)))
            for name, (loss, _) in BEST.items()
        }

    return jax.tree.map(np.asarray, jax.jit(measure)(scores)), means, weights / np.sqrt(2 * np.pi)


@pytest.mark.parametrize("name", BEST)
def test_the_value_of_the_best_discriminator_between_coins_is_the_divergence(name):
    data, sample, convex = paid()[0][name]
    np.testing.assert_allclose(P @ data[:2] + Q @ sample[:2], COINS[name], rtol=CLOSE)
    np.testing.assert_allclose(Q @ convex, COINS[name], rtol=CLOSE)


@pytest.mark.parametrize("name", NORMAL)
def test_the_value_of_the_best_discriminator_between_normal_distributions_is_the_divergence(name):
    (data, sample, _), x, weights = paid()[0][name], *paid()[1:]
    d = 0.8
    # p = N(d / 2, 1), q = N(-d / 2, 1): the ratio at x is exp(d x), and so is p / N(0, 1) = exp(d x / 2 - d^2 / 8).
    p = weights * np.exp(d * x / 2 - d**2 / 8)
    q = weights * np.exp(-d * x / 2 - d**2 / 8)
    np.testing.assert_allclose(p @ data[2:] + q @ sample[2:], NORMAL[name](d), rtol=NODES)


def test_the_value_of_jensen_shannon_between_normal_distributions_is_twice_the_distance():
    (data, sample, _), x, weights = paid()[0]["JensenShannon"], *paid()[1:]
    d = 0.8

    def density(x, mean):
        return np.exp(-((x - mean) ** 2) / 2) / np.sqrt(2 * np.pi)

    def integrand(x):
        p, q = density(x, d / 2), density(x, -d / 2)
        return scipy.special.rel_entr(p, (p + q) / 2) + scipy.special.rel_entr(q, (p + q) / 2)

    twice = scipy.integrate.quad(integrand, -12, 12, epsabs=1e-13)[0]
    p, q = (weights * np.exp(sign * d * x / 2 - d**2 / 8) for sign in (1, -1))
    np.testing.assert_allclose(p @ data[2:] + q @ sample[2:], twice, rtol=NODES)


@pytest.mark.parametrize("name", BEST)
def test_no_other_score_has_a_greater_value(name):
    loss, best = BEST[name]
    scores = jnp.asarray(np.linspace(-6, 6, 481))
    data, sample = np.asarray(loss.data(scores)), np.asarray(loss.sample(scores))
    for p, q in zip(P, Q, strict=True):
        values = p * data + q * sample
        top = np.nanargmax(np.where(np.isfinite(values), values, -np.inf))
        # Between the neighbors on the grid.
        assert abs(scores[top] - best(p / q)) < 0.025
        assert (
            values[top] <= p * loss.data(jnp.asarray(best(p / q))) + q * loss.sample(jnp.asarray(best(p / q))) + CLOSE
        )


@pytest.mark.parametrize("name", BEST)
def test_samples_pay_the_convex_conjugate(name):
    loss, _ = BEST[name]
    for score in (-0.3, 0.4):
        t = float(loss.activation(jnp.asarray(score)))
        ratios = jnp.asarray(np.geomspace(0.05, 20, 20001))
        found = np.max(ratios * t - np.asarray(loss.convex(ratios)))
        # The grid misses the best ratio by 1.5e-4 of it at most, of which the square counts.
        np.testing.assert_allclose(loss.conjugate(jnp.asarray(score)), found, rtol=0, atol=3e-7)


@pytest.mark.parametrize("name", BEST)
def test_score_zero_is_the_ratio_one(name):
    loss, best = BEST[name]
    assert best(1.0) == 0
    slope = jax.grad(loss.convex)(1.0)
    np.testing.assert_allclose(loss.activation(jnp.zeros(())), slope, rtol=0, atol=CLOSE)
    np.testing.assert_allclose(loss.conjugate(jnp.zeros(())), slope, rtol=0, atol=CLOSE)


# Alpha.


def test_alpha_passes_smoothly_through_its_limits():
    score = jnp.linspace(-0.9, 0.7, 7)

    @jax.jit
    @jax.vmap
    def of(alpha):
        def paid(alpha):
            loss = losses.Alpha(alpha)
            return jnp.concatenate([loss.conjugate(score), loss.convex(jnp.exp(score))])

        return jax.jvp(paid, (alpha,), (1.0,))

    for limit in (0.0, 1.0):
        value, slope = of(jnp.array([limit - 1e-4, limit, limit + 1e-4]))
        # Second derivatives in alpha of order one.
        np.testing.assert_allclose(value[1], (value[0] + value[2]) / 2, rtol=0, atol=1e-7)
        np.testing.assert_allclose(slope[1], (value[2] - value[0]) / 2e-4, rtol=0, atol=1e-6)


def test_beyond_the_scores_that_a_ratio_has_alpha_pays_as_documented():
    half, three = losses.Alpha(0.5), losses.Alpha(3.0)
    assert np.isneginf(half.sample(jnp.array([2.0, 5.0]))).all()
    np.testing.assert_allclose(three.sample(jnp.array([-0.5, -5.0])), 1 / 3, rtol=CLOSE)
    assert jax.grad(three.sample)(-5.0) == 0


# Functions of one's own.


SAME = {
    "KL": (losses.KL(), lambda u: u * jnp.log(u)),
    "ReverseKL": (losses.ReverseKL(), lambda u: -jnp.log(u)),
    "NeymanChiSquared": (losses.NeymanChiSquared(), lambda u: (1 - u) ** 2 / u),
    "SquaredHellinger": (losses.SquaredHellinger(), lambda u: (jnp.sqrt(u) - 1) ** 2),
}


def test_of_the_function_of_a_loss_with_this_activation_it_makes_that_loss():
    score = jnp.linspace(-3.0, 3.0, 13)
    for loss, function in SAME.values():
        own = losses.FDivergence(function)
        np.testing.assert_allclose(own.data(score), loss.data(score), rtol=CLOSE, atol=CLOSE)
        np.testing.assert_allclose(own.sample(score), loss.sample(score), rtol=CLOSE, atol=CLOSE)
        np.testing.assert_allclose(
            jax.vmap(jax.grad(own.sample))(score), jax.vmap(jax.grad(loss.sample))(score), rtol=1e-11
        )
    twice = losses.FDivergence(losses.JensenShannon().convex)
    np.testing.assert_allclose(twice.data(score), losses.JensenShannon().data(2 * score), rtol=CLOSE, atol=CLOSE)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (2.0, "`function` must be a function of the density ratio, but is 2.0"),
        (lambda u: jnp.sum(u * jnp.log(u)), "`function` must return real numbers of its argument's shape .81,."),
        (lambda u: u * jnp.log(u) + 1, "`function` must be 0 at the ratio 1, but is 1.0: subtract"),
        (lambda u: -((u - 1) ** 2), "`function` must be convex, but its slope falls"),
        (lambda u: (u - 1) ** 2 * (3 - u), "`function` must be convex, but its slope falls"),
        (lambda u: jnp.abs(u - 1), "`function` must have a second derivative above 0 at the ratio 1, but is 0.0"),
        (lambda u: jnp.log(u - 0.5) - jnp.log(0.5), "`function` must be finite with a finite slope"),
    ],
)
def test_what_is_no_convex_function_is_refused(function, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        losses.FDivergence(function)


def test_a_traced_function_is_checked_when_it_runs_and_can_be_swept():
    def curvature(power):
        # f(u) = (u^a - 1) / (a (a - 1)) has f'' (1) = 1, and is convex; with a minus it is not.
        return losses.FDivergence(lambda u: jnp.sign(power) * (u**power - 1)).curvature

    # f''(1) = a (a - 1), and the curvature is -1 / (2 f''(1)).
    found = eqx.filter_jit(jax.vmap(curvature))(jnp.array([1.5, 2.0, 3.0]))
    np.testing.assert_allclose(found, [-1 / 1.5, -1 / 4, -1 / 12], rtol=CLOSE)
    with pytest.raises(RuntimeError, match="`function` must be convex"):
        eqx.filter_jit(curvature)(jnp.asarray(0.5))


@pytest.mark.parametrize("alpha", [0.5, 0.0, -1.0])
def test_beyond_the_scores_that_a_ratio_has_nothing_rests(alpha):
    loss, last = losses.Alpha(alpha), 1 / (1 - alpha)
    pay, pull = jax.value_and_grad(loss.sample)(jnp.asarray(1.5 * last))
    assert pay == -jnp.inf and not jnp.isfinite(pull)
    assert jnp.isfinite(jax.grad(loss.sample)(jnp.asarray(0.5 * last)))
    # A step over the edge ends the run, and does not look like an equilibrium.
    field = fields.GameField(games.Dirac(loss))
    beyond = games.Players(jnp.asarray(3.0 * last), jnp.asarray(-1.0))
    assert iterate(updates.Simultaneous(0.1), field, beyond, 3).outcome == OUTCOMES.nonfinite_field
