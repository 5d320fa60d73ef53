"""Makes every figure of the documentation again: runs all experiments in full, and copies what they draw.

    python docs/figures.py [--results DIR]

Each experiment leaves its whole result in DIR/NAME (`results/NAME` by default); its figure goes to `docs/figures`, and
the atlas, a page with its data, to `docs/atlas`. Exit status: 0; or 1 if a claim fails or an experiment breaks, and
then the figure of that one stays what it was.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "docs" / "figures"
SUFFIXES = (".png",)
# Experiments that are a page of their own, with its data beside it.
PAGES = {"atlas": (".md", ".png", ".csv", ".nc")}
# A page with all figures should load at once, and the repository stay small.
USUAL_BYTES = 500_000
# Of a larger figure: lines of a few colors, and their edges.
COLORS = 128


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="folder of the results")
    results = parser.parse_args(argv).results.absolute()
    failed = [name for name in experiments() if not remake(name, results / name)]
    if failed:
        print(f"Not all is well with {', '.join(failed)}: see above. Their figures were left alone.", file=sys.stderr)
    return 1 if failed else 0


def experiments() -> list[str]:
    """Every module of the folder; those whose names begin with an underscore are the machinery."""
    return sorted(path.stem for path in (ROOT / "experiments").glob("[!_]*.py"))


def remake(name: str, folder: Path) -> bool:
    """Runs an experiment and takes over its figures, if all its claims hold."""
    print(f"== {name}", flush=True)
    command = [sys.executable, "-m", f"experiments.{name}", "--out", str(folder)]
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        return False
    place = ROOT / "docs" / name if name in PAGES else FIGURES
    place.mkdir(exist_ok=True)
    for suffix in PAGES.get(name, SUFFIXES):
        target = place / f"{name}{suffix}"
        shutil.copyfile(folder / target.name, target)
        if suffix == ".png" and target.stat().st_size > USUAL_BYTES:
            lighten(target)
        note = "" if target.stat().st_size <= USUAL_BYTES else f", more than the usual {USUAL_BYTES:,}"
        print(f"{target.relative_to(ROOT)}: {target.stat().st_size:,} bytes{note}")
    return True


def lighten(figure: Path) -> None:
    """Keeps a figure in few colors, if that makes its file smaller."""
    full = figure.read_bytes()
    with Image.open(figure) as image:
        # The most different colors, not the most frequent ones: those of a few small marks are kept.
        few = image.convert("RGB").quantize(COLORS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(figure, optimize=True)
    if figure.stat().st_size > len(full):
        figure.write_bytes(full)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
