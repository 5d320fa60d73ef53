"""What the artists of a diagnosis and of a watch's history hold, and that no text lies on another."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gan_ode import analysis, games, plot

NAN = float("nan")
LAYERS = {f"discriminator.layers.{i}.weight": 0.1 for i in range(9)} | {"generator.layers.0.weight": 0.1}


def mode(value, does):
    return analysis.Mode("update", value, np.log(value), 0.0, does, games.Players(0.9, 0.1), LAYERS)


def remedy(name, progress, weight=NAN, step_factor=1.0):
    return analysis.Remedy(name, weight, -progress, step_factor, 10.0, 1.0, progress, "by hand")


DIAGNOSIS = analysis.Diagnosis(
    verdict="the leading rotation grows by 17 % in a turn, for $1. " + "A second sentence says how far it holds. " * 3,
    disease=analysis.DISEASES.cycling,
    findings=tuple(
        analysis.Finding(disease, strength, "It is so.")
        for disease, strength in zip(list(analysis.DISEASES)[1:6], (20.0, 0.6, 0.1, 0.0, NAN), strict=True)
    ),
    near_equilibrium=True,
    horizon=np.inf,
    speeds=games.Players(0.1, 0.2),
    noise=analysis.Noise(variance=3.0, drift=1.0, batch=64),
    curvatures=games.Players(analysis.Extremes(-1.0, 0.0), analysis.Extremes(0.0, 1.0)),
    logits=analysis.Logits(1.0, 0.5, -1.0, 0.5, 0.25, 0.75),
    rotation_share=0.6,
    rotation_error=0.05,
    modes=(),
    step_modes=(mode(1 + 0.05j, "cycles"), mode(0.9 + 0.02j, "spirals"), mode(0.8 + 0j, "decays")),
    complete_spectrum=False,
    flat=0,
    stiffness=10.0,
    largest_step=0.0,
    period_in_steps=126.0,
    growth_per_step=1e-3,
    remedies=(remedy("consensus", 0.9, 10.0), remedy("R1", 0.004, 2.0), remedy("alternating", 1e-17),
              remedy("smaller step", -5e-4, 0.5, 0.5), remedy("larger batch", NAN, 512.0)),
    step_size=0.05,
    method="matrix-free",
    notes=(),
    num_evaluations=100,
    complete=True,
)  # fmt: skip


def draw(result):
    with plot.style():
        figure = Figure(figsize=(7.2, 8.0))
        drawn = plot.diagnosis(result, figure=figure)
        FigureCanvasAgg(figure).draw()
    return figure, drawn


def test_a_diagnosis_is_drawn_as_it_is():
    _, drawn = draw(DIAGNOSIS)
    assert drawn.verdict.get_text().startswith("Cycling: the leading rotation grows by 17 %")
    # Of a pair both are drawn, as distances from one: where the unit circle is that around -1.
    cycles, spirals, decays = drawn.multipliers
    np.testing.assert_allclose(cycles.get_xydata(), [[0, 0.05], [0, -0.05]], atol=1e-12)
    np.testing.assert_allclose(spirals.get_xydata(), [[-0.1, 0.02], [-0.1, -0.02]], atol=1e-12)
    assert decays.get_xydata().shape == (1, 2) and cycles.get_label() == "cycles"
    assert drawn.unit_circle.center == (-1, 0) and drawn.unit_circle.radius == 1
    # 20 is cut off at 5, with its number; what was not measured says so.
    assert [bar.get_width() for bar in drawn.strengths] == [5.0, 0.6, 0.1, 0.0, 0.0]
    said = [text.get_text() for text in drawn.axes[1].texts]
    assert "20" in said and "not measured" in said
    # Rotation; noise is three parts of four; saturation; slope.
    assert [bar.get_width() for bar in drawn.shares] == [0.6, 0.75, 0.25, 0.75]
    # Seven layers, and three in one row.
    assert drawn.layers.get_array().shape == (8, 3) and drawn.layers.get_array()[-1, 0] == pytest.approx(0.3)
    assert drawn.axes[3].get_yticklabels()[0].get_text() == "D layers.0.weight"
    assert [bar.get_width() for bar in drawn.remedies] == [0.9, 0.004, 0.0, -5e-4]
    names = [label.get_text() for label in drawn.axes[4].get_yticklabels()]
    assert names == ["consensus 10, cost 1", "R1 2, cost 1", "alternating, cost 1", "smaller step, step × 0.5, cost 1"]


def test_of_a_diagnosis_no_text_lies_on_another_or_outside():
    figure, drawn = draw(DIAGNOSIS)
    texts = [drawn.verdict]
    for ax in drawn.axes:
        texts += [*ax.texts, ax._left_title, ax.xaxis.label, ax.yaxis.label]
        for axis, (low, high) in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, sorted(ax.get_ylim()))):
            # Ticks beyond the limits are not drawn.
            texts += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]
    assert len(boxes) > 60
    for name, box in boxes:
        assert figure.bbox.padded(1).contains(*box.min) and figure.bbox.padded(1).contains(*box.max), name
    for (name, box), (other, another) in itertools.combinations(boxes, 2):
        assert not box.padded(-1).overlaps(another.padded(-1)), (name, other)


def test_what_was_not_measured_is_said():
    empty = dataclasses.replace(
        DIAGNOSIS, findings=(), noise=analysis.Noise(), logits=None, step_modes=(), remedies=(), complete=False,
        growth_per_step=NAN, rotation_share=NAN,
    )  # fmt: skip
    _, drawn = draw(empty)
    assert drawn.multipliers == () and drawn.strengths is drawn.layers is drawn.remedies is None
    assert sum(any(text.get_text() == "not measured" for text in ax.texts) for ax in drawn.axes) == 5
    assert drawn.verdict.get_text().endswith("(Not complete.)")


def history(num=5):
    ones = jnp.ones(num)
    cycling = jnp.arange(num) >= 3
    return analysis.Reading(
        step=100 * jnp.arange(num), speed=ones, speeds=games.Players(ones.at[0].set(0.0), 2 * ones),
        path_angle=jnp.where(jnp.arange(num) < 2, jnp.nan, -0.5), rotation_share=0.9 * ones, noise=jnp.nan * ones,
        change=(0.05j * ones).at[0].set(0.01), residual=0 * ones, share=ones, turning=jnp.arange(num) >= 1,
        back=jnp.zeros(num, bool), since=jnp.where(jnp.arange(num) >= 1, 100, -1), cycling=cycling,
    )  # fmt: skip


def test_the_history_of_a_watch_is_drawn_with_its_onset():
    with plot.style():
        figure = Figure(figsize=(7.2, 4.5))
        drawn = plot.watch(history(), figure=figure)
        FigureCanvasAgg(figure).draw()
    assert [line.get_xdata()[0] for line in drawn.onset] == 4 * [100]
    np.testing.assert_allclose(drawn.turns.get_ydata(), [0.0, *4 * [1000 * np.arctan(0.05) / (2 * np.pi)]])
    # The first reading has no turn to grow in.
    growth = (1 + 0.05**2) ** (np.pi / np.arctan(0.05))
    np.testing.assert_allclose(drawn.growth.get_ydata(), [np.nan, *4 * [growth]])
    assert len(drawn.speeds) == 2 and [line.get_label() for line in drawn.parts] == ["path angle", "rotation"]
    with pytest.raises(ValueError, match="`history` must have an axis of readings"):
        plot.watch(jax.tree.map(lambda leaf: leaf[0], history()), figure=Figure())
