r"""Does the diagnosis name what ails a GAN, and does what it ranks first help?

Five GANs are made sick on purpose, on a ring of eight Gaussians and on digits: a plain Wasserstein loss (cycling), too
large a step, too fast a discriminator, a discriminator so far ahead that the generator's loss has saturated (vanishing
logits), and too small a batch. A healthy one stands beside them. After some training each is diagnosed, from its state,
the optimizers' moments and its minibatches alone. Then it is trained again from its start with each of five remedies,
at the weight that the diagnosis gives, and once more without, on the same minibatches.

How good a remedy is in training is seen in the samples of the later half of the saves: modes covered, and energy
distance to the data. The remedy that the diagnosis ranks first is right if at most one of the five did better by the
distance, and at most one by the modes.

The thresholds of the diagnosis and the patients were looked at on the seeds 0 to 5; the runs here start from others.
That too fast a discriminator is treated by equal rates was decided after a look at the runs themselves.
"""

import dataclasses
from typing import Any

from experiments._machinery import _runner


@dataclasses.dataclass(frozen=True)
class Config:
    materials: tuple[str, ...] = ("ring", "digits")
    """What is learned."""
    diseases: tuple[str, ...] = (
        "cycling",
        "step too large",
        "discriminator too fast",
        "vanishing logits",
        "batch too small",
    )
    """What is planted."""
    healthy: bool = True
    """Whether healthy runs stand beside."""
    num_steps: int = 1000
    """Steps of each run."""
    save_every: int = 100
    """Samples are measured every so many steps."""
    seen_at: int = 600
    """Steps before the diagnosis."""
    num_seeds: int = 3
    """Runs of each: with `seed`, `seed` + 1, ..."""
    largest_batch: int = 256
    """A larger batch that is asked for is cut to this."""
    linear_batch: int = 256
    """Samples of the minibatch on which the linear part is taken."""
    tried: int = 5
    """How many remedies are tried in training."""
    budget: int = 5000
    """Field evaluations of a diagnosis."""
    width: int = 32
    """Hidden units of the ring's networks."""
    seed: int = 6
    """The first seed, of networks and minibatches."""

    def __post_init__(self) -> None:
        if self.save_every < 1 or self.num_steps < 1 or self.num_steps % self.save_every:
            raise ValueError(
                f"`save_every` must be at least 1 and divide `num_steps`, but they are {self.save_every} and "
                f"{self.num_steps}."
            )
        if self.seen_at not in range(self.save_every, self.num_steps + 1, self.save_every):
            raise ValueError(f"`seen_at` must be a save, a multiple of {self.save_every}, but is {self.seen_at}.")
        if self.num_steps > 5000:
            raise ValueError(f"`num_steps` must be at most 5000, but is {self.num_steps}.")
        known: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(Config)}
        for name in ("materials", "diseases"):
            chosen = getattr(self, name)
            if not chosen or not set(chosen) <= set(known[name]) or len(set(chosen)) < len(chosen):
                raise ValueError(f"`{name}` must be different ones of {known[name]}, one at least, but are {chosen}.")
        if not 1 <= self.tried <= 5:
            raise ValueError(f"`tried` must lie between 1 and 5, but is {self.tried}.")
        for name in ("num_seeds", "largest_batch", "linear_batch", "budget", "width"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1, but is {getattr(self, name)}.")


# Networks of so few parameters that the Jacobian is a dense matrix, which compiles in seconds.
QUICK = Config(
    materials=("ring",), diseases=("batch too small",), healthy=False, num_steps=100, save_every=50, seen_at=50,
    num_seeds=1,    largest_batch=64, linear_batch=64, tried=2, width=4,
)  # fmt: skip

if __name__ == "__main__":
    _runner.main(Config, QUICK)

import functools
import sys
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr

from experiments._machinery import _clinic
from experiments._machinery._clinic import Patient
from experiments._machinery._runner import Claim
from gan_ode import analysis, plot

MEASURES = ("modes", "quality", "distance", "data_score", "score")
NONE = "none"
REMEDIES = ("gradient norm", "R1", "ratio of rates", "smaller step", "larger batch", "non-saturating loss")
USUAL_BATCH = 64
CLASSIFIER_STEPS = 500
MARKERS: dict[str, str] = dict(zip((NONE, *REMEDIES), ("_", "o", "s", "^", "v", "D", "P"), strict=True))


def in_single_precision(function: Callable[..., Any]) -> Callable[..., Any]:
    """Runs a function with 32-bit numbers; the setting holds for the thread that it is made in."""

    @functools.wraps(function)
    def wrapped(*args: Any) -> Any:
        with jax.enable_x64(False):
            return function(*args)

    return wrapped


@dataclasses.dataclass(frozen=True)
class Case:
    """One patient with all its runs: the diagnoses, and the measures of each treatment by run and save."""

    diagnoses: list[analysis.Diagnosis | None]
    measures: dict[str, dict[str, np.ndarray]]


def run(config: Config) -> xr.Dataset:
    found: dict[tuple[str, str], Case] = {}
    for name in config.materials:
        material = make_material(config, name)
        for patient in patients(config, name):
            found[name, patient.disease] = examine(config, material, patient)
            report(name, patient, found[name, patient.disease])
    return gather(config, found)


@in_single_precision
def make_material(config: Config, name: str) -> _clinic.Material:
    return _clinic.ring(config.width) if name == "ring" else _clinic.digits(CLASSIFIER_STEPS)


def patients(config: Config, material: str) -> list[Patient]:
    sick = [patient for patient in _clinic.PATIENTS[material] if patient.disease in config.diseases]
    return [*sick, *([_clinic.HEALTHY[material]] if config.healthy else [])]


def seeds_of(config: Config) -> list[int]:
    return [config.seed + n for n in range(config.num_seeds)]


def examine(config: Config, material: _clinic.Material, patient: Patient) -> Case:
    """Trains a patient, diagnoses it, and trains it again with each of the remedies."""
    runs = [patient.regimen] * config.num_seeds
    states, measures = train(config, material, patient.loss, runs, USUAL_BATCH)
    each = [jax.tree.map(lambda leaf, n=n: leaf[n], states) for n in range(config.num_seeds)]
    diagnoses = [
        diagnose(config, material, patient, seed, *state)
        for seed, state in zip(seeds_of(config), each, strict=True)
    ]  # fmt: skip
    tried = {} if patient.disease == "healthy" else try_out(config, material, patient, diagnoses)
    return Case(diagnoses, {NONE: measures, **tried})


@in_single_precision
def train(config: Config, material: Any, loss: Any, regimens: Sequence[Any], most: int) -> tuple[Any, Any]:
    """The last states, and the measures, of runs from all seeds."""
    doses = [_clinic.dosed(regimen, most) for regimen in regimens]
    seeds = jnp.asarray(seeds_of(config))
    found = _clinic.train(
        material, loss, _clinic.stacked(doses), seeds, config.num_steps, config.save_every, config.seen_at, most
    )  # fmt: skip
    return jax.tree.map(np.asarray, found)


def try_out(config: Config, material: Any, patient: Patient, diagnoses: list[Any]) -> dict[str, Any]:
    """The measures under each remedy, as the diagnosis of each run doses it."""
    found = {}
    for name in panel(config, patient):
        offers = [next((r for r in one.remedies if r.name == name), None) if one else None for one in diagnoses]
        # What could not be predicted in a run is left out of it: the training goes on as it was.
        regimens = [
            patient.regimen if r is None else _clinic.treated(patient.regimen, name, r.weight, r.step_factor)
            for r in offers
        ]
        loss = _clinic.OTHER_LOSS if name == "non-saturating loss" else patient.loss
        most = config.largest_batch if name == "larger batch" else USUAL_BATCH
        found[name] = train(config, material, loss, regimens, most)[1]
    return found


def panel(config: Config, patient: Patient) -> tuple[str, ...]:
    return patient.panel[-config.tried :]


def diagnose(config: Config, material: Any, patient: Patient, seed: int, y: Any, memory: Any) -> Any:
    """From what a user has in hand, in double precision; None of a state that is lost."""
    if not all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves((y, memory))):
        return None
    gan = in_single_precision(material.gan)(jax.random.key(seed), patient.loss)
    regimen = jax.tree.map(lambda number: jnp.asarray(number, float), patient.regimen)
    key = jax.random.fold_in(jax.random.key(seed), 2)

    def batches(n: Any) -> Any:
        return wide(gan.sample(jax.random.fold_in(key, n), int(patient.regimen.batch)))

    return analysis.diagnose(
        _clinic.field_of(gan, regimen), wide(y), update=_clinic.update_of(regimen), memory=wide(memory),
        args=wide(gan.sample(key, config.linear_batch)), batches=batches, key=key, remedies=panel(config, patient),
        budget=config.budget,
    )  # fmt: skip


def wide(tree: Any) -> Any:
    """The numbers in double precision; counters stay what they are."""
    return jax.tree.map(
        lambda leaf: jnp.asarray(leaf, float if jnp.issubdtype(leaf.dtype, jnp.floating) else None), tree
    )


def report(material: str, patient: Patient, case: Case) -> None:
    names = ", ".join(str(one.disease) if one else "lost" for one in case.diagnoses)
    first = ", ".join(one.remedies[0].name if one and one.remedies else "nothing" for one in case.diagnoses)
    print(f"\n{material}, {patient.disease}: named {names}; first {first}", end=" ", file=sys.stderr, flush=True)


def gather(config: Config, found: dict[tuple[str, str], Case]) -> xr.Dataset:
    """Everything by material, patient and run; NaN where a remedy was not tried."""
    diseases = [*config.diseases, *(["healthy"] if config.healthy else [])]
    treatments = [NONE, *(name for name in REMEDIES if any(name in case.measures for case in found.values()))]
    sizes = {"material": list(config.materials), "disease": diseases, "run": seeds_of(config)}
    shape = tuple(map(len, sizes.values()))
    steps = np.arange(config.save_every, config.num_steps + 1, config.save_every)
    words = {name: np.full(shape, "", object) for name in ("named", "first", "verdict")}
    looked = [str(each) for each in analysis.DISEASES if each not in ("healthy", "undecided")]
    strengths = np.full((*shape, len(looked)), np.nan)
    predicted = {name: np.full((*shape, len(treatments)), np.nan) for name in ("weight", "growth", "progress", "rank")}
    curves = {name: np.full((*shape, len(treatments), len(steps)), np.nan) for name in MEASURES}
    for (material, disease), case in found.items():
        i, j = sizes["material"].index(material), diseases.index(disease)
        for k, one in enumerate(case.diagnoses):
            if one is None:
                words["named"][i, j, k] = "lost"
                continue
            ranked = [each.name for each in one.remedies]
            words["named"][i, j, k], words["verdict"][i, j, k] = str(one.disease), one.verdict
            words["first"][i, j, k] = ranked[0] if ranked else ""
            strengths[i, j, k] = [strength_of(one, name) for name in looked]
            for place, each in enumerate(one.remedies):
                n = treatments.index(each.name) if each.name in treatments else None
                if n is not None:
                    values = (each.weight, each.growth_per_step, each.progress, place + 1)
                    for name, value in zip(predicted, values, strict=True):
                        predicted[name][i, j, k, n] = value
        for name, measures in case.measures.items():
            for measure in MEASURES:
                curves[measure][i, j, :, treatments.index(name)] = measures[measure]
    along = tuple(sizes)
    data: dict[str, Any] = {name: (along, values.astype(str)) for name, values in words.items()}
    data["strength"] = (*along, "looked_for"), strengths
    data |= {name: ((*along, "treatment"), values) for name, values in predicted.items()}
    data |= {name: ((*along, "treatment", "step"), values) for name, values in curves.items()}
    return xr.Dataset(data, {**sizes, "looked_for": looked, "treatment": treatments, "step": steps})


def strength_of(diagnosis: analysis.Diagnosis, disease: str) -> float:
    finding = diagnosis.finding(disease)
    return float("nan") if finding is None else finding.strength


def outcomes(results: xr.Dataset) -> xr.Dataset:
    """What is scored: means over the later half of the saves; a lost run has no modes and infinite distance."""
    late = results.isel(step=slice(results.sizes["step"] // 2, None))
    tried = np.isfinite(results.modes).any("step")
    modes = late.modes.mean("step")
    distance = late.distance.where(np.isfinite(late.distance), np.inf).mean("step").where(tried)
    return xr.Dataset({"modes": modes, "distance": distance})


def right(results: xr.Dataset) -> xr.DataArray:
    """Whether the remedy that is ranked first is among the two best, by material, disease and run."""
    scored = outcomes(results).sel(treatment=[name for name in results.treatment.values if name != NONE])
    first = scored.treatment == results["first"]
    better = {
        "modes": (scored.modes > scored.modes.where(first).max("treatment")).sum("treatment"),
        "distance": (scored.distance < scored.distance.where(first).min("treatment")).sum("treatment"),
    }
    return first.any("treatment") & (better["modes"] < 2) & (better["distance"] < 2)


def claims(results: xr.Dataset) -> list[Claim]:
    found = []
    sick = results.sel(disease=[name for name in results.disease.values if name != "healthy"])
    full = sick.sizes["disease"] == 5 and sick.sizes["run"] == 3
    for material in results.material.values:
        here = sick.sel(material=material)
        named, helped = int((here.named == here.disease).sum()), int(right(here).sum())
        # At least 13, and at least 12, of 15: fewer runs than all are no evidence for either.
        if full:
            found += [
                Claim.above(f"{material}: planted diseases named, of 15", named, 12),
                Claim.above(f"{material}: first remedies among the two best, of 15", helped, 11),
            ]
        if "healthy" in results.disease.values:
            well = results.sel(material=material, disease="healthy")
            called = int((well.named == "healthy").sum())
            found.append(Claim.equal(f"{material}: healthy runs in which nothing is named", called, well.named.size))
            suffers = outcomes(here).sel(treatment=NONE).distance / outcomes(well).sel(treatment=NONE).distance.mean()
            worse = suffers.mean("run").min()
            found.append(Claim.above(f"{material}: distance of the sick over that of the healthy, least", worse, 1.2))
    finite = np.isfinite(results.modes).any("step").sum("treatment")
    found.append(Claim.above("Treatments that were trained, of a run, at least", int(finite.min()), 0))
    return found


def draw(results: xr.Dataset) -> matplotlib.figure.Figure:
    rows = results.sizes["material"]
    figure = matplotlib.figure.Figure(figsize=(7.2, 0.8 + 2.4 * rows), layout="constrained")
    panels = figure.subplots(rows, 2, squeeze=False, width_ratios=(1.0, 1.9))
    letters = iter("abcdefgh")
    handles: dict[str, Any] = {}
    for (strengths, distances), material in zip(panels, results.material.values, strict=True):
        draw_strengths(strengths, results.sel(material=material))
        handles |= draw_distances(distances, results.sel(material=material))
        plot.label_panel(strengths, next(letters), f"{material}: evidence over threshold")
        plot.label_panel(distances, next(letters), f"{material}: training, untreated and treated")
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4)
    return figure


def draw_strengths(ax: Any, results: xr.Dataset) -> None:
    """Planted against looked for: the geometric mean of the evidence, and in how many runs it was the diagnosis."""
    values = np.clip(np.nan_to_num(results.strength.values, nan=1e-2), 1e-2, 1e2)
    mean = np.exp(np.log(values).mean(axis=1))
    ax.imshow(np.log10(mean), cmap="RdBu_r", vmin=-2, vmax=2, aspect="auto")
    for row, disease in enumerate(results.disease.values):
        for column, looked in enumerate(results.looked_for.values):
            num = int((results.named.sel(disease=disease) == looked).sum())
            if num:
                dark = abs(np.log10(mean[row, column])) > 1.2
                ax.text(column, row, str(num), ha="center", va="center", color="white" if dark else "black", fontsize=7)
    ax.set_xticks(range(results.sizes["looked_for"]), map(short, results.looked_for.values), fontsize=6)
    ax.set_yticks(range(results.sizes["disease"]), map(short, results.disease.values), fontsize=6)
    ax.set(xlabel="looked for", ylabel="planted")


def short(disease: str) -> str:
    return {
        "step too large": "step\nlarge", "discriminator too fast": "D\nfast", "vanishing logits": "logits\nvanish",
        "batch too small": "batch\nsmall",
    }.get(disease, disease)  # fmt: skip


def draw_distances(ax: Any, results: xr.Dataset) -> dict[str, Any]:
    """Energy distance of each run, by treatment; rings around what was ranked first."""
    scored, handles = outcomes(results), {}
    treatments, runs = list(results.treatment.values), results.sizes["run"]
    for n, name in enumerate(treatments):
        color = "0.35" if name == NONE else plot.CYCLE[(n - 1) % len(plot.CYCLE)]
        for row, disease in enumerate(results.disease.values):
            values = scored.distance.sel(disease=disease, treatment=name).values
            places = row + 0.78 * ((n + 0.5 + 0.2 * (np.arange(runs) - (runs - 1) / 2)) / len(treatments) - 0.5)
            look = {"color": color, "marker": MARKERS[name], "markersize": 3.5, "linestyle": "none"}
            (handles[name],) = ax.plot(places, values, label=name, **look)
            first = results["first"].sel(disease=disease).values == name
            if first.any():
                ring = {"markerfacecolor": "none", "markeredgecolor": "black", "markeredgewidth": 0.7}
                (handles["ranked first"],) = ax.plot(
                    places[first], values[first], marker="o", markersize=7, linestyle="none", **ring
                )
    for row in range(1, results.sizes["disease"]):
        ax.axvline(row - 0.5, color="0.85", linewidth=0.6)
    ax.set_xticks(range(results.sizes["disease"]), map(short, results.disease.values), fontsize=6)
    ax.set(yscale="log", ylabel="energy distance", xlim=(-0.5, results.sizes["disease"] - 0.5))
    return {name: handles[name] for name in ("none", *treatments[1:], "ranked first") if name in handles}
