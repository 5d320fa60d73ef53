"""Motion that keeps an energy: closed orbits small and huge, orbits beside separatrices, tori."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy.special import ellipkm1, gamma

from experiments.benchmarks._bank import _independent
from experiments.benchmarks._bank._case import Case, of

TURN = 2 * np.pi

_oscillator = of(lambda x, v, a, b: (v, a * x - b * x**3))
_odd = of(lambda x, v, p: (v, -jnp.sign(x) * jnp.abs(x) ** p))
_pendulum = of(lambda x, v: (v, -jnp.sin(x)))
_volterra = of(lambda x, y: (x * (1 - y), y * (x - 1)))
_rigid_body = of(lambda x, y, z: (-y * z, x * z, -x * y / 3))
_kepler = of(lambda x, y, u, v: (u, v, -x / jnp.sqrt(x**2 + y**2) ** 3, -y / jnp.sqrt(x**2 + y**2) ** 3))
_henon_heiles = of(lambda x, y, u, v: (u, v, -x - 2 * x * y, -y - x**2 + y**2))
_holomorphic = of(lambda x, y, a: (y**2 - x**2 - a**2, -2 * x * y))
_nilpotent = of(lambda x, y: (y, -3 * x**2 + 3))


def _toda(x, y, z, u, v, w):
    # Three particles on a ring, each pushed by its neighbors.
    return u, v, w, jnp.exp(z - x) - jnp.exp(x - y), jnp.exp(x - y) - jnp.exp(y - z), jnp.exp(y - z) - jnp.exp(z - x)


# Duffing.


def _well(start: float) -> dict[str, float]:
    """x'' = x - x^3 within a well, from rest at `start`: x = a dn(a t / sqrt 2), with turning points a and b."""
    b_squared, a_squared = sorted((start**2, 2 - start**2))
    energy = -(start**2) / 2 + start**4 / 4
    half_width = (np.sqrt(a_squared) - np.sqrt(b_squared)) / 2
    return {
        "period": 2 * np.sqrt(2 / a_squared) * ellipkm1(b_squared / a_squared),
        "amplitude": max(half_width, np.sqrt(2 * energy + 0.5)),
    }


def _around(start: float, a: float) -> dict[str, float]:
    """x'' = a x - x^3 around everything, a = 1, 0 or -1, from rest at `start`: x = start cn(k t)."""
    k_squared = start**2 - a
    # v is largest at the bottom of the potential.
    energy = -a * start**2 / 2 + start**4 / 4
    return {
        "period": 4 * ellipkm1((start**2 - 2 * a) / (2 * k_squared)) / np.sqrt(k_squared),
        "amplitude": max(start, np.sqrt(2 * energy + (0.5 if a > 0 else 0.0))),
    }


def _duffing(name: str, start: float, a: float, known: dict[str, float], **more: Any) -> Case:
    return Case(
        name=name, make=_oscillator, args=(a, 1.0), start=(start, 0.0), fate="cycles", **known, **more,
        source="x'' = a x - x^3 by elliptic functions; Guckenheimer and Holmes (1983), section 2.2",
    )  # fmt: skip


# The pendulum.


def _swing(name: str, start: float, **more: Any) -> Case:
    return Case(
        name=name, make=_pendulum, start=(start, 0.0), fate="cycles", period=4 * ellipkm1(np.cos(start / 2) ** 2),
        amplitude=max(start, 2 * np.sin(start / 2)), source="the pendulum by elliptic functions", **more,
    )  # fmt: skip


# Lotka-Volterra.


def _huge(start: float, longest: float) -> Callable[[], dict[str, float]]:
    """In the logarithms of both."""
    return lambda: _independent.cycle(
        lambda u, v: (1 - np.exp(v), np.exp(u) - 1), (np.log(start), 0.0), longest, back=np.exp
    )


def _predator(name: str, start: float, longest: float, **known: Any) -> Case:
    return Case(
        name=name, make=_volterra, start=(start, 1.0), fate="cycles", reference=_huge(start, longest),
        source="Lotka-Volterra in the logarithms of both, by SciPy; Murray (2002), section 3.1", **known,
    )  # fmt: skip


# The free rigid body.


def _free_rotation(x: float, y: float, z: float) -> float:
    """The period for moments of inertia 1, 2 and 3, around the third axis."""
    rest, width = 3 * z**2 - x**2, x**2 + y**2
    # L^2 - 2 E I_1, and 1 - m, each without cancellation.
    difference = 2 * y**2 + 6 * z**2
    assert rest > 0 and width > 0
    return 4 * ellipkm1(2 * rest / difference) / np.sqrt(difference / 6)


def _body(name: str, start: tuple[float, float, float], **more: Any) -> Case:
    return Case(
        name=name, make=_rigid_body, start=start, fate="cycles", period=_free_rotation(*start),
        amplitude=float(np.hypot(*start[:2])),
        source="Euler's free rigid body by elliptic functions; Landau and Lifshitz, Mechanics, section 37", **more,
    )  # fmt: skip


# Kepler.


def _planet(name: str, e: float, **more: Any) -> Case:
    return Case(
        name=name, make=_kepler, start=(1 + e, 0.0, 0.0, float(np.sqrt((1 - e) / (1 + e)))), fate="cycles", period=TURN,
        # Of the velocity, whose hodograph is a circle.
        amplitude=1 / np.sqrt(1 - e**2), source="Kepler's ellipse of unit half-axis from its far point", **more,
    )  # fmt: skip


def _hamiltonian(name: str, make: Any, start: tuple[float, ...], source: str, **known: Any) -> Case:
    return Case(name=name, make=make, start=start, source=source, **known)


_HENON_HEILES = "Henon and Heiles (1964): bounded below energy 1/6, and not one of the few periodic orbits"

CASES = (
    _duffing("duffing_in_a_well", 1.2, 1.0, _well(1.2)),
    _duffing("duffing_near_the_loop", 1e-3, 1.0, _well(1e-3), single=False),
    _duffing("duffing_very_near_the_loop", 1e-6, 1.0, _well(1e-6), single=False),
    _duffing("duffing_around_both_wells", 1.5, 1.0, _around(1.5, 1.0)),
    _duffing("duffing_just_around_both_wells", 1.4143, 1.0, _around(1.4143, 1.0), single=False, known_to=1e-8),
    _duffing("duffing_hard_and_large", 100.0, -1.0, _around(100.0, -1.0)),
    _duffing("cubic_oscillator", 1.0, 0.0, _around(1.0, 0.0)),
    _duffing("cubic_oscillator_small", 0.01, 0.0, _around(0.01, 0.0)),
    Case(
        name="septic_oscillator", make=_odd, args=(7.0,), start=(1.0, 0.0), fate="cycles",
        period=np.sqrt(np.pi) * gamma(1 / 8) / gamma(5 / 8), amplitude=1.0, source="x'' = -x^7 by a beta function",
    ),
    _swing("pendulum", 1.0),
    _swing("pendulum_large", 3.0),
    _swing("pendulum_nearly_upright", 3.14159, single=False),
    Case(
        name="pendulum_that_turns_over", make=_pendulum, start=(0.0, 2.1), fate="diverges",
        source="energy 2.205 is above the 2 of the separatrix, so the angle grows for ever",
    ),
    _predator("lotka_volterra", 1.2, 20.0, period=6.3017117385, amplitude=0.1882189986),
    _predator("lotka_volterra_large", 8.0, 60.0, period=11.9437732778, amplitude=3.9986545338),
    _predator("lotka_volterra_huge", 20.0, 120.0, period=24.4012649326, amplitude=9.9999999794),
    _predator("lotka_volterra_enormous", 60.0, 400.0, period=65.2633816212, amplitude=30.0),
    _body("rigid_body", (0.3, 0.5, 1.0)),
    _body("rigid_body_near_the_middle_axis", (1e-3, 1.0, 1e-3)),
    _planet("kepler", 0.5),
    _planet("kepler_eccentric", 0.95),
    _hamiltonian(
        "henon_heiles_quasi_periodic", _henon_heiles, (0.0, 0.1, 0.35, 0.05), _HENON_HEILES, fate="wanders",
    ),
    _hamiltonian(
        "henon_heiles_chaotic", _henon_heiles, (0.0, -0.15, 0.5, 0.05), _HENON_HEILES, fate="wanders",
    ),
    _hamiltonian(
        "toda_three", of(_toda), (0.5, -0.2, -0.3, 0.25, 0.125, -0.375),
        "Toda's ring of three, its momenta exactly of sum 0: a torus", fate="wanders",
    ),
    _hamiltonian(
        "holomorphic_center", _holomorphic, (0.0, 17.6),
        "z' = -(z^2 + a^2): conjugate to a rotation by residues, period pi / a; patrick-kidger/diffrax, issue 702",
        args=(16.0,), fate="cycles", period=np.pi / 16, amplitude=(17.6 - 256 / 17.6) / 2,
    ),
    _hamiltonian(
        "cubic_well_escapes", _nilpotent, (-1.1, 0.0), "keeps v^2 / 2 + x^3 - 3 x, left of the saddle at -1",
        fate="diverges",
    ),
)  # fmt: skip
