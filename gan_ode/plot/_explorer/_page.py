"""The explorer's page, put together from its parts."""

import html
import importlib.resources
import string
import uuid
from typing import Any

from ._programs import json_of


def page_of(
    setup: dict[str, Any],
    families: list[str],
    presets: list[str],
    programs: list[str],
    view: Any,
    labels: Any,
    title: str,
    invariant: str | None,
) -> str:
    """The page, as HTML that needs nothing else.

    Args:
        setup: What the page's script reads.
        families: Names of the families.
        presets: Names of the presets.
        programs: The JavaScript of each family.
        view: The part of the plane that is shown.
        labels: Names of the two numbers.
        title: Of the page.
        invariant: Title of the panel of a quantity over time; None for no such panel.
    """
    try:
        from bokeh.embed import components
        from bokeh.resources import Resources
    except ImportError as error:
        raise ImportError("`plot.explorer` needs Bokeh: `pip install bokeh`.") from error
    from .._style import BLUE
    from ._figures import COLORS, figures, MAP_SIZE

    shown = figures(view, labels, setup["rules"], setup["names"][0], setup["ranges"], invariant)
    setup = {**setup, "mapSize": list(MAP_SIZE), "colors": list(COLORS), "flowColor": BLUE}
    script, divs = components(shown.all)
    ids = {name: model.id for name, model in shown.parts.items()}
    identity = f"explorer-{uuid.uuid5(uuid.NAMESPACE_URL, title + ''.join(programs)).hex[:8]}"
    body = string.Template(_text("page.html")).substitute(
        id=identity,
        presets="".join(_button(k, name) for k, name in enumerate(presets)),
        families=_menu(families),
        sliders="".join(_slider(i, name) for i, name in enumerate(setup["names"])),
        rules=_flow_swatch() + "".join(_box(i, name, COLORS[i]) for i, name in enumerate(setup["rules"])),
        **dict(zip(("portrait", "region", "map", "multipliers", "distance"), divs, strict=False)),
        invariant=f'<div class="grow" data-part="quantity">{divs[-1]}</div>' if invariant is not None else "",
    )
    own = string.Template(_text("shell.js")).substitute(
        engine=_text("engine.js"), regions=_text("regions.js"), motion=_text("motion.js"), page=_text("page.js"),
        families=",\n".join(programs), setup=json_of(setup),
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
