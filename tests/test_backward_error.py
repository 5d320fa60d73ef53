"""Modified fields: terms in closed form, orders by slope, drifts, the exact linear part, and what is refused."""

import functools

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest
import scipy.integrate
import scipy.linalg
from jax.flatten_util import ravel_pytree

from gan_ode import analysis, backward_error, fields, flow, games, losses, regularizers, updates
from gan_ode.games import Players
from tests.catalogue import dirac_velocity, flat, gan, linear_quadratic_velocity, LOSSES, players

# Some hundred products, weighed by up to 10: measured 4e-15.
ROUNDING = 1e-12
# Central differences of fourth order, step 2e-3, twice nested: measured 3e-9.
FINITE_DIFFERENCE = 3e-8
# Between the two smallest steps the next power still bends the slope: measured 0.06 at most.
SLOPE = 0.1

GAMES = {"linear_quadratic": games.LinearQuadratic, "dirac": games.Dirac}
# States (discriminator, generator); the last two have D = 0, where a log-sigmoid is written with kinks that cancel.
STATES = np.array([[0.5, 1.2], [-0.4, 0.7], [0.0, 1.3], [0.0, 0.4]])


def game_field(game, loss, rates=(1.0, 1.0)):
    return fields.GameField(GAMES[game](LOSSES[loss].make()), Players(*rates))


def by_hand(game, loss):
    """The field in NumPy."""
    facts = LOSSES[loss]
    if game == "dirac":
        return lambda y: dirac_velocity(facts, y)
    return lambda y: linear_quadratic_velocity(facts, y, 1.0)


def slope_along(function, y, direction, step=2e-3):
    """The derivative along a direction, by central differences of fourth order."""
    near, far = step * direction, 2 * step * direction
    return (8 * (function(y + near) - function(y - near)) - (function(y + far) - function(y - far))) / (12 * step)


@functools.cache
def all_terms(rule, game, loss, order):
    """From rows of states and of rates to the terms, shape `(order, rows, 2)`: one compilation."""
    base = game_field(game, loss)

    def terms(y, rates):
        field = eqx.tree_at(lambda f: f.rates, base, Players(rates[0], rates[1]))
        found = backward_error.modified_terms(rule, field, order)(0.0, Players(y[0], y[1]))
        return jnp.stack([ravel_pytree(term)[0] for term in found])

    return jax.jit(jax.vmap(terms, out_axes=1))


def alternating_5_1(h):
    return updates.Alternating(h, discriminator_steps=5)


def implicit_euler(h):
    return updates.SolverStep(diffrax.ImplicitEuler(), h, rtol=1e-13, atol=1e-13)


def heun(h):
    return updates.SolverStep(diffrax.Heun(), h)


# Terms in closed form.


@pytest.mark.parametrize("loss", ["minimax", "wasserstein"])
@pytest.mark.parametrize("game", GAMES)
def test_the_terms_of_simultaneous_steps_are_the_closed_form(game, loss):
    # F, -F'F/2, F''(F,F)/12 + F'F'F/3.
    f = by_hand(game, loss)

    def first(y):
        return slope_along(f, y, f(y))

    rows = all_terms(updates.Simultaneous, game, loss, 5)(STATES, jnp.ones_like(STATES))
    for y, found in zip(STATES, np.moveaxis(np.asarray(rows), 1, 0), strict=True):
        twice = slope_along(f, y, first(y))  # F'F'F; and the derivative of F'F along F is F''(F,F) + F'F'F
        expected = [f(y), -first(y) / 2, (slope_along(first, y, f(y)) - twice) / 12 + twice / 3]
        np.testing.assert_allclose(found[:3], expected, rtol=0, atol=FINITE_DIFFERENCE)


def test_implicit_euler_has_the_terms_of_euler_with_alternating_signs():
    # It is the inverse of an Euler step of size -h.
    rates = jnp.ones_like(STATES)
    euler = np.asarray(all_terms(updates.Simultaneous, "linear_quadratic", "wasserstein", 5)(STATES, rates))[:3]
    found = all_terms(implicit_euler, "linear_quadratic", "wasserstein", 3)(STATES, rates)
    np.testing.assert_allclose(found, euler * np.array([1, -1, 1])[:, None, None], rtol=0, atol=1e-11)


def test_a_runge_kutta_step_has_no_terms_below_its_order():
    found = np.asarray(all_terms(heun, "linear_quadratic", "wasserstein", 3)(STATES, jnp.ones_like(STATES)))
    np.testing.assert_allclose(found[1], 0, rtol=0, atol=ROUNDING)
    assert np.min(np.linalg.norm(found[2], axis=-1)) > 1e-3


def spiral(t, y, args):
    return jnp.array([[-0.3, -1.1], [1.1, -0.3]]) @ y


@pytest.mark.parametrize(
    ("rule", "multiplier"),
    [
        (updates.Simultaneous, lambda x: 1 + x),
        (updates.Extragradient, lambda x: 1 + x + x**2),
        (heun, lambda x: 1 + x + x**2 / 2),
        (lambda h: updates.SolverStep(diffrax.Bosh3(), h), lambda x: 1 + x + x**2 / 2 + x**3 / 6),
        (implicit_euler, lambda x: 1 / (1 - x)),
    ],
    ids=["simultaneous", "extragradient", "heun", "bosh3", "implicit_euler"],
)
def test_on_a_linear_field_the_terms_are_the_series_of_the_logarithm_of_the_multiplier(rule, multiplier):
    # Coefficients of log m(x) by Cauchy's integral on a circle inside its singularities.
    radius, count = 0.3, 64
    circle = radius * np.exp(2j * np.pi * np.arange(count) / count)
    coefficients = np.fft.fft(np.log(multiplier(circle))) / count / radius ** np.arange(count)
    eigenvalue, z = -0.3 + 1.1j, 0.8 - 0.5j
    terms = eqx.filter_jit(backward_error.modified_terms(rule, spiral, order=4))(0.0, jnp.array([z.real, z.imag]))
    for j, term in enumerate(np.asarray(terms)):
        expected = coefficients[j + 1] * eigenvalue ** (j + 1) * z
        np.testing.assert_allclose(term, [expected.real, expected.imag], rtol=0, atol=1e-11)


def test_a_field_that_depends_on_time_has_a_modified_field_that_does():
    # Euler on y' = cos t: h cos t is the integral of the modified field over a step, so its terms are those of
    # x / (e^x - 1), Bernoulli's numbers, with the derivatives of cos.
    terms = backward_error.modified_terms(updates.Simultaneous, lambda t, y, args: jnp.cos(t) * jnp.ones_like(y), 5)
    t = 0.7
    found = np.asarray(eqx.filter_jit(terms)(t, jnp.ones(())))
    expected = [np.cos(t), np.sin(t) / 2, -np.cos(t) / 12, 0.0, -np.cos(t) / 720]
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING)


def test_a_term_is_a_field_and_the_modified_field_is_their_sum():
    field, y, h = game_field("linear_quadratic", "wasserstein"), players(0.5, 1.2), 0.3
    terms = backward_error.modified_terms(updates.Alternating, field, order=3)

    @jax.jit
    def everything(y):
        return [term(0.0, y) for term in terms], backward_error.modified_field(updates.Alternating, field, h, 3)(0.0, y)

    each, total = everything(y)
    assert len(terms) == len(each) == 3
    np.testing.assert_allclose(flat(total), sum(h**j * flat(term) for j, term in enumerate(each)), rtol=1e-14)
    with pytest.raises(IndexError, match="`power` must be from 0 to 2, but is 3: ask for a higher `order`"):
        terms[3]


# Orders by slope: orbits by hand in NumPy, flows of the modified fields by SciPy.


def orbit_by_hand(velocity, rates, rounds, y, h, num_steps):
    """`rounds` is (n_d, n_g), or None for simultaneous steps."""
    rates, states = np.asarray(rates), [np.asarray(y)]
    for _ in range(num_steps):
        y = states[-1].copy()
        if rounds is None:
            y = y + h * rates * velocity(y)
        else:
            for player, count in enumerate(rounds):
                for _ in range(count):
                    y[player] += h * rates[player] * velocity(y)[player]
        states.append(y)
    return np.array(states)


def errors_of_orders(rule, game, loss, rates, rounds, order, sizes, duration, start):
    """Largest distance of the orbit from the flow of the modified field, shape `(order, sizes)`, at matched times."""
    terms = all_terms(rule, game, loss, order)
    ts = np.linspace(0, duration, round(duration / max(sizes)) + 1)
    h = np.tile(sizes, order)
    kept = np.repeat(np.tri(order), len(sizes), axis=0)  # one row for each order and size: which terms it has
    weights = (kept * h[:, None] ** np.arange(order)).T
    many = np.tile(rates, (len(h), 1))

    def velocity(t, y):
        return np.sum(weights[:, :, None] * np.asarray(terms(y.reshape(-1, 2), many)), axis=0).ravel()

    flows = scipy.integrate.solve_ivp(
        velocity, (0, duration), np.tile(start, len(h)), "DOP853", ts, rtol=1e-12, atol=1e-13
    ).y.reshape(order, len(sizes), 2, len(ts))
    errors = np.empty((order, len(sizes)))
    for i, size in enumerate(sizes):
        count = round(duration / size)
        orbit = orbit_by_hand(by_hand(game, loss), rates, rounds, start, size, count)[:: count // (len(ts) - 1)]
        errors[:, i] = np.max(np.linalg.norm(flows[:, i] - orbit.T, axis=1), axis=-1)
    return errors


@pytest.mark.parametrize(
    ("rule", "rates", "rounds", "order", "largest"),
    [
        (updates.Simultaneous, (1.0, 1.0), None, 5, 0.125),
        (updates.Alternating, (1.0, 1.0), (1, 1), 3, 0.125),
        (updates.Alternating, (1.0, 3.0), (1, 1), 3, 0.0625),
        (alternating_5_1, (1.0, 1.0), (5, 1), 3, 0.03125),
    ],
    ids=["simultaneous", "alternating_1_1", "alternating_rates_1_3", "alternating_5_1"],
)
@pytest.mark.parametrize("loss", ["minimax", "wasserstein"])
@pytest.mark.parametrize("game", GAMES)
def test_the_orbit_follows_the_flow_of_the_modified_field_with_its_order(
    game, loss, rule, rates, rounds, order, largest
):
    sizes = largest / 2.0 ** np.arange(3)
    errors = errors_of_orders(rule, game, loss, rates, rounds, order, sizes, 2.0, np.array([0.5, 0.8]))
    slopes = np.log2(errors[:, -2] / errors[:, -1])
    np.testing.assert_allclose(slopes, np.arange(1, order + 1), rtol=0, atol=SLOPE)


# Drifts, and the regularizer that they are.


def parts(field, y):
    """(player, other) to the derivative of the player's velocity along the other's motion, in the other alone."""
    velocity = field(0.0, y)

    def along(player, other):
        def own(part):
            return getattr(field(0.0, eqx.tree_at(lambda z: getattr(z, other), y, part)), player)

        return jax.jvp(own, (getattr(y, other),), (getattr(velocity, other),))[1]

    names = ("discriminator", "generator")
    return {(player, other): float(along(player, other)) for player in names for other in names}


D, G = "discriminator", "generator"


@pytest.mark.parametrize(
    ("rule", "rates", "own", "turned"),
    [
        (updates.Simultaneous, (1.0, 1.0), (1.0, 1.0), 1.0),
        (updates.Simultaneous, (1.0, 3.0), (1.0, 1.0), 1.0),
        (updates.Alternating, (1.0, 1.0), (1.0, 1.0), -1.0),
        (
            lambda h: updates.Alternating(h, discriminator_steps=2, generator_steps=3),
            (1 / 2, 1 / 3),
            (1 / 2, 1 / 3),
            -1.0,
        ),
    ],
    ids=["simultaneous", "simultaneous_rates_1_3", "alternating", "alternating_2_3"],
)
def test_the_parts_of_the_drift_are_those_of_rosca_and_others(rule, rates, own, turned):
    # Theorems 3.1 and 3.2 with one clock; m steps of a round have size h / m each, which here the rates bring about.
    h, y, field = 0.2, players(0.5, 1.2), game_field("linear_quadratic", "minimax", rates)
    counted = field if turned > 0 else game_field("linear_quadratic", "minimax")
    of = parts(counted, y)

    @eqx.filter_jit
    def drifts(field, h):
        kinds = backward_error.drift, backward_error.self_drift, backward_error.interaction_drift
        return [kind(rule, field, h)(0.0, y) for kind in kinds]

    total, alone, together = map(flat, drifts(field, jnp.asarray(h)))
    np.testing.assert_allclose(alone, [-h / 2 * own[0] * of[D, D], -h / 2 * own[1] * of[G, G]], rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(together, [-h / 2 * of[D, G], -h / 2 * turned * of[G, D]], rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(total, alone + together, rtol=0, atol=ROUNDING)
    assert min(abs(value) for value in of.values()) > 1e-2


@pytest.mark.parametrize("game", GAMES)
def test_simultaneous_steps_play_the_value_with_the_gradient_norms_as_regularizers(game):
    # V - (h/4) |V_D|^2 + (h/4) |V_G|^2, for both players.
    h, y, field = 0.2, players(0.5, 1.2), game_field(game, "minimax")

    def modified_value(y):
        # The value is minus the discriminator's loss.
        slopes = jax.grad(lambda z: -field.game.losses(z, None).discriminator)(y)
        return -h / 4 * slopes.discriminator**2 + h / 4 * slopes.generator**2

    up = jax.grad(modified_value)(y)
    found = jax.jit(backward_error.drift(updates.Simultaneous, field, h).__call__)(0.0, y)
    np.testing.assert_allclose(flat(found), [up.discriminator, -up.generator], rtol=0, atol=ROUNDING)


@pytest.mark.parametrize(("rule", "sign"), [(updates.Simultaneous, -1), (updates.Alternating, 1)])
def test_the_interaction_drift_of_the_generator_is_the_gradient_norm_of_weight_h_over_4(rule, sign):
    h, y, field = 0.2, players(0.5, 1.2), game_field("linear_quadratic", "minimax")
    penalized = fields.GameField(regularizers.Penalized(field.game, regularizers.GradientNorm(h / 4)))
    added = penalized(0.0, y).generator - field(0.0, y).generator
    drift = eqx.filter_jit(backward_error.interaction_drift(rule, field, h))(0.0, y).generator
    np.testing.assert_allclose(drift, sign * added, rtol=0, atol=ROUNDING)
    assert abs(float(added)) > 1e-3


def test_the_drift_of_a_network_is_minus_half_the_velocitys_change_along_itself():
    game, h = gan(losses.NonSaturating()), 0.1
    field, batch = fields.GameField(game), game.sample(jax.random.key(1), 4)
    drift = backward_error.drift(updates.Simultaneous, field, h)

    @jax.jit
    def both(y):
        along = jax.jvp(lambda z: field(0.0, z, batch), (y,), (field(0.0, y, batch),))[1]
        return drift(0.0, y, batch), along

    found, along = both(game.players)
    np.testing.assert_allclose(flat(found), -h / 2 * flat(along), rtol=0, atol=ROUNDING)


# The exact linear part.

EQUILIBRIUM = players(0.0, 1.0)


def damped(eta, loss="wasserstein"):
    game = games.LinearQuadratic(LOSSES[loss].make())
    return fields.GameField(regularizers.Penalized(game, regularizers.GradientNorm(eta)))


def closed_jacobian(loss, eta):
    if loss == "wasserstein":
        return np.array([[0, -2 / 3], [2 / 3, -8 * eta / 9]])
    return np.array([[-1 / 10, -1 / 3], [1 / 3 - eta / 15, -2 * eta / 9]])


def closed_step(rule, jacobian, h):
    (p, q), (r, s) = jacobian
    if rule is updates.Simultaneous:
        return np.eye(2) + h * jacobian
    if rule is updates.Extragradient:
        return np.eye(2) + h * jacobian + h**2 * jacobian @ jacobian
    return np.array([[1, 0], [h * r, 1 + h * s]]) @ np.array([[1 + h * p, h * q], [0, 1]])


@pytest.mark.parametrize("rule", [updates.Simultaneous, updates.Alternating, updates.Extragradient])
# At eta = 3/2 the eigenvalue of the Wasserstein GAN is double, with one eigenvector.
@pytest.mark.parametrize(("loss", "eta"), [("wasserstein", 0.0), ("wasserstein", 1.5), ("minimax", 0.5)])
def test_the_modified_jacobian_is_the_logarithm_of_the_closed_step(rule, loss, eta):
    for h in (0.05, 0.3, 0.7):
        expected = scipy.linalg.logm(closed_step(rule, closed_jacobian(loss, eta), h)) / h
        found = backward_error.modified_jacobian(rule, damped(eta, loss), EQUILIBRIUM, step_size=h)
        # Of SciPy, at the double eigenvalue; otherwise 2e-14.
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7 if eta == 1.5 else ROUNDING)


def test_the_jacobian_of_the_modified_field_agrees_with_the_exact_one_to_its_order():
    field, sizes = damped(0.5), np.array([0.08, 0.04])
    terms = backward_error.modified_terms(updates.Alternating, field, order=4)
    numbers, back = ravel_pytree(EQUILIBRIUM)

    @jax.jit
    def jacobians(x):
        return jnp.stack(jax.jacfwd(lambda x: [ravel_pytree(term)[0] for term in terms(0.0, back(x))])(x))

    summands = np.asarray(jacobians(numbers)) * sizes[:, None, None, None] ** np.arange(4)[:, None, None]
    exact = [
        backward_error.modified_jacobian(updates.Alternating, field, EQUILIBRIUM, step_size=h)
        for h in jnp.asarray(sizes)
    ]
    errors = np.linalg.norm(np.cumsum(summands, axis=1) - np.stack(exact)[:, None], axis=(-2, -1))
    np.testing.assert_allclose(np.log2(errors[0] / errors[1]), [1, 2, 3, 4], rtol=0, atol=SLOPE)


def test_the_gradient_of_a_growth_rate_is_that_of_the_closed_form():
    # The trace of the logarithm is that of det(1 + hJ) = 1 - 8 eta h / 9 + 4 h^2 / 9.
    h, eta = 0.3, 0.5

    def growth(eta):
        return jnp.trace(backward_error.modified_jacobian(updates.Simultaneous, damped(eta), EQUILIBRIUM, step_size=h))

    value, slope = jax.jit(jax.value_and_grad(growth))(eta)
    determinant = 1 - 8 * eta * h / 9 + 4 * h**2 / 9
    np.testing.assert_allclose(value, np.log(determinant) / h, rtol=1e-12)
    np.testing.assert_allclose(slope, -8 / 9 / determinant, rtol=1e-11)


@pytest.mark.parametrize("h", [1.0, 1.5])
def test_a_multiplier_that_is_zero_or_negative_has_no_real_logarithm(h):
    def shrink(t, y, args):
        return -y

    with pytest.raises(ValueError, match=f"`step_size` must be small enough .* but is {h} with the multipliers"):
        backward_error.modified_jacobian(updates.Simultaneous, shrink, jnp.ones(2), step_size=h)
    traced = eqx.filter_jit(
        lambda h: backward_error.modified_jacobian(updates.Simultaneous, shrink, jnp.ones(2), step_size=h)
    )
    np.testing.assert_allclose(traced(jnp.array(0.5)), np.log(0.5) / 0.5 * np.eye(2), rtol=1e-13)
    with pytest.raises(RuntimeError, match="`step_size` must be small enough"):
        jax.block_until_ready(traced(jnp.array(h)))


# It is a field like any other.


def test_an_equilibrium_stays_and_its_eigenvalues_move_as_the_series_says():
    h, field = 0.2, damped(0.5)
    modified = backward_error.modified_field(updates.Simultaneous, field, h, order=2)
    found = analysis.find_equilibrium(modified, players(0.1, 1.1))
    np.testing.assert_allclose(flat(found.y), [0, 1], rtol=0, atol=1e-10)
    eigenvalue = -2 / 9 + 2j / 9 * np.sqrt(8)
    np.testing.assert_allclose(
        analysis.spectrum(modified, EQUILIBRIUM)[0], eigenvalue - h * eigenvalue**2 / 2, rtol=1e-12
    )


def test_a_flow_of_modified_fields_is_swept_over_step_sizes_and_differentiated_in_the_weight():
    ts, sizes = jnp.array([0.0, 1.0]), jnp.array([0.05, 0.2])

    @jax.jit
    def ends(eta):
        def end(h):
            modified = backward_error.modified_field(updates.Simultaneous, damped(eta), h)
            return flow(modified, players(0.5, 1.2), ts, rtol=1e-10, adjoint=diffrax.ForwardMode()).ys.generator[-1]

        return jax.vmap(end)(sizes)

    slopes = jax.jit(jax.jacfwd(ends))(0.5)
    step = 1e-4
    differences = (ends(0.5 + step) - ends(0.5 - step)) / (2 * step)
    np.testing.assert_allclose(slopes, differences, rtol=0, atol=1e-7)
    assert abs(float(slopes[0] - slopes[1])) > 1e-3


def test_convergence_takes_the_modified_field_of_each_step_size():
    # The same orders as above, through `flow`.
    field = game_field("linear_quadratic", "wasserstein")

    def modified(h):
        return backward_error.modified_field(updates.Simultaneous, field, h, order=2)

    sizes, y0 = np.array([0.125, 0.0625, 0.03125]), players(0.5, 0.8)
    found = analysis.convergence(updates.Simultaneous, field, y0, 2.0, sizes, reference_at=modified)
    np.testing.assert_allclose(found.order, 2, rtol=0, atol=SLOPE)
    with pytest.raises(ValueError, match="`reference` and `reference_at` must not both be given"):
        analysis.convergence(
            updates.Simultaneous, field, y0, 2.0, sizes, reference=modified(0.1), reference_at=modified
        )


def test_reverse_mode_goes_through_the_field():
    def size(eta):
        modified = backward_error.modified_field(updates.Alternating, damped(eta), 0.2)
        return modified(0.0, players(0.5, 1.2)).generator

    backward, forward = jax.jit(lambda eta: (jax.grad(size)(eta), jax.jacfwd(size)(eta)))(0.5)
    np.testing.assert_allclose(backward, forward, rtol=1e-12)


def test_the_states_dtype_decides():
    y = players(0.5, 1.2)
    velocity = jax.jit(
        backward_error.modified_field(updates.Alternating, game_field("dirac", "minimax"), 0.1, 3).__call__
    )
    wide, narrow = velocity(0.0, y), velocity(0.0, players(0.5, 1.2, jnp.float32))
    assert {leaf.dtype for leaf in jax.tree.leaves(narrow)} == {jnp.dtype(jnp.float32)}
    # Some ten roundings of 6e-8.
    np.testing.assert_allclose(flat(narrow), flat(wide), rtol=0, atol=2e-6)
    single = backward_error.modified_jacobian(
        updates.Simultaneous,
        game_field("linear_quadratic", "minimax"),
        players(0.0, 1.0, jnp.float32),
        step_size=0.1,
    )
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(
        single, scipy.linalg.logm(np.eye(2) + 0.1 * closed_jacobian("minimax", 0)) / 0.1, rtol=0, atol=2e-5
    )


def test_a_users_update_has_a_modified_field():
    class Halves(updates.AbstractUpdate):
        step_size: float

        def init(self, field, y, args):
            return None

        def step(self, field, t, y, args, memory):
            for _ in range(2):
                y = y + self.step_size / 2 * field(t, y, args)
            return y, None

    # Of y' = -y: two steps of half the size halve the drift, -F'F/2 = -y/2.
    terms = backward_error.modified_terms(Halves, lambda t, y, args: -y)(0.0, jnp.ones(()))
    np.testing.assert_allclose(terms, [-1, -0.25], rtol=1e-14)


# What is refused.


def sgd(h):
    return updates.Optax(optax.sgd(h), optax.sgd(h), step_size=h)


def momentum(h):
    return updates.Optax(optax.sgd(h, momentum=0.9), optax.sgd(h), step_size=h)


def adam(h):
    return updates.Optax(optax.adam(h), optax.adam(h), step_size=h)


@pytest.mark.parametrize("rule", [updates.Optimistic, momentum, adam])
def test_a_rule_with_memory_is_refused(rule):
    modified = backward_error.modified_field(rule, game_field("dirac", "wasserstein"), 0.1)
    with pytest.raises(ValueError, match=r"`update` must be a map of the state alone, but .* has memory"):
        modified(0.0, players(0.5, 1.2))


def test_a_rule_that_does_not_move_by_its_step_size_is_refused():
    field, y = game_field("dirac", "wasserstein"), players(0.5, 1.2)
    message = "`update` must step by its `step_size`, but the step of Optax does not .* take `updates.Simultaneous`"
    for make in (backward_error.modified_field, backward_error.drift, backward_error.interaction_drift):
        with pytest.raises(ValueError, match=message):
            make(sgd, field, 0.1)(0.0, y)
    with pytest.raises(ValueError, match=message):
        backward_error.modified_jacobian(sgd, field, y, step_size=0.1)


class Static(updates.AbstractUpdate):
    step_size: float = eqx.field(static=True)

    def init(self, field, y, args):
        return None

    def step(self, field, t, y, args, memory):
        return y + self.step_size * field(t, y, args), None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: backward_error.modified_field(updates.Simultaneous(0.1), f, 0.1), "`update` must make a rule from"),
        (lambda f: backward_error.modified_field(lambda h: h, f, 0.1), "`update` must return a rule from"),
        (lambda f: backward_error.modified_field(lambda h: Static(0.1), f, 0.1), "`update` must store its `step_size`"),
        (
            lambda f: backward_error.modified_field(updates.Simultaneous, f, 0.0),
            "`step_size` must be above 0 .* is 0.0",
        ),
        (lambda f: backward_error.modified_field(updates.Simultaneous, f, 0.1, 0), "`order` must be at least 1"),
        (lambda f: backward_error.modified_terms(updates.Simultaneous, f, 1.5), "`order` must be a whole number"),
        (lambda f: backward_error.drift(updates.Simultaneous, f, 0.1, 1), "`order` must be at least 2"),
        (lambda f: backward_error.self_drift(updates.Simultaneous, f, -1.0), "`step_size` must be above 0"),
    ],
)
def test_what_cannot_work_is_refused(make, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        make(game_field("dirac", "wasserstein"))
