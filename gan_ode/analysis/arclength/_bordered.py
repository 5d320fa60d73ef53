"""Linear systems of a branch: square, small, and singular where branches cross or equilibria fill a continuum."""

import jax.numpy as jnp
from jaxtyping import Array, Float

# Up to this size systems are solved by elimination that is written out: under `jax.vmap` that is one program for all
# members, where a call of LAPACK is made for each by itself.
_WRITTEN_OUT = 6
# Directions that a matrix shrinks below this, relative to the largest, are left alone.
FLAT = {4: 1e-5, 8: 1e-11}


def solve(matrix: Float[Array, "m m"], right: Float[Array, " m"]) -> Float[Array, " m"]:
    """A solution; where the matrix is singular one that leaves its null space, or some of its unknowns, alone."""
    flat = FLAT[max(matrix.dtype.itemsize, 4)]
    if len(matrix) > _WRITTEN_OUT:
        return jnp.linalg.lstsq(matrix, right, rcond=flat)[0]
    return _eliminated(matrix, right, flat)


def _eliminated(matrix: Float[Array, "m m"], right: Float[Array, " m"], flat: float) -> Float[Array, " m"]:
    """By the method of Gauss and Jordan with complete pivoting; unknowns without a pivot are zero."""
    size = len(matrix)
    table = jnp.concatenate([matrix, right[:, None]], axis=1)
    enough = flat * jnp.max(jnp.abs(matrix))
    rows_left, columns_left = jnp.ones(size, table.dtype), jnp.ones(size, table.dtype)
    places = jnp.zeros((size, size), table.dtype)
    for _ in range(size):
        sizes = jnp.abs(table[:, :size]) * rows_left[:, None] * columns_left
        best = jnp.argmax(sizes.ravel())
        # By products with zeros and ones instead of places in memory, which would not be computed side by side.
        chosen = (jnp.arange(size * size) == best).astype(table.dtype).reshape(size, size)
        row, column = jnp.sum(chosen, axis=1), jnp.sum(chosen, axis=0)
        pivot = jnp.sum(chosen * table[:, :size])
        usable = jnp.abs(pivot) > enough
        line = row @ table / jnp.where(usable, pivot, 1)
        rest = jnp.where(usable, (table[:, :size] @ column) * (1 - row), 0)
        cleared = table - rest[:, None] * line
        table = jnp.where(row[:, None] * usable > 0, line, cleared)
        rows_left, columns_left = rows_left * (1 - row), columns_left * (1 - column)
        places = places + usable * column[:, None] * row
    return places @ table[:, -1]
