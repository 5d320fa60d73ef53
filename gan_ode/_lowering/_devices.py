"""Where programs run."""

import os

import jax


def on_cpu() -> bool:
    """Whether programs are for CPUs, not for an accelerator."""
    return jax.default_backend() == "cpu"


def num_cpus() -> int:
    """Those that this process may use, where the system can tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
