"""A branch of closed curves as an xarray dataset."""

from typing import Any

import jax
import numpy as np

from ..._printing import leaf_name


def to_dataset(branch: Any) -> Any:
    """What `ClosedCurveBranch.to_xarray` returns."""
    try:
        import xarray
    except ImportError as error:
        raise ImportError(
            "`to_xarray` needs xarray, which is not installed: take `pip install 'gan_ode[experiments]'`, or use "
            "`branch.values` and `branch.orbits`."
        ) from error
    names = ("value", "rotation", "multiplier", "stable", "harmonics", "residual")
    columns = (
        branch.values, branch.rotations, branch.multipliers, branch.stable, branch.harmonics, branch.residuals
    )  # fmt: skip
    variables: dict[str, Any] = {
        name: ("point", np.asarray(column)) for name, column in zip(names, columns, strict=True)
    }
    for path, leaf in jax.tree_util.tree_flatten_with_path(branch.orbits)[0]:
        name, leaf = leaf_name(path, "state"), np.asarray(leaf)
        variables[name] = (["point", "sample", *(f"{name}_{axis}" for axis in range(leaf.ndim - 2))], leaf)
    variables["event_kind"] = ("event", np.array([event.kind for event in branch.events], dtype=str))
    variables["event_value"] = ("event", np.array([float(event.value) for event in branch.events]))
    variables["event_rotation"] = ("event", np.array([float(event.rotation) for event in branch.events]))
    return xarray.Dataset(variables, attrs={"ended": branch.ended})
