"""How many field evaluations a diagnosis may still take."""

from collections.abc import Callable


class SpentError(Exception):
    """The budget does not suffice for what comes next."""


class Budget:
    """Counts field evaluations.

    Args:
        total: The most.
        told: Called with how many were made.
    """

    def __init__(self, total: int, told: Callable[[int], object]):
        self.total, self.used, self._told = total, 0, told

    @property
    def left(self) -> int:
        """How many there are still."""
        return self.total - self.used

    def require(self, num: int) -> None:
        """Raises if there are not so many left."""
        if num > self.left:
            raise SpentError

    def spend(self, num: int) -> None:
        """Counts so many that were made."""
        self.used += num
        self._told(min(self.used, self.total))
