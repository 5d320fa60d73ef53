"""Lists every experiment with its question; imports none of them."""

import ast
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
USAGE = "Run one: python -m experiments.NAME [--quick] [--out DIR] [--seed N] [--FIELD VALUE ...]; --help says more."


def main(argv: list[str]) -> int:
    """Prints the list; returns the exit status."""
    if argv and argv[0] not in ("-h", "--help"):
        print(f"python -m experiments: error: takes no arguments. {USAGE}", file=sys.stderr)
        return 2
    questions = find(FOLDER)
    width = max(map(len, questions), default=0)
    for name, question in questions.items():
        print(f"{name:<{width}}  {question}")
    print(f"\n{USAGE}\nSweep one over its configuration: python -m experiments.sweep NAME --over FIELD=VALUE,VALUE,...")
    return 0


def find(folder: Path) -> dict[str, str]:
    """The question of every experiment below a folder, by its dotted name: the modules that define `run`."""
    public = [path for path in sorted(folder.rglob("*.py")) if not _is_private(path.relative_to(folder))]
    trees = {".".join(path.relative_to(folder).with_suffix("").parts): _syntax(path) for path in public}
    return {name: _question(tree) for name, tree in trees.items() if _defines_run(tree)}


def _is_private(path: Path) -> bool:
    return any(part.startswith(("_", ".")) for part in path.parts)


def _syntax(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _defines_run(tree: ast.Module) -> bool:
    return any(isinstance(node, ast.FunctionDef) and node.name == "run" for node in tree.body)


def _question(tree: ast.Module) -> str:
    docstring = ast.get_docstring(tree) or "(asks no question: its docstring is missing)"
    return docstring.splitlines()[0]


if __name__ == "__main__":
    from experiments._machinery._output import told

    with told("experiments"):
        raise SystemExit(main(sys.argv[1:]))
