"""What an equilibrium is to the players, by closed forms."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from gan_ode import analysis, fields, games, losses, regularizers, updates
from gan_ode.analysis.optimality import _curvatures
from gan_ode.games import Players
from tests.catalogue import players

# Second derivatives of polynomials, and eigenvalues of two by two matrices; measured 6e-16.
ROUNDING = 1e-12
# Krylov eigenvalues at a tolerance of 1e-8, and GMRES at 1.5e-8; measured 2e-9.
KRYLOV = 1e-6

ORIGIN = players(0.0, 0.0)


class Quadratic(games.AbstractGame):
    """V = a x^2/2 + b y^2/2 + c x y, which the generator x minimizes and the discriminator y maximizes."""

    coefficients: jax.Array

    def losses(self, y, args):
        a, b, c = self.coefficients
        x, y = y.generator, y.discriminator
        value = a * x**2 / 2 + b * y**2 / 2 + c * x * y
        return Players(-value, value)


def quadratic(a, b, c, rates=None):
    return fields.GameField(Quadratic(jnp.array([a, b, c])), rates)


# Of V = a x^2/2 + b y^2/2 + c x y: stable for b < a and a b < c^2, Nash for b < 0 < a, min-max for b < 0 and
# a > c^2/b.
VERDICTS = {
    "of Daskalakis and Panageas": ((-0.25, -1.0, 0.6), (True, False, True)),
    "nash": ((0.25, -1.0, 0.6), (True, True, True)),
    "unstable though nash to one": ((0.5, 1.0, 0.2), (False, False, False)),
    "too much curvature against the generator": ((-0.5, -1.0, 0.6), (False, False, False)),
    "min-max and unstable": ((-2.0, -1.0, 2.0), (False, False, True)),
    "stable and no min-max": ((1.5, 0.25, 1.0), (True, False, False)),
    "bilinear": ((0.0, 0.0, 1.0), (None, None, None)),
    "flat generator": ((0.0, -1.0, 1.0), (True, None, True)),
    "flat answer": ((0.36, -1.0, 0.0), (True, True, True)),
    "on the border of min-max": ((-0.36, -1.0, 0.6), (None, False, None)),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_the_kind_of_a_quadratic_point_is_its_closed_form(name):
    (a, b, c), (stable, nash, min_max) = VERDICTS[name]
    found = analysis.optimality(quadratic(a, b, c), ORIGIN)
    assert (found.stable, found.local_nash, found.local_min_max) == (stable, nash, min_max)
    assert found.stackelberg == found.local_min_max
    assert found.curvatures.leader.smallest == pytest.approx(a, abs=ROUNDING)
    assert found.curvatures.follower.smallest == pytest.approx(-b, abs=ROUNDING)
    if b < 0:
        assert found.curvatures.reduced.smallest == pytest.approx(a - c**2 / b, abs=ROUNDING)
    assert found.abscissa == pytest.approx(np.linalg.eigvals([[b, c], [-c, -a]]).real.max(), abs=1e-7)


def test_rates_change_stability_but_not_the_kind_of_point():
    # J = [[r b, r c], [-c, -a]]: its trace r b - a changes sign at r = 0.25.
    for rate, stable in ((1.0, True), (0.2, False)):
        found = analysis.optimality(quadratic(-0.25, -1.0, 0.6, Players(rate, 1.0)), ORIGIN)
        assert (found.stable, found.local_nash, found.local_min_max) == (stable, False, True)


def test_in_single_precision_the_answers_are_the_same():
    single = players(0.0, 0.0, jnp.float32)
    field = fields.GameField(Quadratic(jnp.array([-0.25, -1.0, 0.6], jnp.float32)))
    found = analysis.optimality(field, single, update=updates.Simultaneous(0.1))
    assert (found.stable, found.stable_for_update) == (True, True)
    assert (found.local_nash, found.local_min_max) == (False, True)
    bilinear = fields.GameField(games.Bilinear(jnp.eye(1, dtype=jnp.float32)))
    assert analysis.optimality(bilinear, players([0.0], [0.0], jnp.float32)).local_nash is None


def test_who_leads_makes_a_difference():
    # max-min: x answers, so its own curvature has to be above zero, and -b + ... of the other.
    field = quadratic(-0.25, -1.0, 0.6)
    assert analysis.optimality(field, ORIGIN, leader="generator").local_min_max is True
    assert analysis.optimality(field, ORIGIN, leader="discriminator").local_min_max is False


def test_an_update_is_asked_beside_the_flow():
    # Simultaneous steps are stable up to -2 Re l / |l|^2, and competitive ones beyond: by their spectral radius.
    field = quadratic(-0.25, -1.0, 0.6)
    eigenvalue = np.linalg.eigvals([[-1.0, 0.6], [-0.6, 0.25]])
    for h in (0.5, 3.0):
        found = analysis.optimality(field, ORIGIN, update=updates.Simultaneous(h))
        assert found.radius == pytest.approx(np.abs(1 + h * eigenvalue).max(), abs=ROUNDING)
        assert found.stable_for_update == (found.radius < 1)
    neutral = analysis.optimality(quadratic(0.0, 0.0, 1.0), ORIGIN, update=updates.Alternating(0.5))
    assert neutral.stable_for_update is None


def test_the_text_says_who_could_gain():
    text = analysis.optimality(quadratic(-0.25, -1.0, 0.6), ORIGIN, update=updates.Simultaneous(0.1)).text
    assert text == (
        "stable for the flow; stable for the update; no local Nash equilibrium, since the generator can gain alone; "
        "a local min-max point; a Stackelberg equilibrium"
    )
    assert "some curvature of the discriminator and of the generator is zero" in (
        analysis.optimality(quadratic(0.0, 0.0, 1.0), ORIGIN).text
    )


# GANs.


def test_the_linear_quadratic_gan_is_min_max_and_nash_is_left_open_since_the_generator_is_flat():
    # J = [[-1/10, -1/3], [1/3, 0]]: the reduced curvature is (1/3)^2 / (1/10).
    found = analysis.optimality(fields.GameField(games.LinearQuadratic(losses.Minimax())), players(0.0, 1.0))
    assert (found.stable, found.local_nash, found.local_min_max) == (True, None, True)
    assert found.curvatures.reduced.smallest == pytest.approx(10 / 9, abs=ROUNDING)


def test_of_a_dirac_gan_all_is_undecided_and_r1_makes_it_min_max():
    game = games.Dirac(losses.Minimax())
    plain = analysis.optimality(fields.GameField(game), game.equilibrium)
    assert (plain.stable, plain.local_nash, plain.local_min_max) == (None, None, None)
    penalized = fields.GameField(regularizers.Penalized(game, regularizers.R1(0.3)))
    found = analysis.optimality(penalized, game.equilibrium)
    assert (found.stable, found.local_nash, found.local_min_max) == (True, None, True)
    # 1/4 over the discriminator's curvature g.
    assert found.curvatures.reduced.smallest == pytest.approx(1 / 4 / 0.3, abs=ROUNDING)


def test_of_an_adjusted_field_the_stability_is_its_own_and_the_rest_is_the_games():
    field = regularizers.Adjusted(quadratic(-2.0, -1.0, 2.0), regularizers.Consensus(0.5))
    found = analysis.optimality(field, ORIGIN)
    # J - g J^T J, by hand.
    jacobian = np.array([[-1.0, 2.0], [-2.0, 2.0]])
    expected = np.linalg.eigvals(jacobian - 0.5 * jacobian.T @ jacobian).real.max()
    assert found.abscissa == pytest.approx(expected, abs=1e-7)
    assert found.stable is True
    assert (found.local_nash, found.local_min_max) == (False, True)
    assert analysis.optimality(quadratic(-2.0, -1.0, 2.0), ORIGIN).stable is False


def test_where_only_the_adjustment_makes_an_equilibrium_the_players_have_none():
    # F'^T F vanishes, and F does not: x^3/3 + x has no critical point, but F' = -2 x does.
    def value(y, args):
        x, d = y.generator, y.discriminator
        return Players(d**2 / 2, x**3 / 3 + x)

    class Flow(eqx.Module):
        field: fields.GameField

        def __call__(self, t, y, args):
            velocity, back = jax.vjp(lambda y: self.field(t, y, args), y)
            return jax.tree.map(jnp.negative, back(velocity)[0])

    found = analysis.optimality(Flow(fields.GameField(games.FromLosses(value))), ORIGIN)
    assert (found.local_nash, found.local_min_max, found.stackelberg) == (False, False, False)
    assert "no critical point of the players' own losses" in found.text


# Games that are not zero-sum.


class Led(games.AbstractGame):
    """The discriminator answers by a x + b x^2/2, and the generator x pays p x^2/2 + q x z + m z of the answer z."""

    coefficients: jax.Array

    def losses(self, y, args):
        a, b, p, q, m = self.coefficients
        x, z = y.generator, y.discriminator
        return Players(z**2 / 2 - z * (a * x + b * x**2 / 2), p * x**2 / 2 + q * x * z + m * z)


@pytest.mark.parametrize(
    ("coefficients", "stackelberg"),
    [
        # The total second derivative is p + 2 q a + m b, and the first m a.
        ((1.0, 0.0, -1.0, 0.8, 0.0), True),
        ((1.0, 0.0, -1.0, 0.3, 0.0), False),
        ((0.0, 3.0, -1.0, 0.0, 1.0), True),
        ((0.0, 0.5, -1.0, 0.0, 1.0), False),
        ((1.0, 0.0, 1.0, 0.0, 1.0), False),
        ((1.0, 0.0, -1.0, 0.5, 0.0), None),
    ],
)
def test_a_leader_in_any_game_is_asked_by_the_total_derivatives_of_its_loss(coefficients, stackelberg):
    found = analysis.optimality(fields.GameField(Led(jnp.array(coefficients))), ORIGIN)
    assert found.stackelberg is stackelberg
    assert not found.curvatures.zero_sum
    assert found.local_min_max is None
    assert found.local_nash == (coefficients[2] > 0)


# Without matrices.


def test_by_products_alone_the_curvatures_are_those_of_dense_matrices(monkeypatch):
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(30, 30)), rng.normal(size=(20, 20))
    own_d, own_g = -(first @ first.T) / 30 - np.eye(30), (second + second.T) / 4
    mixed = rng.normal(size=(30, 20))

    def field(t, y, args):
        d, g = y.discriminator["w"], y.generator
        return Players({"w": own_d @ d + mixed @ g}, -own_g @ g - mixed.T @ d)

    y = Players({"w": jnp.zeros(30)}, jnp.zeros(20))
    monkeypatch.setattr(_curvatures, "MOST_DENSE", 10)
    found = analysis.optimality(field, y)
    assert found.curvatures.follower.smallest == pytest.approx(-np.linalg.eigvalsh(own_d)[-1], abs=KRYLOV)
    assert found.curvatures.leader.smallest == pytest.approx(np.linalg.eigvalsh(own_g)[0], abs=KRYLOV)
    reduced = np.linalg.eigvalsh(own_g - mixed.T @ np.linalg.solve(own_d, mixed))[0]
    assert found.curvatures.zero_sum
    assert found.curvatures.reduced.smallest == pytest.approx(reduced, abs=KRYLOV)
    jacobian = np.block([[own_d, mixed], [-mixed.T, -own_g]])
    assert found.abscissa == pytest.approx(np.linalg.eigvals(jacobian).real.max(), abs=KRYLOV)
    assert (found.local_nash, found.local_min_max) == (False, bool(reduced > 0))


def test_by_products_alone_a_game_that_is_not_zero_sum_is_seen(monkeypatch):
    mixed = np.random.default_rng(0).normal(size=(6, 6))

    def field(t, y, args):
        return Players(-y.discriminator + mixed @ y.generator, -y.generator - mixed @ y.discriminator)

    monkeypatch.setattr(_curvatures, "MOST_DENSE", 4)
    found = analysis.optimality(field, players(np.zeros(6), np.zeros(6)))
    assert (found.local_nash, found.local_min_max, found.stackelberg) == (True, None, None)
    assert "since the game is not zero-sum there" in found.text


# Errors.


def test_what_cannot_be_asked_is_refused(monkeypatch):
    field = quadratic(0.25, -1.0, 0.6)
    with pytest.raises(ValueError, match="`y` must be an equilibrium"):
        analysis.optimality(field, players(1.0, 0.0))
    with pytest.raises(ValueError, match=r"`y` must be `games.Players`, but is"):
        analysis.optimality(lambda t, y, args: -y, jnp.zeros(2))
    with monkeypatch.context() as patch:
        patch.setattr(jaxtyping.config, "jaxtyping_disable", True)
        with pytest.raises(ValueError, match="`leader` must be one of 'discriminator', 'generator', but is 'both'"):
            analysis.optimality(field, ORIGIN, leader="both")
    with pytest.raises(ValueError, match="`y` must be concrete"):
        jax.jit(lambda x: analysis.optimality(field, Players(x, x)).abscissa)(jnp.array(0.0))


def test_an_equilibrium_that_was_found_stands_for_its_state():
    field = quadratic(0.25, -1.0, 0.6)
    equilibrium = analysis.find_equilibrium(field, players(0.1, 0.2))
    assert analysis.optimality(field, equilibrium, update=updates.SolverStep(diffrax.Heun(), 0.1)).local_nash is True
