r"""How do the eigenvalues of a GAN's field move while it is trained?

The ring of Gaussians, trained by Adam with and without the gradient-norm regularizer. At checkpoints the rightmost and
the largest eigenvalues of the field's Jacobian are found without the matrix, which has 2.5 x 10^9 entries, on one
minibatch that is held for all checkpoints. The rightmost ones say whether the flow would settle where the training is;
the most negative one, up to which step size simultaneous steps could follow the flow; both, how stiff it is. On smaller
networks all three lists, and the step size, are checked against the dense spectrum. Last, the weight of the regularizer
alone is varied, at the state at which the training without it ended.
"""

import dataclasses

from experiments._machinery import _runner


@dataclasses.dataclass(frozen=True)
class Config:
    etas: tuple[float, float] = (0.0, 0.5)
    """Weights of the regularizer that the players are trained with: none, and some."""
    swept: tuple[float, ...] = (0.0, 0.5, 2.0, 10.0, 50.0)
    """Weights for the state at which the training without it ended, rising from 0."""
    num_steps: int = 3000
    """Steps of training; a multiple of the number of checkpoints."""
    num_checkpoints: int = 6
    """Checkpoints after the start."""
    small: bool = False
    """Whether to train players of 2,000 parameters in the place of the paper's 50,179."""
    num_eigenvalues: int = 6
    """Eigenvalues of each kind."""
    batch: int = 512
    """Samples in a minibatch."""
    learning_rate: float = 1e-4
    """Of Adam, for both players."""
    tolerance: float = 1e-3
    """Of the residuals, relative to the eigenvalues, in float32."""
    widths: tuple[int, int] = (32, 38)
    """Widths of the discriminator and the generator whose spectrum is found densely too."""
    seed: int = 0
    """For weights and minibatches."""

    def __post_init__(self) -> None:
        if not self.etas[0] == 0 < self.etas[1]:
            raise ValueError(f"`etas` must be 0 and a weight above 0, but are {self.etas}.")
        if len(self.swept) < 3 or self.swept[0] != 0 or list(self.swept) != sorted(set(self.swept)):
            raise ValueError(f"`swept` must be at least three weights that rise from 0, but are {self.swept}.")
        if self.num_checkpoints < 1 or self.num_steps % self.num_checkpoints:
            raise ValueError(
                f"`num_checkpoints` must divide `num_steps`, but {self.num_checkpoints} does not {self.num_steps}."
            )


QUICK = Config(
    num_steps=200, num_checkpoints=2, small=True, swept=(0.0, 10.0, 50.0), num_eigenvalues=4, batch=128,
    learning_rate=1e-3, widths=(12, 12),
)  # fmt: skip

if __name__ == "__main__":
    _runner.main(Config, QUICK)

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import optax
import xarray as xr

from experiments._machinery._runner import Claim
from gan_ode import analysis, distributions, fields, games, iterate, losses, networks, plot, regularizers, updates
from gan_ode.games import Players

KINDS = ("rightmost", "largest", "leftmost")
# Of the players that are checked against the dense spectrum.
LATENT = 8


def run(config: Config) -> xr.Dataset:
    key = jax.random.key(config.seed)
    gan = small_gan(key, (32, 38), jnp.float32) if config.small else ring_gan(key)
    held = minibatch(gan, config.batch, jax.random.fold_in(key, 1))
    runs = [train(config, gan, eta, key) for eta in config.etas]
    along = [spectra_along(config, gan, eta, ys, held) for eta, ys in zip(config.etas, runs, strict=True)]
    last = jax.tree.map(lambda leaf: leaf[-1:], runs[0])
    swept = [spectra_along(config, gan, eta, last, held).isel(step=0, drop=True) for eta in config.swept]
    steps = np.arange(config.num_checkpoints + 1) * (config.num_steps // config.num_checkpoints)
    dataset = xr.concat(along, xr.DataArray(list(config.etas), dims="eta", name="eta")).assign_coords(step=steps)
    sweep = xr.concat(swept, xr.DataArray(list(config.swept), dims="weight", name="weight"))
    dataset = dataset.assign({f"swept_{name}": sweep[name] for name in ("leftmost", "stiffness_ratio", "step_size")})
    dataset = dataset.assign(against_dense(config))
    return dataset.assign_attrs(tolerance=config.tolerance, parameters=count(gan.players))


def ring_gan(key) -> games.GAN:
    return make_gan(*networks.ring_players(key, jnp.float32), latent=256)


def small_gan(key, widths: tuple[int, int], dtype) -> games.GAN:
    """Smooth players, of some hundreds or thousands of parameters."""
    d_key, g_key = jax.random.split(key)
    score = eqx.nn.MLP(2, "scalar", widths[0], 1, activation=jnp.tanh, dtype=dtype, key=d_key)
    generator = eqx.nn.MLP(LATENT, 2, widths[1], 2, activation=jnp.tanh, dtype=dtype, key=g_key)
    return make_gan(score, generator, latent=LATENT)


def make_gan(discriminator, generator, latent: int) -> games.GAN:
    return games.GAN(
        discriminator, generator, losses.Minimax(), data=distributions.Ring(), latent=distributions.Normal(latent)
    )


def minibatch(gan: games.GAN, num: int, key) -> Any:
    dtype = jax.tree.leaves(gan.players)[0].dtype
    return jax.tree.map(lambda leaf: leaf.astype(dtype), gan.sample(key, num))


def make_field(gan: games.GAN, eta: float) -> fields.GameField:
    # An array, so that one compiled program serves all weights.
    return fields.GameField(regularizers.Penalized(gan, regularizers.GradientNorm(jnp.asarray(eta))))


def train(config: Config, gan: games.GAN, eta: float, key) -> Players:
    """States at the checkpoints, with a leading axis."""
    adam = optax.adam(config.learning_rate, b1=0.5)
    every = config.num_steps // config.num_checkpoints
    orbit = iterate(
        updates.Optax(adam, adam), make_field(gan, eta), gan.players, config.num_steps, save_every=every,
        batches=Minibatches(gan, config.batch, jax.random.fold_in(key, 2)),
    )  # fmt: skip
    return orbit.ys


class Minibatches(eqx.Module):
    """One for each step. A module rather than a closure: its arrays are arguments of the compiled program."""

    gan: games.GAN
    num: int = eqx.field(static=True)
    key: Any

    def __call__(self, n):
        return minibatch(self.gan, self.num, jax.random.fold_in(self.key, n))


def spectra_along(config: Config, gan: games.GAN, eta: float, ys: Players, held) -> xr.Dataset:
    """Eigenvalues and what follows from them, at each state."""
    field, k, tol = make_field(gan, eta), config.num_eigenvalues, config.tolerance
    found = analysis.stiffness_along(field, ys, k, args=held, tol=tol)
    states = [jax.tree.map(lambda leaf: leaf[row], ys) for row in range(len(found.stiffness_ratio))]  # noqa: B023
    ends = [analysis.leading_eigenvalues(field, y, 1, "leftmost", args=held, tol=tol) for y in states]
    variables = {
        "leftmost": ("step", [float(end.eigenvalues[0].real) for end in ends]),
        "stiffness_ratio": ("step", found.stiffness_ratio),
        "critical_step_size": ("step", found.critical_step_size),
        "step_size": ("step", found.decaying_step_size),
    }
    worst = [end.residuals[0] / jnp.abs(end.eigenvalues[0]) for end in ends]
    for name, part in (("rightmost", found.rightmost), ("largest", found.largest)):
        variables[f"{name}_real"] = (("step", "place"), part.eigenvalues.real)
        variables[f"{name}_imag"] = (("step", "place"), part.eigenvalues.imag)
        relative = part.residuals / jnp.abs(part.eigenvalues)
        variables[f"{name}_residual"] = (("step", "place"), relative)
        variables[f"{name}_products"] = ("step", part.num_products)
    variables["leftmost_residual"] = ("step", worst)
    return xr.Dataset({name: (dims, np.asarray(values)) for name, (dims, values) in variables.items()})


def against_dense(config: Config) -> dict[str, Any]:
    """Relative differences from the dense spectrum in float64, at a state that was trained for a while."""
    gan = small_gan(jax.random.key(config.seed), config.widths, jnp.float64)
    batch = minibatch(gan, 128, jax.random.key(config.seed + 1))
    field, k = make_field(gan, config.etas[1]), config.num_eigenvalues
    steps = updates.Simultaneous(0.1)
    y = iterate(steps, field, gan.players, 200, args=batch, save_every=200).final_state
    every = np.linalg.eigvals(np.asarray(analysis.jacobian(field, y, args=batch)))
    by = {"rightmost": -every.real, "largest": -np.abs(every), "leftmost": every.real}
    differences = []
    for kind in KINDS:
        found = analysis.leading_eigenvalues(field, y, k, kind, args=batch)
        exact = every[np.lexsort((-every.imag, by[kind]))][:k]
        differences.append(float(np.max(np.abs(found.eigenvalues - exact) / np.abs(exact))))
    decaying = every[every.real < -1e-10 * np.max(np.abs(every))]
    exact = float(np.min(-2 * decaying.real / np.abs(decaying) ** 2))
    found = float(analysis.stiffness(field, y, k, args=batch).decaying_step_size)
    return {
        "dense_difference": xr.DataArray(differences, dims="kind", coords={"kind": list(KINDS)}),
        "dense_step_size": exact,
        "found_step_size": found,
        "dense_parameters": count(y),
    }


def count(y: Players) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(y))


def claims(results: xr.Dataset) -> list[Claim]:
    size = f"{int(results.dense_parameters):,} parameters:"
    found = [
        Claim.below(
            f"{size} {kind} eigenvalues, difference from the dense ones",
            results.dense_difference.sel(kind=kind), 1e-6, source="LAPACK",
        )
        for kind in KINDS
    ]  # fmt: skip
    found.append(
        Claim.close(
            f"{size} step size at which a decaying mode grows", results.found_step_size, results.dense_step_size,
            rtol=1e-6, source="all eigenvalues",
        )
    )  # fmt: skip
    size = f"{results.parameters:,} parameters, float32:"
    for kind in KINDS:
        worst = float(results[f"{kind}_residual"].max())
        found.append(Claim.below(f"{size} residual of {kind} eigenvalues over their size", worst, results.tolerance))
    return found + of_training(results) + of_regularizer(results)


def of_training(results: xr.Dataset) -> list[Claim]:
    plain, damped = (results.isel(eta=place, step=-1) for place in (0, 1))
    growth = [float(case.rightmost_real[0]) for case in (plain, damped)]
    limits = [float(case.step_size) for case in (plain, damped)]
    return [
        Claim.above("Rightmost real part at the end, with the regularizer", growth[1], 0),
        Claim.above("Rightmost real part at the end: without the regularizer over with it", growth[0] / growth[1], 2),
        Claim.above("Step size limit at the end: with the regularizer over without", limits[1] / limits[0], 1),
    ]


def of_regularizer(results: xr.Dataset) -> list[Claim]:
    weights, rates, limits = (
        np.asarray(part) for part in (results.weight, -results.swept_leftmost, results.swept_step_size)
    )
    grown = (rates[-1] / rates[-2]) / (weights[-1] / weights[-2])
    last = f"At one state, eta = {weights[-1]:g}:"
    return [
        Claim.above(f"{last} fastest decay over that without", rates[-1] / rates[0], 2),
        Claim.close(f"{last} fastest decay grows in proportion to eta, from {weights[-2]:g} on", grown, 1, rtol=0.2),
        Claim.close(
            f"{last} step size limit times half of the fastest decay", limits[-1] * rates[-1] / 2, 1, rtol=0.05
        ),
        Claim.above(f"{last} largest step size limit of all weights over the one here", limits.max() / limits[-1], 2),
    ]


def draw(results: xr.Dataset) -> matplotlib.figure.Figure:
    figure = matplotlib.figure.Figure(figsize=(7.2, 4.9), layout="constrained")
    grid = figure.subplots(2, 3)
    for place, panel in enumerate(grid[:, 0]):
        draw_plane(panel, results.isel(eta=place))
    draw_real_parts(grid[0, 1], results)
    draw_leftmost(grid[1, 1], results)
    draw_step_size(grid[0, 2], results)
    draw_sweep(grid[1, 2], results)
    etas = [float(eta) for eta in results.eta]
    titles = (
        rf"leading eigenvalues, $\eta = {etas[0]:g}$", "rightmost real parts", "step size limit",
        rf"leading eigenvalues, $\eta = {etas[1]:g}$", "fastest decay", r"$\eta$ alone, at one state",
    )  # fmt: skip
    for panel, letter, title in zip(grid.flat, "abcdef", titles, strict=True):
        plot.label_panel(panel, letter, title)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=len(labels), handletextpad=0.1)
    return figure


COLORS = (plot.CYCLE[0], plot.CYCLE[1])


def draw_plane(panel, case: xr.Dataset) -> None:
    """Both lists at the start (open) and at the end (filled)."""
    for row, style in ((0, {"markerfacecolor": "none"}), (-1, {})):
        for name, marker, color in (("largest", "s", plot.CYCLE[2]), ("rightmost", "o", plot.CYCLE[3])):
            at = case.isel(step=row)
            label = f"{name}, {'start' if row == 0 else 'end'}"
            panel.plot(at[f"{name}_real"], at[f"{name}_imag"], marker, color=color, markersize=4, label=label, **style)
    panel.axvline(0.0, color="0.6", linewidth=0.6, zorder=0)
    panel.margins(x=0.1, y=0.1)
    panel.set(xlabel=r"$\mathrm{Re}\,\lambda$", ylabel=r"$\mathrm{Im}\,\lambda$")


def draw_real_parts(panel, results: xr.Dataset) -> None:
    for color, eta in zip(COLORS, results.eta.values, strict=True):
        case = results.sel(eta=eta)
        for place in range(case.sizes["place"]):
            label = rf"$\eta = {eta:g}$" if place == 0 else None
            panel.plot(case.step, case.rightmost_real.isel(place=place), color=color, linewidth=0.9, label=label)
    panel.axhline(0.0, color="0.6", linewidth=0.6, zorder=0)
    panel.set(xlabel="training step", ylabel=r"$\mathrm{Re}\,\lambda$")
    panel.legend()


def draw_leftmost(panel, results: xr.Dataset) -> None:
    for color, eta in zip(COLORS, results.eta.values, strict=True):
        panel.plot(
            results.step, -results.leftmost.sel(eta=eta), "o-", color=color, markersize=3, label=rf"$\eta = {eta:g}$"
        )
    panel.set(xlabel="training step", ylabel=r"$-\min \mathrm{Re}\,\lambda$", ylim=(0, None))
    panel.legend(loc="lower right")


def draw_step_size(panel, results: xr.Dataset) -> None:
    for color, eta in zip(COLORS, results.eta.values, strict=True):
        panel.plot(
            results.step, results.step_size.sel(eta=eta), "o-", color=color, markersize=3, label=rf"$\eta = {eta:g}$"
        )
    panel.set(xlabel="training step", ylabel="step size $h$", yscale="log")
    panel.legend(loc="lower left")


def draw_sweep(panel, results: xr.Dataset) -> None:
    for marker, color, label, part in (
        ("o-", plot.CYCLE[4], "fastest decay", -results.swept_leftmost),
        ("s--", plot.CYCLE[5], "stiffness ratio", results.swept_stiffness_ratio),
        ("^-", plot.CYCLE[2], "step size limit", results.swept_step_size),
    ):
        panel.plot(results.weight, part, marker, color=color, markersize=3, label=label)
    panel.set_xscale("symlog", linthresh=0.5)
    panel.set(yscale="log", xlabel=r"$\eta$", xticks=results.weight, xticklabels=[f"{w:g}" for w in results.weight])
    panel.minorticks_off()
    panel.legend(fontsize=6)
