"""Pictures of fields, orbits and spectra. The only group that imports Matplotlib.

Each function draws a result into an `ax` and returns its artists by name, to be restyled, explained by `legend` or
measured by `colorbar`. None simulates, shows, saves or changes global settings; `style` is a context to make them in.
"""

from ._animate import animate as animate
from ._basin import basin as basin, BasinPlot as BasinPlot
from ._bifurcations import bifurcation_diagram as bifurcation_diagram, BifurcationDiagram as BifurcationDiagram
from ._branches_along import branches as branches, BranchesPlot as BranchesPlot
from ._clinic import (
    diagnosis as diagnosis,
    DiagnosisPlot as DiagnosisPlot,
    watch as watch,
    WatchPlot as WatchPlot,
)
from ._convergence import convergence as convergence, ConvergencePlot as ConvergencePlot
from ._explorer import Explorer as Explorer, explorer as explorer
from ._levels import level_sets as level_sets, LevelSets as LevelSets
from ._orbit import orbit as orbit, OrbitPlot as OrbitPlot
from ._panel import colorbar as colorbar, label_panel as label_panel, legend as legend
from ._portrait import phase_portrait as phase_portrait, PhasePortrait as PhasePortrait
from ._samples import samples as samples, SamplesPlot as SamplesPlot
from ._spectrum import spectrum as spectrum, SpectrumPlot as SpectrumPlot
from ._stability import (
    orbit_diagram as orbit_diagram,
    OrbitDiagramPlot as OrbitDiagramPlot,
    parameter_plane as parameter_plane,
    ParameterPlane as ParameterPlane,
    stability_map as stability_map,
    StabilityMapPlot as StabilityMapPlot,
)
from ._style import CYCLE as CYCLE, style as style
