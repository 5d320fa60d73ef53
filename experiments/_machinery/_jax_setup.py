"""JAX as the experiments want it."""

import importlib.metadata
import logging
import os
from pathlib import Path

# Before JAX 0.12 two calls of LAPACK on batches (`jnp.linalg.qr`, `solve`, `svd` under `vmap`) wait for ever if they
# run at the same time on a machine of two cores: each holds a thread of the pool, and waits for another one to work on
# its matrices. Scheduled for little memory, they run one after the other.
_ONE_BY_ONE = "--xla_cpu_enable_concurrency_optimized_scheduler=false"
_MENDED = (0, 12)


def prepare_jax() -> None:
    """64-bit floats, compiled code kept from run to run, batches of matrices one after the other, no chatter."""
    os.environ["XLA_FLAGS"] = _one_by_one(os.environ.get("XLA_FLAGS", ""), importlib.metadata.version("jax"))
    logging.getLogger("jax").setLevel(logging.WARNING)
    import jax

    jax.config.update("jax_enable_x64", True)
    folder = _cache_folder()
    if folder is not None and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


def _one_by_one(flags: str, version: str) -> str:
    """XLA's flags with one more, unless they say something about it, or JAX does not need it."""
    mended = tuple(map(int, version.split(".")[:2])) >= _MENDED
    return flags if mended or _ONE_BY_ONE.partition("=")[0] in flags else f"{flags} {_ONE_BY_ONE}".strip()


def _cache_folder() -> Path | None:
    """The user's cache folder, or `None` where there is none that can be written to."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gan_ode" / "jax"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None
