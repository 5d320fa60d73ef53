import dataclasses
import html
import importlib.resources
import inspect
import os
import pathlib
import string
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ... import _checks, _files, updates as _updates
from ..._problem import arrays
from ..._rules import a_rule
from ..._types import State
from ...games import Players
from ._programs import depends_on_time, Family, flat, json_of, Programs

Range = tuple[float, float]
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
    labels: tuple[str, str] = ("discriminator", "generator"),
    title: str = "gan_ode explorer",
) -> Explorer:
    r"""A page in which a game of two numbers is moved by hand: its plane, its flow and what updates make of it.

    The field, its Jacobian, and of each update the memory, the step and the Jacobian of the step are traced by JAX, and
    written out as JavaScript; so what the page computes is what the package computes, to rounding. The page shows
    streamlines, nullclines and equilibria by type; a start that is dragged, with the flow and the updates from there;
    the multipliers of a step beside the unit circle; a map of the first parameter and the step size; the distance to
    the equilibrium over time; and the fate of the flow in words. It is one file, works offline, and asks nothing of any
    server.

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
    programs = [_programs(each, tuple(parameters), like, rules, ranges) for each in families.values()]
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
    page = Explorer(_page(setup, list(families), list(presets or {}), programs, view, labels, title))
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


def _programs(family: Family, names: tuple[str, ...], like: State, rules: dict[str, Any], ranges: Any) -> str:
    made = Programs(family, names, like, rules)
    field = made.field(jnp.asarray([low for low, _ in ranges[:-1]]))
    if not callable(field):
        raise ValueError(f"`family` must give a field, but gives {field!r}: wrap a game as `fields.GameField(game)`.")
    if depends_on_time(field, like):
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


def _page(
    setup: dict[str, Any],
    families: list[str],
    presets: list[str],
    programs: list[str],
    view: Any,
    labels: Any,
    title: str,
) -> str:
    try:
        from bokeh.embed import components
        from bokeh.resources import Resources
    except ImportError as error:
        raise ImportError("`plot.explorer` needs Bokeh: `pip install bokeh`.") from error
    from ._figures import COLORS, figures, MAP_SIZE

    shown = figures(view, labels, setup["rules"], setup["names"][0], setup["ranges"])
    setup = {**setup, "mapSize": list(MAP_SIZE)}
    script, divs = components(shown.all)
    ids = {name: model.id for name, model in shown.parts.items()}
    identity = f"explorer-{uuid.uuid5(uuid.NAMESPACE_URL, title + ''.join(programs)).hex[:8]}"
    body = string.Template(_text("page.html")).substitute(
        id=identity,
        presets="".join(_button(k, name) for k, name in enumerate(presets)),
        families=_menu(families),
        sliders="".join(_slider(i, name) for i, name in enumerate(setup["names"])),
        rules=_flow_swatch() + "".join(_box(i, name, COLORS[i]) for i, name in enumerate(setup["rules"])),
        **dict(zip(("portrait", "multipliers", "map", "distance"), divs, strict=True)),
    )
    own = string.Template(_text("shell.js")).substitute(
        engine=_text("engine.js"), page=_text("page.js"), families=",\n".join(programs), setup=json_of(setup),
        ids=json_of(ids), figures=json_of([each.id for each in shown.all]),
        inked=json_of([each.id for each in shown.inked]), identity=json_of(identity),
    )  # fmt: skip
    library = Resources(mode="inline", components=["bokeh"]).render_js()
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{html.escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"{library}\n<style>body {{ margin: 0; }}</style>\n</head>\n<body>\n{body}\n{script}\n"
        f"<script>\n{own}\n</script>\n</body>\n</html>\n"
    )


def _text(name: str) -> str:
    return importlib.resources.files("gan_ode.plot._explorer").joinpath(name).read_text(encoding="utf-8")


def _button(k: int, name: str) -> str:
    return f'<button type="button" data-part="preset-{k}">{html.escape(name)}</button>'


def _menu(families: list[str]) -> str:
    if len(families) == 1:
        return ""
    options = "".join(f'<option value="{i}">{html.escape(name)}</option>' for i, name in enumerate(families))
    return f'<label>game <select data-part="families">{options}</select></label>'


def _slider(i: int, name: str) -> str:
    return (
        f'<label>{html.escape(name)} <input type="range" min="0" max="1" step="0.001" data-part="slider-{i}" '
        f'aria-label="{html.escape(name)}"><output data-part="value-{i}"></output></label>'
    )


def _flow_swatch() -> str:
    from .._style import BLUE

    return f'<span><span class="swatch" style="border-color: {BLUE}"></span> flow</span>'


def _box(i: int, name: str, color: str) -> str:
    return (
        f'<label><input type="checkbox" data-part="rule-{i}">'
        f'<span class="swatch" style="border-color: {color}"></span> {html.escape(name)}</label>'
    )
