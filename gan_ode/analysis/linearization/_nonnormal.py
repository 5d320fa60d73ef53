"""What eigenvalues do not tell of a matrix that is not normal: growth before decay."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._entry import guarded
from ..._lowering import jit
from ..._printing import number, printed, Report
from ..._types import Scalar

_TIMES = 512
# The last time, over the slowest decay time: what has not grown by then will not.
_LONG = 20.0
# At a center nothing decays: up to so many times its own time.
_SLOWEST = 1e-2
_BISECTIONS = 50
# Two peaks of one height differ by less than this on the grid, as long as the grid is fine.
_NEARLY = 0.9


class SymmetricParts(eqx.Module):
    r"""A Jacobian as the sum of its symmetric and its antisymmetric part, shape `(n, n)` each.

    Attributes:
        symmetric: $S = (J + J^T)/2$: of a potential game it is all, and the flow goes downhill.
        antisymmetric: $A = (J - J^T)/2$: of a Hamiltonian game it is all, and the flow conserves $|F|^2$.
    """

    symmetric: Float[Array, "n n"]
    antisymmetric: Float[Array, "n n"]


@printed
class TransientGrowth(eqx.Module):
    r"""How far a small perturbation grows before it decays.

    Attributes:
        growth: $\max_{t \ge 0} \lVert e^{tJ} \rVert_2$: at least 1, infinite for an unstable Jacobian.
        time: The first time at which it is reached; 0 if nothing grows.
        numerical_abscissa: $\omega(J)$, the growth rate at the start: $\lVert e^{tJ} \rVert \le e^{t\omega}$.
    """

    growth: Scalar
    time: Scalar
    numerical_abscissa: Scalar

    def _report(self) -> Report:
        lines = {"at time": number(self.time), "numerical abscissa": number(self.numerical_abscissa)}
        return Report(f"TransientGrowth: a perturbation grows by a factor of {number(self.growth)} at most", lines)


@guarded()
def symmetric_parts(jacobian: Float[Array, "n n"]) -> SymmetricParts:
    r"""The symmetric and the antisymmetric part of a field's Jacobian.

    Of a game they are its potential and its Hamiltonian part. The symmetric part alone moves the length of a
    perturbation at once, $\tfrac12 \tfrac{d}{dt} |u|^2 = u^T S u$; the antisymmetric one turns it.

    Source: Balduzzi et al. (2018), arXiv:1802.05642, lemma 1, there of minus the Jacobian.

    Args:
        jacobian: For example `analysis.jacobian(field, y)`.

    Returns:
        The two parts.
    """
    return SymmetricParts((jacobian + jacobian.T) / 2, (jacobian - jacobian.T) / 2)


@guarded()
def numerical_abscissa(jacobian: Float[Array, "n n"]) -> Scalar:
    r"""The largest rate at which any perturbation can grow at once.

    The largest eigenvalue of the symmetric part, $\omega(J)$. It is at least the spectral abscissa, with equality for
    a normal matrix; where it is above 0 and the abscissa below, perturbations grow before they decay.

    Source: Trefethen and Embree (2005), Spectra and Pseudospectra, section 14.

    Args:
        jacobian: The field's Jacobian.

    Returns:
        A rate, in units of one over time.
    """
    return jnp.linalg.eigvalsh(symmetric_parts(jacobian).symmetric)[-1]


@guarded()
@jit
def transient_growth(jacobian: Float[Array, "n n"]) -> TransientGrowth:
    r"""The largest factor by which the linear flow amplifies a perturbation, and when.

    The norm of $e^{tJ}$ is scanned on 512 times, spaced evenly on a logarithmic scale from a hundredth of
    $1 / \lVert J \rVert$ to twenty times the slowest decay time, and the best is refined by bisection of its slope. An
    oscillation that is largest after many periods only can be missed; for a single pair the first maximum is the
    largest. Works under `jax.vmap` and `jax.jit`; both results are differentiable where the maximum is not at 0.

    Source: Trefethen and Embree (2005), section 14: $K \le \max_t \lVert e^{tJ} \rVert \le e\,n\,K$ with the Kreiss
    constant $K = \sup_{\mathrm{Re} z > 0} \mathrm{Re} z\, \lVert (z - J)^{-1} \rVert$.

    Args:
        jacobian: The field's Jacobian at an equilibrium that attracts.

    Returns:
        Growth, time, and the numerical abscissa.
    """
    initial_rate = numerical_abscissa(jacobian)
    still = jax.lax.stop_gradient(jacobian)
    unstable, times = _times(still)
    norms, _ = jax.lax.map(lambda t: _norm_and_slope(t, still), times)
    grows = (initial_rate > 0) & (jnp.max(norms) > 1)
    # Still rising at the last time: a Jordan block on the axis.
    endless = unstable | ((jnp.argmax(norms) == _TIMES - 1) & grows)
    peak = _highest_peak(still, times, norms)
    growth, moved = _with_derivatives(peak, jacobian)
    return TransientGrowth(
        jnp.where(endless, jnp.inf, jnp.where(grows, growth, 1.0)),
        jnp.where(endless, jnp.inf, jnp.where(grows, peak + moved, 0.0)),
        initial_rate,
    )


def _times(jacobian: Float[Array, "n n"]) -> tuple[Array, Float[Array, " times"]]:
    """Whether the matrix is unstable, and where to look for its largest norm."""
    values = jnp.linalg.eigvals(jacobian)
    fastest = jnp.linalg.norm(jacobian, ord=2)
    fastest = jnp.where(fastest > 0, fastest, 1.0)
    # Far below the root of rounding: a non-normal matrix has eigenvalues much smaller than its norm.
    zero = jnp.finfo(jacobian.dtype).eps ** 0.75 * fastest
    sizes = jnp.abs(values)
    slowest = jnp.min(jnp.where(sizes > zero, jnp.maximum(-values.real, _SLOWEST * sizes), jnp.inf))
    slowest = jnp.where(jnp.isfinite(slowest), slowest, fastest)
    steps = jnp.linspace(0.0, 1.0, _TIMES, dtype=jacobian.dtype)
    unstable = jnp.max(values.real) > zero
    # What grows for ever is not followed: it would overflow.
    first, last = 1e-2 / fastest, jnp.where(unstable, 1 / fastest, _LONG / slowest)
    return unstable, first * (last / first) ** steps


def _norm_and_slope(time: Scalar, jacobian: Float[Array, "n n"]) -> tuple[Scalar, Scalar]:
    """Of the flow's matrix, and how fast the norm grows in time."""
    flow = jax.scipy.linalg.expm(time * jacobian, max_squarings=64)
    left, sizes, right = jnp.linalg.svd(flow, full_matrices=False)
    return sizes[0], left[:, 0] @ jacobian @ flow @ right[0]


def _highest_peak(
    jacobian: Float[Array, "n n"], times: Float[Array, " times"], norms: Float[Array, " times"]
) -> Scalar:
    """Of the highest and of the first that is nearly as high: at a center all peaks are equal, but for the grid."""
    left, right = jnp.roll(norms, 1), jnp.roll(norms, -1)
    first = jnp.argmax((norms >= left) & (norms >= right) & (norms > _NEARLY * jnp.max(norms)))
    both = jnp.stack([first, jnp.argmax(norms)])
    brackets = times[jnp.maximum(both - 1, 0)], times[jnp.minimum(both + 1, _TIMES - 1)]
    peaks, heights = jax.lax.map(lambda ends: _peak(jacobian, *ends), brackets)
    equal = heights[0] >= (1 - jnp.sqrt(jnp.finfo(heights.dtype).eps)) * heights[1]
    return jnp.where(equal, peaks[0], peaks[1])


def _peak(jacobian: Float[Array, "n n"], low: Scalar, high: Scalar) -> tuple[Scalar, Scalar]:
    """The time between two others at which the norm stops rising, and the norm there."""

    def halve(_: Any, state: tuple[Array, ...]) -> tuple[Array, ...]:
        low, high, _ = state
        middle = (low + high) / 2
        height, slope = _norm_and_slope(middle, jacobian)
        return jnp.where(slope > 0, middle, low), jnp.where(slope > 0, high, middle), height

    low, high, height = jax.lax.fori_loop(0, _BISECTIONS, halve, (low, high, jnp.zeros_like(low)))
    return (low + high) / 2, height


def _with_derivatives(time: Scalar, jacobian: Float[Array, "n n"]) -> tuple[Scalar, Scalar]:
    """The norm at its peak, and zero with the derivative of the time of the peak."""
    apart = jnp.finfo(time.dtype).eps ** (1 / 3) * time
    norms, slopes = jax.lax.map(
        lambda t: _norm_and_slope(t, jacobian), time + apart * jnp.array([0, -1, 1], time.dtype)
    )
    bend = jax.lax.stop_gradient(slopes[2] - slopes[1]) / (2 * apart)
    return norms[0], -(slopes[0] - jax.lax.stop_gradient(slopes[0])) / jnp.where(bend == 0, 1.0, bend)
