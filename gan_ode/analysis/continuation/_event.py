"""What happens on a branch: the events, and where each is."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int

from ..._printing import number, printed, Report, state
from ..._types import Scalar, State
from ..arclength._corrector import Chart
from ..arclength._extended import angle_of, eigenvalue_of, pin
from ..arclength._motion import AbstractMotion, eigenvalues_to_show
from ..arclength._signature import BRANCH_POINT, FLIP, FOLD, HOPF, NEIMARK_SACKER, NONE
from ._normal_form import normal_form, NormalForm, terms

WORDS: dict[int, str] = {
    NONE: "none",
    FOLD: "fold",
    BRANCH_POINT: "branch point",
    HOPF: "hopf",
    FLIP: "flip",
    NEIMARK_SACKER: "neimark-sacker",
}
CODES = {word: code for code, word in WORDS.items()}


@printed
class Event(eqx.Module):
    r"""A place on a branch where stability may change, or the branch turns or is crossed.

    Attributes:
        code: The kind as a number; `kind` is the word.
        value: The parameter there.
        state: The state there.
        eigenvalue: The critical eigenvalue: zero, or $i\omega$, of a field; the critical multiplier of an update.
        normal_form: The coefficient, and what it says; None under a transformation.
        flat: The state in flat form, with the memory of an update that has one.
        tangent: The branch's unit tangent in its coordinates, which `switch_branch` leaves from.
    """

    code: Int[Array, "*batch"]
    value: Scalar
    state: State
    eigenvalue: Complex[Array, "*batch"]
    normal_form: NormalForm | None
    flat: Float[Array, "*batch m"]
    tangent: Float[Array, "*batch z"] | None

    @property
    def kind(self) -> Any:
        """ "fold", "branch point", "hopf", "flip" or "neimark-sacker"; of a batch an array of words, "none" where there
        is no event. Concrete."""
        codes = np.asarray(self.code)
        words = np.vectorize(WORDS.__getitem__, otypes=[object])(codes)
        return words if codes.ndim else str(words)

    def _report(self) -> Report:
        form = self.normal_form
        said = "" if form is None else f", {form.criticality}"
        lines = {
            "state": state(self.state),
            "eigenvalue or multiplier": number(self.eigenvalue, 6),
            "coefficient": None if form is None else number(form.coefficient, 6),
        }
        return Report(f"Event: {self.kind} at {number(self.value, 10)}{said}", lines)


def event_at(motion: AbstractMotion, chart: Chart, code: int, z: Array, tangent: Array, eigenvalue: Array) -> Event:
    """An event by its place on the branch: found to rounding, with its normal form.

    Args:
        motion: The equations.
        chart: The branch's coordinates.
        code: The kind.
        z: The place, by coordinates.
        tangent: The branch's tangent there.
        eigenvalue: The critical eigenvalue of the residual.
    """
    kind: Any = WORDS[code]
    angle = angle_of(kind, eigenvalue)
    pinned = pin(motion, chart, kind, z, angle)
    if bool(pinned.ok):
        z, angle = pinned.z, pinned.angle
    x, value = chart.flat(z), chart.value(z)
    form = normal_form(kind, terms(motion, kind, x, value, angle), angle)
    return described(motion, chart, jnp.asarray(code), z, tangent, eigenvalue_of(kind, angle), form)


def described(
    motion: AbstractMotion,
    chart: Chart,
    code: Array,
    z: Array,
    tangent: Array | None,
    eigenvalue: Array,
    form: NormalForm | None = None,
) -> Event:
    """An event in the words of its users."""
    x = chart.flat(z)
    # As wide as the state, also where the eigenvalue is real, or a number of Python.
    eigenvalue = jnp.asarray(eigenvalue, jnp.result_type(z.dtype, jnp.complex64))
    shown = eigenvalues_to_show(eigenvalue, motion.is_map)
    return Event(code, chart.value(z), motion.state(x), shown, form, x, tangent)
