from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from .. import _checks, _tree
from .._jax import while_loop
from .._types import Args, RealScalarLike, Scalar, State
from ._power_iteration import spectral_radius, start_direction

_DAMPING = 2 / 13


class RKC2(diffrax.AbstractAdaptiveSolver[Any]):
    r"""A Runge-Kutta-Chebyshev step: explicit, of second order, and stable far along the negative real axis.

    A Diffrax solver, for fields that are stiff because they damp. With $s$ evaluations of the field it is stable for
    eigenvalues from $-0.65 (s^2 - 1) / h$ to 0, so that a step $m$ times as long takes $\sqrt m$ times the evaluations;
    an ordinary explicit solver would take $m$ times. Each step takes as many stages as it needs for $h$ times the
    spectral radius, which a power iteration on `jax.jvp` follows from step to step (one or two products each). It keeps
    five states, whatever the number of stages.

    Not for fields that turn faster than they damp: along the negative axis the region of stability is a strip, in units
    of $1/h$ about $0.4 s$ to each side over most of its length, and down to about 1 near the origin. Where an
    eigenvalue lies outside, the error estimate sees the growth, and shortens the step until it is stable: the result is
    right, and costs as many steps as an ordinary second-order method. The error estimate is the published one; dense
    output is of second order at least.

    Source: Sommeijer, Shampine and Verwer (1998), J. Comput. Appl. Math. 88, 315, equations 2.1 to 2.10, with the
    damping 2/13; the power iteration is on the exact derivative, instead of on differences.

    Args:
        max_stages: Most stages in a step. A step that would need more is rejected, and tried shorter. The rounding
            error of a step grows like the square of its stages: in float32 take no more than 200.
        safety: The spectral radius is taken as this much larger than it was found: it may grow along the step.
        scan_kind: How the loop over the stages is differentiated, as in Diffrax's Runge-Kutta solvers: by default in
            reverse mode alone; `"lax"` is for forward mode alone, `"bounded"` for both.

    Raises:
        ValueError: If `max_stages` is not a whole number of at least 2.
    """

    max_stages: int = eqx.field(static=True)
    safety: RealScalarLike
    scan_kind: Literal["lax", "checkpointed", "bounded"] | None

    term_structure: ClassVar[Any] = diffrax.ODETerm
    interpolation_cls: ClassVar[Callable[..., Any]] = diffrax.ThirdOrderHermitePolynomialInterpolation

    def __init__(
        self,
        max_stages: int = 200,
        safety: RealScalarLike = 1.2,
        scan_kind: Literal["lax", "checkpointed", "bounded"] | None = None,
    ):
        self.max_stages = _checks.count("max_stages", max_stages, least=2)
        self.safety = safety
        self.scan_kind = scan_kind

    def order(self, terms: Any) -> int:
        return 2

    def error_order(self, terms: Any) -> int:
        """The estimate is of the error of a step, which is of third order."""
        return 3

    def func(self, terms: Any, t0: RealScalarLike, y0: State, args: Args) -> State:
        return terms.vf(t0, y0, args)

    def init(self, terms: Any, t0: RealScalarLike, t1: RealScalarLike, y0: State, args: Args) -> "_Memory":
        velocity = terms.vf(t0, y0, args)
        return _Memory(velocity, start_direction(velocity), jnp.zeros((), _tree.dtype(y0)))

    def step(
        self, terms: Any, t0: Any, t1: Any, y0: State, args: Args, solver_state: "_Memory", made_jump: Any
    ) -> tuple[State, State, dict[str, State], "_Memory", diffrax.RESULTS]:
        velocity = solver_state.velocity
        if made_jump is not False:
            velocity = _tree.where(jnp.asarray(made_jump), terms.vf(t0, y0, args), velocity)
        radius, direction = spectral_radius(terms, t0, y0, args, solver_state.direction, solver_state.radius)
        needed = _stages(jnp.abs(t1 - t0) * self.safety * radius)
        possible = needed <= self.max_stages
        stages = jnp.where(possible, jnp.maximum(needed, 2), 2).astype(int)

        control = terms.contr(t0, t1)
        first = terms.prod(velocity, control)

        def increment(c: Scalar, moved: State) -> State:
            t = t0 + c.astype(jnp.result_type(t0)) * (t1 - t0)
            return terms.prod(terms.vf(t, _tree.add(y0, moved), args), control)

        moved = _chebyshev(increment, first, stages, self.max_stages, self.scan_kind or "checkpointed")
        y1 = _tree.where(possible, _tree.add(y0, moved), y0)
        velocity1 = terms.vf(t1, y1, args)
        last = terms.prod(velocity1, control)
        error = _tree.step(_tree.scale(-0.8, moved), 0.4, _tree.add(first, last))
        error = _tree.where(possible, error, jnp.inf)
        dense = {"y0": y0, "y1": y1, "k0": first, "k1": last}
        result = diffrax.RESULTS.where(possible, diffrax.RESULTS.successful, diffrax.RESULTS.internal_error)
        return y1, error, dense, _Memory(velocity1, direction, radius), result


class _Memory(eqx.Module):
    """What a step hands to the next: the velocity, and the leading eigenvalue's direction and modulus."""

    velocity: State
    direction: State
    radius: Scalar


def _stages(span: Scalar) -> Array:
    """How many stages are stable for this time step times spectral radius: for a float, since it may be large."""
    return jnp.floor(jnp.sqrt(1 + 1.54 * span)) + 1


class _Polynomials(NamedTuple):
    """A Chebyshev polynomial of the first kind and its two derivatives, at one point."""

    value: Scalar
    slope: Scalar
    curvature: Scalar


def _next(point: Scalar, now: _Polynomials, before: _Polynomials) -> _Polynomials:
    return _Polynomials(
        2 * point * now.value - before.value,
        2 * point * now.slope + 2 * now.value - before.slope,
        2 * point * now.curvature + 4 * now.slope - before.curvature,
    )


def _chebyshev(increment: Callable, first: State, stages: Int[Array, ""], max_stages: int, kind: Any) -> State:
    """What the state moves by in a step, by a three-term recursion over the stages."""
    dtype = _tree.dtype(first)
    zero, one = jnp.zeros((), dtype), jnp.ones((), dtype)
    point = 1 + jnp.asarray(_DAMPING, dtype) / stages.astype(dtype) ** 2
    start = _Polynomials(point, one, zero), _Polynomials(one, zero, zero)
    end, _ = jax.lax.fori_loop(1, stages, lambda _, pair: (_next(point, *pair), pair[0]), start)
    scale = end.slope / end.curvature
    second = _next(point, *start)
    b0, b1 = second.curvature / second.slope**2, 1 / point
    origin = _tree.zeros_like(first)
    state = jnp.asarray(1), start, (b1, b0), (b1 * scale, zero), (_tree.scale(b1 * scale, first), origin)

    def unfinished(carry: tuple) -> Array:
        return carry[0] < stages

    def stage(carry: tuple) -> tuple:
        j, polynomials, (b, b_before), (c, c_before), (moved, moved_before) = carry
        following = _next(point, *polynomials)
        b_next = following.curvature / following.slope**2
        mu, nu, mu_tilde = 2 * b_next * point / b, -b_next / b_before, 2 * b_next * scale / b
        gamma = -(1 - b * polynomials[0].value) * mu_tilde
        # In what the state moved by, the start drops out of the recursion, and with it most of the rounding.
        past = _tree.step(_tree.scale(mu, moved), nu, moved_before)
        pull = _tree.step(_tree.scale(gamma, first), mu_tilde, increment(c, moved))
        c_next = mu * c + nu * c_before + mu_tilde + gamma
        return j + 1, (following, polynomials[0]), (b_next, b), (c_next, c), (_tree.add(past, pull), moved)

    return while_loop(unfinished, stage, state, max_steps=max_stages, kind=kind)[-1][0]
