"""Ten million starts of a basin, on disk in blocks: how long does it take, in how much memory, and is a kill survived?

The usual two-parameter GAN, from random starts in a square, each with its verdict (`analysis.basin`). A process takes
part in the sweep, is killed after some blocks, and another one goes on. The result is opened without being read, and
the part of the starts that converge is taken by Dask, a block at a time. Printed are seconds, starts a second, and the
peak memory of each process.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STARTS_OF_A_BLOCK = 100_000
LIMIT_GIB = 2.0
TAKE_PART = """
import resource, sys
import jax
jax.config.update("jax_enable_x64", True)
from experiments.benchmarks.many_starts import compute
from gan_ode import sweeps

sweeps.take_part(compute, {"seed": range(int(sys.argv[2]))}, sys.argv[1], block_size=1, expire=5.0)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""
READ = """
import resource, sys
from gan_ode import sweeps

found = sweeps.open_sweep(sys.argv[1], lazy=True)
assert found["done"].all()
print(float((found["fate"] == "converges").mean().compute(scheduler="synchronous")))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


def compute(points):
    """The starts of one seed, their verdicts as words, and where each has come to."""
    import jax
    import numpy as np

    import gan_ode
    from gan_ode import analysis, fields, games, losses

    field = fields.GameField(games.LinearQuadratic(losses.Minimax()))
    key = jax.random.key(int(points["seed"][0]))
    w, a = jax.random.uniform(key, (2, STARTS_OF_A_BLOCK), minval=-2.0, maxval=2.0)
    basin = analysis.basin(field, games.Players(w, a), 100.0)
    words = np.array(gan_ode.name_of(basin.fate))
    return {
        "w": (("point", "start"), np.asarray(w, np.float32)[None]),
        "a": (("point", "start"), np.asarray(a, np.float32)[None]),
        "fate": (("point", "start"), words[None]),
    }


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=100, help=f"of {STARTS_OF_A_BLOCK:,} starts each (100)")
    parser.add_argument("--quick", action="store_true", help="three blocks")
    asked = parser.parse_args(argv)
    blocks = 3 if asked.quick else asked.blocks
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        killed = _child(TAKE_PART, folder, str(blocks))
        while killed.poll() is None and len(list(Path(folder).glob("block-*.nc"))) < blocks // 3:
            time.sleep(0.1)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        before = len(list(Path(folder).glob("block-*.nc")))
        memory = float(_told(_child(TAKE_PART, folder, str(blocks)))[0])
        seconds = time.perf_counter() - start
        size = sum(path.stat().st_size for path in Path(folder).glob("block-*.nc")) / 2**20
        start = time.perf_counter()
        part, reading = map(float, _told(_child(READ, folder)))
    number = blocks * STARTS_OF_A_BLOCK
    print(f"{number:,} starts in {seconds:.0f} s ({number / seconds:,.0f} a second), {size:.0f} MiB on disk")
    print(f"killed after {before} of {blocks} blocks; the process that went on took {memory:.2f} GiB at most")
    print(f"read by Dask in {time.perf_counter() - start:.1f} s and {reading:.2f} GiB: {part:.6f} converge")
    return 0 if max(memory, reading) < LIMIT_GIB else 1


def _child(program: str, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ.copy())


def _told(child: subprocess.Popen) -> list[str]:
    text, _ = child.communicate()
    if child.returncode != 0:
        raise RuntimeError(f"a process of the benchmark ended with status {child.returncode}")
    return text.split()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
