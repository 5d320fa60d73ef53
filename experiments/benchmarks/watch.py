"""What does a watch on training cost, over the same training without it?

The networks of `neural` (ring: 50,179 parameters; small: 2,278), on minibatches of 512 in float32, by Adam for both
players at once, plain and with the gradient-norm penalty: `iterate` with `analysis.Watch` as its record at the default
interval, beside `iterate` that saves the players' losses as often. By its count of field evaluations a watch may take a
tenth; its reading of the start comes once more.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax

from experiments.benchmarks import _timing
from experiments.benchmarks.neural import game_name, Nets, Package, RING, SMALL
from gan_ode import analysis, iterate

NUM_READINGS = 10
# One reading more than intervals, and what the count of evaluations leaves out.
TARGET = 1.15


def train(road: Package, record: Any, interval: int, num_readings: int) -> None:
    orbit = iterate(
        road.update, road.field, road.y0, num_readings * interval, batches=road.batch, record=record,
        save_every=interval,
    )  # fmt: skip
    jax.block_until_ready(orbit.final_state)


def measure(rounds: int, num_readings: int = NUM_READINGS, nets: tuple[Nets, ...] = (RING, SMALL)) -> _timing.Measured:
    tasks: dict[str, Callable[[], object]] = {}
    ratios: list[_timing.Ratio] = []
    for each in nets:
        for regularized in (False, True):
            road = Package(each, regularized)
            watch = analysis.Watch(road.field, road.update)
            label = f"training, {each.name}, {game_name(regularized)}: "
            records = {"watched": watch, "not watched": functools.partial(_losses, road)}
            for name, record in records.items():
                tasks[label + name] = functools.partial(train, road, record, watch.interval, num_readings)
            ratios.append(_timing.Ratio(f"{label}watched", f"{label}not watched", TARGET))
    return _timing.interleaved(tasks, rounds), ratios


def _losses(road: Package, t: Any, y: Any, args: Any) -> Any:
    return road.field.game.losses(y, args)


if __name__ == "__main__":
    asked = _timing.arguments(__doc__, rounds=5, quick="the small networks, and 4 readings in the place of 10")
    quick: dict[str, Any] = {"num_readings": 4, "nets": (SMALL,)} if asked.quick else {}
    raise SystemExit(_timing.report(*measure(asked.rounds, **quick)))
