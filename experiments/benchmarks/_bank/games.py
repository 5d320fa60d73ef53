"""Flows of games: those of the package, near their equilibria and far out, and some with cycles that nobody wants."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy.special import ive

from experiments.benchmarks._bank import _independent
from experiments.benchmarks._bank._case import Case
from gan_ode import fields, games, losses, regularizers
from gan_ode.games import Players

TURN = 2 * np.pi
# `Case.reference` computes them anew.
_KNOWN: dict[str, dict[str, float]] = {
    "lq_wasserstein_near": {"period": 9.42493504106, "amplitude": 0.01},
    "lq_wasserstein": {"period": 9.82103747838, "amplitude": 0.5},
    "lq_wasserstein_negative_a": {"period": 11.0277823435, "amplitude": 1.0},
    "lq_wasserstein_7": {"period": 43.484264089, "amplitude": 7.0},
    "lq_wasserstein_-8": {"period": 49.3497922627, "amplitude": 8.0},
    "lq_wasserstein_-5": {"period": 31.872212177, "amplitude": 5.0},
    "lq_wasserstein_12": {"period": 73.0029828927, "amplitude": 12.0},
    "lq_wasserstein_far_a": {"period": 63.8367572394, "amplitude": 10.4542790186},
    # Of others above: an orbit of half-width 2, and one that meets no kink.
    "lq_wasserstein_scaled": {"period": 11.0277823435 / 2, "amplitude": 2.0},
    "lq_hinge_within": {"period": 9.82103747838, "amplitude": 0.5},
    "almost_bilinear": {"period": 6.38067580177, "amplitude": 1.18014145973},
    "almost_bilinear_slowly": {"period": 6.28322457699, "amplitude": 1.15471076228},
    "forsaken_from_inside": {"rate": -0.0447460017003},
    "forsaken_from_outside": {"period": 7.54800376177, "amplitude": 1.39870491894},
}


def _case(name: str, make: Callable, start: Players, source: str, **known: Any) -> Case:
    facts: dict[str, Any] = {"fate": "converges"} | _KNOWN.get(name, {}) | known
    return Case(name=name, make=make, start=start, source=source, **facts)


def _game(make: Callable[[], Any], *penalties: Any, **options: Any) -> Callable:
    """Makes the field of a game with penalties; both are made when it is asked for, in the precision of that time."""

    def field() -> fields.GameField:
        game = make()
        for penalty in penalties:
            game = regularizers.Penalized(game, penalty())
        return fields.GameField(game, **options)

    return field


# The two-parameter GAN.


def _lq(loss: Callable, half_width: float = 1.0, **options: bool) -> Callable:
    return lambda: games.LinearQuadratic(loss(), half_width, **options)


def _circling(w: float, a: float, longest: float) -> Callable[[], dict[str, float]]:
    """The linear-quadratic Wasserstein GAN in w and ln a."""
    return lambda: _independent.cycle(
        lambda w, p: ((1 - np.exp(2 * p)) / 3, 2 * w / 3), (w, np.log(abs(a))), longest, section=1,
        back=lambda y: np.stack([y[0], np.exp(y[1])]),
    )  # fmt: skip


def _wasserstein(name: str, w: float, a: float, longest: float, **more: Any) -> Case:
    source = "linear-quadratic WGAN by SciPy in w and ln a; Nagarajan and Kolter (2017), arXiv:1706.04156, section 2.3"
    start = Players(w, a)
    return _case(
        name, _game(_lq(losses.Wasserstein)), start, source, fate="cycles", reference=_circling(w, a, longest), **more
    )


def _abscissa(trace: float, determinant: float) -> float:
    return float(np.max(np.roots([1.0, -trace, determinant]).real))


def _lq_rate(slope: float, curvature: float, c: float = 1.0, eta: float = 0.0) -> float:
    """Of [[2 f'' c^4 / 5, -2 f' c / 3], [2 f' c / 3 (1 + 4 eta f'' / 5), -8 eta f'^2 / 9]]; with eta only at c = 1."""
    d, k = -2 * curvature * c**4 / 5, 2 * slope * c / 3
    e = 8 * eta * slope**2 / 9
    return _abscissa(-(d + e), d * e + k * k * (1 + 4 * eta * curvature / 5))


# Losses by two numbers: what they do far away is not in these, so that the starts are near by.
_BY_TWO_NUMBERS: dict[str, tuple[Callable, float, float]] = {
    "kl": (losses.KL, -1 / 5, 4 / 9),
    "reverse_kl": (losses.ReverseKL, -1 / 5, 4 / 9),
    "pearson_chi_squared": (losses.PearsonChiSquared, -1 / 10, 4 / 9),
    "neyman_chi_squared": (losses.NeymanChiSquared, -1 / 10, 4 / 9),
    "squared_hellinger": (losses.SquaredHellinger, -2 / 5, 4 / 9),
    "jensen_shannon": (losses.JensenShannon, -1 / 10, 1 / 9),
    "alpha": (lambda: losses.Alpha(0.5), -1 / 5, 4 / 9),
    # Jeffreys: f''(1) = 2.
    "f_divergence": (lambda: losses.FDivergence(lambda u: (u - 1) * jnp.log(u)), -1 / 10, 4 / 9),
    "maximum_likelihood": (losses.MaximumLikelihood, -1 / 10, 1 / 9),
    # Twice f''(0) times the variance of x^2, which is 4 / 45.
    "relativistic": (lambda: losses.Relativistic(losses.Minimax()), -2 / 45, 1 / 9),
    "relativistic_average": (lambda: losses.RelativisticAverage(losses.Minimax()), -2 / 45, 4 / 9),
    "le_cam": (lambda: losses.LeCam(losses.Wasserstein(), 0.3, 0.2), -0.24, 0.88 * 4 / 9),
}


# The Dirac-GAN.


def _dirac(loss: Callable) -> Callable:
    return lambda: games.Dirac(loss())


def _saturating(name: str, radius: float, **more: Any) -> Case:
    # 2 pi (1 + I0(r^2 / 2)).
    bessel = ive(0, radius**2 / 2) * np.exp(radius**2 / 2)
    return _case(
        name, _game(_dirac(losses.Minimax)), Players(radius, 0.0),
        "a Bessel function; Mescheder, Geiger and Nowozin (2018), arXiv:1801.04406", fate="cycles",
        period=TURN * (1 + bessel), amplitude=radius, **more,
    )  # fmt: skip


def _held_slope(gamma: float, target: float) -> dict[str, float]:
    """WGAN-GP: in psi > 0 half a turn about (0, -gamma target), which lies on the edge; likewise on the other side."""
    omega = np.sqrt(1 - gamma**2 / 4)
    kept = np.exp(-gamma * np.pi / (2 * omega))
    far = gamma * target * (1 + kept) / (1 - kept)
    at = np.arctan2(2 * omega, gamma) / omega
    highest = (far + gamma * target) / omega * np.exp(-gamma * at / 2) * np.sin(omega * at)
    return {"period": TURN / omega, "amplitude": max(far, highest)}


def _penalized_dirac(name: str, gamma: float, target: float, start: tuple[float, float], **more: Any) -> Case:
    return _case(
        name, _game(_dirac(losses.Wasserstein), lambda: regularizers.WGANGP(gamma, target)), Players(*start),
        "Mescheder, Geiger and Nowozin (2018), arXiv:1801.04406, section 4.1; half turns by hand", fate="cycles",
        **_held_slope(gamma, target), **more,
    )  # fmt: skip


# Others.


def _bilinear(matrix: list[list[float]]) -> Callable:
    return _game(lambda: games.Bilinear(jnp.asarray(matrix)))


def _almost_bilinear(epsilon: float) -> Callable:
    return _game(lambda: games.AlmostBilinear(epsilon))


def _forsaken_velocity(d: float, g: float) -> tuple[float, float]:
    return g - (d / 2 - 2 * d**3 + d**5), -(d - 0.45) - (g / 2 - 2 * g**3 + g**5)


_forsaken = _game(games.Forsaken)
_two_waves = _game(games.Quadratic.not_local_nash)

_LQ = "Jacobian of Nagarajan and Kolter (2017), arXiv:1706.04156"
_HSIEH = "Hsieh, Mertikopoulos and Cevher (2021), arXiv:2006.09065; by SciPy"
_MESCHEDER = "Mescheder, Geiger and Nowozin (2018), arXiv:1801.04406"

CASES = (
    _wasserstein("lq_wasserstein_near", 0.01, 1.0, 30.0),
    _wasserstein("lq_wasserstein", 0.5, 1.0, 30.0),
    _wasserstein("lq_wasserstein_negative_a", 1.0, -1.0, 30.0),
    _wasserstein("lq_wasserstein_7", 7.0, 1.0, 150.0, single=False, failing=1),
    _wasserstein("lq_wasserstein_-8", -8.0, 1.0, 150.0, single=False),
    _wasserstein("lq_wasserstein_-5", -5.0, 1.0, 100.0),
    _wasserstein("lq_wasserstein_12", 12.0, 1.0, 250.0, single=False),
    _wasserstein("lq_wasserstein_far_a", 0.0, 15.0, 200.0, single=False),
    _case(
        "lq_wasserstein_scaled", _game(_lq(losses.Wasserstein, 2.0)), Players(2.0, 2.0),
        "half-width c: the orbit of (w / c, a / c), c times as fast", fate="cycles",
    ),
    _case(
        "lq_wasserstein_linear", _game(_lq(losses.Wasserstein, linear=True, offset=True, quadratic=False)),
        Players(0.5, [1.0, 0.3]), "w' = -b, b' = w, and a rests", fate="cycles", period=TURN, amplitude=np.hypot(0.5,
        0.3),
    ),
    _case("lq_hinge_within", _game(_lq(losses.Hinge)), Players(0.5, 1.0), "no score reaches the kink", fate="cycles"),
    _case("lq_minimax", _game(_lq(losses.Minimax)), Players(0.5, 1.0), _LQ, rate=_lq_rate(0.5, -0.25)),
    _case("lq_minimax_far", _game(_lq(losses.Minimax)), Players(-4.0, 2.0), _LQ, rate=_lq_rate(0.5, -0.25)),
    _case("lq_minimax_near", _game(_lq(losses.Minimax)), Players(1e-4, 1.0), _LQ, rate=_lq_rate(0.5, -0.25)),
    _case(
        "lq_minimax_scaled", _game(_lq(losses.Minimax, 10.0)), Players(0.01, 9.0), _LQ, rate=_lq_rate(0.5, -0.25, 10.0),
    ),
    _case("lq_non_saturating", _game(_lq(losses.NonSaturating)), Players(0.5, 1.0), _LQ, rate=_lq_rate(0.5, -0.25)),
    _case("lq_least_squares", _game(_lq(losses.LeastSquares)), Players(0.5, 1.0), _LQ, rate=_lq_rate(1.0, -1.0)),
    *(
        _case(
            f"lq_{name}", _game(_lq(make)), Players(0.2, 1.1), "trace and determinant by hand",
            rate=_abscissa(trace, determinant),
        )
        for name, (make, trace, determinant) in _BY_TWO_NUMBERS.items()
    ),
    *(
        _case(
            f"lq_wasserstein_penalized_{eta:g}",
            _game(_lq(losses.Wasserstein), lambda eta=eta: regularizers.GradientNorm(eta)), Players(0.5, 1.0), _LQ,
            rate=_lq_rate(1.0, 0.0, eta=eta), single=eta > 0.1,
        )
        for eta in (1e-5, 0.001125, 0.5, 2.0)
    ),
    _case(
        "lq_wasserstein_penalized_far", _game(_lq(losses.Wasserstein), lambda: regularizers.GradientNorm(0.5)),
        Players(-6.0, 1.0), _LQ, rate=_lq_rate(1.0, 0.0, eta=0.5),
    ),
    _case(
        "lq_minimax_penalized", _game(_lq(losses.Minimax), lambda: regularizers.GradientNorm(0.5)), Players(0.5, 1.0),
        _LQ,
        rate=_lq_rate(0.5, -0.25, eta=0.5),
    ),
    # Dirac.
    _case(
        "dirac_wasserstein", _game(_dirac(losses.Wasserstein)), Players(0.7, 0.0), "a circle", fate="cycles",
        period=TURN,
        amplitude=0.7,
    ),
    _case(
        "dirac_wasserstein_large", _game(_dirac(losses.Wasserstein)), Players(0.0, 100.0), "a circle", fate="cycles",
        period=TURN, amplitude=100.0,
    ),
    _case(
        "dirac_wasserstein_two_rates", _game(_dirac(losses.Wasserstein), rates=Players(4.0, 1.0)), Players(1.0, 0.0),
        "an ellipse", fate="cycles", period=np.pi, amplitude=1.0,
    ),
    _saturating("dirac_minimax_small", 0.1),
    _saturating("dirac_minimax", 1.0),
    _saturating("dirac_minimax_3", 3.0),
    _saturating("dirac_minimax_4", 4.0, single=False),
    _saturating("dirac_minimax_5", 5.0, single=False),
    _case(
        "dirac_non_saturating_small", _game(_dirac(losses.NonSaturating)), Players(0.0, 1e-3), "averaged: r^2 ~ 8 / t",
        power=-0.5, single=False, failing=5,
    ),
    _case(
        "dirac_non_saturating", _game(_dirac(losses.NonSaturating)), Players(1.0, 1.0), "averaged: r^2 ~ 8 / t",
        power=-0.5,
    ),
    _case(
        "dirac_non_saturating_far", _game(_dirac(losses.NonSaturating)), Players(3.0, -2.0), "averaged: r^2 ~ 8 / t",
        power=-0.5,
    ),
    _case(
        "dirac_least_squares", _game(_dirac(losses.LeastSquares)), Players(0.5, 0.5), "averaged: r' = -r^3 / 4",
        power=-0.5
    ),
    _case(
        "dirac_hinge_within", _game(_dirac(losses.Hinge)), Players(1.2, 0.0), "a circle that stays off the kink",
        fate="cycles", period=TURN, amplitude=1.2,
    ),
    _case(
        "dirac_hinge_from_outside", _game(_dirac(losses.Hinge)), Players(0.0, 2.0),
        "loses past the kink, and tends to the circle that touches it", fate="cycles", period=TURN,
        amplitude=np.sqrt(2),
    ),
    _case(
        "dirac_minimax_r1", _game(_dirac(losses.Minimax), lambda: regularizers.R1(0.3)), Players(1.0, 1.0), _MESCHEDER,
        rate=-0.15,
    ),
    _case(
        "dirac_minimax_r1_strong", _game(_dirac(losses.Minimax), lambda: regularizers.R1(2.0)), Players(1.0, 1.0),
        _MESCHEDER, rate=-1 + np.sqrt(0.75),
    ),
    _case(
        "dirac_minimax_r1_weak", _game(_dirac(losses.Minimax), lambda: regularizers.R1(1e-4)), Players(1.0, 1.0),
        _MESCHEDER, rate=-5e-5, single=False,
    ),
    _case(
        "dirac_wasserstein_penalized", _game(_dirac(losses.Wasserstein), lambda: regularizers.GradientNorm(0.5)),
        Players(1.0, 1.0), _MESCHEDER, rate=-0.5,
    ),
    _case(
        "dirac_wasserstein_consensus",
        lambda: regularizers.Adjusted(_game(_dirac(losses.Wasserstein))(), regularizers.Consensus(0.1)), Players(1.0,
        1.0),
        "Mescheder, Nowozin and Geiger (2017), arXiv:1705.10461", rate=-0.1,
    ),
    _case(
        "dirac_wasserstein_unrolled", lambda: fields.Unrolled(_game(_dirac(losses.Wasserstein))(), 2, 0.1),
        Players(1.0, 1.0), "Metz et al. (2017), arXiv:1611.02163: the matrix [[0, 1], [-1, -2 k h]]", rate=-0.2,
    ),
    _penalized_dirac("dirac_gradient_penalty", 0.7, 1.0, (0.7, 1.0), failing=8),
    _penalized_dirac("dirac_gradient_penalty_weak", 0.1, 1.0, (0.7, 1.0)),
    _penalized_dirac("dirac_gradient_penalty_strong", 1.6, 1.0, (0.1, 0.2)),
    _penalized_dirac("dirac_gradient_penalty_low_target", 0.5, 0.01, (1.0, 0.0)),
    # Bilinear.
    _case(
        "bilinear", _bilinear([[1.0]]), Players([1.0], [0.5]), "a circle", fate="cycles", period=TURN,
        amplitude=np.sqrt(1.25),
    ),
    _case(
        "bilinear_rotation", _bilinear([[0.6, -0.8], [0.8, 0.6]]), Players([1.0, 0.3], [0.2, -0.5]),
        "an orthogonal matrix: one frequency", fate="cycles", period=TURN,
    ),
    _case(
        "bilinear_one_to_two", _bilinear([[1.0, 0.0], [0.0, 2.0]]), Players([1.0, 0.0], [0.0, 0.5]), "two frequencies",
        fate="cycles", period=TURN, amplitude=1.0,
    ),
    _case(
        "bilinear_torus", _bilinear([[1.0, 0.0], [0.0, 2**0.5]]), Players([1.0, 0.4], [0.0, 0.5]),
        "frequencies 1 and the root of 2", fate="wanders",
    ),
    _case(
        "bilinear_three_by_two", _bilinear([[1.0, 0.0], [0.0, 1.618033988749895], [0.0, 0.0]]),
        Players([1.0, 0.4, 0.2], [0.0, 0.5]), "frequencies 1 and the golden ratio; one number rests", fate="wanders",
    ),
    # Cycles that nobody wants, and equilibria that are none of a game.
    _case(
        "almost_bilinear", _almost_bilinear(0.5), Players(0.1, 0.0), _HSIEH, fate="cycles",
        reference=lambda: _independent.cycle(lambda d, g: (g + 0.5 * (d - d**3), -d), (1.0, 0.0), 30.0, settle=120.0),
    ),
    _case(
        "almost_bilinear_slowly", _almost_bilinear(0.01), Players(1.0, 1.0), _HSIEH, fate="cycles",
        reference=lambda: _independent.cycle(lambda d, g: (g + 0.01 * (d - d**3), -d), (1.1, 0.0), 30.0, settle=4000.0),
    ),
    _case(
        "forsaken_from_outside", _forsaken, Players(1.5, 1.0), _HSIEH, fate="cycles",
        reference=lambda: _independent.cycle(_forsaken_velocity, (1.5, 1.0), 60.0, settle=800.0),
    ),
    _case(
        "forsaken_from_inside", _forsaken, Players(0.45, 0.0), _HSIEH,
        reference=lambda: _independent.rest(_forsaken_velocity, (0.41, 0.08)),
    ),
    _case(
        "stable_and_no_game_equilibrium", _two_waves, Players([1.0], [1.0]),
        "Daskalakis and Panageas (2018), arXiv:1807.03907: trace -3/4, determinant 0.11", rate=_abscissa(-0.75, 0.11),
    ),
)  # fmt: skip
