"""Blocks that one of several processes claims for itself, as long as it shows that it is alive."""

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path

# A claim is renewed so many times before it would expire.
_RENEWALS = 4
_TOKEN_BYTES = 8


class Claims:
    """The claims on blocks of one folder, as one process sees them.

    A claim is a file that only one process can make, and that its owner touches again and again. No clocks are
    compared, which may differ between machines: a claim has expired if this process has seen it untouched for long
    enough, by its own clock. It is then moved away, which again only one process can do.

    A claim keeps work from being done twice, and not results from being wrong: blocks are written whole or not at all,
    so that where a process was only slow, and lost its claim, the same block is written once more.

    Args:
        folder: Where the claims are.
        expire: Seconds.
    """

    def __init__(self, folder: Path, expire: float):
        self.folder, self.expire = folder, expire
        self._token = secrets.token_hex(_TOKEN_BYTES)
        # What a claim looked like, and since when.
        self._seen: dict[str, tuple[tuple[int, int], float]] = {}

    @contextlib.contextmanager
    def of(self, name: str) -> Iterator[bool]:
        """Claims something, and gives it back; says whether it is this process's.

        Args:
            name: Of the claim, without its ending.
        """
        path = self.folder / f"{name}.claim"
        if not (self._make(path) or (self._has_expired(path) and self._take_away(path) and self._make(path))):
            yield False
            return
        over = threading.Event()
        alive = threading.Thread(target=self._renew, args=(path, over), daemon=True)
        alive.start()
        try:
            yield True
        finally:
            over.set()
            alive.join()
            self._give_back(path)

    def _make(self, path: Path) -> bool:
        try:
            with open(path, "x") as file:
                file.write(self._token)
        except FileExistsError:
            return False
        return True

    def _has_expired(self, path: Path) -> bool:
        looks, now = _looks_of(path), time.monotonic()
        if looks is None:
            return False
        before, since = self._seen.get(path.name, (None, now))
        if looks != before:
            self._seen[path.name] = looks, now
            return False
        return now - since > self.expire

    def _take_away(self, path: Path) -> bool:
        """Removes a claim that has expired; not one that was made or renewed since that was seen."""
        moved = path.with_name(f".{path.name}.{secrets.token_hex(_TOKEN_BYTES)}.part")
        try:
            os.rename(path, moved)
        except FileNotFoundError:
            return False
        expired = _looks_of(moved) == self._seen.pop(path.name)[0]
        if not expired:
            # Back, unless somebody has made another one.
            with contextlib.suppress(OSError):
                os.link(moved, path)
        moved.unlink(missing_ok=True)
        return expired

    def _renew(self, path: Path, over: threading.Event) -> None:
        while not over.wait(self.expire / _RENEWALS):
            with contextlib.suppress(OSError):
                if self._is_mine(path):
                    os.utime(path)

    def _give_back(self, path: Path) -> None:
        if self._is_mine(path):
            path.unlink(missing_ok=True)

    def _is_mine(self, path: Path) -> bool:
        try:
            return path.read_text() == self._token
        except OSError:
            return False


def _looks_of(path: Path) -> tuple[int, int] | None:
    """Which file a claim is, and when it was last touched; None if there is none."""
    try:
        found = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns
