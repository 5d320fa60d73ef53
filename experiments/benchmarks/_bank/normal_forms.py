"""Textbook normal forms on the line and in the plane, near their bifurcations and at them."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.benchmarks._bank._case import Case, of

TURN = 2 * np.pi


def _polar(x, y, mu, omega, a, b, shear):
    square = x**2 + y**2
    growth, turning = mu + a * square + b * square**2, omega + shear * square
    return growth * x - turning * y, growth * y + turning * x


def _circle(x, y, omega, a):
    square = x**2 + y**2
    turning = omega - a * y / jnp.sqrt(square)
    return x * (1 - square) - y * turning, y * (1 - square) + x * turning


_polar_field = of(_polar)
_circle_field = of(_circle)
_quintic = of(lambda x, h, mu, a, b: (h + mu * x + a * x**3 + b * x**5,))
_parabola = of(lambda x, h, mu, a: (h + mu * x + a * x**2,))
_power = of(lambda x, p: (-jnp.sign(x) * jnp.abs(x) ** p,))
_sixth_degree = of(lambda x, y: (-y + 1e-4 * x**3, x + 1e-4 * y**3))


def _hopf(
    name: str, radius: float, mu: float, a: float = -1.0, b: float = 0.0, shear: float = 0.0, **known: Any
) -> Case:
    return Case(
        name=name,
        make=_polar_field,
        args=(mu, 1.0, a, b, shear),
        start=(radius, 0.0),
        source="r' = mu r + a r^3 + b r^5, theta' = 1 + shear r^2: Kuznetsov (2004), sections 3.4, 8.3; solved by hand",
        **known,
    )


def _line(name: str, start: float, h: float, mu: float, a: float, b: float = 0.0, **known: Any) -> Case:
    source = "x' = h + mu x + a x^3 + b x^5: Strogatz (2015), sections 3.4 and 3.6; solved by hand"
    return Case(name=name, make=_quintic, args=(h, mu, a, b), start=(start,), source=source, **known)


def _fold(name: str, start: float, h: float, mu: float, a: float, **known: Any) -> Case:
    source = "x' = h + mu x + a x^2: Strogatz (2015), sections 3.1, 3.2 and 4.3; solved by hand"
    return Case(name=name, make=_parabola, args=(h, mu, a), start=(start,), source=source, **known)


def _tail(name: str, start: float, p: float, **known: Any) -> Case:
    return Case(name=name, make=_power, args=(p,), start=(start,), source="x' = -x^p, separated by hand", **known)


def _on_a_circle(name: str, omega: float, a: float, start: tuple[float, float], **known: Any) -> Case:
    source = "r' = r (1 - r^2), theta' = omega - a sin theta: Strogatz (2015), sections 4.3 and 8.4"
    return Case(name=name, make=_circle_field, args=(omega, a), start=start, source=source, **known)


def _slope(x: float, mu: float, a: float, b: float = 0.0) -> float:
    return mu + 3 * a * x**2 + 5 * b * x**4


def _largest_root(*coefficients: float) -> float:
    roots = np.roots(coefficients)
    return float(np.max(roots[np.abs(roots.imag) < 1e-12].real))


# The squared radii of the two cycles of r' = r (-0.1 + r^2 - r^4).
_INSIDE, _OUTSIDE = (1 - np.sqrt(0.6)) / 2, (1 + np.sqrt(0.6)) / 2
_PAST_THE_FOLD = _largest_root(-1.0, 0.0, 1.0, 0.385)

CASES = (
    # Hopf.
    _hopf("hopf", 0.1, 0.25, fate="cycles", period=TURN, amplitude=0.5),
    _hopf("hopf_from_outside", 2.0, 0.25, fate="cycles", period=TURN, amplitude=0.5),
    _hopf("hopf_just_past", 0.1, 1e-3, fate="cycles", period=TURN, amplitude=np.sqrt(1e-3)),
    _hopf("hopf_just_past_tiny_start", 1e-4, 1e-2, fate="cycles", period=TURN, amplitude=0.1),
    _hopf("hopf_sheared", 0.1, 0.25, shear=2.0, fate="cycles", period=TURN / 1.5, amplitude=0.5),
    _hopf("hopf_critical", 0.5, 0.0, fate="converges", power=-0.5),
    _hopf("hopf_critical_small", 0.01, 0.0, fate="converges", power=-0.5, single=False),
    _hopf("hopf_just_before", 0.1, -1e-3, fate="converges", rate=-1e-3),
    _hopf("hopf_subcritical_inside", 0.4, -0.25, a=1.0, fate="converges", rate=-0.25),
    _hopf("hopf_subcritical_close_inside", 0.499, -0.25, a=1.0, fate="converges", rate=-0.25),
    # 1/(2 mu) ln(u / (u - mu)) with u = r^2.
    _hopf("hopf_subcritical_outside", 0.6, -0.25, a=1.0, fate="diverges", time=2 * np.log(0.36 / 0.11)),
    _hopf("hopf_subcritical_critical", 0.5, 0.0, a=1.0, fate="diverges", time=2.0),
    Case(
        name="slow_cubic_growth",
        make=_sixth_degree,
        start=(0.1, 0.0),
        fate="diverges",
        source="r r' = 1e-4 (x^4 + y^4) > 0: grows for ever, ever faster",
        single=False,
        failing=7,
    ),
    _hopf("slow_cubic_growth_round", 0.1, 0.0, a=1e-3, fate="diverges", time=1 / (2e-3 * 0.01), single=False),
    _hopf("slow_cubic_decay_round", 0.1, 0.0, a=-1e-3, fate="converges", power=-0.5, single=False),
    # Bautin: two nested cycles, their fold, the semistable cycle at it.
    _hopf("bautin_inside", 0.3, -0.1, a=1.0, b=-1.0, fate="converges", rate=-0.1),
    _hopf("bautin_between", 0.4, -0.1, a=1.0, b=-1.0, fate="cycles", period=TURN, amplitude=np.sqrt(_OUTSIDE)),
    _hopf("bautin_outside", 1.5, -0.1, a=1.0, b=-1.0, fate="cycles", period=TURN, amplitude=np.sqrt(_OUTSIDE)),
    _hopf("bautin_before_the_fold", 1.5, -0.2499, a=1.0, b=-1.0, fate="cycles", period=TURN, amplitude=np.sqrt(0.51)),
    _hopf("bautin_ghost", 1.5, -0.2501, a=1.0, b=-1.0, fate="converges", rate=-0.2501),
    _hopf("bautin_long_ghost", 1.5, -0.25 - 1e-6, a=1.0, b=-1.0, fate="converges", rate=-0.25 - 1e-6, single=False),
    _hopf(
        "semistable_cycle", 1.5, -0.25, a=1.0, b=-1.0, fate="cycles", period=TURN, amplitude=np.sqrt(0.5), single=False
    ),
    _hopf("semistable_cycle_inside", 0.5, -0.25, a=1.0, b=-1.0, fate="converges", rate=-0.25),
    _hopf("bautin_critical", 0.8, 0.0, a=0.0, b=-1.0, fate="converges", power=-0.25),
    # Saddle-node, its ghost, and on a circle.
    _fold("saddle_node_before", 0.0, -1.0, 0.0, 1.0, fate="converges", rate=-2.0),
    _fold("saddle_node_close_before", -1.0, -1e-4, 0.0, 1.0, fate="converges", rate=-0.02),
    _fold("saddle_node_at", -1.0, 0.0, 0.0, 1.0, fate="converges", power=-1.0),
    _fold("saddle_node_at_other_side", 0.5, 0.0, 0.0, 1.0, fate="diverges", time=2.0),
    _fold("saddle_node_ghost", -1.0, 1e-4, 0.0, 1.0, fate="diverges", time=100 * (np.pi / 2 + np.arctan(100.0))),
    _fold("saddle_node_long_ghost", -1.0, 1e-8, 0.0, 1.0, fate="diverges", time=1e4 * (np.pi / 2 + np.arctan(1e4))),
    _fold(
        "saddle_node_endless_ghost", -1.0, 1e-10, 0.0, 1.0, fate="diverges", time=1e5 * (np.pi / 2 + np.arctan(1e5)),
    ),
    _line(
        "ghost_to_a_far_sink", -1.0, 0.385, 1.0, -1.0, fate="converges", rate=_slope(_PAST_THE_FOLD, 1.0, -1.0),
    ),
    _on_a_circle("circle_turning", 1.0, 0.5, (1.0, 0.0), fate="cycles", period=TURN / np.sqrt(0.75), amplitude=1.0),
    _on_a_circle(
        "circle_bottleneck", 1.0, 0.9999, (1.0, 0.0), fate="cycles", period=TURN / np.sqrt(1 - 0.9999**2),
        amplitude=1.0, known_to=1e-8, single=False,
    ),
    _on_a_circle("circle_critical", 1.0, 1.0, (1.0, 0.0), fate="converges", power=-1.0, single=False),
    _on_a_circle("circle_stopped", 1.0, 1.01, (-0.1, 0.9), fate="converges", rate=-np.sqrt(1.01**2 - 1)),
    # Transcritical.
    _fold("transcritical_past", 0.01, 0.0, 0.1, -1.0, fate="converges", rate=-0.1),
    _fold("transcritical_at", 1.0, 0.0, 0.0, -1.0, fate="converges", power=-1.0),
    _fold("transcritical_at_other_side", -0.5, 0.0, 0.0, -1.0, fate="diverges", time=2.0),
    _fold("transcritical_just_before", 0.5, 0.0, -1e-3, -1.0, fate="converges", rate=-1e-3),
    # ln(1 - 1 / x0) with x0 < 0.
    _fold("logistic_below_zero", -0.1, 0.0, 1.0, -1.0, fate="diverges", time=np.log(11.0)),
    # Pitchfork.
    _line("pitchfork_past", 0.01, 0.0, 0.25, -1.0, fate="converges", rate=-0.5),
    _line("pitchfork_at", 1.0, 0.0, 0.0, -1.0, fate="converges", power=-0.5),
    _line("pitchfork_just_past", 1.0, 0.0, 1e-4, -1.0, fate="converges", rate=-2e-4),
    _line("pitchfork_subcritical_inside", 0.3, 0.0, -0.1, 1.0, -1.0, fate="converges", rate=-0.1),
    _line(
        "pitchfork_subcritical_outside", 0.35, 0.0, -0.1, 1.0, -1.0, fate="converges",
        rate=_slope(np.sqrt(_OUTSIDE), -0.1, 1.0, -1.0),
    ),
    # Equilibria of higher order.
    _tail("cubic_tail", 1.0, 3.0, fate="converges", power=-1 / 2),
    _tail("quintic_tail", 1.0, 5.0, fate="converges", power=-1 / 4),
    _tail("ninth_degree_tail", 0.9, 9.0, fate="converges", power=-1 / 8),
    _tail("square_tail", -2.0, 2.0, fate="converges", power=-1.0),
    _tail("three_halves_tail", 1.0, 1.5, fate="converges", power=-2.0),
)  # fmt: skip
