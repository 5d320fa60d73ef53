"""A diagnosis as a dataset of xarray."""

import dataclasses
from typing import Any

import numpy as np


def dataset(diagnosis: Any) -> Any:
    """What `Diagnosis.dataset` returns: only numbers and strings, so that netCDF takes it."""
    try:
        # Not with the package: xarray takes long to import, and is not needed for anything else.
        import xarray
    except ImportError as error:
        raise ImportError(
            "`dataset` needs xarray, which is not installed: take `pip install 'gan_ode[experiments]'`, or use the "
            "attributes of the diagnosis as they are."
        ) from error
    variables: dict[str, Any] = {}
    for kind, modes in (("mode", diagnosis.modes), ("step_mode", diagnosis.step_modes)):
        variables |= _of_modes(kind, modes)
    for name in ("weight", "growth_per_step", "step_factor", "largest_step", "cost", "progress", "residual"):
        values = [float(getattr(remedy, name)) for remedy in diagnosis.remedies]
        variables[f"remedy_{name}"] = ("remedy", np.asarray(values, float))
    strengths = np.asarray([finding.strength for finding in diagnosis.findings], float)
    variables["strength"] = ("finding", strengths)
    for player in ("discriminator", "generator"):
        variables[f"speed_{player}"] = ((), float(getattr(diagnosis.speeds, player)))
        if diagnosis.curvatures is not None:
            curvature = getattr(diagnosis.curvatures, player)
            variables |= {f"curvature_{player}_{k}": ((), v) for k, v in dataclasses.asdict(curvature).items()}
    variables |= {f"noise_{k}": ((), v) for k, v in vars(diagnosis.noise).items() if isinstance(v, int | float)}
    if diagnosis.logits is not None:
        variables |= {f"logits_{k}": ((), v) for k, v in dataclasses.asdict(diagnosis.logits).items()}
    numbers = (
        "rotation_share", "rotation_error", "stiffness", "largest_step", "period_in_steps", "growth_per_step",
        "horizon", "step_size", "flat", "num_evaluations",
    )  # fmt: skip
    variables |= {name: ((), getattr(diagnosis, name)) for name in numbers}
    coordinates = {
        "remedy": [remedy.name for remedy in diagnosis.remedies],
        "finding": [str(finding.disease) for finding in diagnosis.findings],
        "layer": _layers(diagnosis.modes or diagnosis.step_modes),
    }
    said = {
        "verdict": diagnosis.verdict, "disease": str(diagnosis.disease), "method": diagnosis.method,
        "notes": "\n".join(diagnosis.notes), "near_equilibrium": int(diagnosis.near_equilibrium),
        "complete": int(diagnosis.complete),
    }  # fmt: skip
    return xarray.Dataset(variables, coordinates, said)


def _layers(modes: Any) -> list[str]:
    return list(modes[0].layers) if modes else []


def _of_modes(kind: str, modes: Any) -> dict[str, Any]:
    # netCDF has no complex numbers.
    values = np.asarray([mode.value for mode in modes], complex)
    rates = np.asarray([mode.rate for mode in modes], complex)
    shares = [[getattr(mode.shares, player) for player in ("discriminator", "generator")] for mode in modes]
    layers = [list(mode.layers.values()) for mode in modes]
    return {
        f"{kind}_real": (kind, np.real(values)),
        f"{kind}_imag": (kind, np.imag(values)),
        f"{kind}_growth": (kind, np.real(rates)),
        f"{kind}_angle": (kind, np.imag(rates)),
        f"{kind}_residual": (kind, np.asarray([mode.residual for mode in modes], float)),
        f"{kind}_does": (kind, np.asarray([mode.does for mode in modes], str)),
        f"{kind}_shares": ((kind, "player"), np.reshape(np.asarray(shares, float), (len(modes), 2))),
        f"{kind}_layers": (
            (kind, "layer"),
            np.reshape(np.asarray(layers, float), (len(modes), len(layers[0]) if layers else 0)),
        ),
    }
