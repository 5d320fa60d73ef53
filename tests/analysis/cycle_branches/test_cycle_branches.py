"""Branches of cycles against closed forms, root finding in a few unknowns, and other integrators."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
from jaxtyping import Array

from gan_ode import analysis, fields, games
from gan_ode.analysis.arclength._between import zero_between
from gan_ode.analysis.cycle_branches import _chain, _events
from gan_ode.analysis.cycle_branches._collocation import Path
from gan_ode.analysis.cycle_branches._corrector import Cycle, Seen

# Collocation on 80 intervals of smooth cycles; measured at most 5e-12.
SMOOTH = 1e-10
# Places where a number passes zero, found to rounding of that number; measured at most 4e-10.
EVENTS = 5e-9
# Relaxing cycles, whose fast parts take most of the mesh; measured 3e-7 at van der Pol's 100.
RELAXING = 1e-6
# Integration by scipy at relative tolerance 1e-12 is the worse of the two; measured at most 3e-9.
INTEGRATED = 1e-7

PLANE = [(i, j) for i in range(6) for j in range(6 - i)]
SPACE = [(i, j, k) for i in range(4) for j in range(4 - i) for k in range(4 - i - j)]


class Polynomial(eqx.Module):
    """A field of monomials."""

    rows: Array
    powers: tuple = eqx.field(static=True)

    def __call__(self, t, y, args):
        table = jnp.stack([jnp.ones_like(y), y, y**2, y**3, y**4, y**5])
        powers = np.array(self.powers)
        return self.rows @ jnp.prod(table[powers, np.arange(powers.shape[1])], axis=1)


class Family(eqx.Module):
    """Polynomials affine in the parameter: all of one dimension share their compiled programs."""

    still: Array
    moved: Array
    powers: tuple = eqx.field(static=True)

    def __call__(self, p):
        return Polynomial(self.still + p * self.moved, self.powers)


def polynomials(powers, still, moved):
    """A family by its terms, `{(component, i, j): coefficient}`, without the parameter and in front of it."""
    tables = []
    for terms in (still, moved):
        table = np.zeros((len(powers[0]), len(powers)))
        for (component, *power), coefficient in terms.items():
            table[component, powers.index(tuple(power))] = coefficient
        tables.append(jnp.asarray(table))
    return Family(*tables, tuple(powers))


def plane(still, moved):
    return polynomials(PLANE, still, moved)


def space(still, moved):
    return polynomials(SPACE, still, moved)


def rotating(a, b):
    """r' = p r + a r^3 + b r^5, theta' = 1."""
    still = {(0, 0, 1): -1, (1, 1, 0): 1}
    for c, (i, j) in ((0, (1, 0)), (1, (0, 1))):
        still |= {(c, i + 2, j): a, (c, i, j + 2): a}
        still |= {(c, i + 4, j): b, (c, i + 2, j + 2): 2 * b, (c, i, j + 4): b}
    return plane(still, {(0, 1, 0): 1, (1, 0, 1): 1})


VAN_DER_POL = plane({(0, 0, 1): 1, (1, 1, 0): -1}, {(1, 0, 1): 1, (1, 2, 1): -1})
# Weight of -p y^2/2 added to the value of Hsieh's game; the state is (y, x), as the game has it.
FORSAKEN = plane(
    {(0, 0, 1): 1, (0, 1, 0): -0.5, (0, 3, 0): 2, (0, 5, 0): -1}
    | {(1, 0, 0): 0.45, (1, 1, 0): -1, (1, 0, 1): -0.5, (1, 0, 3): 2, (1, 0, 5): -1},
    {(0, 1, 0): -1},
)
# Weight of -p y^2/2 added to the value, at epsilon = 0.5; the state is (y, x).
ALMOST_BILINEAR = plane({(0, 0, 1): 1, (0, 1, 0): 0.5, (0, 3, 0): -0.5, (1, 1, 0): -1}, {(0, 1, 0): -1})
BRUSSELATOR = plane({(0, 0, 0): 1.3, (0, 1, 0): -1, (0, 2, 1): 1, (1, 2, 1): -1}, {(0, 1, 0): -1, (1, 1, 0): 1})
# In a time that runs 1 + x times as fast, so that it is a polynomial.
ROSENZWEIG_MACARTHUR = plane(
    {(0, 1, 0): 1, (0, 2, 0): 2 / 3, (0, 3, 0): -1 / 3, (0, 1, 1): -1, (1, 1, 1): 1}, {(1, 0, 1): -1, (1, 1, 1): -1}
)
FITZHUGH_NAGUMO = plane(
    {(0, 1, 0): 1, (0, 3, 0): -1 / 3, (0, 0, 1): -1, (1, 0, 0): 0.056, (1, 1, 0): 0.08, (1, 0, 1): -0.064},
    {(0, 0, 0): 1},
)
LORENZ = space(
    {(0, 0, 1, 0): 10, (0, 1, 0, 0): -10, (1, 1, 0, 1): -1, (1, 0, 1, 0): -1, (2, 1, 1, 0): 1, (2, 0, 0, 1): -8 / 3},
    {(1, 1, 0, 0): 1},
)
ROESSLER = space(
    {(0, 0, 1, 0): -1, (0, 0, 0, 1): -1, (1, 1, 0, 0): 1, (2, 0, 0, 0): 2, (2, 1, 0, 1): 1, (2, 0, 0, 1): -4},
    {(1, 0, 1, 0): 1},
)


def hopf(family, values, y, which=0):
    branch = analysis.continue_equilibrium(family, jnp.array(values), jnp.array(y))
    return [event for event in branch.events if event.kind == "hopf"][which]


def from_hopf(family, values, y, which=0, **options):
    return analysis.continue_cycle(family, jnp.array(values), hopf(family, values, y, which), **options)


def turned(field, y, period):
    """The state after a period, and the monodromy matrix, by scipy."""
    n = len(y)
    jacobian = jax.jit(jax.jacfwd(lambda y: field(0.0, y, None)))
    velocity = jax.jit(lambda y: field(0.0, y, None))

    def both(t, z):
        x = z[:n]
        return np.concatenate([velocity(x), (np.asarray(jacobian(x)) @ z[n:].reshape(n, n)).ravel()])

    start = np.concatenate([y, np.eye(n).ravel()])
    end = scipy.integrate.solve_ivp(both, (0, period), start, method="DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
    return end[:n], end[n:].reshape(n, n)


@pytest.fixture(scope="module")
def subcritical():
    return from_hopf(rotating(1.0, -1.0), [-0.5, 0.5], [0.0, 0.0])


def test_radius_period_and_multiplier_are_those_of_the_normal_form(subcritical):
    square = np.sum(np.asarray(subcritical.states) ** 2, axis=1)
    values, multipliers = np.asarray(subcritical.values), np.asarray(subcritical.multipliers)
    np.testing.assert_allclose(values + square - square**2, 0, atol=SMOOTH)
    np.testing.assert_allclose(subcritical.periods, 2 * np.pi, rtol=SMOOTH)
    # The derivative of the radius' velocity, over one turn.
    rate = values + 3 * square - 5 * square**2
    np.testing.assert_allclose(multipliers[:, 1], np.exp(2 * np.pi * rate), rtol=1e-8)
    assert np.all(multipliers[:, 0] == 1)
    np.testing.assert_array_equal(subcritical.stable, square > 0.5)
    # Every sample lies on the circle, at its time.
    x, y = np.moveaxis(np.asarray(subcritical.orbits), -1, 0)
    np.testing.assert_allclose(x**2 + y**2, np.broadcast_to(square[:, None], x.shape), atol=1e-7)
    phase = np.asarray(subcritical.times) + np.arctan2(y[:, 0], x[:, 0])[:, None]
    radius = np.sqrt(square)[:, None]
    np.testing.assert_allclose(x, radius * np.cos(phase), atol=1e-7)


def test_cycles_turn_in_a_fold_and_go_on_to_the_end_of_the_range(subcritical):
    (fold,) = subcritical.events
    assert fold.kind == "fold of cycles" and subcritical.ended == "end of range"
    np.testing.assert_allclose([fold.value, fold.period], [-0.25, 2 * np.pi], atol=EVENTS)
    np.testing.assert_allclose(fold.multipliers, [1, 1], atol=1e-6)
    np.testing.assert_allclose(jnp.sum(fold.state**2), 0.5, atol=1e-6)
    # It begins without amplitude, and goes to the side where cycles are.
    assert float(subcritical.values[0]) == pytest.approx(0, abs=1e-12) and float(subcritical.values[1]) < 0
    assert float(subcritical.values[-1]) == 0.5


def test_a_supercritical_branch_goes_to_the_other_side():
    branch = from_hopf(rotating(-1.0, 0.0), [-0.5, 0.5], [0.0, 0.0])
    assert np.all(np.diff(branch.values) > 0) and np.all(branch.stable) and branch.events == ()
    np.testing.assert_allclose(jnp.sum(branch.states**2, axis=1), branch.values, atol=SMOOTH)


def test_the_brusselator_leaves_its_hopf_point_with_the_period_of_the_linear_flow():
    branch = from_hopf(BRUSSELATOR, [2.0, 4.0], [1.3, 2.0 / 1.3])
    np.testing.assert_allclose([branch.values[0], branch.periods[0]], [1 + 1.3**2, 2 * np.pi / 1.3], rtol=1e-9)
    assert branch.ended == "end of range" and np.all(branch.stable)
    end, monodromy = turned(BRUSSELATOR(4.0), np.asarray(branch.states[-1]), float(branch.periods[-1]))
    np.testing.assert_allclose(end, branch.states[-1], atol=INTEGRATED)
    multipliers = np.sort(np.abs(np.linalg.eigvals(monodromy)))
    np.testing.assert_allclose(multipliers, [np.abs(branch.multipliers[-1, 1]), 1], atol=INTEGRATED)


@pytest.fixture(scope="module")
def relaxing():
    """Van der Pol's cycle at 1, from another integrator's period and state; samples of it."""
    return cycle_of(VAN_DER_POL(1.0), [2.0, 0.0])


def cycle_of(field, y):
    """A cycle that attracts, as `find_periodic_orbit` finds it."""
    return analysis.find_periodic_orbit(field, jnp.array(y))


def test_van_der_pols_cycle_is_followed_until_it_is_stiff(relaxing):
    branch = analysis.continue_cycle(VAN_DER_POL, jnp.array([1.0, 100.0]), relaxing)
    assert branch.ended == "end of range" and branch.events == () and np.all(branch.stable)
    # Scipy's Radau at relative tolerance 1e-12 has 162.837071092371.
    np.testing.assert_allclose(branch.periods[-1], 162.837071092371, atol=RELAXING)
    np.testing.assert_allclose(jnp.max(branch.orbits[-1, :, 0]), 2.0, atol=1e-2)


def test_both_cycles_of_the_forsaken_game_are_on_one_branch():
    y = jnp.array([0.3, -0.7])
    velocity = fields.GameField(games.Forsaken())(0.0, games.Players(y[0], y[1]), None)
    np.testing.assert_allclose(FORSAKEN(0.0)(0.0, y, None), jnp.stack(jax.tree.leaves(velocity)), atol=1e-14)
    outer = cycle_of(FORSAKEN(0.0), [0.3616, -1.319])
    branch = analysis.continue_cycle(FORSAKEN, jnp.array([0.0, 1.0]), outer)
    # The periods of the outer and of the inner cycle.
    np.testing.assert_allclose(branch.periods[np.array([0, -1])], [7.548003761776, 7.169877696077], atol=1e-9)
    assert bool(branch.stable[0]) and not bool(branch.stable[-1]) and float(branch.values[-1]) == 0
    (fold,) = branch.events
    assert fold.kind == "fold of cycles" and 0.4 < float(fold.value) < 0.5
    # Below, the outer one gets ever longer, and ends where two equilibria are born on it.
    born = scipy.optimize.root(_fold_of_forsaken, [-1.41, 1.11, -0.82], tol=1e-14).x[2]
    below = analysis.continue_cycle(FORSAKEN, jnp.array([0.0, -1.0]), outer)
    assert below.ended == "period without end: homoclinic or heteroclinic"
    np.testing.assert_allclose(below.values[-1], born, atol=1e-7)


def _fold_of_forsaken(unknowns):
    x, y, weight = unknowns

    def slope(z):
        return z / 2 - 2 * z**3 + z**5

    def bend(z):
        return 0.5 - 6 * z**2 + 5 * z**4

    determinant = (bend(y) + weight) * bend(x) + 1
    return [x - slope(y) - weight * y, 0.45 - y - slope(x), determinant]


def test_the_almost_bilinear_games_cycle_ends_where_the_weight_is_epsilon():
    y = jnp.array([0.3, -0.7])
    velocity = fields.GameField(games.AlmostBilinear(0.5))(0.0, games.Players(y[0], y[1]), None)
    np.testing.assert_allclose(ALMOST_BILINEAR(0.0)(0.0, y, None), jnp.stack(jax.tree.leaves(velocity)), atol=1e-14)
    branch = analysis.continue_cycle(ALMOST_BILINEAR, jnp.array([0.0, 1.0]), cycle_of(ALMOST_BILINEAR(0.0), [0.5, 1.0]))
    assert branch.ended == "a Hopf point" and np.all(branch.stable) and branch.events == ()
    np.testing.assert_allclose([branch.values[-1], branch.periods[-1]], [0.5, 2 * np.pi], atol=EVENTS)
    # The square of the radius is (1 - p / epsilon) 4/3 to first order.
    near = int(np.argmin(np.abs(np.asarray(branch.values) - 0.49)))
    square = np.max(np.asarray(branch.orbits[near]), axis=0) ** 2
    np.testing.assert_allclose(square, (1 - branch.values[near] / 0.5) * 4 / 3, rtol=0.02)


def test_a_cycle_ends_in_the_hopf_point_where_it_shrinks():
    branch = from_hopf(FITZHUGH_NAGUMO, [0.0, 2.0], [-1.1994, -0.6243])
    # The trace 1 - x^2 - 0.064 is zero at both.
    x = np.sqrt(0.936) * np.array([-1, 1])
    ends = x**3 / 3 - x + (x + 0.7) / 0.8
    assert branch.ended == "a Hopf point"
    np.testing.assert_allclose(branch.values[np.array([0, -1])], ends, atol=EVENTS)
    np.testing.assert_allclose(np.ptp(branch.orbits[-1], axis=0), 0, atol=1e-12)
    # The system is symmetric about 0.875.
    assert [event.kind for event in branch.events] == ["fold of cycles"] * 2
    np.testing.assert_allclose(sum(float(event.value) for event in branch.events), 1.75, atol=EVENTS)
    assert not bool(branch.stable[1]) and bool(branch.stable[len(branch.values) // 2])


def test_rosenzweig_and_macarthurs_cycle_is_polished_by_find_periodic_orbit():
    branch = from_hopf(ROSENZWEIG_MACARTHUR, [0.7, 0.3], [7 / 3, 20 / 27])
    np.testing.assert_allclose(branch.values[0], 0.5, atol=EVENTS)
    polished = branch.orbit_at(-1)
    np.testing.assert_allclose(polished.period, branch.periods[-1], rtol=SMOOTH)
    np.testing.assert_allclose(polished.multipliers[1], branch.multipliers[-1, 1], rtol=1e-8)


def homoclinic_of_lorenz():
    """Where the unstable manifold of the origin changes the side on which it ends, by halving."""

    def side(r):
        def velocity(t, u):
            return [10 * (u[1] - u[0]), u[0] * (r - u[2]) - u[1], u[0] * u[1] - 8 / 3 * u[2]]

        rate = (-11 + np.sqrt(121 + 40 * (r - 1))) / 2
        start = 1e-6 * np.array([10, 10 + rate, 0])
        end = scipy.integrate.solve_ivp(velocity, (0, 15), start, method="DOP853", rtol=1e-11, atol=1e-14)
        return end.y[0, -1]

    low, high = 13.9, 13.95
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (middle, high) if side(middle) > 0 else (low, middle)
    return (low + high) / 2


def test_lorenz_subcritical_cycles_end_in_the_homoclinic_orbit():
    branch = from_hopf(LORENZ, [30.0, 1.0], [np.sqrt(8 / 3 * 29)] * 2 + [29.0])
    np.testing.assert_allclose(branch.values[0], 470 / 19, atol=EVENTS)
    assert branch.ended == "period without end: homoclinic or heteroclinic" and not np.any(branch.stable)
    np.testing.assert_allclose(branch.values[-1], homoclinic_of_lorenz(), atol=INTEGRATED)
    # What a turn makes of volumes.
    shrinks = np.exp(-(10 + 1 + 8 / 3) * np.asarray(branch.periods))
    short = np.asarray(branch.periods) < 1
    product = np.abs(np.prod(branch.multipliers, axis=1))
    np.testing.assert_allclose(product[short], shrinks[short], rtol=1e-5)


def test_a_flip_is_where_scipys_monodromy_matrix_has_the_eigenvalue_minus_1():
    branch = from_hopf(ROESSLER, [0.1, 0.36], [0.05, -0.5, 0.5])
    (flip,) = branch.events
    assert flip.kind == "flip"
    end, monodromy = turned(ROESSLER(flip.value), np.asarray(flip.state), float(flip.period))
    np.testing.assert_allclose(end, flip.state, atol=INTEGRATED)
    np.testing.assert_allclose(np.min(np.abs(np.linalg.eigvals(monodromy) + 1)), 0, atol=INTEGRATED)


def test_a_torus_begins_where_the_cycles_of_langfords_system_turn_in_the_half_plane():
    still = {(0, 1, 0, 1): 1, (0, 1, 0, 0): -0.7, (0, 0, 1, 0): -3.5}
    still |= {(1, 0, 1, 1): 1, (1, 0, 1, 0): -0.7, (1, 1, 0, 0): 3.5, (2, 0, 0, 0): 0.6, (2, 0, 0, 3): -1 / 3}
    still |= {(2, 2, 0, 0): -1, (2, 0, 2, 0): -1, (2, 2, 0, 1): -0.25, (2, 0, 2, 1): -0.25}
    branch = from_hopf(space(still, {(2, 0, 0, 1): 1}), [-1.0, 1.0], [0.0, 0.0, 0.4])
    (torus,) = branch.events

    def trace(p):
        square = (0.6 + 0.7 * p - 0.7**3 / 3) / 1.175
        return p - 0.49 - 0.25 * square

    assert torus.kind == "torus"
    np.testing.assert_allclose(torus.value, scipy.optimize.brentq(trace, 0, 1), atol=EVENTS)
    np.testing.assert_allclose(np.abs(torus.multipliers), 1, atol=1e-8)


def test_a_branch_point_is_where_a_multiplier_passes_1_and_the_parameter_goes_on():
    # The cycle r^2 = p + 1 in the plane z = 0, which z' = p z - z^3 leaves at 0.
    still = {(0, 0, 1, 0): -1, (1, 1, 0, 0): 1, (0, 1, 0, 0): 1, (1, 0, 1, 0): 1, (2, 0, 0, 3): -1}
    still |= {(0, 3, 0, 0): -1, (0, 1, 2, 0): -1, (1, 2, 1, 0): -1, (1, 0, 3, 0): -1}
    family = space(still, {(0, 1, 0, 0): 1, (1, 0, 1, 0): 1, (2, 0, 0, 1): 1})
    branch = from_hopf(family, [-1.5, 0.5], [0.0, 0.0, 0.0])
    (point,) = branch.events
    assert point.kind == "branch point"
    np.testing.assert_allclose(point.value, 0, atol=EVENTS)


def test_elimination_from_end_to_end_solves_what_a_dense_matrix_does():
    random, (num, n) = np.random.default_rng(0), (6, 3)
    shapes = ((num, n, n), (num, n, 2), (num, n, 2), (2, num, n), (2, 2), (2, 2))
    blocks, *rest = (jnp.asarray(random.normal(size=shape)) for shape in shapes)
    # Some directions grow and some shrink a hundredfold in each interval.
    blocks = blocks * jnp.array([10.0, 1.0, 0.1])
    states, numbers = _chain._eliminated(blocks, *rest)
    expected, others = _chain._dense(blocks, *rest)
    np.testing.assert_allclose(states, expected, atol=1e-10)
    np.testing.assert_allclose(numbers, others, atol=1e-10)


def with_multipliers(values):
    """A cycle of which nothing else is known."""
    zero, yes = jnp.zeros(()), jnp.asarray(True)
    path = Path(jnp.zeros((1, 2)), jnp.zeros((1, 4, 2)), zero, jnp.ones(()))
    seen = Seen(jnp.zeros(2), zero, zero, zero, zero, zero)
    values = jnp.asarray(values, complex)
    return Cycle(jnp.array([0.0, 1.0]), path, path, values, yes, yes, zero, jnp.asarray(0), seen)


@pytest.mark.parametrize(
    "kind, pair", [("branch point", [1, 1]), ("flip", [-1, -1]), ("torus", [0.6 + 0.8j, 0.6 - 0.8j])]
)
def test_multipliers_that_pass_the_unit_circle_two_at_a_time_are_seen(kind, pair):
    def look(way):
        """A cycle whose multipliers grow with the way, and are on the circle at 0.3."""
        return with_multipliers(np.append(np.array(pair) * np.exp(way - 0.3), 0.1))

    (crossing,) = _events.happened(look(0.0), look(1.0))
    way, cycle = zero_between(look, 1.0, crossing.number)
    assert _events.kind_of(crossing, cycle, look(0.0), look(1.0)) == kind
    np.testing.assert_allclose(way, 0.3, atol=1e-12)


def test_two_real_multipliers_with_product_1_are_no_torus():
    assert _events.happened(with_multipliers([2.0, 0.4]), with_multipliers([2.0, 0.6])) == []


def test_a_family_of_cycles_leads_nowhere():
    # At p = 0 all circles are cycles.
    family = plane({(0, 0, 1): 1, (1, 1, 0): -1}, {(0, 1, 0): -1})
    circle = cycle_of(family(0.0), [1.0, 0.0])
    branch = analysis.continue_cycle(family, jnp.array([0.0, 1.0]), circle)
    assert branch.ended == "a family of cycles at one value" and len(branch.values) == 1
    np.testing.assert_allclose(branch.periods, 2 * np.pi, rtol=SMOOTH)
    sides = from_hopf(family, [-1.0, 1.0], [0.0, 0.0])
    assert sides.ended == "a family of cycles at one value"


def test_a_branch_ends_by_counts(subcritical):
    family = rotating(1.0, -1.0)
    begun = hopf(family, [-0.5, 0.5], [0.0, 0.0])
    few = analysis.continue_cycle(family, jnp.array([-0.5, 0.5]), begun, max_points=5)
    assert few.ended == "number of points" and len(few.values) == 5
    one = analysis.continue_cycle(family, jnp.array([-0.5, 0.5]), begun, max_folds=0)
    assert one.ended == "fold count" and len(one.events) == 1


def test_results_print_and_become_datasets(subcritical):
    assert "fold of cycles" in repr(subcritical) and "end of range" in repr(subcritical)
    assert "-0.25" in repr(subcritical.events[0])
    dataset = subcritical.to_xarray()
    assert dict(dataset.sizes) == {
        "point": len(subcritical.values), "sample": 321, "state_0": 2, "multiplier": 2, "event": 1,
    }  # fmt: skip
    np.testing.assert_array_equal(dataset.value, subcritical.values)


def test_what_is_no_cycle_is_refused(relaxing):
    values, begun = jnp.array([1.0, 2.0]), hopf(rotating(1.0, -1.0), [-0.5, 0.5], [0.0, 0.0])
    with pytest.raises(ValueError, match="`values` must be a range that holds the Hopf point"):
        analysis.continue_cycle(rotating(1.0, -1.0), values, begun)
    with pytest.raises(ValueError, match="`values` must be the two ends"):
        analysis.continue_cycle(VAN_DER_POL, jnp.ones(3), relaxing)
    with pytest.raises(ValueError, match="`cycle` must be a cycle of the family at the first"):
        analysis.continue_cycle(rotating(-1.0, 0.0), jnp.array([-1.0, 2.0]), relaxing)
    with pytest.raises(ValueError, match="`cycle` must be a periodic orbit under"):
        jax.jit(lambda v: analysis.continue_cycle(rotating(1.0, -1.0), v, begun).values)(jnp.array([-0.5, 0.5]))
