"""The bank of known fates: it is whole and true, and a tenth of it is judged."""

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from experiments.benchmarks import fates
from experiments.benchmarks._bank import _independent
from experiments.benchmarks._bank._case import Case, of
from experiments.benchmarks._fates import BANK
from experiments.benchmarks._judge import judge, Judged, Number
from experiments.benchmarks._results import Results
from gan_ode import games, losses, regularizers, updates
from gan_ode.games import Players

LEAST = 150
KINDS = ("converges", "cycles", "diverges", "wanders")
# The inputs that the bank was begun with, as far as they ask for a verdict.
ASKED_FOR = {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 17}
# Nobody knows the fate of networks.
NO_FATE = {"GAN", "AppliedGAN"}
# Games that conserve something, and how far out an orbit of theirs has to start.
CONSERVATIVE = {
    ("LinearQuadratic", "Wasserstein"): 8.0,
    ("Dirac", "Minimax"): 5.0,
    ("Dirac", "Wasserstein"): 100.0,
    ("Bilinear", ""): 1.0,
}
# A tenth of the bank: some of every kind, and none that takes long.
TENTH = (
    "hopf", "hopf_sheared", "hopf_critical", "hopf_subcritical_outside", "bautin_between", "saddle_node_ghost",
    "pitchfork_just_past", "center", "center_of_radius_1e-8", "damped_1e-3", "torus", "decay_1d",
    "saddle_on_its_stable_manifold", "continuum", "duffing_in_a_well", "pendulum", "van_der_pol_1",
    "predator_prey_40", "may_leonard", "may_leonard_repelling", "rock_scissors_paper", "blows_up_as_square",
    "grows_as_logarithm", "sinh", "octants", "sign", "relay", "rossler_once_around", "logistic_chaos", "logistic_two",
    "logistic_settles", "henon", "lq_wasserstein_7", "lq_minimax", "dirac_non_saturating", "dirac_gradient_penalty",
    "alternating", "euler", "root_out_of_its_domain", "every_second_step",
)  # fmt: skip
MOST_UNDECIDED = 12.0  # per cent
# References that are computed anew: each kind of road once, in a second or two.
AGAIN = (
    "van_der_pol_1", "predator_prey_40", "lotka_volterra_huge", "matching_pennies", "lq_wasserstein_7",
    "almost_bilinear", "food_chain", "thomas_at_rest", "wrong_sign_of_the_penalty", "standard_map_swings",
    "double_well_flips",
)  # fmt: skip


@pytest.fixture(scope="module")
def tenth() -> dict[str, Judged]:
    # Not by `judge_all`, which drops the programs of all other tests on the way.
    return {name: judge(BANK[name], rtol=fates.Setting().rtol) for name in TENTH}


# Verdicts.


@pytest.mark.parametrize("name", TENTH)
def test_a_verdict_is_right_or_undecided_and_its_numbers_are_within_their_errors(tenth, name):
    assert tenth[name].mark != "wrong", str(tenth[name])
    assert not tenth[name].off, str(tenth[name])


def test_few_fates_are_left_undecided(tenth):
    undecided = [str(judged) for judged in tenth.values() if judged.mark == "undecided"]
    assert fates.undecided_share(list(tenth.values())) <= MOST_UNDECIDED, "\n".join(undecided)


# The bank is whole.


def test_the_bank_is_large_and_each_system_has_a_source():
    assert len(BANK) >= LEAST and len(TENTH) == pytest.approx(len(BANK) / 10, rel=0.1)
    assert all(case.source for case in BANK.values())
    assert {case.size for case in BANK.values()} >= {1, 2, 3, 4, 6, 8, 10}
    assert {case.failing for case in BANK.values()} - {None} == ASKED_FOR


def test_every_fate_is_there_often_and_so_is_none():
    counts = {fate: sum(case.fate == fate for case in BANK.values()) for fate in (*KINDS, None)}
    assert min(counts.values()) >= 3 and all(counts[kind] >= 20 for kind in KINDS)


def concrete(module, base) -> set[str]:
    return {
        name for name, found in vars(module).items()
        if inspect.isclass(found) and issubclass(found, base) and not inspect.isabstract(found)
    }  # fmt: skip


def test_every_update_is_there():
    used = {type(case.update()).__name__ for case in BANK.values() if case.update is not None}
    assert used == concrete(updates, updates.AbstractUpdate)


def played() -> list[tuple[Case, str, str]]:
    """Each system that is a game's, with the names of the game and its loss."""
    found = []
    for case in BANK.values():
        field = case.make()
        field = getattr(field, "field", field)
        if hasattr(field, "game"):
            game, _ = regularizers.unwrap(field.game)
            found.append((case, type(game).__name__, type(game.loss).__name__ if hasattr(game, "loss") else ""))
    return found


def test_every_game_loss_and_penalty_is_there():
    assert {game for _, game, _ in played()} == concrete(games, games.AbstractGame) - NO_FATE
    assert {loss for _, _, loss in played()} - {""} == concrete(losses, losses.AbstractObjective)


@pytest.mark.parametrize("kind", CONSERVATIVE, ids="-".join)
def test_large_orbits_of_every_conservative_game_are_there(kind):
    starts = [
        np.max(np.abs(np.concatenate([np.ravel(case.start.discriminator), np.ravel(case.start.generator)])))
        for case, *names in played() if tuple(names) == kind and case.fate in ("cycles", "wanders")
    ]  # fmt: skip
    assert max(starts) >= CONSERVATIVE[kind]


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
def test_each_velocity_has_the_shape_and_precision_of_its_state(dtype):
    for case in BANK.values():
        problem = case.problem(dtype)
        made = jax.eval_shape(problem["field"], jnp.zeros((), dtype), problem["y0"], problem["args"])
        expected = jax.eval_shape(lambda y: y, problem["y0"])
        assert jax.tree.structure(made) == jax.tree.structure(expected), case.name
        assert jax.tree.leaves(made) == jax.tree.leaves(expected), case.name


# The bank is true.


def is_found_again(case: Case) -> bool:
    assert case.reference is not None
    found = case.reference()
    assert found.keys() <= case.numbers.keys()
    return all(math.isclose(found[name], case.numbers[name], rel_tol=case.known_to) for name in found)


@pytest.mark.parametrize("name", AGAIN)
def test_a_reference_gives_its_number_again(name):
    assert is_found_again(BANK[name])


# Of so many references one is computed again in each run: they are frozen beside their systems, and change with these.
_STRIDE = 3


@pytest.mark.slow
def test_references_give_their_numbers_again():
    known = [case for case in BANK.values() if case.reference is not None]
    assert len(known) > 30
    assert not [case.name for case in known[::_STRIDE] if not is_found_again(case)]


def test_every_reference_has_its_numbers_frozen():
    assert all(case.numbers for case in BANK.values() if case.reference is not None)


def test_rates_of_flows_that_settle_are_those_of_the_jacobian_where_they_end():
    # From the equilibrium that Newton's method finds from the orbit's end by Euler's rule, not from the bank's formula.
    for name in ("lq_minimax", "dirac_minimax_r1", "octants", "pitchfork_past", "rock_scissors_paper_settles"):
        case = BANK[name]
        assert slope_at_the_end(case) == pytest.approx(case.rate, rel=1e-6), name


def slope_at_the_end(case: Case) -> float:
    problem = case.problem(jnp.float64)
    flat, back = ravel_pytree(problem["y0"])

    def velocity(y):
        return ravel_pytree(problem["field"](0.0, back(y), problem["args"]))[0]

    end = jax.jit(lambda y: jax.lax.fori_loop(0, 60_000, lambda _, y: y + 0.005 * velocity(y), y))(flat)
    return float(np.max(np.linalg.eigvals(np.asarray(jax.jacfwd(velocity)(end))).real))


def test_a_cycle_that_needs_more_turns_is_not_taken_for_a_closed_one():
    with pytest.raises(ValueError, match="turns"):
        # Half of the cubic oscillator's period, by a coordinate that swings twice as fast.
        _independent.cycle(lambda x, v, z: (v, -(x**3), 2 * x * v - z), (1.0, 0.0, 0.0), 40.0, settle=20.0, section=2)


# Judging.


def judged(fate, kind, *numbers, **more) -> Judged:
    case = Case(name="x", make=of(lambda x: (x,)), start=(1.0,), fate=fate, source="", **more)
    return Judged(case, kind, "why", numbers, 1.0)


def test_a_verdict_is_marked_against_the_fate():
    assert judged("cycles", "cycles").mark == "right"
    assert judged("cycles", "undecided").mark == "undecided"
    assert judged("cycles", "converges").mark == "wrong"
    assert judged(None, "undecided").mark == "right"
    assert judged(None, "diverges").mark == "wrong"


def test_a_number_is_off_beyond_its_own_error_and_only_in_a_right_verdict():
    near, far = Number("period", 1.0, 0.1, 1.05, 0.0), Number("period", 1.0, 0.01, 1.05, 0.0)
    assert not near.off and far.off and "OFF" in str(far)
    assert not Number("period", 1.0, 0.01, 1.05, 0.05).off
    unstated = Number("period", 1.0, math.nan, 1.05, 0.0)
    assert not unstated.off and "without an error" in str(unstated)
    assert judged("cycles", "cycles", near, far).off == (far,)
    assert judged("converges", "cycles", far).off == ()


def test_only_what_theory_decides_counts_as_undecided():
    found = [judged("cycles", "cycles"), judged("cycles", "undecided"), judged(None, "undecided")]
    assert fates.undecided_share([*found, judged("cycles", "undecided", asked=False)]) == 50.0


def test_a_question_that_is_refused_is_undecided_and_says_why(monkeypatch):
    from gan_ode import analysis

    def refuse(*args, **options):
        raise ValueError("`field` must not know the time.")

    monkeypatch.setattr(analysis, "classify", refuse)
    found = judge(BANK["hopf"])
    assert found.kind == "undecided" and "must not know the time" in found.reason


def test_a_verdict_that_does_not_come_is_given_up(monkeypatch):
    import time

    from gan_ode import analysis

    monkeypatch.setattr(analysis, "classify", lambda *args, **options: time.sleep(30))
    found = judge(BANK["hopf"], limit=0.2)
    assert found.kind == "undecided" and "0.2 s" in found.reason


def test_a_case_hands_its_tolerance_on_unless_another_is_asked_for(monkeypatch):
    from gan_ode import analysis

    asked = []

    def note(field, y0, *, rtol, **options):
        asked.append(rtol)
        raise ValueError

    monkeypatch.setattr(analysis, "classify", note)
    judge(BANK["decay_1d"])
    judge(BANK["decay_1d"], rtol=1e-4)
    judge(BANK["hopf"])
    assert asked == [0.1, 1e-4, None]


def test_in_single_precision_only_what_survives_the_rounding_is_asked(monkeypatch):
    from experiments.benchmarks import _judge

    monkeypatch.setattr(_judge, "judge", lambda case, **options: (case.name, options["single"]))
    cases = [BANK["center"], BANK["damped_1e-9"]]
    assert list(fates.judge_all(cases, fates.Setting(single=True))) == [("center", True)]


def test_the_part_of_the_suite_counts_and_holds_to_its_targets(monkeypatch):
    far = Number("period", 1.0, 0.01, 1.05, 0.0)
    found = [judged("cycles", "cycles", far), judged("cycles", "converges"), judged("cycles", "undecided")]
    monkeypatch.setattr(fates, "judge_all", lambda *args: iter(found))
    monkeypatch.setattr(fates, "prepare_jax", lambda: None)
    results = Results(quick=True)
    fates.measure(results)
    values = {each.name.partition(": ")[2]: (each.value, each.missed) for each in results.verdicts}
    assert values["wrong verdicts"] == (1.0, True)
    assert values["numbers off by more than their error"] == (1.0, True)
    assert values["undecided of those that theory decides"] == (pytest.approx(100 / 3), True)
    assert values["median time of a verdict"] == (1.0, False)
    assert [bool(row.why_not) for row in results.rows] == [True, True, True]


def test_the_command_prints_a_line_for_each_system_and_fails_where_one_is_wrong(monkeypatch, capsys):
    monkeypatch.setattr(fates, "judge_all", lambda cases, *_: (judged("cycles", "converges") for _ in cases))
    monkeypatch.setattr(fates, "prepare_jax", lambda: None)
    assert fates.main(["--only", "center", "hopf", "--part", "2/2"]) == 1
    assert "x: WRONG: cycles, said converges | why | 1.00 s" in capsys.readouterr().out.splitlines()
    monkeypatch.setattr(fates, "judge_all", lambda cases, *_: (judged("cycles", "cycles") for _ in cases))
    assert fates.main(["--only", "center*"]) == 0


@pytest.mark.parametrize("part", ["0/2", "3/2", "half", "1/"])
def test_a_part_that_is_none_is_refused(part, capsys):
    with pytest.raises(SystemExit):
        fates.main(["--part", part])
    assert "1 <= I <= N" in capsys.readouterr().err


def test_players_become_players_of_arrays_in_the_precision_asked_for():
    problem = BANK["bilinear_torus"].problem(jnp.float32)
    assert isinstance(problem["y0"], Players) and problem["y0"].discriminator.shape == (2,)
    assert {leaf.dtype for leaf in jax.tree.leaves(problem["y0"])} == {jnp.dtype(jnp.float32)}
