import os
import sys
from collections.abc import Sequence
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
# In a wheel the experiments lie inside of the package, since a module `experiments` at the top would meet the users'
# own; in a checkout they lie beside it.
_PLACES = (_PACKAGE / "_shipped", _PACKAGE.parent)


def main(arguments: Sequence[str] | None = None) -> None:
    """Becomes `python -m experiments.NAME ...`, or, without a name, `python -m experiments`, which lists them.

    A new process, so that the experiment finds the name `experiments` and decides itself when JAX is imported; in the
    place of this one, so that signals and the exit status are the experiment's.

    Args:
        arguments: The name and its arguments, as `["stiff", "--quick"]`; by default those of the command line.

    Raises:
        SystemExit: If there are no experiments beside the package, or the name is none.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    names = not given or given[0].startswith("-")
    module = "experiments" if names else f"experiments.{given[0]}"
    place = next((place for place in _PLACES if (place / "experiments" / "__main__.py").is_file()), None)
    if place is None:
        raise SystemExit("gan-ode: error: the experiments are not installed with this package.")
    if not names and not _exists(place, given[0]):
        sys.stderr.write(f"gan-ode: error: there is no experiment `{given[0]}`; `gan-ode` lists them.\n")
        raise SystemExit(2)
    paths = [str(place), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    os.execve(sys.executable, [sys.executable, "-m", module, *given[not names :]], environment)


def _exists(place: Path, name: str) -> bool:
    parts = name.split(".")
    file = place.joinpath("experiments", *parts)
    return all(part.isidentifier() for part in parts) and (file.with_suffix(".py").is_file() or file.is_dir())
