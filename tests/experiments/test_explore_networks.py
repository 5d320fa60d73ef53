"""A game of any size in the explorer: a plane along the leading eigenvectors, computed by the package."""

import jax.numpy as jnp
import numpy as np
import pytest
from bokeh.document import Document

from experiments.explore._plane import Explored, plane_through
from experiments.explore._served import arrow_shapes, Page, said, serve
from gan_ode.updates import Simultaneous

# Of orthonormal axes and of steps; measured at most 4e-15. Of eigenvectors from Krylov spaces; measured 3e-13.
ROUNDING, KRYLOV = 1e-12, 1e-9
# Of the flow at its usual tolerances; measured 3e-5.
FLOW = 1e-3
GROWTH, TURN, STEP = -0.1, 1.5, 0.05
# Any orthonormal frame: its first two columns hold the leading eigenvectors.
FRAME = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
BLOCKS = np.diag([GROWTH, GROWTH, -1.0, -2.0, -3.0])
BLOCKS[:2, :2] += TURN * np.array([[0.0, -1.0], [1.0, 0.0]])
MATRIX = FRAME @ BLOCKS @ FRAME.T
ORIGIN = jnp.zeros(5)
RULES = {"simultaneous": Simultaneous}


def family(gain):
    return lambda t, y, args: gain * (jnp.asarray(MATRIX) @ y)


@pytest.fixture(scope="module")
def page() -> Page:
    made = Page({"game": Explored(family, RULES)}, {"gain": (1.0, 2.0)}, (0.01, 0.5), ORIGIN)
    made.document = Document()
    made.add_to(made.document)
    return made


def test_the_plane_holds_the_leading_eigenvectors():
    plane, eigenvalues = plane_through(family(1.0), ORIGIN)
    axes = np.asarray(plane.axes)
    assert axes @ axes.T == pytest.approx(np.eye(2), abs=ROUNDING)
    assert axes.T @ axes == pytest.approx(FRAME[:, :2] @ FRAME[:, :2].T, abs=KRYLOV)
    assert eigenvalues[0] == pytest.approx(GROWTH + TURN * 1j, abs=KRYLOV)


def test_of_real_eigenvalues_it_holds_the_two_that_lead():
    diagonal = jnp.array([-3.0, -0.5, -2.0, 0.25])
    plane, _ = plane_through(lambda t, y, args: diagonal * y, jnp.zeros(4))
    assert np.abs(np.asarray(plane.axes)) == pytest.approx(np.eye(4)[[3, 1]], abs=KRYLOV)


def test_a_state_of_one_number_has_no_plane():
    with pytest.raises(ValueError, match="`start` must hold at least two numbers, but has 1"):
        plane_through(lambda t, y, args: -y, jnp.zeros(1))


def test_arrows_orbits_and_distances_are_those_of_the_game():
    plane, _ = plane_through(family(1.0), ORIGIN)
    place, gain = np.array([0.3, -0.4]), 1.3
    explored = Explored(family, RULES, num_steps=40, side=5)
    seen = explored.seen(plane, {"gain": gain}, STEP, place, 2.0)
    inner = np.asarray(plane.axes) @ MATRIX @ np.asarray(plane.axes).T
    marks = np.linspace(-2, 2, 5)
    assert seen.arrows[1, 3] == pytest.approx(gain * inner @ [marks[3], marks[1]], abs=ROUNDING)
    steps = [np.linalg.matrix_power(np.eye(2) + STEP * gain * inner, n) @ place for n in range(41)]
    assert seen.orbits["simultaneous"] == pytest.approx(np.array(steps), abs=KRYLOV)
    decay = 0.5 * np.exp(gain * GROWTH * seen.times)
    assert seen.away["flow"] == pytest.approx(decay, rel=FLOW)
    assert np.linalg.norm(seen.orbits["flow"], axis=1) == pytest.approx(decay, rel=FLOW)


def test_a_slider_moves_what_is_shown(page):
    before = dict(page.sources["orbit_simultaneous"].data)
    page.log_step.value = -2.0
    page.draw()
    after = page.sources["orbit_simultaneous"].data
    assert len(before["x"]) == len(after["x"]) == 151 and not np.allclose(before["x"], after["x"])
    assert page.sources["spectrum"].data["y"][0] == pytest.approx(0.01 * TURN, abs=KRYLOV)


def test_a_start_that_is_moved_is_where_orbits_begin(page):
    page.move(page.document, 0.25, 0.5)
    page.draw()
    for name in ("flow", "simultaneous"):
        data = page.sources[f"orbit_{name}"].data
        assert [data["x"][0], data["y"][0]] == pytest.approx([0.25, 0.5], abs=ROUNDING)


def test_what_is_not_chosen_is_not_drawn(page):
    page.shown.active = [0]
    page.draw()
    assert len(page.sources["orbit_simultaneous"].data["x"]) == 0 < len(page.sources["orbit_flow"].data["x"])
    page.shown.active = [0, 1]


def test_words_say_what_eigenvalues_do():
    turning = said(np.array([-0.1 + 2j, -0.1 - 2j]), 0.5)
    assert "the flow decays, turning" in turning and f"{abs(1 + 0.5 * (-0.1 + 2j)):.6f}" in turning
    assert "the flow grows, straight" in said(np.array([0.3 + 0j, -1 + 0j]), 0.1)
    assert "neither grows nor decays, turning" in said(np.array([1j, -1j]), 0.1)


def test_arrows_do_not_reach_each_other():
    lines, heads = arrow_shapes(np.random.default_rng(1).normal(size=(5, 5, 2)), 1.0)
    lengths = [np.hypot(*(each[1] - each[0] for each in line)) for line in zip(lines["xs"], lines["ys"], strict=True)]
    assert len(lengths) == 25 and max(lengths) == pytest.approx(0.8 * 0.5)
    assert heads["x"] == pytest.approx([line[1] for line in lines["xs"]])


def test_the_view_holds_the_flow(page):
    seen = page.seen()
    assert 0 < np.abs(seen.orbits["flow"]).max() < page.width == pytest.approx(page.figures["plane"].x_range.end / 1.1)


def test_the_server_listens_on_loopback_alone():
    server = serve(
        {"family": family, "parameters": {"gain": (1.0, 2.0)}, "step_size": (0.01, 0.5), "start": ORIGIN}, RULES
    )
    try:
        addresses = {socket.getsockname()[0] for socket in server._http._sockets.values()}
        assert addresses == {"127.0.0.1"} and server.port > 0
    finally:
        server.stop()
        server.io_loop.close(all_fds=True)
