"""What do ensembles of discrete updates take, over the same steps by hand?

10,000 random starts of the two-parameter GAN, 500 steps, the end alone. By hand that is a step written out in a
`jax.lax.scan`, under `jit(vmap)`, with the same field; or a loop in NumPy, all starts at once, of which a tenth of the
steps is timed. First the ends are compared.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments._machinery._jax_setup import prepare_jax
from experiments.benchmarks import _timing
from experiments.benchmarks._problem import BY_DEFAULT, starts, System, USUAL, WASSERSTEIN
from experiments.benchmarks._rivals import _jax_field
from gan_ode import simulate, updates
from gan_ode.games import Players

NUM_STARTS, NUM_STEPS, STEP_SIZE = 10_000, 500, 0.05
# NumPy's share of the steps.
EVERY = 10
# The same products in another order.
AGREEMENT = 1e-9


def moved(y: Any, size: float, velocity: Any) -> Any:
    return jax.tree.map(lambda leaf, slope: leaf + size * slope, y, velocity)


def simultaneous(field: Callable, y: Any, memory: None) -> tuple[Any, None]:
    return moved(y, STEP_SIZE, field(0.0, y, None)), None


def extragradient(field: Callable, y: Any, memory: None) -> tuple[Any, None]:
    return moved(y, STEP_SIZE, field(0.0, moved(y, STEP_SIZE, field(0.0, y, None)), None)), None


def adam(field: Callable, y: Any, memory: Any) -> tuple[Any, Any]:
    # Optax goes downhill.
    change, memory = OPTIMIZER.update(jax.tree.map(jnp.negative, field(0.0, y, None)), memory)
    return optax.apply_updates(y, change), memory


OPTIMIZER = optax.adam(1e-3)


def cases() -> dict[str, tuple[System, Callable, str]]:
    by_hand, own = ("", _jax_field.players), (", GameField", _jax_field.game)
    which = (
        (WASSERSTEIN, by_hand, "extragradient"),
        (USUAL, by_hand, "simultaneous"),
        (USUAL, by_hand, "extragradient"),
        (USUAL, by_hand, "Adam"),
        (BY_DEFAULT, own, "simultaneous"),
        (BY_DEFAULT, own, "extragradient"),
    )
    return {f"{system.name}{how}, {rule}": (system, make(system), rule) for system, (how, make), rule in which}


def measure(rounds: int) -> _timing.Measured:
    prepare_jax()
    # The package's rule, a step by hand, and how its memory starts.
    rules = {
        "simultaneous": (updates.Simultaneous(STEP_SIZE), simultaneous, lambda y: None),
        "extragradient": (updates.Extragradient(STEP_SIZE), extragradient, lambda y: None),
        "Adam": (updates.Optax(OPTIMIZER, OPTIMIZER, order="simultaneous"), adam, OPTIMIZER.init),
    }
    tasks, scales = {}, {}
    for name, (system, field, rule) in cases().items():
        update, step, memory = rules[rule]
        tasks[f"gan_ode, {name}"] = by_package(update, field)
        tasks[f"jit(vmap(scan)), {name}"] = by_scan(step, field, memory)
        agree(tasks[f"gan_ode, {name}"](), tasks[f"jit(vmap(scan)), {name}"](), name)
        if rule == "simultaneous":
            agree(tasks[f"gan_ode, {name}"](), by_numpy(system, NUM_STEPS)(), name)
            tasks[f"NumPy, {name}"] = by_numpy(system, NUM_STEPS // EVERY)
            scales[f"NumPy, {name}"] = EVERY
    seconds = {
        name: [scales.get(name, 1) * value for value in values]
        for name, values in _timing.interleaved(tasks, rounds, warm=True).items()
    }
    pairs = [name.split(", ", 1) for name in tasks]
    ratios = [_timing.Ratio(f"gan_ode, {case}", f"{who}, {case}") for who, case in pairs if who != "gan_ode"]
    return seconds, ratios


def players() -> Players:
    w, a = starts(NUM_STARTS).T
    return Players(jnp.asarray(w), jnp.asarray(a))


def stacked(y: Players) -> np.ndarray:
    return np.stack([np.asarray(y.discriminator), np.asarray(y.generator)])


def by_package(update: Any, field: Callable) -> Callable[[], np.ndarray]:
    y0s = players()
    return lambda: stacked(simulate.iterate_ensemble(update, field, y0s, NUM_STEPS, save_every=NUM_STEPS).final_state)


def by_scan(step: Callable, field: Callable, memory: Callable) -> Callable[[], np.ndarray]:
    def one(y0: Players) -> Players:
        return jax.lax.scan(lambda carry, _: (step(field, *carry), None), (y0, memory(y0)), length=NUM_STEPS)[0][0]

    run, y0s = jax.jit(jax.vmap(one)), players()
    return lambda: stacked(run(y0s))


def by_numpy(system: System, num_steps: int) -> Callable[[], np.ndarray]:
    squares, weights = system.quadrature

    def mean(s: np.ndarray) -> np.ndarray:
        return weights @ (1 / (1 + np.exp(-np.outer(squares, s))))

    def run() -> np.ndarray:
        w, a = starts(NUM_STARTS).T
        for _ in range(num_steps):
            made = mean(w * a**2)
            w, a = w + STEP_SIZE * (mean(-w) - a**2 * made), a + STEP_SIZE * (2 * w * a * made)
        return np.stack([w, a])

    return run


def agree(one: np.ndarray, other: np.ndarray, name: str) -> None:
    largest = float(np.max(np.abs(one - other)))
    if not largest < AGREEMENT:
        raise ValueError(f"{name}: the ends differ by {largest:.1e}, which is more than {AGREEMENT:g}.")


if __name__ == "__main__":
    raise SystemExit(_timing.report(*measure(_timing.arguments(__doc__, rounds=7).rounds)))
