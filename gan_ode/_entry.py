"""The check at the door of every function of the analysis: what cannot work is refused in words before anything
compiles.

`guarded` asks about arguments by their names, which mean the same in all functions: `field`, `update`, `rule`,
`family`, `game`, `args`. What a state is called differs, and is said.
"""

import contextvars
import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from . import _checks, _problem
from ._progress import telling
from ._rules import a_rule, an_update
from ._types import State
from .fields import GameField
from .updates import AbstractUpdate

_Inputs = ParamSpec("_Inputs")
_Output = TypeVar("_Output")

# Whether a function that was checked is running: what it calls need not be checked again.
_inside = contextvars.ContextVar("_inside", default=False)
# A step size at which a rule is asked what it makes.
_TYPICAL = 0.1
_REMEMBERED = 256


def guarded(
    state: str | None = None,
    *,
    rows: bool = False,
    like: str | None = None,
    along: str | None = None,
    whole: bool = False,
    rules: bool = False,
) -> Callable[[Callable[_Inputs, _Output]], Callable[_Inputs, _Output]]:
    """A decorator: looks at the arguments of the outermost call, and hands on states as arrays.

    The field is traced once at the state, and a step of the update likewise; nothing is compiled, and what was traced
    for one call is known for the next of the same shapes.

    Args:
        state: The name of the state's argument.
        rows: Whether that holds many states, with a leading axis.
        like: The name of another argument that must be a state of the same shapes.
        along: The name of the argument with the values of a parameter, from which `family` makes a field and, where it
            is a function, `state` a state.
        whole: Whether states may be of whole numbers, as the corners of a box.
        rules: Whether `update` may be a rule as well, and `family` then one field.

    Returns:
        The decorator. What it decorates raises a `ValueError` that names the argument, what it is, and the remedy.
    """

    def decorate(function: Callable[_Inputs, _Output]) -> Callable[_Inputs, _Output]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: _Inputs.args, **kwargs: _Inputs.kwargs) -> _Output:
            if _inside.get():
                return function(*args, **kwargs)
            # Python's own word on arguments that are missing, or too many.
            bound = signature.bind(*args, **kwargs)
            # None stands for what is left out.
            left_out = [
                name for name, value in bound.arguments.items() if value is None and _is_optional(signature, name)
            ]
            _check_kinds({name: value for name, value in bound.arguments.items() if name not in left_out}, rules)
            if whole:
                corners = {name: bound.arguments[name] for name in (state, like) if name is not None}
                bound.arguments |= {name: jax.tree.map(_floats, corner) for name, corner in corners.items()}
            if state is not None:
                _check_states(bound.arguments, state, rows, like, along)
            token = _inside.set(True)
            try:
                with telling(function.__name__):
                    return function(*bound.args, **bound.kwargs)
            finally:
                _inside.reset(token)

        return call

    return decorate


def _is_optional(signature: inspect.Signature, name: str) -> bool:
    """Whether an argument may be None, as it is by default."""
    return signature.parameters[name].default is None


def _check_kinds(given: dict[str, Any], rules: bool) -> None:
    """Refuses what is not the kind of thing that its name says."""
    kinds = _KINDS
    if rules and given.get("update") is not None:
        kinds = kinds | {"update": _a_rule, "family": _a_family_or_field}
    for name, refuse in kinds.items():
        if name in given:
            refuse(given[name], name)


def _update_or_none(update: Any, name: str) -> None:
    if update is not None:
        an_update(update, name)


def _a_rule(rule: Any, name: str) -> None:
    a_rule(rule, name)


def _a_family(family: Any, name: str) -> None:
    remedy = "give a function from the parameter, as `lambda eta: fields.GameField(games.Dirac(loss(eta)))`."
    if not callable(family):
        raise ValueError(f"`{name}` must make a field of a parameter, but is {_called(family)}: {remedy}")
    if _checks.is_field(family):
        raise ValueError(f"`{name}` must make a field of a parameter, but is {_called(family)}, a field: {remedy}")


def _a_family_or_field(family: Any, name: str) -> None:
    if not _checks.is_field(family):
        _a_family(family, name)


def _called(thing: Any) -> str:
    if hasattr(thing, "losses"):
        return f"the game {type(thing).__name__}"
    return getattr(thing, "__name__", None) or (type(thing).__name__ if isinstance(thing, eqx.Module) else repr(thing))


def _a_quantity(quantity: Any, name: str) -> None:
    if quantity is None:
        return
    if isinstance(quantity, type) or not callable(quantity):
        raise ValueError(
            f"`{name}` must be a function of a state, but is {quantity!r}: for example "
            "`lambda y: y.discriminator**2 + y.generator**2`."
        )


def _an_orbit(orbit: Any, name: str) -> None:
    if not (hasattr(orbit, "ts") and hasattr(orbit, "ys")):
        raise ValueError(
            f"`{name}` must be an orbit, but is {type(orbit).__name__}: give what `flow` or `iterate` returns, with "
            "its times, and not its states alone."
        )


def _a_matrix(matrix: Any, name: str) -> None:
    shape = None if callable(matrix) or isinstance(matrix, type) else _shape(matrix)
    if shape is None or len(shape) != 2 or shape[0] != shape[1]:
        found = f"of shape {shape}" if shape is not None else _called(matrix)
        raise ValueError(
            f"`{name}` must be a square matrix, but is {found}: for example `analysis.jacobian(field, y)`."
        )


def _shape(thing: Any) -> tuple[int, ...] | None:
    if isinstance(thing, jax.Array | np.ndarray | list | tuple | float | int):
        return np.shape(thing)
    return None


_KINDS: dict[str, Callable[[Any, str], None]] = {
    "field": _problem.a_field,
    "game": _problem.a_game,
    "update": _update_or_none,
    "rule": _a_rule,
    "family": _a_family,
    "quantity": _a_quantity,
    "invariant": _a_quantity,
    "function": _a_quantity,
    "orbit": _an_orbit,
    "steps": _an_orbit,
    "jacobian": _a_matrix,
    "step_jacobian": _a_matrix,
}


def _check_states(given: dict[str, Any], name: str, rows: bool, like: str | None, along: str | None) -> None:
    parameter = None if along is None else _first(given[along])
    if parameter is None and along is not None:
        # The function has a word on a range that is none.
        return
    if along is not None and callable(given[name]) and not isinstance(given[name], _problem.AbstractAtState):
        y = _shapes(lambda value: _problem.state_of(given[name](value)), parameter)
        if not _is_state(y):
            raise ValueError(
                f"`{name}` must be a function from the parameter to a state, but returns {y!r}: return arrays, as "
                "`games.Players(discriminator=..., generator=...)`."
            )
    else:
        if isinstance(given[name], type) or (not rows and callable(given[name])):
            raise ValueError(f"`{name}` must be a state, but is {_called(given[name])}: {_STATE}")
        y = _problem.arrays(given[name], name)
        if not isinstance(given[name], _problem.AbstractAtState):
            given[name] = y
    if rows:
        _problem.num_rows(y, name)
        y = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), y)
    _check_motion(given, y, name, parameter)
    if like is not None:
        other = _problem.arrays(given[like], like)
        _check_like(y, name, other, like)
        if not isinstance(given[like], _problem.AbstractAtState):
            given[like] = other


_STATE = "give arrays, for a game `games.Players(discriminator=..., generator=...)`."


def _first(values: Any) -> Any:
    """One value of a parameter, of a range or a single one; None if there is none."""
    # In NumPy where they are known: outside `jax.jit` every operation of JAX is compiled by itself.
    try:
        values = jnp.asarray(values) if _checks.is_traced(values) else np.asarray(values)
    except (TypeError, ValueError):
        return None
    if values.ndim and not values.shape[0]:
        return None
    value = values[0] if values.ndim else values
    return value if jnp.issubdtype(value.dtype, jnp.inexact) else value.astype(float)


def _floats(leaf: Any) -> Any:
    whole = isinstance(leaf, int | np.integer | jax.Array | np.ndarray) and jnp.issubdtype(
        jnp.result_type(leaf), jnp.integer
    )
    return _checks.floats(leaf) if whole else leaf


def _is_state(y: Any) -> bool:
    leaves = jax.tree.leaves(y)
    return bool(leaves) and all(hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves)


def _check_like(y: State, name: str, other: State, like: str) -> None:
    same = jax.tree.structure(y) == jax.tree.structure(other)
    if not same or [leaf.shape for leaf in jax.tree.leaves(y)] != [leaf.shape for leaf in jax.tree.leaves(other)]:
        raise ValueError(
            f"`{like}` must be a state like `{name}`, but is {_problem.shapes_of(other)}, and `{name}` is "
            f"{_problem.shapes_of(y)}: take both of the same game."
        )


def _check_motion(given: dict[str, Any], y: State, name: str, parameter: Any) -> None:
    """Whether the field has a velocity at the state, and the update a step from it."""
    args = given.get("args")
    if "game" in given:
        make: Any = GameField
        source = given["game"]
    elif "family" in given and not _checks.is_field(given["family"]):
        make, source = given["family"], parameter
    elif "family" in given:
        make, source = None, given["family"]
    elif "field" in given:
        make, source = None, given["field"]
    else:
        return
    _velocity_fits(make, source, y, args, name=name)
    update = given.get("update") if given.get("update") is not None else given.get("rule")
    if update is not None:
        _step_fits(make, source, update, y, args, name=name, called="update" if "update" in given else "rule")


def _remembering(look: Callable[..., None]) -> Callable[..., None]:
    """What was looked at once need not be again, of arguments of the same shapes, whatever they are called."""
    seen: dict[Any, None] = {}

    @functools.wraps(look)
    def call(*inputs: Any, **names: str) -> None:
        # A function may hold a tracer of this very transformation.
        key = None if _checks.is_transformed() else _key(inputs)
        if key is not None and key in seen:
            return
        look(*inputs, **names)
        if key is not None:
            seen[key] = None
            if len(seen) > _REMEMBERED:
                seen.pop(next(iter(seen)), None)

    return call


def _key(inputs: Any) -> Any:
    """What tells arguments of different shapes apart; None if something has no hash."""
    leaves, structure = jax.tree.flatten(inputs)
    key = (structure, *(_struct(leaf) for leaf in leaves))
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _struct(leaf: Any) -> Any:
    if not isinstance(leaf, jax.Array | np.ndarray | np.generic):
        return leaf
    return jax.ShapeDtypeStruct(leaf.shape, jax.dtypes.canonicalize_dtype(leaf.dtype, allow_extended_dtype=True))


def _shapes(function: Callable, *inputs: Any) -> Any:
    return eqx.filter_eval_shape(function, *inputs)


@_remembering
def _velocity_fits(make: Any, source: Any, y: State, args: Any, *, name: str) -> None:
    if make is None:
        return _problem.same_structure(source, 0.0, y, args, name, dtypes=False)

    def look(make: Any, source: Any, y: State, args: Any) -> None:
        field = make(source)
        _problem.a_field(field, "family(...)")
        _problem.same_structure(field, 0.0, y, args, name, dtypes=False)

    return _shapes(look, make, source, y, args)


@_remembering
def _step_fits(make: Any, source: Any, update: Any, y: State, args: Any, *, name: str, called: str) -> None:
    def step(make: Any, source: Any, update: Any, y: State, args: Any) -> State:
        field = source if make is None else make(source)
        rule = update if isinstance(update, AbstractUpdate) else _made(update)
        return rule.step(field, jnp.zeros(()), y, args, rule.init(field, y, args))[0]

    try:
        with _problem.renamed("y0", name):
            after = _shapes(step, make, source, update, y, args)
    except (TypeError, AttributeError, LookupError) as error:
        if isinstance(error, jax.errors.JAXTypeError):
            raise
        raise ValueError(
            f"`{called}` must fit the state `{name}`, but a step of {_called_rule(update)} raises "
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'nothing more'} The state is "
            f"{_problem.shapes_of(y)}. Rules that move each player by itself want `games.Players`; "
            "`updates.Simultaneous` takes any state."
        ) from error
    shapes = [[leaf.shape for leaf in jax.tree.leaves(tree)] for tree in (after, y)]
    if jax.tree.structure(after) != jax.tree.structure(y) or shapes[0] != shapes[1]:
        raise ValueError(
            f"`{called}` must step to a state like `{name}`, but {_called_rule(update)} makes one of structure "
            f"{jax.tree.structure(after)} and shapes {shapes[0]}, and `{name}` has {jax.tree.structure(y)} and "
            f"{shapes[1]}: let `step` return the next state and the memory."
        )


def _made(rule: Callable) -> AbstractUpdate:
    """What a rule makes of a step size."""
    remedy = "give a class, as `updates.Simultaneous`, or a function, as `lambda h: updates.Alternating(h)`."
    try:
        made = rule(jnp.asarray(_TYPICAL))
    except (TypeError, AttributeError) as error:
        if isinstance(error, jax.errors.JAXTypeError):
            raise
        raise ValueError(
            f"`rule` must make an update from a step size, but {_called_rule(rule)} raises {type(error).__name__} for "
            f"one: {error} So {remedy}"
        ) from error
    if not isinstance(made, AbstractUpdate):
        raise ValueError(
            f"`rule` must make an update from a step size, but {_called_rule(rule)} makes a {type(made).__name__}: "
            f"{remedy}"
        )
    return made


def _called_rule(rule: Any) -> str:
    return getattr(rule, "__name__", type(rule).__name__)
