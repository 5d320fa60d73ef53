"""The explorer in a real browser: it moves, by mouse, touch and keyboard, and says what the package says.

Needs Chromium; `make test-browser` runs it.
"""

import shutil
import statistics

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
# What asks nothing of another machine.
OWN = ("file:", "data:", "blob:")
LAPTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


def of(loss):
    def family(eta):
        return fields.GameField(regularizers.Penalized(games.LinearQuadratic(loss), regularizers.GradientNorm(eta)))

    return family


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
        presets=PRESETS,
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


def word(page: Page) -> str:
    return page.locator('[data-part="verdict"]').get_attribute("data-word")


def start(page: Page) -> list[float]:
    return page.evaluate("ganOdeExplorer.state.start")


def frame(page: Page) -> dict[str, float]:
    """Where the plane is drawn, in pixels of the window."""
    return page.locator("canvas").first.bounding_box()


def test_it_moves_within_two_seconds(opened):
    page = opened()
    since = page.evaluate("performance.now()")
    assert since < 2000 and int(page.locator(".gan-ode-explorer").get_attribute("data-drawn")) >= 1


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
            page.locator(f'[data-part="{slider}"]').evaluate(
                "(input, to) => { input.value = to; input.dispatchEvent(new Event('input')); }", str(rng.uniform())
            )
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


def test_the_start_is_moved_by_touch(opened):
    page = opened(PHONE, has_touch=True, is_mobile=True)
    box, before = frame(page), start(page)
    page.touchscreen.tap(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    settled(page)
    assert start(page) != before


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
    assert "night" in opened(color_scheme="dark").locator(".gan-ode-explorer").get_attribute("class")
    assert "night" not in opened(color_scheme="light").locator(".gan-ode-explorer").get_attribute("class")


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
    page, spent = opened(), []
    for part in np.linspace(0.1, 0.9, 15):
        page.locator('[data-part="slider-0"]').evaluate(
            "(input, to) => { input.value = to; input.dispatchEvent(new Event('input')); }", str(part)
        )
        settled(page)
        spent.append(float(page.locator(".gan-ode-explorer").get_attribute("data-milliseconds")))
    assert statistics.median(spent) < MOST_MILLISECONDS, spent
