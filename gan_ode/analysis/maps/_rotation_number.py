import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ..._entry import guarded
from ..._lowering import jit
from ..._printing import measured, printed, Report
from ..._problem import state_of
from ..._types import Scalar, State


@printed
class Rotation(eqx.Module):
    """How fast an orbit goes around.

    Attributes:
        value: Turns in a step, between -1/2 and 1/2; positive where it turns from the first coordinate (the
            discriminator) to the second (the generator).
        error: Largest distance from the values of the first and of the second half of the orbit. Their errors are
            larger than that of the whole; an orbit that has not settled shows here too.
    """

    value: Scalar
    error: Scalar

    def _report(self) -> Report:
        return Report(f"Rotation: {measured(self.value.item(), self.error.item())} turns in a step")


@guarded("ys", rows=True, like="center")
@jit
def rotation_number(ys: State, center: State) -> Rotation:
    r"""Average turn around a center in a step, of an orbit in the plane.

    $\rho = \frac{1}{2\pi} \sum_n w_n (\varphi_{n+1} - \varphi_n)$ with the angles $\varphi_n$ of the states seen from
    the center, each difference in $(-\pi, \pi]$. The weights $w_n \propto \exp(-1/(s(1 - s)))$, $s = n/N$, vanish with
    all their derivatives at both ends, so that on a smooth closed curve with an irrational rotation number the error
    falls faster than any power of $N$; that of the plain mean falls as $1/N$.

    Near the step size at which a fixed point loses stability by a pair of multipliers $\mu, \bar\mu$ of modulus 1, the
    orbit turns by $\arg\mu / 2\pi$.

    Source: Das, Saiki, Sander and Yorke (2017), Nonlinearity 30, 4111, arXiv:1508.00062.

    Args:
        ys: States of two numbers in all, with a leading axis along consecutive steps: an orbit's `ys`, or what
            `orbit_diagram` kept for one step size.
        center: A state inside the curve, or an equilibrium: usually the fixed point.

    Returns:
        The rotation number, and an estimate of its error; both NaN if a state is not finite, or at the center. Of
        states that rounding alone keeps from the center both are finite, and say nothing.

    Raises:
        ValueError: If the states are not two numbers, or fewer than 8.
    """
    middle = ravel_pytree(state_of(center))[0]
    points = jax.vmap(lambda y: ravel_pytree(y)[0])(ys) - middle
    if points.shape[1] != 2 or len(points) < 8:
        raise ValueError(
            f"`ys` must be at least 8 states of two numbers, but is {len(points)} of {points.shape[1]}: in more "
            "dimensions give two coordinates of them."
        )
    x, y = points.T
    turns = jnp.arctan2(x[:-1] * y[1:] - y[:-1] * x[1:], x[:-1] * x[1:] + y[:-1] * y[1:]) / (2 * np.pi)
    seen = jnp.all(jnp.isfinite(points)) & jnp.all(jnp.any(points != 0, axis=1))
    half = len(turns) // 2
    value, first, second = (_smooth_mean(part) for part in (turns, turns[:half], turns[half:]))
    error = jnp.maximum(jnp.abs(value - first), jnp.abs(value - second))
    return Rotation(jnp.where(seen, value, jnp.nan), jnp.where(seen, error, jnp.nan))


def _smooth_mean(values: Float[Array, " n"]) -> Scalar:
    s = np.arange(1, len(values) + 1) / (len(values) + 1)
    weights = np.exp(-1 / (s * (1 - s)))
    return jnp.asarray(weights / weights.sum(), values.dtype) @ values
