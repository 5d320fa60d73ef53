"""Small states as scalars: under `jax.vmap` each is an array over the members, which is what processors like best."""

import jax
import jax.numpy as jnp

from .._types import State

# Each scalar is written out when a step is traced.
_MOST = 16


def is_small(tree: State, num: int = 1) -> bool:
    """Whether `split` takes it apart; with `num` members along a leading axis, whether it takes each of them apart."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree)) <= num * _MOST


def split(tree: State) -> State:
    """The tree with a tuple of scalars in the place of every array, if there are few."""
    if not is_small(tree):
        return tree
    return jax.tree.map(lambda leaf: tuple(jnp.ravel(leaf)[i] for i in range(leaf.size)) if leaf.ndim else leaf, tree)


def join(scalars: State, like: State) -> State:
    """The other way; `like` has the shapes."""
    leaves, structure = jax.tree.flatten(like)
    parts = structure.flatten_up_to(scalars)
    whole = [
        jnp.stack(part).reshape(leaf.shape) if isinstance(part, tuple) else part
        for leaf, part in zip(leaves, parts, strict=True)
    ]
    return jax.tree.unflatten(structure, whole)
