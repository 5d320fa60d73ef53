"""Where a run stands, on disk: written so that a kill at any moment leaves the last one whole."""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .. import _checks, _files
from .._types import State
from ._update_loop import LoopState, Saved, UpdateLoop

_STATE, _CONFIGURATION = "checkpoint.eqx", "config.json"
_FORMAT = 2
# What differs, in words, where the entry's name does not say it.
_MEANINGS = {
    "program": "what a step or the recording computes: the rule, its learning rates, the networks, the batches",
    "numbers": "the arrays in the field, the update, `args` or `batches`",
    "start": "the numbers in `y0`",
    "state": "shapes or dtypes of `y0`",
}


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Where and how often a run is put on disk, to be resumed from there.

    The folder gets `checkpoint.eqx` (state, the update's memory, and what was saved so far, by Equinox, with a
    checksum over all of it and over its header) and `config.json` (what run it is of). Each is written beside its
    place, flushed to the disk and renamed: a kill at any moment leaves the last checkpoint whole.

    Args:
        folder: The folder; made if missing. One folder for each run: while one goes on, another one that is to write
            there is refused (not on Windows).
        every: Steps between checkpoints.

    Raises:
        ValueError: If `every` is not a whole number of at least 1.
    """

    folder: str | os.PathLike
    every: int

    def __post_init__(self) -> None:
        _checks.count("every", self.every)


class Files:
    """The files of a run with a given configuration.

    Raises:
        ValueError: If the folder holds a checkpoint of another configuration; the text says what differs.
    """

    def __init__(self, folder: Path, every: int, config: dict[str, Any]):
        self.folder, self.every, self.config = folder, every, config
        self.step = 0
        if (folder / _STATE).exists():
            _refuse_another(folder, config)

    @classmethod
    @contextlib.contextmanager
    def held(cls, checkpoint: Checkpoint, config: dict[str, Any]) -> "Iterator[Files]":
        """The files to write, as long as no other run may: two would take turns in one file.

        Raises:
            ValueError: If another run writes there, or has written another configuration.
        """
        folder = Path(checkpoint.folder)
        folder.mkdir(parents=True, exist_ok=True)
        with _files.held(
            folder,
            f"`checkpoint` must be of one run at a time, but another one writes into {folder}: wait for it, or give "
            "another folder.",
        ):
            _files.remove_parts(folder, "|".join(map(re.escape, (_STATE, _CONFIGURATION))))
            files = cls(folder, checkpoint.every, config)
            if not (folder / _STATE).exists():
                _files.replace(folder / _CONFIGURATION, (json.dumps(config, indent=2) + "\n").encode())
            yield files

    def next(self, n: int) -> int:
        """The number of steps at which the next checkpoint is due."""
        return (n // self.every + 1) * self.every

    def save(self, n: int, state: LoopState, saved: Saved, save_every: int) -> None:
        """Puts the run on disk as it stands after `n` steps."""
        content = io.BytesIO()
        eqx.tree_serialise_leaves(content, _plain((state, _rows(saved, n // save_every + 1))))
        _files.replace(self.folder / _STATE, _sealed(_digest(self.config), n, content.getvalue()))
        self.step = n

    def stored(self) -> tuple[int, bytes] | None:
        """The number of steps of the checkpoint and what is in it; None if there is none yet.

        Raises:
            ValueError: If it is damaged, or of another run than the configuration beside it.
        """
        path = self.folder / _STATE
        if not path.exists():
            return None
        config, n, body = _opened(path)
        if config != _digest(self.config):
            raise ValueError(
                f"`checkpoint` must be of the same run, but {path} is of another one than {_CONFIGURATION} beside it "
                "says. Remove both to start anew."
            )
        return n, body

    def load(self, state: LoopState, saved: Saved, num_steps: int, save_every: int) -> tuple[int, LoopState]:
        """The number of steps of the checkpoint and where the run stood, and fills in what was saved.

        Without a checkpoint, zero and what is given.
        """
        stored = self.stored()
        if stored is None:
            return 0, state
        n, body = stored
        if n > num_steps:
            raise ValueError(
                f"`num_steps` must be at least the {n} of the checkpoint in {self.folder}, but is {num_steps}."
            )
        num = n // save_every + 1
        state, rows = self.read(body, (state, _rows(saved, num)))
        jax.tree.map(lambda whole, leaf: np.copyto(whole[:num], leaf), saved, rows)
        self.step = n
        return n, state

    def read(self, body: bytes, like: Any) -> Any:
        """The state and the rows that were saved, from their bytes; `like` has their shapes."""
        try:
            return _filled(like, eqx.tree_deserialise_leaves(io.BytesIO(body), _plain(like)))
        except (RuntimeError, ValueError, TypeError, EOFError) as error:
            # Whole, and of this run: so what wrote it was another version of Equinox or JAX.
            raise ValueError(
                f"`checkpoint` must be of arrays as they are kept now, but the one in {self.folder} is not: go on with "
                f"the version of Equinox that wrote it, or remove it to start anew. ({error})"
            ) from error


def require(folder: Path) -> None:
    """Refuses a folder without a checkpoint."""
    path = folder / _STATE
    if not path.exists():
        raise ValueError(
            f"`folder` must hold a checkpoint, but there is no {path}: give the folder of "
            "`iterate(..., checkpoint=simulate.Checkpoint(folder, ...))`."
        )


def configuration(loop: UpdateLoop, y0: State, save_every: int) -> dict[str, Any]:
    """What a checkpoint must agree in with the run that takes it up.

    Rules of Optax hide their learning rates in closures, and batches their keys: so the program of a step is compared,
    as JAX's own text without memory addresses, with the numbers in it.
    """

    def program(loop: UpdateLoop, y0: State) -> Any:
        state, _ = loop.start(y0)
        return loop.save(jnp.asarray(1), loop.step(jnp.asarray(0), state))

    traced, _, _ = eqx.filter_make_jaxpr(program)(loop, y0)
    return {
        "format": _FORMAT,
        "update": type(loop.update).__qualname__,
        "step_size": float(loop.update.step_size),
        "save_every": save_every,
        "state": _shapes(y0),
        "start": _hash_arrays(jax.tree.leaves(y0)),
        "numbers": _hash_arrays([leaf for leaf in jax.tree.leaves(loop) if eqx.is_array(leaf)]),
        "program": _hash_program(traced),
        "jax": jax.__version__,
    }


def _sealed(config: str, n: int, body: bytes) -> bytes:
    """A file's content: the header in words and a checksum over it and the body, and the body."""
    header = {"format": _FORMAT, "config": config, "step": n}
    checksum = hashlib.sha256(json.dumps(header).encode() + b"\n" + body).hexdigest()
    return json.dumps(header | {"sha256": checksum}).encode() + b"\n" + body


def _opened(path: Path) -> tuple[str, int, bytes]:
    """The digest of the configuration, the number of steps and the body, of a file that is whole.

    Raises:
        ValueError: If a bit is not as it was written.
    """
    content = path.read_bytes()
    head, _, body = content.partition(b"\n")
    header = _header(head)
    config, n = header.get("config"), header.get("step")
    # Made again from what is believed, and compared as a whole: so nothing is believed that is not covered.
    if not (isinstance(config, str) and type(n) is int and n >= 0 and _sealed(config, n, body) == content):
        raise ValueError(
            f"`checkpoint` must be whole, but {path} is damaged: its checksum is another. Remove it to start anew."
        )
    return config, n, body


def _shapes(tree: Any) -> dict[str, str]:
    paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in paths}


def _hash_program(traced: Any) -> str:
    text = re.sub(r"0x[0-9a-f]+", "", str(traced))
    return hashlib.sha256((text + _hash_arrays(list(_constants(traced)))).encode()).hexdigest()


def _constants(program: Any) -> Iterator[Any]:
    """The arrays in a program and in those inside it, which its text leaves out."""
    yield from getattr(program, "consts", ())
    for equation in getattr(program, "jaxpr", program).eqns:
        yield from (variable.val for variable in equation.invars if hasattr(variable, "val"))
        for value in jax.tree.leaves(list(equation.params.values())):
            if hasattr(value, "eqns"):
                yield from _constants(value)


def _hash_arrays(arrays: list[Any]) -> str:
    digest = hashlib.sha256()
    for array in map(np.asarray, _plain(arrays)):
        digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def _plain(tree: Any) -> Any:
    """Keys as the numbers in them, which is what can be written."""
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, tree)


def _filled(like: Any, plain: Any) -> Any:
    """The inverse of `_plain`."""

    def back(leaf: Any, numbers: Any) -> Any:
        return jax.random.wrap_key_data(numbers, impl=jax.random.key_impl(leaf)) if _is_key(leaf) else numbers

    return jax.tree.map(back, like, plain)


def _is_key(leaf: Any) -> bool:
    return eqx.is_array(leaf) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _rows(saved: Saved, num: int) -> Saved:
    return jax.tree.map(lambda leaf: leaf[:num], saved)


def _digest(config: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(_compared(config), sort_keys=True).encode()).hexdigest()


def _compared(config: dict[str, Any]) -> dict[str, Any]:
    # A program's text may change with JAX; its version alone does not make another run.
    return {name: value for name, value in config.items() if name != "jax"}


def _refuse_another(folder: Path, config: dict[str, Any]) -> None:
    path = folder / _CONFIGURATION
    there = _header(path.read_bytes()) if path.exists() else {}
    if _compared(there) == _compared(config):
        return
    if _is_of(folder / _STATE, config):
        raise ValueError(
            f"`checkpoint` must be whole, but {path} is damaged: {_STATE} beside it is of this run, and it is not. "
            "Remove both to start anew."
        )
    if there.get("format", _FORMAT) != _FORMAT:
        raise ValueError(
            f"`checkpoint` must be of format {_FORMAT}, but the one in {folder} is of format {there['format']}, which "
            "another version of gan_ode wrote. Go on with that version, or give another folder."
        )
    names = [name for name in _compared(config) if there.get(name) != config[name]]
    raise ValueError(
        f"`checkpoint` must be of the same run, but the one in {folder} differs in "
        f"{'; '.join(_difference(name, there, config) for name in names)}"
        f"{_versions(there, config)}. Give another folder, or remove this one to start anew."
    )


def _is_of(path: Path, config: dict[str, Any]) -> bool:
    """Whether the checkpoint itself is whole and of this run."""
    try:
        return _opened(path)[0] == _digest(config)
    except ValueError:
        return False


def _difference(name: str, there: dict[str, Any], config: dict[str, Any]) -> str:
    if name in _MEANINGS:
        return f"`{name}` ({_MEANINGS[name]})"
    return f"`{name}` ({there.get(name)} there, {config[name]} here)"


def _versions(there: dict[str, Any], config: dict[str, Any]) -> str:
    if "program" not in there or there.get("jax") == config["jax"]:
        return ""
    return f" (jax {there.get('jax')} there, {config['jax']} here)"


def _header(text: bytes) -> dict[str, Any]:
    return _files.read_object(text) or {}
