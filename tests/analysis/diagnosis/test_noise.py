"""Noise of minibatches: how far it carries samples, and what it does to an eigenvalue, beside closed forms."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_ode import distributions, fields, games, losses, updates
from gan_ode.analysis.diagnosis import _jitter, _sampling, _thresholds, DISEASES
from gan_ode.analysis.diagnosis._budget import Budget
from gan_ode.analysis.diagnosis._findings import Evidence, findings
from gan_ode.analysis.diagnosis._products import Jacobian
from gan_ode.analysis.diagnosis._result import Mode, Noise
from gan_ode.games import Players

# A variance of so many draws is off by a twentieth; half of that in its root, and as much again in what was drawn.
RUNS, ROUGHLY = 400, 0.15
STEPS, BATCH, RATE, SLOPE = 30, 8, 0.05, 0.7


def walk() -> tuple[fields.GameField, Players]:
    """D(x) = s x with a slope that stands still, and G(z) = a z: with latent points of mean 0, a walks at random."""
    gan = games.from_apply(
        lambda slope, x: slope * x[0], lambda weight, z: weight * z, losses.Wasserstein(),
        discriminator_params=jnp.asarray(SLOPE), generator_params=jnp.asarray(0.0),
        data=distributions.Normal(1), latent=distributions.Normal(1),
    )  # fmt: skip
    return fields.GameField(gan, rates=Players(0.0, 1.0)), Players(jnp.asarray(SLOPE), jnp.asarray(0.0))


def minibatch(n):
    key = jax.random.key(n)
    return jax.random.normal(key, (BATCH, 1)) * 2.0, jax.random.normal(jax.random.fold_in(key, 1), (BATCH, 1))


def test_noise_carries_samples_as_far_as_a_random_walk_goes(monkeypatch):
    monkeypatch.setattr(_thresholds, "JITTER_RUNS", RUNS)
    monkeypatch.setattr(_thresholds, "JITTER_STEPS", STEPS)
    field, y = walk()
    budget = Budget(10**9, lambda used: None)
    found, error = _jitter.jitter(
        field.game, field, y, updates.Simultaneous(RATE), None, minibatch(0), minibatch, jax.random.key(5), budget
    )  # fmt: skip
    pool = [minibatch(n) for n in range(64)]
    drawn = np.concatenate([np.asarray(latent)[:, 0] for _, latent in pool])[:256]
    data = np.concatenate([np.asarray(part)[:, 0] for part, _ in pool])[:256]
    # A step adds RATE * SLOPE * the mean of the latent points, which is one of 64.
    of_a_step = RATE * SLOPE * np.std([np.mean(np.asarray(latent)) for _, latent in pool])
    expected = np.sqrt(STEPS * np.mean(drawn**2)) * of_a_step / np.std(data)
    assert found == pytest.approx(expected, rel=ROUGHLY)
    assert error < ROUGHLY * found
    assert budget.used == RUNS * STEPS


def test_rows_of_the_only_minibatch_stand_for_others(monkeypatch):
    monkeypatch.setattr(_thresholds, "JITTER_RUNS", RUNS)
    monkeypatch.setattr(_thresholds, "JITTER_STEPS", STEPS)
    field, y = walk()
    data, latent = minibatch(3)
    found, _ = _jitter.jitter(
        field.game, field, y, updates.Simultaneous(RATE), None, (data, latent), None, jax.random.key(5),
        Budget(10**9, lambda used: None),
    )  # fmt: skip
    latent = np.asarray(latent)
    # The mean of as many rows drawn with replacement varies by their own variance over their number.
    of_a_step = RATE * SLOPE * np.sqrt(np.var(latent) / BATCH)
    assert found == pytest.approx(
        np.sqrt(STEPS * np.mean(latent**2)) * of_a_step / np.std(np.asarray(data)), rel=ROUGHLY
    )


def test_a_game_without_samples_and_one_without_noise_have_no_jitter():
    field, y = walk()
    budget, rule, key = Budget(1000, lambda used: None), updates.Simultaneous(RATE), jax.random.key(0)
    assert np.isnan(_jitter.jitter(None, field, y, rule, None, minibatch(0), None, key, budget)[0])
    assert np.isnan(_jitter.jitter(field.game, field, y, rule, None, None, None, key, budget)[0])
    assert budget.used == 0


class NoisySpiral(eqx.Module):
    """A rotation whose damping is a mean over rows; with a scale on each number."""

    scale: jax.Array

    def __call__(self, t, y, args):
        damping = jnp.mean(args[0])
        return jnp.stack([-damping * y[0] - y[1], y[0] - damping * y[1]]) + 0.0 * jnp.mean(args[1])


def test_the_error_of_a_damping_is_that_of_the_mean_over_rows(monkeypatch):
    monkeypatch.setattr(_thresholds, "NUM_PARTS", RUNS)
    rows = 0.3 + 0.1 * np.asarray(jax.random.normal(jax.random.key(1), (50,)))
    # In the metric of the scale the matrix is normal, which it is not as it stands.
    scale = np.array([4.0, 4.0])
    jacobian = Jacobian(
        NoisySpiral(jnp.ones(2)), jnp.zeros(2), (jnp.asarray(rows), jnp.asarray(rows)), scale,
        Budget(10**9, lambda used: None), None,
    )  # fmt: skip
    vector = np.array([1.0, -1j]) / np.sqrt(2)
    found = _sampling.error_of_mode(jacobian, vector, jax.random.key(2))
    assert found == pytest.approx(4.0 * np.std(rows) / np.sqrt(50), rel=ROUGHLY)


SPIRAL = Mode("field", -0.3 + 1j, complex("nan"), 0.0, "spirals", Players(0.5, 0.5), {})
QUIET = Evidence(
    modes=(SPIRAL,), step_modes=(dataclasses.replace(SPIRAL, of="update", rate=-0.3 + 1j),), largest_step=3.0,
    decays_in_flow=True, growth_in_flow=0.0, fastest=0.5, near_equilibrium=True, horizon=np.inf,
    noise=Noise(variance=4.0, drift=1.0, batch=64, trusted_batch=256.0, jitter=0.5),
)  # fmt: skip


def strength(seen: Evidence, disease: DISEASES) -> float:
    (found,) = (each for each in findings(seen) if each.disease == disease)
    return found.strength


def test_a_batch_is_too_small_where_noise_carries_samples_far_and_nothing_else_is_found():
    assert strength(QUIET, DISEASES.batch_too_small) == pytest.approx(0.5 / 0.25)
    # Of a step that is too large noise grows, too: its ratio to the drift remains.
    blown_up = dataclasses.replace(QUIET, largest_step=0.5)
    assert strength(blown_up, DISEASES.batch_too_small) == pytest.approx(4 / 30)


def test_steps_are_too_large_where_noise_carries_samples_far_although_the_batch_suffices():
    def of(trusted_batch, jitter=0.5):
        seen = dataclasses.replace(
            QUIET,
            noise=Noise(4.0, drift=1.0, drift_error=0.1, batch=64, trusted_batch=trusted_batch, jitter=jitter),
        )
        return strength(seen, DISEASES.step_too_large), strength(seen, DISEASES.batch_too_small)

    largest = 0.9 / 3.0  # of the modes alone
    assert of(3.0) == pytest.approx((0.5 / 0.25, 3 / 64 / 30))
    assert of(63.0)[0] == pytest.approx(2.0) and of(65.0) == pytest.approx((largest, 2.0))
    # What noise does where the drift does not show says nothing of the steps.
    assert of(float("inf"))[0] == of(float("nan"))[0] == of(3.0, jitter=0.2)[0] == pytest.approx(largest)


def test_a_rotation_whose_damping_is_not_known_well_enough_is_open():
    slow = dataclasses.replace(SPIRAL, value=-0.05 + 1j)
    seen = dataclasses.replace(
        QUIET, modes=(slow,), step_modes=(dataclasses.replace(slow, of="update", rate=-0.05 + 1j),)
    )
    assert strength(seen, DISEASES.cycling) == pytest.approx(0.1 / 0.05)
    assert np.isnan(strength(dataclasses.replace(seen, damping_error=0.06), DISEASES.cycling))


def test_as_many_minibatches_are_drawn_as_there_are_and_as_memory_suffices_for():
    few = [minibatch(n) for n in range(10)]
    assert len(_jitter._drawn(few.__getitem__)) == 10
    assert len(_jitter._drawn(minibatch)) == 64
    large = (np.zeros((1000, 1)), np.zeros((1000, 1)))
    assert len(_jitter._drawn(lambda n: large)) == 16


def test_where_the_scale_is_no_metric_the_error_of_a_damping_is_not_known():
    rows = jnp.linspace(0.1, 0.5, 20)
    jacobian = Jacobian(
        NoisySpiral(jnp.ones(2)), jnp.zeros(2), (rows, rows), np.array([4.0, 0.0]), Budget(100, lambda used: None), None
    )
    assert np.isnan(_sampling.error_of_mode(jacobian, np.array([1.0, -1j]), jax.random.key(2)))
