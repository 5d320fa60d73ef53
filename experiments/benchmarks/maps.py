"""How long does a map of 200 by 200 spectral radii take, over a loop in NumPy?

The regularized two-parameter Wasserstein GAN at its equilibrium, over the weight eta and the step size h. The package
differentiates the update at every point. The loops do the same for one point after the other: one by central
differences of a step written by hand, the other by a field's Jacobian written by hand, which for simultaneous steps is
all there is to know. They are timed on every 20th point, and their time is scaled to all. The last rows make the steps
instead of taking multipliers.
"""

import time
from collections.abc import Callable

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np

from experiments._machinery import _linear_quadratic as lq
from experiments.benchmarks import _timing
from gan_ode import analysis, fields, games, losses, regularizers, updates

ETAS, SIZES = np.linspace(0.0, 2.0, 200), np.linspace(0.02, 4.0, 200)
EVERY = 20
# Of the points of a loop of steps, which take long.
EVERY_SIMULATED = 1000
NUM_STEPS = 400
FASTER = 50.0


def make(eta):
    game = games.LinearQuadratic(losses.Wasserstein())
    return fields.GameField(regularizers.Penalized(game, regularizers.GradientNorm(eta)))


def velocity(y: np.ndarray, eta: float) -> np.ndarray:
    w, a = y
    return np.array([(1 - a**2) / 3, 2 * w * a / 3 + 4 * eta * a * (1 - a**2) / 9])


def simultaneous(y: np.ndarray, eta: float, h: float) -> np.ndarray:
    return y + h * velocity(y, eta)


def alternating(y: np.ndarray, eta: float, h: float) -> np.ndarray:
    y = np.array([y[0] + h * velocity(y, eta)[0], y[1]])
    return np.array([y[0], y[1] + h * velocity(y, eta)[1]])


def optimistic(y: np.ndarray, eta: float, h: float) -> np.ndarray:
    """State and last velocity."""
    here, last = y[:2], y[2:]
    now = velocity(here, eta)
    return np.concatenate([here + 2 * h * now - h * last, now])


def by_differences(step: Callable, size: int) -> Callable[[float, float], float]:
    center, displaced = np.zeros(size), 1e-6 * np.eye(size)
    center[1] = 1.0

    def radius(eta: float, h: float) -> float:
        columns = [(step(center + e, eta, h) - step(center - e, eta, h)) / 2e-6 for e in displaced]
        return np.abs(np.linalg.eigvals(np.stack(columns, axis=1))).max()

    return radius


def by_hand(eta: float, h: float) -> float:
    jacobian = np.array([[0.0, -2 / 3], [2 / 3, -8 * eta / 9]])
    return np.abs(np.linalg.eigvals(np.eye(2) + h * jacobian)).max()


def by_steps(eta: float, h: float) -> float:
    """The growth of a disturbance in a step, over the second half of the steps."""
    center, disturbance, log_size, logs = np.array([0.0, 1.0]), np.array([4e-6, 5e-6]), 0.0, []
    for _ in range(NUM_STEPS):
        disturbance = simultaneous(center + disturbance, eta, h) - center
        length = np.sqrt(disturbance @ disturbance)
        logs.append(log_size + np.log(length))
        if not 6e-8 < length < 6e-4:
            disturbance, log_size = disturbance * (6e-6 / length), log_size - np.log(6e-6 / length)
    quarter = NUM_STEPS // 4
    return np.exp((max(logs[-quarter:]) - max(logs[quarter : 2 * quarter])) / (2 * quarter))


def loop(radius: Callable[[float, float], float], every: int) -> np.ndarray:
    points = [(eta, h) for eta in ETAS for h in SIZES][::every]
    return np.array([radius(eta, h) for eta, h in points])


PAIRS = {
    "simultaneous": (updates.Simultaneous, by_differences(simultaneous, 2)),
    "alternating": (updates.Alternating, by_differences(alternating, 2)),
    "optimistic": (updates.Optimistic, by_differences(optimistic, 4)),
}


def measure(rounds: int) -> _timing.Measured:
    tasks: dict[str, Callable[[], object]] = {}
    scales: dict[str, int] = {}
    for name, (update, radius) in PAIRS.items():
        tasks[f"map, {name}"] = lambda u=update: jax.block_until_ready(
            analysis.stability_map(u, make, ETAS, SIZES, lq.EQUILIBRIUM).radius
        )
        tasks[f"loop, {name}"] = lambda r=radius: loop(r, EVERY)
        scales[f"loop, {name}"] = EVERY
    tasks["loop, simultaneous by hand"] = lambda: loop(by_hand, EVERY)
    scales["loop, simultaneous by hand"] = EVERY
    tasks["map, simulated"] = lambda: jax.block_until_ready(
        analysis.stability_map(
            updates.Simultaneous, make, ETAS, SIZES, lq.EQUILIBRIUM, by="steps", num_steps=NUM_STEPS
        ).radius
    )
    tasks["loop, simulated"] = lambda: loop(by_steps, EVERY_SIMULATED)
    scales["loop, simulated"] = EVERY_SIMULATED
    check(tasks)
    print(f"{len(ETAS)} x {len(SIZES)} points; loops timed on every {EVERY}th (simulated: {EVERY_SIMULATED}th), scaled")
    seconds = {
        name: [scales.get(name, 1) * value for value in values]
        for name, values in _timing.interleaved(tasks, rounds).items()
    }
    pairs = [(f"map, {name}", f"loop, {name}") for name in (*PAIRS, "simulated")]
    pairs.append(("map, simultaneous", "loop, simultaneous by hand"))
    # Of optimistic steps LAPACK takes the eigenvalues of 4 x 4 matrices, one after the other: reported only.
    ratios = [_timing.Ratio(fast, slow, None if "optimistic" in fast else 1 / FASTER) for fast, slow in pairs]
    return seconds, ratios


def main(rounds: int) -> int:
    seconds, ratios = measure(rounds)
    status = _timing.report(seconds, ratios)
    for ratio in ratios:
        print(f"{ratio.measured} is {1 / _timing.median_ratio(seconds, ratio):.0f} times faster than {ratio.baseline}")
    return status


def check(tasks: dict[str, Callable[[], object]]) -> None:
    """Both have to compute the same; says how long the first call of each map takes, with its compilation."""
    for name, every, tolerance in (*((name, EVERY, 1e-4) for name in PAIRS), ("simulated", EVERY_SIMULATED, 0.05)):
        start = time.perf_counter()
        fast = np.ravel(np.asarray(tasks[f"map, {name}"]()))
        print(f"map, {name}: first call {time.perf_counter() - start:.1f} s")
        np.testing.assert_allclose(fast[::every], np.asarray(tasks[f"loop, {name}"]()), atol=tolerance)


if __name__ == "__main__":
    raise SystemExit(main(_timing.arguments(__doc__, rounds=7).rounds))
