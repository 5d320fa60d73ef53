"""The explorer in a real browser: it moves, by mouse, touch and keyboard, and says what the package says.

Needs Chromium; `make test-browser` runs it.
"""

import shutil
import statistics
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from playwright.sync_api import Page, sync_playwright

from gan_ode import analysis, fields, games, iterate, losses, plot, regularizers, updates
from gan_ode.games import Players

pytestmark = pytest.mark.browser

# Measured: at most 3e-13 after a hundred steps.
ROUNDING = 1e-9
# From a slider's move to the last picture, as a median.
MOST_MILLISECONDS = 50
START = Players(jnp.array(0.5), jnp.array(1.2))
RULES = {
    "simultaneous": updates.Simultaneous,
    "alternating": updates.Alternating,
    "heavy ball": lambda h: updates.HeavyBall(h, -0.5),
    "anchored": updates.AnchoredExtragradient,
}
# Milliseconds after which the panels below the plane follow.
LATER = 90
# A grid's line of a circle: measured 2e-3.
GRID = 5e-3
# What asks nothing of another machine.
OWN = ("file:", "data:", "blob:")
LAPTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


def of(loss):
    def family(eta):
        return fields.GameField(regularizers.Penalized(games.LinearQuadratic(loss), regularizers.GradientNorm(eta)))

    return family


def energy(y):
    return y.discriminator**2 / 2 + y.generator**2 / 4 - jnp.log(jnp.abs(y.generator)) / 2


FAMILIES = {"usual loss": of(losses.Minimax()), "Wasserstein": of(losses.Wasserstein())}
PRESETS = {
    "GAN": {"family": "usual loss", "eta": 0.0, "step_size": 0.1},
    "WGAN": {"family": "Wasserstein", "eta": 0.0, "step_size": 0.1},
    "regularized WGAN": {"family": "Wasserstein", "eta": 0.5, "step_size": 0.1},
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    target = tmp_path_factory.mktemp("explorer") / "explorer.html"
    plot.explorer(
        FAMILIES, {"eta": (0.0, 1.0)}, (0.01, 1.0), RULES, target, start=START, view=((-1.5, 1.5), (-0.2, 2.2)),
        presets=PRESETS, invariant={"Wasserstein": energy},
    )  # fmt: skip
    return target


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])


@pytest.fixture
def opened(chromium, path):
    """Opens the page in a window of a size, and refuses errors and requests when the test is over."""
    troubles = []

    def opened(size=LAPTOP, **options) -> Page:
        page = chromium.new_context(viewport=size, **options).new_page()
        page.on("console", lambda said: said.type in ("error", "warning") and troubles.append(said.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: request.url.startswith(OWN) or troubles.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_function("window.ganOdeExplorer && ganOdeExplorer.known()", timeout=5000)
        settled(page)
        return page

    yield opened
    assert not troubles


def state(y: list[float]) -> Players:
    return Players(*(jnp.asarray(x, float) for x in y))


def settled(page: Page) -> None:
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def move(page: Page, slider: str, part: float) -> None:
    page.locator(f'[data-part="{slider}"]').evaluate(
        "(input, to) => { input.value = to; input.dispatchEvent(new Event('input')); }", str(part)
    )
    settled(page)


def wait_for_below(page: Page) -> None:
    """Until the panels below the plane are drawn, too."""
    page.wait_for_timeout(LATER)
    settled(page)


def word(page: Page) -> str:
    return page.locator('[data-part="verdict"]').get_attribute("data-word")


def start(page: Page) -> list[float]:
    return page.evaluate("ganOdeExplorer.state.start")


def frame(page: Page) -> dict[str, float]:
    """Where the plane is drawn, in pixels of the window."""
    return page.locator("canvas").first.bounding_box()


def test_it_moves_within_two_seconds(opened):
    page = opened()
    page.wait_for_function("ganOdeExplorer.clock.time() > 0", timeout=2000)
    assert page.evaluate("performance.now()") < 2000
    page.get_by_role("button", name="Pause").click()
    there = page.evaluate("ganOdeExplorer.clock.time()")
    settled(page)
    assert page.evaluate("ganOdeExplorer.clock.time()") == there
    move(page, "time", 0.5)
    # On the flow, and on two rules: the step of the same time.
    shown = page.evaluate(
        "Object.values(Bokeh.documents[0].get_model_by_name('now').data).slice(0, 2).map((x) => Array.from(x))"
    )
    h = page.evaluate("ganOdeExplorer.state.values.at(-1)")
    steps = page.evaluate(f"ganOdeExplorer.iterateOf(0, ganOdeExplorer.state.start, {h}, 0, {round(15 / h)})")
    assert len(shown[0]) == 3 and [shown[0][1], shown[1][1]] == pytest.approx(steps[-1], abs=ROUNDING)


def test_nothing_moves_by_itself_for_readers_who_ask_for_less_motion(opened):
    page = opened(reduced_motion="reduce")
    settled(page)
    assert page.evaluate("[ganOdeExplorer.clock.time(), ganOdeExplorer.clock.running()]") == [0, False]


@pytest.mark.parametrize(
    ("preset", "said"), [("GAN", "converges"), ("WGAN", "cycles"), ("regularized WGAN", "converges")]
)
def test_each_preset_gives_its_verdict(opened, preset, said):
    page = opened()
    page.get_by_role("button", name=preset, exact=True).click()
    settled(page)
    settings = PRESETS[preset]
    assert word(page) == said == str(analysis.classify(FAMILIES[settings["family"]](settings["eta"]), START).kind)


def test_random_settings_agree_with_the_package(opened):
    page, rng = opened(), np.random.default_rng(1)
    for number in range(20):
        name = list(FAMILIES)[number % 2]
        page.locator('[data-part="families"]').select_option(label=name)
        for slider in ("slider-0", "slider-1"):
            move(page, slider, rng.uniform())
        settled(page)
        eta, h = page.evaluate("ganOdeExplorer.state.values")
        field = FAMILIES[name](eta)
        y = page.evaluate("ganOdeExplorer.state.start")
        velocity = page.evaluate("([y, eta]) => ganOdeExplorer.programs().field([...y, eta])", [y, eta])
        expected = field(0.0, state(y), None)
        assert velocity == pytest.approx([float(expected.discriminator), float(expected.generator)], abs=ROUNDING)
        values = page.evaluate("ganOdeExplorer.known().equilibria.map(({y, values}) => [y, values])")
        for there, found in values:
            spectrum = np.asarray(analysis.spectrum(field, state(there)))
            assert np.poly([complex(*each) for each in found]) == pytest.approx(np.poly(spectrum), abs=ROUNDING)
        for i, rule in enumerate(RULES.values()):
            steps = iterate(rule(h), field, state(y), num_steps=100)
            found = page.evaluate("([i, y, h, eta]) => ganOdeExplorer.iterateOf(i, y, h, eta)", [i, y, h, eta])
            expected = np.stack([steps.ys.discriminator, steps.ys.generator], axis=1)[: len(found)]
            np.testing.assert_allclose(found, expected, rtol=ROUNDING, atol=ROUNDING)


def test_the_start_is_dragged_by_mouse(opened):
    page = opened()
    box = frame(page)
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.4 * box["height"])
    page.mouse.down()
    seen = []
    for part in (0.62, 0.66, 0.7):
        page.mouse.move(box["x"] + part * box["width"], box["y"] + 0.5 * box["height"])
        settled(page)
        seen.append(start(page)[0])
    page.mouse.up()
    assert seen == sorted(seen) and seen[-1] > seen[0] + 0.1


def test_the_start_is_moved_and_dragged_by_touch(opened):
    page = opened(PHONE, has_touch=True, is_mobile=True)
    box, before = frame(page), start(page)
    page.touchscreen.tap(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    settled(page)
    assert start(page) != before
    finger, seen = page.context.new_cdp_session(page), []
    for kind, part in (("Start", 0.3), ("Move", 0.35), ("Move", 0.45), ("Move", 0.55), ("Move", 0.65)):
        at = {"x": box["x"] + part * box["width"], "y": box["y"] + 0.3 * box["height"]}
        # Near the start: elsewhere a finger scrolls the page.
        finger.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": [at]})
        settled(page)
        seen.append(start(page)[0])
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert seen == sorted(seen) and seen[-1] > seen[0] + 0.5, seen


def test_the_start_is_moved_by_keys(opened):
    page = opened()
    before = start(page)
    page.locator('[data-part="plane"]').focus()
    for key in ("ArrowRight", "ArrowUp", "Shift+ArrowUp"):
        page.keyboard.press(key)
    settled(page)
    # The view is 3 wide and 2.4 high; a key moves by a fiftieth, with Shift by a tenth.
    assert start(page) == pytest.approx([before[0] + 0.06, before[1] + 0.288])


def test_the_map_sets_the_sliders_and_they_its_cross(opened):
    page = opened()
    move(page, "slider-0", 0.25)
    assert page.evaluate("Array.from(Bokeh.documents[0].get_model_by_name('cross').data.x)") == pytest.approx([0.25])
    box = page.locator('[data-part="map"]').bounding_box()
    page.mouse.click(box["x"] + 0.7 * box["width"], box["y"] + 0.4 * box["height"])
    settled(page)
    eta, h = page.evaluate("ganOdeExplorer.state.values")
    assert 0.4 < eta < 0.8 and 0.05 < h < 0.5
    assert page.evaluate("Array.from(Bokeh.documents[0].get_model_by_name('cross').data.y)") == pytest.approx(
        [np.log10(h)]
    )
    assert float(page.locator('[data-part="slider-0"]').input_value()) == pytest.approx(eta, abs=1e-3)


def test_regions_have_an_aspect_of_one_and_hold_what_converges(opened):
    page = opened()
    page.get_by_role("button", name="regularized WGAN", exact=True).click()
    move(page, "slider-1", 0.9)
    figure = "ganOdeExplorer.figures[1]"
    wide, high = page.evaluate(f"[{figure}.x_range, {figure}.y_range].map((range) => range.end - range.start)")
    inner = page.evaluate(f"[{figure}.inner_width, {figure}.inner_height]")
    assert wide == pytest.approx(high) and inner[0] == inner[1] > 100
    h = page.evaluate("ganOdeExplorer.state.values.at(-1)")
    spectrum = np.asarray(analysis.spectrum(FAMILIES["Wasserstein"](0.5), state([0.0, 1.0])))
    shown = page.evaluate(
        "Object.values(Bokeh.documents[0].get_model_by_name('scaled_spectrum').data).map((x) => Array.from(x))"
    )
    assert np.poly(np.array(shown[0]) + 1j * np.array(shown[1])) == pytest.approx(np.poly(h * spectrum), abs=ROUNDING)
    # Simultaneous steps are stable within the unit disc around -1; lines of a grid of 40 cells.
    xs, ys = page.evaluate(
        "['xs', 'ys'].map((key) => Array.from(Bokeh.documents[0].get_model_by_name('region_0').data[key]))"
    )
    radii = np.hypot(np.ravel(xs) + 1, np.ravel(ys))
    assert len(radii) > 100 and np.max(np.abs(radii - 1)) < GRID


def test_an_invariant_is_shown_of_the_game_that_has_one(opened):
    page = opened()
    panel = page.locator('[data-part="quantity"] canvas').first
    page.get_by_role("button", name="WGAN", exact=True).click()
    panel.wait_for(state="visible", timeout=2000)
    wait_for_below(page)
    assert page.evaluate("ganOdeExplorer.figures.at(-1).title.text") == "Invariant: the flow keeps it"
    values = page.evaluate("Array.from(Bokeh.documents[0].get_model_by_name('flow_invariant').data.y)")
    assert values == pytest.approx([float(energy(START))] * len(values), abs=1e-6)
    page.get_by_role("button", name="GAN", exact=True).click()
    panel.wait_for(state="hidden", timeout=2000)


def test_sliders_are_moved_by_keys(opened):
    page = opened()
    before = page.evaluate("ganOdeExplorer.state.values")
    page.locator('[data-part="slider-0"]').focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    settled(page)
    assert page.evaluate("ganOdeExplorer.state.values[0]") > before[0]


@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_nothing_is_wider_than_the_window(opened, size):
    page = opened(size)
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_it_follows_the_systems_dark_theme(opened):
    for scheme, ink in (("dark", "#d8dde4"), ("light", "#1a1a1a")):
        page = opened(color_scheme=scheme)
        assert ("night" in page.locator(".gan-ode-explorer").get_attribute("class")) == (scheme == "dark")
        assert set(page.evaluate("ganOdeExplorer.figures.map((figure) => figure.title.text_color)")) == {ink}


def test_the_copied_python_makes_the_picture(opened):
    page = opened()
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.locator('[data-part="rule-2"]').check()
    page.locator('[data-part="rule-3"]').check()
    page.locator('[data-part="copy"]').click()
    page.wait_for_function("document.querySelector('.gan-ode-explorer').dataset.copied")
    text = page.locator(".gan-ode-explorer").get_attribute("data-copied")
    names = {"family": FAMILIES, "rules": RULES}
    exec(text, names)
    assert set(names["steps"]) == set(RULES)
    steps = names["steps"]["alternating"]
    shown = page.evaluate("ganOdeExplorer.iterateOf(1, ganOdeExplorer.state.start, ganOdeExplorer.state.values[1], 0)")
    np.testing.assert_allclose(shown[100][0], float(steps.ys.discriminator[100]), rtol=ROUNDING)


def test_the_portrait_is_saved_as_svg(opened):
    page = opened()
    with page.expect_download() as waiting:
        page.locator('[data-part="save"]').click()
    text = waiting.value.path().read_text()
    assert text.lstrip().startswith("<svg") or "<svg" in text[:200]


def test_a_slider_is_followed_at_once(opened):
    page = opened(reduced_motion="reduce")
    wait_for_below(page)
    # What the page's thread works from a slider's move to the painted plane, whatever else the machine does.
    metrics, spent = page.context.new_cdp_session(page), []
    metrics.send("Performance.enable", {"timeDomain": "threadTicks"})
    # The engine compiles what is called often: a reader who moves a slider for a second has it compiled.
    for part in np.linspace(0.9, 0.1, 20):
        move(page, "slider-0", part)
    wait_for_below(page)
    for part in np.linspace(0.1, 0.9, 15):
        before = worked(metrics)
        move(page, "slider-0", part)
        spent.append(worked(metrics) - before)
        wait_for_below(page)
    assert statistics.median(spent) < MOST_MILLISECONDS, spent


def worked(metrics: Any) -> float:
    """CPU time of the page's thread so far, in milliseconds."""
    found = {each["name"]: each["value"] for each in metrics.send("Performance.getMetrics")["metrics"]}
    return 1000 * found["TaskDuration"]
