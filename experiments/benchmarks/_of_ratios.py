"""The rows and verdicts of a benchmark that times its tasks and divides."""

from experiments.benchmarks import _rows, _timing
from experiments.benchmarks._results import Results
from experiments.benchmarks._rows import Row


def add(results: Results, case: str, measured: _timing.Measured) -> None:
    seconds, ratios = measured
    rows = [Row(case, name, tuple(values)) for name, values in seconds.items()]
    results.add(rows, [_rows.ratio(rows, each.measured, each.baseline, each.target) for each in ratios])
