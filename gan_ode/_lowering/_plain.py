"""The switch that takes all of this away, for debugging."""

import contextlib
import contextvars
import os
from collections.abc import Iterator

_VARIABLE = "GAN_ODE_PLAIN"
_NO = ("", "0", "false", "no", "off")
_plain = contextvars.ContextVar("plain", default=os.environ.get(_VARIABLE, "").lower() not in _NO)


@contextlib.contextmanager
def plain(on: bool = True) -> Iterator[None]:
    """Switches off everything that makes programs faster than `equinox.filter_jit` and Diffrax make them.

    Within this context there are no options of the compiler, no kernels over members, no fields of scalars, no faster
    exponentials, and ensembles are solved by `jax.vmap` of Diffrax's own loop. Results agree up to rounding. It is the
    first step of debugging: what stays wrong in it is not the fault of the fast path. `GAN_ODE_PLAIN=1` in the
    environment does the same for a whole process.

    What your own `jax.jit` has compiled before stays as it was compiled.

    Args:
        on: False switches everything on again within.

    ```python
    import jax.numpy as jnp

    import gan_ode
    from gan_ode import simulate

    with gan_ode.plain():
        orbits = simulate.ensemble(lambda t, y, args: -y, jnp.array([1.0, 2.0]), jnp.array([0.0, 1.0]))
    ```
    """
    token = _plain.set(on)
    try:
        yield
    finally:
        _plain.reset(token)


def is_plain() -> bool:
    """Whether it is switched off."""
    return _plain.get()
