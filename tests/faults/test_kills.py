"""`kill -9` at random moments of training: what is on the disk is whole, later than before, and of the same run."""

import random
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from gan_ode import iterate, simulate
from gan_ode.updates import Simultaneous

# Of what a kill may cost: a checkpoint is due so often, and written all the time.
EVERY, MOST = 7, 7 * 10**6
RATE = 1e-4
PROGRAM = f"""
import sys, jax
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
from gan_ode import iterate, simulate
from gan_ode.updates import Simultaneous
from tests.faults.test_kills import decay

iterate(
    Simultaneous({RATE}), decay, jnp.linspace(1.0, 2.0, 500), {MOST}, save_every={MOST},
    checkpoint=simulate.Checkpoint(sys.argv[1], every={EVERY}), progress=lambda n, total: print(n, flush=True),
)
"""


def decay(t, y, args):
    return -y * jnp.sin(y)


RUN = (Simultaneous(RATE), decay, jnp.linspace(1.0, 2.0, 500))


@pytest.mark.slow
def test_training_killed_at_random_moments_is_on_the_disk_as_if_never_stopped(tmp_path):
    draw, reached = random.Random(3), 0
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            enough = reached + draw.randint(20, 200)
            told = next(n for n in map(int, child.stdout) if n > enough)
            child.kill()
            told = max([told, *(int(line) for line in child.stdout if line.endswith("\n"))])
        trained = simulate.load_checkpoint(tmp_path, *RUN, save_every=MOST)
        # What it told of was computed; at most one interval of it is lost, and one more may have been written.
        assert reached < told - EVERY <= trained.num_steps <= told + EVERY and trained.num_steps % EVERY == 0
        reached = trained.num_steps
        whole = iterate(*RUN, reached, save_every=reached, progress=lambda n, total: None)
        assert np.asarray(trained.y).tobytes() == np.asarray(whole.final_state).tobytes()
    # Of what was being written when the kill came, the next run leaves nothing.
    with pytest.raises(KeyboardInterrupt):
        iterate(*RUN, MOST, save_every=MOST, checkpoint=simulate.Checkpoint(tmp_path, MOST), progress=_stop)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.eqx", "config.json"]


def _stop(n, total):
    raise KeyboardInterrupt
