"""The cheap part of a diagnosis, along training: it says that a run begins to cycle before the samples show it."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Complex, Float, Int, PRNGKeyArray

from ... import _checks, _problem, _tree
from ..._lowering import jit
from ..._rules import an_update
from ..._types import Args, Field, Scalar, State
from ...games import Players
from ...simulate import AbstractRecorder, Orbit
from ...updates import AbstractUpdate
from ._modes import follow, linearized, log_growth, Mode, turn
from ._reading import Reading

# The part of training's work that readings may take by default.
_PORTION = 0.10
# What a reading takes by the clock, over what its count of evaluations says. By `experiments.benchmarks.watch` that is
# up to 3.3 on networks of 2,300 parameters on a CPU, with a penalty, and up to 1.5 on 50,000; so by default readings
# come more rarely by this.
_UNCOUNTED = 3.3
# Field evaluations, or steps, that a product with a Jacobian costs, or with its transpose: each product of matrices in
# the evaluation becomes two.
_PRODUCT = 2
# A mode counts as turning if it is known to a tenth of its distance from one, does not lose more than a twentieth of
# its size over a turn (a closed orbit that is seen through roundings and minibatches), and holds a tenth of the motion:
# of a step in a random direction of a thousand parameters it holds a twentieth.
_RESIDUAL, _LOSS, _SHARE = 0.1, 0.05, 0.1
# A path comes back if it does so by more than noise, and is not running out: less than half of the velocity is noise,
# and it is at least half of what it was at the last reading.
_NOISE, _SLOWER = 0.5, 0.5
# So many readings in a row are called cycling.
_IN_A_ROW = 3


class WatchState(eqx.Module):
    """What a watch carries from reading to reading: arrays alone, four or more copies of the parameters.

    Attributes:
        readings: How many there were.
        step: Steps at the last one.
        before: The state at the last one.
        way: The way to it from the one before.
        speed: The norm of the velocity there.
        space: The leading mode, from which the next search begins.
        change: Its multiplier minus one.
        since: The first step of the readings in a row that see training turn or come back; -1 if the last did not.
        in_a_row: How many these are.
    """

    readings: Int[Array, ""]
    step: Int[Array, ""]
    before: State
    way: State
    speed: Scalar
    space: Float[Array, "2 n"]
    change: Complex[Array, ""]
    since: Int[Array, ""]
    in_a_row: Int[Array, ""]


class Watch(AbstractRecorder):
    r"""Watches training at a tenth of its cost, and says when it begins to cycle.

    A reading has the players' speeds, the angle of the path, the share of the rotation, the noise of the minibatch, and
    the leading multiplier $m$ of a training step with the memory of its update: the mode with the largest
    $\ln\lvert m \rvert + \lvert\arg m\rvert / 4$, found by a few products with the step's Jacobian in a Krylov space
    that begins where the last reading's ended. A mode $m = 1 + ih$ turns once in $2\pi / \arctan h$ steps and grows by
    $\sqrt{1 + h^2}$ a step: that is seen while the circle is still too small to be seen in samples.

    As `record` of `iterate`, which hands it the memory of the update:

    ```python
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    from gan_ode import analysis, fields, games, iterate, losses, updates

    field, update = fields.GameField(games.Dirac(losses.Wasserstein())), updates.Simultaneous(0.01)
    watch = analysis.Watch(field, update)
    y0 = games.Players(jnp.array(1e-3), jnp.array(0.0))
    orbit = iterate(update, field, y0, 6 * watch.interval, record=watch, save_every=watch.interval)
    history = watch.history(orbit)
    assert history.onset == 0 and jnp.allclose(history.period, 2 * jnp.pi / jnp.arctan(0.01))
    ```

    In a loop of your own, compiled or not, it is a function that is called every `watch.interval` steps:

    ```python
    y, args = y0, None
    state, velocity = watch.init(y), eqx.filter_jit(field)
    for step in range(1300):
        if step % watch.interval == 0:
            state, reading = watch(state, y, args)
            print(reading)
        y = jax.tree.map(lambda part, speed: part + 0.01 * speed, y, velocity(0.0, y, args))
    assert reading.cycling
    ```

    Of optimizers of Optax it needs the memory: `watch.init(y, batch, memory)` and `watch(state, y, batch, memory)` with
    `memory=games.Players(discriminator_optimizer_state, generator_optimizer_state)`, for
    `update=updates.Optax(discriminator_optimizer, generator_optimizer)`.

    A reading costs `watch.cost` field evaluations: one for the velocity and its noise, five for each random vector of
    the rotation's share at first and four more for each further one, one and two for each product for the mode, each of
    as many evaluations as a step takes. By default that is 19, every 627 steps: a thirtieth of the
    training by this count, since by the clock a reading can take three times as much. It needs
    memory for about 20 vectors of the size of the parameters and the update's memory, and keeps 4.

    Args:
        field: The field that training follows; with `args` a minibatch.
        update: The rule of training: the multipliers are those of its steps.
        interval: Steps between two readings; by default so many that readings take at most a tenth of the
            time of training, as measured on small networks.
        num_products: Products with the step's Jacobian at a reading; at least 4.
        num_probes: Random vectors for the share of the rotation.
        batched: Whether `args` is a minibatch, arrays with a leading axis of samples, of which the field is a mean:
            then its halves tell the noise. By default so if the field's game draws its samples.
        tell: Called with each reading as it comes, from within compiled programs too: `print` shows a live line.
        key: For the random vectors.

    Raises:
        ValueError: If an argument cannot work; the text names it, and the remedy.
    """

    field: Field
    update: AbstractUpdate
    interval: int = eqx.field(static=True)
    num_products: int = eqx.field(static=True)
    num_probes: int = eqx.field(static=True)
    batched: bool = eqx.field(static=True)
    tell: Callable[[Reading], Any] | None = eqx.field(static=True)
    key: PRNGKeyArray

    def __init__(
        self,
        # Not by their types: what they are not is refused in words.
        field: Any,
        update: Any,
        *,
        interval: int | None = None,
        num_products: int = 6,
        num_probes: int = 1,
        batched: bool | None = None,
        tell: Any = None,
        key: PRNGKeyArray | None = None,
    ):
        _problem.a_field(field)
        an_update(update)
        if tell is not None and not callable(tell):
            raise ValueError(f"`tell` must be a function of a reading, but is {tell!r}: for example `print`.")
        self.field, self.update, self.tell = field, update, tell
        self.num_products = _checks.count("num_products", num_products, least=4)
        self.num_probes = _checks.count("num_probes", num_probes)
        self.batched = _draws(field) if batched is None else bool(batched)
        self.key = jax.random.key(0) if key is None else key
        self.interval = (
            math.ceil(_UNCOUNTED * self.cost / _PORTION) if interval is None else _checks.count("interval", interval)
        )

    @property
    def cost(self) -> int:
        """Field evaluations that a reading costs, about; what belongs to the mode, in steps."""
        return 1 + (1 + 2 * _PRODUCT * self.num_probes) + (1 + _PRODUCT * self.num_products)

    def init(self, y: State, args: Args = None, memory: Any = None) -> WatchState:
        """What is carried to the first reading.

        Args:
            y: The state of training.
            args: Handed to the field: a minibatch.
            memory: What the update remembers; as it starts by default.
        """
        y = _problem.arrays(y)
        _problem.same_structure(self.field, self.update.step_size, y, args, "y", dtypes=False)
        if memory is None:
            memory = self.update.init(self.field, y, args)
        like = ravel_pytree((y, eqx.filter(memory, eqx.is_inexact_array)))[0]
        still = _tree.zeros_like(y)
        space = jax.random.normal(self.key, (2, like.size), like.dtype)
        space = space / jnp.linalg.norm(space, axis=1, keepdims=True)
        none, zero, nothing = jnp.asarray(-1), jnp.asarray(0), jnp.zeros((), like.dtype)
        first, one = jnp.asarray(-self.interval), jax.lax.complex(nothing + 1, nothing)
        return WatchState(zero, first, still, still, nothing, space, one, none, zero)

    def __call__(
        self, state: WatchState, y: State, args: Args = None, memory: Any = None, *, step: int | Array | None = None
    ) -> tuple[WatchState, Reading]:
        """A reading.

        Args:
            state: What the last reading, or `init`, returned.
            y: The state of training.
            args: Handed to the field: a minibatch.
            memory: What the update remembers.
            step: How many steps have been made; by default `interval` more than at the last reading, and 0 at first.

        Raises:
            ValueError: If the update has a memory that is not given.
        """
        y = _problem.arrays(y)
        if memory is None:
            memory = self.update.init(self.field, y, args)
            if jax.tree.leaves(memory):
                raise ValueError(
                    f"`memory` must be given for `{type(self.update).__name__}`, whose steps depend on it, but is "
                    "None: for optimizers of Optax it is `games.Players(...)` of their two states."
                )
        step = state.step + self.interval if step is None else jnp.asarray(step, state.step.dtype)
        return _read(self, state, step, y, args, memory)

    def record(
        self, carry: WatchState, n: Int[Array, ""], y: State, args: Args, memory: Any
    ) -> tuple[WatchState, Reading]:
        """A reading for `iterate`."""
        return _read(self, carry, n.astype(carry.step.dtype), y, args, memory)

    def history(self, found: Any) -> Reading:
        """Readings along an axis: of an orbit that a watch recorded, as far as it came, or of a list of single ones.

        Args:
            found: An orbit of `iterate(..., record=watch)`, or a list of readings.

        Raises:
            ValueError: If it is neither.
        """
        if isinstance(found, Reading):
            return found
        if isinstance(found, Orbit):
            if not isinstance(found.ys, Reading):
                raise ValueError("`found` must be an orbit of readings, but is one of states: give `record=watch`.")
            return found.trim().ys
        readings = list(found)
        if not readings or not all(isinstance(reading, Reading) for reading in readings):
            raise ValueError("`found` must be an orbit or a list of at least one reading.")
        return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *readings)


def _draws(field: Any) -> bool:
    """Whether the game of a field draws its samples."""
    for name in ("field", "game"):
        if hasattr(field, name):
            return _draws(getattr(field, name))
    return hasattr(field, "sample")


@jit
def _read(
    watch: Watch, state: WatchState, n: Int[Array, ""], y: State, args: Args, memory: Any
) -> tuple[WatchState, Reading]:
    t = jnp.asarray(watch.update.step_size, _tree.dtype(y)) * n
    with jax.default_matmul_precision("highest"):
        velocity, noise = _velocity(watch, t, y, args)
        rotation = _rotation(watch, t, y, args, jax.random.fold_in(watch.key, n))
        step = linearized(watch.update, watch.field, t, y, args, memory, state.change)
        mode = follow(step, state.space, watch.num_products)
    speed, way = _tree.norm(velocity), _tree.subtract(y, state.before)
    angle = jnp.where(state.readings >= 2, _cosine(state.way, way), jnp.nan)
    found, lasting = _found(mode), _lasting(mode)
    turning = found & lasting & (turn(mode.change) > 0) & (mode.share >= _SHARE)
    # Where the mode is known, and dies out, it is a spiral inward.
    back = (angle < 0) & ~(noise >= _NOISE) & (speed >= _SLOWER * state.speed) & ~(found & ~lasting)
    in_a_row = jnp.where(turning | back, state.in_a_row + 1, 0)
    since = jnp.where(turning | back, jnp.where(state.in_a_row > 0, state.since, n), -1)
    reading = Reading(
        step=n,
        speed=speed,
        speeds=_speeds(velocity),
        path_angle=angle,
        rotation_share=rotation,
        noise=noise,
        change=mode.change,
        residual=mode.residual,
        share=mode.share,
        turning=turning,
        back=back,
        since=since,
        cycling=in_a_row >= _IN_A_ROW,
    )
    if watch.tell is not None:
        jax.debug.callback(watch.tell, reading)
    # What is not finite would stay in the search for good.
    sound = jnp.all(jnp.isfinite(mode.space)) & jnp.isfinite(jnp.abs(mode.change))
    space, change = jnp.where(sound, mode.space, state.space), jnp.where(sound, mode.change, state.change)
    return WatchState(state.readings + 1, n, y, way, speed, space, change, since, in_a_row), reading


def _found(mode: Mode) -> Bool[Array, ""]:
    """Whether the mode is known well enough to say what becomes of it."""
    return mode.residual <= _RESIDUAL * jnp.abs(mode.change)


def _lasting(mode: Mode) -> Bool[Array, ""]:
    """Whether the mode does not die out, as far as a turn tells."""
    return 2 * jnp.pi * log_growth(mode.change) > math.log1p(-_LOSS) * turn(mode.change)


def _velocity(watch: Watch, t: Scalar, y: State, args: Args) -> tuple[State, Scalar]:
    """The velocity, and the part of it that is noise: half the difference of the halves of the minibatch."""
    halves = _halves(args) if watch.batched else None
    if halves is None:
        return watch.field(t, y, args), jnp.asarray(jnp.nan, _tree.dtype(y))
    one, other = (watch.field(t, y, half) for half in halves)
    velocity = _tree.scale(0.5, _tree.add(one, other))
    noise = 0.5 * _tree.norm(_tree.subtract(one, other)) / _tree.norm(velocity)
    return velocity, jnp.minimum(noise, 1.0)


def _halves(args: Args) -> tuple[Args, Args] | None:
    """The halves of a minibatch; None if it has no axis of two samples. An odd one loses its last sample."""
    leaves = jax.tree.leaves(args)
    if not leaves or any(np.ndim(leaf) == 0 or np.shape(leaf)[0] < 2 for leaf in leaves):
        return None

    def cut(start: int) -> Args:
        return jax.tree.map(lambda leaf: leaf[start * (len(leaf) // 2) :][: len(leaf) // 2], args)

    return cut(0), cut(1)


def _rotation(watch: Watch, t: Scalar, y: State, args: Args, key: PRNGKeyArray) -> Scalar:
    """The share of the rotation, by random vectors of signs: as `rotation_share`, of two products each."""
    flat, restore = ravel_pytree(y)
    _, along = jax.linearize(lambda x: ravel_pytree(watch.field(t, restore(x), args))[0], flat)
    against = jax.linear_transpose(along, flat)

    def squares(key: PRNGKeyArray) -> tuple[Array, Array]:
        signs = jax.random.rademacher(key, flat.shape, flat.dtype)
        image, (transposed,) = along(signs), against(signs)
        return jnp.sum((image - transposed) ** 2), jnp.sum((image + transposed) ** 2)

    turning, downhill = map(jnp.sum, jax.lax.map(squares, jax.random.split(key, watch.num_probes)))
    return turning / (turning + downhill)


def _speeds(velocity: State) -> Players | None:
    if isinstance(velocity, Players):
        return Players(_tree.norm(velocity.discriminator), _tree.norm(velocity.generator))
    if isinstance(velocity, tuple | list) and len(velocity) == 2:
        return Players(*map(_tree.norm, velocity))
    return None


def _cosine(left: State, right: State) -> Scalar:
    # Normalized first, whose squares would overflow or vanish in single precision.
    left, right = (_tree.scale(1 / _tree.norm(each), each) for each in (left, right))
    return jax.tree.reduce(jnp.add, jax.tree.map(lambda a, b: jnp.sum(a * b), left, right))
