"""One part in a process of its own: `python -m experiments.benchmarks._child NAME --into FILE`."""

import argparse
import datetime
import sys
import time
from pathlib import Path

from experiments.benchmarks import _machine, _table
from experiments.benchmarks._parts import PARTS
from experiments.benchmarks._results import Results
from experiments.benchmarks._rows import Row, Verdict


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=PARTS)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--into", type=Path, required=True)
    asked = parser.parse_args()
    facts = {
        "part": asked.name,
        "status": "running",
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "rounds": asked.rounds,
        "quick": asked.quick,
        "machine": _machine.machine(),
        "versions": _machine.versions(),
    }
    results = Results(asked.into, rounds=asked.rounds, quick=asked.quick, facts=facts, show=show)
    results.write()
    start = time.perf_counter()
    status = "interrupted"
    try:
        PARTS[asked.name].run(results)
        status = "done"
    except KeyboardInterrupt:
        print(f"{asked.name}: interrupted.", file=sys.stderr)
    except BaseException as error:
        status = f"failed: {type(error).__name__}: {str(error)[:300]}"
        raise
    finally:
        results.write(status=status, elapsed=time.perf_counter() - start)
    return 0 if status == "done" else 130


def show(rows: list[Row], verdicts: list[Verdict]) -> None:
    print(_table.text(rows, verdicts), flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
