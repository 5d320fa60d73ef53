"""What ends a cycle: values by closed forms, verdicts on both sides, and what does not end it."""

import jax.numpy as jnp
import numpy as np
import pytest

from gan_ode import analysis, fields, games, losses, regularizers, updates
from gan_ode.games import Players

EPSILON = 0.5
BILINEAR = games.AlmostBilinear(EPSILON)
WASSERSTEIN = games.LinearQuadratic(losses.Wasserstein())
# Events are found to rounding; rates come from the spectrum. Measured 1e-15 and 1e-14.
ROUNDING = 1e-10


def decayed(weight):
    return fields.GameField(regularizers.Penalized(BILINEAR, regularizers.WeightDecay(discriminator=weight)))


def agreeing(weight):
    return regularizers.Adjusted(fields.GameField(BILINEAR), regularizers.Consensus(weight))


def normed(eta):
    return fields.GameField(regularizers.Penalized(WASSERSTEIN, regularizers.GradientNorm(eta)))


def of_rate(rate):
    return fields.GameField(WASSERSTEIN, Players(rate, 1.0))


def scalars(discriminator, generator):
    return Players(jnp.asarray(discriminator, float), jnp.asarray(generator, float))


def stands_between_verdicts(stop):
    return stop.before.kind == "cycles" and stop.after.kind == "converges"


def test_the_cycle_of_the_almost_bilinear_game_ends_where_its_trace_vanishes():
    cycle = analysis.find_periodic_orbit(fields.GameField(BILINEAR), scalars(0.0, 1.5))
    stops = analysis.what_stops(
        cycle, {"weight decay": (decayed, (0.0, 1.0)), "consensus": (agreeing, (0.0, 1.0))}, num_values=5
    )
    # With J = [[e, 1], [-1, 0]] the trace of J - g J^T J is e - g (2 + e^2), that of J with decay is e - mu.
    expected = {"consensus": EPSILON / (2 + EPSILON**2), "weight decay": EPSILON}
    slopes = {"consensus": (2 + EPSILON**2) / 2, "weight decay": 0.5}
    assert [stop.knob for stop in stops] == ["consensus", "weight decay"]
    for stop in stops:
        assert stop.how == "hopf" and stop.error == 0 and stands_between_verdicts(stop)
        assert abs(stop.value - expected[stop.knob]) < ROUNDING and abs(stop.turn - expected[stop.knob]) < ROUNDING
        assert abs(stop.rate + slopes[stop.knob] * (stop.beyond - stop.value)) < ROUNDING
    assert "2 of 2 knobs" in str(stops) and "hopf at 0.5" in str(stops["weight decay"])
    assert stops.to_xarray()["how"].values.tolist() == ["hopf", "hopf"]


def test_a_family_of_cycles_is_broken_by_any_weight_and_not_by_a_ratio_of_rates():
    on_it = scalars(0.3, 1.0)
    stops = analysis.what_stops(on_it, {"ratio": (of_rate, (1.0, 3.0)), "eta": (normed, (0.0, 1.0))}, num_values=4)
    eta, ratio = stops
    assert (eta.knob, eta.how, eta.value, eta.turn) == ("eta", "family of cycles", 0.0, 0.0)
    # The eigenvalues are -(4/9) eta +- i ... on the linear-quadratic Wasserstein game.
    assert (
        stands_between_verdicts(eta) and abs(eta.rate + 4 / 9 * eta.beyond) < 1e-4 * eta.beyond + eta.after.rate_error
    )
    assert ratio.how == "not in the range" and np.isnan(ratio.value) and ratio.after.kind == "cycles"
    assert len(ratio.verdicts) == 4


def test_values_are_as_wide_as_the_state():
    on_it = Players(jnp.float32(0.0), jnp.float32(1.18))
    (stop,) = analysis.what_stops(on_it, {"weight decay": (decayed, (0.0, 1.0))}, num_values=3)
    # Single precision; measured 6e-8.
    assert stop.how == "hopf" and abs(stop.value - EPSILON) < 1e-5 and stands_between_verdicts(stop)


def test_the_cycle_that_a_fold_ends_leaves_a_point_that_attracts():
    def family(mu):
        def field(t, y, args):
            square, rate = jnp.sum(y**2), mu + args
            return jnp.stack([rate * y[0] - y[1], rate * y[1] + y[0]]) + square * (1 - square) * y

        return field

    more = jnp.asarray(0.1)
    cycle = analysis.find_periodic_orbit(family(0.2), jnp.array([1.1, 0.0]), args=more)
    (stop,) = analysis.what_stops(cycle, {"mu": (family, (0.2, -0.6))}, args=more)
    # r' = a r + r^3 - r^5: two cycles meet at a = -1/4, and the point between attracts at the rate a.
    assert stop.how == "fold of cycles" and abs(stop.value + 0.35) < ROUNDING and stands_between_verdicts(stop)
    assert abs(stop.rate - (stop.beyond + more)) < ROUNDING
    repelling = analysis.find_periodic_orbit(family(-0.2), jnp.array([0.5257, 0.0]), args=0 * more)
    with pytest.raises(ValueError, match=r"`cycle` must attract.*but is repelling: follow it by"):
        analysis.what_stops(repelling, {"mu": (family, (-0.2, 0.5))}, args=0 * more)


def test_knobs_of_an_update_end_the_closed_curve_of_its_steps():
    field = fields.GameField(games.LinearQuadratic(losses.Minimax()))
    stops = analysis.what_stops(
        scalars(0.2, 1.2),
        {
            "step size": (updates.Simultaneous, (0.95, 0.5)),
            "of an update": (updates.Extragradient(0.95), (0.95, 0.5)),
        },
        field=field,
        num_values=3,
    )
    assert stops["step size"].how == "neimark-sacker" and stands_between_verdicts(stops["step size"])
    # Simultaneous steps of this game lose the equilibrium at 0.9.
    assert abs(stops["step size"].value - 0.9) < ROUNDING
    assert stops["of an update"].how == "no cycle at the start" and stops["of an update"].turn == 0


@pytest.mark.parametrize(
    ("knobs", "says"),
    [
        ({}, "`knobs` must name what can be turned, but is empty"),
        ([("a", 1)], "`knobs` must name what can be turned, but is list"),
        ({"eta": normed}, r"`knobs\['eta'\]` must be two things"),
        ({"eta": (normed(0.1), (0, 1))}, r"`knobs\['eta'\]` must start with a family or a rule, but that is a field"),
        ({"eta": (normed, (0, 0))}, r"`knobs\['eta'\]` must have a range of two finite, different numbers"),
        ({"eta": (normed, "wide")}, r"`knobs\['eta'\]` must end with a range"),
        ({"eta": (lambda eta: eta, (0, 1))}, r"`knobs\['eta'\]` must make a field or an update"),
        ({"h": (updates.Simultaneous, (0.1, 1))}, "`field` must be given where no knob is of the field"),
    ],
)
def test_what_is_no_knob_is_refused_by_its_name(knobs, says):
    with pytest.raises(ValueError, match=says):
        analysis.what_stops(scalars(0.3, 1.0), knobs)
