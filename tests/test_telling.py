"""What is told of a long call: nothing unless asked for, and else once a second what it is doing."""

import sys
import threading
import time

import jax
import jax.numpy as jnp
import pytest

from gan_ode import analysis, fields, flow, games, losses
from gan_ode._progress import _telling


@pytest.fixture
def soon(monkeypatch):
    monkeypatch.setenv("GAN_ODE_PROGRESS", "1")
    monkeypatch.setattr(_telling, "_FIRST", 0.05)
    monkeypatch.setattr(_telling, "_EVERY", 0.05)


def slow():
    time.sleep(0.3)


def test_a_long_call_tells_what_it_does_and_a_short_one_does_not(soon, capsys, monkeypatch):
    _telling.told(slow)()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 2 and set(lines) == {"gan_ode.slow: working, 0 s"}
    monkeypatch.setattr(_telling, "_FIRST", 60.0)
    _telling.told(slow)()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("value", [None, "", "0"])
def test_without_being_asked_nothing_is_told(value, soon, capsys, monkeypatch):
    monkeypatch.delenv("GAN_ODE_PROGRESS") if value is None else monkeypatch.setenv("GAN_ODE_PROGRESS", value)
    _telling.told(slow)()
    assert capsys.readouterr().err == ""


def test_a_call_within_a_call_is_told_of_by_the_outer_one(soon, capsys):
    def outer():
        _telling.told(slow)()

    _telling.told(outer)()
    assert set(capsys.readouterr().err.splitlines()) == {"gan_ode.outer: working, 0 s"}


def test_tracing_compiling_and_computing_are_told_apart():
    seen, over = set(), threading.Event()
    thread = threading.get_ident()

    def watch():
        while not over.wait(0.002):
            seen.add(_telling.doing(sys._current_frames().get(thread)))

    watcher = threading.Thread(target=watch)
    watcher.start()

    def long(x):
        for _ in range(300):
            x = jnp.sin(x) + 1.0
        return jax.lax.fori_loop(0, 2_000_000, lambda i, v: jnp.cos(v), x)

    analysis.classify(
        fields.GameField(games.Dirac(losses.Wasserstein())), games.Players(jnp.array(1.0), jnp.array(0.5))
    )
    jax.jit(long)(jnp.array(1.0)).block_until_ready()
    over.set()
    watcher.join()
    assert {"tracing", "compiling", "computing"} <= seen


def test_flows_and_verdicts_are_told_of(soon, capsys):
    field = fields.GameField(games.LinearQuadratic(losses.LeastSquares()))
    y0 = games.Players(jnp.array(0.5), jnp.array(1.0))
    flow(field, y0, jnp.linspace(0.0, 3.7, 17))
    analysis.classify(field, y0)
    told = capsys.readouterr().err
    assert "gan_ode.flow: " in told and "gan_ode.classify: " in told
