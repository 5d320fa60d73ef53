"""Computes the cells of the atlas, each by the package: one program for all fields of a system, one for each rule."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from experiments._machinery._atlas import _bank
from experiments._machinery._atlas._method import Method, Says, System
from experiments._machinery._programs import drop_programs_if_many
from gan_ode import analysis, iterate, simulate, solvers, updates
from gan_ode.games import Players

# A larger switch compiles more slowly than two.
MOST_IN_A_BANK = 32
# Nodes in the weight, on which Jacobians are interpolated: exact for polynomials of degree 8.
NODES = 9
# A step, in units of one over the largest eigenvalue, at which rules are judged: a tenth, as the package's own look.
TYPICAL = 0.1
# Critical steps below, in units of that one, are 0.
SMALLEST = 1e-5
# How long an orbit is followed to an equilibrium at which its field jumps.
SLIDING = 100.0
# Radii nearer to 1 are taken for 1: multipliers that collide are good to the square root of rounding.
NEUTRAL = 1e-7
# Real parts below are zero: eigenvalues here are of order 1.
ON_THE_AXIS = 1e-9
# Of the lines in portraits. The fastest system, Heusel's toy, has the rate 200, and Kutta's method is stable to 2.78.
LINE_STEP = 0.01


@dataclasses.dataclass(frozen=True, eq=False)
class Cell:
    """A method on a system.

    Attributes:
        system: The system.
        base: Which of its games, or empty for a loss.
        method: The method, or None for the game as it is.
        field: The bank that it stands in.
        args: Which one there, and the weight.
        equilibrium: The equilibrium at this weight.
        jacobian: Of the field there, or NaN where it is not smooth.
        eigenvalues: Of the Jacobian, by falling real part.
        verdict: Of the flow from the system's start.
        best_weight: At which the flow returns fastest; NaN where there is no weight.
        best_rate: Its decay rate there.
        at_end: Whether the best weight is an end of the range.
        says: What a paper says of it.
    """

    system: System
    base: str
    method: Method | None
    field: Callable
    args: tuple[Any, Any]
    equilibrium: Players
    jacobian: np.ndarray
    eigenvalues: np.ndarray
    verdict: analysis.Verdict
    best_weight: float
    best_rate: float
    at_end: bool
    says: Says | None

    @property
    def name(self) -> str:
        return "none" if self.method is None else self.method.name

    @property
    def label(self) -> str:
        return "/".join(part for part in (self.system.name, self.base, self.name) if part)

    @property
    def weight(self) -> float:
        if self.method is None or self.method.kind == "loss" or not self.method.weighted:
            return float("nan")
        return float(self.args[1])

    @property
    def note(self) -> str:
        """What a reader should know of the verdict."""
        return self.system.note if self.method is None else self.method.notes.get(_place(self.system, self.base), "")

    @property
    def abscissa(self) -> float:
        return float(self.eigenvalues[0].real)

    @property
    def word(self) -> str:
        return self.verdict.kind

    @property
    def agrees(self) -> bool | None:
        """Whether the paper's word is what was computed; None where it says nothing."""
        if self.says is None:
            return None
        match self.says.word:
            case "converges at a rate":
                return self.word == "converges" and self.abscissa < -ON_THE_AXIS
            case "no rate":
                return abs(self.abscissa) < ON_THE_AXIS
            case word:
                return self.word == word


@dataclasses.dataclass(frozen=True, eq=False)
class RuleCell:
    """A rule on a field, at its equilibrium.

    Attributes:
        cell: The field.
        rule: The rule.
        critical: Its critical step size.
        step: The one at which the fewest steps are needed.
        multipliers: There, by falling modulus.
        typical: The step size of the verdict.
        radius: The spectral radius there.
        says: What a paper says.
    """

    cell: Cell
    rule: Method
    critical: float
    step: float
    multipliers: np.ndarray
    typical: float
    radius: float
    says: Says | None

    @property
    def label(self) -> str:
        return f"{self.cell.label}/{self.rule.name}"

    @property
    def word(self) -> str:
        """In the words of flows: a small disturbance shrinks, grows, or does neither."""
        if not np.isfinite(self.radius):
            return "undecided"
        if abs(self.radius - 1) < NEUTRAL:
            return "cycles"
        return "converges" if self.radius < 1 else "diverges"

    @property
    def agrees(self) -> bool | None:
        return None if self.says is None else self.word == self.says.word


def cells_of(system: System, methods: Iterable[Method]) -> list[Cell]:
    """Every method on a system, and its games as they are where they are not among the losses."""
    places, found = _places(system, list(methods)), []
    for start in range(0, len(places), MOST_IN_A_BANK):
        found += _of_bank(system, places[start:][:MOST_IN_A_BANK])
        # What was compiled for a bank is of no use to the next.
        drop_programs_if_many()
    return found


def _places(system: System, methods: list[Method]) -> list[tuple[str, Method | None]]:
    found: list[tuple[str, Method | None]] = []
    if system.of_loss is None:
        found += [(base, None) for base in system.bases]
    else:
        found += [("", method) for method in methods if method.kind == "loss"]
    for base in system.bases:
        fit = [each for each in methods if each.kind not in ("loss", "update") and each.fits(system)]
        found += [(base, method) for method in fit]
    return found


def _of_bank(system: System, places: Sequence[tuple[str, Method | None]]) -> list[Cell]:
    field = _bank.bank([_bank.family_of(system, base, method) for base, method in places])

    @eqx.filter_jit
    def jacobians(which: Any, weights: Any, y: Players) -> Any:
        # Under a transformation there is NaN, and no error, where a field is not smooth.
        return jax.vmap(lambda weight: analysis.jacobian(field, y, args=(which, weight)))(weights)

    found = []
    for number, (base, method) in enumerate(places):
        which = jnp.asarray(number)
        regularized = method is not None and method.kind != "loss"
        weight = method.weight if method is not None and regularized else 0.0
        low, high = method.weights if method is not None and regularized else (0.0, 1.0)
        args = which, jnp.asarray(weight)
        equilibrium = _equilibrium(system, field, args)
        matrices = np.asarray(jacobians(which, jnp.asarray([weight, *nodes(low, high)]), equilibrium))
        best = _best_weight(matrices, weight, low, high) if regularized else (float("nan"), float("nan"), False)
        found.append(
            Cell(
                system,
                base,
                method,
                field,
                args,
                equilibrium,
                matrices[0],
                _eigenvalues(matrices[0], system),
                _verdict(system, field, args, smooth=bool(np.isfinite(matrices[0]).all())),
                *best,
                says=_said(system, base, method),
            )
        )
    return found


def _verdict(system: System, field: Callable, args: Any, smooth: bool) -> analysis.Verdict:
    # Where a field jumps at its equilibrium an orbit slides, or takes ever smaller steps.
    return analysis.classify(field, system.start, args=args, duration=None if smooth else SLIDING)


def _said(system: System, base: str, method: Method | None) -> Says | None:
    if method is None:
        return None
    return method.says.get(_place(system, base))


def _place(system: System, base: str) -> str:
    """How a system, or one of its games, is called in what is said of a method."""
    return f"{system.name}/{base}" if base else system.name


def _equilibrium(system: System, field: Callable, args: Any) -> Players:
    """The system's own, or where a method has moved it to."""
    there = system.equilibrium
    if float(_speed(field)(there, args)) < 1e-12:
        return there
    return analysis.find_equilibrium(field, there, args=args).y


@eqx.filter_jit
def _speed_of(field: Callable, y: Players, args: Any) -> Any:
    return jnp.max(jnp.abs(ravel_pytree(field(0.0, y, args))[0]))


def _speed(field: Callable) -> Callable:
    return lambda y, args: _speed_of(field, y, args)


def num_of_discriminator(system: System) -> int:
    """Numbers of the discriminator."""
    return ravel_pytree(system.equilibrium.discriminator)[0].size


def _eigenvalues(matrix: np.ndarray, system: System) -> np.ndarray:
    if not np.isfinite(matrix).all():
        return np.full(len(matrix), np.nan + 0j)
    linear = _bank.LinearPart(jnp.asarray(matrix), num_of_discriminator(system))
    return np.asarray(analysis.spectrum(linear, linear.rest, check=False))


# The best weight.


class Interpolated(eqx.Module):
    """The linear part of a family, from the weight; the polynomial through its Jacobians at Chebyshev's nodes."""

    nodes: jax.Array
    matrices: jax.Array

    def matrix(self, weight: Any) -> jax.Array:
        # Lagrange's form: by products alone, so that a node is no special case.
        apart = weight - self.nodes
        others = ~jnp.eye(len(self.nodes), dtype=bool)
        gaps = self.nodes[:, None] - self.nodes
        shares = jnp.where(others, apart / jnp.where(others, gaps, 1.0), 1.0)
        return jnp.tensordot(jnp.prod(shares, axis=1), self.matrices, 1)

    def __call__(self, weight: Any) -> _bank.LinearPart:
        return _bank.LinearPart(self.matrix(weight), len(self.matrices[0]) // 2)


def nodes(low: float, high: float) -> np.ndarray:
    """Chebyshev's nodes between two weights."""
    return (low + high) / 2 + (high - low) / 2 * np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES)


def _best_weight(matrices: np.ndarray, weight: float, low: float, high: float) -> tuple[float, float, bool]:
    """By `analysis.optimal_parameter` on the linear parts; NaN where the Jacobian is no polynomial of the weight."""
    family = Interpolated(jnp.asarray(nodes(low, high)), jnp.asarray(matrices[1:]))
    # At a weight that is no node the polynomial has to be the Jacobian.
    miss = np.abs(np.asarray(family.matrix(weight)) - matrices[0]).max()
    if not miss < 1e-8:
        return float("nan"), float("nan"), False
    grid = jnp.linspace(low, high, 161)
    optimum = analysis.optimal_parameter(family, grid, family(low).rest, check=False)
    # Weights that change nothing, or not what is slowest, are all best.
    still = np.ptp(matrices[1:], axis=0).max() < 1e-12 or abs(float(optimum.rate)) < ON_THE_AXIS
    return (float("nan") if still else float(optimum.value)), float(optimum.rate), bool(optimum.at_end)


# Rules.


def critical_steps(cells: Sequence[Cell], rules: Sequence[Method]) -> list[list[RuleCell]]:
    """Every rule on every cell of one shape of state, by cell.

    The multipliers at an equilibrium are those on the linear part of the field, and linear parts are numbers: a rule is
    compiled once for all of them.
    """
    num = num_of_discriminator(cells[0].system)
    matrices = np.stack([cell.jacobian for cell in cells])
    # Where a field is zero to first order no step is typical, and multipliers are 1 at any.
    known = np.isfinite(matrices).all(axis=(1, 2)) & (np.abs(matrices).max(axis=(1, 2)) > ON_THE_AXIS)
    matrices[~known] = np.eye(len(matrices[0]))
    columns = [_of_rule(rule, cells, jnp.asarray(matrices), np.asarray(known), num) for rule in rules]
    return [[column[i] for column in columns] for i in range(len(cells))]


def _of_rule(rule: Method, cells: Sequence[Cell], matrices: jax.Array, known: np.ndarray, num: int) -> list[RuleCell]:
    @eqx.filter_jit
    def measure(matrix: jax.Array) -> tuple[Any, ...]:
        field = _bank.LinearPart(matrix, num)
        best = analysis.optimal_step_size(rule.make, field, field.rest, check=False).value
        typical = TYPICAL / jnp.max(jnp.abs(analysis.spectrum(field, field.rest, check=False)))
        return (
            analysis.critical_step_size(rule.make, field, field.rest, check=False),
            best,
            analysis.multipliers(rule.make(best), field, field.rest, check=False),
            typical,
            analysis.spectral_radius(rule.make(typical), field, field.rest, check=False),
        )

    found = [np.asarray(each) for each in eqx.filter_jit(jax.vmap(measure))(matrices)]
    rows = []
    for number, cell in enumerate(cells):
        critical, best, multipliers, typical, radius = (
            each[number] if known[number] else each[number] * np.nan for each in found
        )
        # An anchor, however far its pull has faded, holds against a repelling point for the smallest of steps.
        critical = 0.0 if critical < SMALLEST * typical else critical
        rows.append(
            RuleCell(
                cell,
                rule,
                float(critical),
                float(best),
                multipliers,
                float(typical),
                float(radius),
                _said_of(rule, cell),
            )
        )
    return rows


def _said_of(rule: Method, cell: Cell) -> Says | None:
    """What is said of a rule on a game as it is."""
    if is_plain(cell):
        return rule.says.get(f"{cell.system.name}/{cell.base or cell.name}")
    return None


def is_plain(cell: Cell) -> bool:
    """Whether this is one of the games that rules are tried on."""
    return cell.method is None or (cell.method.kind == "loss" and cell.name in cell.system.bases)


# Orbits for portraits.


def orbit_of(cell: Cell, duration: float) -> simulate.Orbit:
    """The flow from the system's start, in steps of one size: a scan is compiled in a third of a solver's time."""
    num_steps = int(duration / LINE_STEP)
    rule = updates.SolverStep(solvers.RK4(), LINE_STEP)
    return iterate(rule, cell.field, cell.system.start, num_steps=num_steps, args=cell.args)
