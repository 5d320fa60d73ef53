"""Rules that only do the same again after some steps, and rules and states that linear statements are refused for."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_ode import analysis, fields, games, losses, regularizers, updates
from gan_ode.games import Players

# Products of matrices of order one, of a few rows; measured 4e-16 where multipliers do not collide.
EIGENVALUES = 1e-12
# Multipliers that are zero in pairs are good to the root of rounding.
ZERO = 1e-7
# Bisection to rounding; measured 2e-16.
CRITICAL = 1e-12
# A schedule that takes the sine of a counter in double precision; measured 2e-13.
SINE = 1e-10

ORIGIN = Players(jnp.asarray(0.0), jnp.asarray(0.0))
# The field's matrix, and its eigenvalues, by hand.
MATRIX = np.array([[-1.0, -1.0], [1.0, -1.0]])
PAIR = np.array([-1 + 1j, -1 - 1j])
# Strongly typed, so that no schedule in single precision rounds it.
H = jnp.asarray(0.3, float)


def spiral(t, y, args):
    return Players(-y.discriminator - y.generator, y.discriminator - y.generator)


def both(make):
    """A rule from the step size, of an optimizer for both players, which step at once."""
    return lambda h: updates.Optax(make(h), make(h), order="simultaneous")


def multi(make, k, **options):
    # Single precision would be the default.
    return lambda h: optax.MultiSteps(make(h), k, accumulator_dtype=jnp.float64, **options)


def sgd(schedule):
    return both(lambda h: optax.sgd(lambda n: h * schedule(n)))


class Rates(updates.AbstractUpdate):
    """Steps of sizes h and 3 h in turn, with a Python number as memory at first."""

    step_size: jax.Array

    def init(self, field, y, args):
        return 0

    def step(self, field, t, y, args, memory):
        h = self.step_size * jnp.where(memory == 0, 1.0, 3.0)
        return jax.tree.map(lambda a, v: a + h * v, y, field(t, y, args)), (memory + 1) % 2


class SlowWeights(updates.AbstractUpdate):
    """After every three steps a quarter of the way from the slow weights is kept, by a counter that is compared."""

    step_size: jax.Array

    def init(self, field, y, args):
        return y, jnp.zeros((), jnp.int16)

    def step(self, field, t, y, args, memory):
        slow, n = memory
        y = jax.tree.map(lambda a, v: a + self.step_size * v, y, field(t, y, args))
        last = n == 2
        slow = jax.tree.map(lambda s, a: jnp.where(last, s + 0.25 * (a - s), s), slow, y)
        y = jax.tree.map(lambda s, a: jnp.where(last, s, a), slow, y)
        return y, (slow, jnp.where(last, jnp.zeros_like(n), n + 1))


class InnerSteps(updates.AbstractUpdate):
    """Four steps in a loop of JAX, of which every third in all is of double size."""

    step_size: jax.Array

    def init(self, field, y, args):
        return jnp.zeros((), int)

    def step(self, field, t, y, args, memory):
        def one(_, carry):
            y, n = carry
            h = self.step_size * jnp.where(n % 3 == 0, 2.0, 1.0)
            return jax.tree.map(lambda a, v: a + h * v, y, field(t, y, args)), n + 1

        return jax.lax.fori_loop(0, 4, one, (y, memory))


def momentum_roots(z):
    return np.roots([1, -(1 + 0.5 + z), 0.5])


def turning(n):
    return 1 + 0.5 * jnp.sin(2 * jnp.pi * n / 10)


# The rule, its period, and the multipliers at z = h times an eigenvalue that are not zero.
RULES = {
    "accumulated, mean": (both(multi(optax.sgd, 2)), 2, lambda z: [1 + z]),
    "accumulated, sum": (both(multi(optax.sgd, 3, use_grad_mean=False)), 3, lambda z: [1 + 3 * z]),
    "accumulated, momentum": (both(multi(lambda h: optax.sgd(h, momentum=0.5), 2)), 2, momentum_roots),
    "accumulated by more and more": (
        both(multi(optax.sgd, lambda n: jnp.where(n < 3000, 2, 5))),
        5,
        lambda z: [1 + z],
    ),
    "applied every third step": (
        both(lambda h: optax.chain(optax.apply_every(3), optax.sgd(h))),
        3,
        lambda z: [1 + 3 * z],
    ),
    "two rates in turn": (sgd(lambda n: jnp.where(n % 2 == 0, 1.0, 3.0)), 2, lambda z: [(1 + z) * (1 + 3 * z)]),
    "two rates in turn, own rule": (Rates, 2, lambda z: [(1 + z) * (1 + 3 * z)]),
    "slow weights": (SlowWeights, 3, lambda z: [0.75 + 0.25 * (1 + z) ** 3]),
    "steps in a loop": (InnerSteps, 3, lambda z: [(1 + z) ** 8 * (1 + 2 * z) ** 4]),
    "rate kept in the memory": (
        both(
            lambda h: optax.inject_hyperparams(optax.sgd)(learning_rate=lambda n: h * jnp.where(n % 4 == 1, 2.0, 1.0))
        ),
        4,
        lambda z: [(1 + z) ** 3 * (1 + 2 * z)],
    ),
    "every fifth step": (
        both(lambda h: optax.conditionally_mask(optax.sgd(h), lambda step: step % 5 == 0)),
        5,
        lambda z: [1 + z],
    ),
    "a cycle after a warm-up of 777 steps": (
        sgd(optax.join_schedules([optax.linear_schedule(0.0, 1.0, 777), lambda n: 1.0 + n % 3], [777])),
        3,
        lambda z: [(1 + z) * (1 + 2 * z) * (1 + 3 * z)],
    ),
    "sine": (sgd(turning), 10, lambda z: [np.prod([1 + z * float(turning(n)) for n in range(10)])]),
    # Counters that only tell what was early are no obstacle, and no multipliers either.
    "warm-up": (sgd(optax.warmup_constant_schedule(0.0, 1.0, 5000)), 1, lambda z: [1 + z]),
    "drops": (sgd(optax.piecewise_constant_schedule(1.0, {50_000: 0.5, 3_000_000: 0.5})), 1, lambda z: [1 + z / 4]),
    "cosine to a tenth": (sgd(optax.cosine_decay_schedule(1.0, 10_000, alpha=0.1)), 1, lambda z: [1 + z / 10]),
    "constant kept in the memory": (
        both(lambda h: optax.inject_hyperparams(optax.sgd)(learning_rate=h)),
        1,
        lambda z: [1 + z],
    ),
}


def expected(name):
    return np.concatenate([RULES[name][2](0.3 * value) for value in PAIR])


@pytest.mark.parametrize("name", RULES)
def test_the_multipliers_are_those_of_the_whole_period_in_closed_form(name):
    rule, period, _ = RULES[name]
    assert analysis.step_period(rule(H), spiral, ORIGIN) == period
    found = np.asarray(analysis.multipliers(rule(H), spiral, ORIGIN))
    wanted = expected(name)
    tolerance = SINE if name == "sine" else EIGENVALUES
    moving = np.sort_complex(found[: len(wanted)])
    np.testing.assert_allclose(moving, np.sort_complex(wanted), rtol=0, atol=tolerance)
    np.testing.assert_allclose(found[len(wanted) :], 0, rtol=0, atol=ZERO)


MULTI = RULES["accumulated, mean"][0]
IN_TURN = RULES["two rates in turn, own rule"][0]


def test_a_period_begins_as_the_rule_does():
    # With nothing gathered: what was does not count, and at the end nothing is left.
    expected = np.zeros((4, 4))
    expected[:2, :2] = np.eye(2) + 0.3 * MATRIX
    found = analysis.jacobian(spiral, ORIGIN, update=MULTI(H))
    np.testing.assert_allclose(found, expected, rtol=0, atol=EIGENVALUES)


def test_two_players_with_different_periods_have_the_least_common_one():
    rule = updates.Optax(multi(optax.sgd, 2)(H), multi(optax.sgd, 3)(H), order="simultaneous")
    assert analysis.step_period(rule, spiral, ORIGIN) == 6
    # By hand: of state, sums of gradients of both players.
    product = np.eye(4)
    for n in range(6):
        gather = np.block([[np.eye(2), np.zeros((2, 2))], [-MATRIX, np.eye(2)]])
        apply = np.eye(4)
        for player, k in enumerate((2, 3)):
            if n % k == k - 1:
                apply[player, 2 + player], apply[2 + player, 2 + player] = -H / k, 0
        product = apply @ gather @ product
    found = np.asarray(analysis.multipliers(rule, spiral, ORIGIN))
    np.testing.assert_allclose(found[:2], np.linalg.eigvals(product)[:2], rtol=0, atol=EIGENVALUES)


def test_the_radius_is_the_mean_growth_of_a_step_and_can_be_swept_and_differentiated():
    def radius(h):
        return analysis.spectral_radius(IN_TURN(h), spiral, ORIGIN)

    sizes = jnp.array([0.1, 0.3, 0.9])
    wanted = [np.abs((1 + h * PAIR[0]) * (1 + 3 * h * PAIR[0])) ** 0.5 for h in np.asarray(sizes)]
    found, slopes = jax.jit(lambda h: jax.jvp(jax.vmap(radius), (h,), (jnp.ones_like(h),)))(sizes)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=EIGENVALUES)
    up, down = (
        np.abs((1 + h * PAIR[0]) * (1 + 3 * h * PAIR[0])) ** 0.5
        for h in (np.asarray(sizes) + 1e-6, np.asarray(sizes) - 1e-6)
    )
    np.testing.assert_allclose(slopes, (up - down) / 2e-6, rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("rule", "critical"),
    [
        # |1 + h l| = 1 at h = 2/|l|^2 = 1; of the sum of three at a third of it.
        (MULTI, 1.0),
        (RULES["applied every third step"][0], 1 / 3),
        # |1 + h l| |1 + 3 h l| = 1: by bisection of the closed form.
        (IN_TURN, None),
    ],
    ids=["accumulated", "applied every third step", "in turn"],
)
def test_the_critical_step_size_is_where_the_product_over_the_period_passes_one(rule, critical):
    if critical is None:
        low, high = 0.1, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            above = abs((1 + middle * PAIR[0]) * (1 + 3 * middle * PAIR[0])) > 1
            low, high = (low, middle) if above else (middle, high)
        critical = low
    assert float(analysis.critical_step_size(rule, spiral, ORIGIN)) == pytest.approx(critical, abs=CRITICAL)


def test_the_best_step_size_of_accumulated_gradients_is_that_of_simultaneous_ones_and_the_rate_is_per_step():
    best = analysis.optimal_step_size(MULTI, spiral, ORIGIN)
    # At -Re l / |l|^2 = 1/2 with |1 + l/2| = 1/sqrt 2, in two steps.
    assert float(best.value) == pytest.approx(0.5, abs=CRITICAL)
    assert float(best.rate) == pytest.approx(math.log(2) / 4, abs=1e-10)


def test_maps_and_curves_over_a_parameter_are_those_of_the_period_and_steps_agree():
    def make(damping):
        matrix = jnp.array([[0.0, -1.0], [1.0, 0.0]]) - damping * jnp.eye(2)
        return lambda t, y, args: Players(*(matrix @ jnp.stack([y.discriminator, y.generator])))

    dampings, sizes = np.array([0.5, 1.0]), np.array([0.2, 0.7, 1.7])
    pairs = -dampings[:, None] + 1j
    wanted = np.abs(1 + sizes * pairs) ** 0.5
    found = analysis.stability_map(MULTI, make, dampings, sizes, ORIGIN)
    np.testing.assert_allclose(found.radius, wanted, rtol=0, atol=EIGENVALUES)
    simulated = analysis.stability_map(MULTI, make, dampings, sizes, ORIGIN, by="steps", num_steps=400)
    # The amplitude of a turning disturbance is seen at its steps alone. Measured 0.006.
    np.testing.assert_allclose(np.log(simulated.radius), np.log(wanted), rtol=0, atol=0.02)
    curve = analysis.critical_curve(MULTI, make, dampings, ORIGIN)
    np.testing.assert_allclose(curve, 2 * dampings / (dampings**2 + 1), rtol=0, atol=CRITICAL)


def test_the_normal_form_of_accumulated_gradients_is_that_of_simultaneous_steps():
    # While gradients are gathered the state waits, so that two steps make one simultaneous step: at h = 1 the
    # multiplier is i, and with z' = l z - z |z|^2 and |z|^2 = 2 |w|^2 the coefficient is -2 h / (1 + h l).
    def cubic(t, y, args):
        square = y.discriminator**2 + y.generator**2
        return jax.tree.map(lambda v, a: v - square * a, spiral(t, y, args), y)

    def rule(h):
        return MULTI(0.8 * h)

    found = analysis.bifurcation(rule, cubic, ORIGIN)
    # Not quite at mu = i, where the coefficient does not decide: slower rates in the time of the rule.
    assert found.period == 2 and found.kind == "closed curve"
    assert float(found.step_size) == pytest.approx(1 / 0.8, abs=CRITICAL)
    assert complex(found.multiplier) == pytest.approx(1j, abs=1e-10)


def test_leading_multipliers_are_those_of_the_period():
    found = analysis.leading_eigenvalues(spiral, ORIGIN, 2, update=MULTI(H))
    np.testing.assert_allclose(np.sort_complex(found.eigenvalues), np.sort_complex(1 + H * PAIR), rtol=0, atol=1e-10)


def test_in_single_precision_the_period_and_its_multipliers_are_of_that_precision():
    single = Players(jnp.float32(0), jnp.float32(0))
    for name in ("two rates in turn", "sine"):
        rule, period, _ = RULES[name]
        rule = rule(jnp.float32(0.3))
        assert analysis.step_period(rule, spiral, single) == period
        found = analysis.multipliers(rule, spiral, single)
        assert found.dtype == jnp.complex64
        # Rounding of ten factors; measured 5e-8.
        np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(expected(name)), rtol=0, atol=1e-5)


# Counters that depend on more than steps


def test_counters_that_depend_on_the_state_are_followed_at_the_fixed_point_outside_of_transformations_alone():
    rule = both(multi(optax.sgd, 2, should_skip_update_fn=optax.skip_not_finite))
    found = np.asarray(analysis.multipliers(rule(H), spiral, ORIGIN))
    np.testing.assert_allclose(np.sort_complex(found[:2]), np.sort_complex(1 + H * PAIR), rtol=0, atol=EIGENVALUES)
    assert float(analysis.critical_step_size(rule, spiral, ORIGIN)) == pytest.approx(1.0, abs=CRITICAL)
    with pytest.raises(ValueError, match=r"counters depend on the state.*outside of `jax\.jit`"):
        jax.jit(lambda h: analysis.spectral_radius(rule(h), spiral, ORIGIN))(H)


def test_what_a_swept_rate_makes_of_a_counter_is_nan_where_it_has_not_settled():
    def radius(b1):
        optimizer = optax.adam(0.01, b1=b1, b2=0.9, eps=0.1, eps_root=0.01)
        return analysis.spectral_radius(updates.Optax(optimizer, optimizer, order="simultaneous"), spiral, ORIGIN)

    found = jax.vmap(radius)(jnp.array([0.5, 1 - 1e-9]))
    # Momentum at the rate 0.01 (1 - b) / 0.2 has the larger root of m^2 - (1 + b + z) m + b.
    z = 0.01 * 0.5 / 0.2 * PAIR[0]
    assert float(found[0]) == pytest.approx(np.abs(np.roots([1, -(1.5 + z), 0.5])).max(), abs=EIGENVALUES)
    assert jnp.isnan(found[1])


# Refusals


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (optax.exponential_decay(1.0, 1000, 0.99), "steps die out"),
        (optax.cosine_decay_schedule(1.0, 10_000), "steps die out"),
        (optax.warmup_cosine_decay_schedule(0.0, 1.0, 5_000, 20_000), "steps die out"),
        (lambda n: 1 / (1.0 + n), "steps die out"),
        (lambda n: 1 / jnp.sqrt(1.0 + n), "still changes"),
        (lambda n: 1 / jnp.log(2.0 + n), "still changes"),
        (lambda n: jnp.where(n % 300 == 0, 1.0, 2.0), "counts by 300"),
        (lambda n: jnp.where((n % 35 == 0) | (n % 12 == 0), 1.0, 2.0), "at most 256 steps"),
        (lambda n: 1 + 0.5 * jnp.sin(n / 1000), "at most 256 steps"),
    ],
    ids=["exponential", "cosine", "warm-up and cosine", "1/n", "root", "log", "300", "420", "slow sine"],
)
def test_rates_that_never_repeat_or_die_out_are_refused(schedule, message):
    with pytest.raises(ValueError, match=message):
        analysis.critical_step_size(sgd(schedule), spiral, ORIGIN)


def test_random_steps_are_refused():
    noisy = both(lambda h: optax.chain(optax.add_noise(0.1, 0.5, 1), optax.sgd(h)))
    with pytest.raises(ValueError, match="draws random numbers"):
        analysis.multipliers(noisy(H), spiral, ORIGIN)


def test_who_knows_better_gets_the_step_at_late_counters():
    ended = sgd(optax.cosine_decay_schedule(1.0, 10_000))
    found = analysis.multipliers(ended(H), spiral, ORIGIN, check=False)
    np.testing.assert_allclose(found, 1, rtol=0, atol=EIGENVALUES)


class Timed(updates.AbstractUpdate):
    """A step size that is made of the time."""

    step_size: jax.Array

    def init(self, field, y, args):
        return None

    def step(self, field, t, y, args, memory):
        h = self.step_size * (1 + jnp.cos(t))
        return jax.tree.map(lambda a, v: a + h * v, y, field(t, y, args)), None


AT_ONE = Players(jnp.asarray(0.0), jnp.asarray(1.0))


def around_one(t, y, args):
    return spiral(t, Players(y.discriminator, y.generator - 1), args)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (both(lambda h: optax.chain(optax.add_decayed_weights(1e-3), optax.sgd(h))), "must leave `y` where it is"),
        (both(lambda h: optax.adamw(h, eps=1e-3, eps_root=1e-3)), "must leave `y` where it is"),
        (both(lambda h: optax.rmsprop(h, initial_scale=1.0, eps=1e-3)), "memory moves"),
        (both(optax.sign_sgd), "jumps"),
        (both(optax.lion), "jumps"),
        (Timed, "change with t"),
    ],
    ids=["weight decay", "AdamW", "memory", "signs", "Lion", "time"],
)
def test_a_rule_for_which_the_equilibrium_is_no_smooth_fixed_point_is_refused(rule, message):
    with pytest.raises(ValueError, match=message):
        analysis.multipliers(rule(jnp.asarray(0.1)), around_one, AT_ONE)
    found = jax.vmap(lambda h: analysis.spectral_radius(rule(h), around_one, AT_ONE))(jnp.array([0.1]))
    assert jnp.isnan(found[0])


GAN = fields.GameField(games.LinearQuadratic(losses.Minimax()))
AWAY = Players(jnp.asarray(0.0), jnp.asarray(1.6))
PENALIZED = fields.GameField(regularizers.Penalized(games.Dirac(losses.Wasserstein()), regularizers.WGANGP(0.7, 1.0)))


def kinked(t, y, args):
    """The spiral, with a leaky unit that changes its slope at the equilibrium."""
    return Players(jnp.where(y.discriminator > 0, -2.0, -1.0) * y.discriminator - y.generator, y.discriminator)


def forced(t, y, args):
    """The spiral, whose damping comes and goes."""
    return Players(-(jnp.sin(t) ** 2) * y.discriminator - y.generator, y.discriminator)


QUESTIONS = {
    "critical_step_size": lambda f, y: analysis.critical_step_size(updates.Extragradient, f, y),
    "bifurcation": lambda f, y: analysis.bifurcation(updates.Extragradient, f, y).step_size,
    "optimal_step_size": lambda f, y: analysis.optimal_step_size(updates.Extragradient, f, y).value,
    "multipliers": lambda f, y: analysis.multipliers(updates.Extragradient(0.1), f, y),
    "step_jacobian": lambda f, y: analysis.jacobian(f, y, update=updates.Extragradient(0.1)),
    "spectral_radius": lambda f, y: analysis.spectral_radius(updates.Extragradient(0.1), f, y),
    "stability_map": lambda f, y: (
        analysis.stability_map(updates.Extragradient, lambda p: f, jnp.ones(1), jnp.array([0.1]), y).radius
    ),
    "stability_map by steps": lambda f, y: (
        analysis.stability_map(
            updates.Extragradient, lambda p: f, jnp.ones(1), jnp.array([0.1]), y, by="steps", num_steps=4
        ).radius
    ),
    "critical_curve": lambda f, y: analysis.critical_curve(updates.Extragradient, lambda p: f, jnp.ones(1), y),
}


@pytest.mark.parametrize("question", [*QUESTIONS, "leading_multipliers"])
@pytest.mark.parametrize(
    ("field", "y", "message"),
    [
        (GAN, AWAY, r"`y` must be an equilibrium, but the velocity there is 0\.26.*find_equilibrium"),
        (GAN, Players(jnp.asarray(0.01), jnp.asarray(1.0)), "`y` must be an equilibrium, but the velocity there is"),
        (PENALIZED, ORIGIN, "smooth"),
        (kinked, ORIGIN, "smooth"),
        (forced, ORIGIN, "`field` must have no explicit time"),
    ],
    ids=["away", "near by", "gradient penalty at zero", "kink", "time"],
)
def test_linear_statements_about_states_that_have_none_are_refused_with_the_reason(question, field, y, message):
    ask = QUESTIONS.get(question, lambda f, y: analysis.leading_eigenvalues(f, y, 1, update=updates.Extragradient(0.1)))
    with pytest.raises(ValueError, match=message):
        ask(field, y)


@pytest.mark.parametrize("question", QUESTIONS)
def test_under_a_transformation_they_are_nan_there_and_numbers_elsewhere(question):
    ask = QUESTIONS[question]
    found = jax.jit(jax.vmap(lambda g: ask(GAN, Players(jnp.zeros_like(g), g))))(jnp.array([1.6, 1.0]))
    assert jnp.all(jnp.isnan(found[0])) and jnp.all(jnp.isfinite(found[1]))


def test_who_knows_better_gets_the_linear_part_at_any_state():
    # At (0, g) the Jacobian of the usual GAN is [[-(1 + g^4) / 20, -g / 3], [g / 3, 0]].
    g = 1.6
    found = analysis.multipliers(updates.Simultaneous(0.1), GAN, AWAY, check=False)
    wanted = 1 + 0.1 * np.linalg.eigvals(np.array([[-(1 + g**4) / 20, -g / 3], [g / 3, 0.0]]))
    np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(wanted), rtol=0, atol=EIGENVALUES)


def test_a_state_that_is_only_nearly_the_equilibrium_is_accepted():
    near = Players(jnp.asarray(1e-9), jnp.asarray(1 - 1e-9))
    assert float(analysis.critical_step_size(updates.Simultaneous, GAN, near)) == pytest.approx(0.9, abs=1e-6)


def test_a_map_names_the_parameter_at_which_the_state_is_no_equilibrium():
    def make(c):
        return fields.GameField(games.LinearQuadratic(losses.Minimax(), c))

    with pytest.raises(ValueError, match=r"at the parameter 1\.2\..*function of the parameter"):
        analysis.critical_curve(updates.Simultaneous, make, [1.0, 1.2], Players(jnp.asarray(0.0), jnp.asarray(1.0)))


def test_a_basin_speaks_of_a_rule_with_a_period_at_the_start_of_one_and_after_its_warm_up():
    warm = optax.linear_schedule(0.0, 1.0, 30)
    rule = sgd(optax.join_schedules([warm, lambda n: 1.0 + n % 3], [30]))(jnp.asarray(0.1, float))
    starts = analysis.state_grid(jnp.linspace(-1, 1, 3), jnp.linspace(-1, 1, 2))
    found = analysis.basin(spiral, starts, 100.0, update=rule)
    assert found.traps.period == 3
    assert jnp.all(found.fate == analysis.FATES.converges)
    # At step 28 the rate is within a tenth of its last one.
    np.testing.assert_array_equal(found.time, 30.0)
