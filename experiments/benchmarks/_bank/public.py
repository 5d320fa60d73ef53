"""Systems on which others were misled, restated from public bug reports; more of them stand with their kind."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.benchmarks._bank import _independent
from experiments.benchmarks._bank._case import Case, of

# `Case.reference` computes them anew.
_KNOWN: dict[str, dict[str, float]] = {
    "taken_for_divergent": {"rate": -0.201824615135},
    "prey_that_went_negative": {"period": 83.2401743947, "amplitude": 70.0627369766},
    "prey_near_the_center": {"period": 6.857393372, "amplitude": 0.196773857855},
}


def _tanks_of(exp: Any, tanh: Any) -> Any:
    def velocity(x, y, z):
        gain, near, far = 2.2 * tanh(10 * x - 4.5) + 2.2, exp(0.22 * y - 9.4), exp(0.22 * z - 9.4)
        return (near * (1 - x**2) - gain) / 100, gain - near + 4.32 * (z - y), 3 - far - 0.48 * (z - y)

    return velocity


_tanks, _tanks_by_hand = of(_tanks_of(jnp.exp, jnp.tanh)), _tanks_of(np.exp, np.tanh)
_prey = of(lambda x, y, a, b, c, d: (a * x - b * x * y, c * x * y - d * y))
_constant_and_decay = of(lambda x, y: (0 * x, -y))
_both_decay = of(lambda x, y: (-x, -y))
_turning_clockwise = of(lambda x, y: (2 * np.pi * y, -2 * np.pi * x))


def _case(name: str, make: Any, start: tuple[float, ...], source: str, **known: Any) -> Case:
    facts: dict[str, Any] = _KNOWN.get(name, {}) | known
    return Case(name=name, make=make, start=start, source=source, **facts)


def _hunting(name: str, rates: tuple[float, ...], start: tuple[float, float], longest: float, source: str) -> Case:
    a, b, c, d = rates

    def in_logarithms() -> dict[str, float]:
        return _independent.cycle(
            lambda p, q: (a - b * np.exp(q), c * np.exp(p) - d), np.log(start), longest, section=1, back=np.exp
        )

    return _case(name, _prey, start, source, args=rates, fate="cycles", reference=in_logarithms)


CASES = (
    _case(
        "taken_for_divergent", _tanks, (0.5959595959595959, 64.72727272727273, 64.72727272727273),
        "JuliaDynamics/DynamicalSystems.jl, issue 159", fate="converges",
        reference=lambda: _independent.rest(_tanks_by_hand, (0.453, 47.486, 47.621)),
    ),
    _hunting(
        "prey_that_went_negative", (0.1, 0.02, 0.02, 0.4), (100.0, 50.0), 400.0, "mtiller/ModelicaBook, issue 83"
    ),
    _hunting(
        "prey_near_the_center", (0.7, 0.4, 0.3, 1.2), (4.2, 1.75), 30.0,
        "a loose solver spirals: SciML/OrdinaryDiffEq.jl, issue 2163",
    ),
    _case(
        "one_large_and_constant", _constant_and_decay, (1e5, 5.0),
        "taken for steady at once: patrick-kidger/diffrax, issue 448", fate="converges",
    ),
    _case(
        "plain_decay", _both_decay, (0.5, 0.5), "an exponent that tends to 0: JuliaDynamics/ChaosTools.jl, issue 111",
        fate="converges", rate=-1.0,
    ),
    _case(
        "plain_center_clockwise", _turning_clockwise, (0.0, 1.0), "bifurcationkit/BifurcationKit.jl, issue 209",
        fate="cycles", period=1.0, amplitude=1.0,
    ),
)  # fmt: skip
