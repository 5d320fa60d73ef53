"""Updates as maps: multipliers, critical step sizes, bifurcations, orbit diagrams, rotation numbers."""

from ._bifurcation import Bifurcation as Bifurcation, bifurcation as bifurcation
from ._critical_step_size import critical_step_size as critical_step_size
from ._multipliers import multipliers as multipliers, spectral_radius as spectral_radius
from ._orbit_diagram import orbit_diagram as orbit_diagram, OrbitDiagram as OrbitDiagram
from ._rhythm import step_period as step_period
from ._rotation_number import Rotation as Rotation, rotation_number as rotation_number
from ._stability_map import (
    critical_curve as critical_curve,
    stability_map as stability_map,
    StabilityMap as StabilityMap,
)
