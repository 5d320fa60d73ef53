"""Five sick GANs and a healthy one."""

import dataclasses
from typing import Any

from gan_ode import losses
from gan_ode.games import Players

from ._training import Regimen

_USUAL, _PLAIN = 1e-8, 1.0
# Five that are tried in training, of each patient.
PANEL = ("gradient norm", "R1", "ratio of rates", "smaller step", "larger batch")

# Where the loss can be changed, too: a step that does not move is not too large.
OF_SATURATED = ("gradient norm", "ratio of rates", "larger batch", "R1", "non-saturating loss")
# What takes the place of the saturating one.
OTHER_LOSS = losses.NonSaturating()


@dataclasses.dataclass(frozen=True)
class Patient:
    """A training, and what was planted in it.

    Attributes:
        disease: As `analysis.DISEASES` names it.
        loss: The loss.
        regimen: The numbers of the training.
        panel: The remedies that are tried.
    """

    disease: str
    loss: losses.AbstractObjective
    regimen: Regimen
    panel: tuple[str, ...] = PANEL


def regimen(**changes: Any) -> Regimen:
    """The healthy training, but for some changes."""
    rates = changes.pop("rates", (2e-3, 2e-3))
    usual = {"floor": _USUAL, "gamma": 0.1, "eta": 0.0, "batch": 64.0, "head_start": 0.0, "warm_up": 0.0, "away": 0.0}
    return Regimen(rates=Players(*rates), **{**usual, **changes})


def _sick(usual: dict[str, Any], away: float, drifting: float) -> tuple[Patient, ...]:
    stuck = {"rates": (0.1, 0.1), "floor": _PLAIN, "gamma": 0.0, "head_start": 500.0, "away": away}
    adrift = {"rates": (drifting, drifting), "floor": _PLAIN, "gamma": 0.0, "warm_up": 550.0}
    plain = losses.NonSaturating()
    return (
        Patient("cycling", losses.Wasserstein(), regimen(**{**usual, **adrift})),
        Patient("step too large", plain, regimen(**{**usual, "rates": (0.03, 0.03)})),
        Patient("discriminator too fast", plain, regimen(**{**usual, "rates": (0.01, 5e-5)})),
        Patient("vanishing logits", losses.Minimax(), regimen(**{**usual, **stuck}), OF_SATURATED),
        Patient("batch too small", plain, regimen(**{**usual, "batch": 2.0})),
    )


# On the digits the ring's training covers seven classes and keeps turning: they need smaller steps and more damping.
_ON_DIGITS = {"rates": (5e-4, 5e-4), "gamma": 5.0}
HEALTHY = {
    "ring": Patient("healthy", losses.NonSaturating(), regimen()),
    "digits": Patient("healthy", losses.NonSaturating(), regimen(**_ON_DIGITS)),
}
# A generator of gray levels would start white, where its last layer has no slope, if it started further away; and the
# Wasserstein loss on 64 gray levels diverges in ten turns at the ring's rates.
PATIENTS = {"ring": _sick({}, 3.0, 0.1), "digits": _sick(_ON_DIGITS, 1.0, 0.01)}
