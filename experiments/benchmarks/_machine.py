"""Where the numbers come from: processor, cores, and the versions of everything that took part."""

import importlib.metadata
import os
import platform
from pathlib import Path

DISTRIBUTIONS = (
    "gan_ode", "jax", "jaxlib", "diffrax", "equinox", "numpy", "scipy", "numba", "numbalsoda", "heyoka", "torch",
    "torchdiffeq", "torchode", "scikit-sundae", "jaxcont",
)  # fmt: skip


def machine() -> dict[str, object]:
    return {"processor": processor(), "cores": cores(), "system": platform.platform()}


def processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions() -> dict[str, str | None]:
    """None for what is not installed."""
    return {"python": platform.python_version()} | {name: version(name) for name in DISTRIBUTIONS}


def version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
