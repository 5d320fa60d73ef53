"""Branches of equilibria and of fixed points, followed as a parameter turns, and what happens on them."""

from ._branch import EquilibriumBranch as EquilibriumBranch
from ._continue import continue_equilibrium as continue_equilibrium
from ._event import Event as Event
from ._locate import locate_event as locate_event
from ._normal_form import NormalForm as NormalForm
from ._switch import switch_branch as switch_branch
