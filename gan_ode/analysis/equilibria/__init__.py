"""Where a field is at rest: one root, all roots in a box, their types, and how they move with a parameter."""

from ._equilibrium import Equilibrium as Equilibrium
from ._equilibrium_types import equilibrium_type as equilibrium_type, EquilibriumKind as EquilibriumKind
from ._find_all import Equilibria as Equilibria, find_equilibria as find_equilibria
from ._find_one import find_equilibrium as find_equilibrium
