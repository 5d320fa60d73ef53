"""Which fate each of many starts has."""

from ._attracting_cycles import Cycles as Cycles
from ._basin import Basin as Basin, basin as basin, state_grid as state_grid
from ._reasons import REASONS as REASONS
