"""Products of narrow matrices, made of products of vectors."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_ode import distributions, fields, games, losses, regularizers
from gan_ode._lowering import _devices, _narrow_matmul
from gan_ode._lowering._narrow_matmul import expand_narrow_products

# The same sums in another order: measured 3e-16 and 3e-7.
ROUNDING, SINGLE = 1e-14, 2e-6

NUM = 40


def matrix(*shape, dtype=None):
    return jnp.asarray(np.random.default_rng(sum(shape)).normal(size=shape), dtype)


def products(function, *operands):
    """The shapes that matrices are multiplied in, within a program."""
    traced = jax.make_jaxpr(lambda *operands: expand_narrow_products(lambda: function(*operands)))(*operands)
    pairs = [each.invars for each in equations(traced.jaxpr) if each.primitive is jax.lax.dot_general_p]
    return [tuple(each.aval.shape for each in pair) for pair in pairs]


def equations(jaxpr):
    """Those of a program and of the programs that it calls, which JAX puts into it or not by its version."""
    for each in jaxpr.eqns:
        yield each
        if "jaxpr" in each.params:
            yield from equations(each.params["jaxpr"].jaxpr)


# By what a product is made of: an axis of two that is summed over, narrow on either side, or nothing of the kind.
PAIRS = {
    "inner": ((NUM, 2), (2, 9), []),
    "columns": ((NUM, 9), (9, 3), 3 * [((NUM, 9), (9,))]),
    "rows": ((2, NUM), (NUM, 9), 2 * [((NUM,), (NUM, 9))]),
    "a vector": ((NUM, 9), (9, 1), [((NUM, 9), (9, 1))]),
    "wide": ((NUM, 9), (9, 4), [((NUM, 9), (9, 4))]),
    "small": ((2, 2), (2, 9), [((2, 2), (2, 9))]),
}


@pytest.mark.parametrize("shapes", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_a_narrow_product_is_made_of_vectors_and_any_other_is_left_alone(shapes, dtype):
    left, right, expected = matrix(*shapes[0], dtype=dtype), matrix(*shapes[1], dtype=dtype), shapes[2]
    assert products(jnp.matmul, left, right) == expected
    found = jax.jit(lambda a, b: expand_narrow_products(lambda: a @ b))(left, right)
    assert found.dtype == dtype
    rounding = ROUNDING if dtype == jnp.float64 else SINGLE
    np.testing.assert_allclose(found, np.asarray(left) @ np.asarray(right), rtol=rounding, atol=rounding)


ORDERS = {
    "as they are": lambda a, b: a @ b,
    "first transposed": lambda a, b: jax.lax.dot_general(a.T, b, (((0,), (0,)), ((), ()))),
    "second transposed": lambda a, b: jax.lax.dot_general(a, b.T, (((1,), (1,)), ((), ()))),
    "product transposed": lambda a, b: (b.T @ a.T).T,
    "product transposed twice": lambda a, b: ((b.T @ a.T).T + 0.0).T.T,
    "in a function": lambda a, b: jax.jit(jnp.matmul)(a, b),
    "under a map": lambda a, b: jax.vmap(lambda row: row @ b)(a),
    "under another map": lambda a, b: jax.vmap(lambda column: a @ column, in_axes=1, out_axes=1)(b),
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("shapes", [PAIRS[name][:2] for name in ("inner", "columns", "rows")])
def test_in_whatever_order_the_axes_come(order, shapes):
    left, right = matrix(*shapes[0]), matrix(*shapes[1])
    # No matrix but the transposed ones: each product is one by vectors.
    assert all(min(len(a), len(b)) == 1 for a, b in products(order, left, right))
    found = jax.jit(lambda a, b: expand_narrow_products(lambda: order(a, b)))(left, right)
    np.testing.assert_allclose(found, np.asarray(left) @ np.asarray(right), rtol=ROUNDING, atol=ROUNDING)


def test_integers_batches_and_mixed_precision_are_left_alone():
    left, right = matrix(NUM, 2), matrix(2, 9)
    assert products(jnp.matmul, left.astype(int), right.astype(int)) == [((NUM, 2), (2, 9))]
    batch = jnp.stack([left, left]), jnp.stack([right, right])
    assert products(jnp.matmul, *batch) == [((2, NUM, 2), (2, 2, 9))]
    mixed = products(
        lambda a, b: jnp.matmul(a, b, preferred_element_type=jnp.float64), *map(jnp.float32, (left, right))
    )
    assert mixed == [((NUM, 2), (2, 9))]


def test_outside_of_programs_and_on_accelerators_nothing_is_changed(monkeypatch):
    left, right = matrix(NUM, 2), matrix(2, 9)
    monkeypatch.setattr(_narrow_matmul._jaxprs, "evaluated", None)
    np.testing.assert_array_equal(expand_narrow_products(lambda: left @ right), left @ right)
    monkeypatch.setattr(_devices.jax, "default_backend", lambda: "gpu")
    assert products(jnp.matmul, left, right) == [((NUM, 2), (2, 9))]


def test_the_field_of_networks_in_the_plane_has_no_narrow_products_and_the_same_derivatives():
    keys = jax.random.split(jax.random.key(0), 3)
    gan = games.GAN(
        eqx.nn.MLP(2, "scalar", 9, 2, jnp.tanh, key=keys[0]),
        eqx.nn.MLP(5, 2, 9, 1, jnp.tanh, key=keys[1]),
        losses.Minimax(),
        data=distributions.Ring(),
        latent=distributions.Normal(5),
    )
    game = regularizers.Penalized(gan, regularizers.GradientNorm(0.5))
    field, batch = fields.GameField(game), gan.sample(keys[2], NUM)

    def along(y):
        return jax.jvp(lambda y: field(0.0, y, batch), (y,), (y,))

    traced = jax.make_jaxpr(along)(gan.players)
    shapes = [
        {size for operand in each.invars for size in operand.aval.shape}
        for each in equations(traced.jaxpr)
        if each.primitive is jax.lax.dot_general_p
    ]
    assert shapes and not any({2, 3} & sizes for sizes in shapes)
    usual = along(gan.players)  # operation by operation
    for found, expected in zip(*map(jax.tree.leaves, (jax.jit(along)(gan.players), usual)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_a_transposed_matrix_is_taken_as_it_is_stored():
    left, right = matrix(9, NUM), matrix(9, 2)

    def product(a, b):
        return jax.lax.dot_general(a.T, b, (((1,), (0,)), ((), ())))

    traced = jax.make_jaxpr(lambda a, b: expand_narrow_products(lambda: product(a, b)))(left, right).jaxpr
    while "jaxpr" in traced.eqns[0].params:
        traced = traced.eqns[0].params["jaxpr"].jaxpr
    matrices = [
        v for each in traced.eqns if each.primitive is jax.lax.dot_general_p for v in each.invars if v.aval.ndim == 2
    ]
    assert matrices == [traced.invars[0]] * 2
    found = jax.jit(lambda a, b: expand_narrow_products(lambda: product(a, b)))(left, right)
    np.testing.assert_allclose(found, np.asarray(left).T @ np.asarray(right), rtol=ROUNDING, atol=ROUNDING)
