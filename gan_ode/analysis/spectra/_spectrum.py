"""The linear part of a field, or of the map that an update makes of it, and its spectrum: one verb for both."""

from typing import Any

import numpy as np
from jaxtyping import Array, Complex, Float

from ..._entry import guarded
from ..._types import Args, Field, RealScalarLike, State
from ...updates import AbstractUpdate
from ..linearization._jacobian import field_jacobian, field_spectrum
from ..maps._multipliers import multipliers, step_jacobian


@guarded("y")
def jacobian(
    field: Field,
    y: State,
    *,
    update: AbstractUpdate | None = None,
    args: Args = None,
    t: RealScalarLike = 0.0,
    check: bool = True,
) -> Float[Array, "m m"]:
    r"""The Jacobian of a field at a state, or of the steps of an update at a fixed point, by forward mode.

    A field must be smooth at the state, which need not be an equilibrium: where it jumps or has a kink, automatic
    differentiation gives a number that says nothing of the field. This is looked for by differences on both sides, a
    few dozen velocities.

    An update's is that of its step, or of all steps that a rule's period has (see `multipliers`), in state and memory
    together. Of simultaneous steps it is $I + hJ$ with the field's Jacobian $J$; of a rule with memory it has a block
    for what is remembered: at momentum $\beta$, for the state and the trace, $[[I + hJ, -h\beta I], [-J, \beta I]]$.

    ```python
    import jax.numpy as jnp
    from gan_ode import analysis, updates

    def turn(t, y, args):
        return jnp.array([[0.0, 1.0], [-1.0, 0.0]]) @ y

    of_field = analysis.jacobian(turn, jnp.zeros(2))
    of_step = analysis.jacobian(turn, jnp.zeros(2), update=updates.Simultaneous(0.5))
    assert jnp.allclose(of_step, jnp.eye(2) + 0.5 * of_field)
    ```

    Args:
        field: The field.
        y: State, or an equilibrium, in the flattened order of its leaves: the discriminator's first.
        update: If given, the Jacobian is that of its steps, and `y` a fixed point; memory is taken as in `multipliers`.
        args: Handed to the field.
        t: Time, of the field alone.
        check: Whether to look first if the field is smooth there, and, for an update, if linear statements make sense.
            If not, the derivative is given as it is.

    Returns:
        A dense matrix: shape `(n, n)` for `n` parameters, in units of one over time; for an update shape `(m, m)` for
        the numbers of state and memory, without units, the state's first. What of the memory does not depend on the
        state is left out. Under a transformation NaN where the field is not smooth.

    Raises:
        ValueError: If there are too many parameters for a dense matrix, or the field is not finite or not smooth at the
            state; with an update also as `multipliers` does.
    """
    if update is None:
        return field_jacobian(field, y, args, t=t, check=check)
    refuse_time(t)
    return step_jacobian(update, field, y, args, check=check)


@guarded("y")
def spectrum(
    field: Field,
    y: State,
    *,
    update: AbstractUpdate | None = None,
    args: Args = None,
    t: RealScalarLike = 0.0,
    check: bool = True,
) -> Complex[Array, " m"]:
    """Eigenvalues of the Jacobian of a field at a state, or of the steps of an update: its multipliers.

    A field's come by falling real part. The first has the largest, the spectral abscissa: where it is negative, the
    equilibrium is stable. An update's come by falling modulus: the fixed point is stable where that of the first is
    below 1. Zero eigenvalues come out as rounding leaves them, so ask `equilibrium_type` rather than for a sign.
    Whether the state is an equilibrium is asked for an update alone; `inspect` tells.

    ```python
    import jax.numpy as jnp
    from gan_ode import analysis, updates

    def turn(t, y, args):
        return jnp.array([[0.0, 1.0], [-1.0, 0.0]]) @ y

    eigenvalues = analysis.spectrum(turn, jnp.zeros(2))
    multipliers = analysis.spectrum(turn, jnp.zeros(2), update=updates.Simultaneous(0.5))
    assert jnp.allclose(multipliers, 1 + 0.5 * eigenvalues)
    ```

    Args:
        field: The field.
        y: State, usually an equilibrium, as `find_equilibrium` returns it.
        update: If given, the spectrum is that of its steps, and `y` a fixed point: that of `multipliers`.
        args: Handed to the field.
        t: Time, of the field alone.
        check: As for `jacobian`.

    Returns:
        A field's eigenvalues by falling real part, and of a pair the one above the axis first; shape `(n,)`, in units
        of one over time. An update's multipliers by falling modulus, shape `(m,)`. Under a transformation NaN where the
        field is not smooth.

    Raises:
        ValueError: As for `jacobian`.
    """
    if update is None:
        return field_spectrum(field, y, args, t=t, check=check)
    refuse_time(t)
    return multipliers(update, field, y, args=args, check=check)


def refuse_time(t: Any) -> None:
    """Refuses a time beside an update, whose map is that of late steps of a field without explicit time."""
    if not (isinstance(t, int | float | np.number) and t == 0):
        raise ValueError(
            f"`t` must be left out where `update` is given, but is {t}: the map is that of late steps, at no time. "
            "Freeze the time by `lambda _, y, args: field(t, y, args)`."
        )
