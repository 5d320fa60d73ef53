"""Numbers of orbits, of samples and of noise: distances, rates of convergence, covariances."""

from . import samples as samples
from ._convergence import (
    compare as compare,
    Comparison as Comparison,
    Convergence as Convergence,
    convergence as convergence,
)
from ._covariance import (
    covariance_after_steps as covariance_after_steps,
    covariance_at as covariance_at,
    covariance_growth as covariance_growth,
    stationary_covariance as stationary_covariance,
    stationary_covariance_of_steps as stationary_covariance_of_steps,
)
from ._path_measures import path_angle as path_angle, path_measures as path_measures, PathMeasures as PathMeasures
