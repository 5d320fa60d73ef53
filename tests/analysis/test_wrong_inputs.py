"""Every public function of the analysis, and what follows fields, against every kind of wrong input.

Each is refused by a `ValueError` that names the argument and the remedy, before anything compiles.
"""

import dataclasses
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import jaxtyping
import optax
import pytest

from gan_ode import (
    analysis,
    fields,
    flow,
    games,
    iterate,
    losses,
    noise,
    OUTCOMES,
    regularizers,
    RESULTS,
    simulate,
    updates,
)
from gan_ode._entry import guarded
from gan_ode.analysis import theory
from gan_ode.games import Players
from tests.catalogue import gan

GAME = games.Dirac(losses.Minimax())
FIELD = fields.GameField(GAME)
Y = Players(jnp.asarray(0.3, float), jnp.asarray(0.2, float))
YS = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), Y)
TS = jnp.linspace(0.0, 1.0, 3)
H = updates.Simultaneous(0.1)
VALUES = jnp.array([0.1, 0.2, 0.3])
MATRIX = jnp.eye(2)
NEURAL = gan(losses.Minimax())
EVENT = analysis.Event(jnp.asarray(3), jnp.asarray(0.1), Y, jnp.asarray(1j), None, jnp.array([0.3, 0.2]), None)
PLANAR = fields.GameField(games.LinearQuadratic(losses.Minimax()))


def family(rate: Any) -> fields.GameField:
    return fields.GameField(GAME, Players(rate, 1.0))


def energy(y: Players) -> jax.Array:
    return y.discriminator**2 + y.generator**2


def orbit() -> simulate.Orbit:
    """One that nobody followed."""
    ys = jax.tree.map(lambda leaf: jnp.stack([leaf] * 3), Y)
    return simulate.Orbit(TS, ys, {}, RESULTS.successful, OUTCOMES.ok, TS[-1], Y)


def hopf_point() -> analysis.Event:
    """One that no branch has."""
    nothing = jnp.zeros(())
    return analysis.Event(jnp.asarray(3), nothing, Y, nothing + 1j, None, jnp.zeros(2), None)


def fold_of_cycles() -> analysis.CycleEvent:
    """One that no branch has."""
    turn = jnp.linspace(0.0, 2 * jnp.pi, 9)
    orbit = jax.vmap(lambda t: Players(jnp.cos(t), jnp.sin(t)))(turn)
    one = jnp.ones(())
    return analysis.CycleEvent("fold of cycles", one, turn[-1], Y, jnp.ones(2, complex), orbit, turn)


# What each function is given, all of it right.
RIGHT: dict[str, tuple[Callable, dict[str, Any]]] = {
    "flow": (flow, {"field": FIELD, "y0": Y, "ts": TS}),
    "iterate": (iterate, {"update": H, "field": FIELD, "y0": Y, "num_steps": 2}),
    "ensemble": (simulate.ensemble, {"field": FIELD, "y0s": YS, "ts": TS}),
    "iterate_ensemble": (simulate.iterate_ensemble, {"update": H, "field": FIELD, "y0s": YS, "num_steps": 2}),
    "paths": (
        simulate.paths,
        {
            "sde": noise.SDE(FIELD, noise.LowRank(FIELD, 0.1, 2)),
            "y0": Y,
            "ts": TS,
            "key": jax.random.key(0),
            "num_paths": 2,
            "step_size": 0.5,
        },
    ),
    "assumptions": (theory.assumptions, {"game": GAME, "y": Y}),
}
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "basin": {"field": FIELD, "starts": YS, "duration": 1.0, "update": H},
    "bifurcation": {"rule": H, "field": FIELD, "y": Y},
    "box_extremes": {"function": energy, "low": Y, "high": Y},
    "check_lyapunov_function": {"quantity": energy, "field": FIELD, "low": Y, "high": Y, "update": H},
    "classify": {"field": FIELD, "y0": Y, "update": H, "invariant": energy},
    "compare": {"orbit": orbit(), "steps": orbit()},
    "continue_cycle": {"family": family, "values": VALUES[:2], "cycle": hopf_point()},
    "continue_equilibrium": {"family": family, "values": VALUES[:2], "y": Y},
    "locate_cycle_event": {"family": family, "event": fold_of_cycles()},
    "locate_event": {"kind": "hopf", "family": family, "value": 0.1, "y": Y},
    "continue_event": {
        "family": lambda rate, weight: family(rate),
        "event": EVENT,
        "first": VALUES[:2],
        "second": VALUES[:2],
        "at": 0.1,
    },
    "convergence": {"rule": H, "field": FIELD, "y0": Y, "duration": 1.0, "step_sizes": VALUES},
    "covariance_after_steps": {"step_jacobian": MATRIX, "noise": MATRIX, "num_steps": 2},
    "covariance_at": {"jacobian": MATRIX, "noise": MATRIX, "t": 1.0},
    "covariance_growth": {"jacobian": MATRIX, "noise": MATRIX},
    "critical_curve": {"rule": H, "family": family, "parameters": VALUES, "y": Y},
    "critical_parameter": {"family": family, "low": 0.1, "high": 1.0, "y": Y},
    "critical_parameters": {"family": family, "values": VALUES, "y": Y},
    "critical_step_size": {"rule": H, "field": FIELD, "y": Y},
    "eigenvalue_branches": {"family": family, "values": VALUES, "y": Y},
    "find_equilibria": {"field": FIELD, "starts": YS},
    "find_equilibrium": {"field": FIELD, "y0": Y},
    "find_periodic_orbit": {"field": FIELD, "y0": Y},
    "diagnose": {"field": FIELD, "y": Y, "update": H},
    "inspect": {"field": FIELD, "y": Y},
    "invariant_drift": {"quantity": energy, "orbit": orbit()},
    "jacobian": {"field": FIELD, "y": Y, "update": H},
    "leading_eigenvalues": {"field": FIELD, "y": Y, "update": H},
    "lie_derivative": {"quantity": energy, "field": FIELD, "update": H},
    "lyapunov_exponents": {"field": FIELD, "y0": Y, "duration": 1.0, "update": H},
    "multipliers": {"update": H, "field": FIELD, "y": Y},
    "numerical_abscissa": {"jacobian": MATRIX},
    "optimal_parameter": {"family": family, "values": VALUES, "y": Y},
    "optimal_step_size": {"rule": H, "field": FIELD, "y": Y},
    "optimality": {"field": FIELD, "y": Y, "update": H},
    "orbit_diagram": {"rule": H, "field": FIELD, "y0": Y, "step_sizes": VALUES, "num_transient": 2},
    "path_angle": {"field": FIELD, "y": Y, "toward": Y},
    "path_measures": {"field": FIELD, "start": Y, "end": Y},
    "period_against_amplitude": {"field": FIELD, "start": lambda r: Players(r, 0 * r), "amplitudes": VALUES},
    "rotation_number": {"ys": YS, "center": Y},
    "rotation_share": {"field": FIELD, "y": Y},
    "spectral_radius": {"update": H, "field": FIELD, "y": Y},
    "spectrum": {"field": FIELD, "y": Y, "update": H},
    "stability_map": {"rule": H, "family": family, "parameters": VALUES, "step_sizes": VALUES, "y": Y},
    "stationary_covariance": {"jacobian": MATRIX, "noise": MATRIX},
    "stationary_covariance_of_steps": {"step_jacobian": MATRIX, "noise": MATRIX},
    "step_period": {"update": H, "field": FIELD, "y": Y},
    "stiffness": {"field": FIELD, "y": Y},
    "stiffness_along": {"field": FIELD, "ys": YS},
    "symmetric_parts": {"jacobian": MATRIX},
    "transient_growth": {"jacobian": MATRIX},
    "what_stops": {"cycle": Y, "knobs": {"rate": (family, (0.1, 1.0))}, "field": FIELD, "update": H},
}
RIGHT |= {name: (getattr(analysis, name), arguments) for name, arguments in _ARGUMENTS.items()}
# What takes eigenvalues, amplitudes, axes or branches alone, and nothing that could be taken for another thing.
OF_NUMBERS = {"cycle_type", "equilibrium_type", "follow_eigenvalues", "state_grid", "switch_branch"}
STATES = ("y", "y0", "starts", "ys", "y0s", "low", "start")


@dataclasses.dataclass(frozen=True)
class Wrong:
    """A kind of wrong input: what is given instead, which argument the error names, and a word of the remedy.

    What checks of types would not let be made is a function, called `late`.
    """

    kind: str
    argument: str
    instead: Any
    remedy: str
    named: str = ""
    late: bool = False


def _rows(name: str, y: Any) -> Any:
    """A state, or many of them where the argument takes many."""
    return jax.tree.map(lambda leaf: jnp.stack([leaf] * 2), y) if name in ("starts", "ys", "y0s") else y


WRONG = [
    Wrong("a game", "field", GAME, "GameField"),
    Wrong("a class", "field", fields.GameField, "instance"),
    Wrong("a matrix", "field", MATRIX, "function"),
    Wrong("of one argument", "field", lambda y: y, "three arguments"),
    Wrong("of no velocity", "field", lambda t, y, args: None, "return"),
    Wrong(
        "of a game",
        "field",
        lambda: regularizers.Adjusted(GAME, regularizers.Consensus(0.1)),
        "GameField",
        "field.field",
        late=True,
    ),
    Wrong("a field", "game", FIELD, "field.game"),
    Wrong("a class", "game", games.Dirac, "instance"),
    Wrong(
        "a penalty's class",
        "game",
        lambda: regularizers.Penalized(GAME, regularizers.R1),
        "instance",
        "penalty",
        late=True,
    ),
    Wrong("a class", "update", updates.Simultaneous, "instance"),
    Wrong("a solver", "update", diffrax.Heun(), "SolverStep"),
    Wrong("an optimizer", "update", optax.sgd(0.1), "updates.Optax"),
    Wrong("a number", "update", 0.1, "Simultaneous(0.1)"),
    Wrong("a solver", "rule", diffrax.Heun(), "SolverStep"),
    Wrong("an optimizer", "rule", optax.sgd(0.1), "updates.Optax"),
    Wrong("an optimizer's maker", "rule", optax.sgd, "updates.Simultaneous"),
    Wrong("another class", "rule", games.Dirac, "updates.Simultaneous"),
    Wrong("a number", "rule", 0.1, "updates.Alternating(0.1)"),
    Wrong("a game", "family", GAME, "GameField"),
    Wrong("a field", "family", FIELD, "GameField"),
    Wrong("of games", "family", lambda value: GAME, "GameField"),
    Wrong("a number", "quantity", 1.0, "lambda y"),
    Wrong("states", "orbit", YS, "times"),
    Wrong("states", "steps", YS, "times"),
    Wrong("a field", "jacobian", FIELD, "analysis.jacobian"),
    Wrong("of two rows", "jacobian", jnp.ones((2, 3)), "square"),
    Wrong("a field", "step_jacobian", FIELD, "analysis.jacobian"),
    Wrong("a field", "sde", FIELD, "noise.of_minibatches"),
    *(
        wrong
        for name in STATES
        for wrong in (
            Wrong("a bare array", name, _rows(name, jnp.ones(2)), "Players"),
            # Corners of a box may be whole numbers.
            *(
                []
                if name == "low"
                else [Wrong("of integers", name, _rows(name, Players(jnp.array(1), jnp.array(0))), "1.0")]
            ),
            Wrong("of nothing", name, None, "leaves"),
            Wrong("of shapes", name, _rows(name, Players(jnp.ones(2), jnp.ones(3))), "shapes"),
        )
    ),
    *(
        Wrong("of shapes", name, Players(jnp.ones(2), jnp.ones(3)), "same game")
        for name in ("high", "toward", "end", "center")
    ),
]
# The most lines of operations in what JAX compiles by itself on the way: a cast, a row, and for an ensemble a table of
# 117. A solve has a thousand.
_ONE_OPERATION = 150
# Not public, but there is no other way to see that nothing is compiled.
COMPILER = importlib.import_module("jax._src.compiler")


def _fits(name: str, wrong: Wrong) -> bool:
    """Whether a function can be given this, and has what the mistake is seen by."""
    right = RIGHT[name][1]
    if wrong.argument not in right or (wrong.argument in ("low", "high") and "family" in right):
        return False
    if wrong.kind in ("a bare array", "of shapes") and wrong.argument in STATES:
        return bool({"field", "family", "game", "sde"} & set(right))
    return wrong.kind != "of no velocity" or bool(set(STATES) & set(right))


@pytest.fixture(autouse=True)
def _nothing_compiles(monkeypatch):
    """No type checks, which would be first; and nothing that compiles is reached."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    compile_program = COMPILER.compile_or_get_cached

    def refuse(backend: Any, program: Any, *args: Any, **kwargs: Any) -> Any:
        assert str(program).count("stablehlo") <= _ONE_OPERATION, "it was compiled"
        return compile_program(backend, program, *args, **kwargs)

    monkeypatch.setattr(COMPILER, "compile_or_get_cached", refuse)


@pytest.mark.parametrize("name", RIGHT)
def test_wrong_input_is_refused_by_an_error_that_names_the_argument_and_the_remedy(name):
    function, right = RIGHT[name]
    cases = [wrong for wrong in WRONG if _fits(name, wrong)]
    assert cases
    for wrong in cases:
        given = right | {wrong.argument: wrong.instead() if wrong.late else wrong.instead}
        with pytest.raises(ValueError) as caught:
            function(**given)
        text = str(caught.value)
        assert f"`{wrong.named or wrong.argument}" in text, (wrong, text)
        assert wrong.remedy in text, (wrong, text)


@pytest.mark.parametrize(
    "name", [name for name, (_, right) in RIGHT.items() if "field" in right and set(STATES) & set(right)]
)
def test_a_minibatch_that_is_missing_is_asked_for(name):
    function, right = RIGHT[name]
    (state,) = set(STATES) & set(right)
    y = NEURAL.players
    given = {"field": fields.GameField(NEURAL), state: (lambda r: y) if callable(right[state]) else _rows(state, y)}
    like = {other: y for other in ("high", "toward", "end") if other in right}
    with pytest.raises(ValueError, match=r"`args` must be a minibatch .*draw one by `gan.sample\(key, num\)`"):
        function(**right | given | like)


def test_an_update_that_does_not_fit_is_refused_under_the_name_of_the_state():
    def turn(t: Any, y: jax.Array, args: Any) -> jax.Array:
        return jnp.stack([y[1], -y[0]])

    y = jnp.ones(2)
    for rule in (updates.Alternating(0.1), lambda h: updates.Alternating(h)):
        with pytest.raises(ValueError, match=r"`y` must be `games.Players` for `updates.Alternating`"):
            analysis.critical_step_size(rule, turn, y)
    with pytest.raises(ValueError, match=r"`y0` must be `games.Players` for `updates.Alternating`"):
        analysis.classify(turn, y, update=updates.Alternating(0.1))
    with pytest.raises(ValueError, match=r"`update` must step to a state like `y`.*let `step` return the next state"):
        analysis.multipliers(Halved(jnp.asarray(0.1)), turn, y)


class Halved(updates.AbstractUpdate):
    """Forgets half of the state."""

    step_size: jax.Array

    def init(self, field, y, args):
        return None

    def step(self, field, t, y, args, memory):
        return y[:1], None


def test_only_the_outermost_call_looks_and_remembers_what_it_saw():
    looks = []

    def field(t: Any, y: jax.Array, args: Any) -> jax.Array:
        looks.append(y)
        return -y

    @guarded("y")
    def inner(field: Any, y: Any) -> int:
        return len(looks)

    @guarded("y")
    def outer(field: Any, y: Any) -> int:
        return inner(field, y)

    assert [outer(field, jnp.ones(2)), outer(field, jnp.zeros(2)), inner(field, jnp.ones(2))] == [1, 1, 1]
    assert inner(field, jnp.ones(3)) == 2
    assert jax.vmap(lambda y: outer(field, y) + 0 * y.sum())(jnp.ones((4, 2))).shape == (4,)


def test_the_check_hands_on_states_as_arrays_and_an_equilibrium_as_it_is():
    @guarded("y", like="toward")
    def echo(field: Any, y: Any, toward: Any) -> Any:
        return y, toward

    y, toward = echo(FIELD, Players(0.5, 1.0), Y)
    assert [leaf.dtype for leaf in jax.tree.leaves((y, toward))] == [jnp.dtype(float)] * 4


def test_every_public_function_is_in_the_table():
    public = {name for name, each in vars(analysis).items() if inspect.isfunction(each)}
    assert public - OF_NUMBERS - set(RIGHT) == set(), "say what it is given, and guard it by `_entry.guarded`"
