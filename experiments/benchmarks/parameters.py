"""What does an ensemble cost as the parameters grow in number?

100 starts of the bilinear game whose matrix is orthogonal, so that every orbit turns at the same rate whatever the
number of parameters; end state at t = 10, tolerance 1e-6. The exact end is a rotation.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from experiments._machinery._jax_setup import prepare_jax
from experiments.benchmarks import _rows, _timing
from experiments.benchmarks._results import Results
from experiments.benchmarks._rows import PACKAGE, Row

NUM_STARTS, DURATION, TOLERANCE = 100, 10.0, 1e-6
# Of each player.
SIZES = (1, 4, 16, 64, 256, 1024)
QUICK_SIZES = (1, 16)
PLAIN, SCIPY, PART = "Diffrax, jit(vmap)", "SciPy RK45, loop", 5
# All take steps at the same tolerance; more than this times the package's error is another problem.
FACTOR = 10.0


def measure(results: Results) -> None:
    prepare_jax()
    for size in QUICK_SIZES if results.quick else SIZES:
        rows = compared(size, results.rounds)
        results.add(rows, [_rows.ratio(rows, PACKAGE, name) for name in (PLAIN, SCIPY)])


def compared(size: int, rounds: int) -> list[Row]:
    rng = np.random.default_rng(0)
    matrix = np.linalg.qr(rng.normal(size=(size, size)))[0]
    starts = rng.normal(size=(NUM_STARTS, 2 * size)) / np.sqrt(size)
    tasks = {PACKAGE: by_package(matrix, starts), PLAIN: by_diffrax(matrix, starts), SCIPY: by_scipy(matrix, starts)}
    exact = rotated(matrix, starts)
    errors = {name: float(np.max(np.abs((found := task()) - exact[: len(found)]))) for name, task in tasks.items()}
    wrong = {name for name in tasks if not errors[name] <= FACTOR * errors[PACKAGE]}
    seconds = _timing.interleaved({name: tasks[name] for name in tasks if name not in wrong}, rounds, warm=True)
    scales = {SCIPY: NUM_STARTS / PART}
    case = f"bilinear game, {2 * size:,} parameters, {NUM_STARTS} starts"
    return [
        Row(
            case, name, tuple(scales.get(name, 1) * each for each in seconds.get(name, [])),
            why_not=f"refused: error {errors[name]:.1e}" if name in wrong else "", size=2 * size,
            timed=PART if name == SCIPY else None, asked=TOLERANCE, tolerance=TOLERANCE, error=errors[name],
            allowed=FACTOR * errors[PACKAGE],
        )
        for name in tasks
    ]  # fmt: skip


def rotated(matrix: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """u cos t + A v sin t, and v cos t - A^T u sin t."""
    u, v = np.split(starts, 2, axis=1)
    cos, sin = np.cos(DURATION), np.sin(DURATION)
    return np.concatenate([u * cos + v @ matrix.T * sin, v * cos - u @ matrix * sin], axis=1)


def jax_field(matrix: Any) -> Callable[[Any, Any, Any], Any]:
    from gan_ode.games import Players

    return lambda t, y, args: Players(matrix @ y.generator, -(y.discriminator @ matrix))


def players(starts: np.ndarray) -> Any:
    import jax.numpy as jnp

    from gan_ode.games import Players

    return Players(*(jnp.asarray(part) for part in np.split(starts, 2, axis=1)))


def joined(ys: Any) -> np.ndarray:
    return np.concatenate([np.asarray(ys.discriminator), np.asarray(ys.generator)], axis=1)


def by_package(matrix: np.ndarray, starts: np.ndarray) -> Callable[[], np.ndarray]:
    import jax.numpy as jnp

    from gan_ode import simulate

    field, y0s, ts = jax_field(jnp.asarray(matrix)), players(starts), jnp.array([0.0, DURATION])
    return lambda: joined(simulate.ensemble(field, y0s, ts, rtol=TOLERANCE, atol=TOLERANCE).final_state)


def by_diffrax(matrix: np.ndarray, starts: np.ndarray) -> Callable[[], np.ndarray]:
    import diffrax
    import jax
    import jax.numpy as jnp

    term: Any = diffrax.ODETerm(jax_field(jnp.asarray(matrix)))
    y0s, controller = players(starts), diffrax.PIDController(rtol=TOLERANCE, atol=TOLERANCE)

    def one(y0: Any) -> Any:
        solved = diffrax.diffeqsolve(
            term, diffrax.Tsit5(), 0.0, DURATION, None, y0, stepsize_controller=controller, max_steps=None
        )
        return jax.tree.map(lambda leaf: leaf[-1], solved.ys)

    solve = jax.jit(jax.vmap(one))
    return lambda: joined(solve(y0s))


def by_scipy(matrix: np.ndarray, starts: np.ndarray) -> Callable[[], np.ndarray]:
    import scipy.integrate

    size = len(matrix)

    def field(t: float, y: np.ndarray) -> np.ndarray:
        return np.concatenate([matrix @ y[size:], -(y[:size] @ matrix)])

    options = {"method": "RK45", "rtol": TOLERANCE, "atol": TOLERANCE}
    return lambda: np.stack(
        [scipy.integrate.solve_ivp(field, (0.0, DURATION), y0, **options).y[:, -1] for y0 in starts[:PART]]
    )
