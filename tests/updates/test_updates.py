"""Updates: multipliers, critical step sizes, and what each rule keeps.

What every update shares is in `test_conformance.py`.
"""

import functools

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from gan_ode import games, iterate, losses, updates
from gan_ode.fields import GameField
from gan_ode.games import Players
from gan_ode.regularizers import GradientNorm, Penalized, R1
from tests.catalogue import flat, players, UPDATES, wasserstein_energy

# A few products: measured 3e-15; a root finder of tolerance 1e-10 leaves less, since the field is linear.
ROUNDING = 1e-12


@eqx.filter_jit
def states(update, field, y, num_steps):
    return iterate(update, field, y, num_steps).ys


def rows(ys):
    return np.asarray(jax.vmap(lambda y: ravel_pytree(y)[0])(ys))


# Multipliers.


def spiral(t, y, args):
    """A linear field with the eigenvalues `args` = (re, im) and its conjugate."""
    real, imaginary = args
    return jnp.array([[real, -imaginary], [imaginary, real]]) @ y


@functools.cache
def _step_matrix(case):
    """The matrix of one step with its memory, a linear map, jitted."""

    def matrix(h, args):
        update = case.make(h)
        numbers, back = ravel_pytree((jnp.zeros(2), update.init(spiral, jnp.zeros(2), args)))
        columns = jax.vmap(lambda x: ravel_pytree(update.step(spiral, 0.0, back(x)[0], args, back(x)[1]))[0])
        return columns(jnp.eye(numbers.size)).T

    return jax.jit(matrix)


@pytest.mark.parametrize("eigenvalue", [-0.3 + 1.1j, 1j, -2.0 + 0j, 0.2 + 0.4j])
@pytest.mark.parametrize("case", [case for case in UPDATES if case.multipliers is not None], ids=str)
def test_the_multipliers_at_an_eigenvalue_are_the_closed_form(case, eigenvalue):
    h = 0.4
    matrix = _step_matrix(case)(jnp.asarray(h), jnp.array([eigenvalue.real, eigenvalue.imag]))
    found = np.linalg.eigvals(np.asarray(matrix))
    expected = [m for value in (eigenvalue, eigenvalue.conjugate()) for m in case.multipliers(h * value)]
    assert len(found) == len(expected)
    for m in expected:
        # Each is double where the eigenvalue is real: square root of rounding.
        assert np.min(np.abs(found - m)) < (ROUNDING if eigenvalue.imag else 1e-7)


def lq_minimax(eta):
    return GameField(Penalized(games.LinearQuadratic(losses.Minimax()), GradientNorm(eta)))


def lq_wasserstein(eta):
    return GameField(Penalized(games.LinearQuadratic(losses.Wasserstein()), GradientNorm(eta)))


def dirac_r1(gamma):
    return GameField(Penalized(games.Dirac(losses.Minimax()), R1(gamma)))


RULES = {
    "simultaneous": updates.Simultaneous,
    "alternating": updates.Alternating,
    "extragradient": updates.Extragradient,
    "optimistic": updates.Optimistic,
}

# Given to six decimals: field, its weight, the generator's place, and the critical step of each rule.
CRITICAL = {
    "linear_quadratic_wasserstein": (lq_wasserstein, 0.0, 1.0, [None, 3.0, 1.5, np.sqrt(3) / 2]),
    "linear_quadratic_wasserstein_0.5": (lq_wasserstein, 0.5, 1.0, [1.0, 2.162278, 2.103078, 0.951071]),
    "linear_quadratic_minimax": (lq_minimax, 0.0, 1.0, [0.9, 0.3 * (np.sqrt(409) - 3), 3.702705, 1.835624]),
    "linear_quadratic_minimax_0.5": (lq_minimax, 0.5, 1.0, [1.9, None, None, None]),
    "dirac_minimax": (dirac_r1, 0.0, 0.0, [None, 4.0, 2.0, 2 / np.sqrt(3)]),
    "dirac_minimax_r1": (dirac_r1, 0.3, 0.0, [1.2, 2.976123, 2.758693, 1.261750]),
}


@eqx.filter_jit
def linearized(rule, field, y, h):
    """The Jacobian of one step with its memory, at an equilibrium."""
    update = rule(h)
    numbers, back = ravel_pytree((y, update.init(field, y, None)))
    return jax.jacfwd(lambda x: ravel_pytree(update.step(field, 0.0, back(x)[0], None, back(x)[1]))[0])(numbers)


@pytest.mark.parametrize(
    ("name", "rule", "critical"),
    [
        (name, rule, critical)
        for name, (_, _, _, steps) in CRITICAL.items()
        for rule, critical in zip(RULES, steps, strict=True)
        if critical is not None
    ],
)
def test_the_spectral_radius_reaches_one_at_the_critical_step(name, rule, critical):
    field, weight, place, _ = CRITICAL[name]

    def radius(h):
        matrix = linearized(RULES[rule], field(weight), players(0.0, place), jnp.asarray(h))
        return np.max(np.abs(np.linalg.eigvals(np.asarray(matrix))))

    # Six decimals are given. Where the rule stays neutral below, a double multiplier -1 is the end of it.
    below, above = radius(critical - 1e-5), radius(critical + 1e-5)
    assert below < 1 + 1e-12
    assert above > 1 + 1e-7


def test_simultaneous_steps_grow_on_a_pure_rotation_at_any_step_size():
    for h in (1e-3, 0.1, 1.0):
        matrix = linearized(updates.Simultaneous, lq_wasserstein(0.0), players(0.0, 1.0), jnp.asarray(h))
        radius = np.max(np.abs(np.linalg.eigvals(np.asarray(matrix))))
        np.testing.assert_allclose(radius, np.sqrt(1 + (2 * h / 3) ** 2), rtol=1e-12)


@pytest.mark.parametrize(("n_d", "n_g"), [(1, 1), (3, 1), (2, 3)])
def test_alternating_rounds_are_neutral_on_the_dirac_gan_up_to_the_closed_form(n_d, n_g):
    def rule(h):
        return updates.Alternating(h, discriminator_steps=n_d, generator_steps=n_g)

    critical = 4 / np.sqrt(n_d * n_g)
    for h, neutral in ((0.99 * critical, True), (1.01 * critical, False)):
        moduli = np.abs(
            np.linalg.eigvals(np.asarray(linearized(rule, dirac_r1(0.0), players(0.0, 0.0), jnp.asarray(h))))
        )
        assert np.allclose(moduli, 1, atol=1e-9) == neutral


# What a step does, by hand.

FIELD = GameField(games.LinearQuadratic(losses.Wasserstein()))
START = players(0.5, 1.2)


def speed(w, a):
    return np.array([(1 - a**2) / 3, 2 * w * a / 3])


def test_alternating_steps_see_what_came_before():
    h, (w, a) = 0.3, (0.5, 1.2)
    for _ in range(2):
        w = w + h * speed(w, a)[0]
    for _ in range(3):
        a = a + h * speed(w, a)[1]
    update = updates.Alternating(h, discriminator_steps=2, generator_steps=3)
    np.testing.assert_allclose(rows(states(update, FIELD, START, 1))[-1], [w, a], rtol=1e-14)


def test_optimistic_steps_are_the_recursion_of_the_paper_with_a_plain_first_step():
    h, y = 0.2, np.array([0.5, 1.2])
    last, expected = speed(*y), [np.array([0.5, 1.2])]
    for _ in range(4):
        now = speed(*y)
        y, last = y + 2 * h * now - h * last, now
        expected.append(y)
    np.testing.assert_allclose(expected[1], expected[0] + h * speed(*expected[0]), rtol=1e-14)
    np.testing.assert_allclose(rows(states(updates.Optimistic(h), FIELD, START, 4)), expected, rtol=1e-13)


def rotation(t, y, args):
    """A bilinear game: the discriminator follows the generator, which flees; angular velocity 1."""
    return Players(y.generator, -y.discriminator)


@pytest.mark.parametrize("momenta", [(-0.5, -0.5), (-0.5, 0.0), (0.3, 0.9)])
@pytest.mark.parametrize("alternating", [False, True])
def test_the_multipliers_of_heavy_balls_on_a_rotation_are_the_roots_of_the_polynomial(momenta, alternating):
    (a, b), h = momenta, 0.4
    rule = functools.partial(updates.HeavyBall, momentum=Players(a, b), alternating=alternating)
    found = np.linalg.eigvals(np.asarray(linearized(rule, rotation, players(0.0, 0.0), jnp.asarray(h))))
    # (m - 1)^2 (m - a) (m - b) + h^2 m^k = 0.
    polynomial = np.poly([1, 1, a, b])
    polynomial[1 if alternating else 2] += h**2
    for root in np.roots(polynomial):
        # A double root is found to the square root of rounding; these are simple.
        assert np.min(np.abs(found - root)) < 1e-12


@pytest.mark.parametrize("beta", [-0.7, 0.0, 0.4])
def test_simultaneous_heavy_balls_grow_on_a_rotation_as_stated(beta):
    h = 1e-2
    matrix = linearized(lambda h: updates.HeavyBall(h, beta), rotation, players(0.0, 0.0), jnp.asarray(h))
    square = np.max(np.abs(np.linalg.eigvals(np.asarray(matrix)))) ** 2
    # The next term is of order h^4, 1e-8 of about 1e-4; measured 1e-3 of the growth.
    np.testing.assert_allclose((square - 1) / h**2, (1 + beta) / (1 - beta) ** 3, rtol=1e-2)


def test_alternating_heavy_balls_with_negative_momentum_are_damped_on_a_rotation_as_stated():
    h = 1e-2
    rule = functools.partial(updates.HeavyBall, momentum=Players(-0.5, 0.0), alternating=True)
    matrix = linearized(rule, rotation, players(0.0, 0.0), jnp.asarray(h))
    square = np.max(np.abs(np.linalg.eigvals(np.asarray(matrix)))) ** 2
    np.testing.assert_allclose((square - 1) / h**2, -2 / 9, rtol=1e-2)


def test_heavy_balls_are_the_recursion_of_the_paper_with_a_plain_first_step():
    h, beta = 0.1, np.array([-0.3, 0.6])
    expected = [flat(START), flat(START)]
    for _ in range(4):
        y, last = expected[-1], expected[-2]
        expected.append(y + h * flat(FIELD(0.0, players(*y))) + beta * (y - last))
    found = states(updates.HeavyBall(h, Players(*beta)), FIELD, START, 4)
    np.testing.assert_allclose(rows(found), expected[1:], rtol=1e-13)


def test_heavy_balls_without_momentum_are_plain_steps():
    pairs = [
        (updates.HeavyBall(0.1, 0.0), updates.Simultaneous(0.1)),
        (updates.HeavyBall(0.1, 0.0, alternating=True), updates.Alternating(0.1)),
    ]
    for ours, plain in pairs:
        found, expected = (rows(states(update, FIELD, START, 3)) for update in (ours, plain))
        np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_a_solver_step_is_heuns_rule_by_hand():
    h, y, expected = 0.25, np.array([0.5, 1.2]), [np.array([0.5, 1.2])]
    for _ in range(5):
        first = speed(*y)
        y = y + h / 2 * (first + speed(*(y + h * first)))
        expected.append(y)
    update = updates.SolverStep(diffrax.Heun(), h)
    np.testing.assert_allclose(rows(states(update, FIELD, START, 5)), expected, rtol=1e-13)


def test_a_solver_step_knows_the_time():
    # y' = t: Euler from 0 with h = 0.5 sums 0.5 (0 + 0.5 + 1).
    orbit = iterate(updates.SolverStep(diffrax.Euler(), 0.5), lambda t, y, args: t * jnp.ones_like(y), jnp.zeros(()), 3)
    np.testing.assert_allclose(orbit.ys, [0, 0, 0.25, 0.75], rtol=1e-14)


@pytest.mark.parametrize("solver", [diffrax.ImplicitEuler(), diffrax.Kvaerno3(), diffrax.Kvaerno5()])
def test_a_root_finder_that_waits_for_less_than_rounding_is_refused_and_a_looser_one_solves(solver):
    y0 = jnp.ones((), jnp.float32)

    def run(tolerance):
        return iterate(updates.SolverStep(solver, 0.1, rtol=tolerance, atol=tolerance), lambda t, y, args: -y, y0, 3)

    for tolerance in (1e-8, 1e-10):
        with pytest.raises(ValueError, match="`rtol` must be at least 1e-07 in float32"):
            run(tolerance)
    # Kvaerno's are of order 3 and 5, implicit Euler divides by 1.1 a step.
    exact = 1.1**-3 if isinstance(solver, diffrax.ImplicitEuler) else np.exp(-0.3)
    assert float(run(1e-5).final_state) == pytest.approx(exact, abs=2e-5)


def test_a_solver_step_whose_equations_have_no_solution_is_not_a_number():
    # Implicit Euler on y' = y^2 from 1 with h = 1: y = 1 + y^2 has no real root.
    update = updates.SolverStep(diffrax.ImplicitEuler(), 1.0, rtol=1e-8, atol=1e-8)
    y, _ = jax.jit(lambda y: update.step(lambda t, y, args: y**2, 0.0, y, None, None))(jnp.ones(()))
    assert jnp.isnan(y)


@pytest.mark.parametrize(
    ("order", "reference"),
    [
        ("simultaneous", lambda w, a, h: (w + h * speed(w, a)[0], a + h * speed(w, a)[1])),
        ("discriminator_first", lambda w, a, h: (w + h * speed(w, a)[0], a + h * speed(w + h * speed(w, a)[0], a)[1])),
        ("generator_first", lambda w, a, h: (w + h * speed(w, a + h * speed(w, a)[1])[0], a + h * speed(w, a)[1])),
    ],
)
def test_optax_sgd_is_gradient_descent_in_each_order(order, reference):
    update = updates.Optax(optax.sgd(0.1), optax.sgd(0.1), order=order)
    expected = [(0.5, 1.2)]
    for _ in range(4):
        expected.append(reference(*expected[-1], 0.1))
    np.testing.assert_allclose(rows(states(update, FIELD, START, 4)), expected, rtol=1e-13)


def test_optax_sgd_is_simultaneous_and_alternating():
    for order, same in (("simultaneous", updates.Simultaneous(0.1)), ("discriminator_first", updates.Alternating(0.1))):
        update = updates.Optax(optax.sgd(0.1), optax.sgd(0.1), order=order)
        ours, theirs = (rows(states(u, FIELD, START, 20)) for u in (update, same))
        np.testing.assert_allclose(ours, theirs, rtol=1e-13)


def test_each_player_has_its_own_optimizer_and_memory():
    # By hand: momentum keeps a velocity, v <- 0.9 v + F; Adam's first step is the learning rate, whatever the gradient.
    update = updates.Optax(optax.sgd(0.1, momentum=0.9), optax.adam(0.01), order="simultaneous")
    w, a, v = 0.5, 1.2, 0.0
    found = rows(states(update, FIELD, START, 3))
    np.testing.assert_allclose(found[1, 1] - a, 0.01, rtol=1e-6)
    for n in range(3):
        v = 0.9 * v + speed(w, found[n, 1])[0]
        w = w + 0.1 * v
        np.testing.assert_allclose(found[n + 1, 0], w, rtol=1e-12)


def test_optax_counts_steps_on_the_time_axis_unless_told_otherwise():
    rule = optax.sgd(0.1)
    assert iterate(updates.Optax(rule, rule), FIELD, START, 3).ts.tolist() == [0, 1, 2, 3]
    told = iterate(updates.Optax(rule, rule, step_size=0.5), FIELD, START, 3)
    assert told.ts.tolist() == [0, 0.5, 1, 1.5]


# Alternating descent on the linear-quadratic Wasserstein GAN keeps area in (w, ln a).


def test_alternating_steps_keep_area_in_w_and_log_a():
    update = updates.Alternating(0.7)

    def step(point):
        y, _ = update.step(FIELD, 0.0, Players(point[0], jnp.exp(point[1])), None, None)
        return jnp.stack([y.discriminator, jnp.log(y.generator)])

    points = jnp.array([[0.5, 0.2], [-1.0, 0.6], [0.3, -1.5]])
    determinants = jax.jit(jax.vmap(lambda point: jnp.linalg.det(jax.jacfwd(step)(point))))(points)
    np.testing.assert_allclose(determinants, 1, rtol=ROUNDING)


@pytest.mark.slow
def test_alternating_steps_keep_the_energy_for_a_million_steps():
    # The energy oscillates by about h; its mean over a window of many turns must not move.
    orbit = iterate(updates.Alternating(0.1), FIELD, players(0.5, 1.0), 1_000_000, save_every=8)
    energy = np.array([wasserstein_energy(y) for y in rows(orbit.ys)])
    windows = energy[: 10 * (len(energy) // 10)].reshape(10, -1).mean(axis=1)
    # Measured 1e-6; simultaneous steps of this size gain 7e-3 in ten steps.
    assert np.ptp(windows) < 1e-5
    assert np.ptp(energy) < 0.02


# Errors.

EVERY_RULE = [
    *RULES.values(),
    lambda h: updates.HeavyBall(h, -0.5),
    lambda h: updates.SolverStep(diffrax.Heun(), h),
    lambda h: updates.Optax(optax.sgd(0.1), optax.sgd(0.1), step_size=h),
]


@pytest.mark.parametrize("rule", EVERY_RULE)
@pytest.mark.parametrize("bad", [0.0, -0.1, np.nan, np.inf])
def test_a_step_size_that_is_not_positive_and_finite_is_refused(rule, bad):
    with pytest.raises(ValueError, match=f"`step_size` must be above 0 and finite, but is {bad}. Time runs forward"):
        rule(bad)


def test_a_negative_step_size_is_refused_under_jit_when_it_runs():
    step = eqx.filter_jit(lambda h: iterate(updates.Simultaneous(h), FIELD, START, 2).ys.generator)
    with pytest.raises(RuntimeError, match="`step_size` must be above 0"):
        jax.block_until_ready(step(jnp.array(-0.1)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: updates.HeavyBall(0.1, np.inf), "`momentum` must be finite, but is inf"),
        (lambda: updates.HeavyBall(0.1, Players(0.1, np.nan)), "`momentum` must be finite, but is nan"),
        (lambda: updates.Alternating(0.1, discriminator_steps=0), "`discriminator_steps` must be at least 1, but is 0"),
        (lambda: updates.Alternating(0.1, generator_steps=1.5), "`generator_steps` must be a whole number, but is 1.5"),
        (
            lambda: updates.Optax(optax.sgd(0.1), optax.sgd(0.1), order="both"),
            "`order` must be one of 'discriminator_first', 'generator_first', 'simultaneous', but is 'both'",
        ),
        (
            lambda: updates.Optax(optax.adam, optax.sgd(0.1)),
            r"`discriminator` must be an optimizer of Optax, but is adam: call it, `adam\(1e-3\)`",
        ),
        (
            lambda: updates.UnrolledOptax(optax.sgd(0.1), 1e-3, steps=1),
            r"`generator` must be an optimizer of Optax, but is 0.001: for example `optax.adam\(1e-3\)`",
        ),
        (lambda: updates.SolverStep(diffrax.Heun, 0.1), r"`solver` must be an instance.*write `Heun\(\)`"),
        (lambda: updates.SolverStep("heun", 0.1), r"`solver` must be a Diffrax solver, but is 'heun'"),
        (lambda: updates.SolverStep(diffrax.KenCarp4(), 0.1), "`solver` must take one ordinary term, but KenCarp4"),
        (
            lambda: updates.SolverStep(diffrax.ImplicitEuler(), 0.1),
            "`rtol` and `atol` must be given for ImplicitEuler at a fixed step",
        ),
    ],
)
def test_what_cannot_work_is_refused(make, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        make()


LINEAR_QUADRATIC = GameField(games.LinearQuadratic(losses.Wasserstein()))
ASK_FOR_MORE = {
    "polyak": (optax.polyak_sgd(), "argument: 'value'"),
    "lbfgs": (optax.lbfgs(), "'value', 'grad', and 'value_fn'"),
    "a part of a chain": (optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau()), "argument: 'value'"),
    "momo": (optax.contrib.momo(), "argument: 'value'"),
    "every second step": (optax.MultiSteps(optax.polyak_sgd(), 2), "argument: 'value'"),
    "a Hessian": (optax.contrib.sophia(1e-3), "obj_fn must be provided"),
}


@pytest.mark.parametrize("name", ASK_FOR_MORE)
@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_an_optimizer_that_asks_for_more_than_gradients_is_refused_at_the_start(name, player):
    rule, asks = ASK_FOR_MORE[name]
    pair = {"discriminator": optax.sgd(0.1), "generator": optax.sgd(0.1)} | {player: rule}
    message = rf"`{player}` of `updates.Optax` must be an optimizer .*{asks}.* take one like `optax.adam\(1e-3\)`"
    with pytest.raises(ValueError, match=message):
        iterate(updates.Optax(**pair), LINEAR_QUADRATIC, players(0.5, 1.0), 1)
    with pytest.raises(ValueError, match=message.replace("Optax`", "UnrolledOptax`")):
        iterate(updates.UnrolledOptax(**pair, steps=1), LINEAR_QUADRATIC, players(0.5, 1.0), 1)


@pytest.mark.parametrize(
    "rule",
    [
        updates.Alternating(0.1),
        updates.HeavyBall(0.1, Players(0.1, 0.1)),
        updates.HeavyBall(0.1, 0.1, alternating=True),
        updates.Optax(optax.sgd(0.1), optax.sgd(0.1)),
        updates.UnrolledOptax(optax.sgd(0.1), optax.sgd(0.1), steps=1),
        updates.FrozenOpponent(diffrax.Euler(), 0.1),
    ],
)
def test_a_rule_that_moves_each_player_by_itself_refuses_another_state(rule, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=rf"`y0` must be `games.Players` for `updates.{type(rule).__name__}`"):
        iterate(rule, lambda t, y, args: -y, jnp.ones(2), 1)


def test_a_user_writes_an_update_with_two_methods():
    class Signed(updates.AbstractUpdate):
        step_size: float

        def init(self, field, y, args):
            return None

        def step(self, field, t, y, args, memory):
            return jax.tree.map(lambda x, v: x + self.step_size * jnp.sign(v), y, field(t, y, args)), None

    orbit = iterate(Signed(0.125), FIELD, START, 2)
    np.testing.assert_array_equal(flat(orbit.final_state), [0.5 - 0.25, 1.2 + 0.25])
