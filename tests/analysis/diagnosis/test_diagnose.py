"""A diagnosis against closed forms, dense linear algebra, and the treated training itself."""

import functools
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_ode import analysis, distributions, fields, games, losses, updates
from gan_ode.analysis.diagnosis import _krylov, _noise
from gan_ode.analysis.diagnosis._budget import Budget
from gan_ode.games import Players

# Closed forms of two parameters; measured 2e-15.
CLOSED = 1e-8
# A weight is found to the root of a rounding where growth is smooth in it; at a double eigenvalue growth has a kink.
# Measured 3e-9.
WEIGHT = 1e-6
# Without the matrix, relative to the norm of the Jacobian; measured 1e-10.
MATRIX_FREE = 1e-6
# In float32, of a normal matrix of norm 3.
SINGLE = 1e-4

RULES = ("alternating", "extragradient", "optimistic", "negative momentum")
WASSERSTEIN = fields.GameField(games.Dirac(losses.Wasserstein()))
MINIMAX = fields.GameField(games.LinearQuadratic(losses.Minimax()))
ORIGIN = Players(jnp.array(0.0), jnp.array(0.0))
H = 0.1


@functools.cache
def wasserstein():
    """On the Dirac-GAN, whose eigenvalues are i and -i, by simultaneous steps."""
    names = (*RULES, "R1", "gradient norm", "smaller step")
    return analysis.diagnose(WASSERSTEIN, ORIGIN, update=updates.Simultaneous(H), remedies=names)


def named(report: analysis.Diagnosis, name: str) -> analysis.Remedy:
    return next(each for each in report.remedies if each.name == name)


def test_a_wasserstein_gan_cycles_and_its_numbers_are_the_closed_forms():
    report = wasserstein()
    assert report.disease == "cycling" and report.near_equilibrium and report.complete
    np.testing.assert_allclose(report.eigenvalues, [1j], atol=CLOSED)
    np.testing.assert_allclose(report.multipliers, [1 + 1j * H], atol=CLOSED)
    assert math.isclose(report.growth_per_step, math.log(1 + H**2) / 2, rel_tol=CLOSED)
    assert math.isclose(report.period_in_steps, 2 * math.pi / math.atan(H), rel_tol=CLOSED)
    assert report.largest_step == 0 and math.isclose(report.stiffness, 1, rel_tol=CLOSED)
    assert math.isclose(report.rotation_share, 1) and report.rotation_error == 0
    assert math.isclose(report.modes[0].shares.discriminator, 0.5)
    assert report.noise.variance == 0 and report.noise.batch == 0


def test_the_remedies_are_the_closed_forms():
    report = wasserstein()
    # Growth in a step, and the largest step at which nothing grows, over the present one.
    assert abs(named(report, "alternating").growth_per_step) < CLOSED
    assert math.isclose(named(report, "alternating").largest_step, 2 / H, rel_tol=CLOSED)
    extra = named(report, "extragradient")
    assert math.isclose(extra.growth_per_step, math.log(abs(1 + 1j * H - H**2)), rel_tol=CLOSED)
    assert math.isclose(extra.largest_step, 1 / H, rel_tol=CLOSED) and extra.cost == 2
    optimistic = named(report, "optimistic")
    root = max(abs(np.roots([1, -(1 + 2j * H), 1j * H])))
    assert math.isclose(optimistic.growth_per_step, math.log(root), rel_tol=CLOSED)
    assert math.isclose(optimistic.largest_step, 1 / math.sqrt(3) / H, rel_tol=CLOSED)
    momentum = max(abs(np.roots(np.polyadd(np.polymul([1, -2, 1], [1, 0.5, 0]), [H**2, 0, 0, 0]))))
    assert math.isclose(named(report, "negative momentum").growth_per_step, math.log(momentum), rel_tol=CLOSED)
    # Both damp best where the pair becomes one real number, -1: gamma = 2, eta = 1.
    for name, weight in (("R1", 2.0), ("gradient norm", 1.0)):
        remedy = named(report, name)
        assert math.isclose(remedy.weight, weight, rel_tol=WEIGHT)
        assert math.isclose(remedy.growth_per_step, math.log(1 - H), rel_tol=math.sqrt(WEIGHT))
    assert [each.progress for each in report.remedies] == sorted((r.progress for r in report.remedies), reverse=True)


def test_the_predicted_growth_is_that_of_the_treated_training():
    for remedy in wasserstein().remedies:
        field, update = remedy.apply(WASSERSTEIN, updates.Simultaneous(H))
        radius = analysis.spectral_radius(update, field, ORIGIN)
        np.testing.assert_allclose(remedy.growth_per_step, np.log(radius), atol=CLOSED)


def test_a_step_beyond_the_critical_one_is_too_large_and_a_shorter_one_is_not():
    y = games.LinearQuadratic(losses.Minimax()).equilibrium
    # The critical step size is 0.9; the flow converges.
    long = analysis.diagnose(MINIMAX, y, update=updates.Simultaneous(1.5), remedies=["smaller step"])
    assert long.disease == "step too large"
    assert math.isclose(long.largest_step, 0.9 / 1.5, rel_tol=CLOSED)
    np.testing.assert_allclose(long.eigenvalues, [-1 / 20 + 1j * math.sqrt(391) / 60], rtol=CLOSED)
    assert long.remedies[0].growth_per_step < 0 < long.growth_per_step
    alternating = analysis.diagnose(MINIMAX, y, update=updates.Alternating(0.5), remedies=[])
    assert math.isclose(alternating.largest_step, 3 * (math.sqrt(409) - 3) / 10 / 0.5, rel_tol=CLOSED)
    np.testing.assert_allclose(
        np.sort(np.abs(alternating.multipliers)),
        np.unique(np.abs(analysis.multipliers(updates.Alternating(0.5), MINIMAX, y)).round(12)), rtol=CLOSED,
    )  # fmt: skip


# A network.


@functools.cache
def network():
    """A GAN of 189 parameters on the ring: field, state, batch."""
    d_key, g_key = jax.random.split(jax.random.key(0))
    gan = games.GAN(
        eqx.nn.MLP(2, "scalar", 12, 1, activation=jnp.tanh, key=d_key),
        eqx.nn.MLP(2, 2, 28, 1, activation=jnp.tanh, key=g_key),
        losses.Minimax(), data=distributions.Ring(), latent=distributions.Normal(2),
    )  # fmt: skip
    return fields.GameField(gan), gan.players, gan.sample(jax.random.key(1), 64)


@functools.cache
def of_network():
    field, y, batch = network()
    return analysis.diagnose(field, y, update=updates.Simultaneous(0.05), args=batch, remedies=["R1", "extragradient"])


def nearest(values: np.ndarray, dense: np.ndarray) -> float:
    return float(np.max(np.min(np.abs(values[:, None] - dense[None]), axis=1)))


def test_without_the_matrix_modes_are_those_of_the_dense_one():
    field, y, batch = network()
    report = of_network()
    assert report.method == "matrix-free" and report.complete and not report.near_equilibrium
    matrix = np.asarray(analysis.jacobian(field, y, args=batch))
    dense = np.linalg.eigvals(matrix)
    norm = np.linalg.norm(matrix, 2)
    assert nearest(report.eigenvalues, dense) < MATRIX_FREE * norm
    # None that turns or grows more was missed, and the fastest that decays is there.
    assert report.eigenvalues.imag.max() > dense.imag.max() - MATRIX_FREE * norm
    assert report.eigenvalues.real.max() > dense.real.max() - MATRIX_FREE * norm
    assert report.eigenvalues.real.min() < dense.real.min() + MATRIX_FREE * norm
    assert nearest(report.multipliers, 1 + 0.05 * dense) < MATRIX_FREE * norm
    layers = report.modes[0].layers
    assert math.isclose(sum(layers.values()), 1) and "generator.layers.0.weight" in layers
    for player, part in (("discriminator", slice(0, 49)), ("generator", slice(49, None))):
        own = np.linalg.eigvalsh(-(matrix[part, part] + matrix[part, part].T) / 2)
        found = getattr(report.curvatures, player)
        np.testing.assert_allclose([found.smallest, found.largest], own[[0, -1]], atol=MATRIX_FREE * norm)
    turning, downhill = np.sum((matrix - matrix.T) ** 2), np.sum((matrix + matrix.T) ** 2)
    assert abs(report.rotation_share - turning / (turning + downhill)) < 4 * report.rotation_error


def test_the_growth_under_a_remedy_is_in_the_treated_spectrum():
    field, y, batch = network()
    looked = [each for each in of_network().remedies if not math.isnan(each.residual)]
    assert looked
    for remedy in looked:
        dense = np.linalg.eigvals(
            np.asarray(analysis.jacobian(remedy.apply(field, updates.Simultaneous(0.05))[0], y, args=batch))
        )
        steps = 0.05 * remedy.step_factor * dense
        multipliers = 1 + steps + steps**2 if remedy.name == "extragradient" else 1 + steps
        assert np.min(np.abs(np.log(np.abs(multipliers)) - remedy.growth_per_step)) < MATRIX_FREE


@pytest.mark.slow
def test_of_two_thousand_parameters_the_modes_are_those_of_the_dense_one():
    keys = jax.random.split(jax.random.key(0), 2)
    players = [eqx.nn.MLP(2, out, width, depth, activation=jnp.tanh, key=key)
               for out, width, depth, key in (("scalar", 28, 2, keys[0]), (2, 30, 2, keys[1]))]  # fmt: skip
    gan = games.GAN(*players, losses.Minimax(), data=distributions.Ring(), latent=distributions.Normal(2))
    field, y, batch = fields.GameField(gan), gan.players, gan.sample(jax.random.key(1), 32)
    assert 1900 < len(y_flat(y)) < 2100
    report = analysis.diagnose(field, y, update=updates.Simultaneous(0.05), args=batch, remedies=[], check=False)
    matrix = np.asarray(analysis.jacobian(field, y, args=batch, check=False))
    dense, norm = np.linalg.eigvals(matrix), np.linalg.norm(matrix, 2)
    assert report.complete
    sharp = np.asarray([mode.value for mode in report.modes if mode.residual < MATRIX_FREE * norm])
    assert len(sharp) >= 5 and nearest(sharp, dense) < MATRIX_FREE * norm
    assert abs(report.eigenvalues.imag.max() - dense.imag.max()) < MATRIX_FREE * norm
    assert abs(report.eigenvalues.real.max() - dense.real.max()) < MATRIX_FREE * norm


def test_alternating_steps_without_the_matrix_are_those_of_the_dense_one():
    field, y, batch = network()
    report = analysis.diagnose(field, y, update=updates.Alternating(0.05), args=batch, remedies=[], check=False)
    matrix = np.asarray(analysis.jacobian(field, y, args=batch))
    first, second = np.eye(len(y_flat(y))), np.eye(len(y_flat(y)))
    first[:49] += 0.05 * matrix[:49]
    second[49:] += 0.05 * matrix[49:]
    dense = np.linalg.eigvals(second @ first)
    assert nearest(report.multipliers, dense) < MATRIX_FREE


def y_flat(y: Any) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(y)])


class Linear(eqx.Module):
    """y' = A y, of a state that is no pair."""

    matrix: jax.Array

    def __call__(self, t, y, args):
        return self.matrix @ y


def test_single_precision_says_the_same_and_a_state_need_not_be_a_pair():
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((100, 100)))[0]
    blocks = np.diag(-np.linspace(0.1, 3, 100))
    blocks[:2, :2] = [[-0.02, 2.0], [-2.0, -0.02]]
    for dtype, tolerance in ((jnp.float32, SINGLE), (jnp.float64, CLOSED)):
        field = Linear(jnp.asarray(turn @ blocks @ turn.T, dtype))
        report = analysis.diagnose(field, jnp.zeros(100, dtype), update=updates.Simultaneous(0.1), remedies=[])
        assert report.method == "matrix-free" and report.complete and report.near_equilibrium
        assert report.disease == "cycling" and report.curvatures is None and report.logits is None
        assert abs(report.eigenvalues[0] - (-0.02 + 2j)) < tolerance
        assert abs(report.eigenvalues.real.min() + 3) < tolerance
        assert math.isnan(report.modes[0].shares.generator) and math.isclose(sum(report.modes[0].layers.values()), 1)


def test_noise_is_unbiased_and_its_error_covers_it():
    # Velocities of single samples with a known variance: a field that is the mean of its minibatch.
    def field(t, y, args):
        return jnp.mean(args[0], axis=0) + 0 * y

    y = jnp.zeros(3)
    found = []
    for n in range(200):
        data = 0.5 + jax.random.normal(jax.random.fold_in(jax.random.key(0), n), (64, 3))
        found.append(np.asarray(_noise._velocities(field, y, data.reshape(8, 8, 3)[None].swapaxes(0, 1)), float))
    judged = [_noise._judged(np.asarray(each), 8, 64, y)[0] for each in found]
    # tr cov of a minibatch is 3/64, the squared drift 3/4.
    for name, exact in (("variance", 3 / 64), ("drift", 3 / 4)):
        values = np.array([getattr(each, name) for each in judged])
        errors = np.array([getattr(each, f"{name}_error") for each in judged])
        assert abs(values.mean() - exact) < 4 * values.std() / math.sqrt(len(values))
        assert 0.7 < errors.mean() / values.std() < 1.3
    trusted = np.median([each.trusted_batch for each in judged])
    assert 3 < trusted < 5


def test_adam_is_a_preconditioner_and_a_momentum():
    field, y, batch = network()
    update = updates.Optax(optax.adam(1e-2, b1=0.5), optax.adam(1e-2, b1=0.5), order="simultaneous")
    memory = update.init(field, y, batch)
    here = y
    for _ in range(3):
        here, memory = update.step(field, 0.0, here, batch, memory)
    report = analysis.diagnose(field, here, update=update, memory=memory, args=batch, remedies=[], check=False)
    # By hand: nu after the next step, bias corrections of its number, and mu^2 - (1 + b + (1 - b) l) mu + b = 0.
    gradient = -y_flat(field(0.0, here, batch))
    nu = np.concatenate([y_flat(memory.discriminator[0].nu), y_flat(memory.generator[0].nu)])
    nu = 0.999 * nu + 0.001 * gradient**2
    factor = 1e-2 / (np.sqrt(nu / (1 - 0.999**4)) + 1e-8) * 0.5 / (1 - 0.5**4)
    values = np.linalg.eigvals(factor[:, None] * np.asarray(analysis.jacobian(field, here, args=batch)))
    assert nearest(report.eigenvalues, values) < MATRIX_FREE * np.abs(values).max()
    roots = np.concatenate([np.roots([1, -(1.5 + value), 0.5]) for value in values])
    assert nearest(report.multipliers, roots) < MATRIX_FREE
    assert math.isclose(report.findings[0].numbers.get("rate_ratio", 1.0), 1.0, rel_tol=0.5)


# Ends, errors, and what is printed.


def test_a_small_budget_and_an_interrupt_keep_what_is_there():
    field, y, batch = network()
    short = analysis.diagnose(field, y, update=updates.Simultaneous(0.05), args=batch, budget=60, remedies=[])
    assert not short.complete and short.noise.variance > 0 and short.logits is not None and not short.modes
    assert short.num_evaluations <= 120 and repr(short)

    def stop(done: int, total: int) -> None:
        if done > 100:
            raise KeyboardInterrupt

    stopped = analysis.diagnose(field, y, update=updates.Simultaneous(0.05), args=batch, progress=stop, remedies=[])
    assert not stopped.complete and stopped.noise.variance > 0


def test_the_report_fits_a_screen_and_the_dataset_goes_to_netcdf(tmp_path):
    for report in (wasserstein(), of_network()):
        lines = repr(report).splitlines()
        assert len(lines) <= 40 and max(map(len, lines)) <= 100
        assert lines[0].startswith(f"{report.disease}: ")
        assert report._repr_html_().startswith("<pre>") or "<table>" in report._repr_html_()
        report.dataset.to_netcdf(tmp_path / "diagnosis.nc")
        import xarray

        with xarray.open_dataset(tmp_path / "diagnosis.nc") as again:
            assert again.attrs["disease"] == report.disease
            np.testing.assert_array_equal(again.mode_real, report.eigenvalues.real)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"field": WASSERSTEIN.game}, "`field` must be a field, but is the game Dirac"),
        ({"update": updates.Simultaneous}, "`update` must be a rule from .*, but is the class Simultaneous"),
        ({"update": None}, "`update` must be the rule that trains the state, but is None"),
        ({"y": Players(jnp.zeros(2), jnp.zeros(()))}, "`y"),
        ({"y": jnp.zeros(2)}, "`y` must be"),
        ({"y": Players(jnp.array(jnp.nan), jnp.array(0.0))}, "`y"),
        ({"remedies": "R1"}, "`remedies` must be a list of names"),
        ({"remedies": ["R3"]}, "`remedies` must be"),
        ({"memory": jnp.zeros(3)}, "`memory` must be what Simultaneous remembers"),
        ({"budget": 0}, "`budget` must be"),
    ],
)
def test_wrong_input_is_refused_by_name(changed, named):
    given = {"field": WASSERSTEIN, "y": ORIGIN, "update": updates.Simultaneous(H), "remedies": []} | changed
    with pytest.raises(ValueError, match=named):
        analysis.diagnose(given.pop("field"), given.pop("y"), **given)


def test_a_gan_without_a_minibatch_is_refused_by_name():
    field, y, _ = network()
    with pytest.raises(ValueError, match="`args` must be a minibatch"):
        analysis.diagnose(field, y, update=updates.Simultaneous(H))


def test_the_searches_find_a_spectrum_that_needs_restarts():
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((150, 150)))[0]
    blocks = np.diag(-np.linspace(0.1, 3, 150))
    blocks[:2, :2] = [[0.2, 2.0], [-2.0, 0.2]]
    matrix = turn @ blocks @ turn.T
    start = _krylov.space(matrix.__matmul__, 150, subspace=20, eps=2e-16)
    found = _krylov.leading(matrix.__matmul__, 2, np.real, start=start, tol=1e-8, eps=2e-16, most=2000)
    np.testing.assert_allclose(found.values[:2].imag, [2.0, -2.0], rtol=1e-6)
    residual = matrix @ found.vectors - found.vectors * found.values
    assert np.all(np.linalg.norm(residual, axis=0) <= 1.1 * found.residuals + 1e-12)


def test_minibatches_of_two_samples_are_measured():
    field, y, _ = network()

    def batches(n):
        return field.game.sample(jax.random.key(n), 2)

    found, _ = _noise.noise(field, y, batches(0), batches, Budget(100, lambda used: None))
    assert found.batch == 2 and found.variance > 0


@pytest.mark.parametrize("name", ["optimistic", "negative momentum"])
def test_a_rule_on_top_of_an_optimizer_does_what_its_plain_twin_is_predicted_to_do(name):
    sgd = updates.Optax(optax.sgd(H), optax.sgd(H), order="simultaneous")
    (on_top,), (plain,) = (
        analysis.diagnose(WASSERSTEIN, ORIGIN, update=update, remedies=[name]).remedies
        for update in (sgd, updates.Simultaneous(H))
    )
    assert on_top.growth_per_step == pytest.approx(plain.growth_per_step, abs=CLOSED)
    # And so does the update that is offered, when it is run.
    assert on_top.update is not None
    radius = analysis.spectral_radius(on_top.update, WASSERSTEIN, ORIGIN)
    assert np.log(float(radius)) == pytest.approx(on_top.growth_per_step, abs=CLOSED)


def test_rates_that_differ_too_much_are_made_equal_whatever_the_modes_say():
    field = fields.GameField(games.LinearQuadratic(losses.Minimax()), rates=Players(10.0, 0.5))
    y = Players(jnp.array(1.0), jnp.array(0.3))
    report = analysis.diagnose(field, y, update=updates.Simultaneous(1e-3), remedies=["R1", "ratio of rates"])
    assert report.disease == "discriminator too fast"
    first = report.remedies[0]
    assert first.name == "ratio of rates" and first.weight == pytest.approx(0.5 / 10)
    # Their product stays.
    rates = first.field.rates
    assert float(rates.discriminator) == pytest.approx(5**0.5) == pytest.approx(float(rates.generator))
