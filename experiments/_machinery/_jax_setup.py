"""JAX as the experiments want it."""

import logging
import os
from pathlib import Path


def prepare_jax() -> None:
    """64-bit floats, compiled code kept from run to run, no chatter."""
    logging.getLogger("jax").setLevel(logging.WARNING)
    import jax

    jax.config.update("jax_enable_x64", True)
    folder = _cache_folder()
    if folder is not None and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


def _cache_folder() -> Path | None:
    """The user's cache folder, or `None` where there is none that can be written to."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gan_ode" / "jax"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None
