"""Leading eigenvalues without the matrix, against closed forms and dense linear algebra."""

import functools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from gan_ode import analysis, distributions, fields, games, losses, regularizers, updates

# Two parameters: all of the space is searched; measured 3e-16.
CLOSED = 1e-12
# The promise for networks, relative to the eigenvalue. Measured 1e-12 at the default tolerance.
DENSE = 1e-6
# Eigenvalues of a normal matrix are as good as their residuals, here 1e-8 of them; measured 2e-11.
NORMAL = 1e-8
# In float32 eigenvalues of order one, of a normal matrix of norm 10; measured 6e-7.
SINGLE = 1e-5


# Most searches are of this many dimensions, in a basis of this size, for so many eigenvalues: compiled once.
N, SUBSPACE, K = 100, 40, 4

traced = []


class Linear(eqx.Module):
    """y' = A y, as a state of two leaves."""

    matrix: Array

    def __call__(self, t, y, args):
        traced.append(t)
        velocity = self.matrix @ jnp.concatenate([y["a"], jnp.ravel(y["b"])])
        return {"a": velocity[:3], "b": velocity[3:].reshape(y["b"].shape)}


def linear_state(n=N, dtype=float):
    return {"a": jnp.ones(3, dtype), "b": jnp.ones((n - 3, 1), dtype)}


@functools.cache
def turn():
    return scipy.stats.ortho_group.rvs(N, random_state=0)


def normal(diagonal, rotation=0.0, dtype=float):
    """A field with a normal matrix; the first two eigenvalues turn."""
    blocks = np.diag(np.concatenate(diagonal))
    blocks[0, 1], blocks[1, 0] = rotation, -rotation
    return Linear(jnp.asarray(turn() @ blocks @ turn().T, dtype))


def mixed(dtype=float):
    """With eigenvalues 1 +- 2i, 0.5, -9, and decays between -3 and -0.1."""
    return normal([[1.0, 1.0, 0.5, -9.0], -np.linspace(0.1, 3.0, N - 4)], 2.0, dtype)


def leading(field, which="rightmost", y=None, k=K, **options):
    return analysis.leading_eigenvalues(
        field, linear_state() if y is None else y, k, which, subspace=SUBSPACE, **options
    )


def stiffness(diagonal, rotation=0.0):
    return analysis.stiffness(normal(diagonal, rotation), linear_state(), K, subspace=SUBSPACE)


@functools.cache
def network():
    """A GAN of 147 parameters on the ring: field, two states, batch."""
    d_key, g_key = jax.random.split(jax.random.key(0))
    gan = games.GAN(
        eqx.nn.MLP(2, "scalar", 8, 1, activation=jnp.tanh, key=d_key),
        eqx.nn.MLP(2, 2, 8, 2, activation=jnp.tanh, key=g_key),
        losses.Minimax(), data=distributions.Ring(), latent=distributions.Normal(2),
    )  # fmt: skip
    field = fields.GameField(gan)
    flat, restore = ravel_pytree(gan.players)
    ys = jax.vmap(restore)(jnp.stack([flat, flat + 0.5 * jax.random.normal(jax.random.key(2), flat.shape)]))
    return field, ys, gan.sample(jax.random.key(1), 32)


def dense(field, y, batch):
    return np.linalg.eigvals(np.asarray(analysis.jacobian(field, y, args=batch)))


LQ = games.LinearQuadratic(losses.Minimax())


@pytest.mark.parametrize("which", ["rightmost", "largest", "leftmost"])
def test_the_pair_of_the_two_parameter_gan_is_the_closed_form(which):
    found = analysis.leading_eigenvalues(fields.GameField(LQ), LQ.equilibrium, 2, which)
    exact = np.array([-1 / 20 + 1j * math.sqrt(391) / 60, -1 / 20 - 1j * math.sqrt(391) / 60])
    np.testing.assert_allclose(found.eigenvalues, exact, rtol=CLOSED, atol=0)
    assert np.all(found.converged)


@pytest.mark.parametrize(
    ("which", "exact"),
    [("rightmost", [1 + 2j, 1 - 2j, 0.5, -0.1]), ("largest", [-9, -3]), ("leftmost", [-9, -3])],
)
def test_the_eigenvalues_of_a_normal_matrix_are_found(which, exact):
    found = leading(mixed(), which)
    np.testing.assert_allclose(found.eigenvalues[: len(exact)], exact, rtol=NORMAL, atol=0)
    assert np.all(found.converged)
    assert found.num_products > SUBSPACE + 2 * K, "the basis has to be restarted for this to be a test of it"
    assert 9 * (1 - 1e-3) < found.norm < 9 * (1 + 1e-12)


def test_single_precision_finds_them_to_its_rounding():
    found = leading(mixed(jnp.float32), y=linear_state(dtype=jnp.float32))
    assert found.eigenvalues.dtype == jnp.complex64
    np.testing.assert_allclose(found.eigenvalues, [1 + 2j, 1 - 2j, 0.5, -0.1], rtol=SINGLE, atol=0)
    assert np.all(found.converged)


def test_matrices_are_multiplied_to_all_digits():
    seen = []

    def field(t, y, args):
        seen.append(jax.config.jax_default_matmul_precision)
        return jax.tree.map(lambda leaf: -2.0 * leaf, y)

    leading(field)
    assert seen and set(seen[-2:]) == {"highest"}


def test_an_eigenvalue_that_repeats_is_found_as_often_as_it_is_asked_for():
    # The basis closes at once: J v is along v.
    found = leading(Linear(-2.0 * jnp.eye(N)))
    np.testing.assert_allclose(found.eigenvalues, np.full(K, -2.0), rtol=CLOSED, atol=0)
    assert np.all(found.converged)


def test_a_field_that_stands_still_has_zero_eigenvalues():
    found = leading(Linear(jnp.zeros((N, N))))
    np.testing.assert_array_equal(found.eigenvalues, np.zeros(K))
    assert np.all(found.converged)


@pytest.mark.parametrize("which", ["rightmost", "largest", "leftmost"])
def test_the_eigenvalues_of_a_network_are_those_of_the_dense_jacobian(which):
    field, ys, batch = network()
    y = jax.tree.map(lambda leaf: leaf[-1], ys)
    found = leading(field, which, y, args=batch)
    every = dense(field, y, batch)
    key = {"rightmost": -every.real, "largest": -np.abs(every), "leftmost": every.real}[which]
    np.testing.assert_allclose(found.eigenvalues, every[np.lexsort((-every.imag, key))][:K], rtol=DENSE, atol=0)
    assert np.all(found.converged)


def test_the_residuals_are_those_of_the_eigenvectors_returned():
    field, ys, batch = network()
    y = jax.tree.map(lambda leaf: leaf[-1], ys)
    # A loose tolerance, so that the residuals are not rounding.
    found = leading(field, y=y, args=batch, tol=1e-3, eigenvectors=True)
    matrix = np.asarray(analysis.jacobian(field, y, args=batch))
    assert jax.tree.structure(found.eigenvectors) == jax.tree.structure(y)
    vectors = np.asarray(jax.vmap(lambda v: ravel_pytree(v)[0])(found.eigenvectors))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-12, atol=0)
    left = vectors @ matrix.T - np.asarray(found.eigenvalues)[:, None] * vectors
    # Measured 1e-13, as the residuals are differences of numbers of order one.
    np.testing.assert_allclose(found.residuals, np.linalg.norm(left, axis=1), rtol=1e-6, atol=1e-12)
    np.testing.assert_array_equal(found.converged, found.residuals <= 1e-3 * np.abs(found.eigenvalues))


def test_a_search_that_gives_up_says_so_and_returns_numbers():
    # A ring of shifts: all eigenvalues are on the unit circle, and none stands out.
    found = leading(Linear(jnp.roll(jnp.eye(N), 1, axis=0)), "largest", max_products=60)
    assert not np.any(found.converged)
    assert np.all(np.isfinite(found.eigenvalues))
    assert np.all(found.residuals > 1e-8)
    assert found.num_products <= 60 + 2 * K


def test_a_small_residual_is_a_small_change_of_the_matrix_not_of_the_eigenvalue():
    # A Jordan block: all eigenvalues are 0, those of matrices at a distance of 1e-9 as large as 1e-9^(1/100) = 0.81.
    found = leading(Linear(jnp.diag(jnp.ones(N - 1), 1)))
    assert found.converged[0]
    assert found.residuals[0] < 1e-8
    assert found.eigenvalues[0].real > 0.7


def test_in_single_precision_what_is_below_rounding_of_the_norm_has_not_converged():
    field = normal([np.linspace(0.1, 0.2, N // 2), -np.linspace(1.0, 1e4, N // 2)], dtype=jnp.float32)
    found = leading(field, y=linear_state(dtype=jnp.float32))
    assert not np.any(found.converged)
    assert found.num_products < 500, "it should see that more products do not help"


def test_the_multipliers_of_optimistic_steps_are_those_of_the_closed_form():
    field = fields.GameField(LQ)
    eigenvalues = np.array([-1 / 20 + 1j * math.sqrt(391) / 60, -1 / 20 - 1j * math.sqrt(391) / 60])
    # Two roots for each eigenvalue: the memory counts.
    optimistic = analysis.leading_eigenvalues(
        field, LQ.equilibrium, 4, eigenvectors=True, update=updates.Optimistic(0.7)
    )
    roots = np.concatenate([np.roots([1, -(1 + 1.4 * value), 0.7 * value]) for value in eigenvalues])
    found = np.sort_complex(np.asarray(optimistic.eigenvalues))
    np.testing.assert_allclose(found, np.sort_complex(roots), rtol=CLOSED, atol=0)
    assert jax.tree.structure(optimistic.eigenvectors) == jax.tree.structure(LQ.equilibrium)


# Step sizes.


@pytest.mark.parametrize("eta", [0.0, 0.5, 3.0])
def test_the_critical_step_size_of_the_two_parameter_gan_is_the_closed_form(eta):
    # 0.9 + 2 eta while the eigenvalues are a pair, until eta = 51/20; then it is the larger real one that decides.
    field = fields.GameField(regularizers.Penalized(LQ, regularizers.GradientNorm(jnp.asarray(eta))))
    found = analysis.stiffness(field, LQ.equilibrium, 2)
    d, k, e = 1 / 10, 1 / 3, 2 * eta / 9
    trace, determinant = -(d + e), d * e + k * (k - eta / 15)
    values = np.roots([1, -trace, determinant])
    exact = 0.9 + 2 * eta if eta < 2.55 else -2 / values.real.min()
    np.testing.assert_allclose(found.critical_step_size, exact, rtol=1e-9, atol=0)
    np.testing.assert_allclose(found.critical_step_size_bound, exact, rtol=1e-9, atol=0)
    ratio = np.abs(values).max() / np.abs(values[np.argmax(values.real)])
    np.testing.assert_allclose(found.stiffness_ratio, ratio, rtol=1e-9, atol=0)


@pytest.mark.parametrize(("rotation", "exact"), [(0.0, 2 / 50), (20.0, 2 * 0.5 / (0.5**2 + 20.0**2))])
def test_stiff_and_turning_modes_both_limit_the_step(rotation, exact):
    found = stiffness([[-0.5, -0.5], -np.linspace(1.0, 50.0, N - 2)], rotation)
    np.testing.assert_allclose(found.critical_step_size, exact, rtol=1e-6, atol=0)
    assert found.decaying_step_size == found.critical_step_size
    assert 0 < found.critical_step_size_bound <= found.critical_step_size


def test_a_growing_mode_leaves_no_stable_step_but_a_limit_for_the_decaying_ones():
    found = stiffness([[0.2], -np.linspace(1.0, 40.0, N - 1)])
    assert found.critical_step_size == 0
    assert found.critical_step_size_bound == 0
    np.testing.assert_allclose(found.decaying_step_size, 2 / 40, rtol=1e-6, atol=0)
    np.testing.assert_allclose(found.stiffness_ratio, 40 / 0.2, rtol=1e-6, atol=0)


def test_a_mode_in_neither_list_can_lower_the_critical_step_size_to_its_bound_and_no_further():
    # Rightmost: four slow decays. Largest: four fast ones. Between them one that turns, and decides.
    slow, fast = [-0.1, -0.2, -0.3, -0.4], [-100.0, -99.0, -98.0, -97.0]
    found = stiffness([[-5.0, -5.0], slow, fast, np.full(N - 10, -50.0)], 90.0)
    true = 2 * 5 / (5**2 + 90**2)
    assert found.critical_step_size_bound <= true < found.critical_step_size
    np.testing.assert_allclose(found.critical_step_size_bound, 2 * 0.4 / 97**2, rtol=1e-6, atol=0)


def test_a_zero_mode_has_no_say():
    found = stiffness([np.zeros(3), -np.linspace(1.0, 40.0, N - 3)])
    np.testing.assert_allclose(found.critical_step_size, 2 / 40, rtol=1e-6, atol=0)
    assert found.stiffness_ratio == math.inf


def test_along_a_run_each_state_has_its_own_and_all_share_one_program():
    # y' = A y - y^3 has at y = c the Jacobian A - 3 c^2.
    field = Bent(normal([-np.linspace(1.0, 20.0, N)]))
    ys = jax.tree.map(lambda leaf: jnp.stack([0 * leaf, leaf, 2 * leaf]), linear_state())
    analysis.stiffness(field, linear_state(), K, subspace=SUBSPACE)
    traced.clear()
    along = analysis.stiffness_along(field, ys, K, subspace=SUBSPACE)
    assert not traced
    np.testing.assert_allclose(along.critical_step_size, [2 / 20, 2 / 23, 2 / 32], rtol=1e-6, atol=0)
    np.testing.assert_allclose(along.stiffness_ratio, [20 / 1, 23 / 4, 32 / 13], rtol=1e-6, atol=0)
    assert along.rightmost.eigenvalues.shape == (3, K)


class Bent(eqx.Module):
    field: Linear

    def __call__(self, t, y, args):
        return jax.tree.map(lambda v, leaf: v - leaf**3, self.field(t, y, args), y)


def test_the_leading_part_of_the_dense_spectrum_along_a_run_gives_the_same_step_sizes():
    field, ys, batch = network()
    along = analysis.stiffness_along(field, ys, K, args=batch, subspace=SUBSPACE)
    for row in range(2):
        every = dense(field, jax.tree.map(lambda leaf: leaf[row], ys), batch)  # noqa: B023
        leading = np.concatenate([every[np.argsort(-score)][:K] for score in (every.real, np.abs(every))])
        np.testing.assert_allclose(along.decaying_step_size[row], limit(leading), rtol=DENSE, atol=0)
        # A mode that is neither among the rightmost nor among the largest may lower it.
        assert limit(every) <= along.decaying_step_size[row] * (1 + DENSE)


def limit(eigenvalues):
    decaying = eigenvalues[eigenvalues.real < -1e-12]
    return np.min(-2 * decaying.real / np.abs(decaying) ** 2)


# What cannot work.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f, y: analysis.leading_eigenvalues(f, y, 11), "at most the 10 parameters"),
        (lambda f, y: analysis.leading_eigenvalues(f, y, 0), "`k` must be at least 1"),
        (lambda f, y: analysis.leading_eigenvalues(f, y, 4, subspace=5), "`subspace` must be at least 6"),
        (lambda f, y: analysis.leading_eigenvalues(f, y, 2, tol=0.0), "`tol` must be above 0"),
        (lambda f, y: analysis.leading_eigenvalues(f, jax.tree.map(lambda v: v * jnp.inf, y), 2), "`y` must be finite"),
        (lambda f, y: jax.jit(lambda y: analysis.leading_eigenvalues(f, y, 2).eigenvalues)(y), "must be concrete"),
        (
            lambda f, y: analysis.leading_eigenvalues(lambda t, y, a: jax.tree.map(jnp.sqrt, y), _zeros(y), 2),
            "around which the field is finite",
        ),
        (
            lambda f, y: analysis.leading_eigenvalues(
                lambda t, y, a: jax.tree.map(jnp.sqrt, y), _zeros(y), 2, check=False
            ),
            "has a finite derivative",
        ),
        (lambda f, y: analysis.leading_eigenvalues(_rectified, _zeros(y), 2), "around which the field is smooth"),
        (lambda f, y: analysis.stiffness(_rectified, _zeros(y), 2), "around which the field is smooth"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(call, message):
    with pytest.raises(ValueError, match=message):
        call(Linear(jnp.eye(10)), linear_state(10))


def _rectified(t, y, args):
    return jax.tree.map(lambda leaf: -jax.nn.relu(leaf), y)


def _zeros(y):
    return jax.tree.map(jnp.zeros_like, y)
