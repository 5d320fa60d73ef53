"""Makes the notebooks of the tutorials: `python docs/notebooks.py [--run]`.

The pages are the only source. A page becomes a notebook of the same cells in `docs/notebooks`; a picture that a cell
saves is shown below it. With `--run` each is executed, so that it holds its output: that needs the extra `notebooks`.
"""

import argparse
import re
import sys
from pathlib import Path

import jupytext
import nbformat

DOCS = Path(__file__).parent
FOLDER = DOCS / "notebooks"
PAGES = {
    "first_orbit": "tutorials/first_orbit.md",
    "own_game": "tutorials/own_game.md",
    "real_gan": "tutorials/real_gan.md",
    "paper_to_figure": "tutorials/paper_to_figure.md",
    "my_gan_cycles": "diagnosis/my_gan_cycles.md",
    "tour": "tutorial.md",
}
SAVED = re.compile(r"savefig\(\"([\w-]+\.png)\"")
IMAGE = re.compile(r"^!\[[^\]]*\]\([^)]*\)(?:\{[^}]*\})?\n*", flags=re.MULTILINE)
# To another page, which a notebook does not have beside it.
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:)[^)]*\)")
SECONDS = 300


def convert(page: str) -> nbformat.NotebookNode:
    """The notebook of a page."""
    notebook = jupytext.reads(page, fmt="md")
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = LINK.sub(r"\1", IMAGE.sub("", cell.source)).strip()
        elif pictures := SAVED.findall(cell.source):
            shown = "\n".join(f'display(Image("{name}", width=640))' for name in pictures)
            cell.source = f"{cell.source}\n\nfrom IPython.display import display, Image\n\n{shown}"
    notebook.cells = [cell for cell in notebook.cells if cell.source]
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return notebook


def main(argv: list[str]) -> None:
    """Writes all notebooks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", action="store_true", help="execute each, so that it holds its output")
    run = parser.parse_args(argv).run
    FOLDER.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        notebook = convert((DOCS / page).read_text(encoding="utf-8"))
        if run:
            execute(notebook)
        nbformat.write(notebook, FOLDER / f"{name}.ipynb")
        print(f"notebooks/{name}.ipynb", flush=True)


def execute(notebook: nbformat.NotebookNode) -> None:
    """Runs a notebook in a folder of its own; an exception of a cell is raised."""
    import tempfile

    from nbclient import NotebookClient

    with tempfile.TemporaryDirectory() as scratch:
        NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": scratch}}).execute()


if __name__ == "__main__":
    main(sys.argv[1:])
