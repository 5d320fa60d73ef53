"""Small arrays of fields element by element: the same numbers, and no arrays."""

import functools

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params, Literal

from gan_ode._lowering import _jaxprs, _kernels, _scalarize
from gan_ode.simulate import ensemble

# Sums are taken in another order; measured 1e-16.
ROUNDING = 1e-14
# Operations that are evaluated by elements.
MOST = 500

X = np.linspace(-1.0, 1.5, 12).reshape(3, 4)
SQUARES = np.linspace(0.5, 2.0, 16).reshape(4, 4)


@jax.custom_jvp
def cubed(x):
    return jnp.exp(x) ** 3


cubed.defjvp(lambda primals, tangents: (cubed(*primals), 3 * cubed(*primals) * tangents[0]))


@jax.custom_vjp
def halved(x):
    return x / 2


halved.defvjp(lambda x: (x / 2, None), lambda _, cotangent: (cotangent / 2,))


def looped(x):
    """By a loop, which stays one, of a length that is not known."""
    return jax.lax.while_loop(lambda y: jnp.sum(y) < 50, lambda y: 1.5 * y + 1, x)


def scanned(x):
    return jax.lax.scan(lambda total, row: (total + row, total * row), jnp.zeros(4), x)


FUNCTIONS = {
    "arithmetic": lambda x: (x + 2) * x - x / 3 + x**3 + jnp.abs(x) ** 0.5 - (-x),
    "exponentials": lambda x: jax.nn.softplus(x) + jax.nn.sigmoid(x) + jnp.log1p(x**2) + jnp.tanh(x) + jnp.exp(x),
    "comparisons": lambda x: jnp.where((x > 0.2) & ~(x >= 1.0) | (x == X[0, 1]), x, -1.0),
    "a scalar beside arrays": lambda x: x[1, 1] * x + jnp.clip(x, x[0, 0], 0.5),
    "integers": lambda x: (jnp.arange(4) % 3, jnp.round(4 * x).astype(int) // 2, jnp.sign(x)),
    "a factor of all": lambda x: (
        -((-3.0 * x[0, 0] * x) ** 3) + jnp.sum(x[0, 0] * x, axis=1) @ (x[0, 1] * x),
        jnp.max(x[0, 0] * x, axis=1),
        jnp.prod(x[0, 0] * x[:, :2]),
        jnp.concatenate([x[0, 0] * x, x]),
        -(x[0, 0] * x),
        jax.lax.split(jnp.square(x[0, 1] * x), [1, 3], axis=1),
        jnp.exp(x[0, 0] * (x[0, 1] * x)),
    ),
    "transposed": lambda x: x.T * 2,
    "turned round": lambda x: (x[::-1], jnp.flip(x, (0, 1)), jnp.roll(x, 1, 1)),
    "cut": lambda x: (x[1:, ::2], x[2], x[:, 1:2], jnp.split(x, [1, 3], axis=1), jnp.squeeze(x[:1])),
    "split": lambda x: (jnp.split(x, [1], axis=0), jnp.split(x, 2, axis=1)),
    "by columns": lambda x: (
        jnp.ravel(x, order="F"),
        jnp.reshape(x, (2, 6), order="F"),
        jax.lax.reshape(x, (12,), (1, 0)),
    ),
    "apart": lambda x: (*jnp.unstack(x, axis=1), jnp.tile(x, (2, 3)), jnp.conj(x[0] + 1j * x[1])),
    "padded": lambda x: (
        jnp.pad(x, ((1, 2), (0, 3)), constant_values=5.0),
        jax.lax.pad(x, x[0, 0], ((-1, 2, 1), (3, -2, 2))),
        jax.grad(lambda y: jnp.sum(y[1, ::2] ** 2) + y[0, 1] * y[2, 2])(x),
    ),
    "joined": lambda x: (jnp.concatenate([x, x[:1]]), jnp.stack([x, 2 * x], 1), x.reshape(2, 6), jnp.ravel(x)),
    "broadcast": lambda x: (x[:, None] + x[0][:, None], jnp.broadcast_to(x[:, :1, None], (3, 2, 5))),
    "sums": lambda x: (jnp.sum(x), jnp.sum(x, 0), jnp.mean(x, 1), jnp.prod(x, 1), jnp.linalg.norm(x)),
    "sums over one axis of three": lambda x: jnp.sum(x[:, :, None] * jnp.arange(5.0), 1),
    "extremes": lambda x: (jnp.max(x), jnp.min(x, 1), jnp.any(x > 1, 0), jnp.all(x > -2), jnp.argmax(x, 1)),
    "a matrix times a vector": lambda x: SQUARES @ x[0],
    "matrices": lambda x: x @ SQUARES @ x.T,
    "two axes": lambda x: jnp.tensordot(x, jnp.outer(x[:, 0], x[1]), 2),
    "a batch of matrices": lambda x: jnp.einsum("aij,ajk->aik", x[:, None] * jnp.ones((3, 2, 1)), x[:, :, None]),
    "several axes of a batch": lambda x: jnp.einsum("abi,bai->ab", x[None] * jnp.ones((2, 1, 1)), jnp.ones((3, 2, 4))),
    "two axes that are kept": lambda x: jnp.einsum(
        "abi,i->ab", x[:, :, None] * jnp.arange(1.0, 3.0), jnp.arange(3.0, 5.0)
    ),
    "matrices of other kinds": lambda x: (
        (x > 0) @ (SQUARES > 1),
        jnp.round(9 * x).astype(int) @ jnp.round(9 * SQUARES).astype(int),
        (1j * x) @ SQUARES,
        (x.astype(jnp.bfloat16) @ SQUARES.astype(jnp.bfloat16)).astype(float),
    ),
    "single precision": lambda x: jnp.sum(jnp.float32(x[:2, :1]) * jnp.float32(SQUARES[:2]), 0),
    "keys": lambda x: jax.vmap(jax.random.uniform)(jax.random.split(jax.random.key(1), 4)[::-1]) * x,
    "mixed precision": lambda x: jnp.matmul(jnp.float32(x), jnp.float32(SQUARES), preferred_element_type=jnp.float64),
    "places that are computed": lambda x: (x[jnp.argmin(x, 0), jnp.arange(4)], x.at[1].set(7.0), jnp.sort(x, 1)),
    "none": lambda x: (jnp.zeros((0, 3)), x[:0], jnp.sum(x[:0], 0), x + jnp.sum(x[:, :0])),
    "calls": lambda x: jax.jit(functools.partial(jnp.cumsum, axis=1))(x) + jax.checkpoint(jnp.sin)(x),
    "rules for derivatives": lambda x: cubed(x) + halved(x) + jax.grad(lambda y: jnp.sum(cubed(y)))(x),
    "loops": lambda x: (looped(x), scanned(x)),
    "branches": lambda x: jax.lax.cond(x[0, 0] > 0, jnp.sin, jnp.cos, x),
    "constants": lambda x: (1.0, jnp.ones(3), SQUARES, x),
    "random numbers": lambda x: x + jax.random.uniform(jax.random.key(3), (3, 4)),
}


def by_elements(function):
    return lambda x: _scalarize.evaluated(lambda: function(x), _jaxprs.as_it_is, MOST)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_numbers_are_those_of_the_arrays(name):
    function = FUNCTIONS[name]
    expected, found = jax.jit(function)(X), jax.jit(by_elements(function))(X)
    assert jax.tree.structure(expected) == jax.tree.structure(found)
    for one, other in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        np.testing.assert_allclose(other, one, rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("name", ["matrices", "a batch of matrices", "comparisons", "rules for derivatives"])
def test_so_are_those_of_a_batch(name):
    batch = np.stack([X, X[::-1], 2 * X])
    expected, found = (jax.vmap(each)(batch) for each in (FUNCTIONS[name], by_elements(FUNCTIONS[name])))
    np.testing.assert_allclose(found, expected, rtol=ROUNDING, atol=ROUNDING)


def operations(jaxpr):
    """All equations, those within others included."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from operations(inner)


def field(y, matrix, nodes):
    """Of scalars, as ensembles ask for it, with arrays in between."""
    moved = jnp.tanh(matrix @ jnp.stack(y))
    return tuple(moved * jnp.sum(jax.nn.sigmoid(moved[0] * nodes)))


def traced(size, num_nodes):
    matrix, nodes = np.eye(size) + 0.1, np.linspace(0, 1, num_nodes)
    y = tuple(np.linspace(0, 1, size))
    return jax.make_jaxpr(lambda *y: _scalarize.evaluated(lambda: field(y, matrix, nodes), _jaxprs.as_it_is, MOST))(*y)


def test_no_array_is_left():
    assert {each.outvars[0].aval.shape for each in operations(traced(4, 6).jaxpr)} == {()}


@pytest.mark.parametrize("size, num_nodes", [(60, 6), (4, 2000)])
def test_a_field_of_many_operations_is_left_as_it_is(size, num_nodes):
    found = list(operations(traced(size, num_nodes).jaxpr))
    assert len(found) < 10 * size
    assert any(each.primitive.name == "dot_general" for each in found)


def test_products_count_by_what_they_multiply_and_what_nobody_reads_by_nothing():
    def names(function, x):
        return {each.primitive.name for each in operations(jax.make_jaxpr(by_elements(function))(x).jaxpr)}

    matrix = np.ones((12, 12))
    # 12^3 products.
    assert "dot_general" in names(lambda x: jnp.sum(x * matrix @ matrix), 1.0)
    assert "dot_general" not in names(lambda x: jnp.sum(x * matrix @ np.ones(12)), 1.0)

    def mostly_for_nobody(x):
        jnp.sum(jnp.sin(x * np.ones((100, 100))))
        return jnp.ones(3) @ (x * np.ones(3))

    assert "dot_general" not in names(mostly_for_nobody, 1.0)


def test_what_all_nodes_share_is_multiplied_by_once():
    nodes = np.linspace(0.0, 1.0, 20)

    def value(w, a):
        return jnp.sum(jnp.exp(-w * (a * nodes.astype(a.dtype)) ** 2))

    def num_products(kind):
        of_arrays = jax.grad(value, (0, 1))
        y = jnp.asarray([0.3, 0.4], kind)
        found = jax.make_jaxpr(by_elements(lambda y: of_arrays(*y)))(y).jaxpr
        # Those of nodes alone need no processor: they are the same for all members.
        varying, products = set(found.invars), 0
        for each in operations(found):
            if not varying.isdisjoint(v for v in each.invars if not isinstance(v, Literal)):
                varying.update(each.outvars)
                products += each.primitive.name == "mul"
        return products

    # For an exponent, and for a term of each sum, with a number of the node.
    assert num_products(jnp.float64) < 5 * len(nodes)
    # Here products might overflow in another order.
    assert num_products(jnp.float32) > 7 * len(nodes)


@pytest.mark.parametrize(
    ("function", "x"),
    [
        (lambda x: 1 / (1 + (x[0] * x[1:]) ** 10), np.float32([1e-4, 1e4, 1.1e4])),
        (lambda x: (x[0] * x[1:]) ** -4, np.float32([1e-10, 1e10, 2e10])),
        (lambda x: x[0] * (x[1] * x[2:]), np.float32([1e-25, 1e-25, 1e30, 2e30])),
        (lambda x: (x[0] * x[1:]) ** 8, np.float64([1e-50, 1e50, 2e50])),
        (lambda x: jnp.square(x[0] * x[1:]), np.float64([1e-150, 1e150, 2e150])),
    ],
)
def test_factors_make_nothing_overflow(function, x):
    np.testing.assert_allclose(jax.jit(by_elements(function))(x), jax.jit(function)(x), rtol=1e-5)


def test_fields_by_differentiation_have_kernels():
    def gradient(*y):
        y = jnp.stack(y)
        return tuple(jax.grad(lambda y: jnp.sum(jnp.stack([y[0] * y[1], jnp.sin(y[2])]) ** 2) + y[0] ** 3)(y))

    by_elements = jax.make_jaxpr(lambda *y: _scalarize.evaluated(lambda: gradient(*y), _jaxprs.as_it_is, MOST))
    found = by_elements(0.3, 0.4, 0.5).jaxpr
    assert _kernels._is_fit_for_kernel(found)
    assert {each.outvars[0].aval.shape for each in operations(found)} == {()}


def test_an_ensemble_within_a_field_keeps_its_rules_for_derivatives():
    @jax.custom_jvp
    def held(y):
        return y**3

    # Not the derivative of the cube, so that one sees which is taken.
    held.defjvp(lambda primals, tangents: (held(*primals), 7 * tangents[0]))

    def inner(y):
        # By the rule the two stages have the slopes 7 and 7 (1 + 7 / 2).
        found = ensemble(
            lambda t, y, args: held(y), y[None], jnp.array([0.0, 1.0]), solver=diffrax.Midpoint(), step_size=1.0
        )
        return found.final_state[0]

    def field(t, y, args):
        return jax.jvp(inner, (y,), (jnp.ones_like(y),))[1]

    found = ensemble(field, jnp.array([0.5, 1.0]), jnp.array([0.0, 1.0]), rtol=1e-9).final_state
    np.testing.assert_allclose(found, [33.0, 33.5], rtol=1e-8)


def test_what_nobody_reads_is_not_computed():
    def function(x):
        jnp.sum(jnp.sin(x))
        return jnp.cos(x)

    names = [each.primitive.name for each in operations(jax.make_jaxpr(by_elements(function))(X).jaxpr)]
    assert names.count("cos") == 12
    assert "sin" not in names


def test_effects_stay():
    seen = []

    def function(x):
        jax.debug.callback(seen.append, x[0, 0])
        return 2 * x

    jax.block_until_ready(jax.jit(by_elements(function))(X))
    jax.effects_barrier()
    assert seen == [X[0, 0]]


def test_a_linear_ensemble_of_small_matrices_is_the_exponential_of_its_matrix():
    matrix = np.array([[-0.1, 1.0, 0.0], [-1.0, -0.2, 0.3], [0.0, -0.4, -0.1]])
    y0s = np.random.default_rng(0).normal(size=(100, 3))
    found = ensemble(lambda t, y, args: args @ y, y0s, jnp.array([0.0, 2.0]), args=matrix, rtol=1e-10, atol=1e-12)
    exact = y0s @ np.asarray(jax.scipy.linalg.expm(2 * matrix)).T
    np.testing.assert_allclose(found.final_state, exact, rtol=1e-8, atol=1e-9)


def test_matrices_of_its_own_for_each_member_and_time_go_through():
    rates = np.linspace(0.5, 2.0, 70)
    matrices = rates[:, None, None] * np.array([[0.0, 1.0], [-1.0, 0.0]])
    y0s = np.tile([1.0, 0.0], (70, 1))
    # y' = t A y, solved by a rotation by rate t^2 / 2.
    found = ensemble(
        lambda t, y, args: t * (args @ y), y0s, jnp.array([0.0, 1.5]), args=matrices, batched_args=True, rtol=1e-10
    )
    angle = rates * 1.5**2 / 2
    np.testing.assert_allclose(found.final_state, np.stack([np.cos(angle), -np.sin(angle)], -1), atol=1e-8)


def test_all_stages_of_a_step_trace_the_field_once():
    def num_traced(solver):
        calls = []

        def field(t, y, args):
            calls.append(t)
            return -y

        ensemble(field, jnp.ones((3, 2)), jnp.array([0.0, 1.0]), solver=solver)
        return len(calls)

    # 4 and 14 stages.
    assert num_traced(diffrax.Bosh3()) == num_traced(diffrax.Dopri8()) < 8


def test_ensembles_of_arrays_and_of_their_elements_are_the_same(monkeypatch):
    def ends():
        # A function of its own compiles anew.
        own = functools.partial(lambda t, y, args: jnp.sin(SQUARES @ y) - y)
        return ensemble(own, np.linspace(-1, 1, 40).reshape(10, 4), jnp.array([0.0, 3.0]), rtol=1e-9).final_state

    kernels, fits = [], _kernels._is_fit_for_kernel
    monkeypatch.setattr(_kernels, "_is_fit_for_kernel", lambda jaxpr: kernels.append(jaxpr) or fits(jaxpr))

    def num_products():
        return sum(each.primitive.name == "dot_general" for each in operations(kernels[0]))

    by_elements = ends()
    # To choose the first step the field is evaluated as it is.
    at_first = num_products()
    monkeypatch.setattr(_kernels, "_MOST", 0)
    kernels.clear()
    of_arrays = ends()
    assert num_products() >= at_first + 6
    np.testing.assert_allclose(of_arrays, by_elements, rtol=1e-10, atol=1e-12)
