"""The points of a sweep, and how they are dealt out into blocks of one size."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import _checks

# Names that the dataset has for itself.
RESERVED = ("point", "done", "failure")
# Each is a file of a folder. Beyond that, listing the folder takes longer than computing a block.
_MOST_BLOCKS = 10**6
# Of a point: whether it is computed, and one number.
_LEAST_BYTES = 9
_REMEDY = "Give at least one value, each once, all of them numbers or all of them strings."


@dataclasses.dataclass(frozen=True)
class Grid:
    """The product of some axes, in the order in which they are given: the last one runs fastest."""

    axes: dict[str, np.ndarray]
    block_size: int

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(values) for values in self.axes.values())

    @property
    def num_points(self) -> int:
        return math.prod(self.shape)

    @property
    def num_blocks(self) -> int:
        return -(-self.num_points // self.block_size)

    def rows(self, block: int) -> slice:
        """Where the points of a block stand among all."""
        return slice(block * self.block_size, min((block + 1) * self.block_size, self.num_points))

    def points(self, block: int) -> dict[str, np.ndarray]:
        """The points of a block, the last one repeated until it is full."""
        rows = self.rows(block)
        flat = np.minimum(np.arange(rows.start, rows.start + self.block_size), self.num_points - 1)
        indices = np.unravel_index(flat, self.shape)
        return {name: values[i] for (name, values), i in zip(self.axes.items(), indices, strict=True)}

    def describe(self) -> dict[str, Any]:
        axes = [
            {"name": name, "dtype": values.dtype.str, "values": values.tolist()} for name, values in self.axes.items()
        ]
        return {"over": axes, "block_size": self.block_size}

    @classmethod
    def read(cls, described: Mapping[str, Any]) -> "Grid":
        """The inverse of `describe`.

        Raises:
            ValueError: If it describes no grid; or what Python raises on entries that are missing or of other kinds.
        """
        axes = {axis["name"]: np.asarray(axis["values"], axis["dtype"]) for axis in described["over"]}
        whole = grid(axes, described["block_size"])
        if whole.describe() != {"over": described["over"], "block_size": described["block_size"]}:
            raise ValueError("another grid than the one that is described")
        return whole


def grid(over: Mapping[str, Any], block_size: int) -> Grid:
    """The grid that a user asks for.

    Raises:
        ValueError: If it makes no sense; the text says what to change.
    """
    if not isinstance(over, Mapping) or not over:
        raise ValueError(f"`over` must map at least one name to its values, but is {over!r}.")
    axes = {_name(name): _axis(name, values) for name, values in over.items()}
    whole = Grid(axes, _checks.count("block_size", block_size))
    return dataclasses.replace(whole, block_size=min(whole.block_size, whole.num_points))


def check_size(grid: Grid, bytes_per_point: float = _LEAST_BYTES) -> None:
    """Refuses a sweep whose dataset this machine cannot hold, or whose folder no file system likes.

    Args:
        grid: The points.
        bytes_per_point: What is kept of each.

    Raises:
        ValueError: If it is too large; the text says how large.
    """
    sizes = " x ".join(f"{size:,}" for size in grid.shape)
    _checks.fits_in_memory(
        "over",
        math.ceil(bytes_per_point * grid.num_points),
        f"it has {grid.num_points:,} points ({sizes}). Sweep over fewer values, over some axes at a time, or return "
        "less of each point.",
    )
    if grid.num_blocks > _MOST_BLOCKS:
        raise ValueError(
            f"`block_size` must be so large that there are at most {_MOST_BLOCKS:,} blocks, but is {grid.block_size} "
            f"for {grid.num_points:,} points: take {-(-grid.num_points // _MOST_BLOCKS):,} or more, or fewer points."
        )


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name.isidentifier() or name in RESERVED:
        raise ValueError(
            f"`over` must name its axes as variables in Python are named, and not {', '.join(RESERVED)}, but names one "
            f"{name!r}."
        )
    return name


def _axis(name: str, given: Any) -> np.ndarray:
    if isinstance(given, str):
        raise ValueError(f"`over[{name!r}]` must be a sequence, but is {given!r}: for one value write [{given!r}].")
    values = np.asarray(given)
    refuse = functools.partial(_refuse, name)
    if values.ndim != 1:
        refuse(f"one axis, but has shape {values.shape}")
    if values.size == 0:
        refuse("of at least one value, but is empty")
    if values.dtype.kind == "U":
        _check_strings(name, given, values)
    elif values.dtype.kind not in "biuf" or values.dtype.itemsize > 8:
        refuse(f"numbers or strings, but holds {values.dtype}")
    elif not np.all(np.isfinite(values)):
        refuse(f"finite, but holds {values[~np.isfinite(values)][0]}")
    found, counts = np.unique(values, return_counts=True)
    if len(found) < len(values):
        refuse(f"values that differ, but holds {found[counts > 1][0]} {counts.max()} times")
    return values


def _check_strings(name: str, given: Sequence[Any] | np.ndarray, values: np.ndarray) -> None:
    # NumPy makes strings of the numbers beside a string, and drops zeros at the end of one.
    for value, word in zip(given, values.tolist(), strict=True):
        if not isinstance(value, str):
            _refuse(name, f"all numbers or all strings, but holds {value!r} beside strings")
        if value != word or "\0" in word:
            _refuse(name, f"of strings without null characters, but holds {value!r}")


def _refuse(name: str, what: str) -> None:
    raise ValueError(f"`over[{name!r}]` must be {what}. {_REMEDY}")
