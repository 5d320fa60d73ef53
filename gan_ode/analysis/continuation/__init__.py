"""Branches of equilibria and of fixed points, followed as a parameter turns, and what happens on them."""

from ._branch import EquilibriumBranch as EquilibriumBranch
from ._continue import continue_equilibrium as continue_equilibrium
from ._event import Event as Event
from ._normal_form import NormalForm as NormalForm
