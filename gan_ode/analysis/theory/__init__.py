"""The local theory of Nagarajan and Kolter, as numbers at a state.

Source: Nagarajan and Kolter (2017), arXiv:1706.04156, sections 3 and 4; rederived.
"""

from ..statistics._energy_distance import energy_distance as energy_distance
from ._assumptions import Assumptions as Assumptions, assumptions as assumptions
from ._checks import Assumption as Assumption
from ._eigenvalue_bounds import (
    eigenvalue_bounds as eigenvalue_bounds,
    EigenvalueBounds as EigenvalueBounds,
    stable_etas as stable_etas,
)
