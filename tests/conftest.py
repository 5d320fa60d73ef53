"""What holds for every test: shapes and types are checked, numbers are 64 bits wide, no window opens."""

import gc
import os
import pathlib
import sys

os.environ.setdefault("MPLBACKEND", "agg")
# Threads of BLAS that wait for each other keep the processor busy: with one, eigenvalues of a thousand rows take a
# twelfth of its time. Said to libraries that are loaded later, here and in processes that this one starts...
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import hypothesis
import jax
import jaxtyping
import pytest
import threadpoolctl

# ...and to NumPy's, which a plugin may have loaded before.
threadpoolctl.threadpool_limits(1, user_api="blas")

assert "gan_ode" not in sys.modules, "the hook below sees only modules that are imported after it"
jaxtyping.install_import_hook("gan_ode", "beartype.beartype")

# Most of the time goes into compiling programs that run once: leave out what only makes them faster. Small programs are
# not worth splitting into parts that compile side by side: in one part they take a tenth less of the processor. A flag
# that XLA does not know is fatal: the second one is gone from later versions, and the others were tried with these
# alone.
_QUICK_TO_COMPILE = ["--xla_backend_optimization_level=0"]
if jax.__version_info__ < (0, 11):
    _QUICK_TO_COMPILE += [
        "--xla_cpu_use_fusion_emitters=false",
        "--xla_llvm_disable_expensive_passes=true",
        "--xla_cpu_parallel_codegen_split_count=1",
        # Else two batches of matrices may wait for each other for ever, on two cores.
        "--xla_cpu_enable_concurrency_optimized_scheduler=false",
    ]
os.environ.setdefault("XLA_FLAGS", " ".join(_QUICK_TO_COMPILE))

# A test of 32 bits asks for them by dtype.
jax.config.update("jax_enable_x64", True)

# The first example of a test compiles, so neither a deadline nor the slowness of the draw says anything. The examples
# are the same in each run: a red run is a change of the code.
hypothesis.settings.register_profile(
    "stable",
    deadline=None,
    derandomize=True,
    max_examples=30,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("stable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs the slow tests last, otherwise in the order of the files."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


# Linux allows a process 65,530 memory maps, and each compiled program takes several. Twice as many as these, with what
# was traced for them, took 7 GB.
_MANY_MAPS = 3_000

# Traced programs are many small objects that live on: looking through all of them for cycles, as often as Python does
# by default, takes a tenth of the time.
gc.set_threshold(100_000, 50, 100)


@pytest.fixture(autouse=True, scope="module")
def _drop_programs():
    """Drops the compiled programs once there are many; until then the files share them."""
    yield
    maps = pathlib.Path("/proc/self/maps")
    if not maps.exists() or maps.read_bytes().count(b"\n") > _MANY_MAPS:
        jax.clear_caches()


@pytest.fixture(autouse=True)
def _close_figures():
    """Closes the figures that a test leaves open."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
