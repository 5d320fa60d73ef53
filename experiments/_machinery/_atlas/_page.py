"""The atlas as a page of the documentation: Markdown tables of what was computed."""

import re
from collections.abc import Iterable, Sequence

import numpy as np

from experiments._machinery._atlas._cells import Cell, is_plain, RuleCell
from experiments._machinery._atlas._method import Method, System
from experiments._machinery._atlas._tables import Atlas, number, spectrum

# Rules that have a column of their own beside every method; the others stand in the data.
BESIDE = ("Simultaneous", "Alternating", "Extragradient", "Optimistic", "CompetitiveGradient")

INTRODUCTION = """# Atlas

What every loss, penalty, adjustment and training rule does on small games whose equilibrium is known: computed, beside
what its paper says. This page, its figure and its data are made by one command, which computes every cell anew:

```console
python -m experiments.atlas --out docs/atlas
```

The same cells, and the critical step of every rule on every one of them, are in [atlas.csv](atlas.csv) and
[atlas.nc](atlas.nc) (netCDF). {num_cells} cells stand here; of {num_told} of them a paper says something, and
{num_agree} agree with it.

![Phase portraits of the games of two parameters, one for each loss or regularizer](atlas.png)

Blue is the flow from the start, a dot, up to the time 25; the cross is the equilibrium. Below the name stand the
verdict and, where there are several games, which of them.

- *Eigenvalues* are those of the field's Jacobian at the equilibrium, at the *weight* of the row. "Not smooth" is said
  where the field jumps or has a kink there.
- *Flow* is the verdict of `analysis.classify` on the trajectory from the start that is named above the table; why some
  are undecided stands [below](#remarks). "Wanders" is said of what stays bounded and neither settles nor repeats: here,
  tori.
- *Best weight* is that at which the flow returns fastest (`analysis.optimal_parameter`), with its decay rate; an arrow
  says that the best is the end of the range that was searched. Left out where the Jacobian
  is no polynomial of the weight.
- *Critical step* is that of `analysis.critical_step_size`: 0 where a rule is unstable at the smallest steps, ∞ where
  none is too large.
- Of a rule on a game: the step at which the fewest are needed, of those up to a hundred over the largest eigenvalue
  ("none" where it is stable at none of them), with the multipliers there, and the verdict at a tenth of one over the
  largest eigenvalue. "Cycles" is said where a small disturbance neither shrinks nor grows by a ten millionth in a step.
- *The paper says* "at a rate" where it claims local exponential convergence, and "no rate" where it claims eigenvalues
  on the imaginary axis.
"""


def page(atlas: Atlas, methods: Sequence[Method]) -> str:
    """The page's text."""
    told = atlas.told
    head = INTRODUCTION.format(
        num_cells=atlas.num_cells, num_told=len(told), num_agree=sum(bool(each.agrees) for each in told)
    )
    sections = [_section(atlas, system) for system in atlas.systems]
    return "\n".join([head, *sections, _reasons(told), _remarks(atlas), _sources(methods)])


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    # A bar within a cell would end it.
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (header, *rows)]
    return "\n".join([lines[0], "| " + " | ".join("---" for _ in header) + " |", *lines[1:], ""])


def _step(value: float) -> str:
    return "" if np.isnan(value) else "∞" if np.isinf(value) else number(value)


def _says(cell: Cell | RuleCell) -> tuple[str, str]:
    if cell.says is None:
        return "", ""
    word = cell.says.word.replace("converges at a rate", "converges, at a rate")
    agrees = "yes" if cell.agrees else "no, see [below](#where-they-differ)"
    return f"{word} ({_linked(_short(cell.says.where))})", agrees


def _short(where: str) -> str:
    """The number of a paper and the place in it, without its authors, who stand among the sources."""
    return where[where.index("arXiv:") :] if "arXiv:" in where else where


def _linked(text: str) -> str:
    """A text with its arXiv numbers as links."""
    return re.sub(r"arXiv:(\d+\.\d+)", r"[\1](https://arxiv.org/abs/\1)", text)


def _best(cell: Cell) -> str:
    if np.isnan(cell.best_weight):
        return ""
    arrow = " →" if cell.at_end and cell.best_weight > 0 else ""
    return f"{number(cell.best_weight)}{arrow} (rate {number(cell.best_rate)})"


def _section(atlas: Atlas, system: System) -> str:
    pairs = atlas.of_system(system.name)
    start = ", ".join(number(float(each)) for each in _flat(system))
    rules = [name for name in BESIDE if any(each.rule.name == name for _, row in pairs for each in row)]
    columns = [f"Critical: {name}" for name in rules]
    return "\n".join(
        [
            f"## {system.title}\n",
            f"{system.about} Source: {_linked(system.source)}. Flows start at ({start}).\n",
            _table(
                [
                    *("Method", "On", "Weight", "Eigenvalues", "Flow", "Best weight"),
                    *columns,
                    "The paper says",
                    "Agrees",
                ],
                [_row(cell, row, rules) for cell, row in pairs],
            ),
            *(_rules_on(cell, row, system) for cell, row in pairs if is_plain(cell) and row),
        ]
    )


def _flat(system: System) -> np.ndarray:
    from jax.flatten_util import ravel_pytree

    return np.asarray(ravel_pytree(system.start)[0])


def _row(cell: Cell, row: Sequence[RuleCell], rules: Sequence[str]) -> list[str]:
    steps = {each.rule.name: _step(each.critical) for each in row}
    name = "*as it is*" if cell.method is None else f"`{cell.name}`"
    verdict = cell.word
    if cell.note:
        verdict = f"{cell.word}, see [below](#remarks)"
    elif "rests" in cell.verdict.reason:
        verdict = f"{cell.word}: at rest from the start"
    elif cell.word == "converges" and np.abs(np.real(cell.eigenvalues)).max() < 1e-9:
        verdict = "converges, as a power of time"
    return [
        name,
        cell.base or "",
        number(cell.weight),
        spectrum(cell.eigenvalues),
        verdict,
        _best(cell),
        *(steps.get(rule, "") for rule in rules),
        *_says(cell),
    ]


def _rules_on(cell: Cell, row: Sequence[RuleCell], system: System) -> str:
    title = cell.base or cell.name
    return "\n".join(
        [
            f"### Training rules on {system.title}, {title}\n",
            _table(
                [
                    "Rule",
                    "Critical step",
                    "Best step",
                    "Multipliers there",
                    "At a small step",
                    "The paper says",
                    "Agrees",
                ],
                [
                    [
                        f"`{each.rule.name}`",
                        _step(each.critical),
                        _step(each.step) if np.abs(each.multipliers[0]) < 1 - 1e-6 else "none",
                        spectrum(each.multipliers) if np.abs(each.multipliers[0]) < 1 - 1e-6 else "",
                        each.word,
                        *_says(each),
                    ]
                    for each in row
                ],
            ),
        ]
    )


def _reasons(told: Sequence[Cell | RuleCell]) -> str:
    differing = [each for each in told if not each.agrees]
    lines = [
        f'- `{each.label}`: {_linked(each.says.where)} says "{each.says.word}". {each.says.reason}'
        for each in differing
        if each.says
    ]
    return "\n".join(["## Where they differ\n", *(lines or ["Nowhere."]), ""])


REMARKS = """## Remarks

Why some verdicts are open, and where another is not what it seems. What `analysis.classify` says is in italics.
"""


def _remarks(atlas: Atlas) -> str:
    lines = [
        f"- `{cell.label}`: {cell.note}{' ' if cell.note else ''}*{cell.verdict.reason}.*"
        for cell in atlas.cells
        if cell.note or cell.word == "undecided"
    ]
    return "\n".join([REMARKS, *(lines or ["None."]), ""])


def _sources(methods: Sequence[Method]) -> str:
    kinds = {"loss": "losses.md", "update": "updates.md"}

    def formula(method: Method) -> str:
        return f"[formula](../{kinds.get(method.kind, 'regularizers.md')})"

    rows = [[f"`{each.name}`", each.kind, _linked(each.source), formula(each)] for each in methods]
    return "\n".join(["## Sources\n", _table(["Method", "Kind", "Source", "Formula"], rows)])
