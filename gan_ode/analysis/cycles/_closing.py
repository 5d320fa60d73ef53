"""What two tolerances say of a trial turn: how it is closed, and with what errors."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..._types import Scalar
from ._floquet import Correction, Turn

# A step this small against the tolerance, or against the error, is noise.
_SETTLED, _FAR_BELOW = 5.0, 0.3
# What the tolerances must agree to, relative to size and period; and what multipliers must.
_AGREE, _AGREE_ON_MULTIPLIERS = {4: 1e-3, 8: 1e-6}, {4: 1e-1, 8: 1e-3}
# What must be known of the end of a turn, relative to its size, where only that tells a family of cycles from a spiral.
_KNOWN = {4: 1e-4, 8: 1e-8}
# A multiplier is 1 within so many times its error, and the end of a turn is its start.
_MULTIPLIER, _END = 10.0, 3.0


class Looser(eqx.Module):
    """The end of a turn at the looser tolerance, and the derivative of the return map."""

    end: Float[Array, " n"]
    return_map: Float[Array, "m m"]
    ok: Bool[Array, ""]

    @classmethod
    def of(cls, turn: Turn) -> "Looser":
        return cls(turn.ys[-1], turn.return_map, turn.ok)


class Closing(eqx.Module):
    """What two tolerances say of a trial turn.

    Attributes:
        turn: The turn at the finer one.
        correction: How gaps are closed here.
        step: Coordinates of the Newton step across the flow that closes this one.
        delay: The change of the period with it.
        left: What of the gap no step closes, relative to the size: the drift of a spiral.
        y_error: How far the tolerances are apart in the closed point.
        period_error: In its period.
        map_error: In the derivative of the return map.
        end_error: In the end of the turn, relative to the size.
        ok: Whether the flow got around at both, and everything is a number.
        settled: Whether the step is no more than the error.
        agrees: Whether the errors are small enough to go by.
    """

    turn: Turn
    correction: Correction
    step: Float[Array, " m"]
    delay: Scalar
    left: Scalar
    y_error: Scalar
    period_error: Scalar
    map_error: Scalar
    end_error: Scalar
    ok: Bool[Array, ""]
    settled: Bool[Array, ""]
    agrees: Bool[Array, ""]

    @property
    def move(self) -> Float[Array, " n"]:
        return self.turn.across @ self.step

    @property
    def closes(self) -> Bool[Array, ""]:
        """Whether what no step closes is no more than the error."""
        return self.left <= _END * self.end_error

    @property
    def resolution(self) -> Scalar:
        """How far from 1 a multiplier can be and still be 1."""
        return _MULTIPLIER * self.map_error

    @classmethod
    def of(cls, loose: Looser, fine: Turn, rtol: Scalar, num_family: Array | int = 0) -> "Closing":
        """From a turn at both tolerances.

        Args:
            loose: At the looser one.
            fine: At the finer one.
            rtol: The finer relative tolerance.
            num_family: So many directions at least are left alone: those in which the return map moves least.
        """
        itemsize, size, period = max(rtol.dtype.itemsize, 4), fine.size, fine.period
        rounding = 16 * jnp.finfo(rtol.dtype).eps * jnp.max(jnp.abs(fine.ys)) + rtol * size
        apart = fine.ys[-1] - loose.end
        end_error = (jnp.linalg.norm(apart) + rounding) / size
        stretch = 1 + jnp.linalg.norm(fine.return_map)
        map_error = jnp.linalg.norm(fine.return_map - loose.return_map) + 10 * rtol * stretch
        correction = Correction.of(fine, _MULTIPLIER * map_error, num_family)
        step, delay = correction.closing(fine, fine.gap)
        step_apart, delay_apart = correction.closing(fine, apart)
        y_error = jnp.linalg.norm(step_apart) + correction.amplification * rounding
        period_error = jnp.abs(delay_apart) + rounding / jnp.linalg.norm(fine.velocities[0]) + rtol * period
        moved = jnp.linalg.norm(step)
        known = (correction.num_neutral == 0) | (end_error <= _KNOWN[itemsize])
        return cls(
            turn=fine,
            correction=correction,
            step=step,
            delay=delay,
            left=jnp.linalg.norm(correction.left_open @ fine.on_section(fine.gap)) / size,
            y_error=y_error,
            period_error=period_error,
            map_error=map_error,
            end_error=end_error,
            ok=loose.ok & fine.ok & jnp.isfinite(moved) & jnp.isfinite(delay),
            settled=(moved <= jnp.maximum(_SETTLED * rtol * size, _FAR_BELOW * y_error))
            & (jnp.abs(delay) <= jnp.maximum(_SETTLED * rtol * period, _FAR_BELOW * period_error)),
            agrees=known
            & (y_error <= _AGREE[itemsize] * size)
            & (period_error <= _AGREE[itemsize] * period)
            & (map_error <= _AGREE_ON_MULTIPLIERS[itemsize] * stretch),
        )
