"""Lie derivatives, extremes over boxes, and what they say of a candidate for a Lyapunov function."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from gan_ode import analysis, fields, games, losses, regularizers, updates
from gan_ode.analysis.lyapunov._box_search import Box
from gan_ode.analysis.lyapunov._changes import change_along
from gan_ode.games import Players
from tests.catalogue import players, wasserstein_energy

# A few products and sums of order one to ten; measured 4e-15.
ROUNDING = 1e-12
# A search that ends on a mesh of rounding: a value is off by the square of that, a place by the root of rounding.
VALUE, PLACE = 1e-12, 1e-6

ETA = 0.5
# A box of a > 0 that no orbit of interest needs to leave, away from a = 0 where the energy is infinite.
LOW, HIGH = players(-2.0, 0.1), players(2.0, 3.0)


def wasserstein(eta):
    game = games.LinearQuadratic(losses.Wasserstein())
    return fields.GameField(regularizers.Penalized(game, regularizers.GradientNorm(eta)))


def energy(y):
    return y.discriminator**2 / 2 + y.generator**2 / 4 - jnp.log(jnp.abs(y.generator)) / 2


def random_states(num=200):
    numbers = np.random.default_rng(0)
    return players(numbers.uniform(-5, 5, num), np.exp(numbers.uniform(-3, 1.5, num)))


# The derivative.


@pytest.mark.parametrize("eta", [0.0, 0.5, 3.0])
def test_the_energy_of_the_wasserstein_gan_falls_at_the_stated_rate(eta):
    ys = random_states()
    found = jax.jit(jax.vmap(analysis.lie_derivative(energy, wasserstein(eta))))(ys)
    a = np.asarray(ys.generator)
    expected = -2 * eta / 9 * (1 - a**2) ** 2
    # The terms that cancel at eta = 0 are of this size.
    terms = np.abs(np.asarray(ys.discriminator)) * (1 + a**2) + np.abs(expected)
    assert np.all(np.abs(found - expected) <= ROUNDING * (1 + terms))


def test_the_derivative_of_a_derivative_is_the_second_one():
    # Along y' = -y the square falls at -2 y^2, and that rises at 4 y^2.
    decay = lambda t, y, args: -args * y  # noqa: E731
    once = analysis.lie_derivative(lambda y: y**2, decay, args=jnp.asarray(1.0))
    assert float(once(jnp.asarray(3.0))) == -18.0
    assert float(analysis.lie_derivative(once, decay, args=jnp.asarray(1.0))(jnp.asarray(3.0))) == 36.0


def test_a_step_of_an_update_changes_the_squared_radius_by_its_multiplier():
    h, rotation = 0.3, lambda t, y, args: jnp.stack([y[1], -y[0]])
    change = analysis.lie_derivative(lambda y: y @ y, rotation, update=updates.Simultaneous(h))
    assert float(change(jnp.array([3.0, 4.0]))) == pytest.approx(25 * h**2, rel=1e-13)


# Extremes.


def test_extremes_inside_and_on_the_edge_of_a_box_are_found():
    # A saddle, turned a little off the axes of the grid: smallest inside the left edge, largest in a corner.
    def height(y):
        return (y[1] - 0.3 * y[0] - 0.1) ** 2 + y[0]

    found = analysis.box_extremes(height, jnp.array([-1.0, -1.0]), jnp.array([2.0, 1.0]))
    # On the left edge the square vanishes at y = -0.2; a corner has the largest value: (2 - ...) by hand.
    np.testing.assert_allclose(found.smallest, -1.0, rtol=0, atol=VALUE)
    np.testing.assert_allclose(found.where_smallest, [-1.0, -0.2], rtol=0, atol=PLACE)
    np.testing.assert_allclose(found.largest, (-1 - 0.6 - 0.1) ** 2 + 2, rtol=0, atol=VALUE)
    np.testing.assert_allclose(found.where_largest, [2.0, -1.0], rtol=0, atol=PLACE)
    assert bool(found.finite)


def test_the_energy_has_its_minimum_of_a_quarter_at_the_equilibrium():
    found = analysis.box_extremes(energy, LOW, HIGH)
    np.testing.assert_allclose(found.smallest, 0.25, rtol=0, atol=VALUE)
    np.testing.assert_allclose(found.where_smallest.discriminator, 0.0, rtol=0, atol=PLACE)
    np.testing.assert_allclose(found.where_smallest.generator, 1.0, rtol=0, atol=PLACE)


def test_the_deepest_of_many_minima_is_found_between_the_points_of_the_grid():
    # Wells at multiples of 2 pi / 40, deeper toward 0.7: twenty-one points along the axis see few of them.
    def height(y):
        return jnp.cos(40 * y) + (y - 0.7) ** 2

    fine = np.linspace(0.0, 1.0, 2_000_001)
    expected = np.min(np.cos(40 * fine) + (fine - 0.7) ** 2)
    found = analysis.box_extremes(height, jnp.asarray(0.0), jnp.asarray(1.0), resolution=101)
    np.testing.assert_allclose(found.smallest, expected, rtol=0, atol=1e-9)
    # A steep function on a coarse grid has much room between the points.
    assert float(found.slack) > 0.05


def test_the_slack_is_half_a_cell_of_the_steepest_slope():
    found = analysis.box_extremes(lambda y: 3 * y[0] - y[1], jnp.zeros(2), jnp.ones(2), resolution=11)
    np.testing.assert_allclose(found.slack, 0.5 * (0.3 + 0.1), rtol=1e-12)


def test_places_where_the_function_is_not_finite_are_left_out_and_reported():
    found = analysis.box_extremes(lambda y: jnp.log(y), jnp.asarray(-1.0), jnp.asarray(1.0), resolution=101)
    assert not found.finite
    np.testing.assert_allclose(found.largest, 0.0, rtol=0, atol=VALUE)


def test_extremes_are_swept_by_vmap_and_follow_a_parameter():
    low, high = jnp.asarray(-1.0), jnp.asarray(1.0)
    found = jax.vmap(lambda c: analysis.box_extremes(lambda y: (y - c) ** 2, low, high, resolution=21))(
        jnp.array([0.3, 2.0])
    )
    np.testing.assert_allclose(found.smallest, [0.0, 1.0], rtol=0, atol=VALUE)
    np.testing.assert_allclose(found.largest, [1.3**2, 9.0], rtol=0, atol=VALUE)


# Candidates.


def check(eta, **options):
    return analysis.check_lyapunov_function(energy, wasserstein(eta), LOW, HIGH, **options)


def test_the_plain_wasserstein_gan_keeps_the_energy():
    found = check(0.0)
    assert found.kind == "keeps" and found.keeps
    # Measured 9e-15, of which the change itself is less than a tenth.
    assert float(found.rounding) < ROUNDING


def test_the_energy_of_the_regularized_one_falls_but_stands_still_on_a_line():
    found = check(ETA)
    assert found.kind == "falls"
    # -(2 eta / 9)(1 - a^2)^2: largest, zero, at a = 1, smallest at a = 3.
    np.testing.assert_allclose(found.change.largest, 0.0, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(found.change.smallest, -2 * ETA / 9 * 64, rtol=1e-12)
    np.testing.assert_allclose(found.change.where_smallest.generator, 3.0, rtol=0, atol=PLACE)
    np.testing.assert_allclose(found.relative.where_largest.generator, 1.0, rtol=0, atol=1e-3)


def test_no_orbit_stays_on_that_line_so_that_over_a_time_the_energy_falls_everywhere():
    # LaSalle's principle in numbers: only equilibria keep the energy for a time, so all orbits with a > 0 converge.
    # By hand, since it compiles in a third of the time.
    def field(t, y, args):
        w, a = y.discriminator, y.generator
        return Players((1 - a**2) / 3, 2 * w * a / 3 + 4 * args * a * (1 - a**2) / 9)

    options = {"duration": 1.0, "resolution": 21}
    found = analysis.check_lyapunov_function(energy, field, LOW, HIGH, args=jnp.asarray(ETA), **options)
    assert found.kind == "falls strictly"
    assert float(found.margin) > 1e-3
    # At the equilibrium, to the solver's tolerance.
    assert float(found.change.largest) < 1e-9
    assert analysis.check_lyapunov_function(energy, field, LOW, HIGH, args=jnp.asarray(0.0), **options).kind == "keeps"


def test_simultaneous_steps_raise_what_is_kept_and_strictly_convex():
    # H(y + h v) > H(y) + h grad H . v = H(y): at every state that is no equilibrium.
    found = check(0.0, update=updates.Simultaneous(0.1))
    assert found.kind == "rises strictly" and not found.falls
    assert float(found.change.smallest) > -ROUNDING
    assert float(found.change.largest) > 0.01


def test_a_quantity_that_rises_somewhere_is_found_out():
    # The squared distance from the equilibrium falls in the mean, but not everywhere.
    def distance(y):
        return y.discriminator**2 + (y.generator - 1) ** 2

    found = analysis.check_lyapunov_function(distance, wasserstein(ETA), LOW, HIGH)
    assert found.kind == "neither" and float(found.relative.largest) > 0.1


def test_a_sweep_over_eta_is_one_program():
    margins = eqx.filter_jit(jax.vmap(lambda eta: check(eta).change.smallest))(jnp.array([0.5, 1.0]))
    np.testing.assert_allclose(margins, -2 * np.array([0.5, 1.0]) / 9 * 64, rtol=1e-12)


def test_single_precision_is_judged_by_its_own_rounding():
    narrow = [jax.tree.map(lambda leaf: leaf.astype(jnp.float32), corner) for corner in (LOW, HIGH)]
    assert analysis.check_lyapunov_function(energy, wasserstein(0.0), *narrow).kind == "keeps"
    assert analysis.check_lyapunov_function(energy, wasserstein(ETA), *narrow).kind == "falls"


def test_the_energy_here_is_the_one_of_the_catalogue():
    assert float(energy(players(0.7, 1.3))) == pytest.approx(wasserstein_energy(np.array([0.7, 1.3])), abs=1e-15)


# Words. Quantities and fields go by number, so that all cases of a kind are one program.

QUANTITIES = {
    "r^2": lambda y: y @ y,
    "-r^2": lambda y: -(y @ y),
    "r": lambda y: jnp.sqrt(y @ y),
    "x^2": lambda y: y[0] ** 2,
    "y^2": lambda y: y[1] ** 2,
    "x^2 - y^2": lambda y: y[0] ** 2 - y[1] ** 2,
    "x": lambda y: y[0],
    "ln x": lambda y: jnp.log(y[0]),
    "5": lambda y: jnp.full((), 5.0, y.dtype),
    # The derivatives of its two parts are rounded differently.
    "sin^2 + cos^2": lambda y: jnp.sin(y[0]) ** 2 + (1 + jnp.cos(2 * y[0])) / 2,
    "max(r^2 - 1/4, 0)": lambda y: jnp.maximum(y @ y - 0.25, 0),
    "a corner that falls": lambda y: -(corner(y) ** 2),
    "x, but for a corner": lambda y: y[0] - 1e4 * corner(y) ** 2,
    "-x, but for a corner": lambda y: -y[0] + 1e4 * corner(y) ** 2,
    "-x^2 + 1e4 x^4 - y^2": lambda y: -(y[0] ** 2) + 1e4 * y[0] ** 4 - y[1] ** 2,
}
FIELDS = {
    "in": lambda y: -y,
    "out": lambda y: y,
    "rest": lambda y: 0 * y,
    "around": lambda y: jnp.stack([-y[1], y[0]]),
    "around and in, by 1e-4": lambda y: jnp.stack([-y[1], y[0]]) - 1e-4 * y,
    "around and in, as r^3": lambda y: jnp.stack([-y[1], y[0]]) - y * (y @ y),
    "saddle": lambda y: jnp.stack([y[0], -y[1]]),
    "along": lambda y: jnp.ones_like(y),
    "cubes": lambda y: -(y**3),
    "to a line": lambda y: jnp.stack([0 * y[0], -y[1]]),
    "a million times faster along x": lambda y: -jnp.array([1e6, 1.0], y.dtype) * y,
    "very slow": lambda y: -1e-30 * y,
    "very fast": lambda y: -1e30 * y,
    "not finite on one side": lambda y: -jnp.sqrt(y),
    "not finite in a corner": lambda y: jnp.where(corner(y) > 0, jnp.nan, -y),
}


def corner(y):
    return jnp.maximum(y[0] + y[1] - 1.99, 0)


class Numbered(eqx.Module):
    """One of `QUANTITIES`, by a number that may be traced."""

    which: jax.Array

    def __call__(self, y):
        return jax.lax.switch(self.which, list(QUANTITIES.values()), y)


def numbered(t, y, which):
    return jax.lax.switch(which, list(FIELDS.values()), y)


def search(quantity, field, dtype=jnp.float64, box=None, **options):
    which = Numbered(jnp.asarray(list(QUANTITIES).index(quantity)))
    box = box or (-jnp.ones(2, dtype), jnp.ones(2, dtype))
    arguments = {"args": jnp.asarray(list(FIELDS).index(field)), "resolution": 41, "check": False, **options}
    return analysis.check_lyapunov_function(which, numbered, *box, **arguments)


WORDS = [
    ("r^2", "in", "falls strictly"),
    ("r^2", "out", "rises strictly"),
    ("-r^2", "in", "rises strictly"),
    # It has no gradient where it rests.
    ("r", "in", "falls strictly"),
    ("r^2", "saddle", "neither"),
    ("x^2 - y^2", "saddle", "rises strictly"),
    ("r^2", "around", "keeps"),
    ("r^2", "around and in, by 1e-4", "falls strictly"),
    ("r^2", "cubes", "falls strictly"),
    ("r^2", "very slow", "falls strictly"),
    ("r^2", "very fast", "falls strictly"),
    # Nothing moves, or the quantity is a number, if one with rounding.
    ("r^2", "rest", "keeps"),
    ("5", "out", "keeps"),
    ("sin^2 + cos^2", "out", "keeps"),
    # A whole line of equilibria; and a line on which the quantity stands still, but not the state.
    ("y^2", "to a line", "falls strictly"),
    ("x^2", "in", "falls"),
    ("-r^2", "to a line", "rises strictly"),
    ("x^2", "a million times faster along x", "falls"),
    ("r^2", "a million times faster along x", "falls strictly"),
    # It rises where the velocity is a millionth of what it is a cell further.
    ("x^2 - y^2", "a million times faster along x", "neither"),
    ("max(r^2 - 1/4, 0)", "in", "falls"),
    ("max(r^2 - 1/4, 0)", "out", "rises"),
    # Within a tenth of a cell of one corner of the box, or of its middle.
    ("a corner that falls", "along", "falls"),
    ("x, but for a corner", "along", "neither"),
    ("-x, but for a corner", "along", "neither"),
    ("-x^2 + 1e4 x^4 - y^2", "cubes", "neither"),
    ("r^2", "not finite on one side", "undecided"),
    ("r^2", "not finite in a corner", "undecided"),
    ("ln x", "in", "undecided"),
]


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32], ids=["float64", "float32"])
@pytest.mark.parametrize(("quantity", "field", "kind"), WORDS, ids=[f"{q} {f}" for q, f, _ in WORDS])
def test_the_word_is_what_calculus_says(quantity, field, kind, dtype):
    found = search(quantity, field, dtype)
    assert found.kind == kind
    # The properties say the same, and what is said strictly is said.
    said = {word for word in ("falls", "keeps", "rises", "neither") if getattr(found, word)}
    assert said == {kind.split()[0]} - {"undecided"}
    assert bool(found.falls_strictly) == (kind == "falls strictly")
    assert bool(found.rises_strictly) == (kind == "rises strictly")
    assert bool(found.never_rises) == (said <= {"falls", "keeps"} and said != set())
    assert bool(found.never_falls) == (said <= {"rises", "keeps"} and said != set())
    assert (float(found.margin) > 0) == (kind == "falls strictly") or field == "rest" or kind == "undecided"


def test_a_fall_that_vanishes_at_the_equilibrium_faster_than_speed_and_gradient_is_strict():
    # (r^2)' = -2 r^4, and the cosine is -r^2. In float32 that is rounding within a cell of the equilibrium.
    assert search("r^2", "around and in, as r^3").kind == "falls strictly"
    assert search("r^2", "around and in, as r^3", jnp.float32).kind in ("falls", "falls strictly")


def test_what_is_left_out_is_a_hundredth_of_a_cell_and_said_of_no_slow_state():
    found = search("x^2 - y^2", "a million times faster along x")
    # The largest cosine, one, is on the slow manifold x = 0.
    np.testing.assert_allclose(found.relative.largest, 1.0, rtol=1e-9)
    assert abs(float(found.relative.where_largest[0])) < 1e-9


def test_a_box_that_is_not_finite_is_said_to_be_and_where():
    found = search("r^2", "not finite in a corner")
    assert not found.finite
    np.testing.assert_array_equal(found.where_not_finite, [1.0, 1.0])
    assert "not finite at [1. 1.]" in found.reason


def test_reasons_are_numbers_of_the_search():
    assert search("r^2", "around").reason == (
        "the change, over gradient times motion, is from 0 to 0 away from equilibria"
    )
    assert search("r^2", "rest").reason == "no state of the box moves"


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32], ids=["float64", "float32"])
def test_the_word_for_a_step_is_what_calculus_says(dtype):
    def step(quantity, field, size=0.5):
        size = jnp.asarray(size, dtype)
        return search(quantity, field, dtype, update=updates.Simultaneous(size))

    assert step("r^2", "in").kind == "falls strictly"
    assert step("r^2", "out").kind == "rises strictly"
    # By h^2, at first order nothing.
    assert step("r^2", "around").kind == "rises strictly"
    assert step("r^2", "in", 2.0).kind == "keeps"
    assert step("r^2", "in", 2.5).kind == "rises strictly"
    assert step("5", "out").kind == step("sin^2 + cos^2", "out").kind == "keeps"
    # The gradient is zero where a step leads out of the flat middle.
    assert step("max(r^2 - 1/4, 0)", "out").kind == "rises"
    assert step("r^2", "not finite in a corner").kind == "undecided"
    # A step that rounding takes away.
    lost = step("r^2", "in", float(jnp.finfo(dtype).eps) / 4)
    assert lost.kind == "undecided" and "may be rounding" in lost.reason


def test_the_word_for_a_time_is_what_calculus_says():
    def over_time(quantity, field, **options):
        return search(quantity, field, duration=jnp.asarray(1.0), resolution=11, **options)

    assert over_time("r^2", "in").kind == "falls strictly"
    assert over_time("r^2", "out").kind == "rises strictly"
    assert over_time("r^2", "around").kind == "keeps"
    assert over_time("r^2", "around and in, by 1e-4").kind == "falls strictly"
    assert over_time("max(r^2 - 1/4, 0)", "in").kind == "falls"
    assert over_time("r^2", "saddle").kind == "neither"
    assert over_time("r^2", "rest").kind == "keeps"


def test_two_tolerances_that_take_the_same_steps_are_not_taken_for_an_exact_solver():
    # The energy of the Wasserstein GAN in (w, ln a) is kept. Over this orbit four steps do at one tolerance and five at
    # the other: they are 3e-14 apart, but both miss by 1e-12.
    def energy(y):
        return y[0] ** 2 / 2 + jnp.exp(2 * y[1]) / 4 - y[1] / 2

    def field(t, y, args):
        return jnp.stack([1 - jnp.exp(2 * y[1]), 2 * y[0]]) / 3

    box = Box(jnp.array([-5.0, -6.0]), jnp.array([5.0, 1.4]), 101)
    found = change_along(energy, field, box, None, jnp.asarray(1.0), None)(jnp.array([-0.8, -5.926]))
    assert float(found.relative) == 0.0 and float(found.rounding) < 1e-8


def test_flows_that_do_not_reach_the_end_leave_it_undecided():
    found = analysis.check_lyapunov_function(
        lambda y: y @ y, lambda t, y, args: 10 * y**2, -jnp.ones(2), jnp.ones(2), duration=1.0, resolution=11
    )
    assert found.kind == "undecided" and "does not get to the end" in found.reason


def test_a_damping_of_a_thousand_roundings_is_seen_beside_rotation():
    def spiral(t, y, damping):
        return jnp.stack([-y[1], y[0]]) - damping * y

    square = -jnp.ones(2), jnp.ones(2)
    for damping, kind in ((1e-12, "falls strictly"), (0.0, "keeps"), (-1e-12, "rises strictly")):
        assert (
            analysis.check_lyapunov_function(lambda y: y @ y, spiral, *square, args=jnp.asarray(damping)).kind == kind
        )


def test_a_box_far_from_the_origin_is_judged_by_its_rounding():
    far = jnp.array([1e6, -1e6])

    def square(y):
        return (y - far) @ (y - far)

    def field(t, y, turn):
        x = y - far
        return turn * jnp.stack([-x[1], x[0]]) - (1 - turn) * x

    box = far - 1, far + jnp.array([1.0, 0.7])
    assert (
        analysis.check_lyapunov_function(square, field, *box, args=jnp.asarray(0.0), resolution=41).kind
        == "falls strictly"
    )
    assert analysis.check_lyapunov_function(square, field, *box, args=jnp.asarray(1.0), resolution=41).kind == "keeps"


def test_a_field_with_explicit_time_is_refused_or_taken_at_its_beginning():
    def forced(t, y, weight):
        return -y + weight * jnp.sin(t)

    def of(weight, **options):
        return analysis.check_lyapunov_function(lambda y: y @ y, forced, *square, args=weight, resolution=11, **options)

    square = -jnp.ones(2), jnp.ones(2)
    with pytest.raises(ValueError, match="`field` must have no explicit time"):
        of(jnp.asarray(1.0))
    assert of(jnp.asarray(1.0), check=False).kind == "falls strictly"
    # Under a transformation there is no verdict of it.
    found = jax.vmap(of)(jnp.array([0.0, 1.0]))
    np.testing.assert_array_equal(found.falls_strictly, [True, False])
    np.testing.assert_array_equal(found.finite, [True, False])


# Errors.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: analysis.box_extremes(energy, LOW, jnp.zeros(2)),
            "`high` must be a state like `low`",
        ),
        (lambda: analysis.box_extremes(energy, HIGH, LOW), "`low` must be below `high` along every axis"),
        (lambda: analysis.box_extremes(energy, LOW, players(jnp.inf, 3.0)), "both finite"),
        (lambda: analysis.box_extremes(energy, LOW, HIGH, resolution=2), "`resolution` must be at least 3, but is 2"),
        (lambda: analysis.box_extremes(jnp.sum, jnp.zeros(9), jnp.ones(9), resolution=11), "at most 4,000,000 points"),
        (
            lambda: analysis.check_lyapunov_function(
                energy, wasserstein(0.0), LOW, HIGH, update=updates.Simultaneous(0.1), duration=1.0
            ),
            "`update` and `duration` must not both be given",
        ),
        (lambda: check(0.0, duration=0.0), "`duration` must be above 0"),
    ],
)
def test_what_cannot_be_searched_is_refused(call, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        call()


def test_all_points_of_a_grid_are_seen_whatever_fits_at_once():
    # 19,683 points are four batches and most of a fifth.
    box = Box(jnp.zeros(3), jnp.ones(3), 27)
    found = box.sweep(lambda y: (y @ jnp.array([1.0, 10.0, 100.0]), y))
    axis = np.linspace(0.0, 1.0, 27)
    expected = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    np.testing.assert_allclose(found[1], expected, rtol=0, atol=1e-15)
    np.testing.assert_allclose(found[0], expected @ [1.0, 10.0, 100.0], rtol=0, atol=1e-13)


def test_corners_of_whole_numbers_are_a_box():
    found = analysis.box_extremes(lambda y: (y[0] - 0.3) ** 2, jnp.array([0]), jnp.array([1]))
    assert found.largest == pytest.approx(0.49, abs=VALUE)
