"""The points of a sweep: an experiment run at each, what is kept of it, and what is told of all."""

import contextlib
import dataclasses
import importlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np
import xarray

from experiments._machinery import _record, _runner
from experiments._machinery._claims import Claim
from experiments.sweep._arguments import Asked
from gan_ode import _files, sweeps

# Names that the joined dataset has for itself.
TAKEN = {"point", "done", "failure", "claim", "claim_holds", "claim_measured"}


@dataclasses.dataclass(frozen=True)
class Runs:
    """The experiment at the points of a block, which is one: something that can be sent to processes."""

    name: str
    asked: Asked

    def __call__(self, points: dict[str, np.ndarray]) -> xarray.Dataset:
        experiment = importlib.import_module(f"experiments.{self.name}")
        point = {field: values[0].item() for field, values in points.items()}
        try:
            return measure(experiment, self.asked, point).expand_dims("point")
        except Exception:
            print(f"At {_text(point)}:", file=sys.stderr)
            traceback.print_exc()
            raise


def compute(name: str, asked: Asked) -> xarray.Dataset:
    """Everything over the grid, in the folder and in one file."""
    fixed = {
        field.name: getattr(asked.config, field.name)
        for field in dataclasses.fields(asked.config)
        if field.name not in asked.over
    }
    with _executor(asked) as executor:
        dataset = sweeps.sweep(
            Runs(name, asked),
            asked.over,
            asked.out,
            config=_record.plain({"experiment": name, "configuration": fixed}),
            notes=_record.plain({"argv": sys.argv[1:], **_record.surroundings()}),
            block_size=1,
            progress=_teller(),
            keep_going=True,
            executor=executor,
        )
    _files.replace(asked.out / f"{name}.nc", bytes(dataset.to_netcdf(engine="h5netcdf")))
    return dataset


@contextlib.contextmanager
def _executor(asked: Asked) -> Iterator[Any]:
    """Who computes the points; None for this process."""
    if asked.dask is not None:
        try:
            distributed = importlib.import_module("distributed")
        except ImportError:
            raise ValueError("`--dask` needs Dask, which is not installed: `pip install distributed`.") from None
        with distributed.Client(asked.dask) as client:
            yield client.get_executor()
    elif asked.workers is not None:
        # They import the experiment before they are told how many bits this process has.
        os.environ["JAX_ENABLE_X64"] = str(bool(jax.config.read("jax_enable_x64")))
        yield sweeps.Processes(asked.workers)
    else:
        yield None


def measure(experiment: ModuleType, asked: Asked, point: dict[str, Any]) -> xarray.Dataset:
    """The data of one run, and its claims."""
    results = experiment.run(asked.at(point))
    claims = _runner.checked(experiment.claims(results))
    dataset = results if isinstance(results, xarray.Dataset) else results.dataset
    single = {key: value for key, value in dataset.attrs.items() if np.ndim(value) == 0 and key not in asked.over}
    dataset = dataset.drop_attrs(deep=False).assign({key: single[key] for key in single if key not in dataset})
    # What is called as a swept field is another thing than the field.
    names = {str(name) for name in (*dataset.variables, *dataset.dims)}
    dataset = dataset.rename({name: f"{name}_of_run" for name in names & (TAKEN | set(asked.over))})
    return dataset.assign_coords(claim=[claim.name for claim in claims]).assign(
        claim_holds=("claim", [claim.holds for claim in claims]),
        claim_measured=("claim", [_number(claim) for claim in claims]),
    )


def how_far(out: Path) -> str:
    if not (out / "sweep.json").exists():
        return "nothing was computed"
    done = sweeps.open_sweep(out)["done"].values
    return f"{done.sum()} of {done.size} points are done"


def report(dataset: xarray.Dataset, asked: Asked) -> int:
    """Prints at how many points each claim holds, what failed, and where the results are; returns the exit status."""
    done = int(dataset["done"].sum())
    if done:
        holds = dataset["claim_holds"].where(dataset["done"], 0).sum(list(asked.over))
        width = max(map(len, map(str, dataset["claim"].values)))
        for claim, count in zip(dataset["claim"].values, holds.values, strict=True):
            print(f"{claim:<{width}}  holds at {int(count)} of {done} points")
    failed = _failures(dataset, asked)
    for where, why in failed.items():
        print(f"Failed at {where}: {why}", file=sys.stderr)
    print(f"Results are in {asked.out}", flush=True)
    return 1 if failed else 0


def _failures(dataset: xarray.Dataset, asked: Asked) -> dict[str, str]:
    """What went wrong, by the point's text."""
    if "failure" not in dataset:
        return {}
    cells = (dataset["failure"][tuple(index)] for index in np.argwhere(dataset["failure"].values != ""))
    return {_text({name: cell[name].item() for name in asked.over}): cell.item() for cell in cells}


def _number(claim: Claim) -> float:
    return np.nan if isinstance(claim.measured, str) else float(claim.measured)


def _text(point: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in point.items())


def _teller() -> Callable[[int, int], None]:
    """Tells on stderr how many points are done, and how long the others will take at this pace."""
    start, told = time.perf_counter(), 0

    def tell(done: int, total: int) -> None:
        nonlocal told
        told += 1
        left = (time.perf_counter() - start) / told * (total - done)
        print(f"{done} of {total} points, {left:.0f} s left", file=sys.stderr, flush=True)

    return tell
