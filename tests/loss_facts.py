"""Every loss there is, each with what is known of it in closed form: its part of the catalogue.

`tests/losses` runs over all of it: a new loss is tested by an entry here. Closed forms are written in NumPy, from
derivations by hand; nothing here evaluates a loss of the package.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from gan_ode import losses

Curve = Callable[[np.ndarray], np.ndarray]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(x / 2))


def minus(curve: Curve) -> Curve:
    return lambda s: -curve(s)


@dataclasses.dataclass(frozen=True, eq=False)
class LossFacts:
    """A loss of scores.

    Attributes:
        make: The loss.
        data: What data are paid for a score.
        slope_of_data: Its derivative.
        sample: What samples are paid.
        slope_of_sample: Its derivative.
        generator: What the generator pays.
        slope_of_generator: Its derivative.
        slope: Of what data are paid at the equilibrium's score.
        curvature: The mean of the second derivatives of what data and samples are paid there.
        score: The equilibrium's score.
        scores: From where to where scores are finite and tame.
    """

    make: Callable[[], losses.AbstractScoreLoss]
    data: Curve
    slope_of_data: Curve
    sample: Curve
    slope_of_sample: Curve
    generator: Curve
    slope_of_generator: Curve
    slope: float
    curvature: float
    score: float = 0.0
    scores: tuple[float, float] = (-1e4, 1e4)

    @property
    def f(self) -> Curve:
        """Of a loss of one function."""
        return self.data

    @property
    def slope_of_f(self) -> Curve:
        return self.slope_of_data


def one_function(make: Any, f: Curve, slope_of_f: Curve, **others: Any) -> LossFacts:
    """Data are paid f(s), samples f(-s)."""
    return LossFacts(make, f, slope_of_f, lambda s: f(-s), lambda s: -slope_of_f(-s), **others)


def zero_sum(
    make: Any, data: Curve, slope_of_data: Curve, sample: Curve, slope_of_sample: Curve, **others: Any
) -> LossFacts:
    return LossFacts(make, data, slope_of_data, sample, slope_of_sample, sample, slope_of_sample, **others)


ONE_FUNCTION = {
    "minimax": one_function(
        losses.Minimax,
        f=lambda x: -np.logaddexp(0, -x),
        slope_of_f=lambda x: sigmoid(-x),
        generator=lambda s: -np.logaddexp(0, s),
        slope_of_generator=lambda s: -sigmoid(s),
        slope=1 / 2,
        curvature=-1 / 4,
    ),
    "non_saturating": one_function(
        losses.NonSaturating,
        f=lambda x: -np.logaddexp(0, -x),
        slope_of_f=lambda x: sigmoid(-x),
        generator=lambda s: np.logaddexp(0, -s),
        slope_of_generator=lambda s: -sigmoid(-s),
        slope=1 / 2,
        curvature=-1 / 4,
    ),
    "wasserstein": one_function(
        losses.Wasserstein,
        f=lambda x: x,
        slope_of_f=np.ones_like,
        generator=lambda s: -s,
        slope_of_generator=lambda s: -np.ones_like(s),
        slope=1.0,
        curvature=0.0,
    ),
    "least_squares": one_function(
        losses.LeastSquares,
        f=lambda x: -((1 - x) ** 2) / 2,
        slope_of_f=lambda x: 1 - x,
        generator=lambda s: (1 - s) ** 2 / 2,
        slope_of_generator=lambda s: s - 1,
        slope=1.0,
        curvature=-1.0,
    ),
    "hinge": one_function(
        losses.Hinge,
        f=lambda x: np.minimum(0, x - 1),
        slope_of_f=lambda x: np.where(x < 1, 1.0, 0.0),
        generator=lambda s: -s,
        slope_of_generator=lambda s: -np.ones_like(s),
        slope=1.0,
        curvature=0.0,
    ),
}

# T and f* of each; exponentials of scores up to 4 keep the digits that are asked for.
_NEAR = (-4.0, 4.0)
TWO_FUNCTIONS = {
    "kl": zero_sum(
        losses.KL,
        lambda s: 1 + s,
        np.ones_like,
        minus(np.exp),
        minus(np.exp),
        slope=1.0,
        curvature=-1 / 2,
        scores=_NEAR,
    ),
    "reverse_kl": zero_sum(
        losses.ReverseKL,
        lambda s: -np.exp(-s),
        lambda s: np.exp(-s),
        lambda s: 1 - s,
        lambda s: -np.ones_like(s),
        slope=1.0,
        curvature=-1 / 2,
        scores=_NEAR,
    ),
    "pearson_chi_squared": zero_sum(
        losses.PearsonChiSquared,
        lambda s: s,
        np.ones_like,
        lambda s: -s - s**2 / 4,
        lambda s: -1 - s / 2,
        slope=1.0,
        curvature=-1 / 4,
        scores=_NEAR,
    ),
    "neyman_chi_squared": zero_sum(
        losses.NeymanChiSquared,
        lambda s: 1 - np.exp(-s),
        lambda s: np.exp(-s),
        lambda s: 2 * np.exp(-s / 2) - 2,
        lambda s: -np.exp(-s / 2),
        slope=1.0,
        curvature=-1 / 4,
        scores=_NEAR,
    ),
    "squared_hellinger": zero_sum(
        losses.SquaredHellinger,
        lambda s: 1 - np.exp(-s),
        lambda s: np.exp(-s),
        lambda s: 1 - np.exp(s),
        minus(np.exp),
        slope=1.0,
        curvature=-1.0,
        scores=_NEAR,
    ),
    "jensen_shannon": zero_sum(
        losses.JensenShannon,
        lambda s: np.log(2) - np.logaddexp(0, -s),
        lambda s: sigmoid(-s),
        lambda s: np.log(2) - np.logaddexp(0, s),
        lambda s: -sigmoid(s),
        slope=1 / 2,
        curvature=-1 / 4,
    ),
    "jensen_shannon_non_saturating": LossFacts(
        lambda: losses.JensenShannon(non_saturating=True),
        lambda s: np.log(2) - np.logaddexp(0, -s),
        lambda s: sigmoid(-s),
        lambda s: np.log(2) - np.logaddexp(0, s),
        lambda s: -sigmoid(s),
        lambda s: np.logaddexp(0, -s) - np.log(2),
        lambda s: -sigmoid(-s),
        slope=1 / 2,
        curvature=-1 / 4,
    ),
    "squared_hellinger_non_saturating": LossFacts(
        lambda: losses.SquaredHellinger(non_saturating=True),
        lambda s: 1 - np.exp(-s),
        lambda s: np.exp(-s),
        lambda s: 1 - np.exp(s),
        minus(np.exp),
        lambda s: np.exp(-s) - 1,
        lambda s: -np.exp(-s),
        slope=1.0,
        curvature=-1.0,
        scores=_NEAR,
    ),
    "alpha_half": zero_sum(
        lambda: losses.Alpha(0.5),
        lambda s: s,
        np.ones_like,
        lambda s: -2 * s / (2 - s),
        lambda s: -4 / (2 - s) ** 2,
        slope=1.0,
        curvature=-1 / 2,
        scores=(-4.0, 1.5),
    ),
    "alpha_three_halves": zero_sum(
        lambda: losses.Alpha(1.5),
        lambda s: s,
        np.ones_like,
        lambda s: 2 / 3 * (1 - np.maximum(1 + s / 2, 0) ** 3),
        lambda s: -(np.maximum(1 + s / 2, 0) ** 2),
        slope=1.0,
        curvature=-1 / 2,
        scores=_NEAR,
    ),
    # f(u) = (u - 1) log u: Jeffreys, with u = exp(s / 2).
    "f_divergence": zero_sum(
        lambda: losses.FDivergence(lambda u: (u - 1) * jnp.log(u)),
        lambda s: s / 2 + 1 - np.exp(-s / 2),
        lambda s: 1 / 2 + np.exp(-s / 2) / 2,
        lambda s: 1 - s / 2 - np.exp(s / 2),
        lambda s: -1 / 2 - np.exp(s / 2) / 2,
        slope=1.0,
        curvature=-1 / 4,
        scores=_NEAR,
    ),
    "maximum_likelihood": one_function(
        losses.MaximumLikelihood,
        f=lambda x: -np.logaddexp(0, -x),
        slope_of_f=lambda x: sigmoid(-x),
        generator=lambda s: -np.exp(s) / 2,
        slope_of_generator=lambda s: -np.exp(s) / 2,
        slope=1 / 2,
        curvature=-1 / 4,
        scores=_NEAR,
    ),
    "least_squares_labels": LossFacts(
        lambda: losses.LeastSquares(0.5, -1.5, -0.75),
        lambda s: -((s + 1.5) ** 2) / 2,
        lambda s: -(s + 1.5),
        lambda s: -((s - 0.5) ** 2) / 2,
        lambda s: 0.5 - s,
        lambda s: (s + 0.75) ** 2 / 2,
        lambda s: s + 0.75,
        slope=-1.0,
        curvature=-1.0,
        score=-0.5,
    ),
    "le_cam": LossFacts(
        lambda: losses.LeCam(losses.Wasserstein(), 0.3, 0.2),
        lambda s: s - 0.3 * (s + 0.2) ** 2,
        lambda s: 1 - 0.6 * (s + 0.2),
        lambda s: -s - 0.3 * (s - 0.2) ** 2,
        lambda s: -1 - 0.6 * (s - 0.2),
        lambda s: -s,
        lambda s: -np.ones_like(s),
        slope=1 - 0.6 * 0.2,
        curvature=-0.6,
    ),
}
LOSSES = ONE_FUNCTION | TWO_FUNCTIONS


@dataclasses.dataclass(frozen=True, eq=False)
class PairFacts:
    """A loss of differences of scores, which takes the payment and the pay of the generator of its base.

    Attributes:
        make: The loss.
        base: Of the scores.
        average: Whether each score meets the mean of the other kind, in the place of each other score.
    """

    make: Callable[[], losses.AbstractObjective]
    base: LossFacts
    average: bool


_PAIRED = {"relativistic": losses.Relativistic, "relativistic_average": losses.RelativisticAverage}
PAIRS = {
    f"{kind}_{name}": PairFacts(
        lambda make=make, facts=LOSSES[name]: make(facts.make()), LOSSES[name], average=kind == "relativistic_average"
    )
    for kind, make in _PAIRED.items()
    for name in ["minimax", "non_saturating", "least_squares"]
}
