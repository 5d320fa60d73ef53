"""A cycle of a branch from a guess: Newton's method on the collocation equations, condensed to the mesh."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Complex, Float, Int

from ..._lowering import jit_quickly
from ..._types import Scalar
from ..arclength._motion import OfFields
from ._chain import solve_chain
from ._collocation import adapted, Chart, DEGREE, INNER, integral, norm, Path, product, WEIGHTS
from ._multipliers import multipliers_of

# Newton's method stops at a step this short, whose square is rounding; what does not shrink any more this near has come
# to rounding as well.
_ENOUGH, _NEAR = {4: 1e-4, 8: 1e-9}, {4: 1e-3, 8: 1e-6}
_MOST_STEPS, _CONTRACTS = 10, 0.7


class Cycle(eqx.Module):
    """A point of a branch of cycles.

    Attributes:
        mesh: Where intervals begin and end, as shares of the period.
        path: The cycle.
        tangent: The branch's unit tangent.
        multipliers: All Floquet multipliers but the 1 of a shift along the cycle, by falling modulus.
        ok: Whether Newton's method converged.
        finite: Whether the field was finite all the way.
        contraction: By how much Newton's first steps shrank; small for a good guess.
        count: Newton's steps.
        seen: What the walk along the branch goes by.
    """

    mesh: Float[Array, " ends"]
    path: Path
    tangent: Path
    multipliers: Complex[Array, " others"]
    ok: Bool[Array, ""]
    finite: Bool[Array, ""]
    contraction: Scalar
    count: Int[Array, ""]
    seen: "Seen"


class Seen(eqx.Module):
    """What a cycle looks like, and how it differs from the one before.

    Attributes:
        mean: Its mean state.
        amplitude: Its mean distance from that, in units of the chart.
        overlap: The product of both deviations: negative where a Hopf point was passed.
        turned: The cosine of the angle between the direction that was searched along, and the tangent.
        moved: The distance.
        slowest: The least speed by the greatest.
    """

    mean: Float[Array, " n"]
    amplitude: Scalar
    overlap: Scalar
    turned: Scalar
    moved: Scalar
    slowest: Scalar


class _Search(eqx.Module):
    path: Path
    shift: Scalar
    count: Int[Array, ""]
    done: Bool[Array, ""]
    failed: Bool[Array, ""]
    finite: Bool[Array, ""]
    contraction: Scalar


class _Linear(eqx.Module):
    """The collocation equations near a path, each interval solved for the derivatives within it.

    Attributes:
        inner: Derivatives by the state where the interval begins, shape `(intervals, 4, n, n)`.
        others: By the logarithm of the period, by the parameter, and what is left over, `(intervals, 4, n, 3)`.
        blocks: What an interval makes of a displacement, `(intervals, n, n)`.
        traces: The trace of the field's Jacobian times the period at the Gauss points.
    """

    inner: Array
    others: Array
    blocks: Array
    traces: Array


def linear_of(family: OfFields, chart: Chart, mesh: Array, path: Path) -> _Linear:
    intervals, n = path.x.shape
    lengths, period = jnp.diff(mesh), jnp.exp(path.log_period)
    value = chart.value(path.share)

    def at(x: Array) -> tuple[Array, Array, Array]:
        velocity, by_value = jax.jvp(lambda v: family.residual(x, v), (value,), (jnp.ones_like(value),))
        return velocity, jax.jacfwd(family.residual)(x, value), by_value * chart.width

    velocity, jacobian, by_share = jax.vmap(jax.vmap(at))(path.inside(mesh))
    velocity, jacobian, by_share = period * velocity, period * jacobian, period * by_share
    spread = jnp.einsum("i,jl,ijab->ijalb", lengths, INNER, jacobian).reshape(intervals, DEGREE * n, DEGREE * n)
    left = jnp.eye(DEGREE * n, dtype=spread.dtype) - spread
    rest = jnp.stack([velocity, by_share, velocity - path.k], axis=-1)
    right = jnp.concatenate([jacobian, rest], axis=-1).reshape(intervals, DEGREE * n, n + 3)
    solved = jnp.linalg.solve(left, right).reshape(intervals, DEGREE, n, n + 3)
    inner, others = solved[..., :n], solved[..., n:]
    blocks = jnp.eye(n, dtype=spread.dtype) + jnp.einsum("i,j,ijab->iab", lengths, WEIGHTS, inner)
    return _Linear(inner, others, blocks, jnp.trace(jacobian, axis1=-2, axis2=-1))


def _solved(linear: _Linear, mesh: Array, path: Path, rows: list[tuple[Array, Array, Array, Array]]) -> list[Path]:
    """Newton's step, and the solution of the equations with 0 but for the 1 of the last row.

    Args:
        linear: The condensed equations.
        mesh: The mesh.
        path: Where they were linearized.
        rows: Two more equations: weights of the states at the Gauss points, of the logarithm of the period and of the
            parameter, and the right-hand side.
    """
    lengths = jnp.diff(mesh)
    gains = jnp.einsum("i,j,ijac->iac", lengths, WEIGHTS, linear.others)
    now = path.x + jnp.einsum("i,j,ijn->in", lengths, WEIGHTS, path.k)
    gap = jnp.roll(path.x, -1, axis=0) - now - gains[..., 2]
    borders, corner, sides = [], [], []
    for weights, by_period, by_share, side in rows:
        # Through the derivatives within an interval to where it begins.
        through = jnp.einsum("i,ijn,jl->iln", lengths, weights, INNER)
        by_x = jnp.sum(weights, axis=1) + jnp.einsum("ila,ilab->ib", through, linear.inner)
        by_others = jnp.einsum("ila,ilac->c", through, linear.others)
        borders.append(by_x)
        corner.append(jnp.stack([by_period + by_others[0], by_share + by_others[1]]))
        sides.append(side - by_others[2])
    right = jnp.stack([gap, jnp.zeros_like(gap)], axis=-1)
    aim = jnp.asarray([0, 1], path.x.dtype)
    bottom = jnp.stack([jnp.stack(sides), aim], axis=-1)
    states, numbers = solve_chain(linear.blocks, gains[..., :2], right, jnp.stack(borders), jnp.stack(corner), bottom)

    def change(which: int) -> Path:
        x, (by_period, by_share) = states[..., which], numbers[:, which]
        others = jnp.stack([by_period, by_share, jnp.asarray(1 - which, x.dtype)])
        k = jnp.einsum("ijab,ib->ija", linear.inner, x) + linear.others @ others
        return Path(x, k, by_period, by_share)

    return [change(0), change(1)]


def correct(
    family: OfFields, chart: Chart, mesh: Array, guess: Path, phase: Float[Array, "intervals 4 n"], border: Path
) -> Cycle:
    """The cycle of a branch in the hyperplane through a guess, across a direction.

    Args:
        family: The fields.
        chart: The units.
        mesh: Where intervals begin and end.
        guess: Where to start.
        phase: Derivatives of a cycle near by: along them, on the whole, the guess is not shifted.
        border: The direction, of length 1. The branch's tangent points to its side.
    """
    shares = jnp.diff(mesh)[:, None, None] * WEIGHTS[None, :, None]
    along = shares * phase / jnp.sqrt(integral(mesh, jnp.sum(phase**2, axis=-1))) / chart.size
    across = shares * border.inside(mesh) / chart.size**2
    zero, itemsize = jnp.zeros((), guess.x.dtype), max(guess.x.dtype.itemsize, 4)

    def step_from(path: Path) -> tuple[Path, Path, _Linear]:
        off = jax.tree.map(lambda a, b: a - b, guess, path)
        linear = linear_of(family, chart, mesh, path)
        rows = [
            (along, zero, zero, jnp.sum(along * off.inside(mesh))),
            (across, border.log_period, border.share, product(chart, mesh, border, off)),
        ]
        step, tangent = _solved(linear, mesh, path, rows)
        return step, tangent, linear

    def advance(search: _Search) -> _Search:
        step, _, _ = step_from(search.path)
        shift = norm(chart, mesh, step)
        finite = jnp.isfinite(shift)
        done = finite & (shift <= _ENOUGH[itemsize])
        ratio = jnp.where(search.count > 0, shift / search.shift, 0)
        stuck = (ratio > _CONTRACTS) & ~done
        near = finite & (shift <= _NEAR[itemsize])
        path = jax.tree.map(lambda a, b: jnp.where(finite, a + b, a), search.path, step)
        return _Search(
            path,
            shift,
            search.count + 1,
            done | (stuck & near),
            ~finite | (stuck & ~near) | (shift > 10),
            search.finite & finite,
            jnp.where(search.count == 1, ratio, search.contraction),
        )

    def goes_on(search: _Search) -> Array:
        return ~search.done & ~search.failed & (search.count < _MOST_STEPS)

    no, yes = jnp.asarray(False), jnp.asarray(True)
    end = jax.lax.while_loop(goes_on, advance, _Search(guess, zero, jnp.asarray(0), no, no, yes, zero))
    _, tangent, linear = step_from(end.path)
    length = norm(chart, mesh, tangent)
    tangent = jax.tree.map(lambda leaf: leaf / jnp.where(length > 0, length, 1), tangent)
    # The field's, not the polynomials', whose derivatives are of lower order.
    value = chart.value(end.path.share)
    velocities = jax.vmap(lambda x: family.residual(x, value))(end.path.x)
    divergence = integral(mesh, linear.traces)
    multipliers = multipliers_of(linear.blocks, velocities, divergence)
    ok = end.done & jnp.isfinite(length) & jnp.all(jnp.isfinite(multipliers))
    nothing = Seen(end.path.x[0], zero, zero, zero, zero, zero)
    return Cycle(mesh, end.path, tangent, multipliers, ok, end.finite, end.contraction, end.count, nothing)


@jit_quickly
def follow(
    family: OfFields, chart: Chart, here: Cycle, step: Scalar, border: Path, phase: Array, adapt: Bool[Array, ""]
) -> tuple[Cycle, Cycle]:
    """A cycle beside another one: a step along its tangent, and from there by Newton's method.

    One program does all that is done along a branch, so that it compiles once.

    Args:
        family: The fields.
        chart: The units.
        here: A cycle, or a guess at the first one.
        step: How far to go along its tangent.
        border: The direction across which the new one is searched.
        phase: Derivatives at the Gauss points, along which the cycle is not shifted.
        adapt: Whether to take a mesh that is adapted to the cycle.

    Returns:
        The cycle on the mesh of the new one, and the new one.
    """
    mesh = jnp.where(adapt, adapted(here.path, here.mesh), here.mesh)
    still = Path(here.path.x, phase, here.path.log_period, here.path.share)
    # The phase's states mean nothing: its derivatives alone are moved.
    phase = still.on(here.mesh, mesh).k
    path, tangent, border = (each.on(here.mesh, mesh) for each in (here.path, here.tangent, border))
    there = correct(family, chart, mesh, path.moved(step, tangent), phase, border)
    base = eqx.tree_at(lambda c: (c.mesh, c.path, c.tangent), here, (mesh, path, tangent))
    return base, eqx.tree_at(lambda c: c.seen, there, _seen(chart, mesh, path, there, border))


def _seen(chart: Chart, mesh: Array, before: Path, cycle: Cycle, border: Path) -> "Seen":
    now, past = cycle.path.inside(mesh), before.inside(mesh)

    def deviation(states: Array) -> tuple[Array, Array]:
        mean = jnp.einsum("i,j,ijn->n", jnp.diff(mesh), WEIGHTS, states)
        return mean, states - mean

    (mean, swing), (_, old) = deviation(now), deviation(past)
    speed = jnp.linalg.norm(cycle.path.k, axis=-1)
    return Seen(
        mean=mean,
        amplitude=jnp.sqrt(integral(mesh, jnp.sum(swing**2, axis=-1))) / chart.size,
        overlap=integral(mesh, jnp.sum(swing * old, axis=-1)) / chart.size**2,
        turned=product(chart, mesh, border, cycle.tangent),
        moved=norm(chart, mesh, jax.tree.map(lambda a, b: a - b, cycle.path, before)),
        slowest=jnp.min(speed) / jnp.max(speed),
    )
