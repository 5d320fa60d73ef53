"""The field of a clipped discriminator: its flow slides along the border, in closed form, without going to and fro."""

import equinox as eqx
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import scipy.integrate

from gan_ode import flow, games, iterate, losses, simulate, updates
from gan_ode.fields import GameField
from gan_ode.games import Players
from gan_ode.regularizers import Projected
from tests.catalogue import flat, players

# At the default tolerance of 1e-8 a step ends past the border by some ten times as much; measured 2.3e-7 in a box.
BOX = 2e-6
# As thick as the border is, 6e-6 of the bound; measured 1.1e-6.
BALL = 6e-6
BOUND = 0.5
TS = jnp.linspace(0.0, 12.0, 61)
WASSERSTEIN = GameField(games.Dirac(losses.Wasserstein()))


def rotation(t, y, args):
    """Two rotations of unit frequency, side by side."""
    return Players(y.generator, -y.discriminator)


def clipped_turn(t, bound=BOUND):
    """From (0, 1): turns to psi = c, slides while theta falls at the rate c, and turns with the radius c for ever."""
    reached = np.arcsin(bound)
    left = reached + np.cos(reached) / bound
    sliding = np.cos(reached) - bound * (t - reached)
    psi = np.where(t < reached, np.sin(t), np.where(t < left, bound, bound * np.cos(t - left)))
    theta = np.where(t < reached, np.cos(t), np.where(t < left, sliding, -bound * np.sin(t - left)))
    return psi, theta


def test_the_clipped_dirac_wasserstein_gan_slides_and_then_keeps_cycling_in_closed_form():
    orbit = flow(Projected(WASSERSTEIN, BOUND), players(0.0, 1.0), TS)
    psi, theta = clipped_turn(np.asarray(TS))
    np.testing.assert_allclose(orbit.ys.discriminator, psi, rtol=0, atol=BOX)
    np.testing.assert_allclose(orbit.ys.generator, theta, rtol=0, atol=BOX)
    # It reaches the border once by a jump; measured 40 rejected of 140.
    assert orbit.stats["num_rejected_steps"] < 80
    assert orbit.stats["num_accepted_steps"] < 200


def test_in_a_ball_one_direction_is_clipped_as_one_number_is():
    direction = np.array([0.6, 0.8])
    orbit = flow(Projected(rotation, BOUND, "ball"), Players(jnp.zeros(2), jnp.asarray(direction)), TS)
    psi, theta = clipped_turn(np.asarray(TS))
    np.testing.assert_allclose(orbit.ys.discriminator, np.outer(psi, direction), rtol=0, atol=BALL)
    np.testing.assert_allclose(orbit.ys.generator, np.outer(theta, direction), rtol=0, atol=BALL)
    assert orbit.stats["num_rejected_steps"] < 80


def driven(t, y, args):
    """Pulled toward a point that goes around, at the angle g."""
    toward = jnp.stack([jnp.cos(y.generator), jnp.sin(y.generator)])
    return Players(toward - 0.2 * y.discriminator, 0.7 * jnp.ones_like(y.generator))


def test_along_a_curved_border_a_state_slides_by_the_equation_of_its_angle_and_does_not_chatter():
    # u = c (cos p, sin p): only the part across counts, c p' = sin(g - p).
    ts = jnp.linspace(0.0, 20.0, 41)
    orbit = flow(Projected(driven, BOUND, "ball"), players([BOUND, 0.0], 0.3), ts)
    angle = scipy.integrate.solve_ivp(
        lambda t, p: np.sin(0.3 + 0.7 * t - p) / BOUND, (0, 20), [0.0], t_eval=np.asarray(ts), rtol=1e-11, atol=1e-11
    ).y[0]
    expected = BOUND * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    np.testing.assert_allclose(orbit.ys.discriminator, expected, rtol=0, atol=BALL)
    # With the border a line and not a layer it was thousands.
    assert orbit.stats["num_steps"] < 1200


def test_steps_that_are_clipped_come_to_the_projected_flow():
    @eqx.filter_jit
    def end(h, num_steps):
        return iterate(updates.Clipped(updates.Simultaneous(h), BOUND), WASSERSTEIN, players(0.0, 1.0), num_steps)

    psi, theta = clipped_turn(2.0)
    far, near = (
        np.linalg.norm(flat(end(jnp.asarray(2 / num), num).final_state) - [psi, theta]) for num in (1000, 2000)
    )
    # Of first order, but for where in a step the border is met.
    assert 1.7 < far / near < 2.3
    assert near < 2e-3


def test_an_ensemble_of_clipped_wgans_ends_on_circles_within_the_box():
    starts = players([0.0, 0.0, 0.7], [0.3, 2.0, 0.5])
    ends = simulate.ensemble(Projected(WASSERSTEIN, BOUND), starts, jnp.array([0.0, 20.0]))
    radii = np.hypot(ends.final_state.discriminator, ends.final_state.generator)
    # What starts within the circle keeps its radius.
    np.testing.assert_allclose(radii, [0.3, BOUND, BOUND], rtol=0, atol=10 * BOX)


@pytest.mark.parametrize("shape", ["box", "ball"])
def test_in_single_precision_the_border_holds_to_single_precision(shape):
    start = Players(jnp.zeros(2, jnp.float32), jnp.array([1.0, 0.0], jnp.float32))
    orbit = flow(Projected(rotation, BOUND, shape), start, jnp.linspace(0.0, 10.0, 11, dtype=jnp.float32))
    assert orbit.ys.discriminator.dtype == jnp.float32
    # A thousandth, by steps of a tolerance of 1e-5; measured 6e-4.
    np.testing.assert_allclose(orbit.ys.discriminator[:, 0], clipped_turn(np.linspace(0, 10, 11))[0], rtol=0, atol=6e-3)


def test_a_margin_of_ones_own_is_how_far_the_border_reaches_inward():
    just_within = players([0.995 * BOUND, 0.0], [1.0, 0.0])
    held = Projected(rotation, BOUND, "ball", margin=0.01)(0.0, just_within)
    free = Projected(rotation, BOUND, "ball", margin=0.001)(0.0, just_within)
    # Within the margin it moves gently to the border, at the speed over the radius.
    np.testing.assert_allclose(held.discriminator, [0.005, 0.0], rtol=1e-12)
    np.testing.assert_allclose(free.discriminator, [1.0, 0.0], rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Projected(rotation, 0.0), "`bound` must be above 0 and finite, but is 0"),
        (lambda: Projected(rotation, 1.0, "cube"), "`shape` must be one of 'box', 'ball', but is 'cube'"),
        (lambda: Projected(rotation, 1.0, "ball", margin=0.0), "`margin` must be above 0 and finite, but is 0"),
        (lambda: Projected(rotation, 1.0)(0.0, jnp.zeros(2)), "`y` must be `games.Players` for `Projected`"),
    ],
)
def test_what_cannot_work_is_refused_with_its_name(make, message, monkeypatch):
    # Users run without type checks.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        make()
