"""Rows and verdicts as text for a terminal, and as Markdown for the documentation."""

from collections.abc import Mapping
from typing import Any

from experiments.benchmarks import _rows
from experiments.benchmarks._rows import Row, Verdict

ENSEMBLES = {"ensembles": "One device", "two_devices": "Two devices", "accelerator": "An accelerator"}
# What a page has around its measured part.
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
FIGURE = "![Times of everybody over the package's; time against error; time against size](figures/benchmarks.png)"


def text(rows: list[Row], verdicts: list[Verdict]) -> str:
    """A block for each case."""
    blocks = [
        "\n".join([case, *(f"  {line}" for line in _lines([row for row in rows if row.case == case]))])
        for case in dict.fromkeys(row.case for row in rows)
    ]
    if verdicts:
        blocks.append("\n".join(verdict_line(each) for each in verdicts))
    return "\n".join(blocks) + "\n"


def _lines(rows: list[Row]) -> list[str]:
    width = max(len(row.name) for row in rows)
    return [f"{row.name:<{width}}  {_time(row):>12}  {_remarks(row)}".rstrip() for row in rows]


def _time(row: Row) -> str:
    return "-" if row.median is None else seconds(row.median)


def _remarks(row: Row) -> str:
    if row.why_not:
        return row.why_not
    remarks = [f"{row.size:,}"] if row.size is not None else []
    if row.tolerance is not None:
        remarks.append(f"tolerance {row.tolerance:.0e}")
    if row.error is not None:
        remarks.append(f"error {row.error:.1e}")
    if row.timed is not None:
        remarks.append(f"scaled from {row.timed:,}")
    return ", ".join(remarks)


def seconds(value: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.4g} {unit}"
    return f"{value / 1e-6:.4g} us"


def verdict_line(verdict: Verdict) -> str:
    return f"  {verdict.name}: {number(verdict)}{_target(verdict)}"


def number(verdict: Verdict) -> str:
    if verdict.value is None:
        return f"not measured ({verdict.note})"
    return f"{verdict.value:.3g} {verdict.unit}".rstrip()


def _target(verdict: Verdict) -> str:
    if verdict.target is None:
        return ""
    return f"  (target {wanted(verdict)}: {judgment(verdict)})"


def wanted(verdict: Verdict) -> str:
    assert verdict.target is not None
    return f"{'below' if verdict.strict else 'at most'} {verdict.target:.3g} {verdict.unit}".rstrip()


def judgment(verdict: Verdict) -> str:
    return "MISSED" if verdict.missed else "not judged" if verdict.value is None else "reached"


def summary(parts: Mapping[str, Any]) -> str:
    """Every number with a target, and what did not come to its end."""
    lines = []
    for name, part in parts.items():
        if part["status"] != "done":
            lines.append(f"{name}: {part['status']}")
        verdicts = [_rows.verdict_from(each) for each in part["verdicts"]]
        lines += [f"{name}: {each.case}:{verdict_line(each)[1:]}" for each in verdicts if each.target is not None]
    return "\n".join(lines)


def markdown(record: Mapping[str, Any]) -> str:
    """The tables of the documentation."""
    parts = record["parts"]
    blocks = [FIGURE if has_figure(parts) else "", _surroundings(parts)]
    for name, title in ENSEMBLES.items():
        rows = [_rows.row_from(row) for row in parts.get(name, {}).get("rows", [])]
        # Where JAX finds no accelerator its part has nothing but a row that says so.
        if any(row.seconds for row in rows):
            blocks += [f"### {title}", *_settings(rows)]
            blocks += [_ratios(parts[name])] if name == "accelerator" else []
    if has_figure(parts):
        blocks += ["### Targets", _verdicts(parts)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def has_figure(parts: Mapping[str, Any]) -> bool:
    """Whether something was measured beside the accelerator, which has a page of its own."""
    return any(name != "accelerator" for name in parts)


def between_marks(page: str, tables: str) -> str:
    """The page with its measured part replaced."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page must have the lines {BEGIN} and {END}: the tables go between them.")
    return f"{before}{BEGIN}\n\n{tables}\n{END}{after}"


def _surroundings(parts: Mapping[str, Any]) -> str:
    part = next(iter(parts.values()), None)
    if part is None:
        return "Nothing was measured."
    versions = ", ".join(f"{name} {version}" for name, version in part["versions"].items() if version)
    absent = [name for name, version in part["versions"].items() if not version]
    missing = f" Not installed: {', '.join(absent)}." if absent else ""
    machine = part["machine"]
    return f"{machine['processor']}, {machine['cores']} cores; medians of {part['rounds']} rounds. {versions}.{missing}"


def _settings(rows: list[Row]) -> list[str]:
    """A table for each setting: who down, sizes across."""
    settings: dict[str, list[Row]] = {}
    for row in rows:
        settings.setdefault(row.case.rpartition(", ")[0], []).append(row)
    return [_setting(name, some) for name, some in settings.items()]


def _setting(name: str, rows: list[Row]) -> str:
    sizes = sorted({row.size or 0 for row in rows})
    found = {(row.name, row.size): row for row in rows}
    lines = [f"| {name} | tolerance used | {' | '.join(f'{size:,}' for size in sizes)} |"]
    lines.append("| --- | --- |" + " ---: |" * len(sizes))
    for rival in dict.fromkeys(row.name for row in rows):
        mine = [found.get((rival, size)) for size in sizes]
        used = {f"{row.tolerance:.0e}" for row in mine if row is not None and row.tolerance is not None}
        cells = " | ".join("" if row is None else _cell(row) for row in mine)
        lines.append(f"| {rival} | {', '.join(sorted(used)) or '-'} | {cells} |")
    return "\n".join(lines)


def _cell(row: Row) -> str:
    if row.median is None:
        return row.why_not.partition(":")[0]
    return seconds(row.median) + ("" if row.timed is None else "*")


def _ratios(part: Mapping[str, Any]) -> str:
    """Numbers without a target, one to a line."""
    verdicts = [_rows.verdict_from(each) for each in part["verdicts"]]
    lines = ["| case | number | measured |", "| --- | --- | ---: |"]
    return "\n".join(lines + [f"| {each.case} | {each.name} | {number(each)} |" for each in verdicts])


def _verdicts(parts: Mapping[str, Any]) -> str:
    lines = ["| part | case | number | measured | target | |", "| --- | --- | --- | ---: | ---: | --- |"]
    for name, part in parts.items():
        for each in map(_rows.verdict_from, part["verdicts"]):
            if each.target is not None:
                measured = "-" if each.value is None else number(each)
                cells = (name, each.case, each.name, measured, wanted(each), judgment(each).lower())
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
