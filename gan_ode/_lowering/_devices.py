"""Where programs run."""

import os

import jax


def on_processor() -> bool:
    """Whether programs are for processors, not for an accelerator."""
    return jax.default_backend() == "cpu"


def num_processors() -> int:
    """Those that this process may use, where the system can tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
