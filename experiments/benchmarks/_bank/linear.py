"""Linear systems: centers, tiny damping, saddles' stable manifolds, growth, tori."""

from typing import Any

import numpy as np

from experiments.benchmarks._bank._case import Case, of

TURN = 2 * np.pi
_LINEAR = "linear, solved by hand"

_spiral = of(lambda x, y, a, omega: (a * x - omega * y, omega * x + a * y))
_one = of(lambda x, a: (a * x,))
_diagonal = of(lambda x, y, a, b: (a * x, b * y))
_two_rotations = of(lambda x, u, y, v, a, b: (a * u, -a * x, b * v, -b * y))
_three_rotations = of(lambda x, u, y, v, z, w, a, b, c: (a * u, -a * x, b * v, -b * y, c * w, -c * z))
_attracted = of(lambda x, y, z: (-y, x, -100 * (z - x)))
_away = of(lambda x, y: (-(y - 1000), x - 1000))
_sheared = of(lambda x, y: (100 * y, -0.01 * x))
_block = of(lambda x, y: (y, 0 * x))
_resonant = of(lambda x, u, y, v: (u, -x + y, v, -y))
_non_normal = of(lambda x, y: (-0.01 * x + 100 * y, -0.02 * y))
_damped_block = of(lambda x, y: (-0.1 * x + y, -0.1 * y))
_ring = of(lambda *y: tuple(-1.2 * y[i] + y[(i + 1) % 10] - 0.5 * y[i - 1] for i in range(10)))
_chain = of(lambda *y: (*y[5:], *(-2 * y[i] + (y[i - 1] if i else 0) + (y[i + 1] if i < 4 else 0) for i in range(5))))


def _case(name: str, make: Any, start: tuple[float, ...], **known: Any) -> Case:
    return Case(name=name, make=make, start=start, source=_LINEAR, **known)


def _damped(name: str, a: float, radius: float = 1.0, omega: float = 1.0, **known: Any) -> Case:
    rate: dict[str, Any] = {} if a == 0 else {"rate": a}
    fate = "cycles" if a == 0 else "converges" if a < 0 else "diverges"
    return _case(name, _spiral, (radius, 0.0), **({"args": (a, omega), "fate": fate} | rate | known))


def _ring_abscissa() -> float:
    # Circulant: -1.2 + w - 0.5 / w over the tenth roots of one.
    return float(np.max(-1.2 + 0.5 * np.cos(TURN * np.arange(10) / 10)))


CASES = (
    _damped("center", 0.0, period=TURN, amplitude=1.0),
    _damped("center_of_radius_1e-8", 0.0, 1e-8, period=TURN, amplitude=1e-8, failing=6),
    _damped("center_of_radius_1e-5", 0.0, 1e-5, period=TURN, amplitude=1e-5),
    _damped("center_of_radius_1e6", 0.0, 1e6, period=TURN, amplitude=1e6),
    _damped("slow_center", 0.0, 1.0, 1e-4, period=TURN / 1e-4, amplitude=1.0),
    _damped("fast_center", 0.0, 1.0, 1e4, period=TURN / 1e4, amplitude=1.0),
    _damped("damped_1e-2_at_1e-4", -1e-2, 1e-4),
    _damped("damped_1e-3", -1e-3),
    _damped("damped_1e-3_at_1e-4", -1e-3, 1e-4),
    _damped("damped_1e-5", -1e-5, single=False),
    _damped("damped_1e-6", -1e-6, single=False),
    _damped("damped_1e-7", -1e-7, single=False),
    _damped("damped_1e-9", -1e-9, single=False),
    _damped("growing_1e-3", 1e-3),
    _damped("growing_1e-3_from_1e-8", 1e-3, 1e-8),
    _damped("growing_1e-5", 1e-5, single=False),
    _damped("growing_1e-7", 1e-7, single=False),
    _case("center_on_a_slow_manifold", _attracted, (1.0, 0.0, 3.0), fate="cycles", period=TURN, amplitude=1.0),
    _case("center_far_away", _away, (1001.0, 1000.0), fate="cycles", period=TURN, amplitude=1.0, single=False),
    _case("sheared_center", _sheared, (1.0, 0.0), fate="cycles", period=TURN, amplitude=1.0),
    _case("sheared_center_across", _sheared, (0.0, 1.0), fate="cycles", period=TURN, amplitude=100.0),
    _case(
        "one_to_one", _two_rotations, (1.0, 0.0, 0.0, 2.0), args=(1.0, 1.0), fate="cycles", period=TURN, amplitude=2.0
    ),
    _case(
        "two_to_three", _two_rotations, (1.0, 0.0, 1.0, 0.0), args=(2.0, 3.0), fate="cycles", period=TURN, amplitude=1.0
    ),
    _case(
        "seven_to_eleven", _two_rotations, (1.0, 0.0, 1.0, 0.0), args=(7.0, 11.0), fate="cycles", period=TURN,
        amplitude=1.0,
    ),
    _case(
        "one_to_eight_with_a_little_of_the_slow", _two_rotations, (1e-3, 0.0, 1.0, 0.0), args=(1.0, 8.0), fate="cycles",
        period=TURN, amplitude=1.0,
    ),
    _case("torus", _two_rotations, (1.0, 0.0, 1.0, 0.0), args=(1.0, float(np.sqrt(2))), fate="wanders"),
    _case("golden_torus", _two_rotations, (1.0, 0.0, 0.3, 0.0), args=(1.0, (1 + 5**0.5) / 2), fate="wanders"),
    _case(
        "torus_of_three", _three_rotations, (1.0, 0.0, 0.7, 0.0, 0.5, 0.0), args=(1.0, 2**0.5, 3**0.5), fate="wanders"
    ),
    _case("decay_1d", _one, (1.0,), args=(-1.0,), fate="converges", rate=-1.0, failing=4, rtol=0.1),
    _case("slow_decay_1d", _one, (1.0,), args=(-1e-7,), fate="converges", rate=-1e-7),
    _case("growth_1d", _one, (1e-6,), args=(1.0,), fate="diverges", rate=1.0),
    _case("slow_growth_1d", _one, (1.0,), args=(1e-6,), fate="diverges", rate=1e-6),
    _case("two_slow", _diagonal, (1.0, 0.5), args=(-1e-7, -1e-7), fate="converges", rate=-1e-7),
    _case("stiff_node", _diagonal, (1.0, 1.0), args=(-1.0, -1e5), fate="converges", rate=-1.0),
    # Exactly on the stable manifold: zero stays zero.
    _case("saddle_on_its_stable_manifold", _diagonal, (0.0, 1.0), args=(1.0, -1.0), fate="converges"),
    _case("saddle_beside_its_stable_manifold", _diagonal, (1e-12, 1.0), args=(1.0, -1.0), fate="diverges", rate=1.0),
    _case("saddle_far_beside", _diagonal, (1e-30, 1.0), args=(1.0, -1.0), fate="diverges", rate=1.0),
    _case("slow_saddle", _diagonal, (1e-6, 1.0), args=(1e-2, -1.0), fate="diverges", rate=1e-2),
    _case("at_an_unstable_equilibrium", _diagonal, (0.0, 0.0), args=(1.0, 2.0), fate="converges"),
    _case("continuum", _diagonal, (1.0, 3.0), args=(-1.0, 0.0), fate="converges"),
    _case("nilpotent_block", _block, (0.0, 1.0), fate="diverges"),
    _case("nilpotent_block_at_rest", _block, (1.0, 0.0), fate="converges"),
    _case("resonance", _resonant, (0.0, 0.0, 1.0, 0.0), fate="diverges"),
    _case("damped_block", _damped_block, (0.0, 1.0), fate="converges", rate=-0.1),
    _case("non_normal_node", _non_normal, (0.0, 1.0), fate="converges", rate=-0.01),
    _case("ring_of_ten", _ring, tuple(float(i % 3) for i in range(10)), fate="converges", rate=_ring_abscissa()),
    # Neighbors of each resting mass pull against each other, exactly.
    _case(
        "third_mode_of_five_masses", _chain, (1.0, 0.0, -1.0, 0.0, 1.0, *(0.0,) * 5), fate="cycles",
        period=TURN / 2**0.5, amplitude=2**0.5,
    ),
    _case("five_masses", _chain, (1.0, *(0.0,) * 9), fate="wanders"),
)  # fmt: skip
