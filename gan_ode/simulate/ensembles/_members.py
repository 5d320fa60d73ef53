"""Many members solved at once: what differs between them, and how they share the cores and devices."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ... import _checks, _tree
from ..._types import State
from . import _chunks

# Of the members under `jax.vmap`.
AXIS = "members"
# A state that counts as small, in bytes, and how many large ones still make one product with a shared matrix.
_SMALL, _LEAST = 64, 128


def number(y0s: State) -> int:
    """How many members there are.

    Raises:
        ValueError: If the leaves have no leading axis of one length.
    """
    lengths = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(y0s)}
    if len(lengths) > 1 or () in lengths or (0,) in lengths:
        found = ", ".join(sorted(str(jnp.shape(leaf)) for leaf in jax.tree.leaves(y0s)))
        raise ValueError(
            f"`y0s` must have one leading axis of members on every leaf, but has shapes {found}: for one start use "
            "`flow` or `iterate`, or add an axis by `leaf[None]`."
        )
    return lengths.pop()[0]


def chunk_size(y0s: State, most: int) -> int:
    """Members to a chunk: `most` of small states; fewer of large ones, but enough to multiply matrices at once."""
    return max(min(most, most * _SMALL * number(y0s) // _tree.num_bytes(y0s)), _LEAST)


def split_batched(name: str, tree: Any, spec: Any, num: int) -> tuple[Any, Any]:
    """What differs from member to member, and what all share.

    Raises:
        ValueError: If what is selected has no leading axis of the members.
    """
    own, shared = eqx.partition(tree, eqx.is_array if spec is True else spec)
    lengths = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(own)}
    if lengths - {(num,)}:
        raise ValueError(
            f"`{name}` must select leaves with a leading axis of the {num} members, but selects some of length "
            f"{', '.join(str(length[0]) if length else 'none' for length in sorted(lengths - {(num,)}))}."
        )
    return own, shared


def run_in_chunks(
    solve: Callable[[Any, Any, Mesh | None], Any], members: Any, size: int, mesh: Mesh | None, shared: Any
) -> Any:
    """`solve(members, shared, mesh)`, chunk by chunk; on a mesh the members come divided among its devices.

    Args:
        solve: Compiled; takes members and what they share, and returns a tree with a leading axis of members, by
            `vectorized`.
        members: The tree; its first entry are the starts.
        size: Members to a chunk, on each device.
        mesh: The devices; None for all of this process.
        shared: What all members share.

    Raises:
        ValueError: If `mesh` is none, or does not divide members that are traced.
    """
    if not (mesh is None or isinstance(mesh, Mesh)):
        raise ValueError(
            f"`mesh` must be a `jax.sharding.Mesh`, but is {mesh!r}: for example "
            "`jax.sharding.Mesh(jax.devices(), ('members',))`, or leave it out for all devices of this process."
        )
    if _checks.is_transformed():
        if mesh is not None and number(members) % mesh.size:
            raise ValueError(
                f"`y0s` must have a number of members that the {mesh.size} devices of `mesh` divide, under `jax.jit` "
                f"and other transformations, but has {number(members)}: add some, or call it outside."
            )
        return solve(members if mesh is None else _divided(members, mesh), shared, mesh)
    if mesh is None and jax.local_device_count() > 1:
        mesh = Mesh(jax.local_devices(), (AXIS,))
    return _chunks.map_chunks(
        lambda chunk, shared: solve(chunk, shared, mesh), members, size, starts=members[0], mesh=mesh, shared=shared
    )


def _divided(members: Any, mesh: Mesh) -> Any:
    """The members, each device with its part, where something is traced."""
    sharding = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    arrays, rest = eqx.partition(members, eqx.is_array)
    return eqx.combine(jax.lax.with_sharding_constraint(arrays, sharding), rest)


def vectorized(one: Callable[[Any], Any], members: Any) -> Any:
    """`one` of every member. On several devices the compiler divides them; loops end on all devices at once."""
    return eqx.filter_vmap(one, axis_name=AXIS)(members)


def per_device(solve: Callable[[Any], Any], members: Any, mesh: Mesh) -> Any:
    """`solve(members)`. Each device of the mesh has its part of them, and waits for no other.

    Lineax 0.1 does not work in there: it takes the same array inside and outside of a linear solve for two kinds.
    """
    arrays, rest = eqx.partition(members, eqx.is_array)
    found = []

    def part(arrays: Any) -> Any:
        out, static = eqx.partition(solve(eqx.combine(arrays, rest)), eqx.is_array)
        found.append(static)
        return out

    spec = PartitionSpec(mesh.axis_names)
    # Members know nothing of each other, so that what is equal on all devices need not be tracked.
    out = jax.shard_map(part, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)(arrays)
    return eqx.combine(out, found[0])
