"""Any quantity over a grid of parameters, on disk, block by block, so that nothing already computed is lost."""

from ._sweep import open_sweep as open_sweep, sweep as sweep
from ._take_part import take_part as take_part
from ._workers import Processes as Processes
