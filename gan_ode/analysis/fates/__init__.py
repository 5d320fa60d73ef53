"""What becomes of one trajectory, of a flow or of an update: a verdict with its evidence."""

from ._classify import classify as classify
from ._trapping_region import TrappingRegion as TrappingRegion
from ._verdict import FATES as FATES, Verdict as Verdict
