"""The folder of a sweep: which sweep it is of, which blocks are done, and all of it as one dataset."""

import functools
import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TYPE_CHECKING

import jax
import numpy as np

from .. import _files
from . import _blocks
from ._grid import check_size, Grid

if TYPE_CHECKING:
    import xarray

_DESCRIPTION = "sweep.json"
_FORMAT = 1
_CHECKSUM = "checksum"
_PACKAGES = ("gan_ode", "jax", "jaxlib", "diffrax", "equinox", "optax", "numpy", "xarray", "h5netcdf")
_SHOWN = 60


class Seen(NamedTuple):
    """Blocks, in order: those that are done, that failed when they were last tried, and that a process has claimed."""

    done: list[int]
    failed: list[int]
    claimed: list[int]


class Folder:
    """The files of one sweep."""

    def __init__(self, path: Path, grid: Grid, sweep: str):
        self.path, self.grid, self.sweep = path, grid, sweep
        # Opening a file takes longer than all that is done with what is in it.
        self._read: dict[int, xarray.Dataset] = {}

    @classmethod
    def claim(cls, path: Path, grid: Grid, config: Any, notes: Any, *, alone: bool = True) -> "Folder":
        """The folder for a sweep: a new one, or one of the same sweep.

        Args:
            path: Where it is.
            grid: The points.
            config: What is compared.
            notes: What is not.
            alone: Whether no other process works in it: then what a kill has left is removed.

        Raises:
            ValueError: If it is of another sweep; the text says what differs.
        """
        compared = {
            "format": _FORMAT,
            "gan_ode": versions().get("gan_ode"),
            "x64": bool(jax.config.read("jax_enable_x64")),
            **grid.describe(),
            "config": _plain("config", config),
        }
        if (path / _DESCRIPTION).exists():
            _refuse_another(path, _description(path), compared)
        elif any(path.glob("block-*.nc")):
            raise ValueError(f"`folder` must say of what its blocks are, but {path / _DESCRIPTION} is missing.")
        else:
            described = compared | {"notes": _plain("notes", notes), "versions": versions()}
            described |= {_CHECKSUM: _digest(described)}
            _files.replace(path / _DESCRIPTION, (json.dumps(described, indent=2) + "\n").encode())
        if alone:
            _files.remove_parts(path, r"sweep\.json|block-\d{6,}\.(?:nc|failure\.json|claim)")
            for claim in path.glob("block-*.claim"):
                claim.unlink()
        return cls(path, grid, _digest(compared))

    @classmethod
    def find(cls, path: Path, *, any_size: bool = False) -> "Folder":
        """The folder of a sweep that there is; of one that memory would not hold only if asked."""
        if not (path / _DESCRIPTION).is_file():
            raise ValueError(f"`folder` must hold a sweep, but there is no {path / _DESCRIPTION}: `sweep` makes one.")
        described = _description(path)
        try:
            points = Grid.read(described)
        except Exception as error:  # What NumPy raises on a dtype that is none can be anything.
            raise ValueError(_unreadable(path)) from error
        if not any_size:
            check_size(points)
        return cls(path, points, _digest(_compared(described)))

    def block(self, block: int) -> Path:
        return self.path / f"{_stem(block)}.nc"

    def failure(self, block: int) -> Path:
        return self.path / f"{_stem(block)}.failure.json"

    def read_all(self, only: int | None = None) -> dict[int, "xarray.Dataset"]:
        """The blocks that are done, by number; or those that were read before, and one that has just been done."""
        if only is not None:
            if only not in self._read:
                self._read[only] = _blocks.read(self.block(only), self.sweep, only)
            return self._read
        done = self.look().done
        for block in done:
            if block not in self._read:
                self._read[block] = _blocks.read(self.block(block), self.sweep, block)
                _blocks.check_alike(self._read[done[0]], self._read[block])
        return {block: self._read[block] for block in done}

    def look(self) -> "Seen":
        """What the files of the folder say by their names alone. One look takes as long as that at a single file."""
        there = {entry.name for entry in os.scandir(self.path)}

        def of(suffix: str) -> list[int]:
            return [block for block in range(self.grid.num_blocks) if f"{_stem(block)}{suffix}" in there]

        return Seen(of(".nc"), of(".failure.json"), of(".claim"))

    def first(self) -> "xarray.Dataset | None":
        """One of the blocks that are done, always the same."""
        if not self._read and (done := self.look().done):
            self.read_all(only=done[0])
        return next(iter(self._read.values()), None)

    def save(self, block: int, dataset: "xarray.Dataset") -> None:
        content = _blocks.encode(dataset, self.sweep, block, {"versions": json.dumps(versions())})
        _files.replace(self.block(block), content)
        self.failure(block).unlink(missing_ok=True)

    def remove(self, block: int) -> None:
        self._read.pop(block, None)
        self.block(block).unlink(missing_ok=True)

    def __getstate__(self) -> dict[str, Any]:
        """Without what was read, which workers need not be sent."""
        return self.__dict__ | {"_read": {}}

    def fail(self, block: int, error: BaseException) -> None:
        text = {"failure": f"{type(error).__name__}: {error}"}
        _files.replace(self.failure(block), (json.dumps(text, indent=2) + "\n").encode())

    def failures(self) -> dict[int, str]:
        """What went wrong at the blocks that failed and are not done since."""
        seen = self.look()
        failed = sorted(set(seen.failed) - set(seen.done))
        return {block: self._why(self.failure(block)) for block in failed}

    def _why(self, path: Path) -> str:
        """What a failure says of itself. A damaged one is no loss: its block is missing and is tried again anyway."""
        noted = _files.read_object(path.read_bytes()) or {}
        text = noted.get("failure")
        return text if isinstance(text, str) else f"{path.name} is damaged; what it said is lost"

    def join(self) -> "xarray.Dataset":
        """Everything that there is, over the grid."""
        blocks, grid = self.read_all(), self.grid
        variables, coordinates = self.progress(list(blocks)), dict[str, Any](grid.axes)
        if blocks:
            first = next(iter(blocks.values()))
            coordinates |= {str(name): variable.variable for name, variable in first.coords.items()}
            for name, variable in first.data_vars.items():
                parts = {block: dataset[name].values for block, dataset in blocks.items()}
                values = _laid_out(parts, grid, complete=len(blocks) == grid.num_blocks)
                variables[str(name)] = ((*grid.axes, *variable.dims[1:]), values, variable.attrs)
        return _blocks.require_xarray().Dataset(variables, coordinates)

    def progress(self, done: list[int]) -> dict[str, Any]:
        """Which points are done, and why others failed, over the grid."""
        grid = self.grid
        computed = np.zeros(grid.num_points, bool)
        for block in done:
            computed[grid.rows(block)] = True
        variables: dict[str, Any] = {"done": (tuple(grid.axes), computed.reshape(grid.shape))}
        failures = self.failures()
        if failures:
            texts = np.full(grid.num_points, "", object)
            for block, text in failures.items():
                texts[grid.rows(block)] = text
            variables["failure"] = (tuple(grid.axes), texts.astype(str).reshape(grid.shape))
        return variables


def _stem(block: int) -> str:
    return f"block-{block:06d}"


@functools.cache
def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _laid_out(parts: dict[int, np.ndarray], grid: Grid, *, complete: bool) -> np.ndarray:
    """The rows of the blocks in their places, and NaN, or no text, where there are none yet."""
    dtype = np.result_type(*parts.values())
    fill: Any = "" if dtype.kind == "U" else 0
    if not complete and dtype.kind != "U":
        dtype, fill = (dtype if dtype.kind == "f" else np.dtype(float)), np.nan
    values = np.full((grid.num_points, *next(iter(parts.values())).shape[1:]), fill, dtype)
    for block, rows in parts.items():
        values[grid.rows(block)] = rows
    return values.reshape(*grid.shape, *values.shape[1:])


def _plain(name: str, value: Any) -> Any:
    """As JSON gives it back."""
    try:
        return json.loads(json.dumps({} if value is None else value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{name}` must be made of mappings, lists, finite numbers and strings, for JSON, but: {error}."
        ) from None


def _description(path: Path) -> dict[str, Any]:
    described = _files.read_object((path / _DESCRIPTION).read_bytes())
    if described is None:
        raise ValueError(_unreadable(path))
    # A folder from before has none; its blocks tell whether they are of what is described.
    if _CHECKSUM in described and described.pop(_CHECKSUM) != _digest(described):
        raise ValueError(_unreadable(path))
    return described


def _unreadable(path: Path) -> str:
    return f"`folder` must say of what its blocks are, but {path / _DESCRIPTION} is damaged. Give another folder."


def _compared(described: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in described.items() if name not in ("notes", "versions")}


def _digest(compared: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(compared, sort_keys=True).encode()).hexdigest()


def _refuse_another(path: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    if _digest(_compared(there)) == _digest(here):
        return
    raise ValueError(
        f"`folder` must be of the same sweep, but the one in {path} differs in "
        f"{'; '.join(_differences('', _by_name(_compared(there)), _by_name(here)))}. Give another folder, or remove "
        "this one to start anew."
    )


def _by_name(compared: Mapping[str, Any]) -> dict[str, Any]:
    """With the axes as a mapping, and their order, so that what differs can be told by name."""
    axes = compared.get("over")
    if not isinstance(axes, list) or not all(isinstance(axis, dict) and "name" in axis for axis in axes):
        return dict(compared)
    return {
        **compared,
        "over": {axis["name"]: axis.get("values") for axis in axes},
        "dtype": {axis["name"]: axis.get("dtype") for axis in axes},
        "order of over": [axis["name"] for axis in axes],
    }


def _differences(name: str, there: Any, here: Any) -> list[str]:
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        found = []
        for key in [*here, *(key for key in there if key not in here)]:
            inside = f"{name}[{key!r}]" if name else str(key)
            found += _differences(inside, there.get(key, "nothing"), here.get(key, "nothing"))
        return found
    if json.dumps(there, sort_keys=True) == json.dumps(here, sort_keys=True):
        return []
    return [f"`{name}` ({_short(there)} there, {_short(here)} here)"]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
