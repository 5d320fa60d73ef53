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

_GAMMA = 0.5 + np.sqrt(3) / 6
# Of the usual form of a Rosenbrock method: where the field is evaluated, and what the Jacobian is multiplied by.
_ALPHA = np.array([[0.0, 0, 0], [1, 0, 0], [1, 0, 0]])
_COUPLING = np.array([[_GAMMA, 0, 0], [-1, _GAMMA, 0], [-_GAMMA, 0.5 - 2 * _GAMMA, _GAMMA]])
_B, _B_LOWER = np.array([2 / 3, 0, 1 / 3]), np.array([1 / 3, 1 / 3, 1 / 3])
# The same in the unknowns `u = coupling @ k`, which saves the products with the Jacobian.
_INVERSE = np.linalg.inv(_COUPLING)
_A, _C = _ALPHA @ _INVERSE, np.diag(np.diag(_INVERSE)) - _INVERSE
_M, _M_ERROR = _B @ _INVERSE, (_B - _B_LOWER) @ _INVERSE
_TIME = _COUPLING.sum(axis=1)
# Stages 1 and 3 are slopes at these fractions of the step; the line through them is the slope in between.
_WHERE = (_ALPHA + _COUPLING).sum(axis=1)[[0, 2]]
_LINE = np.linalg.inv(np.stack([np.ones(2), _WHERE], axis=1)) @ _INVERSE[[0, 2]]
# The slopes at both ends, of the unknowns; those of the field would not be damped.
_ENDS = np.stack([_LINE[0], _LINE[0] + _LINE[1]])


class ROS3P(diffrax.AbstractImplicitSolver[Any], diffrax.AbstractAdaptiveSolver[Any]):
    r"""A linearly implicit Runge-Kutta step of third order: for stiff fields of any size.

    A Diffrax solver. Each step linearizes the field once and solves three linear systems
    $(1 - \gamma h J) u_i = \gamma (h f(t + \alpha_i h, y + \sum_j a_{ij} u_j) + \sum_j c_{ij} u_j
    + \gamma_i h^2 \partial_t f)$, with no Newton iteration, from two evaluations of the field. By default by GMRES,
    through products with $J$ alone, to a fiftieth of the step's tolerances.

    A-stable with $|R(\infty)| = 0.73$, and of third order for stiff parabolic problems too. The error estimate is the
    difference to a solution of second order; dense output is of second order, and as well damped as the step. A step
    whose systems are not solved within the solver's number of products is rejected, and tried shorter. At a fixed step
    give `rtol` and `atol`, for the linear systems.

    Source: Lang and Verwer (2001), BIT 41, 731; the coefficients rederived from the order conditions in the tests.

    Args:
        root_finder: How the linear systems are solved; `simulate.matrix_free()` by default. A step is one iteration of
            it for each stage.
    """

    root_finder: Any = eqx.field(default_factory=matrix_free)
    root_find_max_steps: int = eqx.field(default=1, static=True)

    term_structure: ClassVar[Any] = diffrax.ODETerm
    interpolation_cls: ClassVar[Callable[..., Any]] = diffrax.ThirdOrderHermitePolynomialInterpolation

    def __check_init__(self) -> None:
        if not hasattr(self.root_finder, "solve"):
            raise ValueError(
                f"`root_finder` must be made by `simulate.matrix_free`, but is {self.root_finder!r}: for another "
                "linear solver write `simulate.matrix_free(linear_solver)`."
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
        span = jnp.asarray(t1 - t0)
        _, drift = jax.jvp(lambda t: increment(t, y0), (jnp.asarray(t0),), (span.astype(jnp.result_type(t0)),))
        operator = lx.FunctionLinearOperator(
            lambda v: _tree.step(v, -_GAMMA, times_jacobian(v)), jax.eval_shape(lambda: y0)
        )
        units = self.root_finder.units(y0)

        def stage(carry: tuple, row: tuple) -> tuple:
            slope, unknowns, result = carry
            i, a, c, time = row
            right = _tree.step(_tree.add(slope, _combine(c, unknowns)), time, drift)
            solution, solved = self.root_finder.solve(operator, _tree.scale(_GAMMA, right), units)
            unknowns = jax.tree.map(lambda all_, one: all_.at[i].set(one), unknowns, solution)
            # The second and the third stage evaluate the field at the same place.
            slope = jax.lax.cond(i == 0, lambda: increment(t1, _tree.add(y0, _combine(a, unknowns))), lambda: slope)
            result = diffrax.RESULTS.where(_fine(result), diffrax.RESULTS.promote(solved), result)
            return (slope, unknowns, result), None

        # As a loop, so that the linear solver is compiled once.
        none = jax.tree.map(lambda leaf: jnp.zeros((3, *leaf.shape), leaf.dtype), y0)
        rows = (jnp.arange(3), *(jnp.asarray(table) for table in (_A[[1, 2, 2]], _C, _TIME)))
        (_, unknowns, result), _ = jax.lax.scan(stage, (start, none, diffrax.RESULTS.successful), rows)
        y1 = _tree.add(y0, _combine(_M, unknowns))
        error = _tree.where(_fine(result), _combine(_M_ERROR, unknowns), jnp.inf)
        k0, k1 = (_combine(end, unknowns) for end in _ENDS)
        return y1, error, {"y0": y0, "y1": y1, "k0": k0, "k1": k1}, None, result


def _fine(result: diffrax.RESULTS) -> Any:
    return result == diffrax.RESULTS.successful


def _combine(weights: Any, stages: State) -> State:
    """The weighted sum of the stages."""
    return jax.tree.map(lambda leaf: jnp.tensordot(jnp.asarray(weights, leaf.dtype), leaf, axes=1), stages)
