r"""Where are the cycles of three games born, where do they die, and what do training rules make of it?

- From the usual GAN to the Wasserstein GAN: the loss is $(1 - s) f_{usual} + s f_W$ on the linear-quadratic game. The
  flow loses its damping at $s = 1$ alone. Simultaneous steps of size $h$ begin to circle earlier, where the trace of
  the Jacobian is $-h$ times its determinant: $(1 - s)/10 = h (1 + s)^2/9$.
- The almost bilinear game of Hsieh et al. (2021), with a weight decay $\mu y^2/2$ of the discriminator: a cycle is born
  in a supercritical Hopf point at $\mu = \epsilon$, of simultaneous steps at $\epsilon + h$.
- Their "forsaken" game with the same decay: the cycle that attracts and the one that shields the critical point are one
  branch, which turns in a fold. Both closed curves of an update are one branch likewise, from its Neimark-Sacker point
  through a fold that is near the flow's.

Source: Hsieh, Mertikopoulos and Cevher (2021), arXiv:2006.09065, section 5; the reference values of the forsaken game's
cycles at $\mu = 0$ are those of an independent integration.
"""

import dataclasses

from experiments._machinery import _runner


@dataclasses.dataclass(frozen=True)
class Config:
    games: tuple[str, ...] = ("homotopy", "almost bilinear", "forsaken")
    """Games; any of these."""
    rules: tuple[str, ...] = ("simultaneous", "alternating", "extragradient", "optimistic")
    """Rules; any of these."""
    step_size: float = 0.1
    """Of the updates, between 0 and 0.2."""
    epsilon: float = 0.5
    """Charge of the almost bilinear game, above 0."""
    closed_curves: bool = True
    """Whether the updates' closed curves are followed, from their Neimark-Sacker points on."""
    seed: int = 0
    """Not used: nothing here is random."""

    def __post_init__(self) -> None:
        for name in ("games", "rules"):
            given, known = getattr(self, name), getattr(Config, name)
            if not given or not set(given) <= set(known) or len(set(given)) < len(given):
                raise ValueError(f"`{name}` must be some of {', '.join(known)}, each once, but is {given}.")
        if not 0 < self.step_size < 0.2:
            raise ValueError(f"`step_size` must be between 0 and 0.2, but is {self.step_size}.")
        if not 0 < self.epsilon < 1:
            raise ValueError(f"`epsilon` must be between 0 and 1, but is {self.epsilon}.")


QUICK = Config(games=("almost bilinear",), rules=("simultaneous",), closed_curves=False)

if __name__ == "__main__":
    _runner.main(Config, QUICK)

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr

from experiments._machinery._runner import Claim
from gan_ode import analysis, fields, games, losses, plot, updates
from gan_ode.games import Players

RULES: dict[str, Any] = {
    "simultaneous": updates.Simultaneous,
    "alternating": updates.Alternating,
    "extragradient": updates.Extragradient,
    "optimistic": updates.Optimistic,
}
# Ranges, and which number of the state is drawn.
RANGES = {"homotopy": (0.0, 0.999), "almost bilinear": (-0.2, 1.0), "forsaken": (-0.7, 0.7)}
# What steps do that leave a fixed point: the two games have a cycle around it.
LEAVE = {"homotopy": "diverges", "almost bilinear": "cycles", "forsaken": "cycles"}
# Where steps start beside a fixed point, and how far from an event, as a part of the range.
NEAR, ASIDE = 1e-3, 0.01
# Folds of closed curves of steps of 0.1 are this near to the flow's; measured at most 0.080.
NEAR_THE_FLOWS = 0.1
# Events and periods are found to rounding; measured 1e-13 and 1e-10.
ROUNDING, OF_PERIODS = 1e-9, 1e-8
PERIODS = {"outer": 7.548003761776, "inner": 7.169877696077}
FOLD = 0.452686424


class Between(losses.AbstractLoss):
    """Between the usual loss, at 0, and the Wasserstein loss, at 1."""

    share: jax.Array
    zero_sum: ClassVar[bool] = True
    degree: ClassVar[int | None] = None

    def f(self, score: Any) -> Any:
        return (1 - self.share) * jax.nn.log_sigmoid(score) + self.share * score

    def generator(self, score: Any) -> Any:
        return self.f(-score)


class Decayed(eqx.Module):
    """A field with -weight y^2/2 added to the value: the weight may be negative.

    Attributes:
        field: The field of the game.
        weight: The weight.
    """

    field: fields.GameField
    weight: jax.Array

    def __call__(self, t: Any, y: Players, args: Any) -> Players:
        velocity = self.field(t, y, args)
        return Players(velocity.discriminator - self.weight * y.discriminator, velocity.generator)


def family_of(config: Config, name: str) -> Any:
    if name == "homotopy":
        return lambda share: fields.GameField(games.LinearQuadratic(Between(jnp.asarray(share, float))))
    game = games.AlmostBilinear(config.epsilon) if name == "almost bilinear" else games.Forsaken()
    return lambda weight: Decayed(fields.GameField(game), jnp.asarray(weight, float))


def start_of(name: str) -> Players:
    """The equilibrium, or near it at the range's start."""
    if name == "homotopy":
        return Players(jnp.array(0.0), jnp.array(1.0))
    return games.Forsaken().equilibrium if name == "forsaken" else Players(jnp.array(0.0), jnp.array(0.0))


@dataclasses.dataclass(frozen=True)
class Results:
    config: Config
    flows: dict[str, analysis.EquilibriumBranch]
    steps: dict[tuple[str, str], analysis.EquilibriumBranch]
    cycles: dict[str, analysis.CycleBranch]
    published: dict[str, float]
    curves: dict[tuple[str, str], analysis.ClosedCurveBranch]

    @property
    def dataset(self) -> xr.Dataset:
        rows = [(name, "flow", event) for name, branch in self.flows.items() for event in branch.events]
        rows += [(name, rule, event) for (name, rule), branch in self.steps.items() for event in branch.events]
        rows += [(name, "cycles", event) for name, branch in self.cycles.items() for event in branch.events]
        rows += [
            (name, f"closed curves, {rule}", event)
            for (name, rule), branch in self.curves.items()
            for event in branch.events
        ]
        data = xr.Dataset(
            {
                "kind": ("event", [event.kind for *_, event in rows]),
                "value": ("event", [float(event.value) for *_, event in rows]),
                "game": ("event", [name for name, *_ in rows]),
                "of": ("event", [of for _, of, _ in rows]),
            },
        )
        for name, branch in self.cycles.items():
            of_it = name.replace(" ", "_")
            data[f"{of_it}_value"] = (f"{of_it}_cycle", np.asarray(branch.values))
            data[f"{of_it}_period"] = (f"{of_it}_cycle", np.asarray(branch.periods), {"units": "time"})
        for (name, rule), curves in self.curves.items():
            of_it = f"{name}_{rule}".replace(" ", "_")
            data[f"{of_it}_value"] = (f"{of_it}_curve", np.asarray(curves.values))
            data[f"{of_it}_rotation"] = (f"{of_it}_curve", np.asarray(curves.rotations), {"units": "turns per step"})
        return data


def run(config: Config) -> Results:
    families = {name: family_of(config, name) for name in config.games}
    flows = {
        name: analysis.continue_equilibrium(family, jnp.array(RANGES[name]), start_of(name))
        for name, family in families.items()
    }
    steps = {
        (name, rule): analysis.continue_equilibrium(
            families[name], jnp.array(RANGES[name]), start_of(name), update=RULES[rule](config.step_size)
        )
        for name in config.games
        for rule in config.rules
    }
    cycles = {
        name: analysis.continue_cycle(families[name], jnp.array(RANGES[name]), hopf)
        for name, branch in flows.items()
        for hopf in branch.events
        if hopf.kind == "hopf"
    }
    published = periods_at_zero(cycles["forsaken"]) if "forsaken" in config.games else {}
    curves = {
        (name, rule): closed_curves(config, families[name], name, rule, branch)
        for (name, rule), branch in steps.items()
        if config.closed_curves and name != "homotopy"
    }
    return Results(config, flows, steps, cycles, published, curves)


def closed_curves(
    config: Config, family: Any, name: str, rule: str, branch: analysis.EquilibriumBranch
) -> analysis.ClosedCurveBranch:
    """The closed curves of a rule's steps, from where its fixed point gets lost; past a fold if it is drawn."""
    (lost,) = branch.events
    past = 20 if rule == config.rules[0] else 0
    update = RULES[rule](config.step_size)
    return analysis.continue_cycle(family, jnp.array(RANGES[name]), lost, update=update, max_folds=past)


def periods_at_zero(branch: analysis.CycleBranch) -> dict[str, float]:
    """The periods of both cycles of the published game, from the points of the branch that are nearest to it."""
    values, turn = np.asarray(branch.values), int(np.argmax(branch.values))
    nearest = {
        "inner": int(np.argmin(np.abs(values[:turn]))),
        "outer": turn + int(np.argmin(np.abs(values[turn:]))),
    }
    field = fields.GameField(games.Forsaken())
    starts = {name: jax.tree.map(lambda leaf: leaf[index], branch.states) for name, index in nearest.items()}  # noqa: B023
    return {name: float(analysis.find_periodic_orbit(field, y).period) for name, y in starts.items()}


def claims(results: Results) -> list[Claim]:
    config, found = results.config, []
    for (name, rule), branch in results.steps.items():
        found += [of_an_event(config, name, rule, event) for event in branch.events]
    for name, of in (("homotopy", of_the_homotopy), ("almost bilinear", of_the_almost_bilinear)):
        if name in config.games:
            found += of(results)
    if "forsaken" in config.games:
        found += of_the_forsaken(results)
    return found


def of_an_event(config: Config, name: str, rule: str, event: analysis.Event) -> Claim:
    """By steps from beside the fixed point, on both sides: they come to it on the one, and leave it on the other."""
    start, end = RANGES[name]
    beside = jax.tree.map(lambda leaf: leaf + NEAR, event.state)
    kinds = {
        analysis.classify(
            family_of(config, name)(event.value + side), beside, update=RULES[rule](config.step_size)
        ).kind
        for side in (-ASIDE * (end - start), ASIDE * (end - start))
    }
    label = f"{name}, {rule}: beside its {event.kind} point at {float(event.value):.4f} steps do"
    return Claim.equal(label, " or ".join(sorted(kinds)), " or ".join(sorted(("converges", LEAVE[name]))))


def only(results: Results, name: str, rule: str) -> float:
    """The value of the only event of a rule; NaN if there are more, or none."""
    values = [float(event.value) for event in results.steps[name, rule].events]
    return values[0] if len(values) == 1 else float("nan")


def of_the_homotopy(results: Results) -> list[Claim]:
    h, found = results.config.step_size, []
    found.append(Claim.equal("homotopy: events of the flow below s = 1", len(results.flows["homotopy"].events), 0))
    if "simultaneous" in results.config.rules:
        s = np.roots([h / 9, 2 * h / 9 + 0.1, h / 9 - 0.1]).max()
        value = only(results, "homotopy", "simultaneous")
        found.append(Claim.close("homotopy, simultaneous: where it begins to circle", value, s, atol=ROUNDING))
    return found


def of_the_almost_bilinear(results: Results) -> list[Claim]:
    epsilon, h = results.config.epsilon, results.config.step_size
    (hopf,) = results.flows["almost bilinear"].events
    form: Any = hopf.normal_form
    found = [
        Claim.close("almost bilinear: the flow's Hopf point", float(hopf.value), epsilon, atol=ROUNDING),
        Claim.close(
            "almost bilinear: first Lyapunov coefficient",
            float(form.coefficient),
            -3 * epsilon / 4,
            atol=ROUNDING,
        ),
        Claim.equal(
            "almost bilinear: the cycle attracts all the way",
            bool(results.cycles["almost bilinear"].stable[1:].all()),
            True,
        ),
    ]
    if "simultaneous" in results.config.rules:
        value = only(results, "almost bilinear", "simultaneous")
        found.append(Claim.close("almost bilinear, simultaneous: where it is born", value, epsilon + h, atol=ROUNDING))
    for (name, rule), curves in results.curves.items():
        if name == "almost bilinear":
            label = f"almost bilinear, {rule}: its closed curve attracts all the way"
            found.append(Claim.equal(label, bool(curves.stable.all()) and curves.ended == "end of range", True))
    return found


def of_the_forsaken(results: Results) -> list[Claim]:
    branch = results.cycles["forsaken"]
    (fold,) = branch.events
    found = [
        Claim.equal("forsaken: what joins both cycles", fold.kind, "fold of cycles"),
        Claim.close("forsaken: where", float(fold.value), FOLD, atol=1e-8),
    ]
    for name, period in results.published.items():
        label = f"forsaken, mu = 0: period of the {name} cycle"
        found.append(Claim.close(label, period, PERIODS[name], atol=OF_PERIODS, unit="time"))
    for (name, rule), curves in results.curves.items():
        if name == "forsaken":
            found += of_a_fold(results.config, rule, curves)
    return found


def of_a_fold(config: Config, rule: str, curves: analysis.ClosedCurveBranch) -> list[Claim]:
    """Where both closed curves meet, and by steps from there on both sides: they go around, or come to rest."""
    kinds = [event.kind for event in curves.events]
    found = [Claim.equal(f"forsaken, {rule}: what joins both closed curves", ", ".join(kinds), "fold of curves")]
    if kinds != ["fold of curves"]:
        return found
    (fold,), (start, end) = curves.events, RANGES["forsaken"]
    family, update = family_of(config, "forsaken"), RULES[rule](config.step_size)
    sides = [
        analysis.classify(family(fold.value + side), fold.state, update=update).kind
        for side in (-ASIDE * (end - start), ASIDE * (end - start))
    ]
    label = f"forsaken, {rule}: the fold at {float(fold.value):.4f} beside the flow's"
    near = Claim.close(label, float(fold.value), FOLD, atol=NEAR_THE_FLOWS * config.step_size / 0.1)
    return [*found, near, Claim.equal(f"forsaken, {rule}: on both sides of it", ", ".join(sides), "cycles, converges")]


def draw(results: Results) -> matplotlib.figure.Figure:
    config = results.config
    figure = matplotlib.figure.Figure(figsize=(7.2, 3.2), layout="constrained")
    panels = figure.subplots(1, len(config.games), squeeze=False)[0]
    handles: dict[str, Any] = {}
    for panel, letter, name in zip(panels, "abc", config.games, strict=False):
        if name == "homotopy":
            plot.label_panel(panel, letter, "usual to Wasserstein loss")
            draw_growth(results, panel)
            continue
        plot.label_panel(panel, letter, name)
        curves = [results.curves[key] for key in ((name, config.rules[0]),) if key in results.curves]
        drawn = plot.bifurcation_diagram(
            results.flows[name],
            results.cycles[name],
            *curves,
            ax=panel,
            of=lambda y: y.generator,
            name=r"\mu",
            quantity="generator",
            labels=("equilibria", "cycles", f"closed curves, {config.rules[0]}")[: 2 + len(curves)],
        )
        handles |= {str(handle.get_label()): handle for handle in drawn.handles}
        for number, rule in enumerate(config.rules):
            for event in results.steps[name, rule].events:
                look = {"color": f"C{number + 2}", "linestyle": LINES[number], "label": rule}
                handles[rule] = panel.axvline(float(event.value), linewidth=1, **look)
            for event in results.curves[name, rule].events if (name, rule) in results.curves else ():
                # At the border of the panel.
                panel.plot(float(event.value), 0.03, "^", color=f"C{number + 2}", transform=panel.get_xaxis_transform())
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5)
    return figure


LINES = (":", (0, (5, 1)), (0, (3, 1, 1, 1)), "--")


def draw_growth(results: Results, panel: Any) -> None:
    """How fast a disturbance of the equilibrium grows, for the flow and for steps."""
    flow = results.flows["homotopy"]
    panel.axhline(0.0, color="0.6", linewidth=0.7, zorder=0)
    panel.plot(flow.values, np.real(flow.eigenvalues)[:, 0], color="C0", label="flow")
    for number, rule in enumerate(results.config.rules):
        branch = results.steps["homotopy", rule]
        growth = np.log(np.abs(branch.eigenvalues)[:, 0]) / results.config.step_size
        panel.plot(branch.values, growth, color=f"C{number + 2}", linestyle=LINES[number], label=rule)
    panel.set(xlabel="$s$", ylabel="growth rate")
