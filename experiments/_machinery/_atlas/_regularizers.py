"""Every penalty and adjustment of the atlas, with its source and what papers say of it."""

import jax.numpy as jnp

from experiments._machinery._atlas._method import Method, Says
from gan_ode import regularizers
from gan_ode.games import Players

_MESCHEDER = "Mescheder, Geiger and Nowozin (2018), arXiv:1801.04406"
_SETTLES = Says("converges at a rate", f"{_MESCHEDER}, section 3.3")

_ROTH = f"Roth et al. (2017), arXiv:1705.09367; {_MESCHEDER}"
_DIRACS = {"dirac/Minimax": _SETTLES, "dirac/Wasserstein": _SETTLES}
_BALDUZZI = "Balduzzi et al. (2018), arXiv:1802.05642"
_TURN = "bilinear/V = u v"
# What is tried of a parameter's own: an anchor off the equilibrium, which moves it.
_ANCHOR = Players(jnp.array(0.2), jnp.array(-0.3))

# What `classify` leaves open.
_STOPS = (
    "The field jumps where the discriminator is zero. The trajectory comes back to that line again and again, and what "
    "is smooth between two crossings is too short to see a law."
)


def _rests_at(place: str) -> str:
    return (
        "The field jumps where the discriminator is zero. On one side of that line there are points of rest that are "
        f"no equilibria of the game, where what the penalty pushes is balanced: the trajectory comes to {place}."
    )


_JUMPS = {
    "dirac/Minimax": "The field jumps where the discriminator is zero, and the closed curve of the portrait crosses "
    "that line twice a turn: the solves stop at one of the crossings.",
}
_ONE_SIDED = (
    "The penalty acts beyond the slope 1 alone. All circles within are closed, and the trajectory comes to the largest "
    "of them from outside, ever more slowly; what attracts from one side is not told from what does not."
)
_STAYS_WITHIN = (
    "The trajectory is closed, as without it: it stays where this does nothing. Larger ones beside it drift, and a "
    "cycle is said where neighbors on both sides are seen to close or to come nearer."
)
_LIKE_A_NODE = (
    "The eigenvalues are those of a node, -8/9 twice, and the flow from this start is within 1e-12 of the equilibrium "
    "at t = 40. There rounding stops the solves of `classify`, which leaves it open."
)
_TOUCHES = (
    "The trajectory ends on the circle that touches the bound. It attracts from outside alone, since all circles "
    "inside are closed, too, and `classify` leaves that undecided."
)

REGULARIZERS = [
    Method("R1", "penalty", regularizers.R1, _ROTH, says=_DIRACS),
    Method("R2", "penalty", regularizers.R2, _ROTH, says=_DIRACS),
    Method(
        "WGANGP",
        "penalty",
        regularizers.WGANGP,
        "Gulrajani et al. (2017), arXiv:1704.00028",
        says={"dirac/Wasserstein": Says("cycles", f"{_MESCHEDER}, section 3.1")},
        notes=_JUMPS
        | {"linear_quadratic/Minimax": _rests_at("w = 0, a = 2.24"), "linear_quadratic/Wasserstein": _STOPS},
    ),
    Method(
        "WGANLP",
        "penalty",
        regularizers.WGANLP,
        "Petzka, Fischer and Lukovnikov (2018), arXiv:1709.08894",
        notes={
            "dirac/Minimax": _ONE_SIDED,
            "dirac/Wasserstein": _ONE_SIDED,
            "linear_quadratic/Wasserstein": _STAYS_WITHIN,
        },
    ),
    Method(
        "DRAGAN",
        "penalty",
        regularizers.DRAGAN,
        "Kodali et al. (2017), arXiv:1705.07215",
        notes=_JUMPS
        | {
            "linear_quadratic/Minimax": _rests_at("w = 0, a = 2.55"),
            "linear_quadratic/Wasserstein": _rests_at("w = 0, a = 1.94"),
        },
    ),
    Method(
        "ZeroCenteredGP",
        "penalty",
        regularizers.ZeroCenteredGP,
        "Thanh-Tung, Tran and Venkatesh (2019), arXiv:1902.03984",
        says=_DIRACS | {"dirac/Minimax": Says("converges at a rate", "Thanh-Tung et al. (2019), arXiv:1902.03984")},
    ),
    Method(
        "ApproximatedR1",
        "penalty",
        lambda weight: regularizers.ApproximatedR1(weight, 0.5),
        "Lin et al. (2025), arXiv:2501.08316",
        weights=(0.0, 20.0),
    ),
    Method(
        "GradientNorm",
        "penalty",
        regularizers.GradientNorm,
        "Nagarajan and Kolter (2017), arXiv:1706.04156",
        says={
            f"{system}/{base}": Says("converges at a rate", "Nagarajan and Kolter (2017), arXiv:1706.04156")
            for system in ("linear_quadratic",)
            for base in ("Minimax", "Wasserstein")
        },
        of_samples=False,
    ),
    Method(
        "WeightDecay",
        "penalty",
        lambda weight: regularizers.WeightDecay(weight, 0.0),
        "Krogh and Hertz (1991)",
        of_samples=False,
    ),
    Method(
        "WeightAnchor",
        "penalty",
        lambda weight: regularizers.WeightAnchor(_ANCHOR, weight, weight),
        "Li, Grandvalet and Davoine (2018), arXiv:1802.01483; Rockafellar (1976)",
        only=("dirac",),
    ),
    Method(
        "SpectralPenalty",
        "penalty",
        regularizers.SpectralPenalty,
        "Yoshida and Miyato (2017), arXiv:1705.10941",
        only=("gaussian_covariance",),
    ),
    Method(
        "Entropic",
        "penalty",
        lambda weight: regularizers.Entropic(weight, weight),
        "Cen, Wei and Chi (2021), arXiv:2105.15186; Sokota et al. (2022), arXiv:2206.05825",
        says={"matching_pennies/matching pennies": Says("converges", "Cen, Wei and Chi (2021), arXiv:2105.15186")},
        only=("matching_pennies",),
    ),
    Method(
        "InstanceNoise",
        "transformation",
        regularizers.InstanceNoise,
        "Sønderby et al. (2016), arXiv:1610.04490; Arjovsky and Bottou (2017), arXiv:1701.04862",
        says={"dirac/Minimax": Says("converges at a rate", f"{_MESCHEDER}, section 3.2")},
    ),
    Method(
        "Projected",
        "transformation",
        regularizers.Projected,
        "Arjovsky, Chintala and Bottou (2017), arXiv:1701.07875; Dupuis and Nagurney (1993)",
        says={
            "dirac/Wasserstein": Says("cycles", f"{_MESCHEDER}, section 3.1", reason=_TOUCHES),
        },
        notes={
            "dirac/Minimax": _TOUCHES,
            "dirac/Wasserstein": _TOUCHES,
            "linear_quadratic/Wasserstein": _STAYS_WITHIN,
        },
        weights=(0.2, 2.0),
        of_field=True,
    ),
    Method(
        "Consensus",
        "adjustment",
        regularizers.Consensus,
        "Mescheder, Nowozin and Geiger (2017), arXiv:1705.10461",
        says={
            "dirac/Minimax": Says("converges at a rate", _MESCHEDER),
            _TURN: Says("converges at a rate", "Mescheder, Nowozin and Geiger (2017), arXiv:1705.10461"),
        },
        of_samples=False,
    ),
    Method(
        "SymplecticGradient",
        "adjustment",
        regularizers.SymplecticGradient,
        _BALDUZZI,
        says={_TURN: Says("converges at a rate", _BALDUZZI), "quadratic/weak attraction": Says("converges", _BALDUZZI)},
        of_samples=False,
    ),
    Method(
        "JacobianRegularization",
        "adjustment",
        regularizers.JacobianRegularization,
        "Nie and Patel (2019), arXiv:1806.09235",
        says={"dirac/Minimax": Says("converges at a rate", "Nie and Patel (2019), arXiv:1806.09235")},
        of_samples=False,
    ),
    Method(
        "CrossingTheCurl",
        "adjustment",
        lambda weight: regularizers.CrossingTheCurl(),
        "Gemp and Mahadevan (2018), arXiv:1808.01531",
        weighted=False,
        says={
            "linear_quadratic/Wasserstein": Says(
                "converges at a rate",
                "Gemp and Mahadevan (2018), arXiv:1808.01531",
                reason=_LIKE_A_NODE,
            )
        },
        notes={"linear_quadratic/Wasserstein": _LIKE_A_NODE},
        of_samples=False,
    ),
    Method(
        "DriftCancelling",
        "adjustment",
        regularizers.DriftCancelling,
        "Rosca, Wu, Dherin and Barrett (2021), arXiv:2105.13922",
        of_samples=False,
    ),
    Method(
        "LOLA",
        "adjustment",
        regularizers.LOLA,
        "Foerster et al. (2018), arXiv:1709.04326; Letcher et al. (2019), arXiv:1811.08455",
        of_samples=False,
    ),
    Method(
        "CompetitiveGradient (field)",
        "adjustment",
        regularizers.CompetitiveGradient,
        "Schäfer and Anandkumar (2019), arXiv:1905.12103",
        says={_TURN: Says("converges at a rate", "Schäfer and Anandkumar (2019), arXiv:1905.12103")},
        # Each velocity solves a linear system.
        only=("bilinear",),
    ),
]
