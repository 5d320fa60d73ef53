"""Branches of cycles, followed as a parameter turns, and what happens on them."""

from ._branch import CycleBranch as CycleBranch, CycleEvent as CycleEvent
from ._continue import continue_cycle as continue_cycle
from ._locate import locate_cycle_event as locate_cycle_event
