"""Steps for stiff fields of any size: orders, stability, and linear systems through products alone.

The steps go bare into Diffrax here, on systems small enough for dense linear algebra and SciPy to be the other road.
"""

import functools

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optimistix as optx
import pytest
import scipy.integrate
import scipy.optimize

from gan_ode import flow
from gan_ode.games import Players
from gan_ode.simulate import OUTCOMES
from gan_ode.solvers import _requirements, GMRES, InexactChord, matrix_free, RKC2, Rodas3

# A linear solve exact to rounding, so that orders are the step's own.
EXACT = InexactChord(1e-12, 1e-12)
FIXED = {"Rodas3": Rodas3(root_finder=EXACT), "RKC2": RKC2()}
ORDERS = {"Rodas3": 3, "RKC2": 2}
ADAPTIVE = {
    "Rodas3": Rodas3(),
    "RKC2": RKC2(),
    "Kvaerno3": diffrax.Kvaerno3(root_finder=matrix_free()),
}
# Slopes between 64 and 128 steps; measured 2.991 and 2.010.
SLOPE_ERROR = 0.1


def forced(t, y, args):
    """Smooth, not linear, and with time in it."""
    a, b = y
    return -a * jnp.sum(b) + jnp.cos(3 * t), a - b**3 + 0.5 * jnp.sin(t) * a


START = (jnp.array(1.0), jnp.array([0.5, -0.2]))


def exact(t1):
    def flat(t, y):
        a, b = y[0], y[1:]
        return np.concatenate([[-a * b.sum() + np.cos(3 * t)], a - b**3 + 0.5 * np.sin(t) * a])

    return scipy.integrate.solve_ivp(flat, (0, t1), [1.0, 0.5, -0.2], method="DOP853", rtol=1e-13, atol=1e-14).y[:, -1]


@eqx.filter_jit
def fixed(field, solver, y0, num):
    """Equal steps by bare Diffrax, `num` of them."""
    return diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        solver,
        0.0,
        1.0,
        1.0 / num,
        y0,
        stepsize_controller=diffrax.ConstantStepSize(),
        max_steps=1000,
        throw=False,
    )


def end(solution):
    return np.concatenate([np.ravel(leaf[-1]) for leaf in jax.tree.leaves(solution.ys)])


@pytest.mark.parametrize("name", FIXED)
def test_a_step_is_of_its_order_on_a_field_with_time(name):
    errors = [np.abs(end(fixed(forced, FIXED[name], START, jnp.array(n * 1.0))) - exact(1.0)).max() for n in (64, 128)]
    np.testing.assert_allclose(np.log2(errors[0] / errors[1]), ORDERS[name], rtol=0, atol=SLOPE_ERROR)


@functools.partial(jax.jit, static_argnums=(0, 1))
def one_step(field, name, t1, y0):
    """One step by itself: the state, the estimate of its error, and the dense output in its middle."""
    solver, terms = FIXED[name], diffrax.ODETerm(field)
    state = solver.init(terms, 0.0, t1, y0, None)
    y1, error, dense, _, _ = solver.step(terms, 0.0, t1, y0, None, state, False)
    return y1, error, solver.interpolation_cls(t0=0.0, t1=t1, **dense).evaluate(0.5 * t1)


@pytest.mark.parametrize("name", FIXED)
def test_dense_output_within_a_step_is_of_second_order_at_least(name):
    errors = []
    for h in (0.04, 0.02):
        inside = one_step(forced, name, jnp.array(h), START)[2]
        errors.append(np.abs(np.concatenate([np.ravel(leaf) for leaf in inside]) - exact(h / 2)).max())
    # Of one step: an order more than along the orbit.
    assert np.log2(errors[0] / errors[1]) > 3 - SLOPE_ERROR


def rodas3():
    """The usual form of the method: where the field is evaluated, what the Jacobian is multiplied by, the weights."""
    from gan_ode.solvers import _rodas3 as method

    coupling = np.linalg.inv(np.eye(4) / method._GAMMA - method._C)
    return method._A @ coupling, coupling, method._SOLUTION @ coupling, method._ERROR @ coupling


def test_rodas3_satisfies_the_order_conditions_and_its_estimate_sees_linear_fields():
    alpha, coupling, b, b_error = rodas3()
    one, beta = np.ones(4), alpha + coupling
    conditions = np.array([one, beta @ one, (alpha @ one) ** 2, beta @ beta @ one])
    np.testing.assert_allclose(conditions @ b, [1, 1 / 2, 1 / 3, 1 / 6], rtol=1e-14, atol=0)
    np.testing.assert_allclose(conditions[:2] @ b_error, 0, rtol=0, atol=1e-15)
    # That of ROS3P is zero here.
    np.testing.assert_allclose(conditions[3] @ b_error, 1 / 24, rtol=1e-14, atol=0)
    # The fractions of the step at which the time derivative enters.
    np.testing.assert_allclose(coupling @ one, [0.5, 1.5, 0, 0], rtol=0, atol=1e-15)


def linear(t, y, args):
    return RATES * y


# The largest is far from the next, so that one power iteration finds it.
RATES = -jnp.concatenate([jnp.array([0.0]), jnp.logspace(-2, 2, 40), jnp.array([800.0])])


def stability(name):
    """One step of length one on decays at many rates: the stability function at each."""
    return np.asarray(one_step(linear, name, jnp.array(1.0), jnp.ones_like(RATES))[0])


def test_rkc2_has_the_stability_polynomial_of_its_source():
    radius = 1.2 * 800
    stages = int(np.sqrt(1 + 1.54 * radius) + 1)
    chebyshev = np.polynomial.Chebyshev.basis(stages)
    w0 = 1 + 2 / 13 / stages**2
    slope, curvature = chebyshev.deriv(1)(w0), chebyshev.deriv(2)(w0)
    b = curvature / slope**2
    expected = 1 - b * chebyshev(w0) + b * chebyshev(w0 + slope / curvature * np.asarray(RATES))
    # Rounding grows like the square of the 39 stages.
    np.testing.assert_allclose(stability("RKC2"), expected, rtol=0, atol=1e-11)
    assert np.all(np.abs(stability("RKC2")[1:]) < 1)


def test_rodas3_has_its_stability_function_and_is_damped_at_infinity():
    z, taylor = np.asarray(RATES), np.array([1, 1, 1 / 2, 1 / 6])
    # Of third order and zero at infinity, so the numerator is the series of (1 - z/2)^4 exp z up to its third power.
    numerator = np.polynomial.Polynomial(np.convolve(taylor, [1, -2, 3 / 2, -1 / 2, 1 / 16])[:4])
    np.testing.assert_allclose(stability("Rodas3"), numerator(z) / (1 - z / 2) ** 4, rtol=0, atol=1e-11)
    assert abs(stability("Rodas3")[-1]) < 0.01


def decay(t, y, args):
    return -y


def test_the_error_estimates_are_the_published_ones():
    h = 0.01
    # RKC2 takes two stages here, so that y1 is 1 - h + h^2 / 2, and 12 (y0 - y1) + 6 h (f0 + f1) is -3 h^3.
    for name, expected in (("Rodas3", -(h**3) / 24), ("RKC2", -(h**3) / 5)):
        estimate = one_step(decay, name, jnp.array(h), jnp.array(1.0))[1]
        np.testing.assert_allclose(estimate, expected, rtol=3 * h, atol=0)


DECAYS = np.array([-1e4, -300.0, -5.0, -1.0, -0.1])
STIFF_TIMES = jnp.array([0.0, 2.0, 5.0])
STIFF_TOLERANCE = 1e-4
# Global error over tolerance on forced decays; measured 1.7, 3.3 and 0.3 at the most.
STIFF_ERROR = 10
SIZES = np.array([0.5, 2.0])


def forced_decay(t, y, args):
    """Solved by cos t plus decays, which are gone or not."""
    rates = jnp.asarray(DECAYS, y.generator.dtype)
    return Players(
        discriminator=rates[:2] * (y.discriminator - jnp.cos(t)) - jnp.sin(t),
        generator=rates[2:] * (y.generator - jnp.cos(t)) - jnp.sin(t),
    )


def decayed(ts, size=1.0):
    return np.cos(ts)[:, None] + size * np.exp(DECAYS * np.asarray(ts, float)[:, None])


def followed(solver, dtype=jnp.float64, size=1.0, **options):
    start = 1 + jnp.asarray(size, dtype)
    y0 = Players(jnp.full(2, start), jnp.full(3, start))
    return flow(forced_decay, y0, STIFF_TIMES.astype(dtype), solver=solver, throw=False, **options)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("Rodas3", jnp.float32), ("RKC2", jnp.float64), ("Kvaerno3", jnp.float32)],
)
def test_a_batch_of_stiff_decays_is_followed_to_the_tolerance_in_few_steps(name, dtype):
    orbits = jax.vmap(lambda size: followed(ADAPTIVE[name], dtype, size, rtol=STIFF_TOLERANCE))(jnp.asarray(SIZES))
    for i, size in enumerate(SIZES):
        states = np.concatenate([orbits.ys.discriminator[i], orbits.ys.generator[i]], axis=1)
        expected = decayed(orbits.ts[i], size)
        np.testing.assert_allclose(states, expected, rtol=0, atol=STIFF_ERROR * STIFF_TOLERANCE)
    # Stability alone asks of an explicit solver for 5 * 1e4 / 3.3 = 15,000.
    assert int(jnp.max(orbits.stats["num_steps"])) < 400


def test_lineax_s_bicgstab_serves_an_implicit_solver_of_diffrax():
    finder = matrix_free(lx.BiCGStab(rtol=0.0, atol=0.05, norm=optx.rms_norm, max_steps=100))
    orbit = followed(diffrax.Kvaerno3(root_finder=finder), rtol=STIFF_TOLERANCE)
    assert orbit.outcome == OUTCOMES.ok
    np.testing.assert_allclose(orbit.ys.generator, decayed(orbit.ts)[:, 2:], rtol=0, atol=STIFF_ERROR * STIFF_TOLERANCE)


@pytest.mark.parametrize(
    "linear_solver", [GMRES(atol=0.02), lx.GMRES(rtol=0.0, atol=0.05, norm=optx.rms_norm, max_steps=9)]
)
def test_the_root_finder_finds_scipy_s_root(linear_solver):
    def residual(y, args):
        return jnp.array([y[0] + 0.3 * y[1] ** 2 - 1, 40 * y[1] + jnp.sin(y[0]), 0.1 * y[2] + y[0]])

    finder = InexactChord(1e-8, 1e-8, linear_solver=linear_solver)
    found = optx.root_find(residual, finder, jnp.zeros(3), max_steps=40)
    root = scipy.optimize.root(lambda y: np.asarray(residual(y, None)), np.zeros(3), tol=1e-13).x
    np.testing.assert_allclose(found.value, root, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", ["Rodas3", "RKC2"])
def test_a_gradient_goes_through_a_step(name):
    solver = {"Rodas3": Rodas3(root_finder=EXACT), "RKC2": RKC2()}[name]

    @jax.jit
    def moved(k):
        terms = diffrax.ODETerm(lambda t, y, k: jnp.array([-50.0 * k, -k]) * y - 0.1 * y**3)
        y0 = jnp.array([1.0, 2.0])
        return jnp.sum(solver.step(terms, 0.0, 0.5, y0, k, solver.init(terms, 0.0, 0.5, y0, k), False)[0])

    value = jnp.array(1.3)
    difference = (moved(value + 1e-4) - moved(value - 1e-4)) / 2e-4
    # The linear systems are solved to 1e-13; measured 2e-9.
    np.testing.assert_allclose(jax.grad(moved)(value), difference, rtol=1e-5, atol=0)


# Linear systems.


def test_gmres_needs_as_many_products_as_there_are_eigenvalues_and_agrees_with_a_dense_solve():
    rng = np.random.default_rng(0)
    basis = rng.standard_normal((30, 30))
    matrix = basis @ np.diag(np.repeat([1.0, 2.0, -3.0], 10)) @ np.linalg.inv(basis)
    right = rng.standard_normal(30)
    solution = lx.linear_solve(lx.MatrixLinearOperator(jnp.asarray(matrix)), jnp.asarray(right), GMRES(rtol=1e-10))
    # Times the condition number of about 1e3; measured 2e-12.
    np.testing.assert_allclose(solution.value, np.linalg.solve(matrix, right), rtol=0, atol=1e-8)
    assert int(solution.stats["num_steps"]) == 3


def test_gmres_stops_at_its_tolerance_says_when_it_could_not_and_takes_trees():
    values = jnp.linspace(1.0, 1000.0, 200)
    right = (jnp.ones(150), jnp.ones((5, 10)))
    operator = lx.FunctionLinearOperator(
        lambda v: (values[:150] * v[0], values[150:].reshape(5, 10) * v[1]), jax.eval_shape(lambda: right)
    )

    @eqx.filter_jit
    def solved(right, rtol):
        return lx.linear_solve(operator, right, GMRES(rtol=rtol, max_products=60), throw=False)

    good = solved(right, jnp.array(0.3))
    residual = np.concatenate([np.ravel(r - a) for r, a in zip(right, operator.mv(good.value), strict=True)])
    assert good.result == lx.RESULTS.successful
    # Not far below either: it stops as soon as it may.
    assert 0.25 < np.sqrt(np.mean(residual**2)) <= 0.3
    assert solved(right, jnp.array(1e-9)).result == lx.RESULTS.max_steps_reached
    nothing = solved(jax.tree.map(jnp.zeros_like, right), jnp.array(0.3))
    assert nothing.result == lx.RESULTS.successful
    assert float(jnp.max(jnp.abs(nothing.value[0]))) == 0.0


# The limits.


def circle(t, y, args):
    return jnp.array([-y[1], y[0]])


@pytest.mark.parametrize("name", ["RKC2", "Rodas3"])
def test_a_circle_is_not_damped_by_a_solver_made_for_damping(name):
    ts = jnp.array([0.0, 30.0])
    orbit = flow(circle, jnp.array([1.0, 0.0]), ts, solver=ADAPTIVE[name], rtol=1e-6)
    # Each step may err by the tolerance, and none of it is forgotten; measured 1.2 times that.
    bound = 5e-6 * int(orbit.stats["num_steps"])
    np.testing.assert_allclose(orbit.final_state, [np.cos(30.0), np.sin(30.0)], rtol=0, atol=bound)
    assert bound < 0.01


def test_a_step_that_needs_more_stages_than_allowed_is_rejected_and_fails_where_it_cannot_be():
    solver, terms, y0 = RKC2(max_stages=20), diffrax.ODETerm(linear), jnp.ones_like(RATES)

    @jax.jit
    def step(t1):
        y1, error, _, _, result = solver.step(terms, 0.0, t1, y0, None, solver.init(terms, 0.0, t1, y0, None), False)
        return y1, error, result == diffrax.RESULTS.successful

    # Stable up to 0.65 * 399 / 1.2 / 800 = 0.27.
    y1, error, fine = step(jnp.array(0.25))
    assert fine and bool(jnp.all(jnp.isfinite(error)))
    y1, error, fine = step(jnp.array(0.3))
    assert not fine and bool(jnp.all(jnp.isinf(error)))
    np.testing.assert_array_equal(y1, y0)


def test_a_fixed_linearly_implicit_step_needs_tolerances_for_its_linear_systems_and_keeps_its_solver():
    with pytest.raises(ValueError, match=r"`rtol` and `atol` must be given for Rodas3"):
        followed(Rodas3(), step_size=0.1)
    solver = Rodas3(matrix_free(GMRES(atol=0.3)))
    completed = _requirements.for_fixed_steps(solver, 1e-8, 1e-7)
    assert (completed.root_finder.rtol, completed.root_finder.atol) == (1e-8, 1e-7)
    assert completed.root_finder.linear_solver.atol == 0.3


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_with_error_control_a_matrix_free_solver_keeps_its_linear_solver(dtype):
    solver = diffrax.Kvaerno3(root_finder=matrix_free(GMRES(atol=0.3)))
    assert _requirements.for_adaptive_steps(solver, dtype).root_finder.linear_solver.atol == 0.3
    # A linearly implicit step takes the tolerances of the controller, in float32 too.
    assert _requirements.for_adaptive_steps(Rodas3(), dtype) == Rodas3()


def test_rodas3_refuses_a_root_finder_that_cannot_solve_its_systems():
    with pytest.raises(ValueError, match=r"must be made by `solvers\.matrix_free`"):
        Rodas3(root_finder=diffrax.VeryChord(1e-3, 1e-3))
