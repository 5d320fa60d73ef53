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

    def count(self, what: str, value: jax.Array) -> jax.Array:
        """Adds one when the compiled program gets here. Its zero must be used, or the compiler drops the call."""

        def add(_: np.ndarray) -> np.ndarray:
            setattr(self, what, getattr(self, what) + 1)
            return np.zeros(())

        return jax.pure_callback(add, jax.ShapeDtypeStruct((), jnp.result_type(float)), value)

    def zero(self, what: str, like: jax.Array) -> jax.Array:
        """Likewise, the zero in the dtype of an array."""
        return self.count(what, jnp.ravel(like)[0]).astype(like.dtype)


class Counted(eqx.Module):
    """A field whose evaluations and linearizations are counted."""

    field: fields.GameField
    tally: Tally = eqx.field(static=True)

    def __call__(self, t, y: Players, args=None) -> Players:
        arrays, rest = eqx.partition(self.field, eqx.is_array)

        def velocity(arrays, y: Players) -> Players:
            return eqx.combine(arrays, rest)(0.0, y, args)

        def evaluated(arrays, y: Players) -> Players:
            zero = self.tally.count("evaluations", y.discriminator)
            return jax.tree.map(lambda leaf: leaf + zero, velocity(arrays, y))

        def linearized(primals, tangents):
            # On the tangent: the columns of a Jacobian use it, and share the factor, so that they count as one.
            one = 1 + self.tally.count("jacobians", primals[1].discriminator)
            value, tangent = jax.jvp(velocity, primals, tangents)
            return value, jax.tree.map(lambda leaf: one * leaf, tangent)

        counted = jax.custom_jvp(evaluated)
        counted.defjvp(linearized)
        return counted(arrays, y)


class CountedProducts(eqx.Module):
    """A field whose evaluations are counted, and the products with its Jacobian, for solvers that form no matrix."""

    field: fields.GameField
    tally: Tally = eqx.field(static=True)

    def __call__(self, t, y: Players, args=None) -> Players:
        arrays, rest = eqx.partition((self.field, args), eqx.is_array)

        def velocity(arrays, y: Players) -> Players:
            field, args = eqx.combine(arrays, rest)
            return field(0.0, y, args)

        def evaluated(arrays, y: Players) -> Players:
            zero = self.tally.zero("evaluations", jax.tree.leaves(y)[0])
            return jax.tree.map(lambda leaf: leaf + zero, velocity(arrays, y))

        def linearized(primals, tangents):
            # Of the state alone, as solvers take it.
            value, tangent = jax.jvp(lambda y: velocity(primals[0], y), primals[1:], tangents[1:])
            # On the tangent: in a loop of products this is done once for each.
            one = 1 + self.tally.zero("products", jax.tree.leaves(tangent)[0])
            return value, jax.tree.map(lambda leaf: one * leaf, tangent)

        counted = jax.custom_jvp(evaluated)
        counted.defjvp(linearized)
        return counted(arrays, y)
