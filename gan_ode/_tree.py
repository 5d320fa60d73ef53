"""Arithmetic on states: pytrees of arrays, each leaf kept in its own dtype."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, DTypeLike

from ._types import RealScalarLike, Scalar, State


def scale(factor: RealScalarLike, tree: State) -> State:
    """`factor * tree`. The leaves decide the dtype, so a float64 factor does not promote a float32 state."""
    return jax.tree.map(lambda leaf: jnp.asarray(factor, leaf.dtype) * leaf, tree)


def add(left: State, right: State) -> State:
    return jax.tree.map(jnp.add, left, right)


def subtract(left: State, right: State) -> State:
    return jax.tree.map(jnp.subtract, left, right)


def step(tree: State, factor: RealScalarLike, direction: State) -> State:
    """`tree + factor * direction`."""
    return add(tree, scale(factor, direction))


def squared_norm(tree: State) -> Scalar:
    return sum((jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(tree)), start=jnp.zeros((), dtype(tree)))


def norm(tree: State) -> Scalar:
    return jnp.sqrt(squared_norm(tree))


def largest(tree: State) -> Scalar:
    """The largest absolute value of any entry; NaN if there is one."""
    return jnp.max(jnp.stack([jnp.max(jnp.abs(leaf), initial=0.0) for leaf in jax.tree.leaves(tree)]))


def all_finite(tree: State) -> Bool[Array, ""]:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))


def where(condition: Bool[Array, "*rows"], left: State, right: State | float) -> State:
    """Row by row, `left` where the condition holds; `right` is a like tree or one number."""
    if isinstance(right, float):
        return jax.tree.map(lambda a: _rows_where(condition, a, right), left)
    return jax.tree.map(lambda a, b: _rows_where(condition, a, b), left, right)


def _rows_where(condition: Bool[Array, "*rows"], left: Array, right: Array | float) -> Array:
    rows = jnp.reshape(condition, condition.shape + (1,) * (left.ndim - condition.ndim))
    return jnp.where(rows, left, jnp.asarray(right, left.dtype))


def zeros_like(tree: State) -> State:
    return jax.tree.map(jnp.zeros_like, tree)


def dtype(tree: State) -> DTypeLike:
    """The floating dtype in which the tree's entries combine."""
    leaves = jax.tree.leaves(tree)
    return jnp.result_type(*leaves) if leaves else jnp.result_type(float)


def num_bytes(tree: State) -> int:
    """Memory of the tree, in bytes; shapes are enough."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def first(tree: State) -> State:
    """The first row of every leaf."""
    return jax.tree.map(lambda leaf: leaf[0], tree)


def last(tree: State) -> State:
    """The last row of every leaf."""
    return jax.tree.map(lambda leaf: leaf[-1], tree)
