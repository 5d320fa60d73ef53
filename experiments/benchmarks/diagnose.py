"""What does a diagnosis of networks cost, beside training them?

The ring toy: a generator 256-128-128-2 and a discriminator 2-128-1 with ReLU, 50,000 parameters, minibatches of 512, in
single precision, trained by Adam. A diagnosis with all remedies is timed against 1,000 training steps, each call in a
fresh process, since half of its time goes into compiling, and against 60 seconds; its peak memory, that of the process,
is printed beside that of training alone.
"""

import os
import statistics
import subprocess
import sys

from experiments.benchmarks import _timing

MINUTE = "a minute"
PROGRAM = """
import resource, sys, time
import jax
import optax
from gan_ode import analysis, distributions, fields, games, iterate, losses, networks, updates

gan = games.GAN(
    *networks.ring_players(jax.random.key(0)), losses.Minimax(), data=distributions.Ring(),
    latent=distributions.Normal(256),
)
field, key = fields.GameField(gan), jax.random.key(1)
update = updates.Optax(optax.adam(1e-4, b1=0.5), optax.adam(1e-4, b1=0.5))
batches = lambda n: gan.sample(jax.random.fold_in(key, n), 512)


def train():
    orbit = iterate(update, field, gan.players, 1000, batches=batches, save_every=1000)
    return jax.block_until_ready(orbit.final_state)


start = time.perf_counter()
if sys.argv[1] == "training":
    train()
else:
    found = analysis.diagnose(field, gan.players, update=update, args=gan.sample(jax.random.key(2), 512))
    assert found.complete
seconds = time.perf_counter() - start
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""
TASKS = {"training": "1,000 training steps", "diagnosis": "a diagnosis"}


def spent(task: str) -> tuple[float, float]:
    """Seconds in a fresh process, and its peak memory in GiB."""
    environment = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, task], check=True, capture_output=True, text=True, env=environment
    )
    seconds, memory = done.stdout.split()
    return float(seconds), float(memory)


def measure(rounds: int) -> _timing.Measured:
    seconds: dict[str, list[float]] = {name: [] for name in TASKS.values()}
    memory: dict[str, list[float]] = {name: [] for name in TASKS.values()}
    for i in range(rounds):
        for task, name in list(TASKS.items())[:: 1 if i % 2 == 0 else -1]:
            took, peak = spent(task)
            seconds[name].append(took)
            memory[name].append(peak)
    for name, peaks in memory.items():
        print(f"{name}: {statistics.median(peaks):.2f} GiB at the peak")
    ratios = [_timing.Ratio("a diagnosis", "1,000 training steps"), _timing.Ratio("a diagnosis", MINUTE, 1.0)]
    return seconds | {MINUTE: [60.0] * rounds}, ratios


if __name__ == "__main__":
    raise SystemExit(_timing.report(*measure(_timing.arguments(__doc__, rounds=3).rounds)))
