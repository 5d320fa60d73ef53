"""Every loss of the atlas, with its source and what papers say of it."""

import jax.numpy as jnp

from experiments._machinery._atlas._method import Method, Says
from gan_ode import losses

_GOODFELLOW = "Goodfellow et al. (2014), arXiv:1406.2661"
_NOWOZIN = "Nowozin, Cseke and Tomioka (2016), arXiv:1606.00709"
_RELATIVISTIC = "Jolicoeur-Martineau (2018), arXiv:1807.00734"
_HUANG = "Huang et al. (2024), arXiv:2501.05441, appendix B"
_LEMMA = "Mescheder et al. (2018), arXiv:1801.04406, section 2"
_THEOREM = "Nagarajan and Kolter (2017), arXiv:1706.04156"

# One-function losses: the lemma gives the eigenvalues +-f'(0) i, the theorem asks for f''(0) < 0 and f'(0) != 0. Both
# are said of every such loss that does, since at the equilibrium its Jacobian is that of the zero-sum game.
_ROTATES = Says("no rate", _LEMMA)
_SETTLES = Says("converges at a rate", _THEOREM)


def _jeffreys() -> losses.FDivergence:
    return losses.FDivergence(lambda u: (u - 1) * jnp.log(u))


LOSSES = [
    Method(
        "Minimax",
        "loss",
        losses.Minimax,
        _GOODFELLOW,
        says={
            "dirac": Says("cycles", _LEMMA),
            "linear_quadratic": _SETTLES,
            "linear_quadratic_4": _SETTLES,
        },
    ),
    Method(
        "NonSaturating",
        "loss",
        losses.NonSaturating,
        _GOODFELLOW,
        says={"dirac": _ROTATES, "linear_quadratic": _SETTLES, "linear_quadratic_4": _SETTLES},
    ),
    Method(
        "MaximumLikelihood",
        "loss",
        losses.MaximumLikelihood,
        "Goodfellow (2016), arXiv:1701.00160",
        notes={
            "dirac": "The trajectory winds outward, and then blows up: the generator is paid exp(s)/2 for a score s, "
            "which grows as minus the logarithm of the time that is left, so that the state is of ordinary size when "
            "the last steps are too small for a floating-point number."
        },
    ),
    Method(
        "Wasserstein",
        "loss",
        losses.Wasserstein,
        "Arjovsky, Chintala and Bottou (2017), arXiv:1701.07875",
        says={
            "dirac": Says("cycles", _LEMMA),
            "linear_quadratic": Says("cycles", _THEOREM),
        },
    ),
    Method(
        "Hinge",
        "loss",
        losses.Hinge,
        "Lim and Ye (2017), arXiv:1705.02894",
        says={"dirac": _ROTATES},
        notes={
            "linear_quadratic": "The trajectory is closed: it stays where scores are below 1, and there the hinge is "
            "the Wasserstein loss. Larger ones beside it reach the kink and drift, and a cycle is said where neighbors "
            "on both sides are seen to close or to come nearer."
        },
    ),
    Method(
        "LeastSquares",
        "loss",
        losses.LeastSquares,
        "Mao et al. (2017), arXiv:1611.04076",
        says={"dirac": _ROTATES, "linear_quadratic": _SETTLES, "linear_quadratic_4": _SETTLES},
    ),
    Method(
        "LeCam(Minimax)",
        "loss",
        lambda: losses.LeCam(losses.Minimax(), 0.3, 0.0),
        "Tseng et al. (2021), arXiv:2104.07425",
    ),
    Method(
        "Relativistic(Minimax)",
        "loss",
        lambda: losses.Relativistic(losses.Minimax()),
        _RELATIVISTIC,
        says={"dirac": Says("cycles", _HUANG)},
    ),
    Method("RelativisticAverage(Minimax)", "loss", lambda: losses.RelativisticAverage(losses.Minimax()), _RELATIVISTIC),
    Method("KL", "loss", losses.KL, _NOWOZIN),
    Method("KL, non-saturating", "loss", lambda: losses.KL(non_saturating=True), _NOWOZIN),
    Method("ReverseKL", "loss", losses.ReverseKL, _NOWOZIN),
    Method("PearsonChiSquared", "loss", losses.PearsonChiSquared, _NOWOZIN),
    Method("NeymanChiSquared", "loss", losses.NeymanChiSquared, _NOWOZIN),
    Method("SquaredHellinger", "loss", losses.SquaredHellinger, _NOWOZIN),
    Method("SquaredHellinger, non-saturating", "loss", lambda: losses.SquaredHellinger(non_saturating=True), _NOWOZIN),
    Method(
        "JensenShannon",
        "loss",
        losses.JensenShannon,
        _NOWOZIN,
        says={"dirac": _ROTATES, "linear_quadratic": _SETTLES, "linear_quadratic_4": _SETTLES},
    ),
    Method("Alpha(0.5)", "loss", lambda: losses.Alpha(0.5), _NOWOZIN),
    Method("Alpha(1.5)", "loss", lambda: losses.Alpha(1.5), _NOWOZIN),
    Method("FDivergence((u - 1) log u)", "loss", _jeffreys, _NOWOZIN),
]
