"""Verdicts, on the cases where loose evidence misleads."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_ode import analysis, fields, games, losses, regularizers, updates
from gan_ode.games import Players

# The period of the closed orbit through (0.5, 1), by quadrature along the invariant; measured 4e-10.
PERIOD, PERIOD_ERROR = 9.8210374784, 1e-6


def lq_field(loss, eta=0.0, **options):
    game = games.LinearQuadratic(loss, **options)
    return fields.GameField(regularizers.Penalized(game, regularizers.GradientNorm(eta)))


def scalars(d, g):
    return Players(jnp.asarray(d, float), jnp.asarray(g, float))


def hamiltonian(y):
    return y.discriminator**2 / 2 + y.generator**2 / 4 - jnp.log(jnp.abs(y.generator)) / 2


START = scalars(0.5, 1.0)
MINIMAX, WASSERSTEIN = losses.Minimax(), losses.Wasserstein()


def test_the_wasserstein_gan_cycles_with_its_period():
    verdict = analysis.classify(lq_field(WASSERSTEIN), START, invariant=hamiltonian)
    assert verdict.kind == "cycles"
    assert verdict.period == pytest.approx(PERIOD, abs=PERIOD_ERROR)
    # Over 600 units of time at a tolerance of 1e-9; measured 3e-8.
    assert verdict.invariant_drift < 1e-5


@pytest.mark.parametrize("solver", [diffrax.Kvaerno5(), diffrax.Tsit5()])
def test_a_loose_solver_does_not_make_the_cycle_look_convergent(solver):
    assert analysis.classify(lq_field(WASSERSTEIN), START, solver=solver, rtol=1e-3).kind == "cycles"


@pytest.mark.parametrize(("loss", "eta"), [(WASSERSTEIN, 0.5), (MINIMAX, 0.0)])
def test_the_regularized_and_the_usual_gan_converge_to_the_data(loss, eta):
    verdict = analysis.classify(lq_field(loss, eta), START)
    assert verdict.kind == "converges"
    assert float(verdict.equilibrium.y.generator) == pytest.approx(1.0, abs=1e-9)
    assert np.max(verdict.eigenvalues.real) < 0


def test_an_algebraic_tail_converges_though_its_linear_part_is_a_center():
    verdict = analysis.classify(fields.GameField(games.Dirac(losses.NonSaturating())), scalars(1.0, 1.0))
    assert verdict.kind == "converges" and verdict.rate < 0


def test_a_slow_field_followed_too_briefly_is_undecided():
    assert analysis.classify(lambda t, y, args: -1e-7 * y, jnp.asarray(1.0), duration=100.0).kind == "undecided"


def test_passing_by_a_saddle_is_not_convergence():
    # From (1e-9, 1) the orbit comes within 1e-5 of the saddle at the origin before it leaves.
    field = lambda t, y, args: jnp.array([y[0], -y[1]])  # noqa: E731
    assert analysis.classify(field, jnp.array([1e-12, 1.0]), duration=16.0).kind == "undecided"


def test_slow_spirals_are_told_from_cycles():
    def spiral(rate):
        return lambda t, y, args: jnp.array([[rate, 1.0], [-1.0, rate]]) @ y

    start = jnp.array([1.0, 0.0])
    assert analysis.classify(spiral(-5e-4), start).kind == "converges"
    assert analysis.classify(spiral(5e-4), start).kind == "diverges"


def test_a_line_of_equilibria_is_recognized():
    field = lq_field(MINIMAX, 0.5, linear=True, quadratic=False, offset=True)
    verdict = analysis.classify(field, Players(jnp.asarray(0.3), jnp.array([1.2, 0.4])))
    assert verdict.kind == "converges" and "continuum" in verdict.reason


def test_an_orbit_with_two_frequencies_cycles_without_closing():
    field = lambda t, y, args: jnp.array([y[1], -y[0], jnp.sqrt(2.0) * y[3], -jnp.sqrt(2.0) * y[2]])  # noqa: E731
    verdict = analysis.classify(field, jnp.array([1.0, 0.0, 1.0, 0.0]))
    assert verdict.kind == "cycles" and "without closing" in verdict.reason


def test_a_small_orbit_is_followed_finely_enough():
    assert analysis.classify(lq_field(MINIMAX), scalars(1e-3, 1.0)).kind == "converges"


def test_a_blow_up_diverges_at_its_time():
    verdict = analysis.classify(lambda t, y, args: y**2, jnp.asarray(1.0))
    assert verdict.kind == "diverges" and verdict.duration == pytest.approx(1.0, abs=1e-6)


def test_float32_is_enough_for_the_main_verdicts():
    start = Players(jnp.float32(0.5), jnp.float32(1.0))
    assert analysis.classify(lq_field(WASSERSTEIN), start).kind == "cycles"
    assert analysis.classify(lq_field(WASSERSTEIN, 0.5), start).kind == "converges"


@pytest.mark.parametrize(
    ("loss", "update", "kind"),
    [
        (WASSERSTEIN, updates.Simultaneous(0.1), "diverges"),
        (WASSERSTEIN, updates.Alternating(0.1), "cycles"),
        (WASSERSTEIN, updates.Extragradient(0.1), "converges"),
        (MINIMAX, updates.Simultaneous(0.1), "converges"),
        (MINIMAX, updates.Simultaneous(0.95), "cycles"),
    ],
)
def test_updates_do_what_theory_says(loss, update, kind):
    assert analysis.classify(lq_field(loss), START, update=update).kind == kind


def test_a_verdict_needs_concrete_values():
    with pytest.raises(ValueError, match=r"outside `jax.jit`"):
        jax.jit(lambda w: analysis.classify(lq_field(WASSERSTEIN), Players(w, w)).rate)(1.0)


def test_an_update_with_memory_is_judged_too():
    adam = optax.adam(0.02, b1=0.5)
    verdict = analysis.classify(lq_field(MINIMAX, 0.5), START, update=updates.Optax(adam, adam), duration=400.0)
    assert verdict.kind in ("converges", "cycles", "undecided") and verdict.tolerances == ()
