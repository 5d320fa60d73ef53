"""An orbit as a dataset of xarray."""

from typing import Any

import jax
import numpy as np

from .._names import name_of
from .._printing import leaf_name


def dataset(orbit: Any) -> Any:
    """What `Orbit.to_xarray` returns."""
    try:
        # Not with the package: xarray takes long to import, and is not needed for anything else.
        import xarray
    except ImportError as error:
        raise ImportError(
            "`to_xarray` needs xarray, which is not installed: take `pip install 'gan_ode[experiments]'`, or use "
            "`orbit.ts` and `orbit.ys` as they are."
        ) from error
    ts = np.asarray(orbit.ts)
    axes = ("member", "time")[-ts.ndim :]
    leaves = jax.tree_util.tree_flatten_with_path(orbit.ys)[0]
    variables = {
        name: ((*axes, *(f"{name}.axis{i}" for i in range(np.ndim(leaf) - ts.ndim))), np.asarray(leaf))
        for name, leaf in ((leaf_name(path, "y"), leaf) for path, leaf in leaves)
    }
    said = {"outcome": np.asarray(name_of(orbit.outcome)), "final_time": np.asarray(orbit.final_time)}
    said |= {name: np.asarray(value) for name, value in orbit.stats.items() if value is not None}
    coordinates = {"time" if ts.ndim == 1 else "ts": (axes, ts)}
    coordinates |= {name: ("member", value) for name, value in said.items() if value.ndim}
    return xarray.Dataset(
        variables, coordinates, {name: value.item() for name, value in said.items() if not value.ndim}
    )
