r"""The discrete rules that practitioners run: one step of training, as a map of the state.

An update needs only a field. Its time is step size times number of steps, so that it can be laid beside the flow of
the same field. Rules with memory (momentum, Adam) carry it beside the state.
"""

import abc
from typing import Any, Literal

import diffrax
import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from . import _checks, _optimizers, _tree
from ._types import Args, Field, RealScalarLike, State
from ._unrolled_discriminator import unrolled_velocity
from .games import Players
from .solvers import _requirements

_POSITIVE_STEP = "Time runs forward; to climb instead of descend change the losses."


class AbstractUpdate(eqx.Module):
    """One step of training. To add one, implement `init` and `step`, and store the `step_size`.

    An attribute `may_fail` is optional: True says that a step solves equations, and gives a state of NaN where it
    cannot. That is what a run that ends in NaN is then called.

    Attributes:
        step_size: How much time one step stands for.
    """

    step_size: eqx.AbstractVar[Any]

    @abc.abstractmethod
    def init(self, field: Field, y: State, args: Args) -> Any:
        """What the rule remembers before its first step: a pytree of arrays, or None."""

    @abc.abstractmethod
    def step(self, field: Field, t: RealScalarLike, y: State, args: Args, memory: Any) -> tuple[State, Any]:
        """The next state and memory.

        Args:
            field: The field, `(t, y, args) -> dy/dt`.
            t: Time before the step.
            y: State before the step.
            args: Handed to the field; the same for every evaluation within the step.
            memory: What the rule remembers.
        """


class Simultaneous(AbstractUpdate):
    r"""Both players step at once: $y \leftarrow y + h F(y)$, Euler's rule on the field.

    At an eigenvalue $\lambda$ of the field the multiplier is $1 + h\lambda$: a pure rotation always grows.

    Args:
        step_size: $h > 0$.
    """

    step_size: Float[Array, ""]

    def __init__(self, step_size: RealScalarLike):
        self.step_size = _checks.positive("step_size", step_size, _POSITIVE_STEP)

    def init(self, field: Field, y: State, args: Args) -> None:
        return None

    def step(self, field: Field, t: RealScalarLike, y: State, args: Args, memory: None) -> tuple[State, None]:
        return _tree.step(y, self.step_size, field(t, y, args)), None


class Alternating(AbstractUpdate):
    r"""The discriminator makes $n_d$ steps, then the generator $n_g$, each seeing what came before.

    Every single step has size $h$, and a round of $n_d + n_g$ of them counts as one step of time $h$. On a pure
    rotation $\pm i\omega$ the 1 : 1 rule is neutral while $h\omega < 2$.

    Source: Goodfellow et al. (2014), arXiv:1406.2661, algorithm 1.

    Args:
        step_size: $h > 0$.
        discriminator_steps: $n_d \ge 1$.
        generator_steps: $n_g \ge 1$.
    """

    step_size: Float[Array, ""]
    discriminator_steps: int = eqx.field(static=True)
    generator_steps: int = eqx.field(static=True)

    def __init__(self, step_size: RealScalarLike, *, discriminator_steps: int = 1, generator_steps: int = 1):
        self.step_size = _checks.positive("step_size", step_size, _POSITIVE_STEP)
        self.discriminator_steps = _checks.count("discriminator_steps", discriminator_steps)
        self.generator_steps = _checks.count("generator_steps", generator_steps)

    def init(self, field: Field, y: Players, args: Args) -> None:
        _optimizers.two_players(self, y)

    def step(self, field: Field, t: RealScalarLike, y: Players, args: Args, memory: None) -> tuple[Players, None]:
        for _ in range(self.discriminator_steps):
            velocity = field(t, y, args).discriminator
            y = Players(_tree.step(y.discriminator, self.step_size, velocity), y.generator)
        for _ in range(self.generator_steps):
            velocity = field(t, y, args).generator
            y = Players(y.discriminator, _tree.step(y.generator, self.step_size, velocity))
        return y, None


class Extragradient(AbstractUpdate):
    r"""Steps by the velocity at a look-ahead point: $y \leftarrow y + h F(y + h F(y))$.

    At an eigenvalue $\lambda$ of the field the multiplier is $1 + h\lambda + (h\lambda)^2$; a pure rotation
    $\pm i\omega$ is damped while $h\omega < 1$.

    Source: Korpelevich (1976); for GANs Gidel et al. (2019), arXiv:1802.10551, equation 9.

    Args:
        step_size: $h > 0$.
    """

    step_size: Float[Array, ""]

    def __init__(self, step_size: RealScalarLike):
        self.step_size = _checks.positive("step_size", step_size, _POSITIVE_STEP)

    def init(self, field: Field, y: State, args: Args) -> None:
        return None

    def step(self, field: Field, t: RealScalarLike, y: State, args: Args, memory: None) -> tuple[State, None]:
        ahead = _tree.step(y, self.step_size, field(t, y, args))
        return _tree.step(y, self.step_size, field(t, ahead, args)), None


class Optimistic(AbstractUpdate):
    r"""Simultaneous steps that correct the last one: $y \leftarrow y + 2h F(y) - h F(y_{\text{last}})$.

    The first step is a plain one ($F(y_{\text{last}}) = F(y)$). At an eigenvalue $\lambda$ the multipliers solve
    $m^2 - (1 + 2h\lambda) m + h\lambda = 0$; a pure rotation $\pm i\omega$ is damped while $h\omega < 1/\sqrt3$.

    Source: Daskalakis et al. (2018), arXiv:1711.00141, equation 3.

    Args:
        step_size: $h > 0$.
    """

    step_size: Float[Array, ""]

    def __init__(self, step_size: RealScalarLike):
        self.step_size = _checks.positive("step_size", step_size, _POSITIVE_STEP)

    def init(self, field: Field, y: State, args: Args) -> State:
        return field(0.0, y, args)

    def step(self, field: Field, t: RealScalarLike, y: State, args: Args, memory: State) -> tuple[State, State]:
        velocity = field(t, y, args)
        ahead = _tree.step(y, 2 * self.step_size, velocity)
        return _tree.step(ahead, -self.step_size, memory), velocity


class Optax(AbstractUpdate):
    """Each player steps by an Optax optimizer, on minus its velocity.

    Args:
        discriminator: Any `optax.GradientTransformation`; its learning rate is its own.
        generator: Likewise.
        order: Who steps first; the second player sees what the first one did. `"simultaneous"` is neither.
        step_size: How much time one step stands for on the time axis of the orbit, for example the learning rate; 1 by
            default, so that time counts steps. It does not change the steps.
    """

    # Not named by their type: Optax takes long to import, and who has an optimizer has imported it.
    discriminator: Any
    generator: Any
    order: Literal["discriminator_first", "generator_first", "simultaneous"] = eqx.field(static=True)
    step_size: Float[Array, ""]

    def __init__(
        self,
        discriminator: Any,
        generator: Any,
        *,
        order: Literal["discriminator_first", "generator_first", "simultaneous"] = "discriminator_first",
        step_size: RealScalarLike = 1.0,
    ):
        _checks.one_of("order", order, ("discriminator_first", "generator_first", "simultaneous"))
        self.discriminator = _optimizers.checked("discriminator", discriminator)
        self.generator = _optimizers.checked("generator", generator)
        self.order = order
        self.step_size = _checks.positive("step_size", step_size, _POSITIVE_STEP)

    def init(self, field: Field, y: Players, args: Args) -> Players:
        return _optimizers.start(self, y)

    def step(self, field: Field, t: RealScalarLike, y: Players, args: Args, memory: Players) -> tuple[Players, Players]:
        if self.order == "simultaneous":
            velocity = field(t, y, args)
            parts = (
                _optimizers.descend(self, p, getattr(velocity, p), getattr(y, p), getattr(memory, p))
                for p in _optimizers.PLAYERS
            )
            (d, d_memory), (g, g_memory) = parts
            return Players(d, g), Players(d_memory, g_memory)
        for player in _optimizers.PLAYERS if self.order == "discriminator_first" else reversed(_optimizers.PLAYERS):
            here, remembered = getattr(y, player), getattr(memory, player)
            moved = _optimizers.descend(self, player, getattr(field(t, y, args), player), here, remembered)
            y, memory = (_replace(whole, player, part) for whole, part in zip((y, memory), moved, strict=True))
        return y, memory


class UnrolledOptax(AbstractUpdate):
    r"""`Optax`, discriminator first, with a generator that sees the discriminator some of its own steps ahead.

    The unrolled GAN: the discriminator steps as ever; the generator descends
    $V(\theta_D^k(\theta_D, \theta_G), \theta_G)$, differentiated through the $k$ more steps, on the same minibatch,
    that the discriminator's optimizer would make from what it remembers now. `fields.Unrolled` unrolls plain gradient
    steps, for any update, and says what is known of unrolling.

    Source: Metz et al. (2017), arXiv:1611.02163, equations 5 to 10 and the authors' code, which unrolls Adam with its
    memory.

    Args:
        discriminator: Any `optax.GradientTransformation` that can be differentiated twice. Adam takes the root of a
            number that is zero for a parameter that never had a gradient, and then gives NaN: write
            `optax.adam(rate, eps_root=1e-16)`.
        generator: Any `optax.GradientTransformation`.
        steps: $k \ge 1$.
        step_size: How much time one step stands for on the time axis of the orbit; it does not change the steps.
    """

    discriminator: Any
    generator: Any
    steps: int = eqx.field(static=True)
    step_size: Float[Array, ""]

    def __init__(self, discriminator: Any, generator: Any, *, steps: int, step_size: RealScalarLike = 1.0):
        self.discriminator = _optimizers.checked("discriminator", discriminator)
        self.generator = _optimizers.checked("generator", generator)
        self.steps = _checks.count("steps", steps)
        self.step_size = _checks.positive("step_size", step_size, _POSITIVE_STEP)

    def init(self, field: Field, y: Players, args: Args) -> Players:
        return _optimizers.start(self, y)

    def step(self, field: Field, t: RealScalarLike, y: Players, args: Args, memory: Players) -> tuple[Players, Players]:
        def advance(velocity: State, here: State, remembered: Any) -> tuple[State, Any]:
            return _optimizers.descend(self, "discriminator", velocity, here, remembered)

        d, d_memory = advance(field(t, y, args).discriminator, y.discriminator, memory.discriminator)
        velocity = unrolled_velocity(field, advance, t, Players(d, y.generator), d_memory, args, self.steps)
        g, g_memory = _optimizers.descend(self, "generator", velocity, y.generator, memory.generator)
        return Players(d, g), Players(d_memory, g_memory)


class SolverStep(AbstractUpdate):
    """One joint step of a Diffrax solver: Runge-Kutta on both players at once, the minibatch held for all its stages.

    A step whose implicit equations are not solved makes a state of NaN, and `iterate` ends there with the outcome
    `root_find_failed`: raise the root finder's `max_steps`, or take a smaller step.

    Args:
        solver: Any Diffrax solver for ordinary equations, for example `diffrax.Heun()`.
        step_size: $h > 0$.
        rtol: Relative tolerance of an implicit solver's root finder; needed unless the solver brings its own.
        atol: Absolute tolerance, likewise.

    Raises:
        ValueError: If the solver cannot step an ordinary equation, or is implicit and has no tolerances.
    """

    solver: diffrax.AbstractSolver
    step_size: Float[Array, ""]

    def __init__(
        self,
        solver: diffrax.AbstractSolver,
        step_size: RealScalarLike,
        *,
        rtol: RealScalarLike | None = None,
        atol: RealScalarLike | None = None,
    ):
        _requirements.check_for_ode(solver)
        self.solver = _requirements.differentiable_both_ways(_requirements.for_fixed_steps(solver, rtol, atol))
        self.step_size = _checks.positive("step_size", step_size, _POSITIVE_STEP)

    @property
    def may_fail(self) -> bool:
        """Whether a step can be one that is not solved: of an implicit solver, or one of few stages at the most."""
        return _requirements.may_fail(self.solver)

    def init(self, field: Field, y: State, args: Args) -> None:
        return None

    def step(self, field: Field, t: RealScalarLike, y: State, args: Args, memory: None) -> tuple[State, None]:
        term = diffrax.ODETerm(field)  # pyright: ignore[reportArgumentType]
        t0 = jnp.asarray(t, _tree.dtype(y))
        t1 = t0 + self.step_size.astype(t0.dtype)
        # A solver's own memory (first stage the same as last) would carry the last minibatch into this step.
        start = self.solver.init(term, t0, t1, y, args)
        y_next, _, _, _, result = self.solver.step(term, t0, t1, y, args, start, made_jump=False)
        solved = result == diffrax.RESULTS.successful
        return _tree.where(solved, y_next, jnp.nan), None


class FrozenOpponent(AbstractUpdate):
    r"""Each player takes a step of a Diffrax solver while the other one is held still: a known mistake, to be compared.

    Hand-written training loops do this: every stage moves the own parameters alone, $\dot\theta_D = F_D(\theta_D,
    \theta_G(0))$ and likewise for the generator. The error is of the order of the coupling, $h^2 \tfrac12
    (\partial_G F_D) F_G$ in each step, so that the rule is of order 1 whatever the tableau; on a bilinear game it *is*
    Euler's. `SolverStep` is the joint step, at the same cost.

    Args:
        solver: Any Diffrax solver for ordinary equations.
        step_size: $h > 0$.
        rtol: As for `SolverStep`.
        atol: Likewise.

    Raises:
        ValueError: As for `SolverStep`.
    """

    joint: SolverStep
    step_size: Float[Array, ""]

    def __init__(
        self,
        solver: diffrax.AbstractSolver,
        step_size: RealScalarLike,
        *,
        rtol: RealScalarLike | None = None,
        atol: RealScalarLike | None = None,
    ):
        self.joint = SolverStep(solver, step_size, rtol=rtol, atol=atol)
        self.step_size = self.joint.step_size

    @property
    def may_fail(self) -> bool:
        """As of `SolverStep`."""
        return self.joint.may_fail

    def init(self, field: Field, y: Players, args: Args) -> None:
        _optimizers.two_players(self, y)

    def step(self, field: Field, t: RealScalarLike, y: Players, args: Args, memory: None) -> tuple[Players, None]:
        def moved(player: str) -> Any:
            def own(t: RealScalarLike, part: State, args: Args) -> State:
                return getattr(field(t, _replace(y, player, part), args), player)

            return self.joint.step(own, t, getattr(y, player), args, None)[0]

        return Players(moved("discriminator"), moved("generator")), None


def _replace(whole: Players, player: str, part: Any) -> Players:
    return Players(**{"discriminator": whole.discriminator, "generator": whole.generator, player: part})
