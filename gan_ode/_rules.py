"""A rule makes an update from a step size: it is a class, a function, or an update, whose step size is replaced."""

from collections.abc import Callable
from typing import Any, TypeAlias

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp

from . import _checks, _tree
from ._jax import Literal
from ._types import Args, Field, RealScalarLike, State
from .updates import AbstractUpdate

Rule: TypeAlias = AbstractUpdate | Callable[[RealScalarLike], AbstractUpdate]


class Resized(eqx.Module):
    """What makes of an update the same one with another step size.

    The constructors refuse a step size of 0, and do other work, so the stored one is replaced.
    """

    update: AbstractUpdate

    def __call__(self, step_size: RealScalarLike) -> AbstractUpdate:
        return eqx.tree_at(lambda update: update.step_size, self.update, _checks.as_float(step_size))


def maker(rule: Any, field: Field, y: State, args: Args) -> Callable[[RealScalarLike], AbstractUpdate]:
    """The function from step size to update that a rule is; classes and functions come back as they are.

    Args:
        rule: A class of update, a function from step size to update, or an update.
        field: The field, and with the next two what a step is asked about.
        y: A state.
        args: Handed to the field.

    Raises:
        ValueError: If `rule` is none of these, or an update whose steps have another size than its `step_size`.
    """
    a_rule(rule)
    if not isinstance(rule, AbstractUpdate):
        function: Any = rule
        return function
    name = type(rule).__name__
    if not stores_step_size(rule):
        raise ValueError(
            f"`rule` must store its `step_size` as an array or a number, but that of {name} is static or computed, so "
            "that it cannot be replaced: give a function from step size to update."
        )

    def step(step_size: RealScalarLike) -> State:
        update = Resized(rule)(step_size)
        return update.step(field, jnp.zeros((), _tree.dtype(y)), y, args, update.init(field, y, args))[0]

    if not is_used(step, jnp.zeros((), _tree.dtype(y))):
        raise ValueError(
            f"`rule` must step by its `step_size`, but the step of {name} does not depend on it: give a function from "
            "step size to update, for example `lambda h: updates.Optax(optax.sgd(h), optax.sgd(h))`."
        )
    return Resized(rule)


def a_rule(rule: Any, name: str = "rule") -> None:
    """Refuses what makes no update from a step size.

    Raises:
        ValueError: If it is neither an update nor callable; the text says what it is, and how to make a rule of it.
    """
    if isinstance(rule, AbstractUpdate):
        return
    of_another = isinstance(rule, type) and not issubclass(rule, AbstractUpdate)
    if callable(rule) and not of_another:
        return
    kind, found = (rule, f"the class {rule.__name__}") if isinstance(rule, type) else (type(rule), repr(rule))
    remedy = (
        "give a class, as `updates.Simultaneous`, a function, as `lambda h: updates.Alternating(h)`, or an update, as "
        "`updates.Alternating(0.1)`."
    )
    if issubclass(kind, diffrax.AbstractSolver):
        remedy = "write `lambda h: updates.SolverStep(solver, h)`."
    elif _is_optimizer(rule):
        remedy = "write `lambda h: updates.Optax(optax.sgd(h), optax.sgd(h))`."
    raise ValueError(f"`{name}` must make an update from a step size, but is {found}: {remedy}")


def an_update(update: Any, name: str = "update") -> None:
    """Refuses what is no instance of an update.

    Raises:
        ValueError: If it is none; the text says what it is, and how to make an update of it.
    """
    if not isinstance(update, AbstractUpdate):
        raise ValueError(f"`{name}` must be a rule from `gan_ode.updates`, but is {_instead(update)}")


def _instead(update: Any) -> str:
    """What somebody took for a rule, and how to make one of it."""
    if isinstance(update, type):
        return f"the class {update.__name__}: make an instance, for example `{update.__name__}(0.1)`."
    if isinstance(update, diffrax.AbstractSolver):
        return f"the solver {type(update).__name__}: write `updates.SolverStep(solver, 0.1)`."
    if _is_optimizer(update):
        return "an optimizer of Optax: write `updates.Optax(discriminator=optimizer, generator=optimizer)`."
    return f"{update!r}: for example `Simultaneous(0.1)`."


def _is_optimizer(thing: Any) -> bool:
    return hasattr(thing, "init") and hasattr(thing, "update")


def stores_step_size(update: AbstractUpdate) -> bool:
    """Whether the step size is a leaf of the update, which can be replaced."""
    return any(leaf is update.step_size for leaf in jax.tree.leaves(update))


def is_used(function: Callable[[Any], State], like: Any) -> bool:
    """Whether a function computes anything from its argument."""
    jaxpr = jax.make_jaxpr(function)(like).jaxpr
    read = {v for equation in jaxpr.eqns for v in equation.invars if not isinstance(v, Literal)}
    return jaxpr.invars[0] in read or jaxpr.invars[0] in jaxpr.outvars
