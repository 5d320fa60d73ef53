"""Files that are whole or not there, and folders that one process has to itself."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def replace(path: Path, content: bytes) -> None:
    """Puts a file in the place of another: whole, or not at all."""
    temporary = part(path)
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        # As on a full disk. What a kill leaves, the next run writes over or removes.
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def part(path: Path) -> Path:
    """Where a file is written before it takes its place."""
    return path.with_name(f".{path.name}.part")


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Has a folder for this process alone, until it ends or is killed; not on Windows.

    Raises:
        BlockingIOError: If another process has it.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:
            pass  # A network file system without locks.
        yield
    finally:
        os.close(descriptor)


def _sync(folder: Path) -> None:
    """Else the name may be lost with the power."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
