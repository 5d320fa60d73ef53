"""Ctrl-C and SIGTERM as an exception, so that everything is cleaned up."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM."""

    def __init__(self, number: int):
        self.number = number


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Turns the signals that ask to stop into an exception, so that everything is cleaned up."""
    previous = {number: signal.signal(number, _interrupt) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise Interrupted(number)


def ignore_signals() -> None:
    """From here to the end it is milliseconds, and "nothing was written" would be untrue."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
