"""Figures of a diagnosis, and of a watch's history."""

from ._diagnosis import diagnosis as diagnosis, DiagnosisPlot as DiagnosisPlot
from ._watch import watch as watch, WatchPlot as WatchPlot
