"""What does every loss, regularizer and training rule do on the small games, and does its paper say so?

Each method of the package on each game whose equilibrium is known: eigenvalues, the verdict of the flow, the best
weight, and the critical step of every rule, with the rule's multipliers at its best step. Beside each stands what its
paper says, with the agreement computed; where both differ a reason is written. The page of the documentation is made of
the same numbers: `python -m experiments.atlas --out docs/atlas`.
"""

import dataclasses

from experiments._machinery import _runner


@dataclasses.dataclass(frozen=True)
class Config:
    systems: tuple[str, ...] = ("all",)
    """Systems, by their names; `all` takes every one."""
    methods: tuple[str, ...] = ("all",)
    """Methods, by the names of the tables; `all` takes every one."""
    seed: int = 0
    """Not used: nothing here is random."""

    def __post_init__(self) -> None:
        for name in ("systems", "methods"):
            given = getattr(self, name)
            if not given or len(set(given)) < len(given):
                raise ValueError(f"`{name}` must name at least one, each once, but is {given}.")


QUICK = Config(systems=("bilinear",), methods=("Simultaneous",))

if __name__ == "__main__":
    _runner.main(Config, QUICK)

import matplotlib.figure

from experiments._machinery import _atlas as atlas
from experiments._machinery._runner import Claim

# Of the full atlas.
FEWEST_CELLS = 250


@dataclasses.dataclass(frozen=True)
class Results:
    config: Config
    found: atlas.Atlas
    methods: list[atlas.Method]

    @property
    def dataset(self):
        return atlas.to_dataset(self.found)


def run(config: Config) -> Results:
    systems = chosen("systems", config.systems, atlas.SYSTEMS)
    methods = chosen("methods", config.methods, atlas.METHODS)
    return Results(config, atlas.compute(systems, methods), methods)


def chosen(what: str, names: tuple[str, ...], table: list) -> list:
    """Those of a table that are named, in its order."""
    known = [each.name for each in table]
    if unknown := set(names) - {"all", *known}:
        raise ValueError(f"`{what}` must be of {', '.join(known)}, but has {', '.join(sorted(unknown))}.")
    return [each for each in table if "all" in names or each.name in names]


def claims(results: Results) -> list[Claim]:
    told = results.found.told
    differing = [each for each in told if not each.agrees]
    found = [
        Claim.equal("cells that differ from their paper without a written reason", silent(differing), "none"),
        Claim.equal("cells that agree with their paper and give a reason why not", needless(told), "none"),
        Claim.above("cells of which a paper says something", len(told), 0),
        *closed_forms(results.found),
    ]
    if results.config == Config():
        found.append(Claim.above("cells", results.found.num_cells, FEWEST_CELLS))
    return found


def silent(cells: list) -> str:
    return ", ".join(each.label for each in cells if not each.says.reason) or "none"


def needless(cells: list) -> str:
    return ", ".join(each.label for each in cells if each.agrees and each.says.reason) or "none"


# Eigenvalues above the axis, by hand; weights are those of the tables.
EIGENVALUES = {
    "dirac/Minimax": 0.5j,
    "dirac/Wasserstein": 1j,
    "dirac/Minimax/R1": -1 / 4 + 0.1875**0.5 * 1j,
    "dirac/Minimax/Consensus": -1 / 8 + 0.5j,
    "dirac/Wasserstein/GradientNorm": -0.5 + 0.75**0.5 * 1j,
    "linear_quadratic/Minimax": -1 / 20 + 391**0.5 / 60 * 1j,
    "linear_quadratic/KL": -1 / 10 + (4 / 9 - 1 / 100) ** 0.5 * 1j,
    "linear_quadratic/ReverseKL": -1 / 10 + (4 / 9 - 1 / 100) ** 0.5 * 1j,
    "linear_quadratic/PearsonChiSquared": -1 / 20 + (4 / 9 - 1 / 400) ** 0.5 * 1j,
    "linear_quadratic/NeymanChiSquared": -1 / 20 + (4 / 9 - 1 / 400) ** 0.5 * 1j,
    "linear_quadratic/SquaredHellinger": -1 / 5 + (4 / 9 - 1 / 25) ** 0.5 * 1j,
    "linear_quadratic/JensenShannon": -1 / 20 + 391**0.5 / 60 * 1j,
    "linear_quadratic/Relativistic(Minimax)": -1 / 45 + (1 / 9 - 1 / 2025) ** 0.5 * 1j,
    "linear_quadratic/Wasserstein/GradientNorm": -2 / 9 + 8**0.5 * 2 / 9 * 1j,
    "bilinear/V = u v/Consensus": -1 / 2 + 1j,
}
# Weight and decay rate where the pair becomes real.
BEST_WEIGHTS = {
    "dirac/Minimax/R1": (1.0, 0.5),
    "dirac/Wasserstein/GradientNorm": (1.0, 1.0),
    "linear_quadratic/Wasserstein/GradientNorm": (1.5, 2 / 3),
}
CRITICAL_STEPS = {
    ("dirac/Minimax", "Simultaneous"): 0.0,
    ("dirac/Minimax", "Alternating"): 4.0,
    ("dirac/Minimax", "Extragradient"): 2.0,
    ("dirac/Minimax", "Optimistic"): 2 / 3**0.5,
    ("linear_quadratic/Wasserstein", "Alternating"): 3.0,
    ("linear_quadratic/Wasserstein", "Extragradient"): 1.5,
    ("linear_quadratic/Wasserstein", "Optimistic"): 3**0.5 / 2,
    ("linear_quadratic/Wasserstein/GradientNorm", "Simultaneous"): 1.0,
    ("linear_quadratic/Minimax", "Simultaneous"): 0.9,
    ("bilinear/V = u v", "Simultaneous"): 0.0,
    ("bilinear/V = u v", "Alternating"): 2.0,
    ("bilinear/V = u v", "HeavyBall(-0.5, alternating)"): 1.0,
    ("bilinear/V = u v", "HeavyBall(-0.5)"): 0.0,
}


def closed_forms(found: atlas.Atlas) -> list[Claim]:
    cells = {cell.label: cell for cell in found.cells}
    steps = {(each.cell.label, each.rule.name): each for row in found.rules for each in row}
    claims = []
    for label, expected in EIGENVALUES.items():
        if label in cells:
            miss = abs(cells[label].eigenvalues[0] - expected)
            claims.append(Claim.below(f"{label}: distance of the eigenvalue from its closed form", miss, 1e-9))
    for label, (weight, rate) in BEST_WEIGHTS.items():
        if label in cells:
            claims.append(Claim.close(f"{label}: best weight", cells[label].best_weight, weight, atol=1e-6))
            claims.append(Claim.close(f"{label}: decay rate there", cells[label].best_rate, rate, atol=1e-6))
    for key, expected in CRITICAL_STEPS.items():
        if key in steps:
            name = f"{key[0]}, {key[1]}: critical step"
            # At a center the radius leaves 1 by less than rounding near the critical step.
            claims.append(Claim.close(name, steps[key].critical, expected, atol=1e-6, unit="time"))
    return claims


def extras(results: Results) -> dict[str, bytes]:
    """The page and the table beside the data."""
    return {".md": atlas.page(results.found, results.methods).encode(), ".csv": atlas.to_csv(results.found)}


def draw(results: Results) -> matplotlib.figure.Figure:
    planes = atlas.drawn(results.found.cells)
    return atlas.sheet(planes) if planes else atlas.spectra(results.found.cells)
