"""Every update of the atlas, with its source and what papers say of it."""

import diffrax
import optax

from experiments._machinery._atlas._method import Method, Says
from gan_ode import solvers, updates
from gan_ode.games import Players

_MESCHEDER = "Mescheder, Geiger and Nowozin (2018), arXiv:1801.04406"
_GIDEL = "Gidel et al. (2019), arXiv:1802.10551"
_MOMENTUM = "Gidel et al. (2019), arXiv:1807.04740"
_SCHAEFER = "Schäfer and Anandkumar (2019), arXiv:1905.12103"
_DASKALAKIS = "Daskalakis and Panageas (2018), arXiv:1807.03907"
_SLINGSHOT = "Shugart and Altschuler (2025), arXiv:2505.01423"
_TURN = "bilinear/V = u v"


def _slingshot(h: float) -> updates.Cycle:
    step = updates.Simultaneous(h)
    return updates.Cycle([step, step], factors=[Players(1.0, -1.0), Players(-1.0, 1.0)])


RULES = [
    Method(
        "Simultaneous",
        "update",
        updates.Simultaneous,
        "Euler",
        says={
            "dirac/Minimax": Says("diverges", f"{_MESCHEDER}, section 2"),
            "dirac/Wasserstein": Says("diverges", f"{_MESCHEDER}, section 2"),
            _TURN: Says("diverges", _GIDEL),
            "quadratic/no local Nash": Says("converges", _DASKALAKIS),
        },
    ),
    Method(
        "Alternating",
        "update",
        updates.Alternating,
        "Goodfellow et al. (2014), arXiv:1406.2661",
        says={
            "dirac/Minimax": Says("cycles", f"{_MESCHEDER}, section 2"),
            "dirac/Wasserstein": Says("cycles", f"{_MESCHEDER}, section 2"),
            _TURN: Says("cycles", "Bailey, Gidel and Piliouras (2020), arXiv:1907.04392"),
        },
    ),
    Method(
        "Extragradient",
        "update",
        updates.Extragradient,
        "Korpelevich (1976)",
        says={_TURN: Says("converges", _GIDEL)},
    ),
    Method(
        "ExtragradientFromThePast",
        "update",
        updates.ExtragradientFromThePast,
        f"Popov (1980); {_GIDEL}",
        says={_TURN: Says("converges", _GIDEL)},
    ),
    Method(
        "AnchoredExtragradient",
        "update",
        updates.AnchoredExtragradient,
        "Yoon and Ryu (2021), arXiv:2102.07922",
        says={_TURN: Says("converges", "Yoon and Ryu (2021), arXiv:2102.07922")},
    ),
    Method(
        "Optimistic",
        "update",
        updates.Optimistic,
        "Daskalakis et al. (2018), arXiv:1711.00141",
        says={
            _TURN: Says("converges", "Daskalakis et al. (2018), arXiv:1711.00141"),
            "quadratic/no local Nash": Says("converges", _DASKALAKIS),
        },
    ),
    Method(
        "HeavyBall(-0.5)",
        "update",
        lambda h: updates.HeavyBall(h, -0.5),
        f"Polyak (1964); {_MOMENTUM}",
        says={_TURN: Says("diverges", _MOMENTUM)},
    ),
    Method(
        "HeavyBall(-0.5, alternating)",
        "update",
        lambda h: updates.HeavyBall(h, -0.5, alternating=True),
        f"Polyak (1964); {_MOMENTUM}",
        says={_TURN: Says("converges", _MOMENTUM)},
    ),
    Method(
        "HeavyBall(0.5)",
        "update",
        lambda h: updates.HeavyBall(h, 0.5),
        f"Polyak (1964); {_MOMENTUM}",
        says={_TURN: Says("diverges", _MOMENTUM)},
    ),
    Method("Nesterov(0.5)", "update", lambda h: updates.Nesterov(h, 0.5), "Nesterov (1983)"),
    Method("Nesterov(-0.5)", "update", lambda h: updates.Nesterov(h, -0.5), "Nesterov (1983)"),
    Method(
        "CompetitiveGradient",
        "update",
        updates.CompetitiveGradient,
        _SCHAEFER,
        says={_TURN: Says("converges", _SCHAEFER)},
    ),
    Method(
        "Lookahead(Simultaneous, 5, 0.5)",
        "update",
        lambda h: updates.Lookahead(updates.Simultaneous(h), 5, 0.5),
        "Zhang et al. (2019), arXiv:1907.08610; Chavdarova et al. (2021), arXiv:2006.14567",
        says={_TURN: Says("converges", "Chavdarova et al. (2021), arXiv:2006.14567")},
    ),
    Method(
        "Averaged(Alternating, 0.1)",
        "update",
        lambda h: updates.Averaged(updates.Alternating(h), 0.1),
        "Polyak and Juditsky (1992); Yazici et al. (2019), arXiv:1806.04498",
        says={
            _TURN: Says(
                "converges",
                _GIDEL,
                reason="The paper's average is that of all iterates; that it converges is shown by the experiment "
                "`anchoring_and_averaging`. Here a moving average is asked about, together with the iterates, which "
                "cycle: it follows them on a smaller circle.",
            )
        },
    ),
    Method(
        "Clipped(Alternating, 1)",
        "update",
        lambda h: updates.Clipped(updates.Alternating(h), bound=1.0),
        "Arjovsky, Chintala and Bottou (2017), arXiv:1701.07875",
        says={"dirac/Wasserstein": Says("cycles", f"{_MESCHEDER}, section 3.1")},
    ),
    Method(
        "Cycle (slingshot)",
        "update",
        _slingshot,
        _SLINGSHOT,
        says={_TURN: Says("converges", _SLINGSHOT)},
    ),
    Method("SolverStep(Heun)", "update", lambda h: updates.SolverStep(diffrax.Heun(), h), "Heun (1900)"),
    Method(
        "SolverStep(RK4)",
        "update",
        lambda h: updates.SolverStep(solvers.RK4(), h),
        "Kutta (1901); Qin et al. (2020), arXiv:2010.15040",
    ),
    Method(
        "FrozenOpponent(Heun)",
        "update",
        lambda h: updates.FrozenOpponent(diffrax.Heun(), h),
        "a known mistake, kept for comparison",
    ),
    Method(
        "Optax(sgd)",
        "update",
        lambda h: updates.Optax(optax.sgd(h), optax.sgd(h), step_size=h),
        "Optax",
    ),
    Method(
        "UnrolledOptax(sgd, 5)",
        "update",
        lambda h: updates.UnrolledOptax(optax.sgd(h), optax.sgd(h), steps=5, step_size=h),
        "Metz et al. (2017), arXiv:1611.02163",
    ),
]
