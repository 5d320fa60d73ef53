"""Which methods make the Dirac-GAN converge?

Data at 0, a generator that puts all its mass at theta, and a discriminator D(x) = psi x: the smallest GAN there is.
Without regularization it turns around its equilibrium for ever, whatever it is paid, and steps drive it away. Every
loss, penalty, adjustment and training rule of the package is tried on it: its eigenvalues against closed forms, the
verdict of its flow, and the critical step of its rules, beside the table of Mescheder, Geiger and Nowozin (2018) and
what has been published since.
"""

import dataclasses

from experiments._machinery import _runner


@dataclasses.dataclass(frozen=True)
class Config:
    methods: tuple[str, ...] = ("all",)
    """Methods, by the names of the atlas; `all` takes every one."""
    seed: int = 0
    """Not used: nothing here is random."""

    def __post_init__(self) -> None:
        if not self.methods or len(set(self.methods)) < len(self.methods):
            raise ValueError(f"`methods` must name at least one, each once, but is {self.methods}.")


QUICK = Config(methods=("Minimax",))

if __name__ == "__main__":
    _runner.main(Config, QUICK)

import cmath
import math

import matplotlib.figure
import xarray as xr

from experiments._machinery import _atlas as atlas
from experiments._machinery._runner import Claim

# Double precision, and a spectrum of two numbers.
ROUNDING = 1e-9
# Where the radius leaves 1 by less than rounding the critical step is seen late.
CRITICAL = 1e-6
FEWEST_ROWS = 30


@dataclasses.dataclass(frozen=True)
class Results:
    config: Config
    found: atlas.Atlas

    @property
    def dataset(self) -> xr.Dataset:
        return atlas.to_dataset(self.found)


def run(config: Config) -> Results:
    known = {method.name for method in atlas.METHODS}
    if unknown := set(config.methods) - {"all", *known}:
        raise ValueError(f"`methods` must be names of the atlas, but has {', '.join(sorted(unknown))}.")
    methods = [each for each in atlas.METHODS if "all" in config.methods or each.name in config.methods]
    return Results(config, atlas.compute([each for each in atlas.SYSTEMS if each.name == "dirac"], methods))


# Closed forms. The slope k of a loss at the equilibrium's score makes the plain eigenvalues +-k i.

SLOPES = {
    "Minimax": 0.5,
    "NonSaturating": 0.5,
    "MaximumLikelihood": 0.5,
    "LeCam(Minimax)": 0.5,
    "JensenShannon": 0.5,
    "Relativistic(Minimax)": 0.5,
    # Both of its sums have half of the slope of the difference.
    "RelativisticAverage(Minimax)": 1.0,
}
USUAL_SLOPE = 1.0

# Whether the flow settles: where the generator is paid more than in a zero-sum game it loses what it turns with.
VERDICTS = {
    "NonSaturating": "converges",
    "LeastSquares": "converges",
    "LeCam(Minimax)": "converges",
    "KL, non-saturating": "converges",
    "SquaredHellinger, non-saturating": "converges",
    # Its generator's pay grows without bound.
    "MaximumLikelihood": None,
}


def pair(damping: float, product: float) -> complex:
    """The eigenvalue above the axis, or the rightmost, of t^2 + damping t + product."""
    return -damping / 2 + cmath.sqrt(damping**2 / 4 - product)


def regularized(name: str, slope: float, weight: float) -> complex | None:
    """The eigenvalue of a regularized Dirac-GAN: the discriminator's damping or the generator's, or both."""
    square = slope**2
    match name:
        case "R1" | "R2":  # psi' = -g psi
            return pair(weight, square)
        case "GradientNorm":  # theta' = -2 eta k^2 theta
            return pair(2 * weight * square, square)
        case "Consensus":  # -g A^T A = -g k^2
            return complex(-weight * square, slope)
    return None


def expected(cell: atlas.Cell) -> complex | None:
    """The eigenvalue in closed form, where there is one."""
    if cell.method is None or cell.method.kind == "loss":
        return complex(0, SLOPES.get(cell.name, USUAL_SLOPE))
    return regularized(cell.name, SLOPES.get(cell.base, USUAL_SLOPE), cell.weight)


# Critical steps at a rotation of frequency k, as multiples of 1/k.
CRITICAL_AT_A_CENTER = {
    "Simultaneous": 0.0,
    "Alternating": 2.0,
    "Extragradient": 1.0,
    "ExtragradientFromThePast": 1 / math.sqrt(3),
    "AnchoredExtragradient": 1.0,
    "Optimistic": 1 / math.sqrt(3),
    "HeavyBall(-0.5)": 0.0,
    "HeavyBall(-0.5, alternating)": 1.0,
    "HeavyBall(0.5)": 0.0,
    "CompetitiveGradient": math.inf,
    # Of its two steps each: the multiplier of a round is 1 - (h k)^2.
    "Cycle (slingshot)": math.sqrt(2),
    "Clipped(Alternating, 1)": 2.0,
    "SolverStep(Heun)": 0.0,
    "SolverStep(RK4)": 2 * math.sqrt(2),
    "Optax(sgd)": 2.0,
}


def claims(results: Results) -> list[Claim]:
    cells = results.found.cells
    found = [claim for cell in cells for claim in of_flow(cell)]
    found += [claim for each in results.found.plain for claim in of_rule(each)]
    differing = [each.label for each in results.found.told if not each.agrees and not (each.says and each.says.reason)]
    found.append(
        Claim.equal("rows that differ from their paper without a reason", ", ".join(differing) or "none", "none")
    )
    if results.config == Config():
        found.append(Claim.above("rows of the table", len(cells) + len(results.found.plain), FEWEST_ROWS))
    return found


def of_flow(cell: atlas.Cell) -> list[Claim]:
    found, closed = [], expected(cell)
    if closed is not None:
        miss = abs(cell.eigenvalues[0] - closed)
        found.append(Claim.below(f"{cell.label}: distance of the eigenvalue from its closed form", miss, ROUNDING))
    if cell.method is not None and cell.method.kind == "loss":
        word = VERDICTS.get(cell.name, "cycles")
    else:
        # To first order a damped pair settles.
        word = "converges" if closed is not None and closed.real < 0 else None
    if word is not None:
        found.append(Claim.equal(f"{cell.label}: verdict", cell.word, word))
    return found


def of_rule(each: atlas.RuleCell) -> list[Claim]:
    if each.rule.name not in CRITICAL_AT_A_CENTER:
        return []
    value = CRITICAL_AT_A_CENTER[each.rule.name] / SLOPES.get(each.cell.name, USUAL_SLOPE)
    name = f"{each.label}: critical step"
    if math.isinf(value):
        return [Claim.equal(name, each.critical, value, unit="time")]
    return [Claim.close(name, each.critical, value, atol=CRITICAL, unit="time")]


def extras(results: Results) -> dict[str, bytes]:
    return {".csv": atlas.to_csv(results.found)}


def draw(results: Results) -> matplotlib.figure.Figure:
    return atlas.sheet(results.found.cells)
