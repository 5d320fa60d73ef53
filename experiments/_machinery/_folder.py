"""Files that take their predecessors' place together, whatever interrupts.

`save` writes all files into a hidden folder `.NAME.part` inside the target and flushes them to the disk; renames it
`.NAME.commit`, in one step; then moves each file to its place, the JSON last. Therefore:

- Before the renaming, the old result is complete and untouched. An exception or a signal removes the hidden folder;
  after `kill -9` or a power failure the next run does.
- From the renaming on, the new result is complete on the disk, and no signal stops the moves. Only `kill -9` or a
  power failure within them (some microseconds) leaves files of both; then `.NAME.commit` is still there, the JSON's
  checksums tell which file is which, and the next run finishes the moves before anything else (`settle`).
- Full disk: the old result is kept.
- Files of other names in the target are never touched. Two runs into one target wait for each other (not on Windows).
"""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

SUFFIXES = (".png", ".svg", ".nc", ".md", ".csv", ".json")


def check(folder: Path, name: str) -> None:
    """Tries whether results can be written, before anything is computed; writes nothing.

    Raises:
        OSError: If they cannot.
    """
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))
    if not existing.is_dir():
        raise NotADirectoryError(f"`{existing}` is not a folder.")
    for suffix in SUFFIXES:
        if (folder / f"{name}{suffix}").is_dir():
            raise IsADirectoryError(f"`{folder / name}{suffix}` is a folder, and a file of that name is to be written.")
    with tempfile.TemporaryFile(dir=existing):
        pass


def settle(folder: Path, name: str) -> None:
    """Finishes or removes what a killed run has left."""
    if folder.is_dir():
        with _locked(folder):
            _settle(folder, name)


def save(folder: Path, name: str, files: Mapping[str, bytes], on_commit: Callable[[], None] = lambda: None) -> None:
    """Replaces a result by a new one.

    Args:
        folder: Target; made if missing.
        name: Stem of the files' names.
        files: Content by suffix, one of `SUFFIXES`; `.json` is a must, and its `files` lists the names of the others.
            An old file whose suffix is missing is removed.
        on_commit: Called when the new files are on the disk: the last moment at which an exception keeps the old ones.

    Raises:
        OSError: If the files cannot be written, as on a full disk. The old result is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        _settle(folder, name)
        part = _part(folder, name)
        try:
            _write_all(part, name, files)
            on_commit()
            os.replace(part, _commit(folder, name))
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        _sync_folder(folder)
        _finish(folder, name)


def _part(folder: Path, name: str) -> Path:
    return folder / f".{name}.part"


def _commit(folder: Path, name: str) -> Path:
    return folder / f".{name}.commit"


def _settle(folder: Path, name: str) -> None:
    for place in (_part(folder, name), _commit(folder, name)):
        # This makes folders there; a link is somebody else's, and what it leads to is none of ours.
        if place.is_symlink():
            place.unlink()
    if _commit(folder, name).exists():
        _finish(folder, name)
    if _part(folder, name).exists():
        shutil.rmtree(_part(folder, name))


def _write_all(part: Path, name: str, files: Mapping[str, bytes]) -> None:
    part.mkdir()
    for suffix, content in files.items():
        with open(part / f"{name}{suffix}", "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    _sync_folder(part)


def _finish(folder: Path, name: str) -> None:
    """Moves what is still to be moved. Every step may be the last one before a kill, and may have been done before."""
    commit, record = _commit(folder, name), f"{name}.json"
    if (commit / record).exists():
        listed = json.loads((commit / record).read_bytes())["files"]
        for file in (f"{name}{suffix}" for suffix in SUFFIXES if suffix != ".json"):
            if (commit / file).exists():
                os.replace(commit / file, folder / file)
            elif file not in listed:
                (folder / file).unlink(missing_ok=True)
        os.replace(commit / record, folder / record)
        _sync_folder(folder)
    commit.rmdir()


def _sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable, where the system can."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds a folder for one process; a killed process holds it no longer."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a network file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
