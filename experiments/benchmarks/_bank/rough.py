"""Fields that jump or have kinks, and fields that know the time."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy.special import gamma

from experiments.benchmarks._bank import _independent
from experiments.benchmarks._bank._case import Case, of, of_time

TURN = 2 * np.pi
# `Case.reference` computes them anew.
_KNOWN: dict[str, dict[str, float]] = {
    "forced_landau_oscillator_and_its_phase": {"period": 1.0, "amplitude": 1.46900257369}
}


def _case(name: str, velocity: Any, start: tuple[float, ...], source: str, **known: Any) -> Case:
    facts: dict[str, Any] = _KNOWN.get(name, {}) | known
    return Case(name=name, make=of(velocity), start=start, source=source, **facts)


def _timed(name: str, velocity: Any, start: tuple[float, ...], source: str, **known: Any) -> Case:
    # Whoever looks at the field at one time alone cannot know, and may refuse.
    facts: dict[str, Any] = {"asked": False} | known
    return Case(name=name, make=of_time(velocity), start=start, source=source, **facts)


def _pushed_friction(push: float, damping: float) -> dict[str, float]:
    """x'' + 2 damping x' + x = push sign(x'): half a turn about the center push, then half a turn about -push."""
    omega = np.sqrt(1 - damping**2)
    kept = np.exp(-damping * np.pi / omega)
    far = push * (1 + kept) / (1 - kept)
    # From rest at the distance far + push from the center.
    at = np.arctan2(omega, damping) / omega
    fastest = (far + push) / omega * np.exp(-damping * at) * np.sin(omega * at)
    return {"period": TURN / omega, "amplitude": max(far, fastest)}


def _forced_landau(x, y, c, s):
    size = x**2 + y**2
    return x + TURN * y - size * x - 3 * s, -TURN * x + y - size * y, -TURN * s, TURN * c


_FILIPPOV = "Filippov (1988): the sign taken as a set at zero"

CASES = (
    # Jumps.
    _case("sign", lambda x: (-jnp.sign(x),), (1.0,), _FILIPPOV + "; rests from t = 1 on", fate="converges", failing=17),
    _case(
        "sign_and_slide", lambda x, y: (-jnp.sign(x) + 0.5, -y), (1.0, 1.0), _FILIPPOV + "; slides", fate="converges",
    ),
    _case(
        "relay", lambda x, v: (v, -jnp.sign(x)), (1.0, 0.0), "parabolas: four quarters of sqrt(2) each", fate="cycles",
        period=4 * np.sqrt(2), amplitude=np.sqrt(2),
    ),
    _case(
        "relay_with_drag", lambda x, v: (v, -jnp.sign(x) - 0.1 * v), (1.0, 0.0), "the energy |x| + v^2 / 2 falls",
        fate="converges",
    ),
    _case(
        "dry_friction", lambda x, v: (v, -x - 0.1 * jnp.sign(v)), (1.05, 0.0), "loses 0.2 a half turn; sticks",
        fate="converges",
    ),
    _case(
        "dry_push", lambda x, v: (v, -x + 0.1 * jnp.sign(v)), (1.0, 0.0), "gains 0.2 in each half turn", fate="diverges"
    ),
    _case(
        "dry_push_and_drag", lambda x, v: (v, -x - 0.1 * v + 0.1 * jnp.sign(v)), (0.5, 0.0), "half turns by hand",
        fate="cycles", **_pushed_friction(0.1, 0.05),
    ),
    # Kinks.
    _case(
        "two_springs", lambda x, v: (v, -jnp.where(x > 0, 4.0, 1.0) * x), (1.0, 0.0), "half turns at 2 and at 1",
        fate="cycles", period=1.5 * np.pi, amplitude=2.0,
    ),
    _case(
        "two_springs_and_drag", lambda x, v: (v, -jnp.where(x > 0, 4.0, 1.0) * x - 0.02 * v), (1.0, 0.0),
        "the energy falls", fate="converges",
    ),
    _case(
        "square_spring", lambda x, v: (v, -x * jnp.abs(x)), (1.0, 0.0), "a beta function", fate="cycles", amplitude=1.0,
        period=4 * np.sqrt(1.5) * np.sqrt(np.pi) * gamma(4 / 3) / gamma(5 / 6),
    ),
    _case("modulus", lambda x: (-jnp.abs(x),), (1.0,), "exp(-t)", fate="converges"),
    _case("modulus_from_below", lambda x: (-jnp.abs(x),), (-1.0,), "-exp(t)", fate="diverges", rate=1.0),
    _case("rectifier_at_rest", lambda x: (-jnp.maximum(x, 0),), (-1.0,), "does not move", fate="converges"),
    _case("root", lambda x: (-jnp.sign(x) * jnp.sqrt(jnp.abs(x)),), (1.0,), "rests from t = 2 on", fate="converges"),
    _case("root_that_grows", lambda x: (jnp.sqrt(jnp.abs(x)),), (1.0,), "(1 + t / 2)^2", fate="diverges"),
    _case(
        "quadratic_drag", lambda x, v: (v, -x - v * jnp.abs(v)), (1.0, 0.0), "averaged: r' = -4 r^2 / (3 pi)",
        fate="converges", power=-1.0,
    ),
    # Drag of higher order, smooth.
    _case(
        "cubic_drag", lambda x, v: (v, -x - v**3), (1.0, 0.0), "averaged: r' = -3 r^3 / 8", fate="converges", power=-0.5
    ),
    _case(
        "quintic_drag", lambda x, v: (v, -x - v**5), (1.0, 0.0), "averaged: r' = -5 r^5 / 16", fate="converges",
        power=-0.25,
    ),
    _case(
        "drag_away_from_the_center", lambda x, v: (v, -x - x**2 * v), (1.0, 0.0), "averaged: r' = -r^3 / 8",
        fate="converges", power=-0.5,
    ),
    _case(
        "cubic_spring_and_drag", lambda x, v: (v, -(x**3) - v), (1.0, 0.0), "on the center manifold v = -x^3",
        fate="converges", power=-0.5,
    ),
    # Explicit time.
    _timed(
        "follows_tanh", lambda t, x: (-(x - jnp.tanh(t)),), (0.0,), "x' = -(x - tanh t): to 1", fate="converges",
        failing=11,
    ),
    _timed(
        "follows_cosine", lambda t, x: (-x + jnp.cos(t),), (2.0,), "to (cos t + sin t) / 2", fate="cycles", period=TURN,
    ),
    _timed("integrates_cosine", lambda t, x: (jnp.cos(t),), (0.0,), "sin t", fate="cycles", period=TURN),
    _timed("explicit_logarithm", lambda t, x: (1 / (1 + t),), (0.0,), "log(1 + t)", fate="diverges"),
    _timed("explicit_power", lambda t, x: (-x / (1 + t),), (1.0,), "1 / (1 + t)", fate="converges"),
    _timed("explicit_resonance", lambda t, x, v: (v, -x + jnp.cos(t)), (0.0, 0.0), "t sin(t) / 2", fate="diverges"),
    _timed(
        "forced_double_well", lambda t, x, v: (v, x - x**3 - 0.2 * v + 0.1 * jnp.cos(0.3 * t)), (0.1, 0.2),
        "JuliaDynamics/ChaosTools.jl, issue 171", fate="cycles", period=TURN / 0.3,
    ),
    # The same with the phase as a part of the state.
    _case(
        "forced_oscillator_and_its_phase", lambda x, v, c, s: (v, -x - 0.1 * v + c, -1.3 * s, 1.3 * c),
        (0.0, 0.0, 1.0, 0.0), "linear", fate="cycles", period=TURN / 1.3, amplitude=1.3 / np.hypot(1 - 1.69, 0.13),
    ),
    _case(
        "resonance_and_its_phase", lambda x, v, c, s: (v, -x + c, -s, c), (0.0, 0.0, 1.0, 0.0), "t sin(t) / 2",
        fate="diverges",
    ),
    _case(
        "forced_landau_oscillator_and_its_phase", _forced_landau, (0.0, 1.0, 1.0, 0.0),
        "JuliaDynamics/ChaosTools.jl, issue 348; by SciPy", fate="cycles",
        reference=lambda: _independent.cycle(_forced_landau, (0.0, 1.0, 1.0, 0.0), 3.0, settle=30.0, section=2),
    ),
)  # fmt: skip
