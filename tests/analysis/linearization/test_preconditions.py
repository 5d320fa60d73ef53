"""What linear statements need: an equilibrium of a field without explicit time, finite and smooth."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_ode import distributions, fields, games, losses, regularizers
from gan_ode.analysis.linearization import _preconditions as preconditions
from gan_ode.games import Players


def of(velocity):
    return lambda t, y, args: velocity(y)


def plane(first, second):
    """A field in the plane, of two functions of both coordinates."""
    return lambda t, y, args: jnp.stack([first(*y), second(*y)])


def dirac(loss, *penalties):
    game = games.Dirac(loss)
    for penalty in penalties:
        game = regularizers.Penalized(game, penalty)
    return fields.GameField(game)


def players(discriminator, generator):
    return Players(jnp.asarray(discriminator), jnp.asarray(generator))


def state(y, dtype=jnp.float64):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), y if isinstance(y, Players) else jnp.asarray(y))


def flags(field, y, **options):
    seen = preconditions.inspect(field, state(y, options.pop("dtype", jnp.float64)), **options)
    return {need: bool(getattr(seen, need)) for need in preconditions.ALL}


def lacks(field, y, **options):
    return {need for need, holds in flags(field, y, **options).items() if not holds}


LQ = fields.GameField(games.LinearQuadratic(losses.Minimax()))
CIRCLE = of(lambda y: (1 - jnp.sum(jnp.square(y))) * y)

EQUILIBRIA = {
    "a sink": (of(lambda y: -y), [0.0]),
    "a degenerate one of third order": (of(lambda y: -(y**3)), [0.0]),
    "a degenerate one of fourth order, of which no side attracts": (of(lambda y: y**4), [0.0]),
    "one of third order, in a form that loses digits": (of(lambda y: y**3 - 3 * y**2 + 3 * y - 1), [1.0]),
    "one of fifth order, found as well as it can be": (of(lambda y: -((y - 1) ** 5)), [1 + 1e-7]),
    "a fold, met from one side": (of(lambda y: y**2), [1e-9]),
    "one of a field that is nowhere else than zero": (of(jnp.zeros_like), [0.3, -2.0]),
    "one on a circle of them": (CIRCLE, [np.cos(0.4), np.sin(0.4)]),
    "one on a circle of them, where a row of the Jacobian vanishes": (CIRCLE, [1.0 + 1e-9, 0.0]),
    "one on a line of them": (plane(lambda x, y: -x, lambda x, y: 0 * y), [0.0, 5.0]),
    "one that is found to nine digits": (of(lambda y: jnp.sin(y - 1.3)), [1.3 + 1e-9]),
    "one with a component that is large and constant": (
        plane(lambda p, x: 0 * p, lambda p, x: p - 1e6 * x),
        [1e6, 1.0],
    ),
    "one far out on a periodic axis": (of(lambda y: -jnp.sin(y)), [200_000 * np.pi]),
    "one where velocities are tiny": (of(lambda y: -1e-9 * y), [0.0]),
    "one of a stiff field": (plane(lambda x, y: -1e7 * (x - y), lambda x, y: -1e-3 * (y - 0.1)), [0.1, 0.1]),
    "one where rounding leaves a velocity": (of(lambda y: (1e5 + y) - 1e5 - 0.3), [0.3]),
    "one where a square root is near": (of(lambda y: jnp.sqrt(y) - 1e-2), [1e-4]),
    "one of the linear-quadratic GAN": (LQ, players(0.0, 1.0)),
    "one of the Dirac-GAN": (dirac(losses.Minimax()), players(0.0, 0.0)),
    "one of the Dirac-GAN with a penalty": (
        dirac(losses.Wasserstein(), regularizers.GradientNorm(0.3)),
        players(0.0, 0.0),
    ),
    "one with a derivative but no second one": (of(lambda y: -y * jnp.abs(y)), [0.0]),
    "one a millionth off a kink": (of(lambda y: jnp.where(y > 1e-6, -2 * y + 1e-6, -y)), [0.0]),
}


@pytest.mark.parametrize("name", EQUILIBRIA)
def test_equilibria_of_smooth_fields_have_all_that_linear_statements_need(name):
    field, y = EQUILIBRIA[name]
    assert lacks(field, y) == set()


@pytest.mark.parametrize(
    ("field", "y"),
    [
        (of(lambda y: -jnp.sin(y - 1)), [1.0]),
        (of(lambda y: -(y**3)), [0.0]),
        (of(lambda y: y**3 - 3 * y**2 + 3 * y - 1), [1.0]),
        (CIRCLE, [np.cos(0.4), np.sin(0.4)]),
        (plane(lambda p, x: 0 * p, lambda p, x: p - 1e6 * x), [1e6, 1.0]),
        (LQ, Players(0.0, 1.0)),
        (LQ, Players(1e-6, 1.0)),
    ],
)
def test_equilibria_in_single_precision_have_them_too(field, y):
    assert lacks(field, y, dtype=jnp.float32) == set()


NO_EQUILIBRIA = {
    "the least velocity of a field without zeros": (of(lambda y: y**2 + 1e-10), [0.0]),
    "the least velocity past a fold": (plane(lambda x, y: 1e-8 + x**2, lambda x, y: -y), [0.0, 0.0]),
    "a place where all is slow": (of(lambda y: 1e-10 + 0 * y), [0.0]),
    "a place of slow decay": (of(lambda y: -1e-7 * y), [1.0]),
    "a slow manifold": (plane(lambda x, y: -1e4 * x, lambda x, y: -1e-6 * (y - 1)), [0.0, 0.5]),
    "a place beside a large constant": (plane(lambda p, x: 0 * p, lambda p, x: p - 1e6 - x), [1e6, 1e-3]),
    "a place beside a zero": (of(lambda y: -y), [1e-6]),
    "a ghost of the linear-quadratic GAN": (LQ, players(0.0, 1.6)),
    "the least velocity of the linear-quadratic GAN": (LQ, players(0.0, 0.0)),
}


@pytest.mark.parametrize("name", NO_EQUILIBRIA)
def test_slow_places_are_no_equilibria(name):
    field, y = NO_EQUILIBRIA[name]
    assert lacks(field, y) == {"still"}


def mlp(y):
    """A network with a kink at each zero of four units, and the state as its weights and biases."""
    weights, biases = y[:4], y[4:]
    hidden = jax.nn.relu(weights * jnp.asarray([0.3, -1.2, 0.7, 2.0]) + biases)
    return jnp.concatenate([jnp.sin(hidden) - weights, hidden**2 - hidden - biases])


ROUGH = {
    "a penalty on a slope, where the slope is 0": (
        dirac(losses.Wasserstein(), regularizers.WGANGP(0.7, 1.0)),
        players(0.0, 0.0),
    ),
    "the same with a loss that bends": (dirac(losses.Minimax(), regularizers.WGANGP(0.3, 0.5)), players(0.0, 0.0)),
    "a hinge, at a score of 1": (dirac(losses.Hinge()), players(2.0, 0.5)),
    "a kink": (of(lambda y: -jnp.maximum(y, 0)), [0.0]),
    "a slight kink": (of(lambda y: -y + 0.01 * jnp.abs(y)), [0.0]),
    "a kink beside fast motion": (plane(lambda x, y: -1e5 * x, lambda x, y: -y + 0.1 * jnp.abs(y)), [0.0, 0.0]),
    "a kink away from zero": (of(lambda y: -jnp.clip(y - 3, -1, 0.0)), [3.0]),
    "a clipped step": (of(lambda y: jnp.clip(-5 * y, -1, 1)), [0.2]),
    "a jump": (of(lambda y: -jnp.sign(y)), [0.0]),
    "a jump away from zero": (of(lambda y: -jnp.sign(y - 0.7) - y), [0.7]),
    "a jump whose middle is passed by": (of(lambda y: jnp.where(y > 0.7, -1.0, 1.0)), [0.7]),
    "a jump a hair away": (of(lambda y: -jnp.sign(y)), [1e-12]),
    "a kink in a cone that no diagonal meets": (
        plane(lambda x, y: -jnp.maximum(0, x - 3 * jnp.abs(y)), lambda x, y: -y),
        [0.0, 0.0],
    ),
    "a kink on the diagonal": (plane(lambda x, y: -jnp.minimum(x, y), lambda x, y: -y), [0.0, 0.0]),
    "a jump between quadrants": (
        plane(lambda x, y: -x * jnp.sign(x * y) + 0.1 * jnp.sign(x * y), lambda x, y: -y),
        [0.0, 0.0],
    ),
    "the length of the state": (of(lambda y: -y - 0.3 * jnp.sqrt(jnp.sum(y**2) + 1e-300)), [0.0, 0.0, 0.0]),
    "an infinite slope": (of(lambda y: -jnp.sign(y) * jnp.sqrt(jnp.abs(y))), [0.0]),
    "units of a network at their kinks": (of(mlp), [0.3, 0.1, -0.2, 0.4, -0.09, 0.12, 0.14, -0.5]),
    "a derivative that is withheld": (of(lambda y: -y + jax.lax.stop_gradient(jnp.sin(y))), [0.0]),
    "rounding to whole numbers": (of(lambda y: jnp.round(y) - y), [0.5]),
}


@pytest.mark.parametrize("name", ROUGH)
def test_jumps_and_kinks_are_seen_at_the_state(name):
    field, y = ROUGH[name]
    assert "smooth" in lacks(field, y)


@pytest.mark.parametrize(
    ("field", "y"),
    [
        (dirac(losses.Wasserstein(), regularizers.WGANGP(0.7, 1.0)), Players(0.0, 0.0)),
        (of(lambda y: -jnp.maximum(y - 0.7, 0)), [0.7]),
        (of(lambda y: -jnp.sign(y - 0.7)), [0.7]),
        (of(mlp), [0.3, 0.1, -0.2, 0.4, -0.09, 0.12, 0.14, -0.5]),
    ],
)
def test_jumps_and_kinks_are_seen_in_single_precision(field, y):
    assert "smooth" in lacks(field, y, dtype=jnp.float32)


SMOOTH = {
    "a network between its kinks": (of(mlp), [0.3, 0.1, -0.2, 0.4, 0.01, 0.02, 0.5, -0.5]),
    "a hinge at another score": (dirac(losses.Hinge()), players(2.0, 0.499)),
    "a penalty on a slope that is not 0": (
        dirac(losses.Wasserstein(), regularizers.WGANGP(0.7, 1.0)),
        players(0.01, 0.3),
    ),
    "a place of motion": (LQ, players(0.4, 1.6)),
    "a place far out": (of(lambda y: jnp.sin(y)), [1e6 + 0.3]),
    "steep exponentials": (of(lambda y: jnp.exp(30 * y) - jnp.exp(-30 * y)), [1.0]),
    "short lengths": (of(lambda y: jnp.tanh(3000 * y) - y), [1e-4]),
    "large velocities that cancel": (of(lambda y: (1e6 + y**2) - 1e6 - y), [0.2]),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_places_are_smooth_also_where_nothing_rests(name):
    field, y = SMOOTH[name]
    assert lacks(field, y) <= {"still"}


def test_a_neural_game_is_smooth_at_its_first_weights():
    keys = jax.random.split(jax.random.key(0), 3)
    made = eqx.nn.MLP(2, "scalar", 32, 1, key=keys[0])
    places = {"data": distributions.Ring(), "latent": distributions.Normal(4)}
    gan = games.GAN(made, eqx.nn.MLP(4, 2, 32, 2, key=keys[1]), losses.Minimax(), **places)
    batch = jax.random.normal(keys[2], (64, 2)), jax.random.normal(keys[0], (64, 4))
    for y, args in ((gan.players, batch), jax.tree.map(lambda leaf: leaf.astype(jnp.float32), (gan.players, batch))):
        seen = preconditions.inspect(fields.GameField(gan), y, args=args)
        assert seen.smooth and seen.finite and seen.autonomous and not seen.still
        # A hidden unit of the discriminator whose weights and bias vanish is at its kink for every point.
        bias = y.discriminator.layers[0].bias
        dead = eqx.tree_at(
            lambda y: (y.discriminator.layers[0].bias, y.discriminator.layers[0].weight),
            y,
            (bias.at[0].set(0), y.discriminator.layers[0].weight.at[0].set(0)),
        )
        assert not preconditions.inspect(fields.GameField(gan), dead, args=args).smooth


def test_in_many_dimensions_a_jump_that_is_only_near_is_none():
    # Across a plane that is closer than a step, but not along one of the directions that are tried.
    size = 64
    one, other = preconditions._directions(size)[:2]
    normal = one - other * (one @ other) / (other @ other)

    def field(t, y, args):
        return -y + jnp.sign(normal @ y - 1e-11) * normal

    assert lacks(field, np.zeros(size)) == {"still"}
    assert "smooth" in lacks(lambda t, y, args: -y + jnp.sign(jnp.ones(size) @ y) * normal, np.zeros(size))


@pytest.mark.parametrize(
    ("velocity", "y"),
    [
        (lambda y: -jnp.sqrt(y), [0.0]),
        (lambda y: y * jnp.log(y) - y, [0.0]),
        (lambda y: 1 / y, [0.0]),
        (lambda y: jnp.where(y < 1, -y, jnp.nan), [1.0]),
        (lambda y: -y, [jnp.nan]),
    ],
)
def test_fields_that_end_at_the_state_are_not_finite_there(velocity, y):
    assert "finite" in lacks(of(velocity), y)


def test_a_jump_rests_only_where_its_two_sides_face_each_other():
    field = dirac(losses.Wasserstein(), regularizers.WGANGP(0.7, 1.0))
    # psi' = theta - 0.7 (|psi| - 1) sign(psi): at theta = -0.7 it vanishes on the side of psi > 0 alone.
    assert lacks(field, players(1e-200, -0.7)) == {"still", "smooth"}
    assert lacks(field, players(0.0, 0.0)) == {"smooth"}
    assert lacks(of(lambda y: jnp.where(y > 0, -1.0, 0.0)), [0.0]) == {"still", "smooth"}
    assert lacks(of(lambda y: jnp.abs(jnp.sign(y))), [0.0]) == {"still", "smooth"}


@pytest.mark.parametrize(
    "field",
    [
        lambda t, y, args: -(y - jnp.tanh(t)),
        lambda t, y, args: -y + 1e-6 * jnp.sin(2 * jnp.pi * t),
        lambda t, y, args: -y * (1 + 0.1 * jnp.cos(t)),
        lambda t, y, args: -y * jnp.where(t < 100, 1.0, 0.1),
        lambda t, y, args: -y * jnp.where(t < 0.5, 1.0, jnp.nan),
        lambda t, y, args: -y / (1 + t),
    ],
)
def test_explicit_time_is_seen_also_where_it_does_not_move_the_equilibrium(field):
    assert lacks(field, [0.0]) == {"autonomous"}


def test_time_that_is_given_is_the_time_that_is_looked_at():
    assert lacks(lambda t, y, args: t - y, [3.0], t=3.0) == {"autonomous"}
    assert lacks(lambda t, y, args: t - y, [3.0], t=2.0) == {"autonomous", "still"}


def test_a_time_that_cancels_is_none():
    assert lacks(lambda t, y, args: -y * (jnp.cos(t) ** 2 + jnp.sin(t) ** 2) + 0 * t, [0.0, 1e-9]) == set()


def test_the_residual_is_the_speed_and_the_speed_near_by_that_of_the_field():
    seen = preconditions.inspect(of(lambda y: -3 * (y - 1)), jnp.asarray([1.4]))
    np.testing.assert_allclose(seen.residual, 1.2, rtol=1e-14)
    np.testing.assert_allclose(seen.speed_nearby, 1.2, rtol=1e-3)
    at_rest = preconditions.inspect(of(lambda y: -3 * y), jnp.zeros(1))
    np.testing.assert_allclose(at_rest.speed_nearby, 3e-4, rtol=1e-6)


@pytest.mark.parametrize(
    ("field", "y", "words"),
    [
        (LQ, players(0.0, 1.6), r"`point` must be an equilibrium, but the velocity there is 0\.\d+.*find_equilibrium"),
        (
            of(lambda y: -jnp.sign(y)),
            jnp.zeros(1),
            r"`point` must be .* smooth, but there the velocity jumps.*check=False",
        ),
        (of(lambda y: -jnp.sqrt(y)), jnp.zeros(1), r"`point` must be .* finite, but"),
        (lambda t, y, args: t - y, jnp.zeros(1), r"`field` must have no explicit time, but .*freeze the time"),
    ],
)
def test_refusals_name_the_argument_the_figure_and_the_remedy(field, y, words):
    with pytest.raises(ValueError, match=words):
        preconditions.require(field, y, name="point")
    assert preconditions.require(field, y, name="point", check=False)
    assert not jax.jit(lambda y: preconditions.require(field, y, name="point"))(y)


def test_only_what_is_needed_is_asked_for():
    assert preconditions.require(LQ, players(0.0, 1.6), needs=preconditions.LINEAR)
    assert preconditions.require(lambda t, y, args: t - y, jnp.zeros(1), needs=("finite", "smooth", "still"))


def test_states_are_inspected_in_rows_and_no_derivative_goes_through():
    rows = players([0.0, 0.0, 0.5], [1.0, 1.6, 1.0])
    np.testing.assert_array_equal(jax.vmap(lambda y: preconditions.require(LQ, y))(rows), [True, False, False])

    def residual(shift):
        return preconditions.inspect(of(lambda y: shift - y), jnp.ones(1)).residual

    assert jax.grad(residual)(3.0) == 0
