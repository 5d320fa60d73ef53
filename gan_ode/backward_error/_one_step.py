"""An update as a map of the state alone, that depends on its step size smoothly down to zero."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .._rules import is_used, Resized, stores_step_size
from .._types import Args, Field, RealScalarLike, Scalar, State
from ..updates import AbstractUpdate


def make(rule: Any, step_size: RealScalarLike) -> AbstractUpdate:
    """The update of a step size, refused unless it is one.

    Raises:
        ValueError: If `rule` is no update, and no class or function that makes one.
    """
    remedy = "give a class, as `updates.Simultaneous`, a function, as `lambda h: updates.Alternating(h)`, or an update."
    given = isinstance(rule, AbstractUpdate)
    if not given and not callable(rule):
        raise ValueError(f"`rule` must make an update from a step size, but is {rule!r}: {remedy}")
    update: Any = rule if given else rule(step_size)
    if not isinstance(update, AbstractUpdate):
        raise ValueError(f"`rule` must return an update from `gan_ode.updates`, but returned {update!r}: {remedy}")
    if not stores_step_size(update):
        raise ValueError(
            f"`rule` must store its `step_size` as an array or a number, but that of {type(update).__name__} is "
            "static or computed: the series is in powers of it. Declare it as a plain field."
        )
    return Resized(update)(step_size) if given else update


def step(
    rule: AbstractUpdate, field: Field, t: RealScalarLike, y: State, args: Args, step_size: RealScalarLike
) -> State:
    """One step of the rule, with another step size; zero and traced ones are welcome.

    The constructors refuse a step size of 0, around which the series is; so the stored one is replaced.
    """
    resized = eqx.tree_at(lambda r: r.step_size, rule, step_size)
    return resized.step(field, t, y, args, resized.init(field, y, args))[0]


def check(rule: AbstractUpdate, field: Field, t: Scalar, y: State, args: Args) -> None:
    """Refuses rules whose step is no map of the state alone, or does not depend on `step_size`.

    Raises:
        ValueError: If the rule has memory, or moves by something else than its `step_size`.
    """
    name = type(rule).__name__
    if jax.tree.leaves(eqx.filter_eval_shape(rule.init, field, y, args)):
        raise ValueError(
            f"`rule` must be a map of the state alone, but {name} has memory (momentum, averages, a last velocity): "
            "no field on the states has an orbit that such a rule follows. Take a rule without memory, for example "
            "`updates.Simultaneous`, `updates.Alternating` or `updates.Extragradient`."
        )
    if not is_used(lambda h: step(rule, field, t, y, args, h), jnp.zeros_like(t)):
        raise ValueError(
            f"`rule` must step by its `step_size`, but the step of {name} does not depend on it: for plain gradient "
            "descent take `updates.Simultaneous` or `updates.Alternating`, with the players' learning rates as "
            "`rates` of the field."
        )
