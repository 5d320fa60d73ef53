"""The explorer within JupyterLab and marimo, each on loopback: it displays, and a slider moves it.

Needs Chromium; `make test-browser` runs it. What the notebooks themselves say in the console is not ours.
"""

import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Frame, Page, sync_playwright, TimeoutError

pytestmark = pytest.mark.browser

CODE = """
import jax
from gan_ode import fields, games, losses, plot, regularizers, updates

jax.config.update("jax_enable_x64", True)


def family(gamma):
    return fields.GameField(regularizers.Penalized(games.Dirac(losses.Wasserstein()), regularizers.R1(gamma)))


shown = plot.explorer(family, {"gamma": (0.0, 1.5)}, (0.01, 1.0), [updates.Simultaneous])
"""
APP = """
import marimo

app = marimo.App()


@app.cell
def _():
{code}
    shown
    return


if __name__ == "__main__":
    app.run()
"""
# A server has so long to answer, and a kernel to import JAX and trace a game.
SECONDS = 60
# A frame without an address of its own: its page came with the cell's output.
IN_PLACE = "about:srcdoc"


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])


@pytest.fixture
def served(tmp_path, unused_port) -> Iterator[Callable[..., str]]:
    """Starts a server on loopback, and returns its address once it answers."""
    started = []

    def served(*command: str) -> str:
        with (tmp_path / "log").open("w") as log:
            started.append(subprocess.Popen([sys.executable, "-m", *command], cwd=tmp_path, stdout=log, stderr=log))
        address = f"http://127.0.0.1:{unused_port}/"
        for _ in range(10 * SECONDS):
            try:
                urllib.request.urlopen(address, timeout=1).close()
                return address
            except urllib.error.HTTPError as refused:
                refused.close()
                return address
            except OSError:
                assert started[-1].poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.1)
        raise AssertionError((tmp_path / "log").read_text())

    yield served
    for process in started:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture
def opened(chromium) -> Iterator[Callable[[str], Page]]:
    """Opens an address, and refuses errors of the explorer and requests to other machines when the test is over."""
    troubles = []

    def opened(address: str) -> Page:
        page = chromium.new_page(viewport={"width": 1280, "height": 1000})
        page.on("pageerror", lambda error: "gan" in str(error).lower() and troubles.append(str(error)))
        page.on(
            "console",
            lambda said: said.type == "error" and said.location["url"] == IN_PLACE and troubles.append(said.text),
        )
        server = "/".join(address.split("/")[:3])
        own = (server, server.replace("http", "ws", 1), "data:", "blob:", IN_PLACE)
        page.on("request", lambda request: request.url.startswith(own) or troubles.append(request.url))
        page.goto(address)
        return page

    yield opened
    assert not troubles


def explorer_within(page: Page) -> Frame:
    """The explorer's frame, once it is drawn."""
    page.locator('iframe[title="Explorer"]').first.wait_for(timeout=1000 * SECONDS)
    frame = page.locator('iframe[title="Explorer"]').first.element_handle().content_frame()
    assert frame is not None
    frame.locator(".gan-ode-explorer[data-drawn]").wait_for(timeout=1000 * SECONDS)
    return frame


def is_moved_by_a_slider(frame: Frame) -> None:
    before = frame.evaluate("[ganOdeExplorer.state.values[0], ganOdeExplorer.known().equilibria[0].values[0][0]]")
    slider = frame.locator('[data-part="slider-0"]')
    slider.focus()
    for _ in range(5):
        slider.press("ArrowRight")
    # The real part of the eigenvalues is minus half the weight.
    frame.wait_for_function("ganOdeExplorer.known().equilibria[0].values[0][0] < -1e-4")
    after = frame.evaluate("[ganOdeExplorer.state.values[0], ganOdeExplorer.known().equilibria[0].values[0][0]]")
    assert before[0] == 0 and after[1] == pytest.approx(-after[0] / 2, abs=1e-12)


def run_first_cell(page: Page) -> None:
    """Runs it by keys; again, where something else had the focus, as while the page is still arranged."""
    for _ in range(5):
        page.locator(".jp-CodeCell .cm-content").first.click()
        page.keyboard.press("Control+Enter")
        try:
            page.wait_for_function(
                "() => /[*0-9]/.test(document.querySelector('.jp-InputPrompt').textContent)", timeout=5000
            )
            return
        except TimeoutError:
            continue
    raise TimeoutError("the cell does not run")


def test_it_displays_in_jupyterlab(served, opened, tmp_path, unused_port):
    cell = {
        "cell_type": "code",
        "source": f"{CODE}\nshown",
        "metadata": {},
        "outputs": [],
        "execution_count": None,
        "id": "a",
    }
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "explorer.ipynb").write_text(json.dumps(notebook))
    address = served(
        "jupyterlab", "--no-browser", "--allow-root", f"--port={unused_port}", "--ip=127.0.0.1",
        "--IdentityProvider.token=", "--ServerApp.password=", "--LabApp.news_url=",
    )  # fmt: skip
    page = opened(f"{address}lab/tree/explorer.ipynb")
    # What is run before the kernel is there is lost.
    page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').wait_for(timeout=1000 * SECONDS)
    run_first_cell(page)
    is_moved_by_a_slider(explorer_within(page))


def test_it_displays_in_marimo(served, opened, tmp_path, unused_port):
    code = "".join(f"    {line}\n" if line else "\n" for line in CODE.splitlines())
    (tmp_path / "app.py").write_text(APP.format(code=code))
    address = served(
        "marimo", "run", "app.py", "--headless", "--no-token", "--host", "127.0.0.1", "--port", str(unused_port)
    )
    is_moved_by_a_slider(explorer_within(opened(address)))
