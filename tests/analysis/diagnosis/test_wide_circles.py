"""A circle that is wide beside the state is not called healthy: one place does not tell of a whole turn."""

import jax.numpy as jnp
import pytest

from gan_ode import analysis, fields, games, losses, updates
from gan_ode.games import Players


@pytest.mark.parametrize("start", [(0.01, 0.0), (0.3, 0.4), (0.0, 2.0)])
def test_a_rotation_whose_drift_is_the_rotation_itself_is_undecided_far_from_its_center(start):
    field = fields.GameField(games.Dirac(losses.Wasserstein()))
    found = analysis.diagnose(field, Players(*map(jnp.array, start)), update=updates.Simultaneous(0.1), remedies=[])
    assert found.disease == analysis.DISEASES.undecided
    (cycling,) = (each for each in found.findings if each.disease == analysis.DISEASES.cycling)
    assert "follow it for a turn" in cycling.sentence
    assert cycling.numbers["drift_beside_rotation"] == pytest.approx(0.0, abs=1e-12)


def test_near_its_center_a_rotation_is_a_cycle():
    field = fields.GameField(games.LinearQuadratic(losses.Wasserstein()))
    y = Players(jnp.array(0.01), jnp.array(1.0))
    found = analysis.diagnose(field, y, update=updates.Simultaneous(0.1), remedies=[])
    assert found.disease == analysis.DISEASES.cycling
