"""A sweep as arrays of Dask, whose blocks are read when their values are asked for."""

from typing import Any, TYPE_CHECKING

import numpy as np

from . import _blocks
from ._folder import Folder

if TYPE_CHECKING:
    import xarray


def lazily_joined(folder: Folder) -> "xarray.Dataset":
    """Everything that there is, over the grid, as `Folder.join` has it, but unread."""
    try:
        import dask.array
        from dask.delayed import delayed
    except ImportError:
        raise ImportError("`lazy` needs Dask, which is not installed: `pip install dask`.") from None
    xr, grid, seen = _blocks.require_xarray(), folder.grid, folder.look()
    there, complete = set(seen.done), len(seen.done) == grid.num_blocks
    variables, coordinates = folder.progress(seen.done), dict[str, Any](grid.axes)
    first = folder.first()
    if first is None:
        return xr.Dataset(variables, coordinates)
    coordinates |= {str(name): variable.variable for name, variable in first.coords.items()}
    read = delayed(_values, pure=True)
    for name, variable in first.data_vars.items():
        dtype, fill = _kept_as(variable.dtype, complete)
        parts = []
        for block in range(grid.num_blocks):
            rows = grid.rows(block)
            shape = (rows.stop - rows.start, *variable.shape[1:])
            values = read(folder, block, str(name), dtype) if block in there else delayed(np.full)(shape, fill, dtype)
            parts.append(dask.array.from_delayed(values, shape, dtype))
        whole = dask.array.concatenate(parts).reshape(*grid.shape, *variable.shape[1:])
        variables[str(name)] = ((*grid.axes, *variable.dims[1:]), whole, variable.attrs)
    return xr.Dataset(variables, coordinates)


def _kept_as(dtype: Any, complete: bool) -> tuple[Any, Any]:
    """The dtype of a quantity, and what stands where points are missing."""
    if dtype.kind == "U":
        # Strings of other blocks may be longer.
        return np.dtype(object), ""
    return (dtype if complete or dtype.kind == "f" else np.dtype(float)), np.nan


def _values(folder: Folder, block: int, name: str, dtype: Any) -> np.ndarray:
    return _blocks.read(folder.block(block), folder.sweep, block)[name].values.astype(dtype)
