"""How long until the first orbit, over bare Diffrax?

A fresh process imports the package and follows the two-parameter Wasserstein GAN; another one imports Diffrax and does
the same with a field written by hand, at the same tolerances and save times. Nothing is cached. Beside the time on
the clock stands the processors' time, which other work on the machine disturbs less.
"""

import os
import subprocess
import sys
import time

from experiments.benchmarks import _timing

PACKAGE = """
import jax.numpy as jnp
from gan_ode import fields, flow, games, losses
field = fields.GameField(games.LinearQuadratic(losses.Wasserstein()))
y0 = games.Players(jnp.array(0.5), jnp.array(1.0))
orbit = flow(field, y0, jnp.linspace(0.0, 10.0, 201), rtol=1e-8, atol=1e-8)
w, a = orbit.ys.discriminator, orbit.ys.generator
"""
BARE = """
import diffrax
import jax.numpy as jnp
def field(t, y, args):
    w, a = y
    return (1 - a**2) / 3, 2 * w * a / 3
ts = jnp.linspace(0.0, 10.0, 201)
solution = diffrax.diffeqsolve(
    diffrax.ODETerm(field), diffrax.Tsit5(), ts[0], ts[-1], None, (jnp.array(0.5), jnp.array(1.0)),
    saveat=diffrax.SaveAt(ts=ts), stepsize_controller=diffrax.PIDController(rtol=1e-8, atol=1e-8),
)
w, a = solution.ys
"""
# The state at t = 10 to 40 digits, rounded: both have to solve the same problem.
CHECK = """
assert abs(w[-1] - 0.4963002867477783) < 1e-5 and abs(a[-1] - 1.061314714974532) < 1e-5, (w[-1], a[-1])
"""
PROGRAMS = {"gan_ode": PACKAGE + CHECK, "bare Diffrax": BARE + CHECK}


def spent(program: str) -> tuple[float, float]:
    """Seconds on the clock and of the processors that a fresh process takes."""
    environment = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    before, start = os.times(), time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True, env=environment | {"JAX_ENABLE_X64": "1"})
    elapsed, after = time.perf_counter() - start, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return elapsed, used


def measure(rounds: int) -> _timing.Measured:
    seconds: dict[str, list[float]] = {}
    for i in range(rounds + 1):
        for name in list(PROGRAMS) if i % 2 == 0 else reversed(list(PROGRAMS)):
            elapsed, used = spent(PROGRAMS[name])
            # The first round fills the caches of the file system.
            if i > 0:
                seconds.setdefault(name, []).append(elapsed)
                seconds.setdefault(f"{name}, processors", []).append(used)
    ratios = [
        _timing.Ratio("gan_ode", "bare Diffrax", 1.3),
        _timing.Ratio("gan_ode, processors", "bare Diffrax, processors"),
    ]
    return seconds, ratios


if __name__ == "__main__":
    raise SystemExit(_timing.report(*measure(_timing.arguments(__doc__, rounds=5).rounds)))
