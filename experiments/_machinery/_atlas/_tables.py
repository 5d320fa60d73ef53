"""The cells as a dataset and as comma-separated values."""

import csv
import dataclasses
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from jax.flatten_util import ravel_pytree

from experiments._machinery._atlas._cells import Cell, is_plain, RuleCell

HEADER = (
    "system",
    "base",
    "method",
    "kind",
    "rule",
    "weight",
    "eigenvalues_or_multipliers",
    "verdict",
    "growth",
    "critical_step",
    "best",
    "rate_at_best",
    "paper_says",
    "where",
    "agrees",
    "reason",
)


@dataclasses.dataclass(frozen=True, eq=False)
class Atlas:
    """All cells.

    Attributes:
        cells: A method on a system each.
        rules: Rules on each of them, one list for each cell; empty for cells of a shape of which none is asked.
    """

    cells: Sequence[Cell]
    rules: Sequence[Sequence[RuleCell]]

    @property
    def plain(self) -> list[RuleCell]:
        """Rules on the games as they are: these are cells of their own."""
        return [each for cell, row in zip(self.cells, self.rules, strict=True) if is_plain(cell) for each in row]

    @property
    def num_cells(self) -> int:
        return len(self.cells) + len(self.plain)

    @property
    def told(self) -> list[Cell | RuleCell]:
        """The cells of which a paper says something."""
        return [each for each in (*self.cells, *self.plain) if each.says is not None]

    def of_system(self, name: str) -> list[tuple[Cell, Sequence[RuleCell]]]:
        return [pair for pair in zip(self.cells, self.rules, strict=True) if pair[0].system.name == name]

    @property
    def systems(self) -> list[Any]:
        return list({cell.system.name: cell.system for cell in self.cells}.values())


def number(value: float, digits: int = 4) -> str:
    """A number in a few digits: 0 for what rounding leaves of it, nothing for NaN."""
    if np.isnan(value):
        return ""
    return "0" if abs(value) < 1e-9 else f"{value:.{digits}g}"


def spectrum(values: np.ndarray, digits: int = 4) -> str:
    """Eigenvalues in words of mathematics: a pair once."""
    if not np.isfinite(values).all():
        return "not smooth"
    # Double eigenvalues come apart by the square root of rounding.
    values = np.where(np.abs(np.imag(values)) < 1e-6 * np.abs(values), np.real(values), values)
    found = []
    for value in values:
        real, imag = number(value.real, digits), number(abs(value.imag), digits)
        text = real if imag == "0" else f"±{imag}i" if real == "0" else f"{real} ± {imag}i"
        # Two of the same sign are said twice; the second of a pair is in the first.
        if not (value.imag < 0 and abs(value.imag) >= 1e-9):
            found.append(text)
    return ", ".join(found)


def to_csv(atlas: Atlas) -> bytes:
    """One line for each flow, and one for each rule on it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    for cell, row in zip(atlas.cells, atlas.rules, strict=True):
        writer.writerow(_of_flow(cell))
        writer.writerows(_of_rule(each) for each in row)
    return out.getvalue().encode()


def _said(cell: Any) -> list[str]:
    if cell.says is None:
        return ["", "", "", ""]
    return [cell.says.word, cell.says.where, "yes" if cell.agrees else "no", cell.says.reason]


def _of_flow(cell: Cell) -> list[str]:
    return [
        cell.system.name,
        cell.base,
        cell.name,
        "game" if cell.method is None else cell.method.kind,
        "flow",
        number(cell.weight),
        spectrum(cell.eigenvalues),
        cell.word,
        number(cell.abscissa),
        "",
        number(cell.best_weight),
        number(cell.best_rate),
        *_said(cell),
    ]


def _of_rule(each: RuleCell) -> list[str]:
    cell = each.cell
    with np.errstate(divide="ignore"):
        growth, best = np.log(each.radius), -np.log(np.abs(each.multipliers[0]))
    return [
        cell.system.name,
        cell.base,
        cell.name,
        "update",
        each.rule.name,
        number(cell.weight),
        spectrum(each.multipliers),
        each.word,
        number(growth),
        number(each.critical),
        number(each.step),
        number(best),
        *_said(each),
    ]


def to_dataset(atlas: Atlas) -> xr.Dataset:
    """Every number, by cell, and by cell and rule; NaN where there is none."""
    cells = atlas.cells
    names = list(dict.fromkeys(each.rule.name for row in atlas.rules for each in row))
    most = max(len(cell.eigenvalues) for cell in cells)

    def column(of: Callable[[Cell], Any]) -> tuple[str, list[Any]]:
        return "cell", [of(cell) for cell in cells]

    def table(of: Callable[[RuleCell], float]) -> np.ndarray:
        rows = [{each.rule.name: of(each) for each in row} for row in atlas.rules]
        return np.array([[row.get(name, np.nan) for name in names] for row in rows]).reshape(len(cells), len(names))

    def padded(values: np.ndarray) -> np.ndarray:
        return np.pad(values, (0, most - len(values)), constant_values=np.nan)

    spectra = np.array([padded(cell.eigenvalues) for cell in cells])
    per_time = {"units": "1/time"}
    return xr.Dataset(
        {
            "system": column(lambda cell: cell.system.name),
            "base": column(lambda cell: cell.base),
            "method": column(lambda cell: cell.name),
            "kind": column(lambda cell: "game" if cell.method is None else cell.method.kind),
            "weight": column(lambda cell: cell.weight),
            "eigenvalue_real": (("cell", "eigenvalue"), np.real(spectra), per_time),
            "eigenvalue_imag": (("cell", "eigenvalue"), np.imag(spectra), per_time),
            "verdict": column(lambda cell: cell.word),
            "verdict_reason": column(lambda cell: cell.verdict.reason),
            "best_weight": column(lambda cell: cell.best_weight),
            "best_rate": ("cell", [cell.best_rate for cell in cells], per_time),
            "paper_says": column(lambda cell: cell.says.word if cell.says else ""),
            "critical_step": (("cell", "rule"), table(lambda each: each.critical), {"units": "time"}),
            "best_step": (("cell", "rule"), table(lambda each: each.step), {"units": "time"}),
            "radius_at_best_step": (("cell", "rule"), table(lambda each: float(np.abs(each.multipliers[0])))),
            "typical_step": (("cell", "rule"), table(lambda each: each.typical), {"units": "time"}),
            "radius_at_typical_step": (("cell", "rule"), table(lambda each: each.radius)),
            "equilibrium": (
                ("cell", "eigenvalue"),
                np.array([padded(np.asarray(ravel_pytree(cell.equilibrium)[0])) for cell in cells]),
            ),
        },
        coords={"cell": [cell.label for cell in cells], "rule": names},
    )
