"""From a state of training to a diagnosis, stage by stage, within a budget."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from ... import _checks, _tree
from ..._entry import guarded
from ..._problem import state_of
from ..._progress import meter, Progress
from ..._types import Args, Field, State
from ...games import Players
from ...updates import AbstractUpdate
from ..linearization._preconditions import inspect, LINEAR, require
from . import _candidates, _thresholds, _where
from ._budget import Budget, SpentError
from ._findings import Evidence, findings, leading_rotation, something_is_found, sort_key, verdict
from ._jitter import jitter
from ._model import largest_step, Model, model
from ._noise import noise
from ._remedies import looked_at, remedy
from ._result import Diagnosis, DISEASES, Mode, Noise, Remedy
from ._sampling import error_of_mode
from ._spectrum import field_modes, Spectrum, spectrum, step_modes
from ._training import flat, Training, training

_NAN = float("nan")
# A look whether a state is an equilibrium takes about so many evaluations.
_LOOK = 40


@guarded("y")
def diagnose(
    field: Field,
    y: State,
    *,
    update: AbstractUpdate | None,
    memory: Any = None,
    args: Args = None,
    key: PRNGKeyArray | None = None,
    batches: Any = None,
    remedies: Sequence[str] | None = None,
    budget: int = 5000,
    progress: Progress = False,
    check: bool = True,
) -> Diagnosis:
    r"""Looks at a state of training, says what it suffers from, and predicts what each remedy would do.

    It measures where the run is (speeds, noise against drift, each player's curvature, scores, the share of rotation),
    what the linear part does (modes of the field, and multipliers of the actual update with its memory), and solves the
    linear part again for each remedy. All statements but those of noise and scores are about the linear part on this
    minibatch; where the state is not near an equilibrium they are about the next `horizon` steps.

    **What the update is taken for.** Its multipliers are those of the linear part of its steps around the state, whose
    drift is taken away. An optimizer of Optax is held in its second moments, as the next step has them, and in its
    counters: then it is a factor $P$ on each number, the preconditioner, and a momentum. The `modes` of the field are
    those of $P J$, whose time is counted in steps; of a plain rule those of $J$. Clipping of gradients, decay of
    weights, and how the preconditioner itself moves, are left out.

    **Small and large states.** Up to 64 numbers the Jacobian is a dense matrix, and every mode is known. Beyond, the
    modes that grow or turn fastest, and the fastest that decay, are found by products, each with its residual; slow
    modes, thousands of a network, are not looked at. A penalty changes the Jacobian in proportion to its weight: the
    best weight is searched on the small game that the modes span, and the growth that is reported is that of the
    treated training's own spectrum, where it still turns or grows.

    ```python
    import jax.numpy as jnp
    from gan_ode import analysis, fields, games, losses, updates

    field = fields.GameField(games.Dirac(losses.Wasserstein()))
    y = games.Players(jnp.array(0.0), jnp.array(0.0))
    update = updates.Simultaneous(0.1)
    report = analysis.diagnose(field, y, update=update, remedies=["R1", "alternating", "extragradient"])
    assert report.disease == "cycling"
    assert report.remedies[0].name == "R1"
    ```

    Source: the pieces are those of `leading_eigenvalues`, `multipliers` and `rotation_share`; noise and drift as in
    McCandlish et al. (2018), arXiv:1812.06162, equation 2.8 and appendix A.

    Args:
        field: The field; richest for `fields.GameField`, whose game has losses, and of scores and samples.
        y: The state: the parameters now.
        update: The update that trains it.
        memory: What the update remembers now, as Adam's moments; None for a plain rule, or for an optimizer as it would
            be after many steps at the gradient of now.
        args: Handed to the field: the minibatch.
        key: For the random vectors of the rotation share; always the same by default.
        batches: Minibatches to measure the noise on: on a leading axis of every leaf, or a function of their number.
            By default eighths of `args`.
        remedies: Which to try, by name; all that apply by default, see `remedies` of the result.
        budget: How many field evaluations it may take, about; a product with the Jacobian counts as two.
        progress: Whether to show a bar by tqdm, or a function `(evaluations, budget)`.
        check: Whether to look first if the field is smooth at the state, and whether it is an equilibrium.

    Returns:
        The diagnosis. Ctrl-C, or a budget that is too small, ends it with what is there: `complete` is False.

    Raises:
        ValueError: If an argument cannot work; the text names it, and the remedy.
    """
    y = state_of(y)
    update = _check(y, args, update, remedies)
    budget = _checks.count("budget", budget)
    key = jax.random.key(0) if key is None else key
    names = tuple(_candidates.ALL if remedies is None else remedies)
    with meter(progress, 0, budget, "evaluation") as told:
        work = _Work(field, y, args, update, memory, batches, key, names, Budget(budget, told), check)
        return _closed(work, _run(work.stages()))


def _check(y: State, args: Args, update: AbstractUpdate | None, remedies: Sequence[str] | None) -> AbstractUpdate:
    if _checks.is_traced((y, args)):
        raise ValueError("`y` must be concrete, since what is measured depends on it: call it outside of `jax.jit`.")
    _checks.finite("y", y)
    if update is None:
        raise ValueError(
            "`update` must be the rule that trains the state, but is None: for example `updates.Simultaneous(0.1)`."
        )
    if isinstance(remedies, str):
        raise ValueError(f"`remedies` must be a list of names, but is {remedies!r}: write `[{remedies!r}]`.")
    for name in remedies or ():
        _checks.one_of("remedies", name, _candidates.ALL)
    return update


def _run(stages: Iterator[None]) -> bool:
    """Goes through the stages; False if the budget or somebody ended it."""
    try:
        for _ in stages:
            pass
    except (SpentError, KeyboardInterrupt):
        return False
    return True


class _Work:
    """What was measured so far."""

    def __init__(
        self, field: Field, y: State, args: Args, update: AbstractUpdate, memory: Any, batches: Any,
        key: PRNGKeyArray, names: tuple[str, ...], budget: Budget, check: bool,
    ):  # fmt: skip
        self.field, self.y, self.args, self.update, self.memory = field, y, args, update, memory
        self.batches, self.key, self.names, self.budget, self.check = batches, key, names, budget, check
        self.seen = Evidence()
        self.at: Training | None = None
        self.dense = False
        self.notes: list[str] = []
        self.curvatures: Players | None = None
        self.rotation = (_NAN, _NAN)
        self.found: Spectrum | None = None
        self.remedies: list[Remedy] = []

    def stages(self) -> Iterator[None]:
        """The cheap and the telling first."""
        for stage in (
            self._look, self._linear, self._scores, self._modes, self._steps, self._jitter, self._around,
            self._remedies,
        ):  # fmt: skip
            stage()
            yield

    def _know(self, **numbers: Any) -> None:
        self.seen = dataclasses.replace(self.seen, **numbers)

    def _look(self) -> None:
        if not self.check:
            return
        self.budget.require(_LOOK)
        require(self.field, self.y, self.args, needs=LINEAR)
        looked = inspect(self.field, self.y, args=self.args)
        self.budget.spend(_LOOK)
        self._know(near_equilibrium=bool(looked.still))

    def _linear(self) -> None:
        measured, variance = noise(self.field, self.y, self.args, self.batches, self.budget)
        self.at = at = training(self.field, self.y, self.args, self.update, self.memory, variance)
        self.budget.spend(1)
        self.notes += at.notes
        self.dense = at.size <= _thresholds.MOST_DENSE
        if at.adaptive:
            self.notes.append("modes are those of the optimizer's preconditioner times the Jacobian, per step")
        self._know(noise=measured, speeds=_where.speeds(at), rates=at.rates, horizon=self._horizon(at))

    def _horizon(self, at: Training) -> float:
        """Steps until the drift has carried the state by a part of its own norm."""
        if self.seen.near_equilibrium:
            return math.inf
        beta = getattr(at.rule, "momentum", 0.0)
        betas = beta if isinstance(beta, Players) else Players(beta, beta)
        moved = jax.tree.map(jnp.multiply, at.scale, at.velocity)
        if isinstance(moved, Players):
            moved = Players(_tree.scale(1 / (1 - betas.discriminator), moved.discriminator),
                            _tree.scale(1 / (1 - betas.generator), moved.generator))  # fmt: skip
        step = float(at.rule.step_size) * float(np.linalg.norm(flat(moved)))
        return _thresholds.FAR * max(float(np.linalg.norm(flat(self.y))), 1e-300) / step if step > 0 else math.inf

    def _scores(self) -> None:
        self._know(logits=_where.logits(self._at, self.budget))

    @property
    def _at(self) -> Training:
        assert self.at is not None
        return self.at

    def _modes(self) -> None:
        self.jacobian = self._at.jacobian(self.budget)
        self.found = spectrum(self._at, self.jacobian, self.dense)
        modes = tuple(field_modes(self._at, self.found))
        leading = leading_rotation(modes)
        decays = all(mode.value.real < 0 for mode in modes if self._counts(mode)) and (
            leading is None or leading.value.real < -_thresholds.CYCLES * leading.value.imag
        )
        growths = [mode.value.real for mode in modes if mode.does != "flat"]
        in_a_step = float(self._at.rule.step_size) * max([0.0, *growths])
        moved = [abs(mode.value) for mode in modes if mode.does != "flat"]
        fastest = float(self._at.rule.step_size) * max(moved, default=_NAN)
        self._know(modes=modes, decays_in_flow=decays, growth_in_flow=in_a_step, fastest=fastest)
        if leading is not None:
            assert self.found is not None
            vector = self.found.vectors[:, int(np.argmin(np.abs(self.found.values - leading.value)))]
            error = error_of_mode(self.jacobian, vector, self.key)
            self._know(drift_beside=self._drift_beside(leading.value), damping_error=error / leading.value.imag)

    def _drift_beside(self, value: complex) -> float:
        """How much of the drift is no part of a rotation: 0 where the drift lies in its plane, about 1 where none does.

        Within the plane of a pair of eigenvalues a drift z satisfies A (A z) - 2 Re(value) A z + |value|^2 z = 0.
        """
        drift = flat(self._at.scale) * flat(self._at.velocity)
        once = self.jacobian(drift)
        left = self.jacobian(once) - 2 * value.real * once + abs(value) ** 2 * drift
        size = abs(value) ** 2 * float(np.linalg.norm(drift))
        return float(np.linalg.norm(left)) / size if size > 0 else 0.0

    def _counts(self, mode: Mode) -> bool:
        """Away from an equilibrium what grows without turning is no disease: so a loss is descended."""
        return mode.does != "flat" and (self.seen.near_equilibrium or mode.value.imag != 0 or mode.rate.real <= 0)

    def _steps(self) -> None:
        assert self.found is not None
        steps = tuple(step_modes(self._at, self.found, list(self.seen.modes), self.jacobian))
        self.small: Model = model(self._at, self.found, self.seen.near_equilibrium, self.jacobian)
        turning = [mode.rate.imag for mode in steps if mode.does not in ("flat", "flips") and mode.rate.imag > 0]
        turn = max(turning, default=0.0)
        moving = [mode for mode in steps if self._counts(mode)]
        turns = [mode for mode in moving if mode.rate.imag >= _thresholds.TURNS * turn > 0]
        counts = moving if self.dense else turns
        growth = max((mode.rate.real for mode in counts), default=_NAN)
        largest = largest_step(self.small, self._at.rule, self.small.matrix)
        self._know(step_modes=steps, turn=turn, growth_per_step=growth, largest_step=largest)

    def _jitter(self) -> None:
        noise = self.seen.noise
        # What else is wrong makes noise grow: it is not followed then.
        if noise is None or noise.variance == 0 or something_is_found(self.seen):
            return
        game = _where.scored_game(self.field)
        far = jitter(
            game, self.field, self.y, self.update, self.memory, self.args, self.batches, self.key, self.budget
        )  # fmt: skip
        self._know(noise=dataclasses.replace(noise, jitter=far[0], jitter_error=far[1]))

    def _around(self) -> None:
        at = self._at
        matrix = self.found.matrix if self.found is not None else None
        if matrix is not None and at.adaptive:
            matrix = at.jacobian(self.budget, scaled=False).dense()
        self.rotation = _where.rotation(at, matrix, self.key, self.budget)
        self.curvatures = _where.curvatures(at, matrix, at.jacobian(self.budget, scaled=False))

    def _resolved(self) -> float:
        """The largest factor on the step that resolves the fastest mode; 1 if the present one does."""
        size = float(self._at.rule.step_size) * max((abs(mode.value) for mode in self.seen.modes), default=0.0)
        grows = self.seen.growth_in_flow > _thresholds.UNRESOLVED
        return min(1.0, _thresholds.RESOLVED / size) if grows else 1.0

    def _given(self, name: str) -> float | None:
        """The weight of a remedy that no mode tells: rates that differ too much are made equal."""
        worst, rates = findings(self.seen)[0], self.seen.rates
        found = worst.disease == DISEASES.discriminator_too_fast and worst.strength >= _thresholds.FOUND
        if name != "ratio of rates" or rates is None or not found or rates.generator <= 0:
            return None
        return rates.generator / rates.discriminator

    def _remedies(self) -> None:
        found = _candidates.candidates(self._at, self.names)
        left_out = [name for name in self.names if name not in {candidate.name for candidate in found}]
        if left_out and self.names != tuple(_candidates.ALL):
            rule = type(self.update).__name__
            self.notes.insert(0, f"remedies that cannot be applied to this game and {rule}: {', '.join(left_out)}")
        for candidate in found:
            noise, given = self.seen.noise or Noise(), self._given(candidate.name)
            self.remedies.append(remedy(self.small, candidate, noise, self._resolved(), self.budget, given))
        if self.dense:
            return
        # The most promising are looked at, each on its own treated training.
        by_name = {candidate.name: candidate for candidate in found}
        order = sorted(range(len(found)), key=lambda i: -self.remedies[i].progress)
        looks = [i for i in order if self.remedies[i].name not in ("larger batch", "smaller step")]
        for i in looks[: _thresholds.MOST_LOOKS]:
            made = self.remedies[i]
            self.remedies[i] = looked_at(self._at, by_name[made.name], made, self.seen.turn, self.budget)


def _closed(work: _Work, complete: bool) -> Diagnosis:
    """The diagnosis, of what was measured."""
    seen = work.seen
    found = findings(seen)
    disease, said = verdict(seen, found)
    values = np.abs([mode.value for mode in seen.modes if mode.does != "flat"])
    turn = _turn(seen)
    return Diagnosis(
        verdict=said, disease=disease, findings=found, near_equilibrium=seen.near_equilibrium, horizon=seen.horizon,
        speeds=seen.speeds or Players(_NAN, _NAN), noise=seen.noise or Noise(), curvatures=work.curvatures,
        logits=seen.logits, rotation_share=work.rotation[0], rotation_error=work.rotation[1], modes=seen.modes,
        step_modes=seen.step_modes, complete_spectrum=work.dense and bool(seen.modes),
        flat=_num_flat(work), stiffness=float(values.max() / values.min()) if len(values) else _NAN,
        largest_step=seen.largest_step, period_in_steps=2 * math.pi / turn if turn > 0 else math.inf,
        growth_per_step=seen.growth_per_step, remedies=tuple(sorted(work.remedies, key=sort_key(disease))),
        step_size=float(work.update.step_size), method="dense" if work.dense else "matrix-free",
        notes=tuple(work.notes), num_evaluations=work.budget.used, complete=complete,
    )  # fmt: skip


def _num_flat(work: _Work) -> int:
    return 0 if work.found is None else int(np.sum(work.found.is_flat(work.at.bytes if work.at else 8)))


def _turn(seen: Evidence) -> float:
    """Angle per step of the rotation that leads: that decays least, of those that are about as fast as the fastest."""
    turning = [m.rate for m in seen.step_modes if m.does not in ("flat", "flips") and m.rate.imag > 0]
    fastest = max((rate.imag for rate in turning), default=0.0)
    fast = [rate for rate in turning if rate.imag >= _thresholds.TURNS * fastest]
    return max(fast, key=lambda rate: rate.real, default=0j).imag
