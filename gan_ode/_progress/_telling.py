"""Lines on stderr on what a long call is doing, once a second, where `GAN_ODE_PROGRESS=1` asks for them.

They are lines and not a bar, for logs: most of a first call is tracing and compiling, of which JAX tells nothing.
"""

import contextlib
import contextvars
import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import ParamSpec, TypeVar

_VARIABLE = "GAN_ODE_PROGRESS"
# Seconds before the first line, and between two.
_FIRST, _EVERY = 3.0, 1.0

# A program runs outside of Python, called from these.
_CALLERS = ("/equinox/_jit.py", "/jax/_src/interpreters/pxla.py", "/jax/_src/array.py")

_Inputs = ParamSpec("_Inputs")
_Output = TypeVar("_Output")

_told = contextvars.ContextVar("told", default=False)


def told(function: Callable[_Inputs, _Output]) -> Callable[_Inputs, _Output]:
    """The function, of whose long calls it is told."""

    @functools.wraps(function)
    def call(*args: _Inputs.args, **kwargs: _Inputs.kwargs) -> _Output:
        with telling(function.__name__):
            return function(*args, **kwargs)

    return call


@contextlib.contextmanager
def telling(name: str) -> Iterator[None]:
    """Tells what this thread is doing, until the block ends; what is within another such block is told of by that."""
    if os.environ.get(_VARIABLE, "0") in ("", "0") or _told.get():
        yield
        return
    token, over = _told.set(True), threading.Event()
    teller = threading.Thread(target=_tell, args=(name, threading.get_ident(), over), daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()
        _told.reset(token)


def _tell(name: str, thread: int, over: threading.Event) -> None:
    start, pause = time.perf_counter(), _FIRST
    while not over.wait(pause):
        seconds = time.perf_counter() - start
        with contextlib.suppress(OSError):  # As where nobody takes the output.
            sys.stderr.write(f"gan_ode.{name}: {doing(sys._current_frames().get(thread))}, {seconds:.0f} s\n")
            sys.stderr.flush()
        pause = _EVERY


def doing(frame: FrameType | None) -> str:
    """What a thread is doing, by the functions of JAX that it is in, the innermost one first."""
    innermost = frame
    while frame is not None:
        file, function = frame.f_code.co_filename.replace(os.sep, "/"), frame.f_code.co_name
        if "/jax/_src/compiler.py" in file or "/jax/_src/interpreters/mlir.py" in file:
            return "compiling"
        if "/jax/_src/" in file and "trace_to_jaxpr" in function:
            return "tracing"
        frame = frame.f_back
    if innermost is None:
        return "ending"
    file = innermost.f_code.co_filename.replace(os.sep, "/")
    return "computing" if file.endswith(_CALLERS) else "working"
