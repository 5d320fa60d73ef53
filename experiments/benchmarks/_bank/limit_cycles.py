"""Isolated cycles, from nearly round to relaxation with long waits, and the rest beside them."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.benchmarks._bank import _independent
from experiments.benchmarks._bank._case import Case, of

TURN = 2 * np.pi

# Periods and amplitudes, or rates; `Case.reference` computes them anew.
_KNOWN: dict[str, dict[str, float]] = {
    "van_der_pol_0.01": {"period": 6.28322457699, "amplitude": 2.0001176867},
    "van_der_pol_0.1": {"period": 6.28711127229, "amplitude": 2.01156464973},
    "van_der_pol_1": {"period": 6.66328685932, "amplitude": 2.67844147961},
    "van_der_pol_5": {"period": 11.6122306677, "amplitude": 7.63715882739},
    "van_der_pol_30": {"period": 50.5436864827, "amplitude": 40.6538361345},
    "van_der_pol_100": {"period": 162.837071093, "amplitude": 133.801691},
    "van_der_pol_1000": {"period": 1614.40112582, "amplitude": 1333.56251005},
    "rayleigh": {"period": 6.66328685932, "amplitude": 2.17271369262},
    "fitzhugh_nagumo": {"period": 39.4744149802, "amplitude": 1.91126211068},
    "fitzhugh_nagumo_at_rest": {"rate": -0.251289817504},
    "fitzhugh_nagumo_of_straight_pieces": {"period": 91.0765194544, "amplitude": 2.64164669281},
    "brusselator": {"period": 7.15691992118, "amplitude": 1.93489958433},
    "brusselator_just_past_hopf": {"period": 6.28671368005, "amplitude": 0.163549675433},
    "selkov": {"period": 9.62260777905, "amplitude": 0.974775739947},
    "predator_prey_10": {"period": 81.3303767108, "amplitude": 6.07098470784},
    "predator_prey_40": {"period": 311.442180988, "amplitude": 24.5102160512},
    "predator_prey_100": {"period": 774.274799753, "amplitude": 61.5434902918},
    "predator_prey_20_greedy": {"period": 73.2151759194, "amplitude": 9.99977842647},
    "predator_prey_at_rest": {"rate": -0.025},
    "predator_prey_that_crawls_by": {"period": 83.5826599462, "amplitude": 7.4993131171},
    "food_web": {"rate": -0.277777777778},
    "food_chain": {"rate": -0.0666245290654},
    "oregonator": {"period": 302.858044009, "amplitude": 58922.3889158},
    "stirred_tank_between_the_hopf_points": {"period": 13.5759946869, "amplitude": 0.153306834286},
    "stirred_tank_past_them": {"rate": -0.397183622848},
    "stirred_tank_before_the_fold": {"rate": -0.410958644208},
    "morris_lecar": {"period": 85.2906410429, "amplitude": 41.8309368984},
    "morris_lecar_bistable_cycles": {"period": 96.6740089493, "amplitude": 41.6743962751},
    "morris_lecar_bistable_at_rest": {"rate": -0.00466836263933},
    "repressilator": {"period": 43.7568641785, "amplitude": 42.0478726036},
    "sigma_factor": {"period": 74.6625128033, "amplitude": 0.481253995838},
}

_van_der_pol = of(lambda x, v, mu: (v, mu * (1 - x**2) * v - x))
_rayleigh = of(lambda x, v, mu: (v, mu * (v - v**3 / 3) - x))
_fitzhugh_nagumo = of(lambda v, w, current: (v - v**3 / 3 - w + current, (v + 0.7 - 0.8 * w) / 12.5))
_kinked_nagumo = of(lambda v, w: (jnp.minimum(jnp.maximum(-2 - v, v), 2 - v) - w, 0.04 * (v - 0.8 * w)))
_brusselator = of(lambda x, y, b: (1 - (b + 1) * x + x**2 * y, b * x - x**2 * y))
_selkov = of(lambda x, y, b: (-x + 0.08 * y + x**2 * y, b - 0.08 * y - x**2 * y))
_rosenzweig = of(lambda u, v, r, k, a, d: (r * u * (1 - u / k) - a * u * v / (1 + u), v * (a * u / (1 + u) - d)))
_slow_fast_prey = of(lambda u, v: (0.8 * u * (1 - u / 15) - 2.5 * u * v / (1 + u), v * (1.25 * u / (1 + u) - 0.4)))
_food_web = of(lambda u, v: (2 * u * (1 - u / 3) - 1.8 * u * v, 0.72 * u * v - 0.6 * v))
_oregonator = of(lambda x, y, z: (77.27 * (y + x * (1 - 8.375e-6 * x - y)), (z - (1 + x) * y) / 77.27, 0.161 * (x - z)))
_tank = of(lambda x, y, d: (-x + d * (1 - x) * jnp.exp(y), -1.74 * y + 7.06 * d * (1 - x) * jnp.exp(y)))
_landau_pair = of(
    lambda x, u, y, v, b: (
        x * (1 - x**2 - u**2) - u, u * (1 - x**2 - u**2) + x,
        y * (1 - y**2 - v**2) - b * v, v * (1 - y**2 - v**2) + b * y,
    )
)  # fmt: skip


def _food_chain_of(b, i, t):
    half = 80**1.2
    eaten, hunted = 1.8 * i * b**1.2 / (half + b**1.2), 0.6 * t * i**1.2 / (half + i**1.2)
    return (
        0.3 * (1 - b / 700) * b - eaten / 0.66, -0.18 * i + eaten - hunted / 0.85, -0.06 * t + hunted,
    )  # fmt: skip


def _morris_lecar_of(tanh, cosh):
    def velocity(v, w, current):
        opening, resting = 0.5 * (1 + tanh((v + 1.2) / 18)), 0.5 * (1 + tanh((v - 2) / 30))
        drive = current - 2 * (v + 60) - 4.4 * opening * (v - 120) - 8 * w * (v + 84)
        return drive / 20, 0.04 * (resting - w) * cosh((v - 2) / 60)

    return velocity


def _repressilator_of(*y):
    m, p = y[:3], y[3:]
    return (*(-m[i] + 216 / (1 + p[i - 1] ** 2) + 0.2 for i in range(3)), *(-0.2 * (p[i] - m[i]) for i in range(3)))


def _sigma_factor_of(s, a, b, c):
    drive = (5 * s) ** 3
    return 0.1 + drive / (drive + (10 * c) ** 3 + 1) - s, (s - a) / 10, (a - b) / 10, (b - c) / 10


def _landau_ring_of(*y):
    # Five oscillators z' = z (1 + i - |z|^2), each drawn to its neighbors.
    x, v = y[:5], y[5:]
    size = [1 - x[i] ** 2 - v[i] ** 2 for i in range(5)]
    pull = [[0.3 * (z[i - 1] + z[(i + 1) % 5] - 2 * z[i]) for i in range(5)] for z in (x, v)]
    return (
        *(size[i] * x[i] - v[i] + pull[0][i] for i in range(5)),
        *(size[i] * v[i] + x[i] + pull[1][i] for i in range(5)),
    )


_morris_lecar = of(_morris_lecar_of(jnp.tanh, jnp.cosh))
_food_chain, _repressilator = of(_food_chain_of), of(_repressilator_of)
_sigma_factor, _landau_ring = of(_sigma_factor_of), of(_landau_ring_of)


def _case(name: str, make: Any, start: tuple[float, ...], source: str, **known: Any) -> Case:
    facts: dict[str, Any] = {"fate": "cycles"} | _KNOWN.get(name, {}) | known
    return Case(name=name, make=make, start=start, source=source, **facts)


def _relaxation(name: str, mu: float, settle: float, method: str = "DOP853", **known: Any) -> Case:
    def in_lienards_plane() -> dict[str, float]:
        return _independent.cycle(
            lambda x, z: (mu * (x - x**3 / 3 - z), x / mu), (2.0, 0.0), 20 + 5 * mu, settle=settle, method=method,
            section=1, back=lambda y: np.stack([y[0], mu * (y[0] - y[0] ** 3 / 3 - y[1])]),
        )  # fmt: skip

    source = "Van der Pol in Lienard's plane by SciPy; Strogatz (2015), sections 7.5 and 7.6"
    start = (0.1, 0.0)
    return _case(name, _van_der_pol, start, source, args=(mu,), reference=in_lienards_plane, **known)


def _prey(
    name: str, k: float, d: float, start: tuple[float, float], longest: float, settle: float, **known: Any
) -> Case:
    def in_logarithms() -> dict[str, float]:
        def velocity(p: float, q: float) -> tuple[float, float]:
            u = np.exp(p)
            return 1 - u / k - np.exp(q) / (1 + u), u / (1 + u) - d

        return _independent.cycle(velocity, (0.0, -1.0), longest, settle=settle, section=1, back=np.exp)

    source = "Rosenzweig and MacArthur (1963), in the logarithms of both, by SciPy"
    return _case(name, _rosenzweig, start, source, args=(1.0, k, 1.0, d), reference=in_logarithms, **known)


def _by_scipy(velocity: Callable, start: tuple[float, ...], longest: float, settle: float, **options: Any) -> Callable:
    return lambda: _independent.cycle(velocity, start, longest, settle=settle, **options)


def _at_rest(velocity: Callable, near: tuple[float, ...]) -> Callable:
    return lambda: _independent.rest(velocity, near)


def _nagumo_of(current: float) -> Callable:
    return lambda v, w: (v - v**3 / 3 - w + current, (v + 0.7 - 0.8 * w) / 12.5)


def _tank_of(d: float) -> Callable:
    # In the unreacted part and the temperature's exponential.
    return lambda s, e: (1 - s - d * s * e, e * (-1.74 * np.log(e) + 7.06 * d * s * e))


def _tank_back(y: np.ndarray) -> np.ndarray:
    return np.stack([1 - y[0], np.log(y[1])])


def _with_current(current: float) -> Callable:
    return lambda v, w: _morris_lecar_of(np.tanh, np.cosh)(v, w, current)


def _oregonator_of(p: float, q: float, r: float) -> tuple[float, float, float]:
    return (
        77.27 * (np.exp(q - p) + 1 - 8.375e-6 * np.exp(p) - np.exp(q)),
        (np.exp(r - q) - 1 - np.exp(p)) / 77.27,
        0.161 * (np.exp(p - r) - 1),
    )


_NAGUMO = "FitzHugh (1961), by SciPy"
_PRIGOGINE = "Prigogine and Lefever (1968); Strogatz (2015), exercise 8.3.1; by SciPy"
_TANK = "exothermic stirred tank, Uppal, Ray and Poore (1974), by SciPy: Hopf points at 0.1315513 and 0.1325024"
_MORRIS_LECAR = "Morris and Lecar (1981), parameters of Rinzel and Ermentrout (1998), by SciPy"

CASES = (
    _relaxation("van_der_pol_0.01", 0.01, 3500.0),
    _relaxation("van_der_pol_0.1", 0.1, 400.0),
    _relaxation("van_der_pol_1", 1.0, 60.0),
    _relaxation("van_der_pol_5", 5.0, 60.0),
    _relaxation("van_der_pol_30", 30.0, 150.0),
    _relaxation("van_der_pol_100", 100.0, 500.0, "LSODA", known_to=1e-7),
    _relaxation("van_der_pol_1000", 1000.0, 4000.0, "LSODA", known_to=1e-6),
    _case(
        "rayleigh", _rayleigh, (0.0, 0.1), "Rayleigh's equation by SciPy; the velocity is Van der Pol's solution",
        args=(1.0,), reference=_by_scipy(lambda x, v: (v, v - v**3 / 3 - x), (1.0, 0.0), 20.0, 60.0),
    ),
    _case(
        "fitzhugh_nagumo", _fitzhugh_nagumo, (0.0, 0.0), _NAGUMO, args=(0.5,),
        reference=_by_scipy(_nagumo_of(0.5), (1.0, 0.0), 200.0, 600.0),
    ),
    _case(
        "fitzhugh_nagumo_at_rest", _fitzhugh_nagumo, (1.0, 0.0), _NAGUMO, args=(0.0,), fate="converges",
        reference=_at_rest(_nagumo_of(0.0), (-1.2, -0.6)),
    ),
    _case(
        "fitzhugh_nagumo_of_straight_pieces", _kinked_nagumo, (0.1, 0.0),
        "period about 91.07: JuliaDynamics/ChaosTools.jl, pull request 228; by SciPy",
        reference=_by_scipy(
            lambda v, w: (min(max(-2 - v, v), 2 - v) - w, 0.04 * (v - 0.8 * w)), (1.0, 0.0), 400.0, 2000.0, section=1
        ),
        known_to=1e-8,
    ),
    _case(
        "brusselator", _brusselator, (1.0, 1.0), _PRIGOGINE, args=(3.0,),
        reference=_by_scipy(lambda x, y: (1 - 4 * x + x * x * y, 3 * x - x * x * y), (1.0, 1.0), 40.0, 300.0),
    ),
    _case(
        "brusselator_just_past_hopf", _brusselator, (1.0, 1.9), _PRIGOGINE, args=(2.01,),
        reference=_by_scipy(lambda x, y: (1 - 3.01 * x + x * x * y, 2.01 * x - x * x * y), (1.1, 2.0), 40.0, 8000.0),
    ),
    _case(
        "brusselator_just_before_hopf", _brusselator, (1.0, 1.0), "trace b - 2, determinant 1", args=(1.99,),
        fate="converges", rate=-0.005,
    ),
    _case(
        "selkov", _selkov, (1.0, 1.0), "Sel'kov (1968); Strogatz (2015), example 7.3.2; by SciPy", args=(0.6,),
        reference=_by_scipy(
            lambda x, y: (-x + 0.08 * y + x * x * y, 0.6 - 0.08 * y - x * x * y), (1.0, 1.0), 60.0, 1000.0
        ),
    ),
    _prey("predator_prey_10", 10.0, 0.2, (1.0, 1.0), 700.0, 2000.0),
    _prey("predator_prey_40", 40.0, 0.2, (1.0, 1.0), 1500.0, 3000.0, single=False, failing=2),
    _prey("predator_prey_100", 100.0, 0.2, (1.0, 1.0), 3000.0, 6000.0, single=False),
    _prey("predator_prey_20_greedy", 20.0, 0.5, (3.0, 2.0), 800.0, 2000.0),
    _case(
        "predator_prey_at_rest", _rosenzweig, (1.0, 1.0), "Rosenzweig and MacArthur (1963); spectrum",
        args=(1.0, 1.2, 1.0, 0.2), fate="converges",
        reference=_at_rest(lambda u, v: (u * (1 - u / 1.2) - u * v / (1 + u), v * (u / (1 + u) - 0.2)), (0.25, 1.0)),
    ),
    _case(
        "predator_prey_that_crawls_by", _slow_fast_prey, (0.3, 0.3),
        "taken for its two saddles: JuliaDynamics/ChaosTools.jl, issue 258; in logarithms by SciPy",
        reference=_by_scipy(
            lambda p, q: (
                0.8 * (1 - np.exp(p) / 15) - 2.5 * np.exp(q) / (1 + np.exp(p)), 1.25 * np.exp(p) / (1 + np.exp(p)) - 0.4
            ),
            (0.0, 0.0), 800.0, 3000.0, section=1, back=np.exp,
        ),
    ),
    _case(
        "food_web", _food_web, (0.5, 0.5),
        "noise of a loose solver at a stable focus: SciML/DifferentialEquations.jl, issue 307", fate="converges",
        reference=_at_rest(lambda u, v: (2 * u * (1 - u / 3) - 1.8 * u * v, 0.72 * u * v - 0.6 * v), (0.8, 0.8)),
    ),
    _case(
        "food_chain", _food_chain, (155.0, 107.0, 93.0),
        "stiffness not seen: SciML/OrdinaryDiffEq.jl, issue 566; settles, by SciPy in logarithms", fate="converges",
        reference=_at_rest(_food_chain_of, (569.0, 12.8, 265.9)),
    ),
    _case(
        "oregonator", _oregonator, (1.0, 2.0, 3.0), "Field and Noyes (1974) as in Hairer and Wanner (1996)",
        reference=_by_scipy(
            _oregonator_of, (0.0, 0.7, 1.0), 1000.0, 1500.0, section=2, back=np.exp, method="LSODA"
        ),
        known_to=1e-6,
    ),
    _case(
        "stirred_tank_between_the_hopf_points", _tank, (0.7, 2.7), _TANK, args=(0.132,),
        reference=_by_scipy(_tank_of(0.132), (0.3, 15.0), 60.0, 12000.0, back=_tank_back),
    ),
    _case(
        "stirred_tank_past_them", _tank, (0.12, 0.5), _TANK, args=(0.15,), fate="converges",
        reference=_at_rest(_tank_of(0.15), (0.22, 23.8)),
    ),
    _case(
        "stirred_tank_before_the_fold", _tank, (0.12, 0.5), _TANK, args=(0.13,), fate="converges",
        reference=_at_rest(_tank_of(0.13), (0.65, 4.1)),
    ),
    _case(
        "morris_lecar", _morris_lecar, (0.0, 0.0), _MORRIS_LECAR, args=(100.0,),
        reference=_by_scipy(_with_current(100.0), (0.0, 0.0), 400.0, 2000.0),
    ),
    _case(
        "morris_lecar_bistable_cycles", _morris_lecar, (0.0, 0.0), _MORRIS_LECAR, args=(92.0,),
        reference=_by_scipy(_with_current(92.0), (0.0, 0.0), 500.0, 4000.0),
    ),
    _case(
        "morris_lecar_bistable_at_rest", _morris_lecar, (-25.5, 0.13), _MORRIS_LECAR, args=(92.0,), fate="converges",
        reference=_at_rest(_with_current(92.0), (-25.9, 0.1346)),
    ),
    _case(
        "repressilator", _repressilator, (1.0, 0.0, 0.0, 2.0, 1.0, 3.0), "Elowitz and Leibler (2000), by SciPy",
        reference=_by_scipy(_repressilator_of, (1.0, 0.0, 0.0, 2.0, 1.0, 3.0), 200.0, 3000.0),
    ),
    _case(
        "sigma_factor", _sigma_factor, (0.1, 0.1, 0.1, 0.1),
        "a cycle that was hard to follow: bifurcationkit/BifurcationKit.jl, issue 62; by SciPy",
        reference=_by_scipy(_sigma_factor_of, (0.1, 0.1, 0.1, 0.1), 400.0, 6000.0),
    ),
    _case(
        "landau_ring_in_step", _landau_ring, (1.0, 0.5, 0.8, 0.2, 0.6, 0.0, 0.3, -0.2, 0.1, 0.4),
        "five alike Stuart-Landau oscillators, drawn together: in step they turn as one does", period=TURN,
        amplitude=1.0,
    ),
    _case(
        "landau_pair_apart", _landau_pair, (0.5, 0.0, 0.3, 0.2),
        "two uncoupled Stuart-Landau oscillators: a torus that attracts", args=(2**0.5,), fate="wanders",
    ),
    _case(
        "landau_pair_two_to_three", _landau_pair, (0.5, 0.0, 0.3, 0.2), "two uncoupled Stuart-Landau oscillators",
        args=(1.5,), period=2 * TURN, amplitude=1.0,
    ),
)  # fmt: skip
