"""A field that counts how often it is evaluated, whatever solves it."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from gan_ode import fields
from gan_ode.games import Players


@dataclasses.dataclass(eq=False)
class Tally:
    """How often the field was evaluated, how often linearized, how often its Jacobian multiplied a vector."""

    evaluations: int = 0
    jacobians: int = 0
    products: int = 0

    def zero(self, what: str, tree: Players) -> jax.Array:
        """A zero that adds one when the compiled program has made the tree. Use it, or the compiler drops the call."""
        leaf = jax.tree.leaves(tree)[0]

        def add(_: np.ndarray) -> np.ndarray:
            setattr(self, what, getattr(self, what) + 1)
            return np.zeros((), leaf.dtype)

        return jax.pure_callback(add, jax.ShapeDtypeStruct((), leaf.dtype), jnp.ravel(leaf)[0])


class Counted(eqx.Module):
    """A field whose evaluations are counted, and its linearizations or the products with its Jacobian.

    Args:
        field: The field.
        tally: Where to count.
        each_product: Whether every product with the Jacobian counts, as for solvers that form no matrix; otherwise all
            products with one Jacobian count as one linearization.
    """

    field: fields.GameField
    tally: Tally = eqx.field(static=True)
    each_product: bool = eqx.field(default=False, static=True)

    def __call__(self, t, y: Players, args=None) -> Players:
        arrays, rest = eqx.partition((self.field, args), eqx.is_array)

        def velocity(arrays, y: Players) -> Players:
            field, args = eqx.combine(arrays, rest)
            return field(0.0, y, args)

        def evaluated(arrays, y: Players) -> Players:
            zero = self.tally.zero("evaluations", y)
            return jax.tree.map(lambda leaf: leaf + zero, velocity(arrays, y))

        def linearized(primals, tangents):
            # Of the state alone, as solvers take it.
            value, tangent = jax.jvp(lambda y: velocity(primals[0], y), primals[1:], tangents[1:])
            # In a loop of products what depends on the tangent is done for each, what does not, once.
            zero = self.tally.zero("products", tangent) if self.each_product else self.tally.zero("jacobians", value)
            return value, jax.tree.map(lambda leaf: (1 + zero) * leaf, tangent)

        counted = jax.custom_jvp(evaluated)
        counted.defjvp(linearized)
        return counted(arrays, y)
