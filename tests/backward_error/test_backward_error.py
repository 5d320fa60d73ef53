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

from gan_ode import analysis, backward_error, fields, flow, games, regularizers, updates
from gan_ode.games import Players
from tests.catalogue import dirac_velocity, flat, linear_quadratic_velocity, LOSSES, players

# Some hundred products, weighed by up to 10: measured 3e-15.
ROUNDING = 1e-13
# Central differences of fourth order, step 2e-3, twice nested: measured 4e-12.
FINITE_DIFFERENCE = 1e-10
# Between the two smallest steps the next power still bends the slope: measured 0.045 at most.
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
    ],
    ids=["simultaneous", "extragradient", "heun", "bosh3"],
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


# It is a field like any other.

EQUILIBRIUM = players(0.0, 1.0)


def damped(eta, loss="wasserstein"):
    game = games.LinearQuadratic(LOSSES[loss].make())
    return fields.GameField(regularizers.Penalized(game, regularizers.GradientNorm(eta)))


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

    def ends(eta):
        def end(h):
            modified = backward_error.modified_field(updates.Simultaneous, damped(eta), h)
            return flow(modified, players(0.5, 1.2), ts, rtol=1e-10, adjoint=diffrax.ForwardMode()).ys.generator[-1]

        return jax.vmap(end)(sizes)

    with_slopes, step = jax.jit(lambda eta: jax.jvp(ends, (eta,), (1.0,))), 1e-4
    (above, _), (below, _), (_, slopes) = (with_slopes(0.5 + by) for by in (step, -step, 0.0))
    np.testing.assert_allclose(slopes, (above - below) / (2 * step), rtol=0, atol=1e-7)
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
    with pytest.raises(ValueError, match=r"`rule` must be a map of the state alone, but .* has memory"):
        modified(0.0, players(0.5, 1.2))


def test_a_rule_that_does_not_move_by_its_step_size_is_refused():
    field, y = game_field("dirac", "wasserstein"), players(0.5, 1.2)
    message = "`rule` must step by its `step_size`, but the step of Optax does not .* take `updates.Simultaneous`"
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
        (lambda f: backward_error.modified_field(lambda h: h, f, 0.1), "`rule` must return an update from"),
        (lambda f: backward_error.modified_field(lambda h: Static(0.1), f, 0.1), "`rule` must store its `step_size`"),
        (lambda f: backward_error.modified_field(Static(0.1), f, 0.1), "`rule` must store its `step_size`"),
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


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_a_slightly_negative_multiplier_has_no_logarithm(dtype):
    def field(t, y, args):
        return y * jnp.array([-1.0, -0.1], dtype)

    for h in (1.0005, 1.002, 1.005):
        with pytest.raises(ValueError, match="`step_size` must be small enough"):
            backward_error.modified_jacobian(
                updates.Simultaneous, field, jnp.zeros(2, dtype), step_size=jnp.asarray(h, dtype)
            )


def test_an_update_is_a_rule_whose_step_size_is_replaced():
    field, y = lambda t, y, args: -y, jnp.array([1.0, 2.0])
    modified = backward_error.modified_field(updates.Simultaneous(123.0), field, 0.1, order=2)
    # Of y' = -y the first term is -y/2.
    np.testing.assert_allclose(modified(0.0, y, None), -1.05 * y, rtol=1e-12)
