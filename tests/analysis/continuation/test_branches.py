"""Branches of equilibria through folds, and their events, against closed forms and root finding in one unknown."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from jaxtyping import Array

from gan_ode import analysis
from gan_ode.analysis.arclength._eigenvalues import eigenvalues_at
from gan_ode.analysis.arclength._ranks import arranged, ranks

# Newton's method on regular equations ends at rounding; measured at most 3e-15.
EXACT = 1e-12
# Events under a transformation come from halving alone; measured at most 2e-10.
HALVED = 1e-8
# Central differences with a step of 1e-5 in numbers of order one; measured at most 5e-9.
STEP, DIFFERENCES = 1e-5, 1e-6

# Monomials x^i y^j of the planar systems below.
POWERS = [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3)]


class Cubic(eqx.Module):
    """Planar systems of cubic polynomials, affine in the parameter: all share one compiled program."""

    still: Array
    moved: Array

    def __call__(self, p):
        rows = self.still + p * self.moved

        def field(t, y, args):
            return rows @ jnp.stack([y[0] ** i * y[1] ** j for i, j in POWERS])

        return field


def cubic(still, moved):
    """A system by its terms, `{(component, i, j): coefficient}`, without the parameter and in front of it."""
    tables = []
    for terms in (still, moved):
        table = np.zeros((2, len(POWERS)))
        for (component, *power), coefficient in terms.items():
            table[component, POWERS.index(tuple(power))] = coefficient
        tables.append(jnp.asarray(table))
    return Cubic(*tables)


def events(branch):
    return [(event.kind, float(event.value)) for event in branch.events]


def assert_events(branch, expected, tolerance=EXACT):
    assert [kind for kind, _ in events(branch)] == [kind for kind, _ in expected]
    np.testing.assert_allclose([value for _, value in events(branch)], [v for _, v in expected], atol=tolerance)


def tank(c):
    """The stirred tank, F of the issue's facts at c = 7.06."""

    def family(d):
        def field(t, y, args):
            rate = d * (1 - y[0]) * jnp.exp(y[1])
            return jnp.stack([-y[0] + rate, -y[1] + c * rate - 0.74 * y[1]])

        return field

    return family


TANK, TANK_START = tank(7.06), jnp.array([0.15, 0.6])


@pytest.fixture(scope="module")
def tank_branch():
    return analysis.continue_equilibrium(TANK, jnp.array([0.1, 0.15]), TANK_START)


def tank_by_one_unknown(c=7.06):
    """The tank's equilibria by x alone: y = c x / 1.74, and D follows; folds and zeros of the trace by brentq."""

    def d_of(x):
        return x / ((1 - x) * np.exp(c * x / 1.74))

    def slope(x):
        # Of log D.
        return 1 / x + 1 / (1 - x) - c / 1.74

    def trace(x):
        # At equilibrium the rate is x.
        return -1 - x / (1 - x) - 1.74 + c * x

    folds = [scipy.optimize.brentq(slope, *ends, xtol=1e-15) for ends in ((0.4, 0.5), (0.5, 0.6))]
    pairs = [scipy.optimize.brentq(trace, *ends, xtol=1e-15) for ends in ((0.56, 0.62), (0.62, 0.7))]
    return [d_of(x) for x in folds], [d_of(x) for x in pairs]


def test_one_call_follows_the_whole_s_of_the_stirred_tank_and_finds_its_folds_and_hopf_points(tank_branch):
    folds, pairs = tank_by_one_unknown()
    expected = [("fold", each) for each in folds] + [("hopf", each) for each in pairs]
    assert_events(tank_branch, expected)
    # As published.
    np.testing.assert_allclose([*folds, *pairs], [0.13180270, 0.13120135, 0.13155129, 0.13250236], atol=5e-9)
    assert tank_branch.ended == "end of range"
    np.testing.assert_allclose(tank_branch.values[jnp.array([0, -1])], [0.1, 0.15], atol=EXACT)


def test_every_point_of_a_branch_is_an_equilibrium_with_its_eigenvalues_and_stability(tank_branch):
    velocities = jax.vmap(lambda d, y: TANK(d)(0.0, y, None))(tank_branch.values, tank_branch.states)
    np.testing.assert_allclose(velocities, 0, atol=EXACT)
    for d, y, found, stable in zip(
        tank_branch.values, tank_branch.states, tank_branch.eigenvalues, tank_branch.stable, strict=True
    ):
        matrix = np.asarray(jax.jacfwd(lambda y, d=d: TANK(d)(0.0, y, None))(y))
        expected = np.linalg.eigvals(matrix)
        np.testing.assert_allclose(sorted(found, key=abs), sorted(expected, key=abs), atol=1e-9)
        assert bool(stable) == bool(max(expected.real) < 0)


def test_a_branch_turns_where_its_equilibria_end():
    branch = analysis.continue_equilibrium(
        lambda p: lambda t, x, args: -(x**2 + p), jnp.array([-1.0, 1.0]), jnp.ones(1)
    )
    assert_events(branch, [("fold", 0.0)])
    assert branch.events[0].normal_form.criticality == "subcritical"
    np.testing.assert_allclose(branch.states[-1], -1, atol=EXACT)
    assert branch.ended == "end of range"


def van_der_pol():
    # x' = y, y' = mu (1 - x^2) y - x.
    return cubic({(0, 0, 1): 1, (1, 1, 0): -1}, {(1, 0, 1): 1, (1, 2, 1): -1})


def brusselator(a):
    # x' = a - (b + 1) x + x^2 y, y' = b x - x^2 y.
    return cubic({(0, 0, 0): a, (0, 1, 0): -1, (0, 2, 1): 1, (1, 2, 1): -1}, {(0, 1, 0): -1, (1, 1, 0): 1})


def fitz_hugh_nagumo():
    # v' = v - v^3/3 - w + I, w' = 0.08 (v + 0.7 - 0.8 w).
    return cubic(
        {(0, 1, 0): 1, (0, 3, 0): -1 / 3, (0, 0, 1): -1, (1, 1, 0): 0.08, (1, 0, 0): 0.056, (1, 0, 1): -0.064},
        {(0, 0, 0): 1},
    )


def fitz_hugh_nagumo_hopf():
    # The trace 1 - v^2 - 0.064 is zero.
    v = -np.sqrt(0.936)
    return [(v**3) / 3 - v + (v + 0.7) / 0.8, (-(v**3)) / 3 + v + (-v + 0.7) / 0.8]


def cusp():
    # x' = p + 3 x - x^3: folds at p = 2 and p = -2.
    return cubic({(0, 1, 0): 3, (0, 3, 0): -1, (1, 0, 1): -1}, {(0, 0, 0): 1})


def rosenzweig_macarthur(k):
    """x' = x (1 - x/k) - x y/(1 + x), y' = x y/(1 + x) - m y, times 1 + x, which moves no equilibrium and no event."""
    return cubic(
        {(0, 1, 0): 1, (0, 2, 0): 1 - 1 / k, (0, 3, 0): -1 / k, (0, 1, 1): -1, (1, 1, 1): 1},
        {(1, 0, 1): -1, (1, 1, 1): -1},
    )


@pytest.mark.parametrize(
    ("family", "values", "start", "expected"),
    [
        (van_der_pol(), [-1.0, 1.0], [0.0, 0.0], [("hopf", 0.0)]),
        (brusselator(1.3), [0.5, 4.0], [1.3, 0.5 / 1.3], [("hopf", 1 + 1.3**2)]),
        (fitz_hugh_nagumo(), [0.0, 2.0], [-1.2, -0.6], [("hopf", each) for each in fitz_hugh_nagumo_hopf()]),
        (cusp(), [-4.0, 4.0], [-2.5, 0.0], [("fold", 2.0), ("fold", -2.0)]),
        # Coexistence at x = m/(1 - m): born from (k, 0) at m = k/(1 + k), a Hopf point where x = (k - 1)/2.
        (rosenzweig_macarthur(3.0), [0.3, 0.9], [3 / 7, (1 - 1 / 7) * 10 / 7], [("hopf", 0.5), ("branch point", 0.75)]),
    ],
    ids=["van der Pol", "Brusselator", "FitzHugh-Nagumo", "cusp", "Rosenzweig-MacArthur"],
)
def test_classical_systems_have_their_events_where_closed_forms_say(family, values, start, expected):
    branch = analysis.continue_equilibrium(family, jnp.array(values), jnp.array(start))
    assert_events(branch, expected)


def test_a_neutral_saddle_is_no_hopf_point():
    # Eigenvalues p + 1 and p - 1: their sum is zero at p = 0, and they pass zero at -1 and 1.
    family = cubic({(0, 1, 0): 1, (1, 0, 1): -1}, {(0, 1, 0): 1, (1, 0, 1): 1})
    assert analysis.continue_equilibrium(family, jnp.array([-0.9, 0.9]), jnp.zeros(2)).events == ()
    branch = analysis.continue_equilibrium(family, jnp.array([-0.9, 1.5]), jnp.zeros(2))
    assert_events(branch, [("branch point", 1.0)])


def test_a_center_and_a_continuum_of_equilibria_have_no_events_of_rounding():
    # Eigenvalues +-i for every p; and a second component that never moves.
    center = cubic({(0, 0, 1): -1, (1, 1, 0): 1}, {(0, 2, 0): 1})
    line = cubic({(0, 1, 0): -1}, {(0, 2, 0): 1})
    assert analysis.continue_equilibrium(center, jnp.array([-1.0, 1.0]), jnp.zeros(2)).events == ()
    branch = analysis.continue_equilibrium(line, jnp.array([-1.0, 0.9]), jnp.array([0.0, 0.7]))
    assert branch.events == () and bool(jnp.all(branch.stable))
    np.testing.assert_allclose(branch.states[-1], [0.0, 0.7], atol=EXACT)


def test_the_lorenz_system_has_its_pitchfork_and_its_subcritical_hopf_points_on_both_branches():
    def lorenz(r):
        def field(t, y, args):
            return jnp.stack([10 * (y[1] - y[0]), y[0] * (r - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]])

        return field

    trivial = analysis.continue_equilibrium(lorenz, jnp.array([0.5, 30.0]), jnp.zeros(3))
    assert_events(trivial, [("branch point", 1.0)])
    assert trivial.events[0].normal_form.criticality == "supercritical"
    for branch in analysis.switch_branch(trivial, trivial.events[0]):
        # sigma (sigma + b + 3) / (sigma - b - 1).
        assert_events(branch, [("hopf", 470 / 19)])
        assert branch.events[0].normal_form.criticality == "subcritical"
        x = jnp.sqrt(8 / 3 * (branch.values - 1))
        np.testing.assert_allclose(jnp.abs(branch.states[:, 0]), x, atol=1e-10)


def test_a_transcritical_branch_is_followed_to_both_sides():
    family = cubic({(0, 2, 0): -1, (1, 0, 1): -1}, {(0, 1, 0): 1})
    trivial = analysis.continue_equilibrium(family, jnp.array([-1.0, 1.0]), jnp.zeros(2))
    assert_events(trivial, [("branch point", 0.0)])
    assert trivial.events[0].normal_form.criticality == "transcritical"
    for branch in analysis.switch_branch(trivial, trivial.events[0]):
        np.testing.assert_allclose(branch.states[:, 0], branch.values, atol=EXACT)
    with pytest.raises(ValueError, match=r"`event` must be a branch point or a flip, but is a hopf"):
        branch = analysis.continue_equilibrium(van_der_pol(), jnp.array([-1.0, 1.0]), jnp.zeros(2))
        analysis.switch_branch(branch, branch.events[0])


def test_why_a_branch_ends_is_said():
    # x' = x (x^2 + p^2 - 1): from x = 0 the circle crosses, and closes.
    def circle(p):
        return lambda t, y, args: y * (y**2 + p**2 - 1)

    trivial = analysis.continue_equilibrium(circle, jnp.array([-1.5, 1.5]), jnp.zeros(1))
    assert_events(trivial, [("branch point", -1.0), ("branch point", 1.0)])
    around, _ = analysis.switch_branch(trivial, trivial.events[0])
    assert around.ended == "closed loop"
    # There the circle turns back, but its eigenvalue 2 x^2 keeps its sign: it is crossed, and that is no fold.
    assert_events(around, [("branch point", 1.0), ("branch point", -1.0)])
    np.testing.assert_allclose(around.states[:, 0] ** 2 + around.values**2, 1, atol=EXACT)

    cubic_branch = {"values": jnp.array([-4.0, 4.0]), "y": jnp.array([-2.5, 0.0])}
    assert analysis.continue_equilibrium(cusp(), **cubic_branch, max_folds=0).ended == "fold count"
    assert analysis.continue_equilibrium(cusp(), **cubic_branch, max_points=10).ended == "number of points"

    # x is the root of 1/2 - p, which is not a number from there on.
    rooted = analysis.continue_equilibrium(
        lambda p: lambda t, y, a: jnp.sqrt(0.5 - p) - y, jnp.array([0.0, 1.0]), jnp.ones(1) * 0.7
    )
    assert rooted.ended == "left the domain"
    np.testing.assert_allclose(rooted.values[-1], 0.5, atol=1e-2)


def test_an_event_has_the_derivative_of_differences(tank_branch):
    event = tank_branch.events[2]

    def value(c):
        return analysis.locate_event("hopf", tank(c), event.value, event.state).value

    found, slope = jax.value_and_grad(value)(7.06)
    np.testing.assert_allclose(found, event.value, atol=EXACT)
    expected = [tank_by_one_unknown(7.06 + step)[1][0] for step in (STEP, -STEP)]
    np.testing.assert_allclose(slope, (expected[0] - expected[1]) / (2 * STEP), rtol=DIFFERENCES)


def test_a_second_parameter_is_taken_by_vmap_and_jit():
    def along(a):
        return analysis.continue_equilibrium(
            brusselator_traced(a), jnp.array([0.5, 6.0]), jnp.stack([a, 0.5 / a]), max_points=150, max_events=2
        )

    def brusselator_traced(a):
        known = brusselator(1.0)
        return Cubic(known.still.at[0, 0].set(a), known.moved)

    amounts = jnp.array([0.8, 1.0, 1.4])
    found = jax.jit(jax.vmap(along))(amounts)
    assert found.ended.tolist() == ["end of range"] * 3
    assert found.events[0].kind.tolist() == ["hopf"] * 3 and found.events[1].kind.tolist() == ["none"] * 3
    np.testing.assert_allclose(found.events[0].value, 1 + amounts**2, atol=HALVED)
    num = int(jnp.sum(jnp.isfinite(found.values[1])))
    alone = along(amounts[1])
    assert num == len(alone.values)
    np.testing.assert_allclose(found.values[1, :num], alone.values, atol=EXACT)


def test_a_start_that_is_no_equilibrium_is_refused():
    with pytest.raises(ValueError, match="`y` must be"):
        analysis.continue_equilibrium(lambda p: lambda t, x, args: x**2 + p, jnp.array([1.0, 2.0]), jnp.zeros(1))
    with pytest.raises(ValueError, match="`values` must be the two ends of a range"):
        analysis.continue_equilibrium(cusp(), jnp.linspace(0.0, 1.0, 5), jnp.zeros(2))
    with pytest.raises(ValueError, match="`values` must be two different numbers"):
        analysis.continue_equilibrium(cusp(), jnp.ones(2), jnp.zeros(2))


def test_a_branch_prints_its_events_and_is_a_dataset(tank_branch):
    text = str(tank_branch)
    assert "4 events" in text and "fold" in text and "0.13180" in text and "end of range" in text
    dataset = tank_branch.to_xarray()
    assert dataset.sizes["event"] == 4 and dataset.sizes["point"] == len(tank_branch.values)
    np.testing.assert_allclose(dataset["event_value"], [value for _, value in events(tank_branch)])


def test_eigenvalues_in_closed_form_are_numpys():
    random = np.random.default_rng(0)
    # Real ones, pairs, triangular matrices, a center, a double eigenvalue, and the zero matrix.
    matrices = [*random.normal(size=(50, 2, 2)), [[1, 2], [0, 1e-9]], [[0, -1], [1, 0]], [[2, 0], [0, 2]]]
    for matrix in [*matrices, np.zeros((2, 2)), [[1e8, 1], [1, 0]], [[-1, 3], [0, -1]]]:
        found = np.sort_complex(np.asarray(eigenvalues_at(jnp.asarray(matrix, float))))
        np.testing.assert_allclose(found, np.sort_complex(np.linalg.eigvals(matrix)), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("size", [3, 12])
def test_ranks_are_the_places_of_a_sorted_row(size):
    random = np.random.default_rng(0)
    first, second = random.integers(0, 3, (2, 40, size)).astype(float)
    places, order = ranks(jnp.asarray(first), jnp.asarray(second)), np.lexsort((second, first), axis=-1)
    np.testing.assert_array_equal(np.take_along_axis(np.asarray(places), order, -1), np.tile(np.arange(size), (40, 1)))
    np.testing.assert_array_equal(arranged(jnp.asarray(first), places), np.sort(first, axis=-1))
