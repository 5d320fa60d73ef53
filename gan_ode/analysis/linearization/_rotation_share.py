import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PRNGKeyArray

from ... import _checks
from ..._lowering import jit
from ..._problem import state_of
from ..._types import Args, Field, RealScalarLike, Scalar, State

# A dense Jacobian costs a product for each parameter.
_MOST_DENSE, _PROBES = 256, 32


def rotation_share(
    field: Field,
    y: State,
    *,
    args: Args = None,
    t: RealScalarLike = 0.0,
    num_probes: int | None = None,
    key: PRNGKeyArray | None = None,
) -> Scalar:
    r"""How much of a field's Jacobian turns: the antisymmetric part's share of its square.

    $$\frac{\lVert A \rVert_F^2}{\lVert S \rVert_F^2 + \lVert A \rVert_F^2}, \qquad
    S = \tfrac12 (J + J^T), \quad A = \tfrac12 (J - J^T),$$

    0 in a potential game, where the flow only goes downhill, and 1 in a Hamiltonian one, as the bilinear game. Beyond
    256 parameters, or with `num_probes`, both norms are means of $|Av|^2$ and $|Sv|^2$ over random vectors of signs
    $v$: two products with the Jacobian each, no matrix, and an error that falls as one over the root of their number.

    Works at any state, under `jax.jit`, and so in the place of a state of an orbit:

    ```python
    import jax.numpy as jnp
    from gan_ode import analysis, fields, games, iterate, losses, updates

    field = fields.GameField(games.Dirac(losses.Wasserstein()))
    y0 = games.Players(jnp.array(0.3), jnp.array(1.0))
    orbit = iterate(
        updates.Alternating(0.1), field, y0, 10,
        record=lambda t, y, args: analysis.rotation_share(field, y, args=args, t=t),
    )
    assert jnp.allclose(orbit.ys, 1.0)
    ```

    Source: the parts are those of Balduzzi et al. (2018), arXiv:1802.05642; random vectors as in Hutchinson (1990).

    Args:
        field: The field, differentiable at the state.
        y: The state, or an equilibrium.
        args: Handed to the field: a minibatch, or None.
        t: Time.
        num_probes: Random vectors to take; None for all of the Jacobian up to 256 parameters, and 32 beyond.
        key: For the vectors; always the same by default.

    Returns:
        The share, without unit, from 0 to 1; NaN where the Jacobian is zero.

    Raises:
        ValueError: If `num_probes` is no whole number of at least 1.
    """
    y = state_of(y)
    if num_probes is None and sum(jnp.size(leaf) for leaf in jax.tree.leaves(y)) > _MOST_DENSE:
        num_probes = _PROBES
    if num_probes is not None:
        num_probes = _checks.count("num_probes", num_probes)
    return _share(field, y, args, t, num_probes, jax.random.key(0) if key is None else key)


@jit
def _share(field: Field, y: State, args: Args, t: RealScalarLike, num_probes: int | None, key: PRNGKeyArray) -> Scalar:
    flat, restore = ravel_pytree(y)
    _, along = jax.linearize(lambda x: ravel_pytree(field(t, restore(x), args))[0], flat)
    if num_probes is None:
        matrix = jax.vmap(along, out_axes=1)(jnp.eye(flat.size, dtype=flat.dtype))
        turning, downhill = jnp.sum((matrix - matrix.T) ** 2), jnp.sum((matrix + matrix.T) ** 2)
        return turning / (turning + downhill)
    against = jax.linear_transpose(along, flat)

    def squares(key: PRNGKeyArray) -> tuple[Array, Array]:
        signs = jax.random.rademacher(key, flat.shape, flat.dtype)
        image, (transposed,) = along(signs), against(signs)
        return jnp.sum((image - transposed) ** 2), jnp.sum((image + transposed) ** 2)

    # One after the other: memory is that of two products.
    turning, downhill = map(jnp.sum, jax.lax.map(squares, jax.random.split(key, num_probes)))
    return turning / (turning + downhill)
