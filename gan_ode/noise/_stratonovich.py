import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from .. import _tree
from .._types import Args, Field, RealScalarLike, State
from ._sde import SDE


def stratonovich_drift(sde: SDE) -> Field:
    r"""The drift with which Stratonovich's equation has the same solutions as Itô's with the drift of `sde`.

    $F - \tfrac12 \sum_j \sigma_j'[\sigma_j]$ over the columns of the diffusion: as many derivatives of it as there are
    Brownian motions. `simulate.paths` takes it by itself where the solver is Stratonovich's.

    Args:
        sde: The equation.

    Returns:
        A field.
    """
    return sde.drift if sde.diffusion.additive else _StratonovichDrift(sde)


class _StratonovichDrift(eqx.Module):
    sde: SDE

    def __call__(self, t: RealScalarLike, y: State, args: Args = None) -> State:
        shapes = self.sde.diffusion.increments(y, args)
        flat, restore = ravel_pytree(jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes))

        def add(total: State, i: Array) -> tuple[State, None]:
            def column(y: State) -> State:
                return self.sde.diffusion(t, y, args).mv(restore(flat.at[i].set(1)))

            return _tree.add(total, jax.jvp(column, (y,), (column(y),))[1]), None

        total, _ = jax.lax.scan(add, _tree.zeros_like(y), jnp.arange(flat.size))
        return _tree.step(self.sde.drift(t, y, args), -0.5, total)
