"""What happens to the equilibrium that a cycle goes around, as a knob turns."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._types import Args, State
from ..continuation import continue_equilibrium, EquilibriumBranch
from ..equilibria import find_equilibrium
from ..fates import Verdict
from ._knob import Knob

# The leading eigenvalue of a center is this near to the axis, of an update to the circle.
_NEUTRAL = {4: 1e-5, 8: 1e-9}


@dataclasses.dataclass(frozen=True)
class Place:
    """An event, by how far the knob has turned.

    Attributes:
        turned: 0 at the start, 1 at the end.
        kind: What it is.
    """

    turned: float
    kind: Any


def branch_inside(knob: Knob, verdict: Verdict, y: State, args: Args) -> EquilibriumBranch | None:
    """The branch of the equilibrium that the cycle goes around; None if there is none near.

    Args:
        knob: The knob.
        verdict: That of the cycle, which may have found the equilibrium.
        y: A state in the cycle's middle, to search from otherwise.
        args: Handed to the field.
    """
    inside: Any = verdict.equilibrium
    if inside is None:
        found = find_equilibrium(knob.field_at(knob.start), y, args=args, throw=False)
        if not bool(found.found):
            return None
        inside = found
    return _branch(knob, inside.y, knob.start, knob.end, args)


def branch_back(knob: Knob, verdict: Verdict, turned: float, args: Args) -> EquilibriumBranch | None:
    """The branch of the equilibrium that a trajectory beyond the cycle's end converges to, back to the start."""
    if verdict.equilibrium is None:
        return None
    return _branch(knob, verdict.equilibrium.y, knob.value(turned), knob.start, args)


def _branch(knob: Knob, y: State, first: float, last: float, args: Args) -> EquilibriumBranch | None:
    family: Any = knob.field if knob.family is None else knob.family
    update = knob.update if knob.rule is None else knob.rule
    try:
        return continue_equilibrium(family, jnp.array([first, last], knob.dtype), y, update=update, args=args)
    except ValueError:
        # No regular point to start from: there is nothing to follow, and the verdicts alone decide.
        return None


def places(knob: Knob, branch: EquilibriumBranch | None) -> list[Place]:
    """The events of a branch, in their order."""
    if branch is None:
        return []
    return [Place(knob.turned(float(event.value)), event.kind) for event in branch.events]


def is_neutral(branch: EquilibriumBranch | None) -> bool:
    """Whether the equilibrium at the start is one of a center: its leading eigenvalues neither grow nor shrink."""
    if branch is None or not len(branch.values):
        return False
    leading = np.asarray(branch.eigenvalues)[0, 0]
    off = abs(leading) - 1 if branch.is_update else leading.real
    return bool(abs(off) < _NEUTRAL[max(jnp.dtype(leading.dtype).itemsize // 2, 4)] * max(abs(leading), 1))


def middle(orbit: State) -> State:
    """The mean of states along a turn."""
    return jax.tree.map(lambda leaf: jnp.mean(leaf[:-1], axis=0), orbit)
