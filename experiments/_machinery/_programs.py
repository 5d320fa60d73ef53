"""Keeps a long run below what Linux allows a process."""

from pathlib import Path

import jax

# Linux allows a process 65,530 memory maps, and each compiled program takes several.
MANY_MAPS = 6_000
_MAPS = Path("/proc/self/maps")


def drop_programs_if_many() -> None:
    """Drops what JAX has compiled and traced so far, once there is much of it; elsewhere than on Linux it is kept."""
    if _MAPS.exists() and _MAPS.read_bytes().count(b"\n") > MANY_MAPS:
        jax.clear_caches()
