"""The verdict on an update's orbit, which is exact: followed for doubling numbers of steps until it is decided."""

from ._judge import judge_update

__all__ = ["judge_update"]
