"""GAN training as a dynamical system: its flow, its updates, and what they do.

`flow` follows a game's field in continuous time, `iterate` by the discrete rule that practitioners run; both give an
`Orbit`, whose `outcome` is one of `OUTCOMES`. The groups are `losses`, `distributions`, `networks`, `games`, `fields`,
`updates`, `backward_error`, `regularizers`, `noise`, `solvers`, `simulate`, `sweeps`, `analysis` and `plot`. Each is
imported when it is first asked for, as `gan_ode.analysis` too; only `plot` imports Matplotlib.
"""

import importlib
import importlib.metadata
from typing import Any, TYPE_CHECKING

from diffrax import RESULTS as RESULTS

from ._citing import cite as cite
from ._lowering import plain as plain
from ._names import name_of as name_of
from .simulate import flow as flow, iterate as iterate, Orbit as Orbit, OUTCOMES as OUTCOMES

if TYPE_CHECKING:
    from . import (
        analysis as analysis,
        backward_error as backward_error,
        distributions as distributions,
        fields as fields,
        games as games,
        losses as losses,
        networks as networks,
        noise as noise,
        plot as plot,
        regularizers as regularizers,
        simulate as simulate,
        solvers as solvers,
        sweeps as sweeps,
        updates as updates,
    )

    __version__: str

_GROUPS = frozenset(
    {
        "analysis", "backward_error", "distributions", "fields", "games", "losses", "networks", "noise", "plot",
        "regularizers", "simulate", "solvers", "sweeps", "updates",
    }
)  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _GROUPS:
        return importlib.import_module(f".{name}", __name__)
    if name == "__version__":
        return importlib.metadata.version("gan_ode")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    public = {name for name in globals() if not name.startswith("_")} - {"Any", "TYPE_CHECKING", "importlib"}
    return sorted({*public, *_GROUPS, "__version__"})
