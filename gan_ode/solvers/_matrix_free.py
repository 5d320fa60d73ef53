"""The root finder of implicit steps for states too large for a Jacobian."""

from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import optimistix as optx
from jaxtyping import Array, PyTree

from .. import _tree
from .._types import RealScalarLike, Scalar
from ._gmres import GMRES


def matrix_free(linear_solver: lx.AbstractLinearSolver | None = None, *, kappa: RealScalarLike = 1e-2) -> Any:
    """A root finder for Diffrax's implicit solvers that never forms a Jacobian.

    `flow(field, y0, ts, solver=diffrax.Kvaerno3(root_finder=solvers.matrix_free()))`, and likewise for every implicit
    solver of Diffrax, and for `solvers.Rodas3`. Memory grows linearly with the parameters: the Jacobian appears only
    in products. The tolerances are those of the step size controller. In reverse mode Diffrax's implicit solvers still
    form the Jacobian, which is Optimistix's way through a root; `Rodas3` does not.

    Args:
        linear_solver: A Lineax solver; `solvers.GMRES(atol=0.02)` by default. It is given systems in units of the
            step's tolerances: an `atol` of 0.02 is a fiftieth of what the step may err by. `lineax.GMRES` and
            `lineax.BiCGStab` work too: give them `norm=optimistix.rms_norm` and a `max_steps`, and to differentiate
            `Rodas3` in reverse mode an `atol` of 0, since cotangents are not in those units.
        kappa: Error of the root in units of the tolerances.

    Returns:
        A `solvers.InexactChord` that waits for the step size controller's tolerances.
    """
    linear_solver = GMRES(atol=0.02) if linear_solver is None else linear_solver
    return diffrax.with_stepsize_controller_tols(InexactChord)(linear_solver=linear_solver, kappa=kappa)


class _State(eqx.Module):
    jacobian: lx.AbstractLinearOperator
    diffsize: Scalar
    diffsize_prev: Scalar
    result: optx.RESULTS
    step: Array


class InexactChord(optx.AbstractRootFinder[Any, Any, Any, Any]):
    r"""The chord method, its linear systems solved to the precision that the root needs.

    As `diffrax.VeryChord`, which linearizes once in a step, for linear solvers that iterate: those of `VeryChord` may
    hold nothing but arrays. (It also goes on for as long as the differences shrink, where `VeryChord` gives up after
    two.) The system $J d = f(y)$ is solved for $w^{-1} d$, with the residual $w^{-1} r$ in the units
    $w = $ `atol` + `rtol` $|y|$ of the tolerances. Usually made by `matrix_free`.

    Source: Hairer and Wanner (1996), Solving Ordinary Differential Equations II, section IV.8, for when to stop;
    Brown, Byrne and Hindmarsh (1989), SIAM J. Sci. Stat. Comput. 10, 1038, for the units.

    Args:
        rtol: Relative tolerance.
        atol: Absolute tolerance.
        norm: How the entries' errors make one number.
        kappa: Error of the root in units of the tolerances.
        linear_solver: A Lineax solver.
    """

    rtol: RealScalarLike
    atol: RealScalarLike
    norm: Callable[[PyTree], Any] = optx.rms_norm
    kappa: RealScalarLike = 1e-2
    linear_solver: lx.AbstractLinearSolver = GMRES(atol=0.02)

    def init(
        self, fn: Callable, y: Any, args: Any, options: dict[str, Any], f_struct: Any, aux_struct: Any, tags: Any
    ) -> _State:
        if "init_state" in options:
            return options["init_state"]
        jacobian = lx.linearise(lx.JacobianLinearOperator(lambda y, args: fn(y, args)[0], y, args, tags=tags))
        size = jnp.asarray(jnp.inf, _tree.dtype(y))
        return _State(jacobian, size, jnp.ones_like(size), optx.RESULTS.successful, jnp.asarray(0))

    def step(
        self, fn: Callable, y: Any, args: Any, options: dict[str, Any], state: _State, tags: Any
    ) -> tuple[Any, _State, Any]:
        value, aux = fn(y, args)
        units = self.units(y)
        diff, result = self.solve(state.jacobian, value, units)
        # `lineax.BiCGStab` divides by zero where half an iteration is exact, as for the identity of an explicit first
        # stage. There this is the solution; where it is not, the next difference shows it.
        solved = _tree.all_finite(diff)
        diff = _tree.where(solved, diff, value)
        result = optx.RESULTS.where(solved, result, optx.RESULTS.successful)
        y = _tree.subtract(y, diff)
        size = self.norm(jax.tree.map(jnp.divide, diff, units)).astype(state.diffsize.dtype)
        return y, _State(state.jacobian, size, state.diffsize, result, state.step + 1), aux

    def terminate(
        self, fn: Callable, y: Any, args: Any, options: dict[str, Any], state: _State, tags: Any
    ) -> tuple[Any, optx.RESULTS]:
        rate = state.diffsize / state.diffsize_prev
        # What is still missing, if the differences go on shrinking like this.
        missing = state.diffsize * rate / (1 - rate)
        converged = (state.diffsize < self.kappa) | ((state.step >= 2) & (rate < 1) & (missing < self.kappa))
        diverged = (state.step >= 2) & ~(rate <= 2) & ~converged
        failed = state.result != optx.RESULTS.successful
        result = optx.RESULTS.where(
            failed,
            state.result,
            optx.RESULTS.where(diverged, optx.RESULTS.nonlinear_divergence, optx.RESULTS.successful),
        )
        # Before the first iteration the difference is infinite.
        return (state.step >= 1) & (converged | diverged | failed), result

    def postprocess(
        self, fn: Callable, y: Any, aux: Any, args: Any, options: dict[str, Any], state: _State, tags: Any, result: Any
    ) -> tuple[Any, Any, dict[str, Any]]:
        return y, aux, {}

    def units(self, y: Any) -> Any:
        """What each entry may err by; never zero, lest a system be divided by it."""
        least = jnp.finfo(_tree.dtype(y)).tiny ** 0.5
        return jax.tree.map(
            lambda leaf: jnp.maximum(self.atol + self.rtol * jnp.abs(leaf), least).astype(leaf.dtype), y
        )

    def solve(self, operator: lx.AbstractLinearOperator, right: Any, units: Any) -> tuple[Any, optx.RESULTS]:
        """The solution of a linear system, with its residual measured in the given units."""

        def scaled(v: Any) -> Any:
            return jax.tree.map(jnp.divide, operator.mv(jax.tree.map(jnp.multiply, units, v)), units)

        solution = lx.linear_solve(
            lx.FunctionLinearOperator(scaled, jax.eval_shape(lambda: right)),
            jax.tree.map(jnp.divide, right, units),
            self.linear_solver,
            throw=False,
        )
        return jax.tree.map(jnp.multiply, units, solution.value), optx.RESULTS.promote(solution.result)
