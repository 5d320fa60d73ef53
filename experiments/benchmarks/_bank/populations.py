"""Heteroclinic and homoclinic cycles, the games of evolution, competition."""

from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.benchmarks._bank import _independent
from experiments.benchmarks._bank._case import Case, of

# `Case.reference` computes them anew.
_KNOWN: dict[str, dict[str, float]] = {
    "may_leonard_neutral": {"period": 45.5930379272, "amplitude": 0.170996198992},
    "rock_scissors_paper": {"period": 11.2975005678, "amplitude": 0.154508497188},
    "rock_scissors_paper_far_out": {"period": 27.896496881, "amplitude": 0.490136823471},
    "matching_pennies": {"period": 15.9624222213, "amplitude": 0.4},
    "matching_pennies_far_out": {"period": 51.5973552789, "amplitude": 0.49999},
}


def _three(x, y, z, a, b):
    return x * (1 - x - a * y - b * z), y * (1 - b * x - y - a * z), z * (1 - a * x - b * y - z)


def _reduced_game(x, y, gain):
    # Rock, scissors, paper, whose shares add up to 1: what wins gets `gain`, what loses -1.
    z = 1 - x - y
    pay = (gain * y - z, gain * z - x, gain * x - y)
    mean = x * pay[0] + y * pay[1] + z * pay[2]
    return x * (pay[0] - mean), y * (pay[1] - mean)


def _on_the_loop(x, v, c):
    # H = v^2 / 2 - x^2 / 2 + x^4 / 4 falls or rises to 0: H' = -c H |grad H|^2.
    energy, slope = v**2 / 2 - x**2 / 2 + x**4 / 4, x**3 - x
    return v - c * energy * slope, -slope - c * energy * v


_may_leonard = of(_three)
_rock_scissors_paper = of(_reduced_game)
_loop = of(_on_the_loop)
_pennies = of(lambda x, y: (x * (1 - x) * (2 * y - 1), -y * (1 - y) * (2 * x - 1)))
_cubes = of(
    lambda x, y, z, b, c: (
        x * (1 - x**2 - b * y**2 - c * z**2),
        y * (1 - y**2 - b * z**2 - c * x**2),
        z * (1 - z**2 - b * x**2 - c * y**2),
    )
)
_rivals = of(lambda x, y: (x * (1 - x - 1.5 * y), y * (1 - y - 1.5 * x)))


def _case(name: str, make: Any, start: tuple[float, ...], source: str, **known: Any) -> Case:
    facts: dict[str, Any] = _KNOWN.get(name, {}) | known
    return Case(name=name, make=make, start=start, source=source, **facts)


def _neutral_three(start: tuple[float, float, float]) -> Callable[[], dict[str, float]]:
    """In logarithms; the sum tends to 1."""
    return lambda: _independent.cycle(
        lambda p, q, r: tuple(
            1 - np.exp(u) - 0.75 * np.exp(v) - 1.25 * np.exp(w) for u, v, w in ((p, q, r), (q, r, p), (r, p, q))
        ),
        tuple(np.log(start)), 120.0, settle=60.0, back=np.exp,
    )  # fmt: skip


def _in_shares(start: tuple[float, float]) -> Callable[[], dict[str, float]]:
    """In the logarithms of x / z and y / z, which follow a Hamiltonian."""
    x, y = start

    def velocity(p: float, q: float) -> tuple[float, float]:
        z = 1 / (1 + np.exp(p) + np.exp(q))
        x, y = np.exp(p) * z, np.exp(q) * z
        return (y - z) - (x - y), (z - x) - (x - y)

    def back(u: np.ndarray) -> np.ndarray:
        z = 1 / (1 + np.exp(u[0]) + np.exp(u[1]))
        return np.stack([np.exp(u[0]) * z, np.exp(u[1]) * z])

    return lambda: _independent.cycle(velocity, (np.log(x / (1 - x - y)), np.log(y / (1 - x - y))), 200.0, back=back)


def _in_odds(x: float, y: float) -> Callable[[], dict[str, float]]:
    """In the logarithms of the odds: u' = tanh(v / 2), v' = -tanh(u / 2)."""
    odds = tuple(float(np.log(p / (1 - p))) for p in (x, y))
    return lambda: _independent.cycle(
        lambda u, v: (np.tanh(v / 2), -np.tanh(u / 2)), odds, 200.0, back=lambda u: 1 / (1 + np.exp(-u))
    )


_MAY = "May and Leonard (1975): the cycle of saddles attracts where alpha + beta > 2"
_RSP = "Hofbauer and Sigmund (1998), section 7.7"
_REYN = "H' = -c H |grad H|^2: tends to the loop at H = 0, ever slower past its saddle"

CASES = (
    _case("may_leonard", _may_leonard, (0.5, 0.3, 0.2), _MAY, args=(0.8, 1.5), fate="wanders", failing=3),
    _case("may_leonard_barely", _may_leonard, (0.5, 0.3, 0.2), _MAY, args=(0.8, 1.25), fate="wanders"),
    _case("may_leonard_strongly", _may_leonard, (0.4, 0.3, 0.2), _MAY, args=(0.5, 2.5), fate="wanders"),
    # The equilibrium's eigenvalues are -(1 + a w + b w^2) / (1 + a + b), w^3 = 1.
    _case(
        "may_leonard_repelling", _may_leonard, (0.5, 0.3, 0.2), _MAY, args=(0.8, 1.1), fate="converges",
        rate=-(1 - 1.9 / 2) / 2.9,
    ),
    _case(
        "may_leonard_neutral", _may_leonard, (0.5, 0.3, 0.2),
        "May and Leonard (1975): alpha + beta = 2, in logarithms by SciPy", args=(0.75, 1.25), fate="cycles",
        reference=_neutral_three((0.5, 0.3, 0.2)),
    ),
    _case(
        "cycle_of_cubes", _cubes, (0.5, 0.4, 0.3), "Guckenheimer and Holmes (1988): attracts where b + c > 2",
        args=(0.55, 1.6), fate="wanders",
    ),
    _case(
        "rock_scissors_paper", _rock_scissors_paper, (0.5, 0.25), _RSP + ": keeps the product; in logarithms by SciPy",
        args=(1.0,), fate="cycles", reference=_in_shares((0.5, 0.25)),
    ),
    _case(
        "rock_scissors_paper_far_out", _rock_scissors_paper, (0.98, 0.0125), _RSP + ": keeps the product; by SciPy",
        args=(1.0,), fate="cycles", reference=_in_shares((0.98, 0.0125)),
    ),
    # Eigenvalues (gain - 1) / 6 +- i sqrt(3) (gain + 1) / 6, of the opposite sign.
    _case(
        "rock_scissors_paper_settles", _rock_scissors_paper, (0.9, 0.05), _RSP, args=(1.5,), fate="converges",
        rate=-1 / 12,
    ),
    _case("rock_scissors_paper_never_ends", _rock_scissors_paper, (0.5, 0.25), _RSP, args=(0.7,), fate="wanders"),
    _case(
        "matching_pennies", _pennies, (0.9, 0.5), "Hofbauer and Sigmund (1998), section 10.3; in log-odds by SciPy",
        fate="cycles", reference=_in_odds(0.9, 0.5),
    ),
    _case(
        "matching_pennies_far_out", _pennies, (0.99999, 0.5), "Hofbauer and Sigmund (1998), section 10.3; by SciPy",
        fate="cycles", reference=_in_odds(0.99999, 0.5), single=False,
    ),
    _case("loop_from_inside", _loop, (0.5, 0.0), _REYN, args=(1.0,), fate="wanders"),
    _case("loop_from_outside", _loop, (1.5, 0.0), _REYN, args=(1.0,), fate="wanders"),
    _case(
        "loop_left_for_the_well", _loop, (0.5, 0.0), "H' = H |grad H|^2 from H < 0: falls to the bottom, H = -1/4",
        args=(-1.0,), fate="converges",
    ),
    _case(
        "rivals", _rivals, (0.3, 0.300001), "competition that excludes: to (0, 1), eigenvalues -1 and -1/2",
        fate="converges", rate=-0.5,
    ),
    _case("rivals_exactly_alike", _rivals, (0.3, 0.3), "stays on the diagonal, to a saddle", fate="converges"),
)  # fmt: skip
