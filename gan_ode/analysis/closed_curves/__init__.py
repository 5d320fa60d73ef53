"""Branches of the closed curves that surround a fixed point of an update, followed as a parameter turns."""

from ._branch import ClosedCurveBranch as ClosedCurveBranch, ClosedCurveEvent as ClosedCurveEvent
from ._continue import follow_closed_curve as follow_closed_curve
