r"""The players' own second derivatives at a state, from a dense Jacobian or, of networks, by products with it alone.

With $F$ the field, $-\partial_D F_D$ is the discriminator's rate times the Hessian of its own loss, and likewise the
generator's; what is asked of them is whether they are positive definite, which positive rates do not change.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np

from ... import _optimizers, _tree
from ..._types import Args, Field, State
from ...games import Players
from ...solvers import GMRES
from ..linearization._jacobian import field_jacobian
from ..spectra import leading_eigenvalues

# Above this the eigenvalues of a dense Jacobian take minutes.
MOST_DENSE = 1000


@dataclasses.dataclass(frozen=True)
class Curvature:
    """The smallest eigenvalue of a symmetric matrix.

    Attributes:
        smallest: The eigenvalue, in units of one over time.
        zero: Below this it may be zero.
    """

    smallest: float
    zero: float

    @property
    def positive(self) -> bool | None:
        """Whether all eigenvalues are above zero; False if one is below; None if that does not show."""
        return decided(self.smallest, self.zero)


@dataclasses.dataclass(frozen=True)
class Curvatures:
    """What the second derivatives say.

    Attributes:
        leader: Of the leader's own loss in its own parameters.
        follower: Likewise, of the follower.
        reduced: Of the leader's loss where the follower answers, of the quadratic model; None where the follower's own
            curvature is not above zero, or the game is not zero-sum there.
        zero_sum: Whether the game is zero-sum there.
    """

    leader: Curvature
    follower: Curvature
    reduced: Curvature | None
    zero_sum: bool


def decided(number: float, zero: float) -> bool | None:
    """Whether a number is above zero, False if below, None if it may be zero."""
    return None if not abs(number) > zero else number > 0


def size_of(y: State) -> int:
    """How many parameters there are."""
    return sum(int(np.size(leaf)) for leaf in jax.tree.leaves(y))


def bytes_of(y: State) -> int:
    """Those of the narrowest number, at least 4."""
    return max(4, min(jnp.asarray(leaf).dtype.itemsize for leaf in jax.tree.leaves(y)))


def root_of_rounding(y: State) -> float:
    """To this part of its norm an eigenvalue of a Jacobian counts as zero."""
    return float(np.sqrt(np.finfo(np.float32 if bytes_of(y) == 4 else np.float64).eps))


def curvatures(field: Field, y: Players, args: Args, leader: str, zero_sum: bool) -> Curvatures:
    """The curvatures at a state where the field is smooth."""
    if size_of(y) <= MOST_DENSE:
        return _dense(field, y, args, leader, zero_sum)
    return _by_products(field, y, args, leader, zero_sum)


def _dense(field: Field, y: Players, args: Args, leader: str, zero_sum: bool) -> Curvatures:
    matrix = np.asarray(field_jacobian(field, y, args, check=False), float)
    num = size_of(y.discriminator)
    parts = {"discriminator": slice(0, num), "generator": slice(num, None)}
    first, second = parts[leader], parts[other(leader)]
    scale, zero = float(np.linalg.norm(matrix, 2)), root_of_rounding(y)
    follower = _smallest(matrix[second, second], zero * scale)
    ahead, back = matrix[second, first], matrix[first, second]
    reduced = None
    if zero_sum and follower.positive:
        answer = np.linalg.solve(matrix[second, second], ahead)
        whole = scale + float(np.linalg.norm(back, 2) * np.linalg.norm(answer, 2))
        reduced = _smallest(matrix[first, first] - back @ answer, zero * whole)
    return Curvatures(_smallest(matrix[first, first], zero * scale), follower, reduced, zero_sum)


def _smallest(block: np.ndarray, zero: float) -> Curvature:
    return Curvature(-float(np.linalg.eigvalsh((block + block.T) / 2)[-1]), zero)


def _by_products(field: Field, y: Players, args: Args, leader: str, zero_sum: bool) -> Curvatures:
    second = other(leader)
    zero = root_of_rounding(y)
    scale = float(leading_eigenvalues(field, y, 1, "largest", args=args, check=False).norm)

    def of_player(player: str) -> Curvature:
        def own(t: Any, part: State, args: Args) -> State:
            return getattr(field(t, _optimizers.with_player(y, player, part), args), player)

        return _rightmost(own, getattr(y, player), args, zero * scale)

    follower, reduced = of_player(second), None
    if zero_sum and follower.positive:
        reduced = _rightmost(_answered(field, y, second), getattr(y, leader), args, zero * scale)
    return Curvatures(of_player(leader), follower, reduced, zero_sum)


def _rightmost(field: Field, part: State, args: Args, zero: float) -> Curvature:
    found = leading_eigenvalues(field, part, 1, "rightmost", args=args, check=False)
    residual = float(found.residuals[0])
    return Curvature(-float(found.eigenvalues[0].real), max(zero, residual))


def _answered(field: Field, y: Players, follower: str) -> Field:
    """The leader's velocity where the follower answers, to first order: a field of the leader's parameters."""
    leader = other(follower)

    def velocity(t: Any, part: State, args: Args) -> State:
        def own(answer: State, lead: State) -> State:
            pair = Players(**{follower: answer, leader: lead})
            return getattr(field(t, pair, args), follower)

        here, there = getattr(y, follower), getattr(y, leader)
        _, along = jax.linearize(lambda answer: own(answer, there), here)
        operator = lx.FunctionLinearOperator(along, jax.eval_shape(lambda: here))
        pushed = _tree.subtract(own(here, part), own(here, there))
        solver = GMRES(rtol=jnp.asarray(root_of_rounding(y), _tree.dtype(y)), max_products=200)
        answer = lx.linear_solve(operator, pushed, solver, throw=False).value
        return getattr(field(t, Players(**{follower: _tree.subtract(here, answer), leader: part}), args), leader)

    return velocity


def other(player: str) -> str:
    """The other player."""
    return "generator" if player == "discriminator" else "discriminator"
