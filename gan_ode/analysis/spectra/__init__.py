"""Spectra along parameters and of large fields: branches, critical and best values, leading eigenvalues, stiffness."""

from ._branches import (
    eigenvalue_branches as eigenvalue_branches,
    EigenvalueBranches as EigenvalueBranches,
    follow_eigenvalues as follow_eigenvalues,
)
from ._critical_parameter import (
    critical_parameter as critical_parameter,
    critical_parameters as critical_parameters,
    CriticalParameter as CriticalParameter,
)
from ._leading import leading_eigenvalues as leading_eigenvalues, LeadingEigenvalues as LeadingEigenvalues
from ._optimal import optimal_parameter as optimal_parameter, optimal_step_size as optimal_step_size, Optimum as Optimum
from ._spectrum import jacobian as jacobian, spectrum as spectrum
from ._stiffness import Stiffness as Stiffness, stiffness as stiffness, stiffness_along as stiffness_along
