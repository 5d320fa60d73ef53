"""Files that are whole or not there, folders that one process has to itself, and JSON that may be damaged."""

import contextlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_TOKEN_BYTES = 8


def replace(path: Path, content: bytes) -> None:
    """Puts a file in the place of another: whole, or not at all.

    A link in its place is replaced and not followed. A kill leaves a hidden file beside it at worst, which
    `remove_parts` removes.
    """
    # No other writer has the name, and nobody can have put a link there: "x" makes a file and follows no link.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(_TOKEN_BYTES)}.part")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        # As on a full disk.
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def remove_parts(folder: Path, names: str) -> None:
    """Removes what kills left of files that were being written; for who has the folder alone.

    Args:
        folder: Where the files are.
        names: A regular expression of their names.
    """
    # Earlier versions put no digits there.
    part = re.compile(rf"\.(?:{names})(?:\.[0-9a-f]{{{2 * _TOKEN_BYTES}}})?\.part")
    for entry in [entry for entry in os.scandir(folder) if part.fullmatch(entry.name)]:
        os.unlink(entry.path)


@contextlib.contextmanager
def held(folder: Path, busy: str, alone: bool = True) -> Iterator[None]:
    """Has a folder for this run alone, until it ends or is killed; not on Windows.

    Args:
        folder: The folder, which must be there.
        busy: What to say if another run has it.
        alone: Without it, together with others that do not want it alone either.

    Raises:
        ValueError: If another run has it, in this process or another one.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(busy) from None
        except OSError:
            pass  # A network file system without locks.
        yield
    finally:
        os.close(descriptor)


def read_object(content: bytes) -> dict[str, Any] | None:
    """The mapping that is written in JSON, or None where the bytes are damaged: no JSON, nested too deeply, a list."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _sync(folder: Path) -> None:
    """Else the name may be lost with the power."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
