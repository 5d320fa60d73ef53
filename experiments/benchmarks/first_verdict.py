"""What do a verdict and a cycle cost, beside a flow of the same game?

A fresh process imports what it needs, makes the two-parameter Wasserstein GAN, and takes the time of the first call
(cold: compiling is most of it, and JAX's persistent cache is off) and the median of five more (warm). The processes of
`flow`, `classify` and `find_periodic_orbit` take turns. A warm verdict is compared with a quarter of a second.
"""

import os
import subprocess
import sys

from experiments.benchmarks import _timing

QUARTER = "a quarter of a second"
PROGRAM = """
import statistics, sys, time
import jax
import jax.numpy as jnp
from gan_ode import analysis, fields, flow, games, losses

field = fields.GameField(games.LinearQuadratic(losses.Wasserstein()))
y0 = games.Players(jnp.array(0.5), jnp.array(1.0))
ts = jnp.linspace(0.0, 10.0, 201)
task = {
    "flow": lambda: flow(field, y0, ts).ys.generator.block_until_ready(),
    "classify": lambda: analysis.classify(field, y0),
    "find_periodic_orbit": lambda: analysis.find_periodic_orbit(field, y0).period.block_until_ready(),
}[sys.argv[1]]


def seconds():
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


print(seconds(), statistics.median(seconds() for _ in range(5)))
"""
TASKS = ("flow", "classify", "find_periodic_orbit")


def spent(task: str) -> tuple[float, float]:
    """Seconds of the first call in a fresh process, and of later ones."""
    environment = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    command = [sys.executable, "-c", PROGRAM, task]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment | {"JAX_ENABLE_X64": "1"}
    )
    cold, warm = done.stdout.split()
    return float(cold), float(warm)


def measure(rounds: int) -> _timing.Measured:
    seconds: dict[str, list[float]] = {QUARTER: []}
    for i in range(rounds + 1):
        for name in TASKS if i % 2 == 0 else reversed(TASKS):
            cold, warm = spent(name)
            # The first round fills the caches of the file system.
            if i > 0:
                seconds.setdefault(f"{name}, cold", []).append(cold)
                seconds.setdefault(f"{name}, warm", []).append(warm)
    seconds[QUARTER] = [0.25] * rounds
    ratios = [
        _timing.Ratio("classify, cold", "flow, cold", 4.0),
        _timing.Ratio("find_periodic_orbit, cold", "flow, cold", 4.0),
        _timing.Ratio("classify, warm", QUARTER, 1.0),
    ]
    return seconds, ratios


if __name__ == "__main__":
    raise SystemExit(_timing.report(*measure(_timing.arguments(__doc__, rounds=5).rounds)))
