"""Curves of events in two parameters, by normal forms, by elimination, and by critical step sizes."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import scipy.optimize

from gan_ode import analysis, fields, games, losses, regularizers, updates

# Newton's method ends at rounding; measured at most 3e-14 on curves, and 4e-15 at degenerate points.
CURVE, POINT = 1e-11, 1e-9
# Third derivatives and linear solves; measured 2e-14.
COEFFICIENT = 1e-10
ONE_STEP = updates.Simultaneous(1.0)
POWERS = [powers for powers in itertools.product(range(4), repeat=3) if sum(powers) <= 3]
CODES = {"fold": 1, "hopf": 3, "flip": 4, "neimark-sacker": 5}


class Cubic(eqx.Module):
    """A field of three numbers, each a polynomial of degree three, with coefficients linear in both parameters.

    All normal forms are of this one class, so that they share their compiled programs.
    """

    table: jax.Array

    def __init__(self, *rows):
        """Rows of terms `{(powers of x, y, z): (constant, of p, of q)}`."""
        table = np.zeros((3, len(POWERS), 3))
        for i, row in enumerate(rows):
            for powers, weights in row.items():
                table[i, POWERS.index(powers)] = weights
        self.table = jnp.asarray(table)

    def __call__(self, p, q):
        weights = self.table @ jnp.stack([jnp.ones_like(p), p, q])

        def field(t, y, args):
            products = [y[0] ** i * y[1] ** j * y[2] ** k for i, j, k in POWERS]
            return weights @ jnp.stack(products)

        return field

    def as_map(self):
        """The field of which a simultaneous step of size 1 is what this says."""
        minus = np.zeros((3, len(POWERS), 3))
        for i, powers in enumerate([(1, 0, 0), (0, 1, 0), (0, 0, 1)]):
            minus[i, POWERS.index(powers), 0] = 1
        return eqx.tree_at(lambda cubic: cubic.table, self, self.table - minus)


ONE, P, Q = (1, 0, 0), (0, 1, 0), (0, 0, 1)
C, X, Y, Z, XX, XY = (0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (2, 0, 0), (1, 1, 0)
XXX, XXY, XYY, YYY, ZZ, ZZZ = (3, 0, 0), (2, 1, 0), (1, 2, 0), (0, 3, 0), (0, 0, 2), (0, 0, 3)
DECAYS = {Z: (-0.7, 0, 0)}


def event(kind, value, state, eigenvalue: complex = 0.0):
    """An event by what is known of it."""
    flat = jnp.concatenate([jnp.ravel(jnp.asarray(leaf, float)) for leaf in jax.tree.leaves(state)])
    state = jnp.asarray(state, float) if isinstance(state, list) else state
    code, critical = jnp.asarray(CODES[kind]), jnp.asarray(eigenvalue, complex)
    return analysis.Event(code, jnp.asarray(float(value)), state, critical, None, flat, None)


def curve(family, start, at, update=None, first=(-2.0, 2.0), second=(-2.0, 2.0), **kwargs):
    return analysis.continue_event(family, start, jnp.array(first), jnp.array(second), at=at, update=update, **kwargs)


def found(curve):
    return {point.kind: (float(point.first), float(point.second)) for point in curve.points}


def close(here, there, tolerance=POINT):
    assert here.keys() == there.keys()
    for kind, place in there.items():
        np.testing.assert_allclose(here[kind], place, atol=tolerance, err_msg=kind)


# Flows

CUSP = Cubic({C: P, X: Q, XXX: (-1, 0, 0)}, {Y: (-0.4, 0, 0)}, DECAYS)
TAKENS = Cubic({Y: ONE}, {C: P, X: Q, XX: ONE, XY: ONE}, DECAYS)
# r' = p r + q r^3, with the frequency 2.
BAUTIN = Cubic(
    {X: P, Y: (-2, 0, 0), XXX: Q, XYY: Q},
    {Y: P, X: (2, 0, 0), XXY: Q, YYY: Q},
    DECAYS,
)
# z' = p + z^2, and r' = (q + z) r.
ZERO_HOPF = Cubic(
    {X: Q, (1, 0, 1): ONE, Y: (-2, 0, 0), XXX: (-1, 0, 0), XYY: (-1, 0, 0)},
    {Y: Q, (0, 1, 1): ONE, X: (2, 0, 0), XXY: (-1, 0, 0), YYY: (-1, 0, 0)},
    {C: P, ZZ: ONE},
)
# z' = p + z^2, and two real numbers, the sum of which passes zero.
NEUTRAL = Cubic({X: Q}, {Y: (-0.5, 0, 0)}, {C: P, ZZ: ONE})
# The second parameter is A, the first B.
BRUSSELATOR = Cubic({C: Q, X: (-1, -1, 0), XXY: ONE}, {X: P, XXY: (-1, 0, 0)}, DECAYS)


def test_the_folds_of_a_cusp_are_its_semicubic_parabola_through_its_point():
    p = -2 / 27**0.5
    along = curve(CUSP, event("fold", p, [3**-0.5, 0, 0]), 1.0, first=(-1.0, 1.0), second=(-1.0, 1.5))
    np.testing.assert_allclose(4 * along.second**3, 27 * along.first**2, atol=CURVE)
    close(found(along), {"cusp": (0, 0)})
    assert along.ended == ("end of range", "end of range")
    # Both branches reach the end of the second parameter's range.
    ends = np.sort(np.asarray(along.first)[[0, -1]])
    np.testing.assert_allclose(ends, np.sqrt(4 * 1.5**3 / 27) * np.array([-1, 1]), atol=CURVE)
    np.testing.assert_allclose(np.abs(along.coefficients), 3 * np.abs(along.states[:, 0]), atol=COEFFICIENT)
    point = along.points[0]
    assert np.array_equal(along.states[point.index], point.state) and float(along.first[point.index]) == point.first


def test_folds_and_hopf_points_meet_where_bogdanov_and_takens_say():
    # x^2 + q x + p = 0: folds at p = q^2 / 4, Hopf points at x = 0 for p = 0 and q < 0, with omega^2 = -q.
    folds = curve(TAKENS, event("fold", 0.25, [0.5, 0, 0]), -1.0)
    np.testing.assert_allclose(folds.first, folds.second**2 / 4, atol=CURVE)
    close(found(folds), {"bogdanov-takens": (0, 0)})
    hopf = curve(TAKENS, event("hopf", 0.0, [0, 0, 0], 1j), -1.0)
    np.testing.assert_allclose(hopf.first, 0, atol=CURVE)
    np.testing.assert_allclose(hopf.angles**2, -hopf.second, atol=CURVE)
    # It ends there, as the pair does.
    close(found(hopf), {"bogdanov-takens": (0, 0)})
    assert sorted(hopf.ended) == ["bogdanov-takens", "end of range"] and float(hopf.second.max()) < POINT


def test_the_first_lyapunov_coefficient_changes_its_sign_at_a_generalized_hopf_point():
    along = curve(BAUTIN, event("hopf", 0.0, [0, 0, 0], 2j), -0.5)
    np.testing.assert_allclose(along.coefficients, along.second, atol=COEFFICIENT)
    np.testing.assert_allclose(along.angles, 2, atol=CURVE)
    close(found(along), {"generalized hopf": (0, 0)})


def test_the_brusselator_starts_to_swing_at_one_plus_the_square():
    along = curve(BRUSSELATOR, event("hopf", 2.0, [1, 2, 0], 1j), 1.0, first=(0.0, 6.0), second=(0.3, 2.0))
    a = along.second
    np.testing.assert_allclose(along.first, 1 + a**2, atol=CURVE)
    np.testing.assert_allclose(along.coefficients, -(2 + a**2) / (2 * a * (1 + 2 * a**2)), rtol=COEFFICIENT)
    assert along.points == ()


def test_a_fold_and_a_pair_meet_on_both_of_their_curves_and_a_neutral_saddle_is_no_pair():
    folds = curve(ZERO_HOPF, event("fold", 0.0, [0, 0, 0]), -0.5)
    close(found(folds), {"fold-hopf": (0, 0)})
    # On z = -q.
    hopf = curve(ZERO_HOPF, event("hopf", -0.25, [0, 0, 0.5], 2j), -0.5)
    np.testing.assert_allclose(hopf.first, -(hopf.second**2), atol=CURVE)
    assert found(hopf)["fold-hopf"] == pytest.approx((0, 0), abs=POINT)
    assert found(curve(NEUTRAL, event("fold", 0.0, [0, 0, 0]), 0.2, second=(0.1, 1.0))) == {}


def test_a_curve_that_comes_back_ends_where_it_began():
    # At rest y = p and z = q, and x^2 = y^2 + z^2 - 1: folds on the unit circle.
    circle = Cubic(
        {C: (-1, 0, 0), (0, 2, 0): ONE, ZZ: ONE, XX: (-1, 0, 0)}, {C: P, Y: (-1, 0, 0)}, {C: Q, Z: (-1, 0, 0)}
    )
    along = curve(circle, event("fold", 1.0, [0, 1, 0]), 0.0)
    np.testing.assert_allclose(along.first**2 + along.second**2, 1, atol=CURVE)
    assert along.ended == ("closed loop", "closed loop") and along.points == ()
    assert (along.first[0], along.second[0]) == (along.first[-1], along.second[-1])
    turned = np.unwrap(np.arctan2(along.second, along.first))
    assert abs(turned[-1] - turned[0]) == pytest.approx(2 * np.pi)


# Updates

HENON = Cubic({C: ONE, Y: ONE, XX: (0, -1, 0)}, {X: Q}, {Z: (0.3, 0, 0)}).as_map()
# x to x + p - x^2, y to -(1 + q) y + y^3.
FOLD_FLIP = Cubic({X: ONE, C: P, XX: (-1, 0, 0)}, {Y: (-1, 0, -1), YYY: ONE}, {Z: (0.3, 0, 0)}).as_map()
COS, SIN = float(np.cos(1.2)), float(np.sin(1.2))
# A pair of multipliers (1 + q) exp(1.2 i), beside a fold, and beside a flip.
TURNS = ({Y: (COS, 0, COS), Z: (-SIN, 0, -SIN)}, {Y: (SIN, 0, SIN), Z: (COS, 0, COS)})
FOLD_PAIR = Cubic({X: ONE, C: P, XX: (-1, 0, 0)}, *TURNS).as_map()
FLIP_PAIR = Cubic({X: (-1, -1, 0), XXX: ONE}, *TURNS).as_map()
# x to -(1 + p) x + q x^3.
FLIP = Cubic({X: (-1, -1, 0), XXX: Q}, {Y: (0.2, 0, 0)}, {Z: (0.3, 0, 0)}).as_map()
# z to exp(1.2 i) (1 + p + q |z|^2) z.
CHENCINER = Cubic(
    {X: (COS, COS, 0), Y: (-SIN, -SIN, 0)} | {XXX: (0, 0, COS), XYY: (0, 0, COS), XXY: (0, 0, -SIN), YYY: (0, 0, -SIN)},
    {X: (SIN, SIN, 0), Y: (COS, COS, 0)} | {XXX: (0, 0, SIN), XYY: (0, 0, SIN), XXY: (0, 0, COS), YYY: (0, 0, COS)},
    {Z: (0.3, 0, 0)},
).as_map()


def test_the_henon_map_has_its_resonances_where_they_are_in_closed_form():
    # Neimark-Sacker points on b = -1: with k = cos(theta), x = 1 / (2 - k) and a = k^2 - 2 k.
    k = 0.3
    turn = complex(k, (1 - k**2) ** 0.5)
    start = event("neimark-sacker", k**2 - 2 * k, [1 / (2 - k), -1 / (2 - k), 0], turn)
    along = curve(HENON, start, -1.0, ONE_STEP, first=(-2.0, 4.0))
    np.testing.assert_allclose(along.second, -1, atol=CURVE)
    cosines = np.cos(along.angles)
    np.testing.assert_allclose(along.first, cosines**2 - 2 * cosines, atol=CURVE)
    close(found(along), {"1:1": (-1, -1), "1:2": (3, -1), "1:3": (1.25, -1), "1:4": (0, -1)})
    assert sorted(along.ended) == ["1:1", "1:2"]
    # Folds and flips, which pass the same points.
    folds = curve(HENON, event("fold", -0.25, [2, 0, 0]), 0.0, ONE_STEP, first=(-2.0, 4.0), second=(-2.0, 0.5))
    np.testing.assert_allclose(folds.first, -((1 - folds.second) ** 2) / 4, atol=CURVE)
    close(found(folds), {"1:1": (-1, -1)})
    flips = curve(HENON, event("flip", 0.75, [2 / 3, 0, 0], -1), 0.0, ONE_STEP, first=(-2.0, 4.0), second=(-2.0, 0.5))
    np.testing.assert_allclose(flips.first, 3 * (1 - flips.second) ** 2 / 4, atol=CURVE)
    close(found(flips), {"1:2": (3, -1)})


def test_a_fold_and_a_flip_meet_on_both_of_their_curves():
    folds = curve(FOLD_FLIP, event("fold", 0.0, [0, 0, 0]), -0.5, ONE_STEP, second=(-1.0, 1.0))
    flips = curve(FOLD_FLIP, event("flip", 0.25, [0.5, 0, 0], -1), 0.0, ONE_STEP, first=(-0.5, 0.5))
    close(found(folds), {"fold-flip": (0, 0)})
    # At q = 0, whatever p is.
    np.testing.assert_allclose(flips.second, 0, atol=CURVE)
    close(found(flips), {"fold-flip": (0, 0)})


def test_a_pair_is_met_on_the_curves_of_folds_and_of_flips():
    folds = curve(FOLD_PAIR, event("fold", 0.0, [0, 0, 0]), -0.5, ONE_STEP, second=(-0.9, 0.9))
    close(found(folds), {"fold-neimark-sacker": (0, 0)})
    flips = curve(FLIP_PAIR, event("flip", 0.0, [0, 0, 0], -1), -0.5, ONE_STEP, second=(-0.9, 0.9))
    close(found(flips), {"flip-neimark-sacker": (0, 0)})


def test_the_cubic_coefficients_of_a_flip_and_of_a_pair_change_their_sign_where_they_are_zero():
    flips = curve(FLIP, event("flip", 0.0, [0, 0, 0], -1), -0.5, ONE_STEP)
    np.testing.assert_allclose(flips.coefficients, flips.second, atol=COEFFICIENT)
    close(found(flips), {"generalized flip": (0, 0)})
    pairs = curve(CHENCINER, event("neimark-sacker", 0.0, [0, 0, 0], np.exp(1.2j)), -0.5, ONE_STEP)
    # The unit vector (1, -i) / sqrt(2) is that many times as long in z.
    np.testing.assert_allclose(pairs.coefficients, 2 * pairs.second, atol=COEFFICIENT)
    close(found(pairs), {"chenciner": (0, 0)})


# A stirred tank, in its rate and its heat


def tank(rate, heat):
    def field(t, y, args):
        x, z = y
        reaction = rate * (1 - x) * jnp.exp(z)
        return jnp.stack([-x + reaction, -z + heat * reaction - 0.74 * z])

    return field


def rate_of(x, heat):
    return x * np.exp(-heat * x / 1.74) / (1 - x)


def heat_of_hopf(x):
    """Where the trace vanishes, with the conversion x alone unknown."""
    return (1.74 + 1 / (1 - x)) / x


def lyapunov(x):
    """The sign of the first Lyapunov coefficient there, by the formula for a plane, with f = D (1 - x) exp(z) by hand.

    Source: Guckenheimer and Holmes (1983), equation 3.4.11, in the coordinates of the rotation.
    """
    heat = heat_of_hopf(x)
    matrix = np.array([[-1 - x / (1 - x), x], [-heat * x / (1 - x), heat * x - 1.74]])
    omega = np.linalg.det(matrix) ** 0.5
    # J (u + i v) = i omega (u + i v).
    _, vectors = np.linalg.eig(matrix)
    values = np.linalg.eigvals(matrix)
    vector = vectors[:, np.argmax(values.imag)]
    to = np.stack([np.real(vector), -np.imag(vector)], axis=1)
    back = np.linalg.inv(to)
    # f by x and z: its derivative by x, once, takes the factor -1 / (1 - x), and twice is zero.
    e = x / (1 - x)
    second = np.array([[0, -e], [-e, x]])
    third = np.zeros((2, 2, 2))
    third[1, 1, 1] = x
    for i, j, k in ((0, 1, 1), (1, 0, 1), (1, 1, 0)):
        third[i, j, k] = -e
    bent = np.einsum("ij,ia,jb->ab", second, to, to)
    twisted = np.einsum("ijk,ia,jb,kc->abc", third, to, to, to)
    f, g = (back @ np.array([1, heat]))[:, None, None] * bent
    ff, gg = (back @ np.array([1, heat]))[:, None, None, None] * twisted
    cubic = ff[0, 0, 0] + ff[0, 1, 1] + gg[0, 0, 1] + gg[1, 1, 1]
    square = f[0, 1] * (f[0, 0] + f[1, 1]) - g[0, 1] * (g[0, 0] + g[1, 1]) - f[0, 0] * g[0, 0] + f[1, 1] * g[1, 1]
    return cubic + square / omega


def test_the_tank_swings_on_the_curve_that_elimination_gives_and_turns_back_on_the_other():
    start = analysis.locate_event("hopf", lambda rate: tank(rate, 7.06), 0.1325, jnp.array([0.874, 3.546]))
    assert float(start.value) == pytest.approx(0.13250236, abs=1e-7)
    hopf = curve(tank, start, 7.06, first=(0.05, 0.5), second=(3.0, 12.0))
    x = np.asarray(hopf.states)[:, 0]
    np.testing.assert_allclose(hopf.second, heat_of_hopf(x), rtol=CURVE)
    np.testing.assert_allclose(hopf.first, rate_of(x, heat_of_hopf(x)), rtol=CURVE)
    # Both conditions at x = 1 / 1.74; and where the coefficient is zero.
    double = 1 / 1.74
    zero = scipy.optimize.brentq(lyapunov, 0.75, 0.85, xtol=1e-14)
    expected = {
        "bogdanov-takens": (rate_of(double, heat_of_hopf(double)), heat_of_hopf(double)),
        "generalized hopf": (rate_of(zero, heat_of_hopf(zero)), heat_of_hopf(zero)),
    }
    close(found(hopf), expected, 1e-8)
    folds = curve(tank, event("fold", 0.13180270, [0.4385, 1.7793]), 7.06, first=(0.05, 0.5), second=(3.0, 12.0))
    x = np.asarray(folds.states)[:, 0]
    np.testing.assert_allclose(folds.second, 1.74 / (x * (1 - x)), rtol=CURVE)
    np.testing.assert_allclose(folds.first, rate_of(x, 1.74 / (x * (1 - x))), rtol=CURVE)
    # The heat is least in the middle.
    close(found(folds), {"cusp": (np.exp(-2), 6.96), "bogdanov-takens": expected["bogdanov-takens"]})


# A GAN, in a weight and the step size

GAME = games.LinearQuadratic(losses.Wasserstein())
REST = games.Players(jnp.array(0.0), jnp.array(1.0))


def penalized(weight):
    return fields.GameField(regularizers.Penalized(GAME, regularizers.R1(weight)))


@pytest.mark.parametrize(
    ("rule", "kind", "step", "eigenvalue"),
    [
        (updates.Simultaneous, "neimark-sacker", 1.5, np.exp(1j * np.pi / 3)),
        (updates.Alternating, "flip", (45**0.5 - 3) / 2, -1),
    ],
)
def test_the_border_of_a_gan_is_its_critical_step_size_at_every_weight(rule, kind, step, eigenvalue):
    start = event(kind, 0.5, REST, eigenvalue)
    border = curve(penalized, start, step, rule, first=(0.05, 3.0), second=(0.02, 4.0))
    weights = np.asarray(border.first)
    # Where the multiplier is double, at an end, that step size is good to the root of rounding alone.
    picked = np.linspace(1, len(weights) - 2, 10).astype(int)
    critical = [analysis.critical_step_size(rule, penalized(weights[i]), REST) for i in picked]
    np.testing.assert_allclose(border.second[picked], critical, rtol=CURVE)


def test_the_border_is_that_of_what_a_stability_map_paints():
    # Of alternating steps: in each column the last stable step size is below the curve, and the next above.
    start = event("flip", 0.5, REST, -1)
    border = curve(penalized, start, (45**0.5 - 3) / 2, updates.Alternating, first=(0.05, 3.0), second=(0.02, 4.0))
    weights, steps = jnp.linspace(0.1, 2.9, 12), jnp.linspace(0.02, 4.0, 200)
    painted = analysis.stability_map(updates.Alternating, penalized, weights, steps, REST)
    order = np.argsort(border.first)
    heights = np.interp(weights, np.asarray(border.first)[order], np.asarray(border.second)[order])
    last = np.argmin(np.asarray(painted.stable), axis=1) - 1
    # The curve between its points is a chord: they are 0.03 apart, and it strays from its chord by 1e-3 at most.
    assert np.all(np.asarray(steps)[last] <= heights + 1e-3) and np.all(heights <= np.asarray(steps)[last + 1] + 1e-3)


def test_a_curve_prints_and_becomes_a_dataset_and_takes_what_is_given():
    along = curve(CUSP, event("fold", -2 / 27**0.5, [3**-0.5, 0, 0]), 1.0, first=(-1.0, 1.0), second=(-1.0, 1.5))
    assert "EventCurve: fold of a field" in str(along) and "cusp" in str(along)
    data = along.to_xarray()
    np.testing.assert_array_equal(data["first"], along.first)
    assert list(data["degenerate_kind"].values) == ["cusp"] and data.attrs["kind"] == "fold"
    few = curve(CUSP, event("fold", -2 / 27**0.5, [3**-0.5, 0, 0]), 1.0, max_points=4)
    assert few.ended == ("number of points", "number of points") and len(few.first) == 7


def test_what_has_no_curve_is_refused(monkeypatch):
    fold = event("fold", -2 / 27**0.5, [3**-0.5, 0, 0])
    branch_point = eqx.tree_at(lambda each: each.code, fold, jnp.asarray(2))
    with pytest.raises(ValueError, match="`event` must be a fold, a Hopf, flip or Neimark-Sacker point, but"):
        curve(CUSP, branch_point, 1.0)
    with pytest.raises(ValueError, match="`update` must fit the event, but a hopf point takes no update"):
        curve(CUSP, event("hopf", 0.0, [0, 0, 0], 1j), 1.0, ONE_STEP)
    with pytest.raises(ValueError, match="`at` must lie within the ranges, but is at 3"):
        curve(CUSP, fold, 3.0)
    with pytest.raises(ValueError, match="`event` must be a fold of the family at `at` with a curve through it"):
        curve(CUSP, fold, -0.5)
    with pytest.raises(ValueError, match="`first` must be the two ends of a range"):
        curve(CUSP, fold, 1.0, first=(0.0, 1.0, 2.0))
    # Without the checks of types, which would be first.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="`event` must be an event of a branch, but is str"):
        curve(CUSP, "fold", 1.0)
