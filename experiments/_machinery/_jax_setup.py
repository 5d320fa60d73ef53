"""JAX as the experiments want it."""

import logging
import os
from pathlib import Path

# Trainings side by side, a `vmap` over a loop of products of matrices, have stopped for ever with all threads of XLA's
# pool waiting for work, on 2 cores, two runs in three. Products on one thread each do not.
_NO_POOL = "--xla_cpu_multi_thread_eigen=false"


def prepare_jax() -> None:
    """64-bit floats, compiled code kept from run to run, products of matrices on one thread, no chatter."""
    os.environ["XLA_FLAGS"] = _without_pool(os.environ.get("XLA_FLAGS", ""))
    logging.getLogger("jax").setLevel(logging.WARNING)
    import jax

    jax.config.update("jax_enable_x64", True)
    folder = _cache_folder()
    if folder is not None and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


def _without_pool(flags: str) -> str:
    """XLA's flags with one more, unless they say something about it."""
    return flags if _NO_POOL.partition("=")[0] in flags else f"{flags} {_NO_POOL}".strip()


def _cache_folder() -> Path | None:
    """The user's cache folder, or `None` where there is none that can be written to."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gan_ode" / "jax"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None
