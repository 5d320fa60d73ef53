"""A curve of events in the plane of two parameters, as a result."""

from typing import Any, Literal

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from ..._printing import leaf_name, number, printed, Report, state
from ..._types import Scalar, State
from ..arclength._extended import EventKind


@printed
class CurvePoint(eqx.Module):
    r"""A point on a curve of events where one more condition holds.

    Attributes:
        kind: "cusp", "bogdanov-takens", "generalized hopf", "fold-hopf", "hopf-hopf"; of cycles "cusp of
            cycles" and "generalized hopf"; of updates "cusp", "generalized
            flip", "chenciner", "fold-flip", "fold-neimark-sacker", "flip-neimark-sacker",
            "neimark-sacker-neimark-sacker", and the resonances "1:1", "1:2", "1:3", "1:4".
        first: The first parameter there.
        second: The second.
        state: The state.
        angle: Of a pair its frequency, or the angle of its multipliers; zero where there is none.
        index: Its number among the points of the curve.
    """

    kind: str = eqx.field(static=True)
    first: Scalar
    second: Scalar
    state: State
    angle: Scalar
    index: int = eqx.field(static=True)

    def _report(self) -> Report:
        title = f"CurvePoint: {self.kind} at ({number(self.first, 10)}, {number(self.second, 10)})"
        return Report(title, {"state": state(self.state), "frequency or angle": number(self.angle, 8)})


@printed
class EventCurve(eqx.Module):
    r"""A curve of one kind of event in the plane of two parameters, through turns in either.

    It runs so that the first parameter rises at the event that it was started at.

    Attributes:
        kind: What happens on it: "fold", "hopf", "flip", "neimark-sacker" or "fold of cycles".
        first: The first parameter along the curve, shape `(points,)`.
        second: The second, shape `(points,)`.
        states: The states, with a leading axis of points; of cycles a state on each.
        angles: Of a pair the frequency, or the angle of its multipliers, of cycles the frequency, shape `(points,)`;
            else zero.
        coefficients: The coefficient of the normal form, in the normalization of `NormalForm`, shape `(points,)`. That
            of a fold has the sign of a null vector, which is continued from point to point; of folds of cycles its
            unit is that of the null vectors on the mesh, so that its sign and its zero alone mean anything.
        points: The degenerate points on it, in its order; they are among its points.
        ended: Why it ended at its first point and at its last: "end of range", "closed loop", "step too small", "number
            of points", "left the domain", or the degenerate point that ends it.
        is_update: Whether it is of an update's fixed points.
    """

    kind: EventKind | Literal["fold of cycles"] = eqx.field(static=True)
    first: Float[Array, " points"]
    second: Float[Array, " points"]
    states: State
    angles: Float[Array, " points"]
    coefficients: Float[Array, " points"]
    points: tuple[CurvePoint, ...]
    ended: tuple[str, str] = eqx.field(static=True)
    is_update: bool = eqx.field(static=True)

    def to_xarray(self) -> Any:
        """The curve as a dataset along `point`; degenerate points along `degenerate`.

        Returns:
            An `xarray.Dataset`: `first`, `second`, each leaf of the state by its name, `angle`, `coefficient`, and
            `degenerate_kind`, `degenerate_first`, `degenerate_second`.

        Raises:
            ImportError: If xarray is not installed.
        """
        try:
            import xarray
        except ImportError as error:
            raise ImportError(
                "`to_xarray` needs xarray, which is not installed: take `pip install 'gan_ode[experiments]'`, or use "
                "`curve.first` and `curve.second`."
            ) from error
        variables: dict[str, Any] = {
            name: ("point", np.asarray(values))
            for name, values in (
                ("first", self.first),
                ("second", self.second),
                ("angle", self.angles),
                ("coefficient", self.coefficients),
            )
        }
        for path, leaf in jax.tree_util.tree_flatten_with_path(self.states)[0]:
            name, leaf = leaf_name(path, "state"), np.asarray(leaf)
            variables[name] = (["point", *(f"{name}_{axis}" for axis in range(leaf.ndim - 1))], leaf)
        variables["degenerate_kind"] = ("degenerate", np.array([each.kind for each in self.points], dtype=str))
        variables["degenerate_first"] = ("degenerate", np.array([float(each.first) for each in self.points]))
        variables["degenerate_second"] = ("degenerate", np.array([float(each.second) for each in self.points]))
        of = "update" if self.is_update else "field"
        return xarray.Dataset(variables, attrs={"kind": self.kind, "ended": list(self.ended), "of": of})

    def _report(self) -> Report:
        first, second = np.asarray(self.first), np.asarray(self.second)
        many = "1 degenerate point" if len(self.points) == 1 else f"{len(self.points)} degenerate points"
        lines = {
            "first parameter": f"{number(first.min(), 6)} to {number(first.max(), 6)}",
            "second parameter": f"{number(second.min(), 6)} to {number(second.max(), 6)}",
            "ended": " and ".join(self.ended),
        }
        rows = [(each.kind, number(each.first, 10), number(each.second, 10)) for each in self.points]
        what = "of an update" if self.is_update else "of a field"
        title = f"EventCurve: {self.kind} {what}, {len(first):,} points, {many}"
        return Report(title, lines, ("point", "first", "second"), rows)
