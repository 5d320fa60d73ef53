"""The condensed equations of a cycle, in which each interval speaks of its two ends alone, solved from end to end."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# Of states of up to so many numbers one dense matrix is solved faster.
_FEW = 4


def solve_chain(
    blocks: Float[Array, "intervals n n"],
    gains: Float[Array, "intervals n 2"],
    right: Float[Array, "intervals n sides"],
    borders: Float[Array, "2 intervals n"],
    corner: Float[Array, "2 2"],
    bottom: Float[Array, "2 sides"],
) -> tuple[Float[Array, "intervals n sides"], Float[Array, "2 sides"]]:
    r"""States and two numbers $q$ with $A_i x_i - x_{i+1} + G_i q = r_i$ around the cycle, and two more equations.

    Args:
        blocks: $A_i$.
        gains: $G_i$.
        right: $r_i$, one column for each right-hand side.
        borders: The states' weights in the two equations.
        corner: The numbers' weights there.
        bottom: Their right-hand sides.
    """
    how = _dense if blocks.shape[-1] <= _FEW else _eliminated
    return how(blocks, gains, right, borders, corner, bottom)


def _dense(
    blocks: Array, gains: Array, right: Array, borders: Array, corner: Array, bottom: Array
) -> tuple[Array, Array]:
    intervals, n, sides = right.shape
    here = jnp.arange(intervals)
    table = jnp.zeros((intervals, n, intervals, n), blocks.dtype)
    table = table.at[here, :, here, :].add(blocks)
    table = table.at[here, :, (here + 1) % intervals, :].add(-jnp.eye(n, dtype=blocks.dtype))
    size = intervals * n
    matrix = jnp.block([[table.reshape(size, size), gains.reshape(size, 2)], [borders.reshape(2, size), corner]])
    solved = jnp.linalg.solve(matrix, jnp.concatenate([right.reshape(size, sides), bottom]))
    return solved[:size].reshape(intervals, n, sides), solved[size:]


def _eliminated(
    blocks: Array, gains: Array, right: Array, borders: Array, corner: Array, bottom: Array
) -> tuple[Array, Array]:
    """State by state, each from the two equations that it stands in, by a reflection: growth and decay do no harm.

    Source: Wright (1992), SIAM J. Sci. Stat. Comput. 13, 742.
    """
    n = blocks.shape[-1]
    eye, none = jnp.eye(n, dtype=blocks.dtype), jnp.zeros((n, n), blocks.dtype)
    # What follows a state in an equation: the first state, the next one, the two numbers, the right-hand side.
    cuts = (n, 2 * n, 2 * n + 2)

    def advance(carry: tuple, row: tuple) -> tuple:
        (first, last, gain, side), (of_first, of_last, of_numbers, rest) = carry
        block, next_gain, next_side, weights = row
        turned, upper = jnp.linalg.qr(jnp.concatenate([last, block]), mode="complete")
        both = jnp.block([[first, none, gain, side], [none, -eye, next_gain, next_side]])
        both = turned.T @ both
        own, left = both[:n], both[n:]
        share = jnp.linalg.solve(upper[:n].T, (of_last + weights).T).T
        by_first, by_next, by_numbers, by_side = jnp.split(share @ own, cuts, axis=1)
        first, last, gain, side = jnp.split(left, cuts, axis=1)
        border = (of_first - by_first, -by_next, of_numbers - by_numbers, rest - by_side)
        return ((first, last, gain, side), border), (upper[:n], own)

    begun = (blocks[0], -eye, gains[0], right[0])
    border = (borders[:, 0], jnp.zeros_like(borders[:, 0]), corner, bottom)
    rows = (blocks[1:], gains[1:], right[1:], jnp.moveaxis(borders, 1, 0)[1:])
    (equation, border), kept = jax.lax.scan(advance, (begun, border), rows)
    # The last state is the first one.
    matrix = jnp.block([[equation[0] + equation[1], equation[2]], [border[0] + border[1], border[2]]])
    solved = jnp.linalg.solve(matrix, jnp.concatenate([equation[3], border[3]]))
    start, numbers = solved[:n], solved[n:]

    def back(after: Array, row: tuple) -> tuple[Array, Array]:
        upper, own = row
        by_first, by_next, by_numbers, side = jnp.split(own, cuts, axis=1)
        state = jax.scipy.linalg.solve_triangular(
            upper, side - by_first @ start - by_next @ after - by_numbers @ numbers
        )
        return state, state

    _, states = jax.lax.scan(back, start, kept, reverse=True)
    return jnp.concatenate([start[None], states]), numbers
