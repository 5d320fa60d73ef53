"""Is any verdict of `analysis.classify` wrong, over a bank of systems whose fates are known?

    python -m experiments.benchmarks fates                              as a part of the suite: every setting
    python -m experiments.benchmarks.fates                              default tolerances, a line for each system
    python -m experiments.benchmarks.fates --only 'hopf*' --rtol 1e-2   some of them, at another tolerance
    python -m experiments.benchmarks.fates --float32 --part 2/4         the second of four parts, in single precision

Printed are the fate and the verdict, the verdict's numbers with their errors beside the known ones, its reason, and the
seconds that it took, compiling included; then what is wrong, undecided, or off by more than its own error. Exit status:
0; 1 if something is wrong or off.
"""

import argparse
import dataclasses
import fnmatch
import statistics
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from experiments._machinery._jax_setup import prepare_jax
from experiments.benchmarks._rows import Row, Verdict

if TYPE_CHECKING:
    from experiments.benchmarks._bank._case import Case
    from experiments.benchmarks._judge import Judged
    from experiments.benchmarks._results import Results

# Of those that theory decides, in per cent.
MOST_UNDECIDED = 12.0
# Linux allows a process 65,530 memory maps, and each compiled program takes several.
_PROGRAMS_KEPT_FOR = 15
# Seconds for one verdict.
_LIMIT = 300.0
# Of the systems in a smoke run, one of so many.
_QUICK = 10


@dataclasses.dataclass(frozen=True)
class Setting:
    """How verdicts are asked for.

    Args:
        rtol: The tolerance; None for the default one.
        single: Whether in single precision.
    """

    rtol: float | None = None
    single: bool = False

    def __str__(self) -> str:
        precision = "float32" if self.single else "float64"
        return f"{precision}, {'default tolerance' if self.rtol is None else f'rtol {self.rtol:g}'}"


SETTINGS = (*(Setting(rtol) for rtol in (None, 1e-2, 1e-4, 1e-6, 1e-8, 1e-10)), Setting(single=True))


def measure(results: "Results") -> None:
    """Every setting, or a smoke run of the default one."""
    prepare_jax()
    from experiments.benchmarks._fates import BANK

    for setting in SETTINGS[:1] if results.quick else SETTINGS:
        found = []
        for judged in judge_all(list(BANK.values())[:: _QUICK if results.quick else 1], setting, _LIMIT):
            found.append(judged)
            results.add([_row(judged, setting)])
        results.add([], _verdicts(found, setting))


def judge_all(cases: "Sequence[Case]", setting: Setting, limit: float | None = None) -> "Iterator[Judged]":
    """Each system's verdict, as it comes; in single precision of those whose fate survives the rounding."""
    import jax

    from experiments.benchmarks._judge import judge

    asked = [case for case in cases if case.single or not setting.single]
    for index, case in enumerate(asked):
        if index and index % _PROGRAMS_KEPT_FOR == 0:
            jax.clear_caches()
        yield judge(case, rtol=setting.rtol, single=setting.single, limit=limit)


def _row(judged: "Judged", setting: Setting) -> Row:
    noteworthy = judged.mark != "right" or judged.off
    # A reason for no time is printed in the place of other remarks, beside the time if there is one.
    return Row(str(setting), judged.case.name, (judged.seconds,), why_not=str(judged) if noteworthy else "")


def _verdicts(found: "Sequence[Judged]", setting: Setting) -> list[Verdict]:
    def number(name: str, value: float | None, target: float | None = None, unit: str = "") -> Verdict:
        return Verdict(str(setting), f"{setting}: {name}", value, target, unit=unit)

    # "Undecided" is held to its share at the default tolerance alone.
    most = MOST_UNDECIDED if setting == SETTINGS[0] else None
    return [
        number("wrong verdicts", float(sum(judged.mark == "wrong" for judged in found)), 0.0),
        number("undecided of those that theory decides", undecided_share(found), most, "%"),
        number("numbers off by more than their error", float(sum(len(judged.off) for judged in found)), 0.0),
        number("median time of a verdict", statistics.median(judged.seconds for judged in found), unit="s"),
        number("longest time of a verdict", max(judged.seconds for judged in found), unit="s"),
    ]


def undecided_share(found: "Sequence[Judged]") -> float:
    """How many of those that theory decides are left undecided, in per cent."""
    decidable = [judged for judged in found if judged.case.fate is not None and judged.case.asked]
    return 100 * sum(judged.mark == "undecided" for judged in decidable) / max(len(decidable), 1)


def main(argv: list[str]) -> int:
    asked = _arguments(argv)
    prepare_jax()
    from experiments.benchmarks._fates import BANK

    setting = Setting(asked.rtol, asked.float32)
    cases = [case for name, case in BANK.items() if any(fnmatch.fnmatch(name, each) for each in asked.only)]
    index, of = asked.part
    cases = cases[index - 1 :: of]
    if asked.list:
        print(*(f"{case.name}: {case.fate}; {case.source}" for case in cases), sep="\n")
        return 0
    found = []
    for judged in judge_all(cases, setting, asked.limit):
        found.append(judged)
        print(judged, flush=True)
    return _report(found)


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m experiments.benchmarks.fates",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", default=["*"], metavar="NAME", help="names, with * and ? for any letters")
    parser.add_argument("--rtol", type=float, help="tolerance; the default one if it is left out")
    parser.add_argument("--float32", action="store_true", help="in single precision")
    parser.add_argument("--part", type=_part, default=(1, 1), metavar="I/N", help="every N-th system, from the I-th on")
    parser.add_argument("--limit", type=float, default=_LIMIT, help=f"seconds for one verdict, {_LIMIT:g} by default")
    parser.add_argument("--list", action="store_true", help="list the systems with their sources; judge nothing")
    return parser.parse_args(argv)


def _part(text: str) -> tuple[int, int]:
    index, _, of = text.partition("/")
    if not (index.isdigit() and of.isdigit() and 1 <= int(index) <= int(of)):
        raise argparse.ArgumentTypeError(f"must be I/N with 1 <= I <= N, but is {text!r}: 1/2 is the first half.")
    return int(index), int(of)


def _report(found: "Sequence[Judged]") -> int:
    wrong = [judged for judged in found if judged.mark == "wrong"]
    off = [judged for judged in found if judged.off]
    undecided = [judged for judged in found if judged.mark == "undecided"]
    for title, some in (("WRONG", wrong), ("OFF BY MORE THAN ITS ERROR", off), ("UNDECIDED", undecided)):
        print(f"\n{title}: {len(some)} of {len(found)}", *(f"  {judged}" for judged in some), sep="\n")
    if found:
        seconds = [judged.seconds for judged in found]
        print(f"\nundecided of those that theory decides: {undecided_share(found):.1f} %")
        print(f"seconds a verdict: median {statistics.median(seconds):.2f}, longest {max(seconds):.2f}")
    return int(bool(wrong or off))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
