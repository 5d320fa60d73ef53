"""Updates: every rule of the package, below, at and above its critical step, and steps out of the field's domain."""

from collections.abc import Callable
from typing import Any

import diffrax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benchmarks._bank import _independent
from experiments.benchmarks._bank._case import Case, of
from gan_ode import fields, games, losses, regularizers, updates
from gan_ode.games import Players

TURN = 2 * np.pi
# `Case.reference` computes them anew.
_KNOWN: dict[str, dict[str, float]] = {
    "lq_euler_beyond": {"period": 19.8092300198, "amplitude": 0.459974101049},
    "lq_alternating_wasserstein": {"period": 9.81492034353, "amplitude": 0.49752499623},
    "double_well_flips": {"period": 2.4, "amplitude": 0.204124145232},
}


def _rotation() -> fields.GameField:
    """The Dirac-GAN with the Wasserstein loss: psi' = theta, theta' = -psi."""
    return fields.GameField(games.Dirac(losses.Wasserstein()))


def _damped_rotation() -> fields.GameField:
    """The same with R1 of weight 1: psi' = theta - psi."""
    return fields.GameField(regularizers.Penalized(games.Dirac(losses.Wasserstein()), regularizers.R1(1.0)))


def _focus(t: Any, y: Players, args: Any) -> Players:
    """Eigenvalues -1 +- i."""
    return Players(y.generator - y.discriminator, -y.discriminator - y.generator)


def _minimax() -> fields.GameField:
    return fields.GameField(games.LinearQuadratic(losses.Minimax()))


def _wasserstein() -> fields.GameField:
    return fields.GameField(games.LinearQuadratic(losses.Wasserstein()))


_ROTATION = np.array([[0.0, 1.0], [-1.0, 0.0]])
_DAMPED = np.array([[-1.0, 1.0], [-1.0, 0.0]])
_MINIMAX = np.array([[-0.1, -1 / 3], [1 / 3, 0.0]])


def _case(name: str, make: Callable, start: Any, update: Callable, source: str, **known: Any) -> Case:
    facts: dict[str, Any] = _KNOWN.get(name, {}) | known
    return Case(name=name, make=make, start=start, update=update, source=source, **facts)


def _linear(
    name: str,
    make: Callable,
    update: Callable,
    matrix: Any,
    h: float,
    start: tuple[float, float] = (1.0, 0.0),
    **more: Any,
) -> Case:
    """One whose step is this matrix near the equilibrium, or everywhere; beside 1, its radius decides."""
    radius = float(np.max(np.abs(np.linalg.eigvals(matrix))))
    facts: dict[str, Any] = {"fate": "converges" if radius < 1 else "diverges", "rate": np.log(radius) / h} | more
    return _case(name, make, Players(*start), update, "the step's matrix by hand", **facts)


def _neutral(name: str, update: Callable, trace: float, h: float, amplitude: float, **more: Any) -> Case:
    """On the plain rotation, with a matrix of determinant 1 and this trace: each step turns by acos(trace / 2)."""
    return _case(
        name, _rotation, Players(1.0, 0.0), update, "the step's matrix by hand: determinant 1", fate="cycles",
        period=h * TURN / np.arccos(trace / 2), amplitude=amplitude, **more,
    )  # fmt: skip


def _alternating(jacobian: np.ndarray, h: float) -> np.ndarray:
    """The discriminator first."""
    first, second = np.eye(2), np.eye(2)
    first[0] += h * jacobian[0]
    second[1] += h * jacobian[1]
    return second @ first


def _polynomial(jacobian: np.ndarray, h: float, *coefficients: float) -> np.ndarray:
    return sum((c * np.linalg.matrix_power(h * jacobian, k) for k, c in enumerate(coefficients)), np.zeros((2, 2)))


def _with_memory(jacobian: np.ndarray, h: float) -> np.ndarray:
    """Optimistic: y + 2 h J y - h (J y of the step before)."""
    return np.block([[np.eye(2) + 2 * h * jacobian, -h * np.eye(2)], [jacobian, np.zeros((2, 2))]])


def _momentum(jacobian: np.ndarray, h: float, beta: float) -> np.ndarray:
    """Heavy ball on both at once: v = beta v + J y, y + h v."""
    return np.block([[np.eye(2) + h * jacobian, h * beta * np.eye(2)], [jacobian, beta * np.eye(2)]])


def _alternating_heavy_balls(jacobian: np.ndarray, h: float, betas: tuple[float, float]) -> np.ndarray:
    """Of the state and the last steps, one player after the other."""
    whole = np.eye(4)
    for player, beta in enumerate(betas):
        step = np.eye(4)
        step[2 + player] = [*(h * jacobian[player]), *(beta * np.eye(2)[player])]
        step[player] = np.eye(4)[player] + step[2 + player]
        whole = step @ whole
    return whole


def _heavy_ball(jacobian: np.ndarray, h: float, beta: float) -> np.ndarray:
    """Of the state and the last step d: d = beta d + h J y, y + d."""
    return np.block([[np.eye(2) + h * jacobian, beta * np.eye(2)], [h * jacobian, beta * np.eye(2)]])


def _alternating_momentum(jacobian: np.ndarray, h: float, beta: float) -> np.ndarray:
    """The discriminator's and then the generator's; the state is y and both velocities."""
    whole = np.eye(4)
    for player in range(2):
        step = np.eye(4)
        step[2 + player] = [*jacobian[player], *(beta * np.eye(2)[player])]
        step[player] = np.eye(4)[player] + h * step[2 + player]
        whole = step @ whole
    return whole


def _sgd(h: float, order: Any = "discriminator_first", **options: Any) -> Callable:
    return lambda: updates.Optax(optax.sgd(h, **options), optax.sgd(h, **options), order=order, step_size=h)


def _every_second(h: float) -> Callable:
    def make() -> updates.Optax:
        rule = optax.MultiSteps(optax.sgd(h), 2)
        return updates.Optax(rule, rule, order="simultaneous", step_size=h)

    return make


def _adam(rate: float, **options: Any) -> Callable:
    return lambda: updates.Optax(optax.adam(rate, **options), optax.adam(rate, **options), step_size=rate)


def _closed_curve(image: Callable, start: tuple[float, float], h: float, settle: int) -> Callable[[], dict[str, float]]:
    """Of the linear-quadratic GAN, about (0, 1)."""

    def reference() -> dict[str, float]:
        y, most, least = np.array(start), np.full(2, -np.inf), np.full(2, np.inf)
        for _ in range(settle):
            y = np.array(image(*y))
        begin = y
        for _ in range(200_000):
            y = np.array(image(*y))
            most, least = np.maximum(most, y), np.minimum(least, y)
        return {"period": h * _independent.mean_turn(image, begin, (0.0, 1.0)), "amplitude": np.max(most - least) / 2}

    return reference


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(40)


def _minimax_step(h: float) -> Callable:
    """By hand: w' = phi(-w) - a^2 phi(w a^2), a' = 2 w a phi(w a^2), with phi(s) = E x^2 / (1 + exp(-s x^2))."""

    def phi(s: float) -> float:
        return float(_WEIGHTS @ (_NODES**2 / (1 + np.exp(-s * _NODES**2)))) / 2

    def step(w: float, a: float) -> tuple[float, float]:
        slope = phi(w * a * a)
        return w + h * (phi(-w) - a * a * slope), a + 2 * h * w * a * slope

    return step


def _alternating_wasserstein(w: float, a: float, h: float = 0.1) -> tuple[float, float]:
    w = w + h * (1 - a * a) / 3
    return w, a + h * 2 * w * a / 3


def _two_by_two() -> dict[str, float]:
    x, before = 0.5, 0.0
    for _ in range(10_000):
        before, x = x, x + 1.2 * (x - x**3)
    assert abs(before + 1.2 * (before - before**3) - x) < 1e-12
    return {"period": 2.4, "amplitude": abs(x - before) / 2}


def _flow(name: str, velocity: Callable, start: float, h: float, source: str, **known: Any) -> Case:
    return _case(name, of(lambda x: (velocity(x),)), (start,), lambda: updates.Simultaneous(h), source, **known)


CASES = (
    # The rotation, by every rule.
    _linear("euler", _rotation, lambda: updates.Simultaneous(0.1), _polynomial(_ROTATION, 0.1, 1, 1), 0.1),
    _linear(
        "euler_of_tiny_steps", _rotation, lambda: updates.Simultaneous(1e-3), _polynomial(_ROTATION, 1e-3, 1, 1), 1e-3,
    ),
    _neutral("alternating", lambda: updates.Alternating(0.1), 2 - 0.01, 0.1, 1 / np.sqrt(1 - 0.01 / 4)),
    _neutral("alternating_one_sixth_of_a_turn", lambda: updates.Alternating(1.0), 1.0, 1.0, 1.0),
    _neutral(
        "alternating_two_to_one", lambda: updates.Alternating(0.1, discriminator_steps=2), 2 - 0.02, 0.1,
        1 / np.sqrt(1 - 0.01 / 2)
    ),
    _case(
        "alternating_critical", _rotation, Players(1.0, 0.0), lambda: updates.Alternating(2.0),
        "a double multiplier -1 with one eigenvector: grows linearly", fate="diverges",
    ),
    _linear("alternating_beyond", _rotation, lambda: updates.Alternating(2.1), _alternating(_ROTATION, 2.1), 2.1),
    _linear("extragradient", _rotation, lambda: updates.Extragradient(0.1), _polynomial(_ROTATION, 0.1, 1, 1, 1), 0.1),
    _case(
        "extragradient_critical", _rotation, Players(1.0, 0.0), lambda: updates.Extragradient(1.0),
        "a quarter turn a step",
        fate="cycles", period=4.0, amplitude=1.0,
    ),
    _linear(
        "extragradient_beyond", _rotation, lambda: updates.Extragradient(1.1), _polynomial(_ROTATION, 1.1, 1, 1, 1),
        1.1,
    ),
    _linear("optimistic", _rotation, lambda: updates.Optimistic(0.1), _with_memory(_ROTATION, 0.1), 0.1),
    _linear("optimistic_beyond", _rotation, lambda: updates.Optimistic(0.7), _with_memory(_ROTATION, 0.7), 0.7),
    _linear(
        "heun", _rotation, lambda: updates.SolverStep(diffrax.Heun(), 0.1), _polynomial(_ROTATION, 0.1, 1, 1, 0.5), 0.1
    ),
    _linear(
        "implicit_euler", _rotation, lambda: updates.SolverStep(diffrax.ImplicitEuler(), 0.1, rtol=1e-10, atol=1e-12),
        np.linalg.inv(np.eye(2) - 0.1 * _ROTATION), 0.1, single=False,
    ),
    _linear(
        "frozen_opponent", _rotation, lambda: updates.FrozenOpponent(diffrax.Heun(), 0.1),
        _polynomial(_ROTATION, 0.1, 1, 1), 0.1,
    ),
    _neutral("sgd", _sgd(0.1), 2 - 0.01, 0.1, 1 / np.sqrt(1 - 0.01 / 4)),
    _linear("sgd_at_once", _rotation, _sgd(0.1, "simultaneous"), _polynomial(_ROTATION, 0.1, 1, 1), 0.1),
    _linear(
        "sgd_with_negative_momentum", _rotation, _sgd(0.1, momentum=-0.5), _alternating_momentum(_ROTATION, 0.1, -0.5),
        0.1
    ),
    _linear("sgd_with_momentum", _rotation, _sgd(0.1, momentum=0.5), _alternating_momentum(_ROTATION, 0.1, 0.5), 0.1),
    _linear(
        "unrolled_sgd", _rotation, lambda: updates.UnrolledOptax(optax.sgd(0.1), optax.sgd(0.1), steps=2,
        step_size=0.1),
        np.array([[1.0, 0.1], [-0.1, 1 - 0.1**2 * (1 + 2 * 2)]]), 0.1,
    ),
    _linear("heavy_ball", _rotation, lambda: updates.HeavyBall(0.1, 0.5), _heavy_ball(_ROTATION, 0.1, 0.5), 0.1),
    _linear(
        "heavy_ball_of_negative_momentum_alternating", _rotation,
        lambda: updates.HeavyBall(0.1, Players(-0.5, 0.0), alternating=True),
        _alternating_heavy_balls(_ROTATION, 0.1, (-0.5, 0.0)), 0.1,
    ),
    # What turns and is damped.
    _linear(
        "heavy_ball_damped", _damped_rotation, lambda: updates.HeavyBall(0.5, -0.3), _heavy_ball(_DAMPED, 0.5, -0.3),
        0.5,
    ),
    _linear("euler_damped", _damped_rotation, lambda: updates.Simultaneous(0.5), _polynomial(_DAMPED, 0.5, 1, 1), 0.5),
    _linear(
        "euler_damped_beyond", _damped_rotation, lambda: updates.Simultaneous(1.1), _polynomial(_DAMPED, 1.1, 1, 1),
        1.1,
    ),
    _linear(
        "momentum_damped", _damped_rotation, _sgd(0.1, "simultaneous", momentum=0.5), _momentum(_DAMPED, 0.1, 0.5), 0.1
    ),
    _case(
        "every_second_step", lambda: _focus, Players(1.0, 0.5), _every_second(0.5),
        "optax.MultiSteps: 1 + h (-1 + i) in two",
        fate="converges", rate=np.log(np.sqrt(0.5)) / 1.0, failing=9,
    ),
    _case(
        "every_second_step_beyond", lambda: _focus, Players(1.0, 0.5), _every_second(1.1),
        "optax.MultiSteps: 1 + h (-1 + i) in two steps", fate="diverges", rate=np.log(np.hypot(0.1, 1.1)) / 2.2,
        failing=9,
    ),
    # The two-parameter GAN.
    _linear("lq_euler", _minimax, lambda: updates.Simultaneous(0.5), _polynomial(_MINIMAX, 0.5, 1, 1), 0.5, (0.5, 1.0)),
    _linear(
        "lq_euler_just_below", _minimax, lambda: updates.Simultaneous(0.89), _polynomial(_MINIMAX, 0.89, 1, 1), 0.89,
        (0.1, 1.0),
    ),
    _case(
        "lq_euler_beyond", _minimax, Players(0.1, 1.0), lambda: updates.Simultaneous(0.95),
        "past the critical step 0.9: a closed curve; iterated by hand", fate="cycles",
        reference=_closed_curve(_minimax_step(0.95), (0.1, 1.0), 0.95, 20_000), known_to=1e-6,
    ),
    _linear(
        "lq_alternating", _minimax, lambda: updates.Alternating(0.5), _alternating(_MINIMAX, 0.5), 0.5, (0.5, 1.0)
    ),
    _linear(
        "lq_extragradient", _minimax, lambda: updates.Extragradient(0.5), _polynomial(_MINIMAX, 0.5, 1, 1, 1), 0.5,
        (0.5, 1.0)
    ),
    _linear("lq_optimistic", _minimax, lambda: updates.Optimistic(0.5), _with_memory(_MINIMAX, 0.5), 0.5, (0.5, 1.0)),
    _case(
        "lq_alternating_wasserstein", _wasserstein, Players(0.5, 1.0), lambda: updates.Alternating(0.1),
        "keeps the area of (w, ln a): an invariant curve; iterated by hand", fate="cycles",
        reference=_closed_curve(_alternating_wasserstein, (0.5, 1.0), 0.1, 0), known_to=1e-6,
    ),
    _case(
        "adam_with_a_large_floor", _damped_rotation, Players(1.0, 0.5), _adam(0.1, b1=0.0, eps=1.0),
        "near 0 the steps are those of gradient descent, which is damped", fate="converges",
    ),
    # On the line.
    _flow("shrinks", lambda x: -x, 1.0, 1.9, "multiplier -0.9", fate="converges", rate=np.log(0.9) / 1.9),
    _flow("shrinks_at_once", lambda x: -x, 1.0, 1.0, "multiplier 0", fate="converges"),
    _flow("flips", lambda x: -x, 1.0, 2.0, "multiplier -1", fate="cycles", period=4.0, amplitude=1.0),
    _flow("overshoots", lambda x: -x, 1.0, 2.5, "multiplier -1.5", fate="diverges", rate=np.log(1.5) / 2.5),
    _flow("cubic_steps", lambda x: -(x**3), 1.0, 0.1, "x - h x^3", fate="converges", power=-0.5),
    _flow("cubic_steps_too_far", lambda x: -(x**3), 1.0, 2.1, "past x^2 = 2 / h it explodes", fate="diverges"),
    _flow(
        "double_well_flips", lambda x: x - x**3, 0.5, 1.2, "multiplier 1 - 2 h at 1: a cycle of two", fate="cycles",
        reference=_two_by_two,
    ),
    # Out of the domain: no verdict may be given.
    _flow(
        "root_out_of_its_domain", lambda x: -jnp.sqrt(x), 1.0, 0.3, "the field is NaN below 0", fate=None, failing=12,
    ),
    _flow("logarithm_out_of_its_domain", lambda x: jnp.log(x) - 1, 0.5, 0.3, "the field is NaN below 0", fate=None),
    _case(
        "root_out_of_its_domain_looking_ahead", of(lambda x: (-jnp.sqrt(x),)), (1.0,),
        lambda: updates.Extragradient(0.3),
        "the field is NaN below 0", fate=None,
    ),
)  # fmt: skip
