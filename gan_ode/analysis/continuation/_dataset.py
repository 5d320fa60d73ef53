"""A branch as an xarray dataset."""

from typing import Any

import jax
import numpy as np

from ..._printing import leaf_name


def to_dataset(branch: Any) -> Any:
    """What `EquilibriumBranch.to_xarray` returns."""
    try:
        import xarray
    except ImportError as error:
        raise ImportError(
            "`to_xarray` needs xarray, which is not installed: take `pip install 'gan_ode[experiments]'`, or use "
            "`branch.values` and `branch.states`."
        ) from error
    variables: dict[str, Any] = {"value": ("point", np.asarray(branch.values))}
    for path, leaf in jax.tree_util.tree_flatten_with_path(branch.states)[0]:
        name, leaf = leaf_name(path, "state"), np.asarray(leaf)
        variables[name] = (["point", *(f"{name}_{axis}" for axis in range(leaf.ndim - 1))], leaf)
    values = np.asarray(branch.eigenvalues, complex)
    variables["eigenvalue_real"] = (["point", "eigenvalue"], np.real(values))
    variables["eigenvalue_imag"] = (["point", "eigenvalue"], np.imag(values))
    variables["stable"] = ("point", np.asarray(branch.stable))
    variables["event_kind"] = ("event", np.array([event.kind for event in branch.events], dtype=str))
    variables["event_value"] = ("event", np.array([float(event.value) for event in branch.events]))
    return xarray.Dataset(variables, attrs={"ended": branch.ended, "of": "update" if branch.is_update else "field"})
