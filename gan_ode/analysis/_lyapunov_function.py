from collections.abc import Callable
from typing import Any, Literal

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from .. import _checks, _tree
from .._compiled import jit
from .._types import Args, Field, RealScalarLike, Scalar, State
from ..simulate import flow
from ..updates import AbstractUpdate
from ._extremes import Box, Extremes, points_per_axis, search

# Rounding in a relative change, and the part of the largest squared speed below which a state counts as an equilibrium,
# since there the change itself is rounding. A difference of quantities loses digits, and a flow has its tolerance.
_ROUNDING = {
    "derivative": {4: 1e-4, 8: 1e-11},
    "step": {4: 1e-2, 8: 1e-7},
    "flow": {4: 5e-2, 8: 1e-4},
}
_STILL = {
    "derivative": {4: 1e-4, 8: 1e-10},
    "step": {4: 1e-4, 8: 1e-8},
    "flow": {4: 1e-4, 8: 1e-6},
}
_TOLERANCE = {4: 1e-5, 8: 1e-10}


def lie_derivative(quantity: Callable[[State], Scalar], field: Field, args: Args = None) -> Callable[[State], Scalar]:
    r"""The rate at which a quantity changes along a field: $\dot Q(y) = \nabla Q(y) \cdot F(y)$.

    Zero everywhere for an invariant, nowhere positive for a Lyapunov function. One Jacobian-vector product, no
    gradient. The result is again a quantity, so that its own derivative is $\ddot Q$.

    Args:
        quantity: A scalar function of one state.
        field: The field; taken at time 0, since a Lyapunov function is one of an autonomous field.
        args: Handed to the field.

    Returns:
        A function of the state.
    """
    return lambda y: jax.jvp(quantity, (y,), (_velocity(field, y, args),))[1]


def step_change(
    quantity: Callable[[State], Scalar], update: AbstractUpdate, field: Field, args: Args = None
) -> Callable[[State], Scalar]:
    r"""How much one step of an update changes a quantity: $Q(\Phi_h(y)) - Q(y)$.

    An update with memory makes its first step: its memory is as the rule starts it.

    Args:
        quantity: A scalar function of one state.
        update: The update.
        field: The field.
        args: Handed to the field.

    Returns:
        A function of the state, in units of the quantity; divide by the step size for a rate.
    """
    return lambda y: quantity(_stepped(update, field, y, args)) - quantity(y)


class LyapunovCheck(eqx.Module):
    r"""What a box says of a candidate $Q$ for a Lyapunov function.

    All of it comes from a search (see `Extremes`): it can refute, and supports, but does not prove.

    Attributes:
        change: Extremes over the box of $\dot Q$, or of the change over a step or a duration.
        relative: Extremes of the change over $\lVert\nabla Q\rVert$ times how far the state moves: for a derivative the
            cosine between velocity and gradient. Equilibria are left out: states with less than 1e-5 of the largest
            speed in the box (1e-4 over a step, 1e-3 over a duration, 1e-2 in float32).
        rounding: What counts as rounding in `relative`.
    """

    change: Extremes
    relative: Extremes
    rounding: Scalar

    @property
    def conserved(self) -> Any:
        """Whether the quantity is an invariant, to rounding."""
        return self.never_rises & (self.relative.smallest >= -self.rounding)

    @property
    def never_rises(self) -> Any:
        """Whether the quantity falls or stands still everywhere, to rounding."""
        return self.change.finite & (self.relative.largest <= self.rounding)

    @property
    def falls(self) -> Any:
        """Whether it falls everywhere in the box except at equilibria."""
        moves = jnp.isfinite(self.relative.largest)
        return self.change.finite & moves & (self.relative.largest < -self.rounding)

    @property
    def margin(self) -> Scalar:
        """The smallest relative fall away from equilibria: above `rounding` for a strict Lyapunov function."""
        return -self.relative.largest

    @property
    def kind(self) -> Literal["invariant", "strict Lyapunov function", "Lyapunov function", "neither"]:
        """In a word; not under a transformation."""
        if self.conserved:
            return "invariant"
        if self.falls:
            return "strict Lyapunov function"
        return "Lyapunov function" if self.never_rises else "neither"


def lyapunov(
    quantity: Callable[[State], Scalar],
    field: Field,
    low: State,
    high: State,
    *,
    update: AbstractUpdate | None = None,
    duration: RealScalarLike | None = None,
    args: Args = None,
    resolution: int | None = None,
) -> LyapunovCheck:
    r"""Searches a box for where a quantity does not fall: is it a Lyapunov function, an invariant, or neither?

    By default its derivative along the field is searched. A derivative may vanish where orbits only pass, as
    $\dot H = -\tfrac{2\eta}{9}(1 - a^2)^2$ of the regularized Wasserstein GAN does on the line $a = 1$. LaSalle's
    principle asks whether an orbit can stay there; `duration` answers it with a number: if the change
    $Q(\phi_T(y)) - Q(y)$ over some time $T$ is below zero everywhere but at equilibria, none can.

    To conclude global convergence, the box must also hold whole sublevel sets of the quantity.

    Source: LaSalle (1960), "Some extensions of Liapunov's second method", IRE Transactions CT-7.

    Args:
        quantity: A scalar function of one state, finite in the box.
        field: The field.
        low: The box's lower corner.
        high: Its upper corner.
        update: If given, the change over one step of it is searched instead of the derivative.
        duration: If given, the change over this time of the flow.
        args: Handed to the field.
        resolution: Points of the grid along each axis.

    Returns:
        The extremes of the change, and what they say; traceable, so that numbers in the field can be swept.

    Raises:
        ValueError: If both `update` and `duration` are given, or the box cannot be searched.
    """
    if update is not None and duration is not None:
        raise ValueError("`update` and `duration` must not both be given: an update's change is that over one step.")
    if duration is not None:
        duration = _checks.positive("duration", duration, "It is how long the flow is followed from each point.")
    per_axis = points_per_axis(low, high, resolution)
    return _check(quantity, field, Box(low, high, per_axis), update, duration, args)


@jit
def _check(quantity: Callable, field: Field, box: Box, update: Any, duration: Any, args: Args) -> LyapunovCheck:
    kind = "derivative" if update is None and duration is None else "flow" if update is None else "step"
    size = max(jnp.dtype(_tree.dtype(box.low)).itemsize, 4)
    measure = _measure(quantity, field, update, duration, args)
    change, unit, speed = box.sweep(measure)
    # Squared speeds that overflow are not small.
    slowest = _STILL[kind][size] * jnp.max(jnp.where(jnp.isfinite(speed), speed, 0.0))

    def relative(change: Array, unit: Array, speed: Array) -> Array:
        still = speed <= slowest
        # Where the gradient vanishes and the state moves, the quantity stands still.
        flat = unit == 0
        return jnp.where(still, jnp.nan, jnp.where(flat, 0.0, change / jnp.where(still | flat, 1.0, unit)))

    def both(y: State) -> tuple[Scalar, Scalar]:
        measured = measure(y)
        return measured[0], relative(*measured)

    of_change, of_relative = search(both, box, (change, relative(change, unit, speed)))
    return LyapunovCheck(of_change, of_relative, jnp.asarray(_ROUNDING[kind][size], change.dtype))


def _measure(
    quantity: Callable, field: Field, update: Any, duration: Any, args: Args
) -> Callable[[State], tuple[Scalar, Scalar, Scalar]]:
    """The change at a state, the norm of the gradient times that of the motion, and the squared speed."""

    def follow(y: State) -> State:
        if update is not None:
            return _stepped(update, field, y, args)
        ts = jnp.stack([jnp.zeros_like(duration), duration])
        tolerance = _TOLERANCE[max(jnp.dtype(_tree.dtype(y)).itemsize, 4)]
        return flow(field, y, ts, args=args, rtol=tolerance, adjoint=diffrax.ForwardMode(), throw=False).final_state

    def measure(y: State) -> tuple[Scalar, Scalar, Scalar]:
        velocity, slope = _velocity(field, y, args), jax.grad(quantity)(y)
        speed = _tree.squared_norm(velocity)
        if update is None and duration is None:
            change = jax.tree.reduce(jnp.add, jax.tree.map(lambda a, b: jnp.sum(a * b), slope, velocity))
            return change, _tree.norm(slope) * jnp.sqrt(speed), speed
        there = follow(y)
        return quantity(there) - quantity(y), _tree.norm(slope) * _tree.norm(_tree.subtract(there, y)), speed

    return measure


def _velocity(field: Field, y: State, args: Args) -> State:
    return jax.tree.map(lambda v, leaf: jnp.asarray(v, leaf.dtype), field(0.0, y, args), y)


def _stepped(update: AbstractUpdate, field: Field, y: State, args: Args) -> State:
    return update.step(field, 0.0, y, args, update.init(field, y, args))[0]
