"""What becomes of many starts: where closed forms say it, and where loose evidence misleads.

A field and a shape take seconds to compile: the planar problems are one field, told which it is by `args`.
"""

import functools

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.integrate

from gan_ode import analysis, fields, games, losses, simulate, updates
from gan_ode.analysis import basin, FATES, REASONS
from gan_ode.analysis.fates._trapping_region import flow_trap
from gan_ode.games import Players

# Neighboring levels of a trap differ by a third, its distances by a sixth.
RUNG = 10 ** (8 / 63 / 2)
# Newton's method stops at 1e-12; measured 1e-16.
ROOT = 1e-9

USUAL = fields.GameField(games.LinearQuadratic(losses.Minimax(), num_nodes=10))
CORNERS = analysis.state_grid(jnp.linspace(-1.5, 1.5, 8), jnp.linspace(-1.6, 1.6, 8))
NEAR = analysis.state_grid(jnp.array([0.4, -0.4]), jnp.array([0.9, -1.1]))


def bistable(t, y, args):
    """y' = y - y^3: everything but 0 goes to the sign of the start."""
    return y - y**3


def turning(rate):
    """r' = r rate(r^2), one turn in 2 pi."""
    return lambda x, y: (y + rate(x**2 + y**2) * x, -x + rate(x**2 + y**2) * y)


PLANAR = {
    "circle": lambda x, y: (y, -x),
    "limit cycle": turning(lambda s: 1 - s),
    # Attracting at r = 1 and 2, repelling at r = 3/2.
    "nested": turning(lambda s: -(s - 1) * (s - 2.25) * (s - 4)),
    # From inside everything leaves the cycle at r = 1, for 0.
    "half-stable": turning(lambda s: -((s - 1) ** 2)),
    "weak cycle": turning(lambda s: 0.02 * (1 - s)),
    "weak focus": turning(lambda s: -3e-3 + 0 * s),
    "repelling focus": turning(lambda s: 3e-3 + 0 * s),
    "oval": lambda x, y: (y, -x - x**3),
    # The Dirac-GAN with the Wasserstein loss and a gradient penalty, of weight 1 and with target 1: psi and theta.
    "gradient penalty": lambda x, y: (y - (jnp.abs(x) - 1) * jnp.sign(x), -x),
    "relaxation": lambda x, y: (y, 5 * (1 - x**2) * y - x),
    "saddle": lambda x, y: (x, -y),
    # The non-saturating Dirac-GAN, psi and theta.
    "algebraic tail": lambda x, y: (y * jax.nn.sigmoid(-x * y), -x * jax.nn.sigmoid(x * y)),
    "line of equilibria": lambda x, y: (-x, 0 * y),
    "no equilibrium": lambda x, y: (1 + 0 * x, 0 * y),
}


def planar(t, y, args):
    return jnp.stack([jnp.stack(each(*y)) for each in PLANAR.values()])[args]


def alone(name):
    """One of the planar problems, for a program that no other test shares."""
    return lambda t, y, args: jnp.stack(PLANAR[name](*y))


def fates(name, starts, duration, **options):
    which = jnp.asarray(list(PLANAR).index(name))
    # In the shape of the rays, over and over.
    return basin(planar, jnp.asarray(np.resize(starts, RAYS.shape)), duration, args=which, **options)


def why(found):
    """The names of the reasons that occur."""
    names = [name for name in vars(REASONS)["_name_to_item"] if np.any(found.reason == getattr(REASONS, name))]
    return set(names) - {"decided"}


@functools.cache
def usual_flow():
    return basin(USUAL, CORNERS, 150.0)


def test_the_flow_of_the_usual_gan_takes_each_side_to_its_equilibrium():
    found = usual_flow()
    assert np.all(found.fate == FATES.converges)
    np.testing.assert_allclose(found.equilibria.generator[found.index], np.sign(CORNERS.generator), rtol=0, atol=ROOT)
    assert float(found.fraction(FATES.converges, 0)) == 0.5


def test_the_basins_have_the_symmetry_of_the_field():
    times = np.asarray(usual_flow().time).reshape(8, 8)
    # Orbits are looked at after each step, and the steps' lengths follow rounding; measured 7e-6.
    np.testing.assert_allclose(times, times[::-1], rtol=0, atol=1e-3)


def test_no_orbit_leaves_a_trap():
    trap = jax.tree.map(lambda leaf: leaf[0], usual_flow().traps)
    # On ellipses and in directions that were not looked at when it was made.
    angles = jnp.linspace(0.1, 2 * jnp.pi, 1000)
    away = jnp.stack([jnp.cos(angles), jnp.sin(angles)]) * jnp.linspace(0.01, 1.0, 37)[:, None, None]
    lower = jnp.linalg.cholesky(trap.matrix)
    points = trap.center[:, None] + jnp.sqrt(trap.level) * jnp.linalg.solve(lower.T, away)

    def change(w, a):
        velocity = USUAL(0.0, Players(w, a))
        slope = 2 * trap.matrix @ (jnp.stack([w, a]) - trap.center)
        return slope @ jnp.stack([velocity.discriminator, velocity.generator])

    assert float(jnp.max(jax.jit(jnp.vectorize(change))(points[:, 0], points[:, 1]))) < 0


def test_a_trap_is_as_wide_as_the_quadratic_function_falls():
    # At y = 1 the linear part is -2, so P = 1/4, and V falls fast enough while (1 + e)(2 + e) >= 2 * share: down to
    # e = (-3 + sqrt(1 + 8 share)) / 2, with a share of a tenth.
    trap = jax.jit(lambda y: flow_trap(bistable, y, None, jnp.asarray(5.0)))(jnp.asarray(1.0))
    assert float(trap.matrix[0, 0]) == pytest.approx(0.25, rel=ROOT)
    width, widest = float(jnp.sqrt(trap.level / 0.25)), (3 - np.sqrt(1 + 8 * 0.1)) / 2
    assert widest / RUNG <= width <= widest
    assert not trap.repels


@pytest.mark.parametrize(
    ("name", "starts", "duration", "reason"),
    [
        ("algebraic tail", [[0.5, 0.5], [1.0, 1.0]], 200.0, "slowing"),
        # From (1e-9, 1) the orbit comes within 1e-7 of the saddle at the origin.
        ("saddle", [[1e-9, 1.0], [0.0, 1.0]], 16.0, "moving"),
        ("saddle", [[0.0, 1.0], [0.0, -1.0]], 100.0, "at_rest"),
        ("line of equilibria", [[1.0, 1.0], [0.0, 2.0]], 50.0, "at_rest"),
        ("no equilibrium", [[1.0, 1.0], [0.0, 2.0]], 1.0, "moving"),
    ],
)
def test_what_only_looks_like_convergence_is_undecided_and_says_why(name, starts, duration, reason):
    found = fates(name, starts, duration)
    assert np.all(found.fate == FATES.undecided) and why(found) == {reason}
    assert found.why(1) == REASONS[getattr(REASONS, reason)]


def test_growth_is_divergence():
    found = fates("saddle", [[1.0, 1.0], [-1.0, 0.0]], 500.0)
    assert np.all(found.fate == FATES.diverges)


# On rays in all directions, in the same number for all: radii up to 3.
RADII = np.linspace(0.2, 3.0, 16)
RAYS = RADII[:, None] * np.stack([np.cos(5 * RADII), np.sin(5 * RADII)], axis=1)


def test_a_limit_cycle_is_a_cycle():
    found = fates("limit cycle", RAYS, 40.0)
    assert np.all(found.fate == FATES.cycles) and found.traps.repels[0] and len(found.cycles) == 1
    np.testing.assert_allclose(np.linalg.norm(found.final_state, axis=1), 1.0, rtol=0, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(found.cycles.ys[0], axis=1), 1.0, rtol=0, atol=1e-7)
    # Certain before the end, and later from farther away on either side.
    order = np.argsort(np.abs(np.log(RADII[RADII < 1])))
    assert np.all(np.isfinite(found.time)) and np.all(np.diff(np.asarray(found.time)[RADII < 1][order]) >= 0)


@pytest.mark.parametrize("rtol", [1e-2, 1e-4, None, 1e-8])
def test_cycles_that_coexist_have_labels_of_their_own(rtol):
    found = fates("nested", RAYS, 40.0, rtol=rtol)
    assert np.all(found.fate == FATES.cycles) and len(found.cycles) == 2
    radii = np.linalg.norm(found.cycles.ys[:, 0], axis=1)[np.asarray(found.cycle)]
    np.testing.assert_allclose(radii, np.where(RADII < 1.5, 1.0, 2.0), rtol=0, atol=1e-7)
    for number in range(2):
        part = np.mean(np.asarray(found.cycle) == number)
        assert float(found.fraction(FATES.cycles, number)) == part > 0


@pytest.mark.parametrize("name", ["limit cycle", "nested", "weak cycle"])
def test_the_period_of_a_cycle_is_that_of_a_turn_within_its_error(name):
    found = fates(name, RAYS, 40.0 if name != "weak cycle" else 400.0)
    assert np.all(found.fate == FATES.cycles)
    assert np.all(np.abs(np.asarray(found.cycles.periods) - 2 * np.pi) <= np.asarray(found.cycles.period_errors))
    assert np.all(np.asarray(found.cycles.period_errors) < 1e-8)


def test_no_orbit_leaves_the_ring_of_a_cycle():
    found = fates("nested", RAYS, 40.0)
    for ys, radius in zip(found.cycles.ys, found.cycles.rings.radius, strict=True):
        size = float(np.linalg.norm(ys[0]))
        # The ring is a share of the size wide; what is nearer to the cycle than 3/2 goes there.
        assert float(radius) > 0.1 and size * (1 + float(radius)) < (1.5 if size < 1.5 else np.inf)
        assert size * (1 - float(radius)) > (1.5 if size > 1.5 else 0)


def test_a_field_that_jumps_has_no_trap_and_may_have_a_cycle():
    found = fates("gradient penalty", RAYS, 60.0)
    assert not np.any(found.traps.level) and np.all(found.fate == FATES.cycles) and len(found.cycles) == 1
    # On each side of the jump it is a linear focus around psi = 0, with eigenvalues -1/2 +- i sqrt(3)/2.
    assert float(found.cycles.periods[0]) == pytest.approx(4 * np.pi / np.sqrt(4 - 1), rel=1e-8)


def test_a_relaxation_oscillation_is_a_cycle_though_few_of_its_turns_are_seen():
    found = fates("relaxation", RAYS, 60.0)
    assert np.all(found.fate == FATES.cycles) and len(found.cycles) == 1
    solution = scipy.integrate.solve_ivp(
        lambda t, y: PLANAR["relaxation"](*y), (0.0, 60.0), [2.0, 0.0], "DOP853", rtol=1e-12, atol=1e-13,
        events=lambda t, y: y[0],
    )  # fmt: skip
    period = float(solution.t_events[0][-1] - solution.t_events[0][-3])
    assert float(found.cycles.periods[0]) == pytest.approx(period, rel=1e-9)


@pytest.mark.parametrize("name", ["circle", "oval"])
@pytest.mark.parametrize("rtol", [1e-2, None])
def test_a_family_of_closed_orbits_is_no_cycle(name, rtol):
    found = fates(name, RAYS, 100.0, rtol=rtol)
    assert np.all(found.fate == FATES.undecided) and len(found.cycles) == 0
    assert why(found) == {"family"} and np.all(np.isinf(found.time)) and not np.any(found.traps.level)


def test_a_circle_does_not_converge_however_loose_the_solver():
    # Kvaerno5 at this tolerance takes it to a radius of 1e-8.
    found = basin(alone("circle"), jnp.asarray(RAYS), 1000.0, solver=diffrax.Kvaerno5(), rtol=1e-2)
    assert np.all(found.fate == FATES.undecided) and np.all(found.index == -1)


def test_a_cycle_that_attracts_on_one_side_only_is_undecided():
    found = fates("half-stable", RAYS, 200.0)
    inside = np.asarray(RADII < 0.9)
    assert np.all((found.fate == FATES.converges)[inside]) and np.all((found.fate == FATES.undecided)[RADII > 1])
    assert len(found.cycles) == 0 and "unproven" in why(found)


@pytest.mark.parametrize("rtol", [1e-2, 1e-4, None, 1e-8])
def test_a_weak_focus_is_no_cycle_at_any_tolerance(rtol):
    # At 1e-2 the solver itself changes the amplitude by more than the field does.
    drawn, driven = (fates(name, RAYS, 150.0, rtol=rtol) for name in ("weak focus", "repelling focus"))
    assert np.all((drawn.fate == FATES.converges) | (drawn.fate == FATES.undecided))
    assert np.all(driven.fate == FATES.undecided) and why(driven) <= {"changing", "open"}


def test_big_steps_lose_what_the_flow_keeps():
    starts, h = jnp.linspace(-4.0, 4.0, 160), 0.25
    assert np.all(basin(bistable, starts, 30.0).fate == FATES.converges)
    found = basin(bistable, starts, 100.0, update=updates.Simultaneous(h))
    # Beyond the unstable orbit of period two, +-sqrt(1 + 2 / h), the steps grow.
    np.testing.assert_array_equal(found.fate == FATES.diverges, np.abs(starts) > np.sqrt(1 + 2 / h))
    # The map is odd, and positive up to its zero sqrt(1 + 1 / h).
    near = np.abs(starts) < np.sqrt(1 + 1 / h)
    reached = np.asarray(found.equilibria)[np.asarray(found.index)]
    np.testing.assert_allclose(reached[near], np.sign(starts)[near], rtol=0, atol=ROOT)


def test_equilibria_may_be_given_and_are_refined_and_merged():
    starts = jnp.linspace(-4.0, 4.0, 160)
    found = basin(bistable, starts, 30.0, equilibria=[jnp.asarray(0.9), jnp.asarray(1.1)])
    np.testing.assert_allclose(found.equilibria, [1.0], rtol=0, atol=ROOT)
    assert float(found.fraction(FATES.converges)) == float(found.fraction(FATES.undecided)) == 0.5


def test_single_precision_is_enough():
    starts = jnp.linspace(-4.0, 4.0, 160, dtype=jnp.float32)
    found = basin(bistable, starts, 30.0)
    assert found.time.dtype == jnp.float32 and np.all(found.fate == FATES.converges)
    np.testing.assert_allclose(found.equilibria[found.index], np.sign(starts), rtol=0, atol=1e-5)


def test_below_the_critical_step_the_update_converges():
    assert np.all(basin(USUAL, NEAR, 1500.0, update=updates.Simultaneous(0.85)).fate == FATES.converges)


@pytest.mark.parametrize("update", [updates.Alternating(0.5), updates.Optimistic(0.5)], ids=lambda u: type(u).__name__)
def test_updates_with_and_without_memory_are_caught_in_traps(update):
    found = basin(USUAL, NEAR, 200.0, update=update)
    assert np.all(found.fate == FATES.converges)
    np.testing.assert_allclose(found.equilibria.generator[found.index], np.sign(NEAR.generator), rtol=0, atol=ROOT)


def test_adam_does_not_converge_at_a_constant_learning_rate():
    adam = updates.Optax(optax.adam(0.05, b1=0.5), optax.adam(0.05, b1=0.5))
    assert not np.any(basin(USUAL, NEAR, 2000.0, update=adam).fate == FATES.converges)


def test_what_cannot_work_is_refused():
    with pytest.raises(ValueError, match=r"`equilibria` must lie near equilibria"):
        basin(lambda t, y, args: 1 + y**2, jnp.ones(3), 1.0, equilibria=[jnp.asarray(0.5)])
    with pytest.raises(ValueError, match=r"`duration` must be above 0"):
        basin(bistable, jnp.ones(3), 0.0)
    with pytest.raises(ValueError, match=r"outside `jax.jit`"):
        jax.jit(lambda y: basin(bistable, y, 1.0).time)(jnp.ones(3))


def test_a_slow_spiral_is_undecided_and_no_cycle():
    def circle(t, y, args):
        return Players(y.generator, -y.discriminator)

    # Grows by h^2 / 2 a step, 0.25 % in a quarter of the time, for ever.
    found = analysis.basin(circle, Players(jnp.ones(3), jnp.zeros(3)), 40.0, update=updates.Simultaneous(0.0005))
    assert np.all(np.asarray(found.fate == analysis.FATES.undecided))


def wells(t, y, args):
    return y - y**3


@pytest.mark.parametrize(("size", "num"), [(3, 400), (7, 64)])
def test_every_sink_at_which_a_trajectory_ends_is_found(size, num):
    # 2^size sinks among 3^size equilibria: far more than the searches from starts find.
    starts = np.random.default_rng(0).uniform(-2, 2, (num, size))
    found = basin(wells, jnp.asarray(starts), 100.0)
    assert np.all(found.fate == FATES.converges) and len(found.cycles) == 0
    np.testing.assert_allclose(found.equilibria[found.index], np.sign(starts), rtol=0, atol=ROOT)
    # Searched again or not, it is certain at the same time: in the same kind of trap.
    early = np.asarray(found.index) < np.min(np.asarray(found.index)) + 8
    assert np.all(np.asarray(found.time) < 10) and np.any(early)


def test_sinks_that_are_missed_by_an_update_are_found_too():
    starts = np.random.default_rng(1).uniform(-2, 2, (400, 3))
    # The step is increasing on [-2, 2], so that signs stay.
    found = basin(wells, jnp.asarray(starts), 100.0, update=updates.Simultaneous(0.05))
    assert np.all(found.fate == FATES.converges)
    np.testing.assert_allclose(found.equilibria[found.index], np.sign(starts), rtol=0, atol=ROOT)


def test_ends_at_a_missed_sink_are_no_cycle_where_it_was_not_among_the_given():
    starts = jnp.linspace(-4.0, 4.0, 160)
    found = basin(bistable, starts, 100.0, equilibria=[jnp.asarray(1.0), jnp.asarray(0.0)])
    assert np.all((found.fate == FATES.undecided)[:80]) and why(found) == {"at_rest"}


@pytest.mark.parametrize(
    "field",
    [
        lambda t, y, args: -(y - jnp.tanh(t)),
        lambda t, y, args: -y + 0.1 * jnp.sin(3 * t),
        # It dies out, but the field at time 0 has another equilibrium.
        lambda t, y, args: -(y - jnp.exp(-t)),
        # Only far from its equilibrium.
        lambda t, y, args: -y * jnp.where(jnp.abs(y) > 0.5, 1 + t, 1.0),
    ],
    ids=["tanh", "forced", "dies out", "far away"],
)
def test_a_field_with_explicit_time_is_refused(field):
    for update in (None, updates.Simultaneous(0.1)):
        with pytest.raises(ValueError, match=r"`field` must have no explicit time for a basin"):
            basin(field, jnp.linspace(-1.0, 1.0, 4), 50.0, update=update)


def test_who_knows_that_the_time_does_not_matter_may_say_so():
    found = basin(lambda t, y, args: -(2 + jnp.sin(t)) * y, jnp.linspace(-1.0, 1.0, 4), 50.0, check=False)
    assert np.all(found.fate == FATES.converges)


@pytest.mark.parametrize(
    "field", [lambda t, y, args: -jnp.sqrt(y), lambda t, y, args: jnp.log(y) - 1], ids=["root", "log"]
)
def test_where_the_field_is_not_finite_there_is_no_verdict(field):
    found = basin(field, jnp.array([0.5, 1.0, 2.0]), 100.0, update=updates.Simultaneous(0.3))
    assert np.all(found.fate == FATES.undecided) and why(found) == {"nonfinite"}
    assert np.all(np.isfinite(found.final_state))


def test_a_flow_that_comes_to_where_the_field_is_not_finite_is_undecided():
    found = basin(lambda t, y, args: jnp.log(y) - 1, jnp.array([0.5, 1.0, 2.0]), 100.0)
    assert np.all(found.fate == FATES.undecided) and why(found) == {"nonfinite"}
    assert np.all(found.final_state > 0)


def test_steps_that_overflow_are_growth():
    found = basin(lambda t, y, args: jnp.exp(y), jnp.array([1.0, 4.0, 6.0]), 100.0, update=updates.Simultaneous(0.3))
    assert np.all((found.fate == FATES.diverges) | (found.reason == REASONS.nonfinite))
    # As many as elsewhere, whose programs serve here too.
    starts = jnp.asarray(np.geomspace(4.0, 400.0, 160))
    assert np.all(basin(bistable, starts, 9.0, update=updates.Simultaneous(0.3)).fate == FATES.diverges)


def test_where_a_solver_gets_stuck_that_is_said():
    found = basin(lambda t, y, args: -jnp.sign(y), jnp.array([0.5, 1.0, 2.0]), 100.0)
    assert np.all(found.fate == FATES.undecided) and why(found) == {"failed"}


SPATIAL = {
    "lorenz": lambda x, y, z, u: (10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z, -u),
    # Chaotic for a while, and then to one of two equilibria.
    "transient chaos": lambda x, y, z, u: (10 * (y - x), x * (22 - z) - y, x * y - 8 / 3 * z, -u),
    "torus": lambda x, y, z, u: (
        (1 - x**2 - y**2) * x - y, (1 - x**2 - y**2) * y + x,
        (1 - z**2 - u**2) * z - 2**0.5 * u, (1 - z**2 - u**2) * u + 2**0.5 * z,
    ),
    # One cycle, seen in a corner of space.
    "tilted cycle": lambda x, y, z, u: (
        (1 - x**2 - y**2) * x - y, (1 - x**2 - y**2) * y + x, 3 * (x - z), 2 * (x * y - u),
    ),
}  # fmt: skip


def spatial(t, y, args):
    return jnp.stack([jnp.stack(each(*y)) for each in SPATIAL.values()])[args]


def fates_in_space(name, duration):
    starts = np.random.default_rng(2).standard_normal((16, 4)) * [10, 10, 10, 1] + [0, 0, 20, 0]
    return basin(spatial, jnp.asarray(starts), duration, args=jnp.asarray(list(SPATIAL).index(name)))


@pytest.mark.parametrize("name", ["lorenz", "torus"])
def test_neither_chaos_nor_a_torus_is_a_cycle(name):
    found = fates_in_space(name, 60.0)
    assert np.all(found.fate == FATES.undecided) and "open" in why(found) <= {"open", "changing"}


def test_a_cycle_in_space_is_a_cycle():
    found = fates_in_space("tilted cycle", 60.0)
    assert np.all(found.fate == FATES.cycles) and len(found.cycles) == 1
    assert abs(float(found.cycles.periods[0]) - 2 * np.pi) <= float(found.cycles.period_errors[0]) < 1e-8


def test_a_fate_that_depends_on_the_tolerance_is_none():
    found = fates_in_space("transient chaos", 200.0)
    assert np.any(found.reason == REASONS.tolerance)
    # What is decided goes where a solver of another family goes at a much tighter tolerance.
    decided = np.flatnonzero(found.fate == FATES.converges)
    assert len(decided) > 2
    # All at once, by steps that are short enough for each.
    solution = scipy.integrate.solve_ivp(
        lambda t, y: np.ravel(SPATIAL["transient chaos"](*y.reshape(4, -1))), (0.0, 200.0),
        np.ravel(np.asarray(found.starts)[decided].T), "DOP853", rtol=1e-13, atol=1e-13,
    )  # fmt: skip
    ends = np.asarray(found.equilibria)[np.asarray(found.index)[decided]]
    np.testing.assert_allclose(solution.y[:, -1].reshape(4, -1).T, ends, atol=0.5)


@pytest.mark.parametrize(("rate", "length"), [(3.2, 2), (3.5, 4), (3.83, 3)])
def test_orbits_of_a_few_steps_are_cycles_with_their_length_as_period(rate, length):
    found = logistic(rate)
    assert np.all(found.fate == FATES.cycles) and len(found.cycles) == 1
    assert float(found.cycles.periods[0]) == length and float(found.cycles.period_errors[0]) == 0
    points = np.unique(np.round(np.asarray(found.cycles.ys[0]), 9))
    assert len(points) == length
    np.testing.assert_allclose(np.sort(rate * points * (1 - points)), points, rtol=0, atol=1e-8)


def logistic(rate):
    starts = jnp.linspace(0.05, 0.95, 19)
    return basin(
        lambda t, y, r: r * y * (1 - y) - y, starts, 500.0, args=jnp.asarray(rate), update=updates.Simultaneous(1.0)
    )


def test_chaos_of_an_update_is_no_cycle():
    found = logistic(3.9)
    assert np.all(found.fate == FATES.undecided) and why(found) == {"open"}


def test_orbits_that_coexist_have_labels_of_their_own():
    # x -> 2.1 x - x^3 has two orbits of two steps, one the mirror image of the other, and basins that are, too.
    starts = jnp.linspace(-1.4, 1.4, 40)
    found = basin(lambda t, y, args: 1.1 * y - y**3, starts, 500.0, update=updates.Simultaneous(1.0))
    assert np.all(found.fate == FATES.cycles) and len(found.cycles) == 2
    np.testing.assert_array_equal(found.cycle, 1 - np.asarray(found.cycle)[::-1])
    assert np.all(np.asarray(found.cycles.periods) == 2)


def test_a_closed_curve_of_steps_is_a_cycle_with_the_mean_time_of_a_turn():
    beyond = basin(USUAL, NEAR, 1500.0, update=updates.Simultaneous(0.95))
    assert np.all(beyond.fate == FATES.cycles) and np.all(beyond.traps.repels) and len(beyond.cycles) == 2
    np.testing.assert_array_equal(beyond.cycle, [beyond.cycle[0], beyond.cycle[0], beyond.cycle[2], beyond.cycle[2]])
    orbit = simulate.iterate(updates.Simultaneous(0.95), USUAL, Players(jnp.asarray(0.4), jnp.asarray(0.9)), 30_000)
    late = jax.tree.map(lambda leaf: leaf[10_000:], orbit.ys)
    turns = analysis.rotation_number(late, Players(jnp.asarray(0.0), jnp.asarray(1.0)))
    np.testing.assert_allclose(beyond.cycles.periods, 0.95 / abs(float(turns.value)), rtol=1e-8)


def test_single_precision_tells_cycles():
    found = basin(alone("limit cycle"), jnp.asarray(RAYS, jnp.float32), 40.0)
    assert np.all(found.fate == FATES.cycles) and len(found.cycles) == 1
    assert abs(float(found.cycles.periods[0]) - 2 * np.pi) <= float(found.cycles.period_errors[0]) < 1e-3


def test_starts_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match=r"`starts\.discriminator` must be finite"):
        analysis.basin(lambda t, y, args: y, Players(jnp.array([1.0, jnp.nan]), jnp.zeros(2)), 1.0)
