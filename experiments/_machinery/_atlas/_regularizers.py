"""Every penalty and adjustment of the atlas, with its source and what papers say of it."""

from experiments._machinery._atlas._method import Method, Says
from gan_ode import regularizers

_MESCHEDER = "Mescheder, Geiger and Nowozin (2018), arXiv:1801.04406"
_SETTLES = Says("converges at a rate", f"{_MESCHEDER}, section 4")

REGULARIZERS = [
    Method(
        "R1",
        "penalty",
        regularizers.R1,
        f"Roth et al. (2017), arXiv:1705.09367; {_MESCHEDER}",
        says={"dirac/Minimax": _SETTLES, "dirac/Wasserstein": _SETTLES},
    ),
    Method(
        "R2",
        "penalty",
        regularizers.R2,
        f"Roth et al. (2017), arXiv:1705.09367; {_MESCHEDER}",
        says={"dirac/Minimax": _SETTLES, "dirac/Wasserstein": _SETTLES},
    ),
    Method(
        "WGANGP",
        "penalty",
        regularizers.WGANGP,
        "Gulrajani et al. (2017), arXiv:1704.00028",
        says={"dirac/Wasserstein": Says("cycles", f"{_MESCHEDER}, section 3")},
    ),
    Method(
        "GradientNorm",
        "penalty",
        regularizers.GradientNorm,
        "Nagarajan and Kolter (2017), arXiv:1706.04156",
        says={
            f"{system}/{base}": Says("converges at a rate", "Nagarajan and Kolter (2017), arXiv:1706.04156, section 4")
            for system in ("linear_quadratic", "linear_quadratic_4")
            for base in ("Minimax", "Wasserstein")
        },
        of_samples=False,
    ),
    Method(
        "Consensus",
        "adjustment",
        regularizers.Consensus,
        "Mescheder, Nowozin and Geiger (2017), arXiv:1705.10461",
        says={
            "dirac/Minimax": Says("converges at a rate", f"{_MESCHEDER}, section 3"),
            "bilinear/V = u v": Says("converges at a rate", "Mescheder, Nowozin and Geiger (2017), section 4"),
        },
        of_samples=False,
    ),
]
