"""Equilibria, spectra, critical step sizes, comparisons and drifts against closed forms."""

import math

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_ode import analysis, fields, flow, games, iterate, losses, regularizers, simulate, updates
from gan_ode.games import Players

# Newton's last step is at rounding; measured 6e-18.
ROOT = 1e-12
# Eigenvalues of 2 x 2 and 4 x 4 matrices of order one; measured 4e-15.
EIGENVALUES = 1e-12
# Sixty bisections end at rounding; colliding multipliers at the root of it. Measured 2e-10.
CRITICAL = 1e-8
# What there are digits for.
SIX_DIGITS = 5e-7


def lq_field(loss, eta=0.0, **options):
    game = games.LinearQuadratic(loss, **options)
    return fields.GameField(regularizers.Penalized(game, regularizers.GradientNorm(eta)))


def dirac_field(loss, gamma=0.0):
    return fields.GameField(regularizers.Penalized(games.Dirac(loss), regularizers.R1(gamma)))


def scalars(d, g):
    return Players(jnp.asarray(d, float), jnp.asarray(g, float))


EQUILIBRIUM = scalars(0.0, 1.0)
ORIGIN = scalars(0.0, 0.0)
MINIMAX, WASSERSTEIN = losses.Minimax(), losses.Wasserstein()


def pair(trace, determinant):
    return np.sort_complex(np.roots([1.0, -trace, determinant]))


# Equilibria


@pytest.mark.parametrize("start", [(0.3, 1.4), (-0.2, 0.7)])
def test_the_equilibrium_of_the_gan_is_where_the_generator_matches_the_data(start):
    found = analysis.find_equilibrium(lq_field(MINIMAX), scalars(*start))
    assert found.found and float(found.residual) < ROOT
    assert abs(float(found.y.discriminator)) < ROOT and abs(float(found.y.generator) - 1) < ROOT


def test_a_search_that_ends_where_the_field_does_not_vanish_is_an_error():
    with pytest.raises(RuntimeError, match="`y0` must lead to an equilibrium"):
        analysis.find_equilibrium(lambda t, y, args: 1 + y**2, jnp.asarray(0.5))


def test_a_failed_search_can_be_read():
    found = analysis.find_equilibrium(lambda t, y, args: 1 + y**2, jnp.asarray(0.5), throw=False)
    assert not found.found and float(found.residual) >= 1.0


def test_equilibria_can_be_searched_in_float32():
    found = analysis.find_equilibrium(lq_field(MINIMAX), Players(jnp.float32(0.1), jnp.float32(1.2)))
    assert found.y.generator.dtype == jnp.float32 and abs(float(found.y.generator) - 1) < 1e-6


def test_the_gradient_goes_through_an_equilibrium():
    def where(width):
        game = games.LinearQuadratic(MINIMAX, width)
        return analysis.find_equilibrium(fields.GameField(game), scalars(0.1, 1.3)).y.generator

    # a* = c, so that its derivative is 1.
    assert jax.grad(where)(1.2) == pytest.approx(1.0, abs=1e-8)


# Spectra


@pytest.mark.parametrize("eta", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("name", ["W", "JS"])
def test_spectra_of_the_linear_quadratic_gan_are_those_of_the_closed_form(name, eta):
    loss = WASSERSTEIN if name == "W" else MINIMAX
    trace = -8 * eta / 9 if name == "W" else -1 / 10 - 2 * eta / 9
    determinant = 4 / 9 if name == "W" else 1 / 9
    values = np.sort_complex(np.asarray(analysis.spectrum(lq_field(loss, eta), EQUILIBRIUM)))
    np.testing.assert_allclose(values, pair(trace, determinant), atol=EIGENVALUES)


@pytest.mark.parametrize("name", ["W", "JS"])
def test_with_linear_term_and_offset_the_characteristic_polynomial_factors_as_stated(name):
    eta = 0.7
    loss = WASSERSTEIN if name == "W" else MINIMAX
    factors = {
        "W": ([9, 8 * eta, 4], [1, 2 * eta, 1]),
        "JS": ([90, 9 + 20 * eta, 10], [12, 2 + 6 * eta, 3]),
    }[name]
    y = Players(jnp.zeros(2), jnp.array([1.0, 0.0]))
    values = np.asarray(analysis.spectrum(lq_field(loss, eta, linear=True, offset=True), y))
    expected = np.concatenate([np.roots(factor) for factor in factors])
    np.testing.assert_allclose(np.sort_complex(values), np.sort_complex(expected), atol=EIGENVALUES)


def test_data_of_half_width_c_are_damped_as_c_to_the_fourth():
    c = 4.0
    values = np.asarray(analysis.spectrum(lq_field(MINIMAX, half_width=c), scalars(0.0, c)))
    np.testing.assert_allclose(np.sort_complex(values), pair(-(c**4) / 10, (c / 3) ** 2), rtol=1e-10)


def test_r1_damps_the_dirac_gan_as_stated():
    gamma = 0.3
    values = np.asarray(analysis.spectrum(dirac_field(MINIMAX, gamma), ORIGIN))
    np.testing.assert_allclose(
        values, -gamma / 2 + np.array([1j, -1j]) * math.sqrt(0.25 - gamma**2 / 4), atol=EIGENVALUES
    )


def test_the_spectral_abscissa_comes_first_and_of_a_pair_the_upper_one():
    values = np.asarray(
        analysis.spectrum(lambda t, y, args: jnp.array([[0, 1, 0], [-1, 0, 0], [0, 0, -3.0]]) @ y, jnp.zeros(3))
    )
    np.testing.assert_allclose(values, [1j, -1j, -3], atol=EIGENVALUES)


def test_the_jacobian_is_the_papers():
    eta = 0.5
    expected = [[-1 / 10, -1 / 3], [1 / 3 - eta / 15, -2 * eta / 9]]
    np.testing.assert_allclose(analysis.jacobian(lq_field(MINIMAX, eta), EQUILIBRIUM), expected, atol=EIGENVALUES)


def test_spectra_can_be_swept_by_vmap():
    etas = jnp.array([0.0, 1.0, 2.0])
    values = jax.vmap(lambda eta: analysis.spectrum(lq_field(WASSERSTEIN, eta), EQUILIBRIUM))(etas)
    np.testing.assert_allclose(values.real.sum(axis=1), -8 * etas / 9, atol=EIGENVALUES)


def gradient_penalty(gamma, target, loss=WASSERSTEIN):
    return fields.GameField(regularizers.Penalized(games.Dirac(loss), regularizers.WGANGP(gamma, target)))


@pytest.mark.parametrize(
    ("field", "y"),
    [
        (gradient_penalty(0.7, 1.0), (0.0, 0.0)),
        (gradient_penalty(0.3, 0.5, MINIMAX), (0.0, 0.4)),
        (fields.GameField(games.Dirac(losses.Hinge())), (2.0, 0.5)),
        (lambda t, y, args: jax.tree.map(lambda leaf: -jax.nn.relu(leaf - 0.3), y), (0.3, 0.1)),
        (lambda t, y, args: jax.tree.map(lambda leaf: -jnp.sqrt(leaf), y), (0.0, 1.0)),
    ],
    ids=["WGAN-GP", "WGAN-GP, beside the origin", "hinge", "rectifier", "where the field ends"],
)
def test_where_the_field_jumps_has_a_kink_or_ends_there_is_no_spectrum(field, y):
    place, beside = scalars(*y), scalars(y[0] + 0.01, y[1] + 0.02)
    rows = jax.tree.map(lambda *leaves: jnp.stack(leaves), place, beside)
    for measure in (analysis.jacobian, analysis.spectrum):
        with pytest.raises(ValueError, match=r"`y` must be a state around which the field is (smooth|finite)"):
            measure(field, place)
        traced = jax.vmap(lambda y: measure(field, y))(rows)  # noqa: B023
        assert np.isnan(traced[0]).all() and np.isfinite(traced[1]).all()
    assert np.array_equal(analysis.spectrum(field, beside), analysis.spectrum(field, beside, check=False))


def test_a_derivative_that_is_known_to_be_one_sided_can_be_had():
    # On either side psi' = theta - gamma psi +- gamma, and theta' = -psi: the jump apart, gamma damps.
    values = analysis.spectrum(gradient_penalty(0.7, 1.0), ORIGIN, check=False)
    np.testing.assert_allclose(values, pair(-0.7, 1.0)[::-1], atol=EIGENVALUES, rtol=0)


def test_a_spectrum_is_of_one_time_and_of_any_state():
    field = lambda t, y, args: jax.tree.map(lambda leaf: jnp.sin(t) * leaf + 1, y)  # noqa: E731
    values = analysis.spectrum(field, scalars(0.3, 0.4), t=1.0)
    np.testing.assert_allclose(values, math.sin(1.0), atol=EIGENVALUES, rtol=0)


def test_a_dense_jacobian_of_too_many_parameters_is_refused():
    with pytest.raises(ValueError, match=r"`y` must have at most .* GiB"):
        analysis.jacobian(lambda t, y, args: y, jnp.zeros(100_000))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([-1, -2], "stable node"),
        ([-1 + 1j, -1 - 1j], "stable focus"),
        ([1, 2], "unstable node"),
        ([1 + 1j, 1 - 1j], "unstable focus"),
        ([1, -2], "saddle"),
        ([1e-14 + 1j, 1e-14 - 1j], "center"),
        ([1e-9, -1], "degenerate"),
    ],
)
def test_equilibria_are_named_by_their_eigenvalues(values, kind):
    assert analysis.equilibrium_type(np.array(values, complex)) == kind


def test_eigenvalues_that_are_not_finite_have_no_name():
    with pytest.raises(ValueError, match="`eigenvalues` must be finite"):
        analysis.equilibrium_type(np.array([np.nan + 0j, 1]))


# Updates as maps

OPTIMISTIC_BY_OPTAX = lambda h: updates.Optax(  # noqa: E731
    optax.optimistic_gradient_descent(h), optax.optimistic_gradient_descent(h), order="simultaneous"
)


@pytest.mark.parametrize(
    ("rule", "loss", "eta", "expected"),
    [
        (updates.Simultaneous, WASSERSTEIN, 0.0, 0.0),
        (updates.Alternating, WASSERSTEIN, 0.0, 3.0),
        (updates.Extragradient, WASSERSTEIN, 0.0, 1.5),
        (updates.Optimistic, WASSERSTEIN, 0.0, math.sqrt(3) / 2),
        (updates.Simultaneous, WASSERSTEIN, 0.5, 1.0),
        (updates.Alternating, WASSERSTEIN, 0.5, 2.162278),
        (updates.Extragradient, WASSERSTEIN, 0.5, 2.103078),
        (updates.Optimistic, WASSERSTEIN, 0.5, 0.951071),
        (updates.Simultaneous, MINIMAX, 0.0, 0.9),
        (updates.Alternating, MINIMAX, 0.0, 3 * (math.sqrt(409) - 3) / 10),
        (updates.Extragradient, MINIMAX, 0.0, 3.702705),
        (updates.Optimistic, MINIMAX, 0.0, 1.835624),
        (updates.Simultaneous, MINIMAX, 0.3, 0.9 + 2 * 0.3),
        (OPTIMISTIC_BY_OPTAX, MINIMAX, 0.0, 1.835624),
    ],
)
def test_critical_step_sizes_of_the_linear_quadratic_gan(rule, loss, eta, expected):
    critical = float(analysis.critical_step_size(rule, lq_field(loss, eta), EQUILIBRIUM))
    assert critical == pytest.approx(expected, abs=SIX_DIGITS)


@pytest.mark.parametrize(
    ("rule", "gamma", "expected"),
    [
        (updates.Simultaneous, 0.0, 0.0),
        (updates.Alternating, 0.0, 4.0),
        (updates.Extragradient, 0.0, 2.0),
        (updates.Optimistic, 0.0, 2 / math.sqrt(3)),
        (updates.Simultaneous, 0.3, 1.2),
        (updates.Alternating, 0.3, 2.976123),
        (updates.Extragradient, 0.3, 2.758693),
        (updates.Optimistic, 0.3, 1.261750),
        (lambda h: updates.Alternating(h, discriminator_steps=4), 0.0, 2.0),
    ],
)
def test_critical_step_sizes_of_the_dirac_gan(rule, gamma, expected):
    critical = float(analysis.critical_step_size(rule, dirac_field(MINIMAX, gamma), ORIGIN))
    assert critical == pytest.approx(expected, abs=SIX_DIGITS)


def test_an_implicit_step_at_a_stable_focus_is_stable_at_any_size():
    def rule(h):
        return updates.SolverStep(diffrax.ImplicitEuler(), h, rtol=1e-9, atol=1e-9)

    assert analysis.critical_step_size(rule, lq_field(MINIMAX), EQUILIBRIUM) == jnp.inf


def test_heun_has_the_critical_step_size_of_its_stability_polynomial():
    # At a real eigenvalue -1 the multiplier 1 - h + h^2/2 passes 1 at h = 2.
    critical = analysis.critical_step_size(
        lambda h: updates.SolverStep(diffrax.Heun(), h), lambda t, y, args: -y, jnp.zeros(1)
    )
    assert float(critical) == pytest.approx(2.0, abs=CRITICAL)


def test_adam_is_stable_only_for_steps_of_the_size_of_its_epsilon():
    # At its fixed point Adam's step is h m / eps: heavy-ball momentum at the rate h / eps, whose critical step at a
    # real eigenvalue -1 is 2 (1 + b) / (1 - b), with b = 0.9.
    def rule(h):
        adam = optax.adam(h, eps=1e-3, eps_root=1e-40)
        return updates.Optax(adam, adam, order="simultaneous")

    field = lambda t, y, args: Players(-y.discriminator, -y.generator)  # noqa: E731
    critical = float(analysis.critical_step_size(rule, field, ORIGIN))
    assert critical == pytest.approx(1e-3 * 2 * 1.9 / 0.1, rel=1e-6)


def test_an_update_without_a_derivative_at_the_fixed_point_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match="eps_root"):
        analysis.critical_step_size(
            lambda h: updates.Optax(optax.adam(h), optax.adam(h)), lq_field(MINIMAX), EQUILIBRIUM
        )


def test_the_gradient_of_a_critical_step_size_is_that_of_its_closed_form():
    def critical(eta):
        return analysis.critical_step_size(updates.Simultaneous, lq_field(MINIMAX, eta), EQUILIBRIUM)

    # 0.9 + 2 eta; measured 4e-9.
    assert float(jax.grad(critical)(0.3)) == pytest.approx(2.0, abs=1e-6)


def test_multipliers_of_optimistic_steps_solve_their_quadratic():
    h, eigenvalue = 0.4, np.asarray(analysis.spectrum(lq_field(MINIMAX), EQUILIBRIUM))
    roots = np.concatenate([np.roots([1, -(1 + 2 * h * value), h * value]) for value in eigenvalue])
    found = np.asarray(analysis.multipliers(updates.Optimistic(h), lq_field(MINIMAX), EQUILIBRIUM))
    np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(roots), atol=EIGENVALUES)


# Comparisons


def test_the_distance_of_euler_from_decay_is_that_of_its_closed_form():
    h, field, one = 0.1, lambda t, y, args: -y, jnp.asarray(1.0)
    steps = iterate(updates.Simultaneous(h), field, one, 20)
    apart = analysis.compare(flow(field, one, steps.ts, rtol=1e-10, exact_times=True), steps)
    n = np.arange(21)
    # The solver's tolerance; measured 4e-11.
    np.testing.assert_allclose(apart.distance, np.exp(-h * n) - (1 - h) ** n, atol=1e-9)


def test_a_dense_flow_can_be_compared_at_any_times():
    field, one = lambda t, y, args: -y, jnp.asarray(1.0)
    steps = iterate(updates.Simultaneous(0.1), field, one, 20)
    dense = flow(field, one, jnp.array([0.0, 2.0]), rtol=1e-10, dense=True, max_steps=512)
    exact = flow(field, one, steps.ts, rtol=1e-10, exact_times=True)
    np.testing.assert_allclose(
        analysis.compare(dense, steps).distance, analysis.compare(exact, steps).distance, atol=1e-8
    )


def test_orbits_without_matched_times_are_refused():
    field, one = lambda t, y, args: -y, jnp.asarray(1.0)
    steps = iterate(updates.Simultaneous(0.1), field, one, 20)
    with pytest.raises(ValueError, match=r"`orbit` must have a state at every time.*flow\(field, y0, steps.ts\)"):
        analysis.compare(flow(field, one, jnp.linspace(0.0, 2.0, 14)), steps)


def test_a_blow_up_is_infinitely_far_away():
    field, one = lambda t, y, args: -y, jnp.asarray(1.0)
    steps = iterate(updates.Simultaneous(1e30), field, one, 20)
    exact = simulate.Orbit(
        ts=1e30 * jnp.arange(21), ys=jnp.zeros(21), stats={}, result=steps.result, outcome=simulate.OUTCOMES.ok,
        final_time=jnp.asarray(2e31), final_state=jnp.zeros(()),
    )  # fmt: skip
    assert analysis.compare(exact, steps).largest == jnp.inf


@pytest.mark.parametrize(
    ("rule", "order"),
    [
        (updates.Simultaneous, 1),
        (updates.Alternating, 1),
        (updates.Extragradient, 1),
        (lambda h: updates.SolverStep(diffrax.Heun(), h), 2),
        (lambda h: updates.SolverStep(diffrax.Bosh3(), h), 3),
    ],
)
def test_updates_have_the_order_of_their_rule(rule, order):
    found = analysis.convergence(
        rule, lq_field(WASSERSTEIN), scalars(0.5, 1.0), 2.0, jnp.array([0.1, 0.05, 0.025, 0.0125])
    )
    # The next order adds about h; measured at most 0.02.
    assert float(found.order) == pytest.approx(order, abs=0.05)


def test_a_ladder_that_does_not_divide_the_duration_is_refused():
    with pytest.raises(ValueError, match="`step_sizes` must divide `duration`"):
        analysis.convergence(updates.Simultaneous, lq_field(WASSERSTEIN), EQUILIBRIUM, 1.0, jnp.array([0.3, 0.1]))


def test_a_ladder_of_one_rung_is_refused():
    with pytest.raises(ValueError, match="at least two"):
        analysis.convergence(updates.Simultaneous, lq_field(WASSERSTEIN), EQUILIBRIUM, 1.0, jnp.array([0.1]))


# Invariants


def hamiltonian(y):
    return y.discriminator**2 / 2 + y.generator**2 / 4 - jnp.log(jnp.abs(y.generator)) / 2


def test_the_wasserstein_gan_keeps_its_invariant():
    orbit = flow(lq_field(WASSERSTEIN), scalars(0.5, 1.0), jnp.linspace(0.0, 50.0, 101), rtol=1e-10)
    # Measured 3e-9.
    assert float(analysis.invariant_drift(hamiltonian, orbit).largest) < 1e-7


def test_the_regularizer_lowers_the_invariant_at_the_stated_rate():
    eta = 0.5
    orbit = flow(lq_field(WASSERSTEIN, eta), scalars(0.5, 1.0), jnp.linspace(0.0, 10.0, 2001), rtol=1e-10)
    drift = analysis.invariant_drift(hamiltonian, orbit)
    fall = np.trapezoid(2 * eta / 9 * (1 - np.asarray(orbit.ys.generator) ** 2) ** 2, np.asarray(orbit.ts))
    # The trapezoidal rule's error is of the order of the spacing squared; measured 4e-7.
    assert -float(drift.change[-1]) == pytest.approx(fall, abs=1e-5)
    assert np.all(np.diff(drift.values) < 1e-9)


def test_simultaneous_steps_leave_the_circle_as_they_must():
    h = 0.1
    orbit = iterate(updates.Simultaneous(h), dirac_field(WASSERSTEIN), scalars(1.0, 0.0), 50)
    drift = analysis.invariant_drift(lambda y: y.discriminator**2 + y.generator**2, orbit)
    np.testing.assert_allclose(drift.values, (1 + h**2) ** np.arange(51), rtol=1e-12)


def test_analysis_is_embedded_in_somebody_elses_jit():
    @eqx.filter_jit
    def everything(eta):
        field = lq_field(MINIMAX, eta)
        found = analysis.find_equilibrium(field, scalars(0.1, 1.1))
        return analysis.spectrum(field, found.y)[0].real, analysis.critical_step_size(
            updates.Simultaneous, field, found.y
        )

    abscissa, critical = everything(jnp.asarray(0.3))
    assert float(abscissa) == pytest.approx(-(1 / 10 + 0.6 / 9) / 2, abs=1e-9)
    assert float(critical) == pytest.approx(1.5, abs=1e-6)


def test_how_a_state_was_written_does_not_compile_again():
    traces = []

    def counted(t, y, args):
        traces.append(t)
        return -y

    weak, strong = jnp.asarray(0.5), jnp.zeros(()) + 0.25
    assert weak.weak_type and not strong.weak_type
    for measure in (analysis.find_equilibrium, analysis.jacobian, analysis.spectrum):
        measure(counted, strong)
        compiled = len(traces)
        measure(counted, weak)
        assert len(traces) == compiled
