"""What would stop a cycle: for each of some knobs the value at which it ends, how, and what is there instead."""

from ._result import Stop as Stop, Stops as Stops
from ._what_stops import what_stops as what_stops
