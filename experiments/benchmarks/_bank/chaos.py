"""Chaos, chaos that ends, and the cycles and rest between: flows, and maps as simultaneous steps of size 1."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.benchmarks._bank import _independent
from experiments.benchmarks._bank._case import Case, of, of_map
from gan_ode import updates

TURN = 2 * np.pi
# `Case.reference` computes them anew.
_KNOWN: dict[str, dict[str, float]] = {
    "lorenz_at_160": {"period": 1.15294892789, "amplitude": 72.3571833107},
    "lorenz_at_350": {"period": 0.388487581832, "amplitude": 103.756413474},
    "rossler_once_around": {"period": 5.74899118328, "amplitude": 4.22051046133},
    "rossler_twice_around": {"period": 11.5452182878, "amplitude": 6.31681761516},
    "rossler_four_times_around": {"period": 23.177001056, "amplitude": 7.24868260326},
    "thomas_cycle": {"period": 12.5771096526, "amplitude": 0.6980284718},
    "thomas_at_rest": {"rate": -0.340488737929},
    "lorenz_96_travels": {"period": 2.73028883687, "amplitude": 1.52106014049},
    "logistic_four": {"period": 4.0, "amplitude": 0.246088790293},
    "logistic_three": {"period": 3.0, "amplitude": 0.400633640918},
    "henon_two": {"period": 2.0, "amplitude": 0.728010988928},
    "delayed_logistic_curve": {"period": 6.40590290866},
    "henon_rotation": {"period": 4.79683943027},
    "standard_map_swings": {"period": 8.85756834835},
}


def _lorenz_of(x, y, z, r):
    return 10 * (y - x), x * (r - z) - y, x * y - 8 / 3 * z


def _rossler_of(x, y, z, c):
    return -y - z, x + 0.2 * y, 0.2 + z * (x - c)


def _thomas_of(sin):
    return lambda x, y, z, b: (sin(y) - b * x, sin(z) - b * y, sin(x) - b * z)


def _chua(x, y, z):
    kinked = -5 / 7 * x + 0.5 * (-8 / 7 + 5 / 7) * (jnp.abs(x + 1) - jnp.abs(x - 1))
    return 15.6 * (y - x - kinked), x - y + z, -28 * y


def _lorenz_96_of(*y):
    *x, forcing = y
    n = len(x)
    return tuple((x[(i + 1) % n] - x[i - 2]) * x[i - 1] - x[i] + forcing for i in range(n))


def _four_species(*x):
    # Vano et al. (2006).
    rates = (1.0, 0.72, 1.53, 1.27)
    crowd = ((1, 1.09, 1.52, 0), (0, 1, 0.44, 1.36), (2.33, 0, 1, 0.47), (1.21, 0.51, 0.35, 1))
    return tuple(rates[i] * x[i] * (1 - sum(crowd[i][j] * x[j] for j in range(4))) for i in range(4))


def _teacup(x, y, z):
    # Hastings and Powell (1991).
    eaten, hunted = 5 * x * y / (1 + 3 * x), 0.1 * y * z / (1 + 2 * y)
    return x * (1 - x) - eaten, eaten - hunted - 0.4 * y, hunted - 0.01 * z


def _lorenz_96_at(size: int, forcing: float) -> Callable:
    return of(lambda *y: _lorenz_96_of(*y[:size], forcing))


_lorenz, _rossler = of(_lorenz_of), of(_rossler_of)
_thomas = of(_thomas_of(jnp.sin))
_chen = of(lambda x, y, z: (35 * (y - x), -7 * x - x * z + 28 * y, x * y - 3 * z))
_halvorsen = of(
    lambda x, y, z: (-1.4 * x - 4 * y - 4 * z - y**2, -1.4 * y - 4 * z - 4 * x - z**2, -1.4 * z - 4 * x - 4 * y - x**2)
)
_hyper = of(lambda x, y, z, w: (-y - z, x + 0.25 * y + w, 3 + x * z, -0.5 * z + 0.05 * w))
_ueda = of(lambda x, v, c, s: (v, -0.05 * v - x**3 + 7.5 * c, -s, c))

_logistic = of_map(lambda x, r: (r * x * (1 - x),))
_henon = of_map(lambda x, y, a, b: (1 - a * x**2 + y, b * x))
_lozi = of_map(lambda x, y: (1 - 1.7 * jnp.abs(x) + y, 0.5 * x))
_delayed = of_map(lambda x, y, a: (a * x * (1 - y), x))
_rotating = of_map(lambda x, y, a: (x * jnp.cos(a) - (y - x**2) * jnp.sin(a), x * jnp.sin(a) + (y - x**2) * jnp.cos(a)))
_standard = of_map(lambda x, p, k: (x + p + k * jnp.sin(x), p + k * jnp.sin(x)))
_linear = of_map(lambda x, a: (a * x,))
_down_by_half = of_map(lambda x: (jnp.where(x > 0.5, x - 0.5, 0.0),))
_twisted = of_map(
    lambda x, y, r, a: (r * (x * jnp.cos(a) - y * jnp.sin(a)) * (1.2 - 0.2 * (x**2 + y**2)),
                        r * (x * jnp.sin(a) + y * jnp.cos(a)) * (1.2 - 0.2 * (x**2 + y**2)))
)  # fmt: skip


def _ikeda(x, y):
    turn = 0.4 - 6 / (1 + x**2 + y**2)
    return 1 + 0.9 * (x * jnp.cos(turn) - y * jnp.sin(turn)), 0.9 * (x * jnp.sin(turn) + y * jnp.cos(turn))


_ikeda_map = of_map(_ikeda)


def _case(name: str, make: Any, start: tuple[float, ...], source: str, **known: Any) -> Case:
    facts: dict[str, Any] = {"fate": "wanders"} | _KNOWN.get(name, {}) | known
    return Case(name=name, make=make, start=start, source=source, **facts)


def _map(name: str, make: Any, start: tuple[float, ...], source: str, **known: Any) -> Case:
    return _case(name, make, start, source, update=lambda: updates.Simultaneous(1.0), **known)


def _by_scipy(velocity: Callable, start: tuple[float, ...], longest: float, settle: float, **options: Any) -> Callable:
    return lambda: _independent.cycle(velocity, start, longest, settle=settle, **options)


def _with(velocity: Callable, *parameters: float) -> Callable:
    return lambda *y: velocity(*y, *parameters)


def _beside_the_wing(r: float) -> dict[str, float]:
    """Of the Lorenz system's equilibria (+-s, +-s, r - 1): s = sqrt(8 (r - 1) / 3)."""
    polynomial = [1, 10 + 1 + 8 / 3, 8 / 3 * (10 + r), 2 * 10 * 8 / 3 * (r - 1)]
    return {"rate": float(np.max(np.roots(polynomial).real))}


def _end_of_orbit(image: Callable, start: tuple[float, ...], steps: int, period: int) -> dict[str, float]:
    """The amplitude of the periodic orbit that a map's orbit ends on."""
    y = start
    for _ in range(steps):
        y = image(*y)
    points = [y]
    for _ in range(period):
        points.append(image(*points[-1]))
    assert np.allclose(points[0], points[-1], rtol=0, atol=1e-12)
    return {"period": float(period), "amplitude": float(np.max(np.ptp(points, axis=0))) / 2}


_LORENZ = "Lorenz (1963); Sparrow (1982)"
_ROSSLER = "Rossler (1976); Strogatz (2015), section 12.3"
_MAY = "May (1976); Strogatz (2015), chapter 10"
_LYAPUNOV = "; exponent of Sprott (2003), appendix A"

_DELAYED = "delayed logistic map, Aronson et al. (1982): a Neimark-Sacker bifurcation at a = 2"


def _turning(image: Callable, start: tuple[float, float], center: tuple[float, float], settle: int) -> Callable:
    def reference() -> dict[str, float]:
        y = start
        for _ in range(settle):
            y = image(*y)
        return {"period": _independent.mean_turn(image, y, center)}

    return reference


CASES = (
    _case("lorenz", _lorenz, (1.0, 1.0, 1.0), _LORENZ + _LYAPUNOV, args=(28.0,), exponent=0.9056, known_to=0.01),
    # At r = 1 the origin has the eigenvalue 0, on whose center manifold x' ~ -x^3.
    _case("lorenz_at_1", _lorenz, (1.0, 1.0, 1.0), _LORENZ, args=(1.0,), fate="converges", power=-0.5),
    _case(
        "lorenz_below_1", _lorenz, (1.0, 1.0, 1.0), _LORENZ, args=(0.5,), fate="converges",
        rate=(-11 + np.sqrt(101.0)) / 2,
    ),
    _case("lorenz_at_10", _lorenz, (1.0, 1.0, 1.0), _LORENZ, args=(10.0,), fate="converges", **_beside_the_wing(10.0)),
    # Turbulence that ends: no attractor but the two equilibria below 24.06.
    _case("lorenz_at_20", _lorenz, (1.0, 1.0, 1.0), _LORENZ, args=(20.0,), fate="converges", **_beside_the_wing(20.0)),
    _case("lorenz_at_22", _lorenz, (1.0, 1.0, 1.0), _LORENZ, args=(22.0,), fate="converges", **_beside_the_wing(22.0)),
    _case(
        "lorenz_at_23.5", _lorenz, (1.0, 1.0, 1.0), _LORENZ, args=(23.5,), fate="converges", asked=False,
        **_beside_the_wing(23.5),
    ),
    # Beside the chaotic attractor, within the unstable cycle.
    _case(
        "lorenz_at_24.4_within_the_cycle", _lorenz, (8.2, 7.9, 23.4), _LORENZ, args=(24.4,), fate="converges",
        **_beside_the_wing(24.4),
    ),
    _case(
        "lorenz_at_160", _lorenz, (1.0, 1.0, 1.0), _LORENZ + "; by SciPy", args=(160.0,), fate="cycles",
        reference=_by_scipy(_with(_lorenz_of, 160.0), (1.0, 1.0, 1.0), 5.0, 100.0, section=2, turns=4),
    ),
    _case(
        "lorenz_at_350", _lorenz, (1.0, 1.0, 1.0), _LORENZ + "; by SciPy", args=(350.0,), fate="cycles",
        reference=_by_scipy(_with(_lorenz_of, 350.0), (1.0, 1.0, 1.0), 2.0, 60.0, section=2, turns=2),
    ),
    _case("rossler", _rossler, (1.0, 1.0, 1.0), _ROSSLER + _LYAPUNOV, args=(5.7,), exponent=0.0714, known_to=0.02),
    _case(
        "rossler_once_around", _rossler, (1.0, 1.0, 1.0), _ROSSLER + "; by SciPy", args=(2.5,), fate="cycles",
        reference=_by_scipy(_with(_rossler_of, 2.5), (1.0, 1.0, 1.0), 20.0, 800.0, section=1),
    ),
    _case(
        "rossler_twice_around", _rossler, (1.0, 1.0, 1.0), _ROSSLER + "; by SciPy", args=(3.5,), fate="cycles",
        reference=_by_scipy(_with(_rossler_of, 3.5), (1.0, 1.0, 1.0), 40.0, 800.0, section=1, turns=2),
    ),
    _case(
        "rossler_four_times_around", _rossler, (1.0, 1.0, 1.0), _ROSSLER + "; by SciPy", args=(4.0,), fate="cycles",
        reference=_by_scipy(_with(_rossler_of, 4.0), (1.0, 1.0, 1.0), 70.0, 1500.0, section=1, turns=4),
    ),
    _case("thomas", _thomas, (0.1, 0.2, 0.3), "Thomas (1999); largest exponent 0.034", args=(0.18,)),
    _case(
        "thomas_cycle", _thomas, (0.1, 0.2, 0.3), "Thomas (1999); by SciPy", args=(0.3,), fate="cycles",
        reference=_by_scipy(_with(_thomas_of(np.sin), 0.3), (0.1, 0.2, 0.3), 60.0, 2000.0),
    ),
    _case(
        "thomas_at_rest", _thomas, (0.1, 0.2, 0.3), "Thomas (1999)", args=(0.5,), fate="converges",
        reference=lambda: _independent.rest(_with(_thomas_of(np.sin), 0.5), (1.9, 1.9, 1.9)),
    ),
    _case("chua", of(_chua), (0.7, 0.0, 0.0), "Matsumoto (1984), the double scroll; largest exponent 0.43"),
    _case("chen", _chen, (1.0, 1.0, 10.0), "Chen and Ueta (1999); largest exponent 2.0"),
    _case("halvorsen", _halvorsen, (-5.0, 0.0, 0.0), "Sprott (2003), Halvorsen's attractor; largest exponent 0.70"),
    _case("hyperchaos", _hyper, (-10.0, -6.0, 0.0, 10.0), "Rossler (1979); largest exponent 0.11"),
    _case("ueda", _ueda, (2.5, 0.0, 1.0, 0.0), "Ueda (1979), the phase a state; largest exponent 0.10"),
    _case("four_species", of(_four_species), (0.3, 0.45, 0.13, 0.35), "Vano et al. (2006); largest exponent 0.02"),
    _case("teacup", of(_teacup), (0.75, 0.16, 9.9), "Hastings and Powell (1991); largest exponent 0.007"),
    _case("lorenz_96", _lorenz_96_at(8, 8.0), (*(8.0,) * 7, 8.01), "Lorenz (1996); largest exponent 1.58"),
    _case("lorenz_96_of_ten", _lorenz_96_at(10, 10.0), (*(10.0,) * 9, 10.01), "Lorenz (1996); largest exponent 1.7"),
    _case(
        "lorenz_96_travels", _lorenz_96_at(6, 2.0), (*(2.0,) * 5, 2.01), "Lorenz (1996); by SciPy", fate="cycles",
        reference=_by_scipy(lambda *y: _lorenz_96_of(*y, 2.0), (*(2.0,) * 5, 2.01), 30.0, 1500.0),
    ),
    # Eigenvalues -1 + F (w - 1 / w^2) over the tenth roots of one.
    _case(
        "lorenz_96_at_rest", _lorenz_96_at(10, 0.5), (*(0.5,) * 9, 0.7), "Lorenz (1996)", fate="converges",
        rate=float(np.max(-1 + 0.5 * (np.cos(TURN * np.arange(10) / 10) - np.cos(2 * TURN * np.arange(10) / 10)))),
    ),
    # Maps.
    _map("logistic_settles", _logistic, (0.1,), _MAY, args=(2.5,), fate="converges", rate=np.log(0.5)),
    _map("logistic_at_once", _logistic, (0.1,), _MAY, args=(2.0,), fate="converges"),
    _map("logistic_critical", _logistic, (0.5,), _MAY, args=(1.0,), fate="converges", power=-1.0),
    _map("logistic_critical_flip", _logistic, (0.5,), _MAY, args=(3.0,), fate="converges", power=-0.5),
    _map(
        "logistic_two", _logistic, (0.1,), _MAY, args=(3.2,), fate="cycles", period=2.0, amplitude=np.sqrt(0.84) / 6.4
    ),
    _map(
        "logistic_four", _logistic, (0.1,), _MAY, args=(3.5,), fate="cycles",
        reference=lambda: _end_of_orbit(lambda x: (3.5 * x * (1 - x),), (0.1,), 10_000, 4),
    ),
    _map(
        "logistic_three", _logistic, (0.1,), _MAY, args=(3.83,), fate="cycles",
        reference=lambda: _end_of_orbit(lambda x: (3.83 * x * (1 - x),), (0.1,), 10_000, 3),
    ),
    _map("logistic_chaos", _logistic, (0.3,), _MAY + "; largest exponent 0.497", args=(3.9,), single=False),
    _map("logistic_escapes", _logistic, (0.3,), _MAY, args=(4.5,), fate="diverges"),
    _map(
        "henon", _henon, (0.1, 0.1), "Henon (1976)" + _LYAPUNOV, args=(1.4, 0.3), exponent=0.4192, known_to=0.01,
        single=False,
    ),
    _map(
        "henon_settles", _henon, (0.1, 0.1), "Henon (1976)", args=(0.2, 0.3), fate="converges",
        # m^2 + 2 a x m - b = 0 at the fixed point x = (sqrt(1.29) - 0.7) / 0.4.
        rate=float(np.log(np.max(np.abs(np.roots([1, np.sqrt(1.29) - 0.7, -0.3]))))),
    ),
    _map(
        "henon_two", _henon, (0.1, 0.1), "Henon (1976)", args=(0.5, 0.3), fate="cycles",
        reference=lambda: _end_of_orbit(lambda x, y: (1 - 0.5 * x * x + y, 0.3 * x), (0.1, 0.1), 10_000, 2),
    ),
    _map("lozi", _lozi, (0.1, 0.1), "Lozi (1978); largest exponent 0.47", single=False),
    _map("ikeda", _ikeda_map, (0.1, 0.1), "Hammel, Jones and Moloney (1985); largest exponent 0.507", single=False),
    _map(
        "delayed_logistic_curve", _delayed, (0.5, 0.4), _DELAYED, args=(2.1,), fate="cycles",
        reference=_turning(lambda x, y: (2.1 * x * (1 - y), x), (0.5, 0.4), (1 - 1 / 2.1, 1 - 1 / 2.1), 10_000),
    ),
    _map("delayed_logistic_critical", _delayed, (0.5, 0.4), _DELAYED, args=(2.0,), fate="converges", power=-0.5),
    # m^2 - m + a - 1 = 0.
    _map(
        "delayed_logistic_settles", _delayed, (0.5, 0.4), _DELAYED, args=(1.9,), fate="converges", rate=np.log(0.9) / 2
    ),
    _map(
        "delayed_logistic_chaos", _delayed, (0.5, 0.4), _DELAYED + "; largest exponent 0.18", args=(2.27,),
        single=False,
    ),
    _map(
        "henon_rotation", _rotating, (0.3, 0.1), "Henon (1969): area-preserving, an invariant curve",
        args=(float(np.arccos(0.24)),), fate="cycles",
        reference=_turning(
            lambda x, y, a=float(np.arccos(0.24)): (
                x * np.cos(a) - (y - x**2) * np.sin(a), x * np.sin(a) + (y - x**2) * np.cos(a)
            ),
            (0.3, 0.1), (0.0, 0.0), 0,
        ),
    ),
    _map(
        "standard_map_swings", _standard, (np.pi + 0.5, 0.0), "Chirikov (1979): around the elliptic point (pi, 0)",
        args=(0.5,), fate="cycles",
        reference=_turning(
            lambda x, p: (x + p + 0.5 * np.sin(x), p + 0.5 * np.sin(x)), (np.pi + 0.5, 0.0), (np.pi, 0.0), 0
        ),
    ),
    _map(
        "standard_map_turns_over", _standard, (0.0, 2.0), "Chirikov (1979): the angle grows", args=(0.5,),
        fate="diverges",
    ),
    _map(
        "twisted_circle", _twisted, (0.3, 0.0), "each step turns by 1, and r -> r (1.2 - 0.2 r^2)", args=(1.0, 1.0),
        fate="cycles", period=TURN, amplitude=1.0,
    ),
    _map("flip", _linear, (1.0,), "x -> -x", args=(-1.0,), fate="cycles", period=2.0, amplitude=1.0),
    _map("flip_that_shrinks", _linear, (1.0,), "x -> -0.999 x", args=(-0.999,), fate="converges", rate=np.log(0.999)),
    _map("flip_that_grows", _linear, (1.0,), "x -> -1.001 x", args=(-1.001,), fate="diverges", rate=np.log(1.001)),
    _map(
        "down_by_half", _down_by_half, (20.25,), "JuliaDynamics/Attractors.jl, pull request 174: at 0 after 41 steps",
        fate="converges",
    ),
)  # fmt: skip
