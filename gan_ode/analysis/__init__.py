"""Numbers from fields and orbits: equilibria, spectra, critical step sizes, orders, drifts, verdicts."""

from ._branches import (
    eigenvalue_branches as eigenvalue_branches,
    EigenvalueBranches as EigenvalueBranches,
    follow_eigenvalues as follow_eigenvalues,
)
from ._classify import classify as classify
from ._compare import (
    compare as compare,
    Comparison as Comparison,
    Convergence as Convergence,
    convergence as convergence,
)
from ._critical import critical_step_size as critical_step_size
from ._critical_parameter import (
    critical_parameter as critical_parameter,
    critical_parameters as critical_parameters,
    CriticalParameter as CriticalParameter,
)
from ._equilibrium import Equilibrium as Equilibrium, find_equilibrium as find_equilibrium
from ._invariant import Drift as Drift, drift as drift
from ._jacobian import jacobian as jacobian, multipliers as multipliers, spectrum as spectrum
from ._nonnormal import (
    numerical_abscissa as numerical_abscissa,
    Split as Split,
    split as split,
    transient_growth as transient_growth,
    TransientGrowth as TransientGrowth,
)
from ._optimal import (
    optimal_parameter as optimal_parameter,
    optimal_step_size as optimal_step_size,
    Optimum as Optimum,
)
from ._types_of_equilibria import equilibrium_type as equilibrium_type
from ._verdict import Verdict as Verdict
