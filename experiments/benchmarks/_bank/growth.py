"""Growth in every manner, blow-ups, large detours that come back, and stiff decay."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.benchmarks._bank import _independent
from experiments.benchmarks._bank._case import Case, of

_BY_HAND = "separated by hand"
# `Case.reference` computes them anew.
_KNOWN: dict[str, dict[str, float]] = {"wrong_sign_of_the_penalty": {"time": 0.807652395322}}

_square = of(lambda z, w: (z**2 - w**2, 2 * z * w))
_robertson = of(lambda a, b, c: (-0.04 * a + 1e4 * b * c, 0.04 * a - 1e4 * b * c - 3e7 * b**2, 3e7 * b**2))
_kaps = of(lambda x, y, e: (-(1 / e + 2) * x + y**2 / e, x - y - y**2))
_slow_manifold = of(lambda x, y: (-(x**3), -1000 * (y - x**2)))
_prothero_robinson = of(lambda y, c, s: (-1e4 * (y - c) - s, -s, c))
_heat = of(
    lambda *u: tuple(100 * ((u[i - 1] if i else 0.0) - 2 * u[i] + (u[i + 1] if i < 9 else 0.0)) for i in range(10))
)
_wrong_sign = of(lambda w, a: ((1 - a**2) / 3, 2 * w * a / 3 - 2 * a * (1 - a**2) / 9))
_octants = of(lambda x, y, z: (x - x**3, y - y**3, z - z**3))
_fast_decay = of(lambda x: (-1e11 * x,))


def _hires_of(*y):
    # The last two keep their sum: a line of equilibria.
    a, b, c, d, e, f, g, h = y
    exchange = 280 * f * h - 1.81 * g
    return (
        -1.71 * a + 0.43 * b + 8.32 * c + 0.0007, 1.71 * a - 8.75 * b, -10.03 * c + 0.43 * d + 0.035 * e,
        8.32 * b + 1.71 * c - 1.12 * d, -1.745 * e + 0.43 * f + 0.43 * g,
        -280 * f * h + 0.69 * d + 1.71 * e - 0.43 * f + 0.69 * g, exchange, -exchange,
    )  # fmt: skip


_hires = of(_hires_of)


def _one(name: str, velocity: Callable, start: float, **known: Any) -> Case:
    facts: dict[str, Any] = {"source": _BY_HAND, "fate": "diverges"} | known
    return Case(name=name, make=of(lambda x: (velocity(x),)), start=(start,), **facts)


def _case(name: str, make: Any, start: tuple[float, ...], source: str, **known: Any) -> Case:
    facts: dict[str, Any] = _KNOWN.get(name, {}) | known
    return Case(name=name, make=make, start=start, source=source, **facts)


def _wrong_sign_time() -> dict[str, float]:
    """In the logarithm of a, and in a time that slows down as a grows; t is the third coordinate."""

    def velocity(w: float, p: float, t: float) -> tuple[float, float, float]:
        slow = np.exp(-2 * p)
        return slow * (1 - np.exp(2 * p)) / 3, slow * (2 * w / 3 - 2 * (1 - np.exp(2 * p)) / 9), slow

    return {"time": float(_independent.final(velocity, (0.0, np.log(2.0), 0.0), 90.0)[2])}


CASES = (
    _one("blows_up_as_square", lambda x: x**2, 1.0, time=1.0),
    _one("blows_up_late", lambda x: 1e-3 * x**2, 1.0, time=1000.0),
    _one("blows_up_as_cube", lambda x: x**3, 1.0, time=0.5),
    _one("blows_up_as_exponential", jnp.exp, 0.0, time=1.0),
    _one("blows_up_as_tangent", lambda x: 1 + x**2, 0.0, time=np.pi / 2),
    _one("blows_up_downward", lambda x: -(x**4), -1.0, time=1 / 3),
    _one("grows_as_logarithm", lambda x: jnp.exp(-x), 0.0),
    _one("falls_as_logarithm", lambda x: -jnp.exp(x), 50.0),
    _one("grows_as_square_root", lambda x: 0.5 / x, 1.0),
    _one("grows_linearly", lambda x: 1.0 + 0.0 * x, 0.0),
    _one("grows_as_three_halves", lambda x: jnp.abs(x) ** (1 / 3), 1.0),
    _one("grows_doubly_exponentially", lambda x: x * jnp.log(x), 2.0),
    _one("grows_and_wobbles", lambda x: 1.1 + jnp.sin(x), 0.0),
    # What grows for long, and then stops.
    _one("logistic_of_large_capacity", lambda x: x * (1 - x / 1e6), 1e-3, fate="converges", rate=-1.0),
    _one("logistic_of_huge_capacity", lambda x: x * (1 - x / 1e12), 1e-3, fate="converges", rate=-1.0),
    _one("slow_logistic", lambda x: 1e-4 * x * (1 - x / 1e4), 1.0, fate="converges", rate=-1e-4),
    _one("washboard", lambda x: 0.9 + jnp.sin(x), 0.0, fate="converges", rate=-np.sqrt(0.19)),
    _one("sinh", lambda x: -jnp.sinh(x), 30.0, fate="converges", rate=-1.0),
    _one("tanh", lambda x: -jnp.tanh(x), 300.0, fate="converges", rate=-1.0),
    # z' = z^2: z = z0 / (1 - z0 t) goes around a circle through 0, of diameter |z0|^2 / Im z0, and comes back.
    _case("square_on_the_real_line", _square, (1.0, 0.0), "z' = z^2 by hand", fate="diverges", time=1.0),
    _case("square_beside_the_real_line", _square, (1.0, 0.1), "z' = z^2 by hand", fate="converges", power=-1.0),
    _case("square_close_to_the_real_line", _square, (1.0, 1e-4), "z' = z^2 by hand", fate="converges", power=-1.0),
    _case(
        "wrong_sign_of_the_penalty", _wrong_sign, (0.0, 2.0),
        "linear-quadratic WGAN with a gradient-norm weight of -1/2, in logarithms by SciPy", fate="diverges",
        reference=_wrong_sign_time,
    ),
    _case(
        "octants", _octants, (1.5, -0.2, 1e-3), "JuliaDynamics/DynamicalSystems.jl, issue 187", fate="converges",
        rate=-2.0
    ),
    _case(
        "octants_on_a_face", _octants, (1.5, -0.2, 0.0), "JuliaDynamics/DynamicalSystems.jl, issue 187: on a face",
        fate="converges", failing=13,
    ),
    _case("very_fast_decay", _fast_decay, (1.0,), "patrick-kidger/diffrax, issue 632", fate="converges", rate=-1e11),
    # Stiff.
    _case(
        "robertson", _robertson, (1.0, 0.0, 0.0), "Robertson (1966): b = 4e-6 a, so a' = -4.8e-4 a^2 in the end",
        fate="converges", power=-1.0,
    ),
    _case("kaps", _kaps, (1.0, 1.0), "Kaps: y = exp(-t), x = y^2", args=(1e-4,), fate="converges", rate=-1.0),
    _case("slow_manifold", _slow_manifold, (1.0, 0.0), "x' = -x^3 drags y along", fate="converges", power=-0.5),
    _case(
        "prothero_robinson", _prothero_robinson, (2.0, 1.0, 0.0), "Prothero and Robinson (1974), the cosine a state",
        fate="cycles", period=2 * np.pi, amplitude=1.0,
    ),
    _case(
        "heat_on_ten_points", _heat, (1.0, *(0.0,) * 9), "eigenvalues -400 sin^2 (k pi / 22)", fate="converges",
        rate=-400 * np.sin(np.pi / 22) ** 2,
    ),
    _case(
        "hires", _hires, (1.0, *(0.0,) * 6, 0.0057), "Schaefer (1975) as in Hairer and Wanner (1996)", fate="converges",
    ),
)  # fmt: skip
