r"""The noise of minibatches as a stochastic differential equation.

Simultaneous steps of size $h$ on minibatches of $B$ examples are, for small steps, the equation of Itô

$$dy = F(y)\,dt + \sqrt{h/B}\,\Sigma(y)^{1/2}\,dW,$$

with $F$ the field of the whole population and $\Sigma$ the covariance of the velocities of single examples. A minibatch
is a fluctuation of the weights of the population's points, and so the noise is the derivative of the field along such a
fluctuation: no covariance matrix and no velocity of a single example is ever formed. Everything here goes into Diffrax
as it is; `simulate.paths` follows many paths at once.
"""

import abc
from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from . import _checks, _tree
from ._types import Args, Field, RealScalarLike, State
from .backward_error import modified_field
from .distributions import Quadrature
from .games import weighted
from .updates import Simultaneous

_STEP = "It is that of the update whose noise this is."
_SIZE = "It is the number of examples in a minibatch."


class AbstractDiffusion(eqx.Module):
    """What multiplies the Brownian motion. To add one, implement `increments`, `__call__` and `additive`.

    It goes into `diffrax.ControlTerm` as it is, with a Brownian path of the shape of `increments`.
    """

    @property
    @abc.abstractmethod
    def additive(self) -> bool:
        """Whether the noise is the same at all states: then Itô's and Stratonovich's equation are one."""

    @abc.abstractmethod
    def increments(self, y: State, args: Args) -> PyTree[jax.ShapeDtypeStruct]:
        """Shapes and dtypes of the Brownian increments."""

    @abc.abstractmethod
    def __call__(self, t: RealScalarLike, y: State, args: Args) -> lx.AbstractLinearOperator:
        """The operator from Brownian increments to increments of the state.

        Args:
            t: Time.
            y: State.
            args: Handed to the field: the population.
        """


class LowRank(AbstractDiffusion):
    r"""The exact covariance of minibatches, at the cost of one derivative of the field along the weights.

    With $B$ examples drawn from a population of points with weights $w$, the weights fluctuate with the covariance
    $(\operatorname{diag} w - w w^T)/B$, whose root is $w^{1/2} (1 - w^{1/2} w^{T/2})/\sqrt B$. Applied to Brownian
    increments, one for each point of the population, it is a direction, along which the field is differentiated. Data
    and latent points are drawn independently, and their covariances add.

    For a game whose losses are means over examples that is $\tfrac{1}{\sqrt m} \sum_i \xi_i (v_i - \bar v)$ with the
    velocities $v_i$ of $m$ examples. Where the field is not linear in the weights (`GradientNorm` multiplies two
    means) it is the leading term in $1/B$; so is the mean of the minibatch field then not the field of the population
    but differs by $O(1/B)$. `WGANGP` pairs rows of a minibatch, which weights do not describe.

    Source: the covariance is that of a multinomial draw, with replacement; without, multiply `batch_size` by
    $(m - 1)/(m - B)$. As the noise of gradients: Li, Tai and E (2017), arXiv:1511.06251, equation 4.

    Args:
        field: The field; its `args` are `(data, latent)`, the population: each an array or a `Quadrature`.
        step_size: $h > 0$ of the update.
        batch_size: $B > 0$; for data and latent points by themselves a pair.

    Raises:
        ValueError: If a number is not above 0, or `args` is no population.
    """

    field: Field
    step_size: Float[Array, ""]
    batch_size: tuple[Float[Array, ""], Float[Array, ""]]

    def __init__(self, field: Field, step_size: RealScalarLike, batch_size: Any):
        self.field = field
        self.step_size = _checks.positive("step_size", step_size, _STEP)
        self.batch_size = _both_sizes(batch_size)

    @property
    def additive(self) -> bool:
        return False

    def increments(self, y: State, args: Args) -> PyTree[jax.ShapeDtypeStruct]:
        """One number for each point of the population, data and latent."""
        return jax.tree.map(lambda weights: jax.ShapeDtypeStruct(weights.shape, _tree.dtype(y)), _weights(args))

    def __call__(self, t: RealScalarLike, y: State, args: Args) -> lx.AbstractLinearOperator:
        weights = _weights(args)

        def mv(increments: PyTree[Array]) -> State:
            along = jax.tree.map(_fluctuation, weights, increments, self._scales())
            return jax.jvp(lambda w: self.field(t, y, _reweighted(args, w)), (weights,), (along,))[1]

        return lx.FunctionLinearOperator(mv, self.increments(y, args))

    def _scales(self) -> tuple[Array, Array]:
        data, latent = self.batch_size
        return jnp.sqrt(self.step_size / data), jnp.sqrt(self.step_size / latent)


class Diagonal(AbstractDiffusion):
    r"""The variances of minibatches, parameter by parameter, without their correlations.

    $\sigma_k^2 = \tfrac hB \sum_i w_i (v_{ik} - \bar v_k)^2$, summed over data and latent points, with the derivatives
    $v_i$ of the field along the weight of each point. It needs as many Brownian motions as there are parameters, and
    as many derivatives of the field as there are points: against `LowRank` it pays where it is `Frozen`, or where the
    population is small.

    Args:
        field: As in `LowRank`.
        step_size: As in `LowRank`.
        batch_size: As in `LowRank`.
    """

    field: Field
    step_size: Float[Array, ""]
    batch_size: tuple[Float[Array, ""], Float[Array, ""]]

    def __init__(self, field: Field, step_size: RealScalarLike, batch_size: Any):
        self.field = field
        self.step_size = _checks.positive("step_size", step_size, _STEP)
        self.batch_size = _both_sizes(batch_size)

    @property
    def additive(self) -> bool:
        return False

    def increments(self, y: State, args: Args) -> PyTree[jax.ShapeDtypeStruct]:
        """One number for each parameter."""
        return jax.eval_shape(lambda: y)

    def __call__(self, t: RealScalarLike, y: State, args: Args) -> lx.AbstractLinearOperator:
        return lx.DiagonalLinearOperator(jax.tree.map(_root, self.variances(t, y, args)))

    def variances(self, t: RealScalarLike, y: State, args: Args) -> State:
        """$\\sigma_k^2$, of the shape of `y`."""
        data, latent = _weights(args)
        along = jax.linearize(lambda *w: self.field(t, y, _reweighted(args, w)), data, latent)[1]
        of_data = _variances(lambda direction: along(direction, jnp.zeros_like(latent)), data)
        of_latent = _variances(lambda direction: along(jnp.zeros_like(data), direction), latent)
        scaled = (
            _tree.scale(self.step_size / size, part)
            for size, part in zip(self.batch_size, (of_data, of_latent), strict=True)
        )
        return _tree.add(*scaled)


class Frozen(AbstractDiffusion):
    """The noise at one state, taken for the noise at all states: near an equilibrium that is most of it.

    Additive noise: Diffrax has solvers of higher order for it, and Itô's and Stratonovich's equation are one. It holds
    a matrix, of as many rows as there are parameters and as many columns as Brownian motions; of `Diagonal` noise only
    the diagonal.

    Args:
        diffusion: The noise.
        y: The state.
        args: Handed to the field: the population.
    """

    operator: lx.AbstractLinearOperator

    def __init__(self, diffusion: AbstractDiffusion, y: State, args: Args = None):
        # Not the operator itself: its leaves are what it is made of, and a solver may subtract those of two operators.
        self.operator = lx.materialise(diffusion(0.0, y, args))

    @property
    def additive(self) -> bool:
        return True

    def increments(self, y: State, args: Args) -> PyTree[jax.ShapeDtypeStruct]:
        """Those of the noise."""
        return self.operator.in_structure()

    def __call__(self, t: RealScalarLike, y: State, args: Args) -> lx.AbstractLinearOperator:
        return self.operator


class Modified(AbstractDiffusion):
    r"""The noise that simultaneous steps really make, to second order in the step size.

    $\tilde\sigma = \sigma - \tfrac h2 (F'\sigma + \sigma'[F])$: a step adds its noise at its end, an equation all
    along, and this is the difference. The modified drift alone, $F - \tfrac h2 F'F$, makes means right to second order,
    but leaves an error of relative order $h$ in variances; with both it is $h^2$.

    Source: our own, so that one step of the equation adds the covariance $h\,\sigma\sigma^T$; for a linear field
    $\tilde Q = Q - \tfrac h2 (JQ + QJ^T) + O(h^2)$. The drift alone: Li, Tai and E (2017), arXiv:1511.06251.

    Args:
        diffusion: The noise $\sigma$, for example `LowRank`.
        field: The field $F$, unmodified.
        step_size: $h > 0$ of the update.
    """

    diffusion: AbstractDiffusion
    field: Field
    step_size: Float[Array, ""]

    def __init__(self, diffusion: AbstractDiffusion, field: Field, step_size: RealScalarLike):
        self.diffusion = diffusion
        self.field = field
        self.step_size = _checks.positive("step_size", step_size, _STEP)

    @property
    def additive(self) -> bool:
        return False

    def increments(self, y: State, args: Args) -> PyTree[jax.ShapeDtypeStruct]:
        """Those of the noise."""
        return self.diffusion.increments(y, args)

    def __call__(self, t: RealScalarLike, y: State, args: Args) -> lx.AbstractLinearOperator:
        def mv(increments: PyTree[Array]) -> State:
            def noise(y: State) -> State:
                return self.diffusion(t, y, args).mv(increments)

            velocity = self.field(t, y, args)
            here, along_flow = jax.jvp(noise, (y,), (velocity,))
            carried = jax.jvp(lambda y: self.field(t, y, args), (y,), (here,))[1]
            return _tree.step(here, -self.step_size / 2, _tree.add(carried, along_flow))

        return lx.FunctionLinearOperator(mv, self.increments(y, args))


class SDE(eqx.Module):
    """A stochastic differential equation of Itô: a drift and a diffusion.

    Attributes:
        drift: A field.
        diffusion: What multiplies the Brownian motion.
    """

    drift: Field
    diffusion: AbstractDiffusion

    def terms(self, path: diffrax.AbstractPath) -> diffrax.MultiTerm:
        """As Diffrax takes it: `MultiTerm(ODETerm(drift), ControlTerm(diffusion, path))`.

        Args:
            path: A Brownian path of the shape `diffusion.increments(y, args)`.
        """
        drift: Any = self.drift
        return diffrax.MultiTerm(diffrax.ODETerm(drift), diffrax.ControlTerm(self.diffusion, path))


def of_minibatches(field: Field, step_size: RealScalarLike, batch_size: Any, *, order: int = 1) -> SDE:
    r"""The equation that simultaneous steps on minibatches follow.

    Means and, relative to their size, covariances over a fixed time differ from those of the steps by $O(h)$ in order
    1, and by $O(h^2)$ in order 2, for large batches. In order 1 it is $F$ with `LowRank` noise; in order 2 the field
    is `backward_error.modified_field` and the noise is `Modified`.

    Source: Li, Tai and E (2017), arXiv:1511.06251, theorem 1, and (2019), arXiv:1811.01558; the noise of order 2 as in
    `Modified`.

    Args:
        field: The field; its `args` are the population.
        step_size: $h > 0$ of the update.
        batch_size: $B > 0$, or a pair for data and latent points.
        order: 1 or 2.

    Returns:
        Drift and diffusion.

    Raises:
        ValueError: If a number is not above 0, or `order` is neither 1 nor 2.
    """
    noise = LowRank(field, step_size, batch_size)
    if order not in (1, 2):
        raise ValueError(f"`order` must be 1 or 2, but is {order!r}.")
    if order == 1:
        return SDE(field, noise)
    return SDE(modified_field(Simultaneous, field, step_size), Modified(noise, field, step_size))


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


def _both_sizes(batch_size: Any) -> tuple[Array, Array]:
    data, latent = batch_size if isinstance(batch_size, tuple) else (batch_size, batch_size)
    return _checks.positive("batch_size", data, _SIZE), _checks.positive("batch_size", latent, _SIZE)


def _weights(population: Args) -> tuple[Array, Array]:
    data, latent = weighted(population)
    return data.weights, latent.weights


def _reweighted(population: Args, weights: Any) -> tuple[Quadrature, Quadrature]:
    data, latent = weighted(population)
    return Quadrature(data.nodes, weights[0]), Quadrature(latent.nodes, weights[1])


def _root(variance: Array) -> Array:
    """The square root, with the slope 0 at 0: there a variance, which is never negative, is at its least."""
    positive = variance > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1)), 0)


def _fluctuation(weights: Float[Array, " m"], increments: Float[Array, " m"], scale: Array) -> Float[Array, " m"]:
    """What a minibatch adds to the weights: a root of the covariance of a multinomial draw, times the increments."""
    root, increments = jnp.sqrt(weights), increments.astype(weights.dtype)
    return scale.astype(weights.dtype) * (root * increments - weights * jnp.dot(root, increments))


def _variances(along: Callable[[Array], State], weights: Float[Array, " m"]) -> State:
    """Weighted variances of the derivatives along each weight by itself, about their mean."""
    mean = along(weights)

    def add(total: State, point: tuple[Array, Array]) -> tuple[State, None]:
        i, weight = point
        apart = _tree.subtract(along(jnp.zeros_like(weights).at[i].set(1)), mean)
        return _tree.step(total, weight, jax.tree.map(jnp.square, apart)), None

    return jax.lax.scan(add, _tree.zeros_like(mean), (jnp.arange(weights.size), weights))[0]
