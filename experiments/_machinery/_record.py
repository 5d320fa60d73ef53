"""What is written beside figure and data: claims, configuration, and where they come from, as strict JSON."""

import dataclasses
import hashlib
import importlib.metadata
import json
import math
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments._machinery._claims import Claim

PACKAGES = ("gan_ode", "jax", "jaxlib", "diffrax", "equinox", "optimistix", "lineax", "optax", "numpy", "matplotlib")
REPOSITORY = Path(__file__).parents[1]


def to_json(value: Any) -> str:
    """Strict JSON: floats that it does not know become the strings "NaN", "Infinity" and "-Infinity"."""
    return json.dumps(plain(value), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def plain(value: Any) -> Any:
    """Mappings, lists, numbers, words and `None` instead of dataclasses, arrays, paths and the like."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _name_of(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    to_list = getattr(value, "tolist", None)  # an array's
    return str(value) if to_list is None else plain(to_list())


def of_claims(claims: list[Claim]) -> list[dict[str, Any]]:
    return [plain(claim) | {"holds": claim.holds} for claim in claims]


def checksums(name: str, files: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 of each file, by its name."""
    return {f"{name}{suffix}": hashlib.sha256(content).hexdigest() for suffix, content in files.items()}


def surroundings() -> dict[str, Any]:
    """Versions, backend, precision and revision under which the results were made."""
    import jax

    return {
        "versions": {"python": platform.python_version()} | {package: _version(package) for package in PACKAGES},
        "backend": jax.default_backend(),
        "device": jax.devices()[0].device_kind,
        "x64": bool(jax.config.read("jax_enable_x64")),
        "git": _git_state(),
    }


def _name_of(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_state() -> dict[str, Any] | None:
    """Revision, and whether the code differs from it; `None` outside a repository."""
    revision, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--", "gan_ode", "experiments")
    return None if revision is None else {"revision": revision, "dirty": bool(changes)}


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(REPOSITORY), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
