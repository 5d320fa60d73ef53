"""Verdicts along a knob, of trajectories that start on the cycle."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..._types import Args, State
from ...simulate import flow, iterate, OUTCOMES
from ..fates import classify, Verdict
from ._knob import Knob

# Verdicts are taken so far from an event, as parts of the range: the first that is decided counts, since very near to
# an event all is slow.
ASIDES = 2e-3, 2e-2, 0.1, 0.3
# How long a trajectory is followed to get onto the cycle of another value.
_TURNS, _STEPS = 30.0, 4096


@dataclasses.dataclass
class Judge:
    """Asks what becomes of a trajectory at values of a knob, each value once.

    Attributes:
        knob: The knob.
        y: Where trajectories start: on the cycle at some value.
        args: Handed to the field.
        known: Verdicts from `y`, by how far the knob has turned.
        said: All verdicts, likewise.
    """

    knob: Knob
    y: State
    args: Args
    known: dict[float, Verdict] = dataclasses.field(default_factory=dict)
    said: dict[float, Verdict] = dataclasses.field(default_factory=dict)

    def at(self, turned: float) -> Verdict:
        """The verdict from `y`."""
        if turned not in self.known:
            self.known[turned] = self._from(self.y, turned)
        return self.known[turned]

    def _from(self, y: State, turned: float) -> Verdict:
        value = self.knob.value(turned)
        verdict = classify(self.knob.field_at(value), y, args=self.args, update=self.knob.update_at(value))
        self.said[turned] = verdict
        return verdict

    @property
    def first(self) -> Verdict:
        """The verdict at the start."""
        return self.said[0.0]

    def start_from(self, y: State) -> None:
        """Lets trajectories start from another state."""
        self.y, self.known = y, {}

    def decided(self, turned: float, sign: int) -> float:
        """A value to one side of an event, the nearest at which there is a verdict."""
        nearest, *farther = (min(max(turned + sign * aside, 0.0), 1.0) for aside in ASIDES)
        if self.at(nearest).kind != "undecided":
            return nearest
        return next((each for each in farther if self.at(each).kind != "undecided"), nearest)

    @property
    def verdicts(self) -> tuple[tuple[float, Verdict], ...]:
        """All values of the knob that were looked at, from the start on, and the last verdict at each."""
        return tuple((self.knob.value(turned), self.said[turned]) for turned in sorted(self.said))

    def still_cycles(self, short: float, beyond: float) -> bool:
        """Whether the cycle of one value goes on at a farther one, where a trajectory from `y` no longer cycles.

        That `y` fell out of its basin is not its end. From here on trajectories start on the cycle of the first value.
        """
        self.start_from(self._settled(short))
        return self.at(beyond).kind == "cycles"

    def _settled(self, turned: float) -> State:
        """A state on the cycle at a value, or `y` where it is not followed to the end."""
        value = self.knob.value(turned)
        field, update = self.knob.field_at(value), self.knob.update_at(value)
        if update is None:
            period = self.at(turned).period
            ts = jnp.array([0.0, _TURNS * (period if np.isfinite(period) else 1.0)])
            orbit: Any = flow(field, self.y, ts, args=self.args, throw=False)
        else:
            orbit = iterate(update, field, self.y, _STEPS, args=self.args, save_every=_STEPS)
        finite = all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(eqx.filter(orbit.final_state, eqx.is_array)))
        return orbit.final_state if finite and bool(orbit.outcome == OUTCOMES.ok) else self.y
