"""Which diseases the numbers show, each with its evidence, and the verdict."""

import dataclasses
from typing import Any

import numpy as np

from ..._printing import number
from ...games import Players
from . import _thresholds
from ._result import DISEASES, Finding, Logits, Mode, Noise, Remedy

_NAN = float("nan")
# What has to be ruled out before a state is called healthy; scores and rates are not of every game.
_NEEDED = (DISEASES.cycling, DISEASES.step_too_large, DISEASES.batch_too_small)


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What was measured; NaN, None or empty where it was not."""

    modes: tuple[Mode, ...] = ()
    step_modes: tuple[Mode, ...] = ()
    growth_per_step: float = _NAN
    turn: float = _NAN
    largest_step: float = _NAN
    decays_in_flow: bool | None = None
    growth_in_flow: float = _NAN
    fastest: float = _NAN
    noise: Noise | None = None
    logits: Logits | None = None
    rates: Players | None = None
    speeds: Players | None = None
    near_equilibrium: bool = False
    horizon: float = _NAN
    drift_beside: float = _NAN
    damping_error: float = 0.0  # Relative to the angular speed, as the damping.


def findings(seen: Evidence) -> tuple[Finding, ...]:
    """All diseases, the strongest first; those that could not be looked for last."""
    found = [_cycling(seen), _step(seen), _discriminator(seen), _logits(seen)]
    # What else is wrong makes noise grow: how far it carries is no matter of the batch then.
    alone = not any(each.strength >= _thresholds.FOUND for each in found)
    if alone and (large := _steps_for_the_noise(seen)) is not None:
        found[1], alone = large, False
    found.append(_batch(seen, alone))
    return tuple(sorted(found, key=lambda each: np.nan_to_num(-each.strength, nan=np.inf)))


def something_is_found(seen: Evidence) -> bool:
    """Whether any evidence is over its threshold."""
    return any(each.strength >= _thresholds.FOUND for each in findings(seen))


def leading_rotation(modes: tuple[Mode, ...]) -> Mode | None:
    """Of the modes of the field that turn as fast as the fastest but for a factor, the one that decays least."""
    fastest = max((mode.value.imag for mode in modes if mode.does != "flat"), default=0.0)
    turning = [
        m for m in modes if m.does != "flat" and m.value.imag > 0 and m.value.imag >= _thresholds.TURNS * fastest
    ]
    return max(turning, key=lambda mode: mode.value.real, default=None)


def _cycling(seen: Evidence) -> Finding:
    if not seen.modes:
        return Finding(DISEASES.cycling, _NAN, "the modes of the field were not measured")
    mode = leading_rotation(seen.modes)
    if mode is None:
        return Finding(DISEASES.cycling, 0.0, "no mode of the field turns", {"angular_speed": 0.0})
    damping = -mode.value.real / mode.value.imag
    # What the update makes of it: a rule that damps rotations has cured them.
    rate = _rate_of_rotation(seen)
    damped = max(damping, -rate.real / abs(rate.imag)) if rate is not None and rate.imag else damping
    strength = _thresholds.CYCLES / max(damped, 0.05 * _thresholds.CYCLES)
    # No cycle is seen by who leaves before it turns, and none is what something else outgrows before.
    turned = seen.horizon * seen.turn if seen.turn > 0 else _NAN
    growing = max([m.value.real for m in seen.modes if m.value.imag == 0 and m.does == "grows"], default=0.0)
    wide = False
    if not np.isnan(turned):
        # Where the drift is the rotation itself it carries the state around, and not away; but on a circle so wide the
        # linear part of one place does not tell what a whole turn does.
        wide = (
            strength >= _thresholds.FOUND > turned / _thresholds.TURNED and seen.drift_beside < _thresholds.DRIFT_TURNS
        )
        strength = min(strength, turned / _thresholds.TURNED)
    strength *= min(1.0, mode.value.imag / growing) if growing > 0 else 1.0
    # By its damping alone it is a cycle: that it has no time to turn makes it no healthy one.
    cut_short = not wide and damped <= _thresholds.CYCLES and strength < _thresholds.FOUND
    numbers = {
        "angular_speed": mode.value.imag, "damping": damping, "damping_in_steps": damped,
        "damping_error": seen.damping_error, "turned_in_horizon": turned, "drift_beside_rotation": seen.drift_beside,
        "growing": growing, "discriminator_share": mode.shares.discriminator,
    }  # fmt: skip
    lost = 100 * (1 - np.exp(-2 * np.pi * max(damped, 0)))
    kept = "grows" if damped < -1e-9 else f"loses {lost:.2g} % in a turn" if lost > 1e-6 else "loses nothing in a turn"
    within = f" ± {number(seen.damping_error, 1)}" if seen.damping_error > 0 else ""
    sentence = (
        f"the leading rotation {kept}, at damping {number(damping, 3)}{within} in the flow (cycling below "
        f"{_thresholds.CYCLES})"
    )
    if strength >= _thresholds.FOUND and damped <= _thresholds.CYCLES < damped + seen.damping_error:
        return Finding(DISEASES.cycling, _NAN, f"{sentence}, which more samples in `args` would tell", numbers)
    if wide:
        sentence += ", but it is wide beside the state: follow it for a turn, by `analysis.Watch` or `classify`"
        return Finding(DISEASES.cycling, _NAN, sentence, numbers)
    if cut_short:
        sentence += f", but {_what_comes_before(turned, growing, mode.value.imag)}: `analysis.Watch` follows it further"
    return Finding(DISEASES.cycling, float(strength), sentence, numbers | {"cut_short": float(cut_short)})


def _what_comes_before(turned: float, growing: float, angular_speed: float) -> str:
    """Why a rotation that is hardly damped is not seen to go round."""
    if growing > angular_speed:
        return f"another mode grows faster, by {number(growing, 3)} in the time of {number(angular_speed, 3)} radians"
    return f"it turns by {number(turned, 2)} radians only before the drift has left the state"


def _rate_of_rotation(seen: Evidence) -> complex | None:
    """Of the leading rotation of the steps."""
    turning = [mode for mode in seen.step_modes if mode.does in ("cycles", "spirals", "grows") and mode.rate.imag > 0]
    fastest = max((mode.rate.imag for mode in turning), default=0.0)
    turning = [mode for mode in turning if mode.rate.imag >= _thresholds.TURNS * fastest]
    return max((mode.rate for mode in turning), key=lambda rate: rate.real, default=None)


def _step(seen: Evidence) -> Finding:
    if np.isnan(seen.largest_step) or seen.decays_in_flow is None:
        return Finding(DISEASES.step_too_large, _NAN, "the modes of the steps were not measured")
    numbers = {"largest_step": seen.largest_step, "growth_in_flow": seen.growth_in_flow}
    fast = seen.growth_in_flow / _thresholds.UNRESOLVED
    # What grows in steps so short that the flow is resolved grows by being hardly damped: that is cycling, or noise.
    resolved = seen.fastest < _thresholds.SLOW
    # Where no step at all keeps the modes from growing, a smaller one is no help.
    counts = seen.decays_in_flow and seen.largest_step > 0 and not resolved
    blown_up = _thresholds.STEP_MARGIN / max(seen.largest_step, 1e-3) if counts else 0.0
    if fast > blown_up and fast >= _thresholds.FOUND:
        sentence = f"in the time of a step a mode grows by {number(seen.growth_in_flow, 3)} in the flow: not resolved"
    elif resolved:
        sentence = f"the fastest mode moves by {number(seen.fastest, 3)} of itself in a step: the flow is resolved"
    elif counts:
        sentence = f"the largest step at which nothing grows is {number(seen.largest_step, 4)} times the present one"
    else:
        sentence = "something grows at every step size, and slowly in a step, so that the step is not what matters"
    return Finding(DISEASES.step_too_large, float(max(fast, blown_up)), sentence, numbers)


def _steps_for_the_noise(seen: Evidence) -> Finding | None:
    """The steps as what is wrong, where noise carries samples far although the batch suffices for the drift."""
    noise = seen.noise
    if noise is None or not noise.batch or not noise.jitter >= _thresholds.JITTER:
        return None
    if not noise.trusted_batch < _thresholds.SUFFICES * noise.batch:
        return None
    sentence = (
        f"{_carried(noise.jitter)}, though a step needs {noise.samples_needed} and has {noise.batch:,}: its length "
        "makes noise of that, and not the batch"
    )
    numbers = {"largest_step": seen.largest_step, "growth_in_flow": seen.growth_in_flow, "jitter": noise.jitter}
    return Finding(DISEASES.step_too_large, noise.jitter / _thresholds.JITTER, sentence, numbers)


def _carried(jitter: float) -> str:
    return (
        f"in {_thresholds.JITTER_STEPS} steps noise alone carries a sample by {number(jitter, 2)} of the data's spread"
    )


def _discriminator(seen: Evidence) -> Finding:
    disease = DISEASES.discriminator_too_fast
    if seen.rates is None:
        return Finding(disease, _NAN, "the players' rates are not known")
    ratio = seen.rates.discriminator / max(seen.rates.generator, 1e-300)
    numbers = {"rate_ratio": ratio}
    if seen.logits is None:
        strength = ratio / _thresholds.RATE_RATIO / 2
        return Finding(
            disease, strength, f"the discriminator's rate is {number(ratio, 3)} times the generator's", numbers
        )
    spread = np.sqrt((seen.logits.data_spread**2 + seen.logits.sample_spread**2) / 2)
    gap = seen.logits.data_mean - seen.logits.sample_mean
    separation = max(gap, 0.0) / spread if spread > 0 else 0.0
    faster = ratio / _thresholds.RATE_RATIO
    strength = np.sqrt(faster * separation / _thresholds.SEPARATION)
    # Where the rates are alike it is not they that tell the scores apart.
    strength = strength if faster >= _thresholds.FOUND else min(strength, faster)
    sentence = (
        f"its rate is {number(ratio, 3)} times the generator's, and its scores tell data from samples by "
        f"{number(separation, 3)} standard deviations"
    )
    return Finding(disease, float(strength), sentence, numbers | {"separation": float(separation)})


def _logits(seen: Evidence) -> Finding:
    if seen.logits is None:
        return Finding(DISEASES.vanishing_logits, _NAN, "the game has no scores")
    strength = _thresholds.SLOPE_LEFT / max(seen.logits.slope, 1e-3 * _thresholds.SLOPE_LEFT)
    sentence = (
        f"of the slope of the generator's loss {number(seen.logits.slope, 3)} is left, and "
        f"{number(100 * seen.logits.saturation, 3)} % of the scores are saturated"
    )
    numbers = {"slope": seen.logits.slope, "saturation": seen.logits.saturation}
    return Finding(DISEASES.vanishing_logits, float(strength), sentence, numbers)


def _batch(seen: Evidence, alone: bool) -> Finding:
    if seen.noise is None:
        return Finding(DISEASES.batch_too_small, _NAN, "the noise was not measured")
    if not seen.noise.batch or seen.noise.variance == 0:
        return Finding(DISEASES.batch_too_small, 0.0, "there is no minibatch, and no noise", {"trusted_batch": 0.0})
    ratio = seen.noise.trusted_batch / seen.noise.batch
    # Where the drift does not show, it is at most its error.
    bound = seen.noise.variance / max(seen.noise.drift, seen.noise.drift_error, 1e-300)
    strength = min(ratio, bound) / _thresholds.NOISY
    sentence = (
        f"noise of {number(np.sqrt(seen.noise.variance), 3)} on a drift whose square is {number(seen.noise.drift, 3)}: "
        f"a step needs {seen.noise.samples_needed} and has {seen.noise.batch:,}"
    )
    numbers = {"trusted_batch": seen.noise.trusted_batch, "jitter": seen.noise.jitter}
    carried = seen.noise.jitter / _thresholds.JITTER
    if alone and carried > strength:
        strength = carried
        sentence = f"{_carried(seen.noise.jitter)} (too small a batch above {_thresholds.JITTER}); {sentence}"
    return Finding(DISEASES.batch_too_small, float(strength), sentence, numbers)


def verdict(seen: Evidence, found: tuple[Finding, ...]) -> tuple[DISEASES, str]:
    """The disease, and one sentence."""
    there = [each for each in found if each.strength >= _thresholds.FOUND]
    if there:
        disease, said = there[0].disease, there[0].sentence
    elif open_ := [each for each in found if each.disease in _NEEDED and _is_open(each)]:
        disease, said = DISEASES.undecided, f"{open_[0].disease} is open: {open_[0].sentence}"
    else:
        disease, said = DISEASES.healthy, _healthy(seen)
    others = ", ".join(str(each.disease) for each in there[1:])
    also = f"; also {others}" if others else ""
    return disease, f"{said}{also}. {_scope(seen)}"


def _is_open(finding: Finding) -> bool:
    return bool(np.isnan(finding.strength) or finding.numbers.get("cut_short", 0.0))


def _healthy(seen: Evidence) -> str:
    if np.isnan(seen.growth_per_step):
        return "none of what was looked for was found"
    if seen.growth_per_step > 0:
        return f"none of what was looked for was found, though a mode grows by {number(seen.growth_per_step, 3)} a step"
    return f"the modes that count decay, the slowest by {number(-seen.growth_per_step, 3)} a step"


def _scope(seen: Evidence) -> str:
    if seen.near_equilibrium:
        return "The state is an equilibrium: this is what small disturbances do."
    steps = number(max(1, round(seen.horizon))) if np.isfinite(seen.horizon) else "few"
    return f"Not near an equilibrium: these are statements about the next {steps} steps."


def treats(disease: DISEASES) -> tuple[str, ...]:
    """The remedies of what is not a matter of modes, or not of their growth alone."""
    # A rotation stays one at any step and any ratio of rates: it needs damping.
    damping = ("R1", "R2", "gradient norm", "consensus", "extragradient", "optimistic", "alternating")
    return {
        DISEASES.cycling: (*damping, "negative momentum"),
        DISEASES.step_too_large: ("smaller step",),
        DISEASES.batch_too_small: ("larger batch",),
        DISEASES.vanishing_logits: ("non-saturating loss", "R1", "R2"),
        DISEASES.discriminator_too_fast: ("ratio of rates", "R1", "R2"),
    }.get(disease, ())


def sort_key(disease: DISEASES) -> Any:
    """Orders remedies: what treats the disease first where modes do not tell, then by progress.

    Progress that is equal to two digits is a tie, as where the memory of an optimizer bounds it; the cheaper one comes
    first, then the one that leaves more room for the step.
    """
    first = treats(disease)
    # Rates are no matter of modes: what makes them equal comes first, whatever grows or decays.
    by_name = disease == DISEASES.discriminator_too_fast

    def key(remedy: Remedy) -> Any:
        known = np.isfinite(remedy.progress)
        progress = float(f"{remedy.progress:.1e}") if known else -np.inf
        place = first.index(remedy.name) if remedy.name in first and by_name else 0
        return (
            remedy.name not in first,
            place,
            -progress,
            remedy.cost,
            -np.nan_to_num(remedy.largest_step, posinf=1e300),
        )

    return key
