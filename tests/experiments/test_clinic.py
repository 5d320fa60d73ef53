"""The pieces of the experiments `diagnosis` and `choosing_gamma` that can be wrong on their own."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr

from experiments import choosing_gamma, diagnosis
from experiments._machinery import _clinic
from gan_ode.games import Players

# The same formula, compiled twice, in double precision; measured 0.
SAME = 1e-14


def test_the_optimizer_with_an_array_for_its_rate_is_adam():
    params, gradient = jnp.array([1.0, -2.0]), jnp.array([0.3, 1e-3])
    mine, theirs = _clinic.Adam(jnp.asarray(0.01), jnp.asarray(1e-8)), optax.adam(0.01, b1=0.5, b2=0.99, eps=1e-8)
    memory, wanted = mine.init(params), theirs.init(params)
    for scale in (1.0, -0.5):
        change, memory = mine.update(scale * gradient, memory, params)
        expected, wanted = theirs.update(scale * gradient, wanted, params)
        np.testing.assert_allclose(change, np.asarray(expected), rtol=SAME)


@pytest.mark.parametrize(
    ("name", "weight", "expected"),
    [
        ("R1", 0.5, {"gamma": 0.6}),
        ("gradient norm", 0.5, {"eta": 0.5}),
        ("ratio of rates", 0.25, {"rates": Players(1e-3 * 0.5, 4e-3 * 0.5)}),
        ("smaller step", 0.5, {}),
        ("larger batch", 200.0, {"batch": 200.0}),
        ("non-saturating loss", float("nan"), {}),
    ],
)
def test_a_remedy_changes_what_it_names_and_the_step(name, weight, expected):
    before = _clinic.regimen()
    after = _clinic.treated(before, name, weight, 0.5)
    wanted = {"rates": Players(1e-3, 1e-3), **expected}
    for field in ("rates", "floor", "gamma", "eta", "batch", "head_start", "warm_up", "away"):
        np.testing.assert_allclose(
            jax.tree.leaves(getattr(after, field)),
            jax.tree.leaves(wanted.get(field, getattr(before, field))),
            rtol=SAME,
        )


def test_a_remedy_that_is_not_tried_is_refused():
    with pytest.raises(ValueError, match="tried in training"):
        _clinic.treated(_clinic.regimen(), "consensus", 1.0, 1.0)


def test_a_dose_is_a_whole_number_of_samples_that_fits():
    doses = [_clinic.dosed(_clinic.regimen(batch=batch), 64).batch for batch in (0.0, 2.1, 1e9)]
    assert doses == [1, 3, 64]


def outcome(distances: list[float], modes: list[float], first: str) -> xr.Dataset:
    """One run, of no treatment and three remedies, that is the same at every save."""
    names = ["none", "R1", "smaller step", "larger batch"]
    shape = (1, 1, 1, len(names), 2)
    along = ("material", "disease", "run", "treatment", "step")
    curves = {"distance": distances, "modes": modes}
    data: dict[str, Any] = {k: (along, np.broadcast_to(np.array(v)[:, None], shape)) for k, v in curves.items()}
    data["first"] = along[:3], np.array([[[first]]])
    return xr.Dataset(data, {"treatment": names})


@pytest.mark.parametrize(
    ("distances", "modes", "expected"),
    [
        ([0.1, 0.2, 0.3, 0.4], [8, 8, 7, 6], True),
        # What was not treated does not compete.
        ([0.01, 0.3, 0.2, 0.4], [8, 8, 8, 8], True),
        ([0.5, 0.4, 0.3, 0.2], [8, 8, 8, 8], False),
        # Third by the modes alone.
        ([0.5, 0.2, 0.3, 0.4], [8, 5, 7, 6], False),
        # A lost run is not near, and covers nothing.
        ([0.5, np.inf, 0.3, 0.4], [8, 0, 8, 8], False),
    ],
)
def test_a_first_remedy_is_right_if_at_most_one_did_better_by_either_measure(distances, modes, expected):
    assert bool(diagnosis.right(outcome(distances, modes, "R1")).squeeze()) is expected


def test_nothing_ranked_first_is_not_right():
    assert not diagnosis.right(outcome([0.1] * 4, [8] * 4, "")).any()


def test_the_best_weight_leaves_out_what_was_lost():
    distances = xr.DataArray([np.nan, 0.3, 0.2, np.inf], {"weight": [0.1, 1.0, 3.0, 10.0]}, ["weight"])
    assert choosing_gamma.best_weight(distances) == 3.0
    assert choosing_gamma.apart(0.5, 2.0) == choosing_gamma.apart(2.0, 0.5) == 4.0
    assert choosing_gamma.apart(0.0, 1.0) == np.inf
