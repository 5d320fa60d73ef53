"""What an update does to a linear field of a few numbers: to all of a small state, or to the part that is looked at."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..._lowering import jit
from ..._types import Args, RealScalarLike, State
from ...games import Players
from ...updates import AbstractUpdate
from ..maps._multipliers import matrix_of_steps
from ..maps._rhythm import Rhythm, rhythm
from . import _thresholds

BATCH = 16


class LinearGame(eqx.Module):
    """The field $y' = A y$ of a state in flat form.

    Attributes:
        matrix: $A$.
        split: How many of the numbers are the discriminator's; None if the state is one array.
    """

    matrix: Float[Array, "n n"]
    split: int | None = eqx.field(static=True)

    def __call__(self, t: RealScalarLike, y: State, args: Args = None) -> State:
        if self.split is None:
            return self.matrix @ y
        moved = self.matrix @ jnp.concatenate([y.discriminator, y.generator])
        return Players(moved[: self.split], moved[self.split :])

    def rest(self) -> State:
        """The equilibrium at zero."""
        zero = jnp.zeros(len(self.matrix), self.matrix.dtype)
        return zero if self.split is None else Players(zero[: self.split], zero[self.split :])


class Steps(eqx.Module):
    """An update whose steps on linear fields are matrices, in state and memory.

    Attributes:
        update: The update.
        split: As of `LinearGame`.
        known: How it repeats.
    """

    update: AbstractUpdate
    split: int | None = eqx.field(static=True)
    known: Rhythm

    def matrices(self, fields: np.ndarray) -> np.ndarray:
        """The matrices of a period, of fields with a leading axis, in double precision."""
        num = len(fields)
        # In batches of one size, for one compiled program.
        filled = np.concatenate([fields, np.repeat(fields[-1:], -num % BATCH, axis=0)])
        parts = [_matrices(self, jnp.asarray(part, float)) for part in np.split(filled, len(filled) // BATCH)]
        return np.concatenate([np.asarray(part, np.float64) for part in parts])[:num]

    def multipliers(self, fields: np.ndarray) -> np.ndarray:
        """Multipliers per period, shape `(fields, m)`."""
        matrices = self.matrices(fields)
        found = np.full(matrices.shape[:2], np.nan + 0j)
        finite = np.all(np.isfinite(matrices), axis=(1, 2))
        if np.any(finite):
            found[finite] = np.linalg.eigvals(matrices[finite])
        return found

    def logarithms(self, fields: np.ndarray, flat: np.ndarray | None = None) -> np.ndarray:
        """Logarithms of the multipliers per step, NaN for as many nearest to one as the field has flat directions."""
        values = self.multipliers(fields)
        flat = num_flat(fields) if flat is None else flat
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log(values.astype(complex)) / self.known.period
        for row, num in enumerate(flat):
            logs[row, np.argsort(np.abs(values[row] - 1), kind="stable")[:num]] = np.nan
        return logs

    def growths(self, fields: np.ndarray, flat: np.ndarray | None = None) -> np.ndarray:
        """The largest growth per step of what is not flat, shape `(fields,)`; minus infinity if all is flat."""
        real = np.real(self.logarithms(fields, flat))
        return np.where(np.all(np.isnan(real), axis=1), -np.inf, np.nanmax(np.nan_to_num(real, nan=-np.inf), axis=1))


def steps_of(update: AbstractUpdate, num: int, split: int | None) -> Steps:
    """The update, ready to step on linear fields of so many numbers."""
    game = LinearGame(jnp.eye(num), split)
    return Steps(update, split, rhythm(update, game, game.rest(), None, strict=False))


@jit
def _matrices(steps: Steps, fields: Float[Array, "fields n n"]) -> Float[Array, "fields m m"]:
    def one(matrix: Array) -> Array:
        game = LinearGame(matrix, steps.split)
        return matrix_of_steps(steps.update, game, game.rest(), None, steps.known)

    return jax.lax.map(one, fields) if fields.shape[-1] > 8 else jax.vmap(one)(fields)


def num_flat(fields: np.ndarray) -> np.ndarray:
    """How many eigenvalues of each field are zero but for rounding."""
    fields = np.asarray(fields, np.float64)
    finite = np.where(np.isfinite(fields), fields, 0)
    norms = np.linalg.norm(finite, 2, axis=(1, 2))
    return np.sum(np.abs(np.linalg.eigvals(finite)) <= flat_below(norms)[:, None], axis=1)


def flat_below(norm: Any) -> np.ndarray:
    """Up to which modulus an eigenvalue is zero but for rounding, of a matrix of that norm."""
    return _thresholds.FLAT[precision()] * np.asarray(norm)


def precision() -> int:
    """Bytes of a number, as JAX is set."""
    return jnp.asarray(0.0, float).dtype.itemsize


def blocks(eigenvalues: np.ndarray) -> np.ndarray:
    """Real fields of two numbers with these eigenvalues and their conjugates, shape `(k, 2, 2)`."""
    a, b = np.real(eigenvalues), np.imag(eigenvalues)
    return np.stack([np.stack([a, -b], -1), np.stack([b, a], -1)], -2)
