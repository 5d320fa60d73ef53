"""What `find_equilibrium` returns is taken wherever a state is."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_ode import analysis, flow, games, iterate, losses, simulate, updates
from gan_ode.games import Players

ETA = 0.5
GAME = games.LinearQuadratic(losses.Minimax())


def family(eta):
    """A field of few operations, since every question compiles: the regularized Wasserstein GAN, by its closed form."""

    def field(t, y, args):
        w, a = y.discriminator, y.generator
        return Players((1 - a**2) / 3 - w / 5, 2 * w * a / 3 + 4 * eta * a * (1 - a**2) / 9)

    return field


FIELD = family(ETA)
RULE, UPDATE = updates.Simultaneous, updates.Simultaneous(0.1)
SPAN = jnp.array([0.0, 1.0])
ETAS, SIZES = jnp.linspace(0.2, 1.0, 5), jnp.array([0.1, 0.2])

QUESTIONS = {
    "jacobian": lambda y: analysis.jacobian(FIELD, y),
    "spectrum": lambda y: analysis.spectrum(FIELD, y),
    "inspect": lambda y: analysis.inspect(FIELD, y),
    "multipliers": lambda y: analysis.multipliers(UPDATE, FIELD, y),
    "step_jacobian": lambda y: analysis.jacobian(FIELD, y, update=UPDATE),
    "spectral_radius": lambda y: analysis.spectral_radius(UPDATE, FIELD, y),
    "step_period": lambda y: analysis.step_period(UPDATE, FIELD, y),
    "critical_step_size": lambda y: analysis.critical_step_size(RULE, FIELD, y),
    "optimal_step_size": lambda y: analysis.optimal_step_size(RULE, FIELD, y),
    "bifurcation": lambda y: analysis.bifurcation(RULE, FIELD, y),
    "stability_map": lambda y: analysis.stability_map(RULE, family, ETAS, SIZES, y),
    "critical_curve": lambda y: analysis.critical_curve(RULE, family, ETAS, y),
    "orbit_diagram": lambda y: analysis.orbit_diagram(RULE, FIELD, y, SIZES, num_transient=0, num_kept=64).values,
    "leading_eigenvalues": lambda y: analysis.leading_eigenvalues(FIELD, y, 2),
    "leading_multipliers": lambda y: analysis.leading_eigenvalues(FIELD, y, 2, update=UPDATE),
    "stiffness": lambda y: analysis.stiffness(FIELD, y, 2),
    "eigenvalue_branches": lambda y: analysis.eigenvalue_branches(family, ETAS, y),
    "critical_parameter": lambda y: analysis.critical_parameter(family, 0.5, 6.0, y, kind="collision"),
    "critical_parameters": lambda y: [each.value for each in analysis.critical_parameters(family, ETAS, y)],
    "optimal_parameter": lambda y: analysis.optimal_parameter(family, ETAS, y),
    "lyapunov_exponents": lambda y: analysis.lyapunov_exponents(FIELD, y, 10.0).exponents,
    "find_equilibrium": lambda y: analysis.find_equilibrium(FIELD, y).y,
    "flow": lambda y: flow(FIELD, y, SPAN).ys,
    "iterate": lambda y: iterate(UPDATE, FIELD, y, num_steps=2).ys,
    "ensemble": lambda y: simulate.ensemble(FIELD, jax.tree.map(lambda leaf: jnp.stack([leaf]), y), SPAN).ys,
    "classify": lambda y: analysis.classify(FIELD, y).rate,
    "find_periodic_orbit": lambda y: analysis.find_periodic_orbit(FIELD, y, throw=False).period,
    "basin": lambda y: analysis.basin(FIELD, jax.tree.map(lambda leaf: jnp.stack([leaf]), y), 5.0).time,
    "assumptions": lambda y: analysis.theory.assumptions(GAME, y).eigenvalues,
}


@functools.cache
def equilibrium():
    return analysis.find_equilibrium(FIELD, Players(jnp.asarray(0.1), jnp.asarray(0.8)))


def same(one, other):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_equilibrium_stands_for_its_state(question):
    ask = QUESTIONS[question]
    same(ask(equilibrium()), ask(equilibrium().y))


def test_an_equilibrium_stands_for_its_state_under_transformations():
    together = jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf)] * 2), equilibrium())
    radii = jax.jit(jax.vmap(lambda at: analysis.spectral_radius(UPDATE, FIELD, at)))(together)
    np.testing.assert_allclose(radii, float(analysis.spectral_radius(UPDATE, FIELD, equilibrium().y)), rtol=1e-14)


@pytest.mark.parametrize("of", [analysis.eigenvalue_branches, analysis.optimal_parameter])
def test_a_function_to_an_equilibrium_is_one_to_its_state(of):
    def at(eta):
        return analysis.find_equilibrium(family(eta), Players(jnp.asarray(0.0), jnp.asarray(1.0)), throw=False)

    same(of(family, ETAS, at), of(family, ETAS, lambda eta: at(eta).y))


def test_each_of_several_equilibria_is_of_the_same_class_and_stands_for_its_state():
    starts = Players(jnp.array([0.1, -0.1]), jnp.array([0.8, -0.9]))
    for found in analysis.find_equilibria(FIELD, starts):
        assert type(found) is type(equilibrium()) and bool(found.found) and bool(found.inspection.smooth)
        np.testing.assert_allclose(analysis.spectrum(FIELD, found), found.eigenvalues, rtol=1e-12)
        assert abs(float(found.y.generator)) == pytest.approx(1.0, abs=1e-12)
