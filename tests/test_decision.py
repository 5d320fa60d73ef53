"""What a verdict makes of an orbit's motion and of the linear part of its equilibrium, case by case.

Whole orbits are judged in the tests of `classify`; here are the cases that few orbits reach.
"""

import dataclasses
import math

import pytest

from gan_ode.analysis._decision import decide, has_grown_on, keeps_growing, Place
from gan_ode.analysis._motion import Motion

# A closed orbit around a center, of which many turns were seen.
CYCLE = Motion(
    size=1.0, remaining=1.0, trend=0.0, earlier_trend=0.0, steadiness=1e-6, grown=1.0, rate=0.0, spacing=10.0,
    wanders=True, swing=1.0, turns=20, period=1.0, closure=1e-9,
)  # fmt: skip
CENTER = Place("center", found=True, distance=0.5, norm=1.0, growth=0.0)
UNSTABLE = Place("unstable", found=True, distance=0.5, norm=1.0, growth=0.1)
STABLE = Place("stable", found=True, distance=0.5, norm=1.0, growth=-1e-3)
DOUBLING = math.log(2)


def kind(moved, place, *, is_flow=True, whole=True):
    return decide(moved, place, 8, is_flow=is_flow, whole=whole)[0]


def changed(**parts):
    return dataclasses.replace(CYCLE, **parts)


def test_an_orbit_that_closes_cycles():
    assert kind(CYCLE, CENTER) == "cycles"


def test_returns_at_the_end_alone_make_no_cycle_of_an_orbit_that_changes():
    changing = {"steadiness": 0.01, "trend": 0.01, "earlier_trend": 0.01}
    assert kind(changed(**changing), CENTER) == "cycles"
    assert kind(changed(**changing, returns_are_later=True), CENTER) == "undecided"
    assert kind(changed(returns_are_later=True), CENTER) == "cycles"


@pytest.mark.parametrize("parts", [{"turns": 2}, {"closure": 1e-4}])
def test_too_few_turns_or_too_wide_a_gap_close_no_orbit(parts):
    assert kind(changed(steadiness=0.01, **parts), CENTER) == "undecided"


def test_an_orbit_that_closes_no_better_than_a_spiral_would_is_undecided():
    # In 20 turns of 1 a spiral of this rate shrinks by 2e-5: a gap of 1e-9 is none of its, one of 9e-6 may be.
    slow = dataclasses.replace(STABLE, growth=-1e-6)
    assert kind(CYCLE, slow) == "cycles"
    assert kind(changed(closure=9e-6), slow) == "undecided"


def test_the_amplitude_of_an_update_may_be_steady_without_closing():
    open_orbit = changed(closure=0.1)
    assert kind(open_orbit, UNSTABLE, is_flow=False) == "cycles"
    assert kind(open_orbit, UNSTABLE, is_flow=True) == "undecided"
    # Not until nothing longer will be followed.
    assert kind(open_orbit, UNSTABLE, is_flow=False, whole=False) == "undecided"


def test_motion_that_shrinks_around_an_unstable_equilibrium_is_undecided():
    shrinking = changed(closure=0.1, steadiness=0.5, trend=-0.5, earlier_trend=-0.5)
    assert kind(shrinking, UNSTABLE) == "undecided"
    assert kind(shrinking, STABLE) == "converges"


def test_growth_is_divergence_only_if_it_goes_on():
    growing = changed(trend=DOUBLING, earlier_trend=DOUBLING, steadiness=DOUBLING, closure=0.5, grown=10.0)
    slowing = dataclasses.replace(growing, trend=0.1)
    assert keeps_growing(growing, "unstable")
    assert not keeps_growing(slowing, "unstable")
    assert kind(growing, UNSTABLE) == "diverges"
    assert kind(growing, UNSTABLE, whole=False) == "undecided"
    assert kind(slowing, UNSTABLE) == "undecided"
    assert has_grown_on(growing, dataclasses.replace(growing, size=4.0))
    # It came to an end, as on the way to a limit cycle; or there was none.
    assert not has_grown_on(growing, dataclasses.replace(growing, size=2.0))
    assert not has_grown_on(CYCLE, dataclasses.replace(growing, size=4.0))
