"""The explorer of networks in a real browser, with the package behind it: `make test-browser` runs it."""

import os
import shutil
import subprocess
import sys

import pytest
from playwright.sync_api import sync_playwright

pytestmark = pytest.mark.browser

GAN = """
import equinox as eqx
import jax
import jax.numpy as jnp

from gan_ode import distributions, fields, games, losses, regularizers


def explored():
    d_key, g_key, key = jax.random.split(jax.random.key(0), 3)
    D = eqx.nn.MLP(2, "scalar", 8, 1, activation=jnp.tanh, key=d_key)
    G = eqx.nn.MLP(3, 2, 8, 1, activation=jnp.tanh, key=g_key)
    gan = games.GAN(D, G, losses.Minimax(), data=distributions.Ring(), latent=distributions.Normal(3))

    def family(eta):
        return fields.GameField(regularizers.Penalized(gan, regularizers.GradientNorm(eta)))

    return {
        "family": family, "parameters": {"eta": (0.0, 2.0)}, "step_size": (0.01, 1.0), "start": gan.players,
        "args": gan.sample(key, 32),
    }
"""
MODEL = "Bokeh.documents[0].get_model_by_name"
# For a slider's move to come back from the server.
MILLISECONDS = 10_000
SECONDS_TO_END = 10


@pytest.fixture
def address(tmp_path, unused_port):
    (tmp_path / "my_gan.py").write_text(GAN)
    command = [sys.executable, "-m", "experiments.explore", "my_gan:explored", "--port", str(unused_port)]
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}
    ) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert f"http://localhost:{unused_port}/" in said
            yield f"http://localhost:{unused_port}/"
        finally:
            process.terminate()
            try:
                process.wait(SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def test_a_networks_plane_is_shown_and_follows_sliders_and_taps(address):
    troubles = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        page.on("console", lambda said: said.type == "error" and troubles.append(said.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on(
            "request", lambda asked: asked.url.startswith((address, "data:", "blob:")) or troubles.append(asked.url)
        )
        page.goto(address)
        page.locator("canvas").first.wait_for(timeout=MILLISECONDS)
        last = f"() => Array.from({MODEL}('orbit_simultaneous').data.x).at(-1)"
        before = page.evaluate(last)
        page.evaluate(f"{MODEL}('step size').value = -1.5")
        page.wait_for_function(f"before => ({last})() !== before", arg=before, timeout=MILLISECONDS)
        start = page.evaluate(f"{MODEL}('start').data.x[0]")
        box = page.locator("canvas").first.bounding_box()
        page.mouse.click(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
        page.wait_for_function(f"start => {MODEL}('start').data.x[0] < start", arg=start, timeout=MILLISECONDS)
        assert page.evaluate(f"{MODEL}('words').text").startswith("<b>Along the leading eigenvectors the flow")
    assert not troubles
