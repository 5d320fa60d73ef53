"""Standard output that its reader leaves, as `| head -1` does, or that a full disk does not take."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator

# That of a program that SIGPIPE ends, which is what a shell expects of one whose reader has left.
_READER_LEFT = 128 + 13


@contextlib.contextmanager
def told(command: str) -> Iterator[None]:
    """Ends without a traceback where what is printed cannot be: quietly without a reader, else in one line, status 1.

    Args:
        command: The module that is run, for the line.

    Raises:
        SystemExit: If it cannot be printed.
    """
    if sys.stdout is None:
        # Closed by who started it, as by `>&-`: nobody wants to read it.
        sys.stdout = io.StringIO()
    try:
        try:
            yield
        except SystemExit:
            sys.stdout.flush()
            raise
        # Now and not when Python ends, where nobody can catch it.
        sys.stdout.flush()
    except BrokenPipeError:
        _drop()
        raise SystemExit(_READER_LEFT) from None
    except OSError as error:
        if error.filename is not None:
            raise
        _drop()
        with contextlib.suppress(OSError):
            print(f"python -m {command}: error: cannot write: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def _drop() -> None:
    """Sends what is still to be printed nowhere: else Python tries again when it ends, and complains."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
