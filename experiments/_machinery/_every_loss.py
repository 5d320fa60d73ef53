r"""The two-parameter GAN under losses of every kind: for which of them H falls, and where trajectories end.

With D(x) = w x^2, G(z) = a z, f concave and a generator that minimizes E g(D(G(z))), where -g'(s) lies between f'(s)
and f'(-s), H = w^2/2 + a^2/4 - (1/2) ln a never rises; unless f is affine around 0, all starts with a > 0 converge.
The proof stands in docs/analysis/global_convergence.md. The fields are those of the package, but for the hinge: by
quadrature its kink would make steps of the velocity, and its means are known.
"""

import dataclasses
import functools
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from experiments._machinery import _linear_quadratic as lq
from experiments._machinery._claims import Claim
from gan_ode import analysis, fields, flow, losses, Orbit
from gan_ode.games import LinearQuadratic, Players

RTOL = 1e-10
# The start of all; and for the losses that make H fall others from afar.
START = (1.0, 1.0)
FAR = ((-5.0, 1.0), (3.0, 4.0), (-2.0, 0.002))
NUM_TIMES = 2001


class Quartic(losses.AbstractLoss):
    """f(s) = s - s^4/4, zero-sum: concave with f''(0) = 0, so that the linear part is a center."""

    zero_sum: ClassVar[bool] = True
    degree: ClassVar[int | None] = 4

    def f(self, score: jax.Array) -> jax.Array:
        return score - score**4 / 4

    def generator(self, score: jax.Array) -> jax.Array:
        return self.f(-score)


class OneSided(losses.AbstractLoss):
    """f(s) = s below 0 and s - s^2/2 above, not saturating: affine on one side, and f'(s) + f'(-s) is not constant."""

    zero_sum: ClassVar[bool] = False
    degree: ClassVar[int | None] = 2

    def f(self, score: jax.Array) -> jax.Array:
        return score - jnp.square(jnp.maximum(score, 0)) / 2

    def generator(self, score: jax.Array) -> jax.Array:
        return -self.f(score)


class Sextic(losses.AbstractLoss):
    """f(s) = s - s^2/2 + s^4/4 - s^6/60, zero-sum: f''(0) < 0, but f is not concave further out."""

    zero_sum: ClassVar[bool] = True
    degree: ClassVar[int | None] = 6

    def f(self, score: jax.Array) -> jax.Array:
        return score - score**2 / 2 + score**4 / 4 - score**6 / 60

    def generator(self, score: jax.Array) -> jax.Array:
        return self.f(-score)


class Hinge(eqx.Module):
    """The hinge GAN in (w, log a), by E x^2 f'(s x^2) = 1/3 up to s = 1 and s^(-3/2)/3 above."""

    def __call__(self, t: Any, y: Players, args: Any = None) -> Players:
        w, square = y.discriminator, jnp.exp(2 * y.generator)

        def slope(s: jax.Array) -> jax.Array:
            return jnp.maximum(s, 1.0) ** -1.5 / 3

        return Players(slope(w) - square * slope(-w * square), 2 * w / 3)


@dataclasses.dataclass(frozen=True)
class Case:
    """A loss, and what the theorem says of it.

    Attributes:
        field: The field in (w, log a).
        kind: What H does.
        over_time: What it does over a time, if anything that a search can tell.
        converges: Whether all starts with a > 0 do.
    """

    field: Any
    kind: Literal["falls", "keeps", "neither"]
    over_time: Literal["falls strictly", "falls", "keeps"] | None
    converges: bool


def of_loss(loss: losses.AbstractObjective) -> lq.LogScale:
    return lq.LogScale(fields.GameField(LinearQuadratic(loss)))


CASES = {
    "usual": Case(of_loss(losses.Minimax()), "falls", "falls strictly", True),
    "non-saturating": Case(of_loss(losses.NonSaturating()), "falls", "falls strictly", True),
    "least squares": Case(of_loss(losses.LeastSquares()), "falls", "falls strictly", True),
    # It falls as r^4 close to the equilibrium, which over a time is less than the solver's error.
    "quartic": Case(of_loss(Quartic()), "falls", "falls", True),
    "one-sided": Case(of_loss(OneSided()), "falls", "falls strictly", True),
    "Wasserstein": Case(of_loss(losses.Wasserstein()), "keeps", "keeps", False),
    "hinge": Case(Hinge(), "falls", "falls", False),
    "sextic, not concave": Case(of_loss(Sextic()), "neither", None, False),
    "maximum likelihood": Case(of_loss(losses.MaximumLikelihood()), "neither", None, False),
}


def any_field(t: Any, y: Players, which: Any) -> Players:
    """The field of the case with this number, which may be traced: all cases are one program."""
    return jax.lax.switch(which, [functools.partial(_velocity, case.field) for case in CASES.values()], t, y)


def _velocity(field: Any, t: Any, y: Players) -> Players:
    # A module that holds arrays cannot be hashed, as a branch must be.
    return field(t, y)


@dataclasses.dataclass(frozen=True)
class Findings:
    """What was found of each loss, by its name.

    Attributes:
        checks: H over a box, by its derivative.
        over_time: The same by its change over a time, for what never raises H; or nothing.
        near: The orbit from `START`.
        verdicts: On it, for the losses of which the experiment says how they end.
        far: Orbits from `FAR`, of the losses that converge.
    """

    checks: dict[str, analysis.LyapunovCheck]
    over_time: dict[str, analysis.LyapunovCheck]
    near: dict[str, Orbit]
    verdicts: dict[str, analysis.Verdict]
    far: dict[str, list[Orbit]]


def find(box: tuple[Players, Players], duration: float, over_time: float) -> Findings:
    """Searches a box in (w, log a), and follows orbits."""
    low, high = box
    # The one-sided loss falls like a^4 w^2 where w < 0: further down that is the solver's error.
    upper_part = Players(low.discriminator, jnp.maximum(low.generator, -2.0)), high
    numbers = {name: jnp.asarray(number) for number, name in enumerate(CASES)}
    ts = jnp.linspace(0.0, duration, NUM_TIMES)

    def follow(name: str, start: tuple[float, float]) -> Orbit:
        return flow(any_field, lq.logarithmic(*start), ts, args=numbers[name], rtol=RTOL, throw=False)

    def search(name: str, box: tuple[Players, Players], **options: Any) -> analysis.LyapunovCheck:
        # None of them depends on time: that need not be compiled.
        return analysis.check_lyapunov_function(lq.energy, any_field, *box, args=numbers[name], check=False, **options)

    return Findings(
        checks={name: search(name, box) for name in CASES},
        over_time={
            name: search(name, upper_part, duration=jnp.asarray(over_time), resolution=31)
            for name, case in CASES.items()
            if over_time and case.over_time
        },
        near={name: follow(name, START) for name in CASES},
        verdicts={
            name: analysis.classify(any_field, lq.logarithmic(*START), args=numbers[name])
            for name, case in CASES.items()
            if case.converges or case.kind == "keeps"
        },
        far={name: [follow(name, start) for start in FAR] for name, case in CASES.items() if case.converges},
    )


# H of the largest level curve on which no score passes the hinge's kink: it touches w a^2 = -1 at a^2 = 2.
HINGE_LEVEL = 5 / 8 - float(np.log(2)) / 4

# When the generator that maximizes likelihood has grown without bound, from `START`.
BLOW_UP = 0.82566


def spurious_equilibrium() -> tuple[float, float]:
    """Where the sextic's orbit from `START` ends: (w, a) from the roots of two polynomials.

    With E x^2 f'(s x^2) = 1/3 - c(s), c(s) = s/5 - s^3/9 + s^5/130 odd, both velocities vanish where c(w) = 1/3 and
    c(w a^2) = -1/3.
    """

    def roots(value: float) -> np.ndarray:
        """Where c has this value, on s > 0."""
        found = np.roots([1 / 130, 0, -1 / 9, 0, 1 / 5, -value])
        return np.sort(found.real[(np.abs(found.imag) < 1e-12) & (found.real > 0)])

    # Of two roots for w a^2 the inner one makes it stable.
    w, product = roots(1 / 3)[0], roots(-1 / 3)[0]
    return float(w), float(np.sqrt(product / w))


def heights(orbit: Orbit) -> np.ndarray:
    """H along an orbit, as far as it goes."""
    return np.asarray(jax.vmap(lq.energy)(orbit.trim().ys))


def claims(found: Findings, duration: float) -> list[Claim]:
    return of_searches(found) + of_convergence(found, duration) + of_failures(found, duration)


def of_searches(found: Findings) -> list[Claim]:
    by_derivative = [
        Claim.equal(f"{name}: H over the box, by its derivative", found.checks[name].kind, case.kind)
        for name, case in CASES.items()
    ]
    return by_derivative + [
        Claim.equal(f"{name}: H over the box, by its change in a time", check.kind, CASES[name].over_time)
        for name, check in found.over_time.items()
    ]


def of_convergence(found: Findings, duration: float) -> list[Claim]:
    claims = [
        Claim.equal(f"{name}: verdict from {START}", verdict.kind, "converges" if CASES[name].converges else "cycles")
        for name, verdict in found.verdicts.items()
    ]
    for name, orbits in found.far.items():
        runs = [heights(orbit) for orbit in (found.near[name], *orbits)]
        claims.append(Claim.below(f"{name}: largest rise of H between save times", max(map(rise, runs)), 1e-8))
        if name == "quartic":
            # d(H - 1/4)/dt = -w^4 (1 + a^6)/9, in the mean over a small turn -(H - 1/4)^2/3. Starts from which the
            # generator first grows take a^4 time units on a slow manifold.
            end = duration * (runs[0][-1] - lq.LOWEST)
            claims.append(Claim.close(f"{name}: t (H - 1/4) at the end, from {START}", end, 3.0, rtol=0.15))
        else:
            farthest = max(run[-1] for run in runs) - lq.LOWEST
            claims.append(Claim.below(f"{name}: H - 1/4 at the end, from any start", farthest, 1e-4))
    return claims


def of_failures(found: Findings, duration: float) -> list[Claim]:
    kept, hinge = heights(found.near["Wasserstein"]), heights(found.near["hinge"])
    sextic, likelihood = found.near["sextic, not concave"], found.near["maximum likelihood"]
    end = lq.raw(sextic.final_state)
    w, a = spurious_equilibrium()
    return [
        Claim.below("Wasserstein: largest change of H", np.max(np.abs(kept - kept[0])), 1e-6),
        Claim.close("hinge: H at the end, on a cycle", hinge[-1], HINGE_LEVEL, atol=1e-3),
        Claim.below("hinge: largest rise of H between save times", rise(hinge), 1e-8),
        Claim.close("sextic, not concave: w at the end, at a spurious equilibrium", end.discriminator, w, rtol=1e-6),
        Claim.close("sextic, not concave: a at the end", end.generator, a, rtol=1e-6),
        Claim.close(
            "maximum likelihood: time of the blow-up",
            likelihood.final_time,
            BLOW_UP,
            rtol=1e-4,
            source="SciPy's RK45 at 1e-8, with 80 nodes",
        ),
        Claim.above("maximum likelihood: H where it ends", lq.energy(likelihood.final_state), 10.0),
    ]


def rise(values: np.ndarray) -> float:
    return float(np.max(np.diff(values)))


def draw(falling: Any, failing: Any, found: Findings) -> None:
    """Two panels: where H falls to its minimum from `START`, and where it does not."""
    for name, orbit in found.near.items():
        ts, values = np.asarray(orbit.trim().ts), heights(orbit)
        if CASES[name].converges:
            falling.semilogy(ts, values - lq.LOWEST, label=name)
        else:
            # Where it ends between save times, the end itself.
            end, highest = float(orbit.final_time), float(lq.energy(orbit.final_state))
            failing.loglog([*ts[1:], end], [*values[1:], highest], label=name)
    failing.axhline(HINGE_LEVEL, color="0.4", linewidth=0.8, linestyle=":")
    failing.annotate(r"$5/8 - (\ln 2)/4$", (0.1, HINGE_LEVEL), (3, 3), textcoords="offset points", fontsize="small")
    falling.set(xlabel="time $t$", ylabel="$H - 1/4$", ylim=(1e-6, 1))
    failing.set(xlabel="time $t$", ylabel="$H$", xlim=(0.1, None), ylim=(0.3, 20))
    falling.legend(fontsize="small", loc="lower right")
    failing.legend(fontsize="small", loc="center right")
