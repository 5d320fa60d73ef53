"""The rules of the papers: what each does, by its paper's own form, and when it converges.

What every update shares, multipliers in closed form among it, is in `test_conformance.py` and `test_updates.py`.
"""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from gan_ode import analysis, backward_error, games, iterate, losses, OUTCOMES, regularizers, simulate, updates
from gan_ode.fields import GameField
from gan_ode.games import Players
from tests.catalogue import dirac_velocity, flat, gan, LOSSES, players

# Some tens of steps of a few roundings each; measured up to 7e-16.
ROUNDING = 1e-13
# Eigenvalues of matrices of two to eight rows; measured up to 7e-16 where they are simple.
EIGENVALUES = 1e-12
# Bisection to rounding; measured 3e-16.
CRITICAL = 1e-12
# The default tolerance of the linear equations is 2e-12 of the step; measured 2e-14.
SOLVED = 1e-11

FIELD = GameField(games.LinearQuadratic(losses.Wasserstein()))
START = players(0.5, 1.2)
ORIGIN = players(0.0, 0.0)
H = 0.1


@eqx.filter_jit
def states(update, field, y, num_steps):
    return iterate(update, field, y, num_steps).ys


def rows(ys):
    return np.asarray(jax.vmap(lambda y: ravel_pytree(y)[0])(ys))


def speed(y):
    w, a = y
    return np.array([(1 - a**2) / 3, 2 * w * a / 3])


def rotation(t, y, args):
    """A bilinear game of angular velocity 2."""
    return Players(2 * y.generator, -2 * y.discriminator)


def spiral(t, y, args):
    """Eigenvalues -1 +- i, by a diagonal of -1 and a rotation."""
    return Players(-y.discriminator - y.generator, y.discriminator - y.generator)


# Momentum and optimism, beside Optax.


def both(optimizer):
    return updates.Optax(optimizer, optimizer, order="simultaneous")


BESIDE_OPTAX = {
    "heavy ball": (lambda b: updates.HeavyBall(H, b), lambda b: optax.sgd(H, momentum=b)),
    "nesterov": (lambda b: updates.Nesterov(H, b), lambda b: optax.sgd(H, momentum=b, nesterov=True)),
}


@pytest.mark.parametrize("beta", [-0.5, 0.8])
@pytest.mark.parametrize("name", BESIDE_OPTAX)
def test_momentum_makes_the_orbit_of_optax(name, beta):
    ours, theirs = BESIDE_OPTAX[name]
    found, expected = (rows(states(u, FIELD, START, 30)) for u in (ours(beta), both(theirs(beta))))
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("name", BESIDE_OPTAX)
def test_momentum_has_the_multipliers_of_optax(name):
    ours, theirs = BESIDE_OPTAX[name]
    found, expected = (np.asarray(analysis.multipliers(u, spiral, ORIGIN)) for u in (ours(-0.5), both(theirs(-0.5))))
    np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(expected), rtol=0, atol=EIGENVALUES)


def test_optimism_makes_the_orbit_of_optax():
    found, expected = (
        rows(states(u, FIELD, START, 30)) for u in (updates.Optimistic(H), both(optax.optimistic_gradient_descent(H)))
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING)


def test_momentum_of_minus_a_half_converges_on_a_bilinear_game_below_one_over_omega_if_it_alternates_and_never_else():
    alternating = functools.partial(updates.HeavyBall, momentum=-0.5, alternating=True)
    # (m - 1)^2 (m + 1/2)^2 + (h w)^2 m^3 has the root -1 at h w = 1, and w = 2.
    assert float(analysis.critical_step_size(alternating, rotation, ORIGIN)) == pytest.approx(0.5, abs=CRITICAL)
    assert analysis.spectral_radius(alternating(0.4), rotation, ORIGIN) < 0.99
    simultaneous = functools.partial(updates.HeavyBall, momentum=-0.5)
    assert analysis.critical_step_size(simultaneous, rotation, ORIGIN) == 0


@pytest.mark.parametrize("beta", [-0.7, 0.5])
def test_nesterovs_momentum_grows_on_a_rotation_as_stated(beta):
    h = 0.005
    square = float(analysis.spectral_radius(updates.Nesterov(h, beta), rotation, ORIGIN)) ** 2
    # The next term is of relative order (h w)^2, 1e-4 times up to 100 here.
    expected = (1 - beta + 2 * beta**2) / (1 - beta) ** 3
    np.testing.assert_allclose((square - 1) / (2 * h) ** 2, expected, rtol=1e-2)


# Extragradient, from the past and anchored.


def test_extragradient_from_the_past_looks_ahead_along_the_optimistic_orbit():
    # The points ahead are x with x'' = x' + 2 h F(x') - h F(x), and y is one velocity behind them.
    x = [np.array([0.5, 1.2])]
    x.append(x[0] + H * speed(x[0]))
    behind = speed(x[0])
    expected = [x[0]]
    for _ in range(10):
        now = speed(x[-1])
        x.append(x[-1] + 2 * H * now - H * behind)
        behind = now
        expected.append(x[-1] - H * now)
    found = rows(states(updates.ExtragradientFromThePast(H), FIELD, START, 10))
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING)


def test_the_first_step_from_the_past_is_one_of_extragradient():
    past, plain = (
        rows(states(u(H), FIELD, START, 1)) for u in (updates.ExtragradientFromThePast, updates.Extragradient)
    )
    np.testing.assert_allclose(past, plain, rtol=0, atol=ROUNDING)


def test_anchored_extragradient_is_the_recursion_of_the_paper():
    y, start, expected = np.array([0.5, 1.2]), np.array([0.5, 1.2]), [np.array([0.5, 1.2])]
    for n in range(10):
        pulled = y + (start - y) / (n + 2)
        y = pulled + H * speed(pulled + H * speed(y))
        expected.append(y)
    found = rows(states(updates.AnchoredExtragradient(H), FIELD, START, 10))
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING)


def test_anchored_extragradient_keeps_the_bound_of_the_paper_on_a_bilinear_game_and_is_as_slow_as_it_says():
    matrix = np.random.default_rng(0).normal(size=(4, 4))
    field = GameField(games.Bilinear(jnp.asarray(matrix)))
    y0 = players([1.0, -0.5, 0.3, 2.0], [0.2, 0.7, -1.0, 0.4])
    lipschitz = np.linalg.norm(matrix, 2)
    for hr in (1 / 8, 1 / 20):
        h = hr / lipschitz
        ys = rows(states(updates.AnchoredExtragradient(h), field, y0, 4000))
        velocities = np.concatenate([ys[:, 4:] @ matrix.T, -ys[:, :4] @ matrix], axis=1)
        constant = 4 * (1 + hr + hr**2) / (h**2 * (1 + hr)) * np.sum(flat(y0) ** 2)
        scaled = np.sum(velocities**2, axis=1) * np.arange(1, len(ys) + 1) ** 2 / constant
        assert np.all(scaled <= 1)
        # No faster than stated: from the 1000th step on within a factor of 100 of the bound. Measured 0.13 to 0.60.
        assert np.all(scaled[1000:] > 0.01)


@pytest.mark.parametrize(
    "make",
    [
        updates.AnchoredExtragradient,
        lambda h: updates.Lookahead(updates.AnchoredExtragradient(h), 3, 0.5),
        lambda h: updates.Averaged(updates.Cycle([updates.AnchoredExtragradient(h)]), 0.1),
    ],
)
def test_what_is_anchored_has_no_multipliers(make):
    with pytest.raises(ValueError, match=r"`update` must forget where it started.*an anchor"):
        analysis.multipliers(make(H), spiral, ORIGIN)


def test_a_late_anchored_step_has_the_multipliers_of_extragradient_for_who_asks():
    found = analysis.multipliers(updates.AnchoredExtragradient(H), spiral, ORIGIN, check=False)
    z = H * np.array([-1 + 1j, -1 - 1j])
    np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(1 + z + z**2), rtol=0, atol=1e-6)


# h = 1 is where |1 + h l + (h l)^2| = 1 at l = -1 + i: |1 - h + i (h - 2 h^2)|. It is looked at after 1e8 steps, where
# 1e-8 of the pull is left; measured 1e-8, and 2e-8 in place of the zero where that is taken for damping.
@pytest.mark.parametrize(("sign", "expected"), [(1, 1.0), (-1, 0.0)], ids=["attracting", "repelling"])
def test_the_critical_step_of_late_anchored_steps_is_that_of_extragradient_for_who_asks(sign, expected):
    field = jax.tree_util.Partial(along, sign)
    found = analysis.critical_step_size(updates.AnchoredExtragradient, field, ORIGIN, check=False)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7 if sign > 0 else 0)


def along(sign, t, y, args):
    """The spiral, or with the sign -1 the spiral backward in time."""
    return jax.tree.map(lambda leaf: sign * leaf, spiral(t, y, args))


# Competitive gradients.

MATRIX = np.array([[1.0, -0.5], [0.3, 2.0]])


def test_competitive_gradient_descent_on_a_bilinear_game_is_implicit_euler():
    h, y = 0.7, np.array([0.4, -1.0, 0.3, 1.2])
    jacobian = np.block([[np.zeros((2, 2)), MATRIX], [-MATRIX.T, np.zeros((2, 2))]])
    expected = [y]
    for _ in range(10):
        expected.append(np.linalg.solve(np.eye(4) - h * jacobian, expected[-1]))
    field = GameField(games.Bilinear(jnp.asarray(MATRIX)))
    found = rows(states(updates.CompetitiveGradient(h), field, players(y[:2], y[2:]), 10))
    np.testing.assert_allclose(found, expected, rtol=0, atol=SOLVED)


def test_a_competitive_step_is_the_formula_of_the_paper_with_one_player_eliminated():
    def field(t, y, args):
        d, g = y.discriminator, y.generator
        return Players(g - d**3 + d * g**2, -d - 3 * g * d**2)

    h, (d, g) = 0.3, (0.8, -0.6)
    for_d, for_g = g - d**3 + d * g**2, -d - 3 * g * d**2
    d_by_g, g_by_d = 1 + 2 * d * g, -1 - 6 * g * d
    inverse = 1 / (1 - h**2 * d_by_g * g_by_d)
    expected = [d + h * inverse * (for_d + h * d_by_g * for_g), g + h * inverse * (for_g + h * g_by_d * for_d)]
    found = flat(updates.CompetitiveGradient(h).step(field, 0.0, players(d, g), None, None)[0])
    np.testing.assert_allclose(found, expected, rtol=0, atol=SOLVED)


def test_a_competitive_step_of_networks_is_that_of_dense_matrices():
    game = gan(losses.NonSaturating())
    field, batch, h = GameField(game), game.sample(jax.random.key(0), 8), 0.5
    x, back = ravel_pytree(game.players)
    num = ravel_pytree(game.players.discriminator)[0].size

    @jax.jit
    def everything(x):
        velocity = functools.partial(lambda x: ravel_pytree(field(0.0, back(x), batch))[0])
        step, _ = updates.CompetitiveGradient(h).step(field, 0.0, back(x), batch, None)
        return velocity(x), jax.jacfwd(velocity)(x), ravel_pytree(step)[0]

    velocity, jacobian, found = map(np.asarray, everything(x))
    mixed = jacobian.copy()
    mixed[:num, :num] = mixed[num:, num:] = 0
    expected = x + np.linalg.solve(np.eye(x.size) - h * mixed, h * velocity)
    np.testing.assert_allclose(found, expected, rtol=0, atol=SOLVED)
    # The game makes a difference, beside plain steps.
    assert np.max(np.abs(expected - x - h * velocity)) > 1e-3


def test_the_multipliers_of_competitive_steps_leave_the_own_curvature_explicit():
    # On the spiral B is the rotation and J - B = -1.
    h = 0.6
    found = np.asarray(analysis.multipliers(updates.CompetitiveGradient(h), spiral, ORIGIN))
    expected = (1 - h) / (1 - h * np.array([1j, -1j]))
    np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(expected), rtol=0, atol=SOLVED)


def test_a_competitive_step_whose_equations_are_not_solved_is_named():
    field = GameField(games.Bilinear(jnp.asarray(MATRIX)))
    orbit = iterate(updates.CompetitiveGradient(0.7, max_products=1), field, players([0.4, -1.0], [0.3, 1.2]), 2)
    assert orbit.outcome == OUTCOMES.root_find_failed


# Rules made of rules.


def test_lookahead_keeps_a_part_of_some_steps_whose_momentum_goes_on():
    beta, alpha, k = 0.6, 0.4, 3
    y, last, expected = np.array([0.5, 1.2]), np.zeros(2), [np.array([0.5, 1.2])]
    for _ in range(5):
        ahead = y
        for _ in range(k):
            last = H * speed(ahead) + beta * last
            ahead = ahead + last
        y = y + alpha * (ahead - y)
        expected.append(y)
    update = updates.Lookahead(updates.HeavyBall(H, beta), steps=k, alpha=alpha)
    orbit = iterate(update, FIELD, START, 5)
    np.testing.assert_allclose(rows(orbit.ys), expected, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(orbit.ts, 3 * H * np.arange(6), rtol=1e-15)


def test_lookahead_damps_a_rotation_of_small_steps_as_stated():
    h, k, alpha = 0.005, 5, 0.5
    update = updates.Lookahead(updates.Simultaneous(h), steps=k, alpha=alpha)
    square = float(analysis.spectral_radius(update, rotation, ORIGIN)) ** 2
    np.testing.assert_allclose((square - 1) / (2 * h) ** 2, alpha * k * (1 - k * (1 - alpha)), rtol=1e-2)


def test_the_critical_step_size_of_lookahead_is_that_of_its_polynomial_for_its_rounds_and_for_inner_steps():
    low, high = 0.5, 2.0
    for _ in range(60):
        middle = (low + high) / 2
        above = abs(0.5 + 0.5 * (1 + middle * (-1 + 1j)) ** 5) > 1
        low, high = (low, middle) if above else (middle, high)
    of_steps = analysis.critical_step_size(lambda h: updates.Lookahead(updates.Simultaneous(h), 5, 0.5), spiral, ORIGIN)
    of_rounds = analysis.critical_step_size(updates.Lookahead(updates.Simultaneous(0.1), 5, 0.5), spiral, ORIGIN)
    assert float(of_steps) == pytest.approx(low, abs=CRITICAL)
    assert float(of_rounds) == pytest.approx(5 * low, abs=5 * CRITICAL)


@pytest.mark.parametrize("rate", [0.2, None])
def test_averages_are_those_of_the_iterates_which_do_not_see_them(rate):
    inner = updates.Optimistic(H)
    iterates = rows(states(inner, FIELD, START, 20))
    if rate is None:
        expected = np.cumsum(iterates, axis=0) / np.arange(1, 22)[:, None]
    else:
        expected = [iterates[0]]
        for each in iterates[1:]:
            expected.append((1 - rate) * expected[-1] + rate * each)
    averaged = updates.Averaged(inner, rate)
    np.testing.assert_allclose(rows(states(averaged, FIELD, START, 20)), expected, rtol=0, atol=ROUNDING)
    y, memory = START, averaged.init(FIELD, START, None)
    for _ in range(3):
        y, memory = averaged.step(FIELD, 0.0, y, None, memory)
    np.testing.assert_allclose(flat(averaged.iterate_of(y, memory)), iterates[3], rtol=0, atol=ROUNDING)


def test_the_mean_of_all_iterates_comes_to_the_center_of_a_rotation_as_one_over_n_and_the_last_one_does_not():
    update = updates.Averaged(updates.Alternating(0.1))
    means, lasts = (np.linalg.norm(rows(states(u, rotation, START, 10_000)), axis=1) for u in (update, update.update))
    n = np.arange(1, 10_002)
    # Sums of points on a circle stay within its radius over half the angle of a step, 1.3 / 0.1; here it is an ellipse,
    # longer by a tenth. Measured 14.
    assert np.max(n * means) < 1.3 / 0.1 * 1.1
    assert np.min(lasts) > 1


def test_a_mean_of_all_iterates_has_no_multipliers_since_its_steps_die_out():
    with pytest.raises(ValueError, match="steps die out"):
        analysis.multipliers(updates.Averaged(updates.Simultaneous(H)), spiral, ORIGIN)


def test_clipping_is_the_algorithm_of_the_paper_as_a_cycle_with_generator_steps():
    # Its critic's steps, each of which is clipped, and then the generator's: on the Dirac-GAN, d' = g, g' = -d.
    c, h = 0.15, 0.1
    field = GameField(games.Dirac(losses.Wasserstein()))
    d, g, expected = 0.1, 1.0, [(0.1, 1.0)]
    for _ in range(40):
        for _ in range(5):
            d = np.clip(d + h * g, -c, c)
        g = g - h * d
        expected.append((d, g))
    clipped = updates.Clipped(updates.Simultaneous(h), bound=c)
    update = updates.Cycle([clipped] * 6, factors=[Players(1.0, 0.0)] * 5 + [Players(0.0, 1.0)])
    found = rows(states(update, field, players(0.1, 1.0), 40))
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING)
    assert np.max(np.abs(found[:, 0])) == c and np.max(np.abs(found[:, 1])) > c


def test_a_clipped_wgan_keeps_cycling_on_the_largest_circle_in_the_box():
    # Along the border the generator comes down at the rate c; once at zero, it turns on d^2 + g^2 - h d g, inside.
    c, h = 0.2, 0.02
    field = GameField(games.Dirac(losses.Wasserstein()))
    found = rows(states(updates.Clipped(updates.Alternating(h), c), field, players(0.0, 1.0), 4000))
    late = np.abs(found[1001:].reshape(6, 500, 2)).max(axis=1)
    # Steps of h c along a circle of radius c miss its ends by h^2 c / 8 at most. Measured 7e-6.
    np.testing.assert_allclose(late, c, rtol=0, atol=1e-3)


def test_a_start_outside_of_the_box_is_brought_back():
    found = rows(states(updates.Clipped(updates.Simultaneous(H), 0.2), rotation, players(3.0, 1.0), 1))
    assert found[1, 0] == 0.2


def test_a_cycle_of_step_sizes_is_its_steps_one_after_the_other():
    y = np.array([0.5, 1.2])
    expected = [y]
    for _ in range(5):
        for h in (0.3, -0.1):
            y = y + h * speed(y)
        expected.append(y)
    update = updates.Cycle([updates.Simultaneous(0.3), updates.Simultaneous(0.1)], factors=[1.0, -1.0])
    orbit = iterate(update, FIELD, START, 5)
    np.testing.assert_allclose(rows(orbit.ys), expected, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(orbit.ts, 0.4 * np.arange(6), rtol=1e-15)


def test_members_of_rounds_know_the_time():
    # y' = t, in steps from 0, 0.2 and 0.3; then from 0.4 in two steps of 0.1 each.
    def field(t, y, args):
        return t * jnp.ones_like(y)

    looked = updates.Lookahead(updates.Simultaneous(0.1), 2, 1.0)
    update = updates.Cycle([updates.Simultaneous(0.2), updates.Simultaneous(0.1), looked])
    y, _ = update.step(field, 0.0, jnp.zeros(()), None, update.init(field, jnp.zeros(()), None))
    assert float(y) == pytest.approx(0.1 * 0.2 + 0.1 * 0.3 + 0.1 * 0.4, abs=1e-15)


def slingshot(h):
    return updates.Cycle([updates.Simultaneous(h)] * 2, factors=[Players(1.0, -1.0), Players(-1.0, 1.0)])


def test_a_slingshot_steps_down_the_squared_velocity_in_a_zero_sum_game():
    field, y = GameField(games.Dirac(losses.Minimax())), np.array([0.3, 0.8])

    def half_square(y):
        return np.sum(dirac_velocity(LOSSES["minimax"], y) ** 2) / 2

    slope = [(half_square(y + e) - half_square(y - e)) / 2e-5 for e in 1e-5 * np.eye(2)]
    errors = [
        np.abs((rows(states(slingshot(h), field, players(*y), 1))[1] - y) / h**2 + slope).max() for h in (0.02, 0.01)
    ]
    # What is left out is of order h: measured 6.2e-4, and half of it.
    assert errors[0] < 2e-3
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.1)


def test_a_slingshot_converges_on_a_rotation_up_to_its_closed_form():
    found = analysis.multipliers(slingshot(0.3), rotation, ORIGIN)
    np.testing.assert_allclose(found, 1 - 0.6**2, rtol=0, atol=1e-7)
    # |1 - (h w)^2| = 1 at h w = sqrt 2.
    assert float(analysis.critical_step_size(slingshot, rotation, ORIGIN)) == pytest.approx(0.5**0.5, abs=CRITICAL)


def test_a_round_without_memory_has_a_modified_field():
    # ln((1 + z) (1 + 3 z)) is 4 z - (z^2 + 9 z^2) / 2, of a time of 0.2.
    def rule(h):
        return updates.Cycle([updates.Simultaneous(h / 4), updates.Simultaneous(3 * h / 4)])

    field = backward_error.modified_field(rule(0.2), spiral, 0.2, order=2)
    matrix = np.asarray(analysis.jacobian(field, ORIGIN))
    z = -0.05 + 0.05j
    expected = (4 * z - 5 * z**2) / 0.2
    assert np.min(np.abs(np.linalg.eigvals(matrix) - expected)) < EIGENVALUES


def test_consensus_is_an_adjusted_field_under_any_update():
    field = regularizers.Adjusted(GameField(games.Dirac(losses.Minimax())), regularizers.Consensus(0.6))
    found = np.asarray(analysis.multipliers(updates.Simultaneous(0.5), field, ORIGIN))
    expected = 1 + 0.5 * np.array([-0.15 + 0.5j, -0.15 - 0.5j])
    np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(expected), rtol=0, atol=EIGENVALUES)


def test_gradients_gathered_over_some_steps_have_the_critical_step_of_their_rule():
    def gathered(h):
        inner = optax.sgd(h, momentum=-0.5)
        return both(optax.MultiSteps(inner, 3, accumulator_dtype=jnp.float64))

    # Where m^2 - (1/2 + h l) m - 1/2 has a root of modulus one, by bisection.
    low, high = 0.1, 2.0
    for _ in range(60):
        middle = (low + high) / 2
        above = np.abs(np.roots([1, -(0.5 + middle * (-1 + 1j)), -0.5])).max() > 1
        low, high = (low, middle) if above else (middle, high)
    assert float(analysis.critical_step_size(gathered, spiral, ORIGIN)) == pytest.approx(low, abs=CRITICAL)


@pytest.mark.parametrize(
    "rule",
    [
        updates.CompetitiveGradient,
        lambda h: updates.Averaged(updates.Lookahead(updates.Nesterov(h, 0.3), 2, 0.5), 0.3),
    ],
    ids=["competitive", "averaged lookahead of nesterov"],
)
def test_derivatives_go_through_the_steps_backward(rule):
    @jax.jit
    def end(h, w):
        return iterate(rule(h), FIELD, Players(w, START.generator), 3).final_state.generator

    h, w, e = 0.2, 0.5, 1e-5
    slopes = jax.grad(end, (0, 1))(h, w)
    expected = (end(h + e, w) - end(h - e, w)) / (2 * e), (end(h, w + e) - end(h, w - e)) / (2 * e)
    # Central differences of 1e-5, and transposed systems to half the digits; measured 2e-10.
    np.testing.assert_allclose(slopes, expected, rtol=0, atol=1e-7)
    assert min(map(abs, expected)) > 1e-2


# Many starts at once.


@pytest.mark.parametrize(
    "update",
    [
        updates.Averaged(updates.Lookahead(updates.Nesterov(H, 0.3), 2, 0.5)),
        updates.Cycle([updates.Clipped(updates.ExtragradientFromThePast(H), 0.3), updates.CompetitiveGradient(H)]),
    ],
    ids=["averaged lookahead of nesterov", "cycle of clipped and competitive"],
)
def test_ensembles_make_the_same_steps_in_double_and_single_precision(update):
    starts = players([0.5, -0.2, 0.1], [1.2, 0.7, 1.0])
    found = simulate.iterate_ensemble(update, FIELD, starts, 5).final_state
    single = simulate.iterate_ensemble(
        update, FIELD, jax.tree.map(lambda leaf: leaf.astype(jnp.float32), starts), 5
    ).final_state
    for k in range(3):
        expected = rows(states(update, FIELD, jax.tree.map(lambda leaf, k=k: leaf[k], starts), 5))[-1]
        np.testing.assert_allclose(flat(jax.tree.map(lambda leaf, k=k: leaf[k], found)), expected, rtol=0, atol=SOLVED)
        alone = jax.tree.map(lambda leaf, k=k: leaf[k], single)
        assert alone.generator.dtype == jnp.float32
        # Twenty roundings of 6e-8, and a residual of 6e-6 of a step; measured 2e-7.
        np.testing.assert_allclose(flat(alone), expected, rtol=0, atol=1e-5)


# Errors.


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: updates.Nesterov(0.1, np.nan), "`momentum` must be finite, but is nan"),
        (lambda: updates.Lookahead(updates.Simultaneous(0.1), 0, 0.5), "`steps` must be at least 1, but is 0"),
        (lambda: updates.Lookahead(updates.Simultaneous(0.1), 5, 0.0), "`alpha` must be above 0 and finite, but is 0"),
        (lambda: updates.Lookahead(updates.Simultaneous, 5, 0.5), "`update` must be a rule, but is the class Simultan"),
        (lambda: updates.Averaged(optax.sgd(0.1)), "`update` must be a rule, but is Gradient"),
        (lambda: updates.Clipped(None, 1.0), "`update` must be a rule, but is None"),
        (lambda: updates.Cycle([updates.Simultaneous(0.1), 0.1]), r"`members\[1\]` must be a rule, but is 0.1"),
        (lambda: updates.Averaged(updates.Simultaneous(0.1), 0.0), "`rate` must be above 0 and at most 1, but is 0"),
        (lambda: updates.Averaged(updates.Simultaneous(0.1), 1.5), "`rate` must be above 0 and at most 1, but is 1.5"),
        (lambda: updates.Clipped(updates.Simultaneous(0.1), -1.0), "`bound` must be above 0 and finite, but is -1"),
        (lambda: updates.CompetitiveGradient(0.1, max_products=0), "`max_products` must be at least 1, but is 0"),
        (lambda: updates.CompetitiveGradient(0.1, rtol=0.0), "`rtol` must be above 0 and finite, but is 0"),
        (lambda: updates.Cycle([]), "`members` must hold at least one rule, but is empty"),
        (
            lambda: updates.Cycle([updates.Simultaneous(0.1)], factors=[1.0, -1.0]),
            "`factors` must hold one for each of the 1 members, but holds 2",
        ),
        (lambda: updates.Cycle([updates.Simultaneous(0.1)], factors=[np.inf]), "`factors` must be finite, but is inf"),
    ],
)
def test_what_cannot_work_is_refused(make, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "rule",
    [
        updates.CompetitiveGradient(0.1),
        updates.Clipped(updates.Simultaneous(0.1), 1.0),
        updates.Cycle([updates.Simultaneous(0.1)], factors=[Players(1.0, 0.0)]),
    ],
)
def test_a_rule_for_two_players_refuses_another_state(rule, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=rf"`y0` must be `games.Players` for `updates.{type(rule).__name__}`"):
        iterate(rule, lambda t, y, args: -y, jnp.ones(2), 1)


def test_a_step_backward_is_legal_in_a_cycle_alone():
    with pytest.raises(ValueError, match="`step_size` must be above 0"):
        updates.Simultaneous(-0.1)
    assert updates.Cycle([updates.Simultaneous(0.1)] * 2, factors=[1.0, -0.5]).step_size == 0.2
