from typing import Any

from .._types import Field, RealScalarLike
from ..backward_error import modified_field
from ..updates import Simultaneous
from ._low_rank import LowRank
from ._modified import Modified
from ._sde import SDE


def of_minibatches(field: Field, step_size: RealScalarLike, batch_size: Any, *, order: int = 1) -> SDE:
    r"""The equation that simultaneous steps on minibatches follow.

    Means and, relative to their size, covariances over a fixed time differ from those of the steps by $O(h)$ in order
    1, and by $O(h^2)$ in order 2, for large batches. In order 1 it is $F$ with `LowRank` noise; in order 2 the field
    is `backward_error.modified_field` and the noise is `Modified`.

    Source: Li, Tai and E (2017), arXiv:1511.06251, theorem 1, and (2019), arXiv:1811.01558; the noise of order 2 as in
    `Modified`.

    Args:
        field: The field; its `args` are the population.
        step_size: $h > 0$ of the update.
        batch_size: $B > 0$, or a pair for data and latent points.
        order: 1 or 2.

    Returns:
        Drift and diffusion.

    Raises:
        ValueError: If a number is not above 0, or `order` is neither 1 nor 2.
    """
    noise = LowRank(field, step_size, batch_size)
    if order not in (1, 2):
        raise ValueError(f"`order` must be 1 or 2, but is {order!r}.")
    if order == 1:
        return SDE(field, noise)
    return SDE(modified_field(Simultaneous, field, step_size), Modified(noise, field, step_size))
