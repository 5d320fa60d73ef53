"""A diagnosis as a text of one screen: the verdict first."""

import textwrap
from typing import Any

import numpy as np

from ..._printing import number, Report
from . import _thresholds

_WIDTH = 100
# Modes, findings and remedies that are printed: all of it fits forty lines.
_MOST_MODES, _MOST_FINDINGS, _MOST_REMEDIES, _MOST_NOTES = 3, 6, 8, 3


def report(diagnosis: Any) -> Report:
    """What is printed."""
    remedies = [_remedy(each) for each in diagnosis.remedies[:_MOST_REMEDIES]]
    parts = [
        *textwrap.wrap(f"{diagnosis.disease}: {diagnosis.verdict}", _WIDTH)[:4],
        *_where(diagnosis),
        *_modes("field", diagnosis.modes),
        *_modes("update", diagnosis.step_modes),
        _steps(diagnosis),
        "  looked for",
        *(_finding(each) for each in diagnosis.findings[:_MOST_FINDINGS]),
    ]
    header = ("remedy", "weight", "step", "growth/step", "largest step", "cost", "progress")
    if remedies:
        rows = [header, *remedies]
        widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
        parts += ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    parts += [_cut(f"  note: {note}") for note in diagnosis.notes[:_MOST_NOTES]]
    ended = "" if diagnosis.complete else "; not complete"
    parts.append(f"  {diagnosis.method}, {diagnosis.num_evaluations:,} field evaluations{ended}")
    return Report(f"{diagnosis.disease}: {diagnosis.verdict}", {}, header, remedies, plain="\n".join(parts))


def _cut(line: str) -> str:
    return line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"


def _where(diagnosis: Any) -> list[str]:
    said = {}
    d, g = diagnosis.speeds.discriminator, diagnosis.speeds.generator
    said["speed"] = f"D {number(d)}, G {number(g)}" if not np.isnan(g) else number(d)
    noise = diagnosis.noise
    if noise.batch:
        said["noise"] = (
            f"variance {number(noise.variance, 3)} ± {number(noise.variance_error, 1)}, "
            f"drift² {number(noise.drift, 3)} ± {number(noise.drift_error, 1)}; "
            f"a step needs {noise.samples_needed}, has {noise.batch:,}"
        )
    if not np.isnan(noise.jitter):
        said["jitter"] = (
            f"{number(noise.jitter, 3)} ± {number(noise.jitter_error, 1)} of the data's spread: how far noise alone "
            f"carries a sample in {_thresholds.JITTER_STEPS} steps"
        )
    if diagnosis.logits is not None:
        each = diagnosis.logits
        said["scores"] = (
            f"data {number(each.data_mean, 3)} ± {number(each.data_spread, 2)}, samples "
            f"{number(each.sample_mean, 3)} ± {number(each.sample_spread, 2)}; {number(100 * each.saturation, 2)} % "
            f"saturated; slope left {number(each.slope, 2)}"
        )
    if diagnosis.curvatures is not None:
        parts = (
            f"{name} {number(each.smallest, 3)} to {number(each.largest, 3)}"
            for name, each in (("D", diagnosis.curvatures.discriminator), ("G", diagnosis.curvatures.generator))
        )
        said["curvature"] = ", ".join(parts)
    said["rotation"] = f"{number(diagnosis.rotation_share, 3)} ± {number(diagnosis.rotation_error, 1)} of the Jacobian"
    return [_cut(f"  {name:<9}  {text}") for name, text in said.items()]


def _modes(name: str, modes: Any) -> list[str]:
    lines = []
    for mode in modes[:_MOST_MODES]:
        biggest = sorted(mode.layers.items(), key=lambda item: -item[1])[:1]
        where = f"D {mode.shares.discriminator:.0%}; " if not np.isnan(mode.shares.discriminator) else ""
        layer = f"{biggest[0][0]} {biggest[0][1]:.0%}" if biggest else ""
        lines.append(_cut(f"  {name:<9}  {number(mode.value, 5):<22} {mode.does:<8} {where}{layer}"))
    return lines


def _steps(diagnosis: Any) -> str:
    return _cut(
        f"  steps      growth {number(diagnosis.growth_per_step, 3)} a step, turn in "
        f"{number(diagnosis.period_in_steps, 4)} steps, largest step {number(diagnosis.largest_step, 4)} x now, "
        f"stiffness {number(diagnosis.stiffness, 3)}"
    )


def _finding(each: Any) -> str:
    strength = "  ?  " if np.isnan(each.strength) else f"{min(each.strength, 999):5.2f}"
    return _cut(f"    {strength}  {each.disease}: {each.sentence}")


def _remedy(each: Any) -> tuple[str, ...]:
    return (
        each.name, "" if np.isnan(each.weight) else number(each.weight, 3), f"x {number(each.step_factor, 3)}",
        number(each.growth_per_step, 3), number(each.largest_step, 3), number(each.cost, 3), number(each.progress, 3),
    )  # fmt: skip
