r"""Does minibatch descent follow a stochastic differential equation?

Simultaneous steps of size h on minibatches of B examples are laid beside dy = F dt + (h Sigma / B)^{1/2} dW, with F the
expected field and Sigma the covariance of a single example's. Many runs of each are compared: near the equilibrium of
the usual two-parameter GAN, where both have a closed stationary covariance; at the center of the Wasserstein GAN, where
nothing damps the noise, without and with the gradient-norm regularizer; and for two small networks.

The equation is solved by Heun's method at a step at which its own error is far below the rest, for the networks by
Euler and Maruyama's at a quarter of h. Estimates from runs are held to four standard errors.
"""

import dataclasses

from experiments._machinery import _runner


@dataclasses.dataclass(frozen=True)
class Config:
    step_sizes: tuple[float, ...] = (0.1, 0.2, 0.3, 0.45, 0.6)
    """Step sizes h near the equilibrium of the usual GAN, below its critical one of 0.9."""
    batch_size: int = 64
    """Examples in a minibatch of the two-parameter GAN."""
    num_runs: int = 2000
    """Runs of training, and paths of the equation, of the two-parameter GAN at each setting."""
    num_steps: int = 500
    """Steps of each run; a multiple of 10."""
    center_step_size: float = 0.1
    """Step size for the Wasserstein GAN."""
    eta: float = 0.5
    """Weight of the regularizer, in units of inverse loss."""
    rungs: int = 6
    """Halvings of the step size, itself included, on the ladder that shows the orders."""
    network_step_size: float = 0.1
    """Step size for the networks."""
    network_batch_size: int = 4
    """Examples in a minibatch of the networks."""
    network_runs: int = 1000
    """Runs, and paths, of the networks; 0 leaves them out."""
    network_steps: int = 200
    """Steps of each; a multiple of 20."""
    seed: int = 0
    """For minibatches, Brownian paths, and the networks."""

    def __post_init__(self) -> None:
        sizes = self.step_sizes
        if len(sizes) < 2 or list(sizes) != sorted(set(sizes)) or sizes[0] <= 0 or sizes[-1] > 0.7:
            raise ValueError(f"`step_sizes` must be 2 or more, rising, above 0 and at most 0.7, but are {sizes}.")
        if not 0 < self.center_step_size <= 0.2:
            raise ValueError(f"`center_step_size` must be above 0 and at most 0.2, but is {self.center_step_size}.")
        if not 0 < self.eta <= 1.5:
            raise ValueError(
                f"`eta` must be above 0 and at most 1.5, where the spectrum turns real, but is {self.eta}."
            )
        if self.rungs < 3:
            raise ValueError(f"`rungs` must be at least 3 to see a slope settle, but is {self.rungs}.")
        for name, of, least in (
            ("batch_size", 1, 1), ("num_runs", 1, 100), ("num_steps", 10, 10), ("network_batch_size", 1, 1),
            ("network_runs", 1, 0), ("network_steps", 20, 20),
        ):  # fmt: skip
            if getattr(self, name) < least or getattr(self, name) % of:
                multiple = f" and a multiple of {of}" if of > 1 else ""
                raise ValueError(f"`{name}` must be at least {least}{multiple}, but is {getattr(self, name)}.")
        if not 0 < self.network_step_size <= 0.5:
            raise ValueError(f"`network_step_size` must be above 0 and at most 0.5, but is {self.network_step_size}.")


# Compiling is most of a quick run, and that of the networks' equation the longest part of it.
QUICK = Config(step_sizes=(0.2, 0.6), num_runs=1000, num_steps=300, network_runs=0)

if __name__ == "__main__":
    _runner.main(Config, QUICK)

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr

from experiments._machinery._minibatches import networks, train
from experiments._machinery._runner import Claim
from gan_ode import analysis, fields, games, losses, noise, plot, regularizers, simulate, updates
from gan_ode.games import Players

SIGMAS = 4
# What is not linear in the field, relative to a variance near the equilibrium.
NOT_LINEAR = 0.02
# Of a squared number that is uniform on [-1, 1].
VARIANCE = 4 / 45
# Times at which states near the center are kept.
SAVES = 10
EQUATIONS = ("plain", "drift", "drift and noise")


def run(config: Config) -> xr.Dataset:
    parts = [equilibrium(config), center(config), ladder(config)]
    parts += [networks(config)] if config.network_runs else []
    return xr.merge(parts, combine_attrs="no_conflicts")


def equilibrium(config: Config) -> xr.Dataset:
    """Mean square distances near the equilibrium of the usual GAN, against the step size."""
    game = games.LinearQuadratic(losses.Minimax())
    field, at = fields.GameField(game), game.equilibrium
    rows = []
    for number, h in enumerate(map(jnp.asarray, config.step_sizes)):
        keys = jax.random.split(jax.random.key(config.seed + number), 2)
        steps = train(
            field, game, at, h, config.batch_size, config.num_steps, config.num_steps, config.num_runs, keys[0]
        )
        diffusion = noise.LowRank(field, h, config.batch_size)
        frozen = noise.SDE(field, noise.Frozen(diffusion, at, game.quadrature(8)))
        # As many steps for all, so that one compiled program serves them.
        ts = jnp.stack([jnp.zeros(()), h * config.num_steps])
        paths = follow(frozen, at, ts, h, keys[1], config.num_runs, None)
        rows.append([*squares(steps)[:, -1].T, *squares(paths)[:, -1].T])
    runs = np.array(rows)
    closed = np.array([closed_squares(field, at, h, config) for h in config.step_sizes])
    fine = jnp.linspace(0.01, 1.06 * config.step_sizes[-1], 60)
    q = jnp.diag(jnp.array([VARIANCE / 2 / config.batch_size, 0.0]))
    jacobian = analysis.jacobian(field, at)
    curve = jax.vmap(lambda h: jnp.trace(analysis.stationary_covariance_of_steps(jnp.eye(2) + h * jacobian, h**2 * q)))(
        fine
    )
    return xr.Dataset(
        {
            "steps_square": (("h", "run"), runs[:, : config.num_runs]),
            "paths_square": (("h", "run"), runs[:, config.num_runs :]),
            "steps_closed": ("h", closed[:, 0]),
            "paths_closed": ("h", closed[:, 1]),
            "steps_curve": ("fine_h", curve),
        },
        coords={"h": list(config.step_sizes), "fine_h": fine},
    )


def closed_squares(field: fields.GameField, at: Players, h: float, config: Config) -> tuple[float, float]:
    """Of the steps, after as many as there were; of the equation, stationary by its closed form 4h / 9B."""
    q = jnp.diag(jnp.array([h * VARIANCE / 2 / config.batch_size, 0.0]))
    one = analysis.jacobian(field, at, update=updates.Simultaneous(jnp.asarray(h)))
    steps = analysis.covariance_after_steps(one, h * q, config.num_steps)
    return float(jnp.trace(steps)), 4 * h / (9 * config.batch_size)


def center(config: Config) -> xr.Dataset:
    """Mean square distances from the equilibrium of the Wasserstein GAN, against time, without and with regularizer."""
    cases = [center_case(config, number, eta) for number, eta in enumerate((0.0, config.eta))]
    dataset = xr.concat(cases, xr.DataArray(["WGAN", "regularized WGAN"], dims="case", name="case"))
    return dataset.assign_attrs(eta=config.eta, batch_size=config.batch_size, center_step_size=config.center_step_size)


def center_case(config: Config, number: int, eta: float) -> xr.Dataset:
    h, size, every = jnp.asarray(config.center_step_size), config.batch_size, config.num_steps // SAVES
    # Penalized at eta = 0 too, so that one compiled program serves both.
    game = games.LinearQuadratic(losses.Wasserstein())
    field, at = fields.GameField(regularizers.Penalized(game, regularizers.GradientNorm(eta))), game.equilibrium
    keys = jax.random.split(jax.random.key(config.seed + 100 + number), 2)
    numbers = jnp.arange(0, config.num_steps + 1, every)
    steps = train(field, game, at, h, size, config.num_steps, every, config.num_runs, keys[0])
    sde = noise.of_minibatches(field, h, size)
    # Three nodes are enough for the products of these polynomials.
    paths = follow(sde, at, h * numbers, h, keys[1], config.num_runs, game.quadrature(3))
    along = jnp.array([1.0, 4 * eta / 3])
    q = h * 2 * VARIANCE / size * jnp.outer(along, along)
    jacobian, one = analysis.jacobian(field, at), analysis.jacobian(field, at, update=updates.Simultaneous(h))
    of_steps = jax.vmap(lambda n: jnp.trace(analysis.covariance_after_steps(one, h * q, n)))(numbers)
    of_paths = jax.vmap(lambda t: jnp.trace(analysis.covariance_at(jacobian, q, t)))(h * numbers)
    return xr.Dataset(
        {
            "center_steps_square": (("center_run", "time"), squares(steps)),
            "center_paths_square": (("center_run", "time"), squares(paths)),
            "center_steps_closed": ("time", of_steps),
            "center_paths_closed": ("time", of_paths),
            "center_w": (("center_run", "time"), steps.discriminator),
        },
        coords={"time": np.asarray(h * numbers)},
    )


def ladder(config: Config) -> xr.Dataset:
    """Errors of the equations' stationary covariances against that of the steps, by linear algebra alone."""
    game = games.LinearQuadratic(losses.Minimax())
    field, at, population = fields.GameField(game), game.equilibrium, game.quadrature(8)

    def errors(h: jax.Array) -> jax.Array:
        first = noise.of_minibatches(field, h, config.batch_size)
        second = noise.of_minibatches(field, h, config.batch_size, order=2)
        matrix = first.diffusion(0.0, at, population).as_matrix()
        one = jnp.eye(2) + h * analysis.jacobian(field, at)
        exact = analysis.stationary_covariance_of_steps(one, h * matrix @ matrix.T)
        equations = first, noise.SDE(second.drift, first.diffusion), second
        return jnp.stack([jnp.linalg.norm(stationary(each, at, population) - exact) for each in equations]) / (
            jnp.linalg.norm(exact)
        )

    sizes = 0.4 / 2.0 ** jnp.arange(config.rungs)
    found = jax.jit(jax.vmap(errors))(sizes)
    return xr.Dataset({"error": (("rung", "equation"), found)}, {"rung": sizes, "equation": list(EQUATIONS)})


def stationary(sde: noise.SDE, at: Players, population: Any) -> jax.Array:
    matrix = sde.diffusion(0.0, at, population).as_matrix()
    return analysis.stationary_covariance(analysis.jacobian(sde.drift, at, args=population), matrix @ matrix.T)


def follow(
    sde: noise.SDE, y0: Players, ts: jax.Array, step_size: jax.Array, key: Any, num_paths: int, population: Any
) -> Players:
    """Paths of the equation by Heun's method: states by path and time."""
    return simulate.paths(
        sde, y0, ts, key=key, num_paths=num_paths, step_size=step_size, args=population, solver=diffrax.Heun()
    ).ys


def squares(ys: Players) -> np.ndarray:
    """Square distances from the equilibrium (0, 1)."""
    return np.asarray(ys.discriminator**2 + (ys.generator - 1) ** 2)


def claims(results: xr.Dataset) -> list[Claim]:
    found = [*of_variances(results), *of_the_center(results), *of_orders(results)]
    return [*found, *of_networks(results)] if "network_steps" in results else found


def of_variances(results: xr.Dataset) -> list[Claim]:
    found = []
    for h in results.h.values:
        case = results.sel(h=h)
        for name, rows, exact in (
            ("steps", case.steps_square, case.steps_closed),
            ("equation", case.paths_square, case.paths_closed),
        ):
            tolerance = SIGMAS * standard_error(rows.values) + NOT_LINEAR * float(exact)
            found.append(
                Claim.close(
                    f"usual GAN, h = {h:g}: mean square distance of the {name}", rows.mean(), exact, atol=tolerance
                )
            )
    last = results.isel(h=-1)
    ratio = last.steps_square.mean() / last.paths_square.mean()
    found.append(
        Claim.above(f"usual GAN, h = {float(last.h):g}: that of the steps over that of the equation", ratio, 1.5)
    )
    return found


def of_the_center(results: xr.Dataset) -> list[Claim]:
    plain, regularized = (results.isel(case=i) for i in range(2))
    times, h, eta, size = results.time.values, results.center_step_size, results.eta, results.batch_size
    paths = plain.center_paths_square.values
    slopes = paths @ times / (times @ times)
    rate = h * 2 * VARIANCE / size
    found = [
        Claim.close(
            "WGAN: growth of the mean square distance of the equation, times 1,000", 1e3 * slopes.mean(), 1e3 * rate,
            atol=1e3 * (SIGMAS * standard_error(slopes) + NOT_LINEAR * rate), unit="1/time",
        )
    ]  # fmt: skip
    for case in (plain, regularized):
        for name, rows, exact in (
            ("steps", case.center_steps_square, case.center_steps_closed),
            ("equation", case.center_paths_square, case.center_paths_closed),
        ):
            final, closed = rows.values[:, -1], float(exact[-1])
            tolerance = SIGMAS * standard_error(final) + 2 * NOT_LINEAR * closed
            title = f"{case.case.values!s}: mean square distance of the {name} at the end"
            found.append(Claim.close(title, final.mean(), closed, atol=tolerance))
    half = len(times) // 2
    settled = regularized.center_steps_square.values
    change = settled[:, half + 1 :].mean(axis=1) - settled[:, half].copy()
    found.append(
        Claim.close(
            "regularized WGAN: change over the second half of the time", change.mean(), 0.0,
            atol=SIGMAS * standard_error(change),
        )
    )  # fmt: skip
    # The generator's penalty multiplies two means over one minibatch, which are correlated.
    shift = regularized.center_w.values[:, half:].mean(axis=1)
    found.append(
        Claim.close(
            "regularized WGAN: mean of w, moved by the minibatches' correlation, times 1,000", 1e3 * shift.mean(),
            1e3 * 8 * eta / (15 * size), atol=1e3 * SIGMAS * standard_error(shift),
        )
    )  # fmt: skip
    return found


def of_orders(results: xr.Dataset) -> list[Claim]:
    orders = np.log2(results.error.values[-2] / results.error.values[-1])
    return [
        Claim.close(f"order in h of the error of covariances, {name} modified", order, expected, atol=0.1)
        for name, order, expected in zip(("nothing", *EQUATIONS[1:]), orders, (1, 1, 2), strict=True)
    ]


def of_networks(results: xr.Dataset) -> list[Claim]:
    found = []
    for part in (4, 2, 1):
        at = (len(results.network_time) - 1) // part
        steps, paths = (each.values[:, at] for each in (results.network_steps, results.network_paths))
        error = np.hypot(standard_error(steps), standard_error(paths))
        moved = abs(paths.mean() - results.network_paths.values[0, 0])
        name = f"networks, t = {float(results.network_time[at]):g}: mean sample of the generator,"
        # Of second order in h, and the solver's own step at a quarter of it.
        found.append(Claim.close(f"{name} mean", steps.mean(), paths.mean(), atol=SIGMAS * error + 0.01 * moved))
        ratio = steps.std() / paths.std()
        found.append(
            Claim.close(f"{name} spread of steps over equation", ratio, 1.0, atol=0.03 + SIGMAS / np.sqrt(len(steps)))
        )
    return found


def standard_error(values: np.ndarray) -> float:
    return float(values.std() / np.sqrt(len(values)))


STEPS, EQUATION = plot.CYCLE[1], plot.CYCLE[0]
MARKERS = {STEPS: "o", EQUATION: "s"}


def draw(results: xr.Dataset) -> matplotlib.figure.Figure:
    figure = matplotlib.figure.Figure(figsize=(7.2, 5.2), layout="constrained")
    panels = list(figure.subplots(2, 2).flat)
    sketches = [draw_equilibrium, draw_center, draw_orders]
    sketches += [draw_networks] if "network_steps" in results else []
    titles = ("usual GAN, at its equilibrium", "Wasserstein GAN, at its center", "error of the covariance", "networks")
    for panel, letter, title, sketch in zip(panels, "abcd", titles, sketches, strict=False):
        sketch(panel, results)
        plot.label_panel(panel, letter, title)
    for panel in panels[len(sketches) :]:
        panel.remove()
    handles = figure.axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=4)
    return figure


def draw_equilibrium(panel, results: xr.Dataset) -> None:
    lines = results.steps_curve, results.fine_h * float(results.paths_closed[0] / results.h[0])
    rows = results.steps_square, results.paths_square
    labels = ("minibatch steps", "stochastic equation")
    for closed, values, color, label in zip(lines, rows, (STEPS, EQUATION), labels, strict=True):
        panel.plot(results.fine_h, 1e3 * closed, color=color, label=f"{label}: closed")
        draw_estimates(panel, results.h, values, "run", color, f"{label}: {values.sizes['run']:,} runs")
    panel.set(xlabel="step size $h$", ylabel="mean square distance, $10^{-3}$", xlim=(0, None), ylim=(0, None))


def draw_estimates(panel, at: xr.DataArray, values: xr.DataArray, over: str, color: str, label: str | None) -> None:
    """Means, with bars of two standard errors."""
    bars = 2e3 * values.std(over) / np.sqrt(values.sizes[over])
    look = {"color": color, "marker": MARKERS[color], "markersize": 3.4, "elinewidth": 0.9, "linestyle": "none"}
    panel.errorbar(at, 1e3 * values.mean(over), bars, label=label, **look)


def draw_center(panel, results: xr.Dataset) -> None:
    for case, style in ((0, "-"), (1, "--")):
        part = results.isel(case=case)
        panel.plot(part.time, 1e3 * part.center_steps_closed, color=STEPS, linestyle=style)
        panel.plot(part.time, 1e3 * part.center_paths_closed, color=EQUATION, linestyle=style)
        draw_estimates(panel, part.time, part.center_steps_square, "center_run", STEPS, None)
        draw_estimates(panel, part.time, part.center_paths_square, "center_run", EQUATION, None)
    height = 1e3 * float(results.center_steps_closed[1, -1])
    panel.annotate(
        rf"regularized, $\eta = {results.eta:g}$", (float(results.time[-1]), height), xytext=(0, 5),
        textcoords="offset points", ha="right", fontsize="small",
    )  # fmt: skip
    panel.set(xlabel="time $t$", ylabel="mean square distance, $10^{-3}$", xlim=(0, None), ylim=(0, None))


def draw_orders(panel, results: xr.Dataset) -> None:
    names = ("equation as it is", "drift modified", "drift and noise modified")
    for name, color, column in zip(
        names, (EQUATION, plot.CYCLE[3], plot.CYCLE[2]), results.error.values.T, strict=True
    ):
        order = float(np.log2(column[-2] / column[-1]))
        plot.convergence(results.rung, column, ax=panel, slope=order, color=color, label=name)
    panel.set_ylabel("relative error")
    # Below the line and its slope.
    panel.set_ylim(float(np.nanmin(results.error)) / 30, None)
    panel.legend(loc="lower right")


def draw_networks(panel, results: xr.Dataset) -> None:
    times = results.network_time
    for rows, color, style in ((results.network_paths, EQUATION, "-"), (results.network_steps, STEPS, (0, (3, 2)))):
        mean, spread = rows.mean("network_run"), rows.std("network_run")
        panel.plot(times, mean, color=color, linestyle=style)
        panel.fill_between(times, mean - spread, mean + spread, color=color, alpha=0.15, linewidth=0)
        for edge in (mean - spread, mean + spread):
            panel.plot(times, edge, color=color, linestyle=style, linewidth=0.6)
    panel.set(xlabel="time $t$", ylabel="mean sample of the generator", xlim=(0, None))
    words = "mean and one standard deviation\nsolid: stochastic equation\ndashed: minibatch steps"
    panel.text(0.97, 0.05, words, transform=panel.transAxes, ha="right", fontsize="small")
