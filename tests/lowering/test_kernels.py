"""Loops as single kernels, and what happens where there can be none."""

import concurrent.futures

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_ode import _checks, _lowering, flow, iterate, updates
from gan_ode._lowering import _jit, _kernels
from gan_ode._lowering._kernels import inverse_root, kernel_jit, map_in_kernels
from gan_ode.analysis.linearization import _jacobian
from gan_ode.simulate import ensemble
from gan_ode.simulate.ensembles import _chunks
from gan_ode.simulate.runge_kutta._control import Control

# The same operations in the same order, or sums in another: measured 2e-15.
ROUNDING = 1e-12
# One step of Newton's method from single precision: measured 2e-12.
ROOT = 1e-11

# At a kink rounding decides which step is rejected; what follows agrees to the tolerance. Measured 3e-7.
KINK = 1e-6

TS = jnp.linspace(0.0, 1.0, 4)


@pytest.fixture
def hints(monkeypatch):
    """The hints that programs are traced with from now on."""
    seen, called = [], _kernels._called
    monkeypatch.setattr(_kernels, "_called", lambda function, hints: seen.append(hints) or called(function, hints))
    return seen


def halved(x):
    """Of numbers, how often each can be halved before it is below one, by a loop that ends with the last of them."""

    def step(state):
        x, n = state
        return jnp.where(x >= 1, x / 2, x), n + (x >= 1)

    return {"n": jax.lax.while_loop(lambda state: jnp.any(state[0] >= 1), step, (x, jnp.zeros_like(x)))[1], "name": "n"}


@pytest.mark.parametrize("num", [1, 7, 64, 65, 200])
def test_blocks_of_any_number_of_members_are_kernels(num, hints):
    x = jnp.arange(1.0, num + 1)
    found = kernel_jit(lambda x: map_in_kernels(halved, x))(x)
    np.testing.assert_array_equal(found["n"], np.floor(np.log2(x)) + 1)
    assert found["name"] == "n" and _kernels._ONE_KERNEL in hints


@pytest.mark.parametrize("num", [5, 2500])
def test_what_calls_out_of_a_kernel_makes_none(num, hints):
    x = jnp.arange(1.0, num + 1)
    found = kernel_jit(lambda x: map_in_kernels(lambda x: {"n": jnp.cumsum(jnp.sort(halved(x)["n"])) * 0 + x}, x))(x)
    np.testing.assert_array_equal(found["n"], x)
    assert _kernels._ONE_KERNEL not in hints


def test_where_the_compiler_fails_there_are_no_kernels(hints, monkeypatch):
    monkeypatch.setattr(_kernels, "_FIT_FOR_KERNELS", _kernels._FIT_FOR_KERNELS | {"sort"})
    x = jnp.array([3.0, 1.0, 2.0])
    np.testing.assert_array_equal(
        kernel_jit(lambda x: map_in_kernels(lambda x: jnp.sort(x[:, None], axis=1), x))(x)[:, 0], x
    )
    assert _kernels._ONE_KERNEL in hints


def test_other_backends_and_other_programs_get_no_hints(hints, monkeypatch):
    y0s = jnp.array([1.0, 2.0])
    within = jax.jit(lambda y0s: ensemble(lambda t, y, args: -y, y0s, TS, rtol=1e-8).ys)(y0s)
    assert _kernels._ONE_KERNEL not in hints and _kernels._OPAQUE in hints
    hints.clear()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    orbit = ensemble(lambda t, y, args: -y, y0s, TS, rtol=1e-8)
    assert not hints
    np.testing.assert_allclose(orbit.ys, within, rtol=ROUNDING)


@pytest.mark.parametrize(("backend", "num_chunks", "threads"), [("cpu", 3, 2), ("gpu", 1, 1)])
def test_an_accelerator_gets_all_members_at_once_and_no_threads(backend, num_chunks, threads, monkeypatch):
    pools, sizes, run = [], [], _chunks.map_chunks
    pool = concurrent.futures.ThreadPoolExecutor
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setattr(_lowering, "num_cpus", lambda: 2)
    monkeypatch.setattr(_chunks.concurrent.futures, "ThreadPoolExecutor", lambda num: pools.append(num) or pool(num))
    monkeypatch.setattr(_chunks, "_FEW", 0)
    monkeypatch.setattr(
        _chunks,
        "map_chunks",
        lambda solve, members, size, **rest: sizes.append(size) or run(solve, members, size, **rest),
    )
    y0s = jnp.linspace(1.0, 2.0, 20_100)
    orbit = ensemble(lambda t, y, args: -y, y0s, TS[::3], rtol=1e-3)
    np.testing.assert_allclose(orbit.final_state, y0s * np.exp(-1.0), rtol=1e-2)
    assert [-(-len(y0s) // size) for size in sizes] == [num_chunks]
    ensemble(lambda t, y, args: -y, y0s, TS[::3], rtol=1e-3, chunk_size=5000)
    assert pools[-1] == threads


def test_options_that_a_compiler_does_not_know_are_left_out():
    function = _jit.with_options(lambda x, *, y: (x + y, "sum"), {"xla_no_such_option": 1, "xla_cpu_x": 2})
    assert not _jit._is_known("xla_no_such_option", 1) and _jit._is_known("xla_cpu_prefer_vector_width", 512)
    assert function(jnp.array(1.0), y=2) == (3.0, "sum")


def test_what_fails_when_it_runs_is_not_run_again():
    counted = []

    def refuse(x):
        counted.append(float(x))
        raise ValueError("refused in Python")

    function = _jit.with_options(lambda x: jax.pure_callback(refuse, x, x), {"xla_cpu_prefer_vector_width": 512})
    with pytest.raises(jax.errors.JaxRuntimeError, match="refused in Python"):
        jax.block_until_ready(function(jnp.array(1.0)))
    assert counted == [1.0]


MATRIX = jnp.asarray(np.random.default_rng(0).normal(size=(300, 3)) / 10)


@pytest.mark.parametrize(
    ("field", "gap"),
    [
        (lambda t, y, args: -MATRIX.T @ jnp.tanh(MATRIX @ y), ROUNDING),
        (lambda t, y, args: -jnp.linalg.norm(y) * jax.nn.softmax(y) + jax.nn.relu(y - 1), ROUNDING),
        (lambda t, y, args: jax.grad(lambda y: jnp.mean(jax.nn.sigmoid(MATRIX @ y)))(y), ROUNDING),
        (lambda t, y, args: jax.lax.scan(lambda c, x: (c + x, -c), jnp.zeros(()), y)[1], ROUNDING),
        (lambda t, y, args: jax.lax.cond(y[0] > 1, jnp.sin, jnp.cos, y), KINK),
        (lambda t, y, args: jnp.interp(y, jnp.linspace(-3.0, 3.0, 7), jnp.cos(jnp.arange(7.0))), KINK),
        (lambda t, y, args: jax.random.normal(jax.random.key(0), (3,)) - y, ROUNDING),
        (lambda t, y, args: -jnp.linalg.solve(jnp.eye(3) + jnp.outer(y, y), y), ROUNDING),
        (lambda t, y, args: jax.pure_callback(lambda y: -y, y, y, vmap_method="sequential"), ROUNDING),
    ],
    ids=["matrices", "norm", "gradient", "scan", "cond", "interp", "random", "solve", "callback"],
)
def test_fields_of_all_kinds_are_followed(field, gap):
    y0s = jnp.asarray(np.random.default_rng(1).normal(size=(5, 3)))
    orbit = ensemble(field, y0s, TS, rtol=1e-6, dt0=0.1)
    for i in (0, 4):
        alone = flow(field, y0s[i], TS, rtol=1e-6, dt0=0.1)
        np.testing.assert_allclose(orbit.ys[i], alone.ys, rtol=0, atol=gap)


def test_a_field_may_hold_a_tracer_however_many_members_there_are():
    y0s = jnp.linspace(1.0, 2.0, 3000)

    def ends(rate):
        return ensemble(lambda t, y, args: rate * y, y0s, TS, rtol=1e-9, chunk_size=500).final_state

    value, slope = jax.jvp(ends, (jnp.asarray(0.5),), (jnp.asarray(1.0),))
    np.testing.assert_allclose(value, y0s * np.exp(0.5), rtol=1e-7)
    np.testing.assert_allclose(slope, y0s * np.exp(0.5), rtol=1e-6)
    np.testing.assert_allclose(jax.jit(ends)(0.5), value, rtol=ROUNDING)


def test_threads_that_start_at_once_find_what_the_first_one_found():
    y0s = jnp.linspace(1.0, 2.0, 3000)

    def field(t, y, args):
        return -y

    first, second = (ensemble(field, y0s, TS, rtol=1e-8, chunk_size=500) for _ in range(2))
    np.testing.assert_array_equal(first.ys, second.ys)
    np.testing.assert_allclose(first.ys[:, -1], y0s * np.exp(-1), rtol=1e-7)


def test_transformations_are_noticed():
    seen = []

    def look(x):
        seen.append(_checks.is_transformed())
        return x

    # As in a process that asks within a transformation first.
    _checks._top_level.cache_clear()
    jax.jit(look)(1.0)
    look(1.0)
    for transformed in (jax.grad(look), lambda x: jax.jvp(look, (x,), (x,))):
        transformed(1.0)
    jax.vmap(look)(jnp.ones(2))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(look, 1.0).result()
    assert seen == [True, False, True, True, True, False]


@pytest.mark.parametrize("degree", [2, 10, 50, 200])
def test_roots_are_right(degree):
    x = np.logspace(-30, 30, 1001)
    np.testing.assert_allclose(inverse_root(jnp.asarray(x), degree), x ** (-1 / degree), rtol=ROOT)
    least, most = inverse_root(jnp.array([0.0, jnp.inf]), degree)
    assert jnp.isfinite(least) and least > inverse_root(jnp.asarray(1e-30), degree) and 0 < most < 1


@pytest.mark.parametrize(
    ("coefficients", "remembered"),
    [({}, 0), ({"pcoeff": 0.2, "icoeff": 0.6}, 1), ({"pcoeff": 0.2, "icoeff": 0.3, "dcoeff": 0.1}, 2)],
)
def test_roots_and_logarithms_control_alike(coefficients, remembered):
    pid = diffrax.PIDController(rtol=1e-6, atol=1e-6, **coefficients)
    by_roots = Control(pid, 5)
    # Weights that are arrays have no known denominator.
    by_logarithms = Control(eqx.tree_at(lambda c: c.icoeff, pid, jnp.asarray(pid.icoeff)), 5)
    one = jnp.ones(())
    memories = by_roots.memory(one), by_logarithms.memory(one)
    assert [len(memory) for memory in memories] == [remembered, 2]
    for square, keep in (
        (0.3, True),
        (0.0, True),
        (40.0, False),
        (0.9, True),
        (1e-9, True),
        (jnp.inf, False),
        (0.5, True),
    ):
        found = [
            control.factor(jnp.asarray(square), jnp.asarray(keep), memory)
            for control, memory in zip((by_roots, by_logarithms), memories, strict=True)
        ]
        factors, memories = zip(*found, strict=True)
        np.testing.assert_allclose(*factors, rtol=ROOT)


def test_weights_without_a_small_denominator_are_taken_as_they_are():
    pid = diffrax.PIDController(rtol=1e-6, atol=1e-6, pcoeff=np.pi / 20, icoeff=0.4)
    control, one = Control(pid, 5), jnp.ones(())
    factor, _ = control.factor(jnp.asarray(0.01), jnp.asarray(True), control.memory(one))
    np.testing.assert_allclose(factor, 0.9 * 0.01 ** (-(np.pi / 20 + 0.4) / 10), rtol=ROOT)


def test_a_matrix_that_is_not_finite_is_not_handed_to_a_library(monkeypatch):
    eigvals = jnp.linalg.eigvals
    monkeypatch.setattr(
        jnp.linalg, "eigvals", lambda matrix: eigvals(eqx.error_if(matrix, jnp.isnan(matrix).any(), ""))
    )
    assert np.all(np.isnan(_jacobian.eigenvalues_of(jnp.array([[0.0, jnp.nan], [1.0, 0.0]]))))


def test_small_arrays_on_other_devices_are_kept_as_long_as_what_they_were_made_of():
    replicas, mesh = _chunks._Replicas(), jax.sharding.Mesh(jax.devices()[:1], ("members",))
    small, alike = jnp.arange(3.0), jnp.arange(3.0)
    found = [replicas.of(each, mesh) for each in (small, alike, small, alike)]
    np.testing.assert_array_equal(found[0], small)
    assert [each.sharding.mesh for each in found] == [mesh] * 4
    # By what array it is, not by its numbers.
    assert [found[i] is found[j] for i, j in ((0, 2), (1, 3), (0, 1))] == [True, True, False]
    for each in (jnp.zeros(_chunks._SMALL), jnp.asarray(0.5), np.arange(3.0), jax.random.key(0), "text"):
        assert replicas.of(each, mesh) is each
    assert len(replicas._found) == 2
    del small
    assert len(replicas._found) == 1


def test_what_the_members_share_keeps_its_type_on_a_mesh():
    mesh = jax.sharding.Mesh(jax.devices()[:1], ("members",))
    # Weakly typed, so that the velocity has the precision of the state.
    rate, y0s = jnp.asarray(0.5), jnp.ones(4, jnp.float32)
    orbit = ensemble(lambda t, y, args: -args * y, y0s, TS[::3], args=rate, mesh=mesh)
    assert orbit.final_state.dtype == jnp.float32
    np.testing.assert_allclose(orbit.final_state, np.exp(-0.5), rtol=1e-4)


def test_an_array_in_double_precision_is_taken_in_single_where_that_is_asked_for():
    y0, ts = jnp.ones(2), jnp.asarray(TS)
    with jax.enable_x64(False):
        for orbit in (
            flow(lambda t, y, args: -y, y0, ts),
            iterate(updates.Simultaneous(0.1), lambda t, y, args: -y, y0, 2),
        ):
            assert orbit.final_state.dtype == jnp.float32


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32, jnp.float64])
@pytest.mark.parametrize("num", [1, 2, 3, 20])
def test_neighbors_are_found_in_any_precision(dtype, num):
    for seed in range(5):
        starts = jnp.asarray(np.random.default_rng(seed).normal(size=(50, num)), dtype)
        assert sorted(_chunks.morton_order(starts)) == list(range(50))
    np.testing.assert_array_equal(_chunks.morton_order(jnp.ones((50, num), dtype)), np.arange(50))
