"""Runs the benchmarks, each in a fresh process, and says which targets are missed.

    python -m experiments.benchmarks                        all of them, into results/benchmarks
    python -m experiments.benchmarks ensembles sizes        some of them
    python -m experiments.benchmarks --quick                a smoke run
    python -m experiments.benchmarks --render --markdown docs/speed.md
                                                            nothing is run: tables and figure from what is there

Written are DIR/benchmarks.json (every row with the seconds of every round, ratios, tolerances, errors, versions,
machine), DIR/benchmarks.png and .svg, and while they run DIR/parts/NAME.json, from the first row on. Parts that were
measured into the same folder before stay in the record. Exit status: 0; 1 if a target is missed or a part breaks; 2 for
bad usage; 130 after Ctrl-C.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from experiments._machinery import _record
from experiments._machinery._output import told
from experiments.benchmarks import _machine, _results, _rows, _table, _timing
from experiments.benchmarks._parts import PARTS

ROOT = Path(__file__).parents[2]
ROUNDS = 7


def main(argv: list[str]) -> int:
    asked = arguments(argv)
    names = asked.names or [name for name, part in PARTS.items() if part.has_quick or not asked.quick]
    names = [] if asked.render else names
    interrupted = False
    for name in names:
        print(f"== {name}", flush=True)
        if not run(name, asked.out, asked.rounds, asked.quick):
            interrupted = True
            break
    record = collect(asked.out)
    _results.replace(asked.out / "benchmarks.json", _record.to_json(record))
    parts = record["parts"] if asked.render else {n: p for n, p in record["parts"].items() if n in names}
    print(f"\n{_table.summary(parts)}")
    draw(record, asked.out)
    if asked.markdown is not None:
        publish(record, asked.out, asked.markdown)
    return 130 if interrupted else int(any(is_bad(part) for part in parts.values()))


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m experiments.benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(PARTS)}; all by default")
    parser.add_argument("--rounds", type=_timing.rounds_from, help=f"interleaved rounds, {ROUNDS} by default")
    parser.add_argument("--quick", action="store_true", help="a smoke run: small ensembles, few rivals")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="folder of the results")
    parser.add_argument("--render", action="store_true", help="run nothing")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="put tables and figure into this page")
    asked = parser.parse_args(argv)
    unknown = [name for name in asked.names if name not in PARTS]
    if unknown:
        parser.error(f"there is no {unknown[0]!r}, but {', '.join(PARTS)}.")
    asked.rounds = asked.rounds or (_timing.LEAST_ROUNDS if asked.quick else ROUNDS)
    asked.out = asked.out.absolute()
    return asked


def run(name: str, folder: Path, rounds: int, quick: bool) -> bool:
    """Runs one part; False after Ctrl-C."""
    file = folder / "parts" / f"{name}.json"
    file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "experiments.benchmarks._child", name, "--rounds", str(rounds)]
    command += ["--into", str(file), *(["--quick"] if quick else [])]
    child = subprocess.Popen(command, cwd=ROOT, env=environment(PARTS[name].devices))
    try:
        status = child.wait()
    except KeyboardInterrupt:
        # The child has got it, too, and writes what it has.
        status = child.wait()
        end(file, name, "interrupted")
        return False
    end(file, name, f"failed: it ended with status {status}")
    return status != 130


def environment(devices: int | None) -> dict[str, str]:
    found = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    if devices is not None:
        flags = [found.get("XLA_FLAGS", ""), f"--xla_force_host_platform_device_count={devices}"]
        found["XLA_FLAGS"] = " ".join(filter(None, flags))
    return found


def end(file: Path, name: str, status: str) -> None:
    """A process that was killed could not say so itself."""
    part = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    if part is None:
        part = {"part": name, "machine": _machine.machine(), "versions": _machine.versions(), "rounds": 0}
        part |= {"status": "running", "rows": [], "verdicts": []}
    if part["status"] == "running":
        _results.replace(file, _record.to_json(part | {"status": status}))


def collect(folder: Path) -> dict[str, Any]:
    """All parts that are in a folder, in the order of the suite."""
    files = {name: folder / "parts" / f"{name}.json" for name in PARTS}
    parts = {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items() if file.exists()}
    missed = [
        {"part": name} | verdict for name, part in parts.items() for verdict in part["verdicts"] if verdict["missed"]
    ]
    return {"format": 1, "machine": _machine.machine(), "versions": _machine.versions(), "missed": missed} | {
        "parts": parts
    }


def is_bad(part: dict[str, Any]) -> bool:
    return part["status"] != "done" or any(_rows.verdict_from(each).missed for each in part["verdicts"])


def draw(record: dict[str, Any], folder: Path) -> None:
    from experiments.benchmarks import _figure
    from gan_ode import plot

    with plot.style():
        figure = _figure.draw(record["parts"])
        for suffix in (".png", ".svg"):
            figure.savefig(folder / f"benchmarks{suffix}")


def publish(record: dict[str, Any], folder: Path, page: Path) -> None:
    """Puts figure and tables between a page's marks, or makes a page of them; the figure lies beside the page."""
    if _table.has_figure(record["parts"]):
        figures = page.parent / "figures"
        figures.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / "benchmarks.png", figures / "benchmarks.png")
    old = page.read_text(encoding="utf-8") if page.exists() else f"{_table.BEGIN}\n{_table.END}\n"
    _results.replace(page, _table.between_marks(old, _table.markdown(record)))


if __name__ == "__main__":
    with told("experiments.benchmarks"):
        raise SystemExit(main(sys.argv[1:]))
