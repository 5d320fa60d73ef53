"""Ensembles on several devices and in several processes: the same results, whoever computes them."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest

# A compiler may arrange a sum in another way for another number of members: measured 6e-17, mostly 0.
ROUNDING = 1e-14

# In processes of their own: how many devices there are is fixed when JAX starts.
PROGRAM = """
import sys

import jax

jax.config.update("jax_enable_x64", True)
if len(sys.argv) > 2:
    # By themselves the collectives look up the name of this machine, which not every network knows.
    from jax._src.lib import _jax

    make = _jax.make_gloo_tcp_collectives
    _jax.make_gloo_tcp_collectives = lambda distributed_client: make(distributed_client, hostname="127.0.0.1")
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(sys.argv[2], 2, int(sys.argv[3]))
import diffrax
import equinox as eqx
import jax.numpy as jnp
import numpy as np

from gan_ode import fields, games, losses, simulate, updates

field = fields.GameField(games.LinearQuadratic(losses.Wasserstein()))
noisy = lambda t, y, key: jax.tree.map(lambda slope: slope + jax.random.normal(key), field(t, y, None))
y0s = games.Players(jnp.linspace(-1.0, 1.0, 101), jnp.linspace(0.5, 1.5, 101))
mesh = jax.sharding.Mesh(jax.devices(), ("members",)) if len(sys.argv) > 2 else None
ts = jnp.linspace(0.0, 10.0, 6)
if jax.local_device_count() > 1:
    # What is made while this holds must not be found again later.
    with jax.set_mesh(jax.make_mesh((jax.local_device_count(),), ("members",))):
        simulate.flow(field, games.Players(jnp.array(0.1), jnp.array(0.9)), ts, rtol=1e-6)
orbit = simulate.ensemble(field, y0s, ts, rtol=1e-6, chunk_size=10, mesh=mesh)
implicit = simulate.ensemble(field, y0s, ts[:2], solver=diffrax.Kvaerno3(), rtol=1e-4, mesh=mesh)
if mesh is None:
    # Under a transformation the mesh is given, and divides the members.
    here = jax.sharding.Mesh(jax.devices()[: 1 if jax.device_count() == 1 else 2], ("members",))
    run = lambda y0s, **options: simulate.ensemble(field, y0s, ts, rtol=1e-6, mesh=here, **options)
    even = jax.tree.map(lambda leaf: leaf[:100], y0s)
    fast, slow = jax.jit(run)(even), jax.jit(lambda y0s: run(y0s, exact_times=True))(even)
    for traced in (fast, slow):
        assert len(traced.final_state.generator.sharding.device_set) == here.size
    # In another program the errors round otherwise, of which step sizes are made: measured 1e-12.
    assert jnp.array_equal(fast.stats["num_steps"], orbit.stats["num_steps"][:100])
    assert jnp.allclose(fast.ys.generator, orbit.ys.generator[:100], rtol=0, atol=1e-10)
# Copies on the devices of what the members share are those of the array that is given.
for slope in (1.0, 2.0, 1.0):
    shared = jnp.full(2, slope)
    for _ in range(2):
        decayed = simulate.ensemble(lambda t, y, args: -args[0] * y, jnp.ones(4), ts[:2], args=shared, mesh=mesh)
        assert jnp.allclose(decayed.final_state, jnp.exp(-slope * ts[1]), rtol=1e-6)
update = eqx.filter_vmap(updates.Simultaneous)(jnp.linspace(0.01, 0.2, 101))
steps = simulate.iterate_ensemble(update, field, y0s, 20, batched_update=True, chunk_size=10, mesh=mesh)
# With linear solves in it, and with numbers at random, a step is no part of a kernel.
implicit_steps, noisy_steps = (
    simulate.iterate_ensemble(update, each, y0s, 5, args=args, mesh=mesh, save_every=5).final_state.discriminator
    for update, each, args in (
        (updates.SolverStep(diffrax.ImplicitEuler(), 0.1, rtol=1e-9, atol=1e-9), field, None),
        (updates.Simultaneous(0.1), noisy, jax.random.key(0)),
    )
)
assert orbit.ys.generator.shape == (101, 6) and steps.ys.generator.shape == (101, 21)
np.savez(
    sys.argv[1], devices=jax.device_count(), steps=orbit.stats["num_steps"], orbit=orbit.ys.generator,
    implicit=implicit.ys.discriminator, updates=steps.ys.discriminator, implicit_updates=implicit_steps,
    noisy_updates=noisy_steps, ok=orbit.outcome == simulate.OUTCOMES.ok,
)
"""


def start(path, *arguments, devices=1):
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path), *arguments], env=os.environ | {"XLA_FLAGS": flags},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def results(process, path):
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return dict(np.load(path))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    path = tmp_path_factory.mktemp("alone") / "results.npz"
    return results(start(path), path)


def check_same(found, expected):
    assert np.all(found["ok"])
    np.testing.assert_array_equal(found["steps"], expected["steps"])
    for name in ("orbit", "implicit", "updates", "implicit_updates", "noisy_updates"):
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=ROUNDING)


@pytest.mark.slow
def test_several_devices_give_the_results_of_one(alone, tmp_path):
    # Two of them are those of two processes, below.
    found = results(start(tmp_path / "results.npz", devices=8), tmp_path / "results.npz")
    assert found["devices"] == 8 and alone["devices"] == 1
    check_same(found, alone)


@pytest.mark.slow
def test_two_processes_give_the_results_of_one_and_both_have_all(alone, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    paths = [tmp_path / f"{i}.npz" for i in range(2)]
    processes = [start(path, address, str(i)) for i, path in enumerate(paths)]
    for process, path in zip(processes, paths, strict=True):
        found = results(process, path)
        assert found["devices"] == 2
        check_same(found, alone)
