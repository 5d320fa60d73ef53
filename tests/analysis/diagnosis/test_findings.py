"""What is said of evidence, and in which order remedies stand: numbers by hand, nothing is trained."""

import dataclasses

import numpy as np
import pytest

from gan_ode.analysis.diagnosis import DISEASES
from gan_ode.analysis.diagnosis._findings import Evidence, findings, sort_key, verdict
from gan_ode.analysis.diagnosis._result import Mode, Noise, Remedy
from gan_ode.games import Players

# A spiral that decays in the flow, and that a step of twice the largest one blows up.
SPIRAL = Mode("field", -0.3 + 1j, complex("nan"), 0.0, "spirals", Players(0.5, 0.5), {})
BLOWN_UP = Evidence(
    modes=(SPIRAL,), step_modes=(dataclasses.replace(SPIRAL, of="update", rate=-0.3 + 1j),), largest_step=0.5,
    decays_in_flow=True, growth_in_flow=0.0, fastest=0.5, noise=Noise(), near_equilibrium=True, horizon=np.inf,
)  # fmt: skip


def strength(seen: Evidence, disease: DISEASES) -> float:
    (found,) = (each for each in findings(seen) if each.disease == disease)
    return found.strength


def test_a_step_is_too_large_where_it_blows_up_what_the_flow_damps():
    assert strength(BLOWN_UP, DISEASES.step_too_large) == pytest.approx(0.9 / 0.5)
    assert strength(dataclasses.replace(BLOWN_UP, largest_step=2.0), DISEASES.step_too_large) < 1


@pytest.mark.parametrize("change", [{"fastest": 0.03}, {"largest_step": 0.0}])
def test_a_step_that_resolves_the_flow_or_that_no_smaller_one_mends_is_no_suspect(change):
    assert strength(dataclasses.replace(BLOWN_UP, **change), DISEASES.step_too_large) == 0


def test_a_mode_that_grows_by_more_than_e_in_a_step_makes_it_too_large():
    seen = dataclasses.replace(BLOWN_UP, growth_in_flow=2.8, decays_in_flow=False, largest_step=0.0)
    assert strength(seen, DISEASES.step_too_large) == pytest.approx(2.8)


def test_what_is_undecided_says_what_is_open():
    seen = dataclasses.replace(BLOWN_UP, largest_step=2.0, noise=None)
    disease, said = verdict(seen, findings(seen))
    assert disease == DISEASES.undecided and said.startswith("batch too small is open: the noise was not measured.")


def test_where_the_drift_does_not_show_the_samples_needed_are_a_bound():
    # The drift is at most its error: 4 * 64 / 0.5.
    hidden = Noise(variance=4.0, drift=-0.1, drift_error=0.5, batch=64, trusted_batch=np.inf)
    assert hidden.samples_needed == "more than 512 samples"
    assert dataclasses.replace(hidden, drift=2.0, trusted_batch=128.0).samples_needed == "128 samples"


def test_a_rotation_is_treated_by_damping_first_and_the_rest_goes_by_progress_then_cost():
    def offered(name: str, progress: float, cost: float = 1.0) -> Remedy:
        return Remedy(name, 1.0, -progress, 1.0, 2.0, cost, progress, "")

    ranked = [
        offered("ratio of rates", 0.9),
        offered("R1", 0.2, 1.5),
        offered("consensus", 0.3),
        offered("alternating", 0.2),
    ]
    order = [each.name for each in sorted(ranked, key=sort_key(DISEASES.cycling))]
    assert order == ["consensus", "alternating", "R1", "ratio of rates"]
    assert sorted(ranked, key=sort_key(DISEASES.healthy))[0].name == "ratio of rates"


def test_a_rotation_that_is_hardly_damped_and_has_no_time_to_turn_is_undecided_and_not_healthy():
    slow = dataclasses.replace(SPIRAL, value=0.02 + 0.01j)
    seen = dataclasses.replace(
        BLOWN_UP, modes=(slow,), step_modes=(dataclasses.replace(slow, of="update", rate=0.02 + 0.01j),),
        largest_step=2.0, near_equilibrium=False, horizon=10.0, turn=0.01,
    )  # fmt: skip
    found = findings(seen)
    assert strength(seen, DISEASES.cycling) == pytest.approx(10 * 0.01 / 0.5)
    disease, said = verdict(seen, found)
    assert disease == DISEASES.undecided
    assert "it turns by 0.1 radians only before the drift has left the state" in said
    # What decays as fast as it should is healthy, however slowly it turns.
    damped = dataclasses.replace(slow, value=-0.02 + 0.01j)
    seen = dataclasses.replace(
        seen, modes=(damped,), step_modes=(dataclasses.replace(damped, of="update", rate=-0.02 + 0.01j),)
    )
    assert verdict(seen, findings(seen))[0] == DISEASES.healthy
