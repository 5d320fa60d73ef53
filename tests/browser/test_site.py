"""The built documentation in a real browser: `make test-browser` builds it first."""

import functools
import http.server
import shutil
import threading
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

pytestmark = pytest.mark.browser

SITE = Path(__file__).parents[2] / "site"
PAGES = sorted(str(path.relative_to(SITE).parent) for path in SITE.rglob("index.html"))
LAPTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
SECONDS_TO_MOVE = 2


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, format, *args) -> None:
        pass


@pytest.fixture(scope="module")
def address():
    handler = functools.partial(Quiet, directory=str(SITE))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])


def test_the_documentation_is_built():
    assert len(PAGES) > 30, "build it first: make docs"


def test_no_page_scrolls_sideways_or_asks_another_machine_for_anything(chromium, address):
    page, wrong, wide = chromium.new_page(viewport=LAPTOP), [], []
    page.on("request", lambda asked: asked.url.startswith((address, "data:", "blob:")) or wrong.append(asked.url))
    page.on("console", lambda said: said.type == "error" and wrong.append(said.text))
    for name in PAGES:
        # Loaded with its scripts, which set the formulas, and its pictures.
        page.goto(f"{address}{name}/", wait_until="load")
        page.evaluate("document.fonts.ready.then(() => null)")
        for size in (LAPTOP, PHONE):
            page.set_viewport_size(size)
            if page.evaluate("document.documentElement.scrollWidth") > size["width"]:
                wide.append(f"{name}: {size['width']}")
            # Blocks of code fit their column.
            narrow = "element => element.scrollWidth > element.clientWidth + 1"
            if page.evaluate(f"Array.from(document.querySelectorAll('pre > code')).some({narrow})"):
                wide.append(f"{name}: code at {size['width']}")
    assert not wide and not wrong


def test_the_first_page_moves_within_two_seconds_and_follows_the_sites_theme(chromium, address):
    page = chromium.new_page(viewport=LAPTOP)
    page.goto(address)
    frame = page.frame_locator("iframe.explorer")
    drawn = frame.locator(".gan-ode-explorer[data-drawn]")
    drawn.wait_for(timeout=1000 * SECONDS_TO_MOVE)
    assert frame.locator('[data-part="verdict"]').get_attribute("data-word") == "converges"
    page.evaluate("document.body.dataset.mdColorScheme = 'slate'")
    frame.locator(".gan-ode-explorer.night").wait_for(timeout=1000)
    # The frame takes the page's height: nothing is cut off.
    inner = frame.locator(".gan-ode-explorer").evaluate("element => element.offsetHeight")
    assert page.locator("iframe.explorer").evaluate("element => element.offsetHeight") >= inner
