from collections.abc import Callable
from typing import Any, ClassVar

import diffrax
import numpy as np

_TABLEAU = diffrax.ButcherTableau(
    a_lower=(np.array([1 / 2]), np.array([0.0, 1 / 2]), np.array([0.0, 0.0, 1.0])),
    b_sol=np.array([1 / 6, 1 / 3, 1 / 3, 1 / 6]),
    # Less the midpoint rule, whose stage is among the four.
    b_error=np.array([1 / 6, 1 / 3 - 1, 1 / 3, 1 / 6]),
    c=np.array([1 / 2, 1 / 2, 1.0]),
)


class RK4(diffrax.AbstractERK):
    """The classical Runge-Kutta method of order 4, which Diffrax lacks: four evaluations a step.

    For fixed steps, as people write it by hand. Its error estimate is that of the midpoint rule inside it, of order 2:
    for adaptive steps `diffrax.Tsit5()` does far better.

    Source: Kutta (1901).
    """

    tableau: ClassVar[diffrax.ButcherTableau] = _TABLEAU
    interpolation_cls: ClassVar[Callable[..., Any]] = diffrax.ThirdOrderHermitePolynomialInterpolation.from_k

    def order(self, terms: Any) -> int:
        return 4

    def error_order(self, terms: Any) -> int:
        return 3
