"""What a watch reads, one reading or a history of them: as numbers, as a line of text, as a dataset."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int

from ..._printing import number, printed, Report
from ...games import Players
from ._modes import log_growth, turn

# More than this factor a turn is not written as a percentage; nor is a loss of more than so many percent.
_MANYFOLD = 10.0
_ALL_BUT = 99.5


@printed
class Reading(eqx.Module):
    r"""What a watch saw of training at a step; with a leading axis on every array, at several steps.

    It prints as one line; a history prints its last line and when cycling set in.

    Attributes:
        step: How many steps had been made.
        speed: $\lVert F \rVert$, the norm of the velocity.
        speeds: Those of the two players; None for a state that is no pair.
        path_angle: The cosine of the angle between the way since the last reading and the way before that: near 1 where
            training goes straight on, below 0 where it comes back. NaN until there were three readings.
        rotation_share: The antisymmetric part's share of the field's Jacobian, by random vectors: `rotation_share`.
        noise: The part of the velocity that is noise of the minibatch, from its two halves: 0 none, 1 all of it. NaN
            where there is no minibatch.
        change: The leading multiplier $m$ of a training step, with its memory, minus one.
        residual: By how much it misses: the norm of $J v - m v$ for the unit vector found.
        share: How much of the step lies in the plane of that mode, from 0 to 1.
        turning: Whether that mode is known well enough, turns, does not die out, and is part of the motion.
        back: Whether the path comes back (an angle below 0) by more than noise and without running out of speed.
        since: The first step of the readings in a row that see one or the other; -1 if this one sees neither.
        cycling: Whether at least three in a row do.
    """

    step: Int[Array, "*readings"]
    speed: Float[Array, "*readings"]
    speeds: Players[Float[Array, "*readings"]] | None
    path_angle: Float[Array, "*readings"]
    rotation_share: Float[Array, "*readings"]
    noise: Float[Array, "*readings"]
    change: Complex[Array, "*readings"]
    residual: Float[Array, "*readings"]
    share: Float[Array, "*readings"]
    turning: Bool[Array, "*readings"]
    back: Bool[Array, "*readings"]
    since: Int[Array, "*readings"]
    cycling: Bool[Array, "*readings"]

    @property
    def multiplier(self) -> Complex[Array, "*readings"]:
        """The leading multiplier of a training step."""
        return 1 + self.change

    @property
    def period(self) -> Float[Array, "*readings"]:
        """Steps in which the leading mode turns once; infinite if it does not turn."""
        return 2 * jnp.pi / turn(self.change)

    @property
    def growth(self) -> Float[Array, "*readings"]:
        """The factor by which the leading mode grows in a turn; in a step, if it does not turn."""
        turns = jnp.where(turn(self.change) > 0, self.period, 1.0)
        return jnp.exp(turns * log_growth(self.change))

    @property
    def onset(self) -> int | None:
        """The step since which the history cycles, or did first; None if it never does."""
        cycling = np.atleast_1d(np.asarray(self.cycling))
        return int(np.atleast_1d(np.asarray(self.since))[cycling][0]) if cycling.any() else None

    @property
    def dataset(self) -> Any:
        """An `xarray.Dataset` over `step`, to be written as netCDF; complex numbers are kept as two real ones.

        Raises:
            ImportError: If xarray is not installed.
        """
        try:
            # Not with the package: xarray takes long to import.
            import xarray
        except ImportError as error:
            raise ImportError(
                "`dataset` needs xarray, which is not installed: take `pip install 'gan_ode[experiments]'`, or use the "
                "arrays as they are."
            ) from error
        names = (
            "speed",
            "path_angle",
            "rotation_share",
            "noise",
            "residual",
            "share",
            "turning",
            "back",
            "since",
            "cycling",
        )
        values = {name: getattr(self, name) for name in (*names, "period", "growth")}
        values |= {"multiplier_real": self.multiplier.real, "multiplier_imag": self.multiplier.imag}
        if self.speeds is not None:
            values |= {f"speed_{player}": getattr(self.speeds, player) for player in ("discriminator", "generator")}
        columns = {name: ("step", np.atleast_1d(np.asarray(value))) for name, value in values.items()}
        return xarray.Dataset(columns, {"step": np.atleast_1d(np.asarray(self.step))})

    def _report(self) -> Report:
        if np.ndim(self.step) == 0:
            return Report("", plain=self._line())
        last = jax.tree.map(lambda leaf: leaf[-1], self)
        said = "no cycling" if self.onset is None else f"cycling since step {self.onset:,}"
        return Report("", plain=f"{np.size(self.step):,} readings, {said}; the last:\n{last._line()}")

    def _line(self) -> str:
        """A reading as one line, for logs."""
        speeds = [self.speed] if self.speeds is None else [self.speeds.discriminator, self.speeds.generator]
        parts = {
            "step": f"{int(self.step):,}",
            "speed": " ".join(number(value, 3) for value in speeds),
            "path angle": _unless_nan(self.path_angle),
            "rotation": _unless_nan(self.rotation_share),
            "noise": _unless_nan(self.noise),
        }
        said = "  ".join(f"{name} {text}" for name, text in parts.items() if text is not None)
        return f"{said}  {self._verdict()}"

    def _verdict(self) -> str:
        """What the leading mode does, in words."""
        period, growth = float(self.period), float(self.growth)
        if not np.isfinite(growth):
            return "leading mode not finite"
        said = f"nothing turns, the leading mode {_grows(growth)} a step"
        if np.isfinite(period):
            said = f"period about {number(period, 3)} steps, {_grows(growth)} a turn"
        if not bool(self.turning):
            said = f"roughly {said}"
            if bool(self.back):
                turns = f"turns in about {number(period, 3)} steps" if np.isfinite(period) else "does not turn"
                each = "a turn" if np.isfinite(period) else "a step"
                said = f"the path comes back; the leading mode, known roughly, {turns}, {_grows(growth)} {each}"
        word = "CYCLING" if bool(self.cycling) else "turning"
        return said if int(self.since) < 0 else f"{word} since step {int(self.since):,}: {said}"


def _unless_nan(value: Any) -> str | None:
    return None if np.isnan(value) else f"{float(value):.2f}"


def _grows(factor: float) -> str:
    """The change by a factor in words."""
    if factor >= _MANYFOLD:
        return f"growing {number(factor, 2)}-fold"
    percent = 100 * (factor - 1)
    if percent < -_ALL_BUT:
        return "dying out"
    return f"growing {_whole(percent)} %" if percent >= 0 else f"dying {_whole(-percent)} %"


def _whole(percent: float) -> str:
    """Two digits, and no power of ten where there are more."""
    return f"{percent:,.0f}" if percent >= 10 else number(percent, 2)
