from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ... import _checks
from ._divergence import AbstractDivergence

# Where the function is looked at, and how far its slope may fall there, against its largest: rounding in float32.
_RATIOS = np.geomspace(1e-2, 1e2, 81)
_ROUNDING = 1e-5


class FDivergence(AbstractDivergence):
    r"""The f-GAN of your own convex function, with the conjugate by automatic differentiation.

    The activation is $T(s) = f'(u)$ with $u = e^{s/f''(1)}$: the score is the logarithm of the density ratio, in units
    in which the slope is 1. The supremum in $f^*(t) = \sup_u (u t - f(u))$ is then taken at that very $u$, so that
    $f^*(T(s)) = u f'(u) - f(u)$ needs no search and has no ends: every score is allowed, and the score of the best
    discriminator is $f''(1) \log(p_{data}/p_G)$. Slope 1 and curvature $-1/(2 f''(1))$.

    From the functions of `KL`, `ReverseKL`, `NeymanChiSquared` and `SquaredHellinger` it makes these very losses. From
    those of `PearsonChiSquared` and `Alpha` it makes losses of another $T$ with the same divergence and the same two
    numbers; from that of `JensenShannon` the same with twice the score.

    ```python
    import jax.numpy as jnp
    from gan_ode import losses

    jeffreys = losses.FDivergence(lambda u: (u - 1) * jnp.log(u))  # f''(1) = 2
    assert jnp.isclose(jeffreys.slope, 1.0) and jnp.isclose(jeffreys.curvature, -1 / 4)
    ```

    Source: Nowozin, Cseke and Tomioka (2016), arXiv:1606.00709, equation 4; the activation derived here.

    Args:
        function: $f$, element by element of an array of ratios $u > 0$: convex, twice differentiable, $f(1) = 0$ and
            $f''(1) > 0$. It may be any callable; a module's arrays may be traced.
        non_saturating: Whether the generator minimizes $-E_z T(D(G(z)))$ in the place of $-E_z f^*(T(D(G(z))))$.

    Raises:
        ValueError: If `function` is no function of an array of its shape, is not 0 at 1, or is seen not to be finite
            and convex between 0.01 and 100; of traced numbers a RuntimeError, when it runs.
    """

    function: Callable[[Array], Array]
    bend: Float[Array, ""]
    non_saturating: bool = eqx.field(static=True)
    degree: ClassVar[int | None] = None

    def __init__(self, function: Callable[[Array], Array], *, non_saturating: bool = False):
        _check_callable(function)
        self.function = function
        self.bend = _checked_bend(function)
        self.non_saturating = non_saturating

    def convex(self, ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return self.function(ratio)

    def activation(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return _slope(self.function, self._ratio(score))

    def conjugate(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        ratio = self._ratio(score)
        return ratio * _slope(self.function, ratio) - self.function(ratio)

    def _ratio(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return jnp.exp(score / self.bend.astype(score.dtype))


def _slope(function: Callable[[Array], Array], ratio: Array) -> Array:
    """The derivative, element by element."""
    return jax.jvp(function, (ratio,), (jnp.ones_like(ratio),))[1]


def _check_callable(function: Any) -> None:
    if not callable(function):
        raise ValueError(
            f"`function` must be a function of the density ratio, but is {function!r}: for example "
            "`lambda u: u * jnp.log(u)`."
        )


def _checked_bend(function: Callable[[Array], Array]) -> Float[Array, ""]:
    """f''(1), of a function that is seen to be convex and to vanish at 1."""
    ratios = jnp.asarray(_RATIOS, float)
    seen = jax.eval_shape(function, ratios)
    if not hasattr(seen, "shape") or seen.shape != ratios.shape or not jnp.issubdtype(seen.dtype, jnp.floating):
        raise ValueError(
            f"`function` must return real numbers of its argument's shape {ratios.shape}, but returned {seen}: write "
            "it element by element."
        )
    one = jnp.ones(())
    start, bend = function(one), _slope(lambda u: _slope(function, u), one)
    values, slopes = function(ratios), _slope(function, ratios)
    # Rounding may make a slope fall by so much.
    slack = _ROUNDING * jnp.maximum(jnp.abs(slopes[1:]), jnp.abs(slopes[:-1]))
    for holds, value, message in (
        (jnp.abs(start) <= _ROUNDING, start, "be 0 at the ratio 1{}: subtract `function(1.0)`."),
        (
            jnp.all(jnp.isfinite(values) & jnp.isfinite(slopes)),
            None,
            "be finite with a finite slope for ratios from 0.01 to 100: write it for all ratios above 0.",
        ),
        (
            jnp.all(jnp.diff(slopes) >= -slack),
            None,
            "be convex, but its slope falls somewhere between the ratios 0.01 and 100: of a concave function take the "
            "negative.",
        ),
        (
            bend > 0,
            bend,
            "have a second derivative above 0 at the ratio 1{}: without one no score is pulled to an equilibrium, as "
            "of the total variation. For a linear payment take `losses.Wasserstein`.",
        ),
    ):
        bend = _demand(bend, holds, value, f"`function` must {message}")
    return bend


def _demand(result: Array, holds: Array, value: Array | None, message: str) -> Array:
    """The result, refused where something does not hold; with its value, where the text has a place for it."""
    if _checks.is_traced((result, holds, value)):
        return eqx.error_if(result, ~holds, message.format(""))
    if not bool(holds):
        raise ValueError(message.format(f", but is {value}"))
    return result
