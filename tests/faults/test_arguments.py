"""Odd numbers for arguments: one line that names the argument, what it is, and the remedy; nothing runs for hours."""

from typing import Any

import diffrax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from gan_ode import _checks, analysis, flow, games, iterate, noise, regularizers, simulate, updates

TS = jnp.linspace(0.0, 1.0, 3)
H = updates.Simultaneous(0.1)


def decay(t: Any, y: Any, args: Any) -> Any:
    return -y


def followed(y0: Any = 1.0, ts: Any = TS, **options: Any) -> Any:
    """By `flow` and by `ensemble`, which must say the same; the latter's word is compared."""
    texts = []
    for follow, start in ((flow, y0), (simulate.ensemble, jnp.ones((2, *jnp.shape(y0))))):
        with pytest.raises(ValueError) as error:
            follow(decay, start, ts, **options)
        texts.append(str(error.value).replace("y0s", "y0"))
    assert texts[0] == texts[1] or "y0" in texts[0]
    raise ValueError(texts[0])


def stepped(num_steps: Any, **options: Any) -> Any:
    return iterate(H, decay, jnp.ones(2), num_steps, **options)


WRONG = {
    "rtol of ten": (lambda: followed(rtol=10.0), "`rtol` must be below 1, but is 10: .* 1e-8 is usual"),
    "rtol in quotes": (lambda: followed(rtol="1e-3"), "`rtol` must be made of real numbers, but is '1e-3'"),
    "rtol of None's kind": (lambda: followed(rtol=object), "`rtol` must be made of real numbers, but is <class"),
    "complex rtol": (lambda: followed(rtol=1e-3j), "`rtol` must be real, but is complex128"),
    "vector atol": (
        lambda: followed(atol=jnp.array([1e-3, 1e-4])),
        r"`atol` must be one number, but has shape \(2,\): .* `stepsize_controller=diffrax.PIDController",
    ),
    "list of rtol": (lambda: followed(rtol=[1e-3]), r"`rtol` must be one number, but has shape \(1,\)"),
    "tiny steps": (
        lambda: followed(step_size=1e-30),
        r"`step_size` must be at least 1.9e-09 .* but is 1e-30: .* `rtol`",
    ),
    "steps below the resolution of time": (
        lambda: followed(ts=1e10 + TS, step_size=1e-6),
        "`step_size` must be at least 2.2e-06 for times to 1e[+]10 in float64, but is 1e-06",
    ),
    "step in quotes": (lambda: followed(step_size="0.5"), "`step_size` must be made of real numbers, but is '0.5'"),
    "first step in quotes": (lambda: followed(dt0="a"), "`dt0` must be made of real numbers, but is 'a'"),
    "times in quotes": (lambda: followed(ts="abc"), "`ts` must be made of real numbers, but is 'abc'"),
    "times of words": (lambda: followed(ts=["0", "1"]), r"`ts` must be made of real numbers, but is \['0', '1'\]"),
    "many steps at most": (
        lambda: followed(max_steps=10**20),
        "`max_steps` must be at most 2,147,483,647, but is 1000",
    ),
    "no entries": (lambda: followed(y0=jnp.zeros(0)), r"`y0` must hold at least one number, but .* shapes \(0,\)"),
    "no leaves": (lambda: flow(decay, (), TS), "`y0` must hold at least one array, but has no leaves"),
    "no entries to iterate": (
        lambda: iterate(H, decay, (jnp.zeros(0), jnp.zeros((0, 2))), 2),
        r"`y0` must hold at least one number, but all its arrays are empty, of the shapes \(0,\), \(0, 2\)",
    ),
    "steps as a float": (lambda: stepped(1e20), r"`num_steps` must be a whole number, but is 1e\+20"),
    "many steps": (
        lambda: stepped(10**20, save_every=10**20),
        "`num_steps` must be at most 2,147,483,647, but is 1000",
    ),
    "many steps in segments": (
        lambda: stepped(10**20, save_every=10**19, progress=lambda n, num_steps: None),
        "`num_steps` must be at most 2,147,483,647",
    ),
    "a rule's step in quotes": (lambda: updates.Simultaneous("0.1"), "`step_size` must be made of real numbers"),
    "a rule's step of None": (lambda: updates.Extragradient(None), "`step_size` must be made of real .* but is None"),
    "a complex step": (lambda: updates.HeavyBall(0.1j, 0.5), "`step_size` must be real, but is complex"),
    "a weight in quotes": (
        lambda: regularizers.GradientNorm("0.5"),
        "`eta` must be made of real numbers, but is '0.5'",
    ),
    "a loss in quotes": (
        lambda: games.LinearQuadratic("wasserstein"),
        r"`loss` must be one of `gan_ode.losses`, but is 'wasserstein': for example `losses.Wasserstein\(\)`",
    ),
    "an equilibrium's rtol in quotes": (
        lambda: analysis.find_equilibrium(decay, jnp.ones(2), rtol="1e-3"),
        "`rtol` must be made of real numbers, but is '1e-3'",
    ),
    "an equilibrium's vector atol": (
        lambda: analysis.find_equilibria(decay, jnp.ones((3, 2)), atol=jnp.ones(2)),
        r"`atol` must be one number, but has shape \(2,\)",
    ),
    "an equilibrium's many steps": (
        lambda: analysis.find_equilibrium(decay, jnp.ones(2), max_steps=10**20),
        "`max_steps` must be at most 2,147,483,647",
    ),
    "a verdict's rtol of ten": (
        lambda: analysis.classify(decay, jnp.ones(2), rtol=10.0),
        "`rtol` must be above 0 and below 1, but is 10.0. 1e-10 is usual",
    ),
    "a cycle's rtol of one": (
        lambda: analysis.find_periodic_orbit(decay, jnp.ones(2), rtol=1.0),
        "`rtol` must be above 0 and below 1, but is 1.0",
    ),
    "a basin's rtol in quotes": (
        lambda: analysis.basin(decay, jnp.ones((3, 2)), 1.0, rtol="1e-3"),
        "`rtol` must be made of real numbers",
    ),
    "exponents' rtol of ten": (
        lambda: analysis.lyapunov_exponents(decay, jnp.ones(2), 1000.0, rtol=10.0),
        "`rtol` must be above 0 and below 1",
    ),
    "an implicit step's rtol of ten": (
        lambda: followed(solver=diffrax.ImplicitEuler(), step_size=0.5, rtol=10.0, atol=1e-8),
        "`rtol` must be above 0 and below 1",
    ),
    "many paths": (
        lambda: simulate.paths(
            noise.SDE(decay, noise.LowRank(decay, 0.1, 2)), jnp.ones(2), TS, key=None, num_paths=2, step_size=1e-30
        ),
        "`step_size` must be at least",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_odd_argument_is_refused_in_one_line(name, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    call, complaint = WRONG[name]
    with pytest.raises(ValueError, match=complaint) as error:
        call()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "values", [1, 1.0, True, np.float32(1), jnp.ones(2, jnp.bfloat16), range(3), [1, jnp.asarray(2.0)], [], np.ones(2)]
)
def test_numbers_of_every_kind_are_taken(values):
    _checks.real("x", values)


def test_a_tolerance_of_each_entry_goes_by_the_controller_as_the_error_says():
    controller = diffrax.PIDController(rtol=1e-6, atol=jnp.array([1e-6, 1e-3]))
    orbit = flow(decay, jnp.ones(2), TS, stepsize_controller=controller)
    np.testing.assert_allclose(orbit.final_state, np.exp(-1), rtol=1e-4)
