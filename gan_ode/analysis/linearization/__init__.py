"""The linear part of a field at a state: what it needs, its spectrum, and what that does not tell."""

from ._nonnormal import (
    numerical_abscissa as numerical_abscissa,
    symmetric_parts as symmetric_parts,
    SymmetricParts as SymmetricParts,
    transient_growth as transient_growth,
    TransientGrowth as TransientGrowth,
)
from ._preconditions import inspect as inspect, Inspection as Inspection
from ._rotation_share import rotation_share as rotation_share
