"""How much faster is a basin of 200 x 200 starts than SciPy in a loop?

The two-parameter GAN with the usual loss, followed to t = 100 from a grid of starts. SciPy's `solve_ivp` takes a random
part of the same starts at the same tolerances, with the field written in NumPy by hand, and its time is scaled to the
whole grid. First the final states of that part are compared. `ensemble` follows every start to the end; `basin` stops
where convergence is certain.
"""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.integrate

from experiments._machinery._jax_setup import prepare_jax
from experiments.benchmarks import _timing
from gan_ode import analysis, fields, games, losses, simulate

SIDE = 200
DURATION = 100.0
RTOL, ATOL = 1e-6, 1e-8
# SciPy's share of the starts.
PART = 40
# Both have a global error of some tolerances.
AGREEMENT = 1e-4
METHODS = ("RK45", "DOP853", "LSODA")
TARGET = 1 / 50


def scipy_field(num_nodes: int):
    """The same quadrature in NumPy, over half of the nodes since the integrands are even."""
    nodes, weights = np.polynomial.legendre.leggauss(num_nodes)
    squares, weights = nodes[nodes > 0] ** 2, weights[nodes > 0]

    def phi(s: float) -> float:
        return float(weights @ (squares / (1 + np.exp(-s * squares))))

    def field(t: float, y: np.ndarray) -> tuple[float, float]:
        w, a = y
        slope = phi(w * a**2)
        return phi(-w) - a**2 * slope, 2 * w * a * slope

    return field


def measure(rounds: int) -> _timing.Measured:
    prepare_jax()
    game = games.LinearQuadratic(losses.Minimax())
    field, by_hand = fields.GameField(game), scipy_field(game.num_nodes)
    starts = analysis.state_grid(jnp.linspace(-4.0, 4.0, SIDE), jnp.linspace(-3.0, 3.0, SIDE))
    points = np.stack([np.asarray(starts.discriminator), np.asarray(starts.generator)], axis=1)
    part = np.random.default_rng(0).choice(len(points), PART, replace=False)
    ts = jnp.array([0.0, DURATION])

    def loop(method: str) -> np.ndarray:
        options = {"method": method, "rtol": RTOL, "atol": ATOL}
        solved = [scipy.integrate.solve_ivp(by_hand, (0.0, DURATION), points[i], **options) for i in part]
        return np.stack([each.y[:, -1] for each in solved])

    def ensemble() -> np.ndarray:
        state = simulate.ensemble(field, starts, ts, rtol=RTOL, atol=ATOL).final_state
        return np.stack([np.asarray(state.discriminator), np.asarray(state.generator)], axis=1)

    def basin():
        return jax.block_until_ready(analysis.basin(field, starts, DURATION, rtol=RTOL, atol=ATOL))

    final = ensemble()[part]
    for method in METHODS:
        apart = float(np.max(np.abs(loop(method) - final)))
        print(f"largest difference of a final state from {method}: {apart:.1e}")
        if not apart < AGREEMENT:
            raise SystemExit(f"The states must agree to {AGREEMENT:g}: the times would compare different problems.")
    sides = np.sign(points[part, 1]) == np.sign(final[:, 1])
    print(f"starts of the part that keep the sign of a: {sides.sum()} of {PART}")
    tasks = {"basin": basin, "ensemble": ensemble, **{method: lambda m=method: loop(m) for method in METHODS}}
    seconds = _timing.interleaved(tasks, rounds)
    for method in METHODS:
        seconds[f"SciPy {method}, scaled"] = [len(points) / PART * each for each in seconds.pop(method)]
    ratios = [_timing.Ratio("basin", f"SciPy {method}, scaled", TARGET) for method in METHODS]
    ratios += [_timing.Ratio("ensemble", f"SciPy {method}, scaled") for method in METHODS]
    return seconds, ratios


if __name__ == "__main__":
    raise SystemExit(_timing.report(*measure(_timing.arguments(__doc__, rounds=5).rounds)))
