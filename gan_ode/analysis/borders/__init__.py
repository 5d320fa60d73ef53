"""Curves of events in the plane of two parameters: the borders of where equilibria exist and attract."""

from ._continue import continue_event as continue_event
from ._curve import CurvePoint as CurvePoint, EventCurve as EventCurve
