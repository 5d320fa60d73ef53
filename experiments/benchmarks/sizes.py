"""What does a start cost in ensembles of 1 to 1,000,000, and how much memory does the largest take?

The two-parameter Wasserstein GAN, end state at t = 50, tolerance 1e-6. Memory is the largest that a fresh process had
at any time.
"""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments._machinery._jax_setup import prepare_jax
from experiments.benchmarks import _timing
from experiments.benchmarks._problem import Problem, starts, WASSERSTEIN
from experiments.benchmarks._results import Results
from experiments.benchmarks._rows import PACKAGE, Row, Verdict

TOLERANCE = 1e-6
SIZES = (1, 10, 100, 1000, 10_000, 100_000, 1_000_000)
QUICK_SIZES = (1, 100)
MEMORY_TARGET = 2.0
CASE = "W, end, 1e-6"
CHILD = """
import sys
from experiments.benchmarks import sizes
sizes.task(int(sys.argv[1]))()
print(*(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def measure(results: Results) -> None:
    prepare_jax()
    sizes = QUICK_SIZES if results.quick else SIZES
    seconds = _timing.interleaved({str(size): task(size) for size in sizes}, results.rounds)
    rows = [Row(CASE, PACKAGE, tuple(seconds[str(size)]), size=size, tolerance=TOLERANCE) for size in sizes]
    results.add(rows, [] if results.quick else [per_start(rows, 100_000, 10_000)])
    results.add([], [memory(sizes[-1])])


def task(size: int) -> Callable[[], Any]:
    prepare_jax()
    from experiments.benchmarks._rivals import package

    return package.rival(PACKAGE).prepare(Problem(WASSERSTEIN, starts(size), np.array([0.0, 50.0])), TOLERANCE).run


def per_start(rows: list[Row], large: int, small: int) -> Verdict:
    above, below = ([x / size for x in row.seconds] for size in (large, small) for row in rows if row.size == size)
    value = float(np.median(np.divide(above, below)))
    return Verdict(CASE, f"cost of a start among {large:,} / among {small:,}", value, 1.0)


def memory(size: int) -> Verdict:
    """Linux says how much; elsewhere nothing is measured."""
    name = f"peak memory, {size:,} starts"
    ran = subprocess.run([sys.executable, "-c", CHILD, str(size)], capture_output=True, text=True, check=False)
    words = ran.stdout.split()
    if ran.returncode != 0 or not words:
        last = (ran.stderr.strip().splitlines() or ["the system does not tell"])[-1]
        return Verdict(CASE, name, None, MEMORY_TARGET, unit="GiB", note=last[:150], fault=ran.returncode != 0)
    return Verdict(CASE, name, int(words[-1]) / 1024**2, MEMORY_TARGET, unit="GiB")
