import dataclasses
import html
import inspect
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ... import _checks, _files, updates as _updates
from ..._problem import arrays
from ..._rules import a_rule
from ..._types import Scalar, State
from ...games import Players
from ._page import page_of
from ._programs import depends_on_time, Family, flat, Programs

Range = tuple[float, float]
Quantity = Callable[[State], Scalar]
_MOST_RULES = 5
# Steps that a browser follows while a slider moves.
_MOST_STEPS = 3000


@dataclasses.dataclass(frozen=True)
class Explorer:
    """A page that explores a game in the browser; notebooks show it in place.

    Attributes:
        page: The whole page, as HTML that needs nothing else.
    """

    page: str = dataclasses.field(repr=False)

    def save(self, path: str | os.PathLike[str]) -> pathlib.Path:
        """Writes the page to a file, and returns its path."""
        target = pathlib.Path(path)
        _files.replace(target, self.page.encode())
        return target

    def _repr_html_(self) -> str:
        # A frame of its own: neither its scripts nor its style meet those of the notebook.
        return (
            f'<iframe srcdoc="{html.escape(self.page)}" title="Explorer" loading="lazy" '
            'style="width: 100%; height: 860px; border: 0"></iframe>'
        )


def explorer(
    family: Family | Mapping[str, Family],
    parameters: Mapping[str, Range],
    step_size: Range,
    updates: Mapping[str, Any] | Sequence[Any],
    path: str | os.PathLike[str] | None = None,
    *,
    start: State | None = None,
    view: tuple[Range, Range] = ((-2.0, 2.0), (-2.0, 2.0)),
    duration: float = 30.0,
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    invariant: Quantity | Mapping[str, Quantity] | None = None,
    labels: tuple[str, str] = ("discriminator", "generator"),
    title: str = "gan_ode explorer",
) -> Explorer:
    r"""A page in which a game of two numbers is moved by hand: its plane, its flow and what updates make of it.

    The field, its Jacobian, and of each update the memory, the step and the Jacobian of the step are traced by JAX, and
    written out as JavaScript; so what the page computes is what the package computes, to rounding. The page shows
    streamlines, nullclines and equilibria by type; a start that is dragged, with the flow and the updates from there,
    and a clock that moves along them in matched time; step size times eigenvalues, within where each update is stable;
    a map of the first parameter and the step size, beside it; the multipliers of a step beside the unit circle; the
    distance to the equilibrium and an invariant over time; and the fate of the flow in words. It is one file, works
    offline, and asks nothing of any server.

    Of rules whose players step one after the other the region of stability is that of matrices with the eigenvectors
    of the equilibrium's Jacobian; where its eigenvalues are real, the page says that there is none.

    ```python
    from gan_ode import fields, games, losses, plot, regularizers, updates

    def family(eta):
        game = regularizers.Penalized(games.Dirac(losses.Wasserstein()), regularizers.GradientNorm(eta))
        return fields.GameField(game)

    page = plot.explorer(
        family, {"eta": (0.0, 1.0)}, (0.01, 1.0), [updates.Simultaneous, updates.Alternating]
    )
    assert page.page.startswith("<!DOCTYPE html>")
    ```

    Needs Bokeh: `pip install bokeh`.

    Args:
        family: From parameters, by keyword, to a field; or several such, by the names that a menu shows.
        parameters: For each parameter its lowest and highest value; it starts at the lowest.
        step_size: The smallest and the largest step size, above 0. Its slider is logarithmic, and starts at a tenth of
            the largest, or at the smallest.
        updates: At most five rules: classes, functions from step size to update, or updates, whose step size is
            replaced. The first two are shown at the beginning. A mapping gives them names.
        path: Where to write the page; None to write nothing.
        start: Where orbits begin, with two numbers in all; `Players(0.5, 0.5)` by default. It says what a state is.
        view: The part of the plane that is shown: of the first number, and of the second.
        duration: How much time orbits cover.
        presets: Buttons: for each name a mapping with values of parameters, and, where wanted, `step_size`, `family`
            (its name) and `start` (two numbers). The page opens with the first.
        invariant: A function of the state, one number, that is followed over time, for example a quantity that the
            flow keeps. Or several such, by the names of families; those without one do not show the panel.
        labels: Names of the two numbers.
        title: Of the page.

    Returns:
        The page, to be saved or shown in a notebook.

    Raises:
        ValueError: If an argument cannot work; if the state has not two numbers; if a field depends on time; or if a
            field or update cannot be written as operations on scalars, for example because it solves equations.
    """
    rules = _named_rules(updates)
    families = dict(family) if isinstance(family, Mapping) else {"": family}
    ranges = [
        *(_range(f"parameters[{name!r}]", each) for name, each in parameters.items()),
        _range("step_size", step_size),
    ]
    if not parameters:
        raise ValueError("`parameters` must name at least one, but is empty: for example {'eta': (0.0, 1.0)}.")
    if ranges[-1][0] <= 0:
        raise ValueError(f"`step_size` must begin above 0, but is {step_size}: its slider is logarithmic.")
    like = arrays(Players(jnp.asarray(0.5), jnp.asarray(0.5)) if start is None else start, "start")
    if flat(like).size != 2:
        raise ValueError(f"`start` must hold two numbers, but has {flat(like).size}: a plane is all that is shown.")
    quantities = _quantities(invariant, families, like)
    programs = [
        _programs(Programs(each, tuple(parameters), like, rules, quantities.get(name)), ranges)
        for name, each in families.items()
    ]
    setup = {
        "names": [*parameters, "step size"],
        "ranges": ranges,
        "values": [*(low for low, _ in ranges[:-1]), max(ranges[-1][0], ranges[-1][1] / 10)],
        "start": [float(x) for x in flat(like)],
        "rules": list(rules),
        "duration": float(_checks.positive("duration", duration, "Orbits cover so much time.")),
        "most": _MOST_STEPS,
        "code": {name: _code(name, rule) for name, rule in rules.items()},
        "families": list(families),
        "preamble": _preamble(like),
    }
    setup["presets"] = [_preset(name, each, setup, list(families)) for name, each in (presets or {}).items()]
    panel = "Invariant" if quantities else None
    page = Explorer(page_of(setup, list(families), list(presets or {}), programs, view, labels, title, panel))
    if path is not None:
        page.save(path)
    return page


def _named_rules(updates: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    rules = dict(updates) if isinstance(updates, Mapping) else {_name(each): each for each in updates}
    if not rules or len(rules) > _MOST_RULES or len(rules) != len(updates):
        raise ValueError(
            f"`updates` must be one to {_MOST_RULES} rules of different names, but are {list(rules)}: give a mapping."
        )
    for rule in rules.values():
        a_rule(rule)
    return rules


def _name(rule: Any) -> str:
    return getattr(rule, "__name__", type(rule).__name__).strip("<>")


def _code(name: str, rule: Any) -> str:
    """The rule in Python: one of the package by its name, another as one of the user's own."""
    known = inspect.isclass(rule) and getattr(_updates, rule.__name__, None) is rule
    return f"updates.{rule.__name__}" if known else f"rules[{name!r}]"


def _range(name: str, given: Any) -> Range:
    try:
        low, high = (float(each) for each in given)
    except (TypeError, ValueError):
        low, high = float("nan"), float("nan")
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(f"`{name}` must be a lower and a higher number, but is {given!r}: for example (0.0, 1.0).")
    return low, high


def _quantities(given: Any, families: Mapping[str, Family], like: State) -> Mapping[str, Quantity]:
    quantities: dict[str, Any] = dict(given) if isinstance(given, Mapping) else {}
    if given is not None and not isinstance(given, Mapping):
        quantities = dict.fromkeys(families, given)
    if unknown := sorted(set(quantities) - set(families)):
        raise ValueError(f"`invariant` must go by the names of families, {list(families)}, but names {unknown}.")
    for quantity in quantities.values():
        found = jax.eval_shape(quantity, like) if callable(quantity) else quantity
        if getattr(found, "shape", None) != ():
            raise ValueError(
                f"`invariant` must give one number of a state, but gives {found!r}: for example "
                "`lambda y: y.discriminator**2 + y.generator**2`."
            )
    return quantities


def _programs(made: Programs, ranges: Any) -> str:
    field = made.field(jnp.asarray([low for low, _ in ranges[:-1]]))
    if not callable(field):
        raise ValueError(f"`family` must give a field, but gives {field!r}: wrap a game as `fields.GameField(game)`.")
    if depends_on_time(field, made.like):
        raise ValueError("`family` must give fields without explicit time, but one depends on `t`: fix the time.")
    return made.javascript()


def _preamble(like: State) -> str:
    """The first lines of the Python that is copied, with what makes a state of two numbers."""
    leaves = jax.tree.leaves(like)
    if isinstance(like, Players) and len(leaves) == 2:
        restore = ", ".join(f"x[{i}].reshape({leaf.shape})" for i, leaf in enumerate(leaves))
        restore = f"games.Players({restore})"
    else:
        restore = f"x.reshape({leaves[0].shape})" if like is leaves[0] else "own_state(x)"
    return (
        "import jax.numpy as jnp\nfrom gan_ode import flow, games, iterate, updates\n\n\n"
        f"def restore(x):\n    return {restore}\n\n\n"
        "# `family`, and `rules` that are no classes of the package, are yours, as they were given to `plot.explorer`."
    )


def _preset(name: str, given: Mapping[str, Any], setup: dict[str, Any], families: list[str]) -> dict[str, Any]:
    known = {*setup["names"][:-1], "step_size", "family", "start"}
    if unknown := sorted(set(given) - known):
        raise ValueError(f"`presets[{name!r}]` must name parameters or {sorted(known)}, but names {unknown}.")
    values = [given.get("step_size" if each == "step size" else each) for each in setup["names"]]
    preset: dict[str, Any] = {"values": [None if value is None else float(value) for value in values]}
    if "family" in given:
        _checks.one_of(f"presets[{name!r}]['family']", given["family"], tuple(families))
        preset["family"] = families.index(given["family"])
    if "start" in given:
        preset["start"] = [float(x) for x in given["start"]]
    return preset
