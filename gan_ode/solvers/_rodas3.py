from collections.abc import Callable
from typing import Any, ClassVar

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np

from .. import _tree
from .._types import Args, RealScalarLike, State
from ._matrix_free import matrix_free

# In the unknowns u of the linear systems, which saves the products with the Jacobian on the right-hand sides.
_GAMMA = 0.5
_A = np.array([[0.0, 0, 0, 0], [0, 0, 0, 0], [2, 0, 0, 0], [2, 0, 1, 0]])
_C = np.array([[0.0, 0, 0, 0], [4, 0, 0, 0], [1, -1, 0, 0], [1, -1, -8 / 3, 0]])
_TIME = np.array([0.5, 1.5, 0, 0])
_SOLUTION, _ERROR = np.array([2.0, 0, 1, 1]), np.array([0.0, 0, 0, 1])
# From this stage on the field is evaluated anew, at the end of the step; before, it is the velocity at its start.
_NEW = 2
# The first two stages are the slopes at half and at one and a half of the step. The line through them, unlike the
# field at the ends, is damped.
_SLOPES = (np.eye(4) / _GAMMA - _C)[:2]
_ENDS = np.array([[1.5, -0.5], [0.5, 0.5]]) @ _SLOPES


class Rodas3(diffrax.AbstractImplicitSolver[Any], diffrax.AbstractAdaptiveSolver[Any]):
    r"""A linearly implicit Runge-Kutta step of third order: for stiff fields of any size.

    A Diffrax solver. Each step linearizes the field once and solves four linear systems
    $(1 - h J / 2)\, u_i = \frac12 (h f(t + \alpha_i h, y + \sum_j a_{ij} u_j) + \sum_j c_{ij} u_j
    + \gamma_i h^2 \partial_t f)$, with no Newton iteration, from three evaluations of the field. By default by GMRES,
    through products with $J$ alone, to a fiftieth of the step's tolerances.

    L-stable: what is stiff has decayed after one step. The error estimate is the difference to a solution of second
    order, and of third order in the step on linear fields too; that of ROS3P, a method of the same order with one
    system less, vanishes there, so that it steps through the cycles of a GAN without seeing them. Dense output is of
    second order, and as well damped as the step. A step whose systems are not solved within the solver's number of
    products is rejected, and tried shorter. At a fixed step give `rtol` and `atol`, for the linear systems.

    Source: Sandu, Verwer, Blom, Spee, Carmichael and Potra (1997), Atmospheric Environment 31, 3459, RODAS3. The
    tests derive the order conditions and the stability function from the coefficients.

    Args:
        root_finder: How the linear systems are solved; `solvers.matrix_free()` by default. A stage is one iteration
            of it.
    """

    root_finder: Any = eqx.field(default_factory=matrix_free)
    root_find_max_steps: int = eqx.field(default=1, static=True)

    term_structure: ClassVar[Any] = diffrax.ODETerm
    interpolation_cls: ClassVar[Callable[..., Any]] = diffrax.ThirdOrderHermitePolynomialInterpolation

    def __check_init__(self) -> None:
        if not hasattr(self.root_finder, "solve"):
            raise ValueError(
                f"`root_finder` must be made by `solvers.matrix_free`, but is {self.root_finder!r}: for another "
                "linear solver write `solvers.matrix_free(linear_solver)`."
            )

    def order(self, terms: Any) -> int:
        return 3

    def func(self, terms: Any, t0: RealScalarLike, y0: State, args: Args) -> State:
        return terms.vf(t0, y0, args)

    def init(self, terms: Any, t0: RealScalarLike, t1: RealScalarLike, y0: State, args: Args) -> None:
        return None

    def step(
        self, terms: Any, t0: Any, t1: Any, y0: State, args: Args, solver_state: None, made_jump: Any
    ) -> tuple[State, State, dict[str, State], None, diffrax.RESULTS]:
        control = terms.contr(t0, t1)

        def increment(t: Any, y: State) -> State:
            return terms.prod(terms.vf(t, y, args), control)

        start, times_jacobian = jax.linearize(lambda y: increment(t0, y), y0)
        # Of a field without time this is zero when traced, and costs nothing.
        span = jnp.asarray(t1 - t0, jnp.result_type(t0))
        _, drift = jax.jvp(lambda t: increment(t, y0), (jnp.asarray(t0),), (span,))
        operator = lx.FunctionLinearOperator(
            lambda v: _tree.step(v, -_GAMMA, times_jacobian(v)), jax.eval_shape(lambda: y0)
        )
        units = self.root_finder.units(y0)

        def stage(carry: tuple, row: tuple) -> tuple:
            unknowns, result = carry
            i, a, c, time = row
            slope = jax.lax.cond(i >= _NEW, lambda: increment(t1, _tree.add(y0, _combine(a, unknowns))), lambda: start)
            right = _tree.step(_tree.add(slope, _combine(c, unknowns)), time, drift)
            solution, solved = self.root_finder.solve(operator, _tree.scale(_GAMMA, right), units)
            unknowns = jax.tree.map(lambda all_, one: all_.at[i].set(one), unknowns, solution)
            result = diffrax.RESULTS.where(_fine(result), diffrax.RESULTS.promote(solved), result)
            return (unknowns, result), None

        # As a loop, so that the linear solver is compiled once.
        none = jax.tree.map(lambda leaf: jnp.zeros((len(_A), *leaf.shape), leaf.dtype), y0)
        rows = (jnp.arange(len(_A)), *(jnp.asarray(table) for table in (_A, _C, _TIME)))
        (unknowns, result), _ = jax.lax.scan(stage, (none, diffrax.RESULTS.successful), rows)
        y1 = _tree.add(y0, _combine(_SOLUTION, unknowns))
        error = _tree.where(_fine(result), _combine(_ERROR, unknowns), jnp.inf)
        k0, k1 = (_combine(end, unknowns) for end in _ENDS)
        return y1, error, {"y0": y0, "y1": y1, "k0": k0, "k1": k1}, None, result


def _fine(result: diffrax.RESULTS) -> Any:
    return result == diffrax.RESULTS.successful


def _combine(weights: Any, stages: State) -> State:
    """The weighted sum of the stages."""
    return jax.tree.map(lambda leaf: jnp.tensordot(jnp.asarray(weights, leaf.dtype), leaf, axes=1), stages)
