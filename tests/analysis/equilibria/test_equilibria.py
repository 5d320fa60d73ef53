"""Many equilibria at once: which there are, which are one, of what type, and where they form a continuum."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import pytest

from gan_ode import analysis, distributions, fields, games, losses, regularizers
from gan_ode.games import Players

# Roots are polished to rounding; measured 7e-20 (and 0 for most).
ROOT = 1e-12
# Eigenvalues of matrices of order one, from roots at rounding; measured 2e-15.
EIGENVALUES = 1e-12
# The equilibria that are no simple roots are found to a power of rounding; measured 1e-8 (fifth order).
DEGENERATE_ROOT = 1e-6


def lq_starts(num=12, seed=1):
    rng = np.random.default_rng(seed)
    return Players(jnp.asarray(0.5 * rng.normal(size=num)), jnp.asarray(1.5 * rng.normal(size=num)))


@functools.cache
def lq(name):
    loss = {"JS": losses.Minimax(), "W": losses.Wasserstein()}[name]
    starts = lq_starts()
    # One of them where the velocity is smallest without vanishing.
    starts = Players(starts.discriminator.at[0].set(0.0), starts.generator.at[0].set(0.0))
    return analysis.find_equilibria(fields.GameField(games.LinearQuadratic(loss)), starts)


def of(velocity):
    return lambda t, y, args: velocity(y)


@functools.cache
def plane():
    return jnp.asarray(np.random.default_rng(3).normal(size=(6, 2)))


@pytest.mark.parametrize(("name", "kind"), [("JS", "stable focus"), ("W", "center")])
def test_both_equilibria_of_the_linear_quadratic_gan_are_found_once_and_named(name, kind):
    found = lq(name)
    assert len(found) == 2
    np.testing.assert_allclose(np.sort(found.ys.generator), [-1, 1], rtol=0, atol=ROOT)
    np.testing.assert_allclose(found.ys.discriminator, 0, rtol=0, atol=ROOT)
    assert np.all(np.asarray(found.residuals) < ROOT)
    assert [str(kind) for kind in found.kinds] == [kind, kind]
    assert not any(kind.on_continuum for kind in found.kinds)


@pytest.mark.parametrize("name", ["JS", "W"])
def test_every_equilibrium_comes_with_its_jacobian_and_spectrum(name):
    damping = {"JS": 1 / 10, "W": 0.0}[name]
    swing = {"JS": 1 / 3, "W": 2 / 3}[name]
    for equilibrium in lq(name):
        sign = np.sign(float(equilibrium.y.generator))
        expected = [[-damping, -sign * swing], [sign * swing, 0]]
        np.testing.assert_allclose(equilibrium.jacobian, expected, rtol=0, atol=EIGENVALUES)
        turn = np.sqrt(swing**2 - damping**2 / 4)
        expected = -damping / 2 + np.array([1j, -1j]) * turn
        np.testing.assert_allclose(equilibrium.eigenvalues, expected, rtol=0, atol=EIGENVALUES)


@pytest.mark.parametrize("name", ["JS", "W"])
def test_where_the_field_does_not_vanish_is_reported_and_not_returned(name):
    found = lq(name)
    assert 0 in found.failed
    assert np.all(np.asarray(found.start_residuals)[list(found.failed)] > 0)
    assert len(found.failed) + sum(found.counts) == len(found.members) == 12
    assert f"{len(found.failed)} failed (starts 0" in str(found)


def test_starts_that_lead_to_the_same_equilibrium_are_counted():
    found = lq("W")
    for place, count in enumerate(found.counts):
        assert count == np.sum(found.members == place) > 1
        # The invariant line a = 0 parts the basins of no search, but the sign of a names the equilibrium.
        assert found[place].count == count


def test_a_velocity_that_fades_at_infinity_is_no_equilibrium():
    found = analysis.find_equilibria(of(lambda y: jnp.exp(-y)), jnp.array([0.0, 1.0, 2.0]))
    assert len(found) == 0 and found.failed == (0, 1, 2)
    assert found.ys.shape == (0,) and found.jacobians.shape == (0, 1, 1)


def test_newtons_method_finds_the_same():
    field = fields.GameField(games.LinearQuadratic(losses.Wasserstein()))
    found = analysis.find_equilibria(field, lq_starts(), solver=optx.Newton(1e-10, 1e-10))
    np.testing.assert_allclose(np.sort(found.ys.generator), [-1, 1], rtol=0, atol=ROOT)


def test_a_line_of_equilibria_is_recognized_and_the_type_speaks_of_its_complement():
    game = games.LinearQuadratic(losses.Minimax(), linear=True, quadratic=False)
    found = analysis.find_equilibria(fields.GameField(game), lq_starts(6))
    assert len(found) == 6
    for equilibrium in found:
        kind = equilibrium.kind
        assert kind.on_continuum and kind.continuum == "whole"
        assert (kind.type, kind.nullity, kind.multiplicity) == ("stable node", 1, 1)
        # w1' = f''(0) (E x^2 + a^2 E z^2) w1, to first order, at any a.
        decay = -(1 + float(equilibrium.y.generator) ** 2) / 12
        np.testing.assert_allclose(kind.complement, [decay], rtol=0, atol=EIGENVALUES)
        assert str(kind) == "stable node on the complement of a line of equilibria (null space of dimension 1)"
    assert "representatives" in str(found)


def test_where_the_field_is_zero_all_around_nothing_is_left_to_name():
    found = analysis.find_equilibria(of(lambda y: 0 * y), plane())
    assert len(found) == 6
    assert {str(kind) for kind in found.kinds} == {
        "degenerate, on a surface of equilibria (null space of dimension 2), which has no complement"
    }


def test_the_wasserstein_gan_with_a_linear_discriminator_rotates_beside_a_line_of_equilibria():
    game = games.LinearQuadratic(losses.Wasserstein(), linear=True, quadratic=False, offset=True)
    starts = Players(jnp.array([0.3, -0.4]), jnp.array([[0.8, 0.2], [1.2, -0.3]]))
    for equilibrium in analysis.find_equilibria(fields.GameField(game), starts):
        assert (equilibrium.kind.type, equilibrium.kind.nullity) == ("center", 1)
        # Period 2 pi.
        np.testing.assert_allclose(equilibrium.kind.complement, [1j, -1j], rtol=0, atol=EIGENVALUES)


def test_a_bilinear_game_of_more_generator_than_discriminator_parameters_has_a_continuum():
    matrix = np.array([[1.0, -0.5, 0.3, 0.2], [0.3, 2.0, -0.7, 0.5]])
    rng = np.random.default_rng(0)
    starts = Players(jnp.asarray(rng.normal(size=(4, 2))), jnp.asarray(rng.normal(size=(4, 4))))
    found = analysis.find_equilibria(fields.GameField(games.Bilinear(jnp.asarray(matrix))), starts)
    frequencies = np.linalg.svd(matrix)[1]
    for equilibrium in found:
        assert (equilibrium.kind.type, equilibrium.kind.nullity, equilibrium.kind.continuum) == ("center", 2, "whole")
        np.testing.assert_allclose(
            np.sort(equilibrium.kind.complement.imag), np.sort([*frequencies, *-frequencies]), rtol=0, atol=EIGENVALUES
        )


def test_the_dirac_gan_has_one_equilibrium_and_runaway_searches_are_none():
    starts = Players(jnp.array([0.3, -0.7, 1.5, 2.5]), jnp.array([0.8, 1.1, -1.2, 2.5]))
    found = analysis.find_equilibria(fields.GameField(games.Dirac(losses.Minimax())), starts)
    assert len(found) == 1 and found[0].kind.type == "center"
    np.testing.assert_allclose([found[0].y.discriminator, found[0].y.generator], 0, rtol=0, atol=ROOT)
    np.testing.assert_allclose(found[0].eigenvalues, [0.5j, -0.5j], rtol=0, atol=EIGENVALUES)


@pytest.mark.parametrize("order", [2, 3, 5])
def test_a_degenerate_root_is_one_and_no_continuum(order):
    found = analysis.find_equilibria(of(lambda y: -(y**order)), jnp.linspace(-1, 1.1, 7))
    assert len(found) == 1 and abs(float(found.ys[0])) < DEGENERATE_ROOT
    assert found[0].kind.type == "degenerate" and not found[0].kind.on_continuum
    assert str(found[0].kind).startswith("degenerate, isolated")


def test_a_curved_continuum_is_one():
    found = analysis.find_equilibria(of(lambda y: y * (1 - y @ y)), plane())
    on_circle = [equilibrium for equilibrium in found if float(jnp.linalg.norm(equilibrium.y)) > 0.5]
    assert len(on_circle) >= 4
    for equilibrium in on_circle:
        assert (equilibrium.kind.type, equilibrium.kind.continuum) == ("stable node", "whole")
        np.testing.assert_allclose(equilibrium.kind.complement, [-2], rtol=0, atol=EIGENVALUES)


def test_a_null_space_larger_than_the_continuum_leaves_the_type_open():
    found = analysis.find_equilibria(of(lambda y: jnp.stack([0 * y[0], -(y[1] ** 3)])), plane())
    for equilibrium in found:
        kind = equilibrium.kind
        assert (kind.type, kind.nullity, kind.continuum) == ("degenerate", 2, "part")


def test_a_nilpotent_block_is_told_from_a_repeated_zero():
    # A Jordan block of three zeros, and a decay, in a basis that hides them: the computed zeros are +-1e-5.
    rng = np.random.default_rng(4)
    basis = rng.normal(size=(4, 4))
    blocks = np.diag([0.0, 0.0, 0.0, -1.0]) + np.diag([1.0, 1.0, 0.0], 1)
    matrix = jnp.asarray(basis @ blocks @ np.linalg.inv(basis))
    starts = jnp.asarray(rng.normal(size=(6, 4)))
    nilpotent = analysis.find_equilibria(of(lambda y: matrix @ y), starts)
    assert np.max(np.abs(np.linalg.eigvals(np.asarray(matrix))[:3])) > 1e-7, "or the case is not hard"
    for equilibrium in nilpotent:
        assert (equilibrium.kind.nullity, equilibrium.kind.multiplicity) == (1, 3)
        assert equilibrium.kind.type == "degenerate" and "nilpotent" in str(equilibrium.kind)
        np.testing.assert_allclose(equilibrium.kind.complement, [-1], rtol=0, atol=1e-9)
    repeated = jnp.asarray(basis @ np.diag([0.0, 0.0, 0.0, -1.0]) @ np.linalg.inv(basis))
    for equilibrium in analysis.find_equilibria(of(lambda y: repeated @ y), starts):
        assert (equilibrium.kind.nullity, equilibrium.kind.multiplicity) == (3, 3)
        assert equilibrium.kind.type == "stable node"


def test_thirty_parameters_of_a_linear_critic_leave_all_of_the_generators_shape_free():
    # D(x) = w x + c sees the mean alone. Of w (4), c, and G(z) = A z + b (16 and 4) the equilibria fix w, c and b.
    d_key, g_key = jax.random.split(jax.random.key(0))
    modules = eqx.nn.Linear(4, "scalar", key=d_key), eqx.nn.Linear(4, 4, key=g_key)
    mean = 0.3
    data, latent = distributions.Normal(4, mean=mean), distributions.Normal(4)
    game = games.GAN(*modules, losses.Minimax(), data=data, latent=latent)
    starts = jax.tree.map(
        lambda leaf: leaf + 0.3 * jax.random.normal(jax.random.key(leaf.size), (4, *leaf.shape)), game.players
    )
    found = analysis.find_equilibria(fields.GameField(game), starts, args=game.quadrature(3))
    assert len(found) == 4
    for equilibrium in found:
        np.testing.assert_allclose(equilibrium.y.generator.bias, mean, rtol=0, atol=ROOT)
        np.testing.assert_allclose(equilibrium.y.discriminator.weight, 0, rtol=0, atol=ROOT)
        assert (equilibrium.kind.nullity, equilibrium.kind.continuum) == (16, "whole")
        assert equilibrium.kind.type == "stable focus"


def test_equilibria_can_be_searched_in_float32():
    starts = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), lq_starts())
    found = analysis.find_equilibria(fields.GameField(games.LinearQuadratic(losses.Wasserstein())), starts)
    assert found.ys.generator.dtype == jnp.float32
    # Single precision; measured 6e-8.
    np.testing.assert_allclose(np.sort(found.ys.generator), [-1, 1], rtol=0, atol=1e-6)
    assert {kind.type for kind in found.kinds} == {"center"}


def test_starts_without_a_leading_axis_are_refused():
    with pytest.raises(ValueError, match="`starts` must have one leading axis"):
        analysis.find_equilibria(of(lambda y: y), Players(jnp.zeros(3), jnp.zeros(2)))
    with pytest.raises(ValueError, match="`starts` must have one leading axis"):
        analysis.find_equilibria(of(lambda y: y), jnp.asarray(1.0))


def test_a_number_of_equilibria_that_depends_on_traced_values_is_refused():
    with pytest.raises(ValueError, match=r"jax.vmap` over `find_equilibrium"):
        jax.jit(lambda starts: analysis.find_equilibria(of(lambda y: y), starts).residuals)(jnp.ones((2, 1)))


def test_a_zero_is_small_against_the_jacobian_and_not_against_itself():
    eigenvalues = np.array([1e-9 + 0j, -1e-9])
    assert analysis.equilibrium_type(eigenvalues) == "saddle"
    assert analysis.equilibrium_type(eigenvalues, scale=1.0) == "degenerate"


def cubic(t, y, args):
    return y - y**3


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_start_that_is_not_finite_is_refused(bad):
    with pytest.raises(ValueError, match="`starts` must be finite"):
        analysis.find_equilibria(cubic, jnp.array([[-1.2], [0.1], [bad]]))


def test_an_equilibrium_far_from_small_starts_is_found():
    # From near 0 a root finder of y - 1 goes to 1, a thousand times the size of the starts.
    found = analysis.find_equilibria(lambda t, y, args: 1 - y, jnp.array([[1e-3], [-1e-3]]))
    assert found.counts == (2,)
    np.testing.assert_allclose(found.ys, [[1.0]], rtol=0, atol=1e-12)


# What is no equilibrium, and what has no linear part


def penalized(loss, gamma, target):
    return fields.GameField(regularizers.Penalized(games.Dirac(loss), regularizers.WGANGP(gamma, target)))


@pytest.mark.parametrize(("loss", "gamma", "target"), [(losses.Wasserstein(), 0.7, 1.0), (losses.Minimax(), 0.3, 0.5)])
def test_a_penalty_on_a_slope_has_one_equilibrium_and_no_spectrum_there(loss, gamma, target):
    # Across psi = 0 the velocity of psi jumps by 2 gamma target. At two thetas it vanishes on one side, where searches
    # end, and at the origin between velocities that point away from each other.
    rng = np.random.default_rng(2)
    starts = Players(
        jnp.asarray(np.append(rng.normal(size=19), 0.0)), jnp.asarray(np.append(2 * rng.normal(size=19), 0.0))
    )
    found = analysis.find_equilibria(penalized(loss, gamma, target), starts)
    assert len(found) == 1 and found.members[-1] == 0
    assert (float(found.ys.discriminator[0]), float(found.ys.generator[0])) == (0.0, 0.0)
    assert found.kinds[0].type == "not smooth" and "nothing is linear" in str(found)
    assert np.all(np.isnan(found.eigenvalues)) and np.all(np.isnan(found.jacobians))


@pytest.mark.parametrize(
    ("velocity", "kind"),
    [
        (lambda y: -jnp.maximum(y, 2 * y), "not smooth"),
        (lambda y: -jnp.clip(y, -1, 0), "not smooth"),
        (lambda y: -y * jnp.abs(y), "degenerate"),
    ],
    ids=["a kink", "a clip", "a bend"],
)
def test_an_equilibrium_at_a_kink_is_one_without_a_linear_part(velocity, kind):
    found = analysis.find_equilibria(of(velocity), jnp.array([[-0.3], [0.0], [-0.7]]))
    assert [each.type for each in found.kinds] == [kind]
    np.testing.assert_allclose(found.ys, 0, atol=1e-6)


@pytest.mark.parametrize(
    "velocity",
    [
        lambda y: y**2 + 1e-10,
        lambda y: y**2 + 1e-13,
        lambda y: y**4 + 1e-18,
        lambda y: jnp.where(y > 0, -y, -1.0),
    ],
    ids=["1e-10", "1e-13", "fourth order", "one side of a jump"],
)
def test_where_velocities_are_least_or_vanish_on_one_side_there_is_no_equilibrium(velocity):
    starts = jnp.array([[0.3], [1e-3], [-0.2]])
    assert len(analysis.find_equilibria(of(velocity), starts)) == 0
    assert not analysis.find_equilibrium(of(velocity), starts[0], throw=False).found
    with pytest.raises(RuntimeError, match="the search ended where the field does not vanish"):
        analysis.find_equilibrium(of(velocity), starts[0])


@pytest.mark.parametrize(
    "field",
    [
        lambda t, y, args: -(y - jnp.tanh(t)),
        lambda t, y, args: -y * (1 + 0.5 * jnp.cos(t)),
        lambda t, y, args: -y + 1e-3 * jnp.sin(6 * t),
    ],
    ids=["moves", "swings in its rate", "forced"],
)
def test_a_field_with_explicit_time_has_no_equilibrium_unless_its_time_is_frozen(field):
    start = jnp.array([0.3])
    with pytest.raises(ValueError, match=r"`field` must have no explicit time.*freeze the time"):
        analysis.find_equilibrium(field, start)
    with pytest.raises(ValueError, match=r"`field` must have no explicit time.*freeze the time"):
        analysis.find_equilibria(field, start[None])
    assert not analysis.find_equilibrium(field, start, throw=False).found
    assert not jax.jit(lambda y: analysis.find_equilibrium(field, y, throw=False).found)(start)
    frozen = analysis.find_equilibrium(lambda t, y, args: field(0.0, y, args), start)
    np.testing.assert_allclose(frozen.y, 0, atol=ROOT)
    np.testing.assert_allclose(analysis.find_equilibrium(field, start, check=False).y, 0, atol=ROOT)
    assert len(analysis.find_equilibria(field, start[None], check=False)) == 1


@pytest.mark.parametrize("order", [2, 3, 5])
def test_roots_of_any_order_are_found_and_found_to_be_roots(order):
    field = of(lambda y: (y - 0.1) ** order)
    # As far as Newton's method gets in sixty steps; measured 3e-17, 7e-14, 3e-8.
    reach = 1e-6
    found = analysis.find_equilibrium(field, jnp.array([0.3]))
    assert found.found and abs(float(found.y[0]) - 0.1) < reach and found.inspection.smooth
    traced = jax.jit(lambda y: analysis.find_equilibrium(field, y, throw=False))(jnp.array([0.3]))
    assert traced.found and abs(float(traced.y[0]) - 0.1) < reach


def test_an_equilibrium_where_the_field_ends_is_found_and_has_no_linear_part():
    found = analysis.find_equilibrium(of(lambda y: -jnp.sqrt(y)), jnp.array([0.3]))
    assert found.found and not found.inspection.finite and not found.inspection.smooth
    np.testing.assert_allclose(found.y, 0, atol=1e-12)


def test_a_root_still_has_its_derivative():
    def root(k):
        return analysis.find_equilibrium(of(lambda y: y**2 - k), jnp.array([1.2])).y[0]

    value, slope = jax.value_and_grad(root)(2.0)
    np.testing.assert_allclose([value, slope], [2**0.5, 8**-0.5], atol=ROOT)
