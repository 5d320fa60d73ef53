r"""The local theory of Nagarajan and Kolter, as numbers at a state.

Source: Nagarajan and Kolter (2017), arXiv:1706.04156, sections 3 and 4; rederived.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Complex, Float

from ... import _tree
from ..._lowering import jit
from ..._problem import state_of
from ..._types import Args, RealScalarLike, Scalar
from ...fields import GameField
from ...games import Players
from ...losses import AbstractScoreLoss, AtEquilibrium
from ...regularizers import GradientNorm, unwrap
from ..equilibria import Equilibrium
from ..linearization._jacobian import by_real_part, check_dense, eigenvalues_of, field_jacobian
from ..linearization._preconditions import demand, inspect, LINEAR, nan_unless
from ._checks import Assumption, curvature, fixed_support, full_rank, realizability
from ._eigenvalue_bounds import eigenvalue_bounds, EigenvalueBounds, is_zero, or_one, sheared, stable_etas

# Blocks of Jacobians of order one agree to rounding of sums over nodes; their differences count as none below its root.
_SAME = 0.5


class Assumptions(eqx.Module):
    r"""The assumptions of the theory at a state, and what it says there; print it to read it.

    All are arrays, so that `jax.vmap` over a game's parameters works; only the string needs concrete values. Matrices
    are those of the field with unit rates, the discriminator's parameters first.

    Attributes:
        realizability: (I) $p_G = p_{data}$, and $D = 0$ on the support; or what the loss has in the place of 0.
        curvature: (II) $f''(0) < 0$ and $f'(0) \ne 0$; or what the loss has in their place.
        full_rank: (III) $K_{DD}$ and $K_{DG}^T K_{DG}$ are regular, or flat along their null spaces.
        fixed_support: (IV) The support of $p_G$ does not move, or only where $D$ stays 0.
        k_dd: $K_{DD} = E_{data}[\nabla D\, \nabla D^T]$.
        k_dg: $K_{DG} = -\partial_{\theta_G} E_z[\nabla D(G(z))]$. (The paper's integral over $\nabla p_G$ with the sign
            that the field's Jacobian has.)
        residual: Norm of the velocity: 0 at an equilibrium.
        still: Whether the state is an equilibrium: each component of the velocity is small against those near by.
        feature_gap: $\lVert E_{data} \nabla D - E_G \nabla D\rVert$: 0 where the moments that $D$ sees match, also if
            $p_G \ne p_{data}$.
        eta: Weight of the gradient-norm regularizer in the game, 0 if it has none.
        jacobian: The field's, by automatic differentiation of the velocity.
        assembled: The theory's, from $K_{DD}$, $K_{DG}$, $f'(0)$, $f''(0)$ and $\eta$.
        mismatch: Their distance, relative to the field's.
        eigenvalues: Of the field's Jacobian, by falling real part.
        bounds: The theory's upper bounds on the real parts of eigenvalues other than zero; NaN where it does not apply.
        guaranteed_etas: The open interval of weights for which the paper's theorem guarantees stability, NaN where its
            assumptions fail: $0 < \eta < 1 / (2 \lambda_{max}(-J_{DD}))$, or every $\eta > 0$ where $J_{DD} = 0$.
        stable_etas: The interval of weights for which the field's Jacobian is found to be stable (on the complement of
            its null space), NaN if there is none, or no equilibrium. Negative weights are within, if they are stable. A
            regularizer that the game has is taken off before; it must be the outermost penalty.
        scanned: The weights were scanned up to this size; an end of `stable_etas` as large was not reached.
    """

    realizability: Assumption
    curvature: Assumption
    full_rank: Assumption
    fixed_support: Assumption
    k_dd: Float[Array, "d d"]
    k_dg: Float[Array, "d g"]
    residual: Scalar
    still: Bool[Array, ""]
    feature_gap: Scalar
    eta: Scalar
    jacobian: Float[Array, "n n"]
    assembled: Float[Array, "n n"]
    mismatch: Scalar
    eigenvalues: Complex[Array, " n"]
    bounds: EigenvalueBounds
    guaranteed_etas: Float[Array, "2"]
    stable_etas: Float[Array, "2"]
    scanned: Scalar

    @property
    def all_hold(self) -> Bool[Array, ""]:
        """Whether all four hold, some perhaps in the relaxed form."""
        both = self.realizability.holds & self.curvature.holds
        return both & self.full_rank.holds & self.fixed_support.holds

    def __str__(self) -> str:
        return _report(self)


def assumptions(game: Any, y: Players | Equilibrium, *, args: Args = None, check: bool = True) -> Assumptions:
    r"""Measures the assumptions of the theory at an equilibrium, and what follows from them.

    The Jacobian of the theory is

    $$J = \begin{pmatrix} 2 f''(0) K_{DD} & f'(0) K_{DG} \\ -f'(0) K_{DG}^T & 0 \end{pmatrix}, \qquad
    J_\eta = \begin{pmatrix} I & 0 \\ -2 \eta f'(0) K_{DG}^T & I \end{pmatrix} J .$$

    A generator that is not zero-sum pays its own slope $g'(0)$ in the place of $-f'(0)$ in the second row. Losses that
    pay data and samples by two functions, or pay pairs, have other numbers in the place of $f'(0)$ and $f''(0)$,
    another score than 0 at equilibrium, and the covariance of $\nabla D$ in the place of $K_{DD}$ where they pay pairs:
    see `losses.AtEquilibrium`. Penalties other than the gradient-norm regularizer add their own second derivatives.

    Data that no generator makes (a normal distribution learnt by a uniform one) are a case too: (I) fails by the
    distance of the two distributions, an equilibrium is where the moments that the discriminator sees match
    (`feature_gap`), and the assembled Jacobian is not the field's, by `mismatch`.

    Source: Nagarajan and Kolter (2017), arXiv:1706.04156, theorem 3.1 and section 4; rederived. The regularized second
    row is $-f'(0) K_{DG}^T (I + 4 \eta f''(0) K_{DD})$, $-2 \eta f'(0)^2 K_{DG}^T K_{DG}$.

    Args:
        game: A game of scores and samples (`AbstractSampledGame`), penalized or not.
        y: The players' parameters, at an equilibrium.
        args: As the game takes it. By quadrature the distances are those of its nodes; over a minibatch
            $p_G = p_{data}$ holds as well as sampling allows, and the margin says how well.
        check: Whether to look if the velocity has a linear part at `y`, and vanishes there. If not, it is taken for
            granted.

    Returns:
        The assumptions with their margins, the matrices, the bounds and the ranges of $\eta$. What follows from the
        Jacobian is NaN at a state that is no equilibrium; under a transformation all that needs one is NaN where the
        velocity is not smooth.

    Raises:
        ValueError: If the game does not score samples, or its velocity jumps or has a kink at `y` (WGAN-GP where the
            slope is 0, a hinge at a score of 1).
    """
    players: Players = state_of(y)
    inner, penalties = unwrap(game)
    if not hasattr(inner, "discriminate"):
        raise ValueError(
            f"`game` must score samples, but {type(inner).__name__} has no `discriminate`: the theory speaks of a "
            "discriminator and a generator, as of an `AbstractSampledGame`. For any field use `find_equilibria`."
        )
    seen = inspect(GameField(game), players, args=args) if check else None
    smooth = demand(seen, LINEAR) if seen is not None else jnp.asarray(True)
    measured = _measure(game, inner, penalties, players, args)
    linear = ("jacobian", "eigenvalues", "assembled", "undamped")
    measured |= nan_unless(smooth, {name: measured[name] for name in linear})
    measured["still"] = jnp.asarray(True) if seen is None else seen.still
    num = measured["k_dd"].shape[0]
    matrix, assembled, undamped, eta = (measured[name] for name in ("jacobian", "assembled", "undamped", "eta"))
    bounds, guaranteed, mismatch = _consequences(undamped, assembled, matrix, num, eta)
    needed = [measured[name].holds for name in ("realizability", "full_rank", "fixed_support")] + [measured["still"]]
    holds = jnp.all(jnp.stack([*needed, jnp.abs(measured["curvature"].measures["f'(0)"]) > 0]))
    bounds, guaranteed = jax.tree.map(lambda leaf: jnp.where(holds, leaf, jnp.nan), (bounds, guaranteed))
    # The shear is undone, which needs no theory: it holds at any equilibrium.
    stable, scanned = stable_etas(sheared(matrix, num, -eta), num)
    stable = jnp.where(smooth & measured["still"], stable, jnp.nan)
    del measured["undamped"]
    return Assumptions(
        **measured, mismatch=mismatch, bounds=bounds, guaranteed_etas=guaranteed, stable_etas=stable, scanned=scanned
    )


@jit
def _measure(game: Any, inner: Any, penalties: tuple, y: Players, args: Args) -> dict[str, Any]:
    """What needs the game. The rest is compiled once for all games of a size."""
    field = GameField(game)
    matrix = field_jacobian(field, y, args, check=False)
    k_dd, k_dg, mean, gap = _kernels(inner, y, args)
    of_loss = jax.tree.map(lambda leaf: leaf.astype(k_dd.dtype), _of_loss(inner, y, args))
    kernel, share = _damped(k_dd, mean, of_loss)
    corner = jnp.zeros((k_dg.shape[1], k_dg.shape[1]), k_dd.dtype)
    damping = 2 * of_loss.curvature * kernel
    plain = jnp.block([[damping, of_loss.slope * k_dg], [of_loss.generator_slope * k_dg.T, corner]])
    assembled, undamped, eta = _penalized(inner, penalties, plain, k_dd.shape[0], y, args)
    return {
        "realizability": realizability(inner, y, args, of_loss.score),
        "curvature": curvature(of_loss.slope, of_loss.curvature),
        "full_rank": full_rank(inner, y, args, kernel, k_dg, of_loss.score, share),
        "fixed_support": fixed_support(inner, y, args, kernel, share),
        "k_dd": k_dd,
        "k_dg": k_dg,
        "residual": _tree.norm(field(0.0, y, args)),
        "feature_gap": gap,
        "eta": eta,
        "jacobian": matrix,
        "eigenvalues": by_real_part(eigenvalues_of(matrix)),
        "assembled": assembled,
        "undamped": undamped,
    }


def _tolerance(dtype: Any) -> float:
    return float(jnp.finfo(dtype).eps) ** _SAME


def _of_loss(game: Any, y: Players, args: Args) -> AtEquilibrium:
    """What the theory needs of the loss. One that pays pairs may be at rest at any score: that of the data, then."""
    if isinstance(game.loss, AbstractScoreLoss):
        return game.loss.at_equilibrium()
    data, _ = game.measures(y, args)
    return game.loss.at_equilibrium(data.mean(jax.vmap(lambda x: game.discriminate(y.discriminator, x))(data.nodes)))


def _damped(k_dd: Array, mean: Array, of_loss: AtEquilibrium) -> tuple[Array, Scalar]:
    """The kernel that the curvature acts on, and the share of the mean in it: of pairs -1, which makes a covariance."""
    bent = of_loss.curvature != 0
    share = jnp.where(bent, of_loss.cross / jnp.where(bent, of_loss.curvature, 1), 0)
    return k_dd + share * jnp.outer(mean, mean), share


def _kernels(game: Any, y: Players, args: Args) -> tuple[Array, Array, Array, Scalar]:
    """$K_{DD}$, $K_{DG}$, the mean of the discriminator's gradient, and how far its expectations are apart."""
    data, latent = game.measures(y, args)
    generator, restore = ravel_pytree(y.generator)

    def feature(x: Array) -> Array:
        return ravel_pytree(jax.grad(game.discriminate)(y.discriminator, x))[0]

    def generated(g: Array) -> Array:
        made = jax.vmap(lambda z: feature(game.generate(restore(g), z)))(latent.nodes)
        return latent.weights.astype(made.dtype) @ made

    real = jax.vmap(feature)(data.nodes)
    check_dense(real.shape[1] + generator.size, real.dtype.itemsize)
    weights = data.weights.astype(real.dtype)
    mean = weights @ real
    gap = jnp.linalg.norm(mean - generated(generator))
    return (real.T * weights) @ real, -jax.jacfwd(generated)(generator), mean, gap


def _penalized(
    game: Any, penalties: tuple, matrix: Array, num: int, y: Players, args: Args
) -> tuple[Array, Array, Scalar]:
    """The assembled Jacobian with penalties; that without the gradient-norm regularizer; and the latter's weight."""
    undamped, eta = matrix, jnp.zeros((), matrix.dtype)
    for penalty in penalties:
        # By its class: the theorem is about this penalty and no other.
        if isinstance(penalty, GradientNorm) and type(penalty).losses is GradientNorm.losses:
            matrix = sheared(matrix, num, penalty.eta)
            eta = eta + penalty.eta.astype(matrix.dtype)
        else:
            bend = field_jacobian(_Descent(penalty, game), y, args, check=False)
            matrix, undamped = matrix + bend, undamped + bend
    return matrix, undamped, eta


class _Descent(eqx.Module):
    """The velocity that a penalty alone gives each player."""

    penalty: Any
    game: Any

    def __call__(self, t: RealScalarLike, y: Players, args: Args) -> Players:
        def paid(discriminator: Any, generator: Any) -> Players:
            return self.penalty.losses(self.game, Players(discriminator, generator), args)

        of_discriminator = jax.grad(lambda d: paid(d, y.generator).discriminator)(y.discriminator)
        of_generator = jax.grad(lambda g: paid(y.discriminator, g).generator)(y.generator)
        return jax.tree.map(jnp.negative, Players(of_discriminator, of_generator))


@jit
def _consequences(
    undamped: Array, assembled: Array, matrix: Array, num: int, eta: Scalar
) -> tuple[EigenvalueBounds, Array, Scalar]:
    """The bounds on the eigenvalues and the guaranteed weights, NaN where the Jacobian is not as the theory has it."""
    mismatch = jnp.linalg.norm(assembled - matrix) / or_one(jnp.linalg.norm(matrix))
    damping, coupling, back = -undamped[:num, :num], undamped[:num, num:], undamped[num:, :num]
    size = or_one(jnp.linalg.norm(undamped))
    # The generator's slope against the discriminator's. A similarity makes both blocks one, with the root of it.
    ratio = -jnp.sum(back * coupling.T) / or_one(jnp.sum(jnp.square(coupling)))
    form = jnp.stack(
        [
            jnp.linalg.norm(back + ratio * coupling.T),
            jnp.linalg.norm(undamped[num:, num:]),
            jnp.linalg.norm(damping - damping.T),
            jnp.linalg.norm(assembled - sheared(undamped, num, eta)) / (1 + eta * size),
        ]
    )
    symmetric = (damping + damping.T) / 2
    values, vectors = jnp.linalg.eigh(symmetric)
    positive = jnp.where(is_zero(jnp.abs(values)), 0.0, values)
    null = jnp.where(positive == 0, vectors, 0.0)
    leak = jnp.where(jnp.all(positive == 0), 0.0, jnp.linalg.norm(null.T @ coupling))
    applies = (mismatch < _tolerance(matrix.dtype)) & (ratio > 0) & jnp.all(positive >= 0)
    applies = applies & (jnp.maximum(jnp.max(form), leak) < _tolerance(undamped.dtype) * size)
    ratio = jnp.where(ratio > 0, ratio, 1.0)
    bounds = eigenvalue_bounds(symmetric, jnp.sqrt(ratio) * coupling, eta / ratio)
    stiffest = jnp.max(positive)
    ceiling = jnp.where(stiffest > 0, ratio / (2 * or_one(stiffest)), jnp.inf)
    guaranteed = jnp.stack([jnp.zeros_like(ceiling), ceiling])
    bounds, guaranteed = jax.tree.map(lambda leaf: jnp.where(applies, leaf, jnp.nan), (bounds, guaranteed))
    return bounds, guaranteed, mismatch


def _report(found: Assumptions) -> str:
    four = (found.realizability, found.curvature, found.full_rank, found.fixed_support)
    lines = [str(assumption) for assumption in four]
    tolerance = _tolerance(found.jacobian.dtype)
    if not bool(found.still):
        lines.append(f"Not an equilibrium: the velocity is {float(found.residual):.3g}, so that nothing follows.")
    agree = float(found.mismatch) < tolerance
    if agree:
        lines.append(f"The assembled Jacobian is the field's (relative difference {float(found.mismatch):.1e}).")
    else:
        lines.append(
            f"The assembled Jacobian does not apply: it differs from the field's by {float(found.mismatch):.3g}, "
            "relatively."
        )
    if not bool(found.realizability.holds):
        gap = float(found.feature_gap)
        moments = (
            "The moments that the discriminator sees match, which is what this equilibrium is."
            if gap < tolerance * (1 + math.sqrt(float(jnp.trace(found.k_dd))))
            else f"Nor do the moments that the discriminator sees match: they differ by {gap:.3g}."
        )
        lines.append(f"The generator does not make the data. {moments}")
    abscissa = float(found.eigenvalues[0].real)
    lines.append(f"Spectral abscissa of the field: {abscissa:.4g}.")
    if np.isfinite(float(found.bounds.real)):
        lines.append(
            f"Real parts of eigenvalues other than 0 are at most {float(found.bounds.real):.4g} (real) and "
            f"{float(found.bounds.oscillating):.4g} (pairs)."
        )
    if bool(found.still):
        lines.append(_ranges(found))
    return "\n".join(lines)


def _ranges(found: Assumptions) -> str:
    low, high = (float(end) for end in found.guaranteed_etas)
    paper = f"guaranteed for {low:.4g} < eta < {high:.4g}" if np.isfinite(low) else "not guaranteed for any eta"
    low, high, scanned = (float(end) for end in (*found.stable_etas, found.scanned))
    if np.isnan(low):
        return f"Stability with the gradient-norm regularizer: {paper}; found for none up to {scanned:.3g}."
    # An end at zero is found but for rounding.
    low = 0.0 if abs(low) < 1e-9 * scanned else low
    lower = f"{low:.4g}" + (" at most" if low <= -scanned else "")
    upper = f"{high:.4g}" + (" at least" if high >= scanned else "")
    return f"Stability with the gradient-norm regularizer: {paper}; found for {lower} < eta < {upper}."
