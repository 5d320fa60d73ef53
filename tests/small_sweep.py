"""A sweep for the tests, and a way to kill it: run as a module, it sweeps in children that it forks and kills."""

import builtins
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import h5netcdf  # noqa: F401  (that the children have it at once, as they have xarray)
import jax
import numpy as np
import xarray  # noqa: F401

from gan_ode import sweeps

OVER = {"eta": [0.0, 0.1, 0.5, 2.0, 8.0], "seed": range(7), "rule": ["one", "other"]}
SHARD_SIZE = 10
NUM_SHARDS = 7  # of 70 points
SMALL = 3  # for 24 blocks


def compute(points):
    """Numbers that tell the point, and strings."""
    eta, seed, rule = points["eta"], points["seed"], points["rule"]
    sign = np.where(rule == "one", 1.0, -1.0)
    return {
        "value": sign * (eta + 1e-3 * seed),
        "curve": (("point", "time"), np.outer(eta, [1.0, 1 / 3]) + seed[:, None]),
        "count": seed + 2**53 + 1,  # no floating-point number
        "small": seed < 3,
        "word": np.array([f"{r} {s}" for r, s in zip(rule, seed, strict=True)]),
    }


def logged(log, seconds=0.0):
    """The same, and notes in a file of which points it is asked."""

    def noting(points):
        eta, seed, rule = (points[name][0].item() for name in OVER)
        with open(log, "a") as file:
            file.write(json.dumps([eta, seed, rule]) + "\n")
        time.sleep(seconds)
        return compute(points)

    return noting


def run(folder, log, seconds=0.0, block_size=SHARD_SIZE, **options):
    return sweeps.sweep(logged(log, seconds), OVER, folder, block_size=block_size, **options)


def computed(log, block_size=SHARD_SIZE):
    """The blocks that were asked for, by number."""
    lines = Path(log).read_text().splitlines() if Path(log).exists() else []
    points = [(eta, seed, rule) for eta in OVER["eta"] for seed in OVER["seed"] for rule in OVER["rule"]]
    return [points.index(tuple(json.loads(line))) // block_size for line in lines]


def on_disk(folder):
    return sorted(int(path.stem.removeprefix("block-")) for path in Path(folder).glob("block-*.nc"))


def kill_at_random(folder, log, num_kills):
    """Kills a sweep so many times, and prints what was on disk, and what was asked for, after each.

    At any moment after some blocks of this run, counted and not timed: a busy machine is slow, too.
    """
    draw = random.Random(20)
    for _ in range(num_kills):
        child = os.fork()
        if child == 0:
            run(folder, log, seconds=0.002, block_size=SMALL)
            os._exit(0)
        enough, waited = len(computed(log, SMALL)) + draw.randint(1, 3), time.monotonic()
        while len(computed(log, SMALL)) < enough and time.monotonic() < waited + 30:
            time.sleep(0.001)
        time.sleep(draw.uniform(0.0, 0.1))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        print(json.dumps([os.WIFSIGNALED(status), on_disk(folder), computed(log, SMALL)]), flush=True)


def kill_at_step(step, folder):
    """Kills this process before a step on the disk; that a file is half written is one, too."""
    steps, open_ = 0, builtins.open

    def take():
        nonlocal steps
        steps += 1
        if steps > step:
            os.kill(os.getpid(), signal.SIGKILL)

    def count(event, args):
        if event in ("open", "os.rename", "os.remove", "os.mkdir") and str(folder) in str(args):
            take()

    def open_to_write_halves(path, mode="r", **options):
        file = open_(path, mode, **options)
        if mode == "xb":

            def write(content):
                type(file).write(file, content[: len(content) // 2])
                file.flush()
                take()
                type(file).write(file, content[len(content) // 2 :])

            file.write = write
        return file

    builtins.open = open_to_write_halves
    sys.addaudithook(count)


def kill_at_steps(folder, log):
    """Kills a sweep at its first step on the disk, another one at its second, and so on until one survives."""
    step = 0
    while True:
        child = os.fork()
        if child == 0:
            kill_at_step(step, folder)
            sweeps.sweep(logged(log), OVER, f"{folder}/{step}", block_size=35)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(json.dumps([os.WIFSIGNALED(status), step, on_disk(f"{folder}/{step}")]), flush=True)
        if not os.WIFSIGNALED(status):
            return
        step += 1


if __name__ == "__main__":
    # A shell that starts the tests in the background has them ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    jax.config.update("jax_enable_x64", True)  # as in the tests
    how, *where = sys.argv[1:]
    if how == "random":
        kill_at_random(*where, num_kills=10)
    elif how == "steps":
        kill_at_steps(*where)
    else:
        run(*where, seconds=0.2, progress=lambda n, total: print(n, flush=True))
