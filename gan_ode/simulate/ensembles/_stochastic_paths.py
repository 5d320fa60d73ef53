from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ... import _checks, _tree
from ..._lowering import jit
from ..._types import Args, RealScalarLike, State
from ...noise import SDE, stratonovich_drift
from ...solvers import _requirements
from .. import _inputs
from .._diffrax_controllers import Fixed
from .._flow import fixed_steps, Method, solve_terms
from .._orbit import Orbit
from . import _chunks

_CHUNK_SIZE = 512


def paths(
    sde: SDE,
    y0: Any,
    ts: Float[Array, " times"],
    *,
    key: PRNGKeyArray,
    num_paths: int,
    step_size: RealScalarLike,
    args: Args = None,
    solver: diffrax.AbstractSolver | None = None,
    chunk_size: int | None = None,
) -> Orbit:
    r"""Follows many random paths of a stochastic differential equation from one start, by Diffrax.

    The equation is Itô's, whatever the solver: one that converges to Stratonovich's solution (`diffrax.Heun`,
    `diffrax.EulerHeun`, `diffrax.SPaRK`) gets the drift `noise.stratonovich_drift`, at the cost of a derivative of the
    noise for each Brownian motion. Means over paths have an error of the first order in the solver's step, except for
    solvers of a higher order on `noise.Frozen` noise (`diffrax.ShARK`, `diffrax.SRA1`).

    Args:
        sde: Drift and diffusion, for example `noise.of_minibatches(field, 0.1, batch_size=64)`.
        y0: State at `ts[0]`: any pytree of floating-point arrays of one dtype, for a game `Players`.
        ts: Times to save at, increasing, shape `(times,)`, each a multiple of `step_size` after the first.
        key: Randomness: path `i` is a function of `jax.random.split(key, num_paths)[i]`.
        num_paths: How many paths.
        step_size: The solver's step. The update's own, which the noise stands for, is in the diffusion, and need not be
            the same; a fraction of it keeps the solver's error below what is looked for.
        args: Handed to drift and diffusion: the population.
        solver: Any Diffrax solver for stochastic equations whose noise does not commute; `diffrax.Euler()`
            (Euler-Maruyama) by default.
        chunk_size: Paths to a chunk; 512 by default.

    Returns:
        One `Orbit` with a leading axis of paths on every leaf, `ts` included.

    Raises:
        ValueError: If an argument cannot work; the text names it, and the remedy.
    """
    _check_sde(sde)
    y0 = _inputs.state(y0)
    ts = _inputs.times(ts, _tree.dtype(y0))
    num_paths = _checks.count("num_paths", num_paths)
    solver = diffrax.Euler() if solver is None else solver
    _requirements.check_for_sde(solver, sde.diffusion.additive)
    step, max_steps = fixed_steps(step_size, ts, None)
    _check_times(ts, step)
    _check_draws(ts, step)
    how = Method(
        solver, Fixed(), step, None, max_steps, False, diffrax.ForwardMode(), diffrax.NoProgressMeter(),
    )  # fmt: skip
    _checks.fits_in_memory("num_paths", _inputs.num_bytes(y0, num_paths * ts.shape[0]), "save at fewer times.")
    _inputs.same_structure(sde.drift, ts[0], y0, args)
    size = _CHUNK_SIZE if chunk_size is None else _checks.count("chunk_size", chunk_size)
    keys = jax.random.split(key, num_paths)
    shared = sde, y0, ts, args, how
    if _checks.is_traced((keys, shared)):
        return _solve_all(keys, *shared)
    in_order = jnp.arange(num_paths, dtype=ts.dtype)
    return _chunks.map_chunks(lambda some, rest: _solve_all(some, *rest), keys, size, starts=in_order, shared=shared)


@jit
def _solve_all(keys: Any, sde: SDE, y0: State, ts: Array, args: Args, how: Method) -> Orbit:
    levy_area = _requirements.levy_area(how.solver)
    shapes = sde.diffusion.increments(y0, args)
    if _requirements.is_stratonovich(how.solver):
        sde = SDE(stratonovich_drift(sde), sde.diffusion)

    def one(key: Any) -> Orbit:
        # Every step draws anew; with a fixed step that is all that a Brownian path is asked for.
        path = diffrax.UnsafeBrownianPath(shapes, key, levy_area)
        return solve_terms(sde.terms(path), y0, ts, args, how)[0]

    return eqx.filter_vmap(one)(keys)


def _check_sde(sde: Any) -> None:
    if isinstance(sde, type) or not (hasattr(sde, "drift") and hasattr(sde, "diffusion")):
        found = f"the class {sde.__name__}" if isinstance(sde, type) else type(sde).__name__
        raise ValueError(
            f"`sde` must have a drift and a diffusion, but is {found}: give `noise.SDE(field, diffusion)`, for example "
            "`noise.of_minibatches(field, 0.1, batch_size=64)`; a field alone is followed by `flow`."
        )
    _inputs.a_field(sde.drift, "sde.drift")


def _check_draws(ts: Float[Array, " times"], step_size: Array) -> None:
    """Diffrax draws by the times of a step in 32 bits: where these do not tell steps apart, it draws the same again."""
    if _checks.is_traced((ts, step_size)):
        return
    latest = float(np.max(np.abs(np.asarray(ts))))
    if float(step_size) < np.spacing(np.float32(latest)):
        raise ValueError(
            f"`ts` must lie where single precision tells steps of {float(step_size):g} apart, but goes to {latest:g}, "
            "and neighboring steps would get the same noise: let the times start at 0, or take longer steps."
        )


def _check_times(ts: Float[Array, " times"], step_size: Array) -> None:
    """Between steps a path would be interpolated, which takes variance from it."""
    if _checks.is_traced((ts, step_size)):
        return
    steps = (np.asarray(ts) - float(ts[0])) / float(step_size)
    off = np.abs(steps - np.round(steps)) > 1e-4 * np.maximum(1, steps)
    if np.any(off):
        raise ValueError(
            f"`ts` must lie on the steps, but {float(ts[np.argmax(off)]):g} is {steps[np.argmax(off)]:.4g} steps of "
            f"{float(step_size):g} after the first: choose times that are multiples of `step_size` after it."
        )
