"""Small states as scalars: under `jax.vmap` each is an array over the members, which is what CPUs like best."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from .._types import State

# Each scalar is written out when a step is traced.
_MOST = 16


def is_small_state(tree: State, num: int = 1) -> bool:
    """Whether `split_state` takes it apart; with `num` members along a leading axis, each of them."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree)) <= num * _MOST


def split_state(tree: State) -> State:
    """The tree with a tuple of scalars in the place of every array that has some, if there are few."""

    def taken_apart(leaf: Array) -> Any:
        return tuple(jnp.ravel(leaf)[i] for i in range(leaf.size)) if leaf.ndim and leaf.size else leaf

    return jax.tree.map(taken_apart, tree) if is_small_state(tree) else tree


def join_state(scalars: State, like: State) -> State:
    """The other way; `like` has the shapes."""
    leaves, structure = jax.tree.flatten(like)
    parts = structure.flatten_up_to(scalars)
    whole = [
        jnp.stack(part).reshape(leaf.shape) if isinstance(part, tuple) else part
        for leaf, part in zip(leaves, parts, strict=True)
    ]
    return jax.tree.unflatten(structure, whole)
