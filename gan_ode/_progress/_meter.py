"""What is told how far a long run is."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

Progress = bool | Callable[[int, int], object]


@contextlib.contextmanager
def meter(progress: Progress, n: int, total: int, unit: str) -> Iterator[Callable[[int], object]]:
    """A function to be called with how many are done."""
    if callable(progress):
        yield lambda n: progress(n, total)
    elif progress:
        with _bar(n, total, unit) as bar:
            yield lambda n: bar.update(n - bar.n)
    else:
        yield lambda n: None


def _bar(n: int, total: int, unit: str) -> Any:
    try:
        import tqdm
    except ImportError as error:
        raise ValueError(
            f"`progress` must be a function `({unit}s done, number of {unit}s)` where tqdm is not installed: give one, "
            "or `pip install tqdm`."
        ) from error
    # None: only where stderr is a terminal.
    return tqdm.tqdm(total=total, initial=n, unit=unit, disable=None)
