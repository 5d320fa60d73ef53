"""A branch of cycles as an xarray dataset."""

from typing import Any

import jax
import numpy as np

from ..._printing import leaf_name


def to_dataset(branch: Any) -> Any:
    """What `CycleBranch.to_xarray` returns."""
    try:
        import xarray
    except ImportError as error:
        raise ImportError(
            "`to_xarray` needs xarray, which is not installed: take `pip install 'gan_ode[experiments]'`, or use "
            "`branch.values` and `branch.orbits`."
        ) from error
    variables: dict[str, Any] = {
        "value": ("point", np.asarray(branch.values)),
        "period": ("point", np.asarray(branch.periods)),
        "time": (["point", "sample"], np.asarray(branch.times)),
        "stable": ("point", np.asarray(branch.stable)),
    }
    for path, leaf in jax.tree_util.tree_flatten_with_path(branch.orbits)[0]:
        name, leaf = leaf_name(path, "state"), np.asarray(leaf)
        variables[name] = (["point", "sample", *(f"{name}_{axis}" for axis in range(leaf.ndim - 2))], leaf)
    values = np.asarray(branch.multipliers, complex)
    variables["multiplier_real"] = (["point", "multiplier"], np.real(values))
    variables["multiplier_imag"] = (["point", "multiplier"], np.imag(values))
    variables["event_kind"] = ("event", np.array([event.kind for event in branch.events], dtype=str))
    variables["event_value"] = ("event", np.array([float(event.value) for event in branch.events]))
    variables["event_period"] = ("event", np.array([float(event.period) for event in branch.events]))
    return xarray.Dataset(variables, attrs={"ended": branch.ended})
