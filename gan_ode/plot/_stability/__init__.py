"""Where equilibria and updates are stable, and the borders of that."""

from ._maps import (
    orbit_diagram as orbit_diagram,
    OrbitDiagramPlot as OrbitDiagramPlot,
    stability_map as stability_map,
    StabilityMapPlot as StabilityMapPlot,
)
from ._parameter_plane import parameter_plane as parameter_plane, ParameterPlane as ParameterPlane
