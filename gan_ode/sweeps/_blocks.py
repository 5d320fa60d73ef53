"""What was computed for the points of one block: as a dataset, and as a netCDF file that knows whether it is whole."""

import contextlib
import hashlib
import io
import json
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TYPE_CHECKING

import numpy as np

from ._grid import Grid, RESERVED

if TYPE_CHECKING:
    import xarray

POINT = "point"
_CHECKSUM = "checksum"
_ONE_THREAD = threading.RLock()
_SEAL = b"\nsha256 of the bytes before this line: "
_NOT_KEPT = (
    "`compute` must return what netCDF can keep, but what it returned cannot be: take other names for quantities, "
    "dimensions and attributes, and attributes that are numbers or strings without null characters"
)
_NUMBERS = {f"{kind}{bits}" for kind in ("int", "uint", "float") for bits in (8, 16, 32, 64)} - {"float8", "float16"}


def require_xarray() -> Any:
    """The module, which is heavy and not everybody's.

    Raises:
        ImportError: If it, or what writes netCDF, is missing.
    """
    try:
        import h5netcdf  # noqa: F401
        import xarray
    except ImportError as error:
        raise ImportError(
            f"sweeps are kept by xarray and h5netcdf, but {error.name} is not installed: "
            "`pip install xarray h5netcdf h5py`, or the extra `gan_ode[experiments]`."
        ) from error
    return xarray


def tabulate(results: Any, grid: Grid, block: int) -> "xarray.Dataset":
    """What `compute` returned, as a dataset with the dimension `point` first, without the points that fill it up.

    Raises:
        ValueError: If it cannot be kept; the text says what to change.
    """
    xr = require_xarray()
    given, kept, shared = _as_dataset(results), {}, {}
    for name, variable in given.variables.items():
        if name == POINT or _is_label(name, variable, grid, block):
            continue  # The grid knows it.
        _check_name(name, grid)
        values = _plain(name, np.asarray(variable.data))
        if POINT not in variable.dims and name in given.coords:
            shared[name] = (variable.dims, values, variable.attrs)
            continue
        if POINT not in variable.dims or variable.sizes[POINT] != grid.block_size:
            raise ValueError(
                f"`compute` must return `{name}` with a leading axis of the {grid.block_size} points of a block, but "
                f"its shape is {variable.shape}: use `jax.vmap` over the points."
            )
        whole = xr.Variable(variable.dims, values, variable.attrs).transpose(POINT, ...)
        rows = grid.rows(block)
        kept[name] = whole.isel({POINT: slice(0, rows.stop - rows.start)})
    for dim in given.dims:
        if dim != POINT:
            _check_name(dim, grid)
    if not kept:
        raise ValueError("`compute` must return at least one quantity, but returned none.")
    return xr.Dataset(kept, shared)


def _is_label(name: Any, variable: Any, grid: Grid, block: int) -> bool:
    return name in grid.axes and np.array_equal(variable.values, grid.points(block)[name])


def _as_dataset(results: Any) -> Any:
    xr = require_xarray()
    if isinstance(results, xr.Dataset):
        return results
    if not isinstance(results, Mapping):
        raise ValueError(
            f"`compute` must return a mapping from names to arrays, but returned a {type(results).__name__}: give "
            "what it returns a name."
        )
    xr.align(*(value for value in results.values() if isinstance(value, xr.DataArray)), join="exact")
    return xr.Dataset({name: _named(name, value) for name, value in results.items()})


def _named(name: Any, value: Any) -> Any:
    """Axes that have no names are called for what they are of."""
    if isinstance(value, tuple) and len(value) > 1:
        return (value[0], _array(value[1]), *value[2:])
    if isinstance(value, require_xarray().DataArray | require_xarray().Variable | tuple):
        return value
    array = _array(value)
    return ((POINT, *(f"{name}_dim_{k}" for k in range(array.ndim - 1)))[: array.ndim], array)


def _array(values: Any) -> Any:
    """An array; of strings as they are: an array of NumPy's strings drops null characters at the end of each."""
    array = np.asarray(values)
    return np.asarray(values, object) if array.dtype.kind == "U" and not hasattr(values, "dtype") else array


def _check_name(name: Any, grid: Grid) -> None:
    if not isinstance(name, str) or not name or name == "." or "/" in name or not _can_be_kept(name):
        raise ValueError(
            "`compute` must return names that are strings without a slash, without null characters and in Unicode, but "
            f"returned {name!r}."
        )
    if name in RESERVED or name in grid.axes:
        raise ValueError(
            f"`compute` must not name a quantity or a dimension `{name}`, which the sweep's dataset has for itself: "
            "give it another name."
        )


def _plain(name: str, values: np.ndarray) -> np.ndarray:
    """Numbers that netCDF has, or strings."""
    if values.dtype.kind == "O" and all(isinstance(value, str) for value in values.flat):
        _check_words(name, values)
        values = values.astype(str)
    elif values.dtype.kind == "U":
        _check_words(name, values)
    if values.dtype.kind in "bU" or values.dtype.name in _NUMBERS:
        return values
    remedy = "return its real and its imaginary part." if values.dtype.kind == "c" else "convert it."
    raise ValueError(
        f"`compute` must return numbers of at most 64 bits, truth values or strings, but `{name}` is of "
        f"{values.dtype}: {remedy}"
    )


def _check_words(name: str, values: np.ndarray) -> None:
    wrong = next((word for word in values.flat if not _can_be_kept(word)), None)
    if wrong is not None:
        raise ValueError(
            f"`compute` must return strings without null characters and in Unicode, but `{name}` holds {str(wrong)!r}: "
            "leave those out, or return numbers."
        )


def _can_be_kept(word: str) -> bool:
    """Whether netCDF gives a string back: it ends one at a null character, and encodes it in UTF-8."""
    return "\0" not in word and word == word.encode(errors="ignore").decode()


def check_alike(first: "xarray.Dataset", other: "xarray.Dataset") -> None:
    """Refuses a block that is not of the form of another one, with which it is to be joined."""
    there, here = _form(first), _form(other)
    for name in sorted(there.keys() | here.keys()):
        if there.get(name) != here.get(name):
            raise ValueError(
                f"all points must give results of one form, but `{name}` is {here.get(name, 'missing')} here and "
                f"{there.get(name, 'missing')} in the points before: do not sweep over what changes it, or return less."
            )
    for name, variable in first.coords.items():
        if variable.values.tobytes() != other[name].values.astype(variable.dtype).tobytes():
            raise ValueError(
                f"all points must give results on the same `{name}`, but it has other values here than in the points "
                "before: do not sweep over what changes it, or return it as a quantity."
            )


def _form(dataset: Any) -> dict[str, str]:
    def of(variable: Any) -> str:
        kind = "strings" if variable.dtype.kind == "U" else str(variable.dtype)
        sizes = {dim: size for dim, size in variable.sizes.items() if dim != POINT}
        return f"{kind}{f' over {sizes}' if sizes else ''}{'' if POINT in variable.dims else ', shared'}"

    return {str(name): of(variable) for name, variable in dataset.variables.items()}


def encode(dataset: "xarray.Dataset", sweep: str, block: int, attributes: Mapping[str, str]) -> bytes:
    """The file of a block: netCDF 4 with checksums, HDF5's own, one over all values, and behind it one over all bytes.

    It is read again before it is handed out, so that no file is ever written that cannot be read.

    Raises:
        ValueError: If netCDF does not give back what there is, as with attributes that it has for itself.
    """
    encoding: dict[str, dict[str, Any]] = {}
    for name, variable in dataset.variables.items():
        encoding[str(name)] = {"_FillValue": None} if variable.dtype.kind == "f" else {}
        if variable.dtype.kind != "U" and variable.size:
            encoding[str(name)]["fletcher32"] = True
    marked = dataset.assign_attrs(sweep=sweep, block=block, **attributes)
    marked = marked.assign_attrs({_CHECKSUM: _checksum(marked)})
    try:
        with _alone():
            content = bytes(marked.to_netcdf(engine="h5netcdf", encoding=encoding))
        kept = _checksum(_loaded(io.BytesIO(content))[1]) == marked.attrs[_CHECKSUM]
    except OSError:
        raise
    except Exception as error:  # What xarray and HDF5 raise on names and attributes that they do not like.
        raise ValueError(f"{_NOT_KEPT}: {error}") from error
    if not kept:
        raise ValueError(f"{_NOT_KEPT}, and comes back as something else.")
    return _sealed(content)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One thread at a time, as HDF5 has it anyway, and without Dask.

    Where Dask's workers are at hand, xarray asks their scheduler for a lock by the name of the file, and here that is
    none.
    """
    with _ONE_THREAD, contextlib.ExitStack() as stack:
        if "dask" in sys.modules:
            stack.enter_context(sys.modules["dask"].config.set(scheduler="synchronous"))
        yield


def _sealed(content: bytes) -> bytes:
    """The bytes of a file with their checksum behind them, where whatever reads HDF5 does not look."""
    return content + _SEAL + hashlib.sha256(content).hexdigest().encode()


def _unsealed(content: bytes) -> bytes:
    """The bytes without their checksum, which are those that were written.

    HDF5 reads damaged bytes without end, or into memory that is not its own; it gets only those that are whole. A file
    from before has no such checksum.
    """
    whole, seal, _ = content.rpartition(_SEAL)
    if seal and _sealed(whole) != content:
        raise ValueError("another checksum")
    return whole if seal else content


def _loaded(file: Any) -> "tuple[xarray.Dataset, xarray.Dataset]":
    """A file as xarray reads it, and with values of the kinds in which they were written."""
    with _alone():
        stored = require_xarray().load_dataset(file, engine="h5netcdf", decode_times=False, decode_timedelta=False)
    variables = {
        name: variable.copy(data=_plain(str(name), variable.values)) for name, variable in stored.variables.items()
    }
    dataset = stored.assign({name: variables[name] for name in stored.data_vars}).assign_coords(
        {name: variables[name] for name in stored.coords}
    )
    return stored, dataset


def read(path: Path, sweep: str, block: int) -> "xarray.Dataset":
    """A block from its file.

    Raises:
        ValueError: If the file is damaged, or of another sweep.
    """
    try:
        # Not by its path: xarray keeps a file open that it could not read, and then reads that one for another.
        stored, dataset = _loaded(io.BytesIO(_unsealed(path.read_bytes())))
        # A file from before has a checksum of its numbers alone.
        whole = (
            stored.attrs[_CHECKSUM] == _checksum(dataset)
            if _CHECKSUM in stored.attrs
            else stored.attrs["sha256"] == _checksum(dataset, attributes=False)
        )
        origin = stored.attrs["sweep"], int(stored.attrs["block"])
    except FileNotFoundError:
        raise
    except Exception as error:  # What HDF5 raises on damaged bytes can be anything.
        raise ValueError(_damaged(path)) from error
    if not whole:
        raise ValueError(_damaged(path))
    if origin != (sweep, block):
        raise ValueError(
            f"`folder` must hold blocks of one sweep, but {path} comes from another one. Remove it and sweep again: "
            "only its points are computed."
        )
    return dataset.drop_attrs(deep=False)


def _damaged(path: Path) -> str:
    return (
        f"`folder` must hold whole blocks, but {path} is damaged. Remove it and sweep again: only its points are "
        "computed anew."
    )


def _checksum(dataset: Any, attributes: bool = True) -> str:
    """Of all that is in a file: its attributes, units among them, and its variables."""
    digest = hashlib.sha256()
    if attributes:
        kept = {name: value for name, value in dataset.attrs.items() if name != _CHECKSUM}
        all_of_them = [kept, *(dataset.variables[name].attrs for name in sorted(map(str, dataset.variables)))]
        digest.update(json.dumps([_as_read(attrs) for attrs in all_of_them]).encode())
    for name in sorted(map(str, dataset.variables)):
        variable = dataset.variables[name]
        if variable.dtype.kind == "U":
            kind, content = "strings", json.dumps(variable.values.tolist()).encode()
        else:
            kind, content = variable.dtype.str, np.ascontiguousarray(variable.values).tobytes()
        digest.update(json.dumps([name, variable.dims, kind, variable.shape]).encode() + content)
    return digest.hexdigest()


def _as_read(attributes: Mapping[Any, Any]) -> list[tuple[str, list[str]]]:
    """Attributes in the form that they have before and after they were in a file: as lists of words."""
    listed = {str(name): np.ravel(np.asarray(value)).tolist() for name, value in attributes.items()}
    return [(name, [str(one) for one in listed[name]]) for name in sorted(listed)]
