"""A run taken from its checkpoint, to be looked at instead of gone on with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .. import _checks
from .._rules import an_update
from .._types import Args, State
from . import _inputs
from ._checkpoint import configuration, Files, require
from ._recorder import AbstractRecorder
from ._resumable import start
from ._update_loop import UpdateLoop


class Trained(eqx.Module):
    """Where a run stood when its checkpoint was written.

    Attributes:
        y: The state.
        memory: What the update remembers, as Adam's moments.
        args: What the field was handed in the last step: a minibatch.
        num_steps: How many steps had been made.
    """

    y: State
    memory: Any
    args: Args
    num_steps: int = eqx.field(static=True)


def load_checkpoint(
    folder: Any,
    update: Any,
    field: Any,
    y0: Any,
    *,
    args: Args = None,
    batches: Args | Callable[[Array], Args] = None,
    save_every: int = 1,
    record: Callable[..., Any] | AbstractRecorder | None = None,
) -> Trained:
    """The state and the memory in a checkpoint of `iterate`, for example to be handed to `analysis.diagnose`.

    The arguments are those of the call of `iterate` that wrote it: from them it is known what the numbers mean, and a
    checkpoint of another run is refused.

    ```python
    import jax.numpy as jnp
    import optax
    from gan_ode import analysis, fields, games, iterate, losses, simulate, updates

    run = {
        "update": updates.Optax(optax.adam(0.01), optax.adam(0.01)),
        "field": fields.GameField(games.Dirac(losses.Wasserstein())),
        "y0": games.Players(jnp.array(0.1), jnp.array(0.2)),
    }
    orbit = iterate(**run, num_steps=20, checkpoint=simulate.Checkpoint("run", every=10))
    trained = simulate.load_checkpoint("run", **run)
    assert trained.num_steps == 20 and trained.y.generator == orbit.final_state.generator
    ```

    Args:
        folder: The folder of the checkpoint.
        update: As in `iterate`.
        field: As in `iterate`.
        y0: As in `iterate`: the initial state.
        args: As in `iterate`.
        batches: As in `iterate`.
        save_every: As in `iterate`.
        record: As in `iterate`.

    Returns:
        State, memory, and what the field was handed in the last step.

    Raises:
        ValueError: If there is no checkpoint, or it is damaged or of another run; the text says what differs.
    """
    an_update(update)
    y0, save_every = _inputs.state(y0), _checks.count("save_every", save_every)
    loop = UpdateLoop(update, field, args, batches, record)
    require(Path(folder))
    files = Files(Path(folder), 1, configuration(loop, y0, save_every))
    # Looked at once: a run that goes on may put another one there at any time.
    stored = files.stored()
    assert stored is not None
    num_steps, body = stored
    state, first = start(loop, y0)
    rows = num_steps // save_every + 1
    saved = jax.tree.map(lambda leaf: np.zeros((rows, *leaf.shape), leaf.dtype), first)
    state, _ = files.read(body, (state, saved))
    return Trained(state.y, state.memory, loop.batch(jnp.asarray(max(num_steps - 1, 0))), num_steps)
