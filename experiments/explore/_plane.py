"""A plane through a state of any size, along its leading eigenvectors, and what the flow and updates do there."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from gan_ode import analysis, flow, iterate

# Of the speed, what counts as a direction of its own.
_INDEPENDENT = 1e-6
# Eigenvectors that are looked at: a pair, or two real ones with a pair between them.
_MOST_VECTORS = 4


class Plane(eqx.Module):
    """A plane in the space of states.

    Attributes:
        origin: The state in its middle.
        axes: Two orthonormal directions, as rows over all numbers of a state.
    """

    origin: Any
    axes: jax.Array

    def state(self, place: jax.Array) -> Any:
        """The state at two coordinates."""
        middle, restore = ravel_pytree(self.origin)
        return restore(middle + place @ self.axes)

    def project(self, y: Any) -> jax.Array:
        """The coordinates of the nearest point of the plane."""
        return self.axes @ (ravel_pytree(y)[0] - ravel_pytree(self.origin)[0])

    def direction(self, velocity: Any) -> jax.Array:
        """The part of a velocity within the plane."""
        return self.axes @ ravel_pytree(velocity)[0]


def plane_through(field: Any, y: Any, args: Any = None) -> tuple[Plane, np.ndarray]:
    """The plane along the leading eigenvectors of the field's Jacobian at a state, and the leading eigenvalues.

    Of a complex pair it holds the real and the imaginary part of the eigenvector, so that the rotation is seen.

    Args:
        field: The field.
        y: The state, of at least two numbers.
        args: Handed to the field: a minibatch, or None.

    Raises:
        ValueError: If the state has fewer than two numbers, or the field cannot be linearized there.
    """
    size = ravel_pytree(y)[0].size
    if size < 2:
        raise ValueError(f"`start` must hold at least two numbers, but has {size}: a plane is what is shown.")
    found = analysis.leading_eigenvalues(field, y, min(_MOST_VECTORS, size), args=args, eigenvectors=True)
    axes: list[np.ndarray] = []
    for i in range(found.eigenvalues.size):
        vector = np.asarray(ravel_pytree(jax.tree.map(lambda leaf, i=i: leaf[i], found.eigenvectors))[0])
        for part in (np.real(vector), np.imag(vector)):
            left = part - sum(((axis @ part) * axis for axis in axes), np.zeros_like(part))
            if len(axes) < 2 and np.linalg.norm(left) > _INDEPENDENT * np.linalg.norm(vector):
                axes.append(left / np.linalg.norm(left))
    return Plane(y, jnp.asarray(np.stack(axes), ravel_pytree(y)[0].dtype)), np.asarray(found.eigenvalues)


class Seen(NamedTuple):
    """What a page shows for one setting.

    Attributes:
        arrows: Velocities within the plane over a grid, shape `(side, side, 2)`; the second axis goes along the first
            coordinate.
        times: Times of the orbits.
        orbits: The flow from the start, and each update, by their two coordinates in the plane.
        away: How far each of these is from the origin, in all directions.
    """

    arrows: Any
    times: Any
    orbits: dict[str, Any]
    away: dict[str, Any]


class Explored:
    """A game of any size, followed from states in a plane; one compiled program answers all settings.

    Args:
        family: From parameters, by keyword, to a field.
        rules: From names to what makes an update of a step size.
        args: Handed to the field: a minibatch, or None.
        num_steps: Steps of each update; the flow covers the same time.
        side: Arrows along each side of the plane.
    """

    def __init__(
        self,
        family: Callable[..., Any],
        rules: Mapping[str, Callable[[Any], Any]],
        args: Any = None,
        num_steps: int = 150,
        side: int = 15,
    ):
        self.family, self.rules, self.args, self.num_steps, self.side = family, rules, args, num_steps, side
        self._program = eqx.filter_jit(self._compute)

    def seen(self, plane: Plane, parameters: Mapping[str, float], step_size: float, place: Any, width: float) -> Seen:
        """The plane, the flow and the updates at one setting.

        Args:
            plane: The plane.
            parameters: Of the family.
            step_size: Of all updates.
            place: Where orbits start, by two coordinates.
            width: Arrows stand within so much of the origin, along both axes.
        """
        dtype = plane.axes.dtype
        numbers = {name: jnp.asarray(value, dtype) for name, value in parameters.items()}
        found = self._program(plane, numbers, *(jnp.asarray(each, dtype) for each in (step_size, place, width)))
        return jax.tree.map(np.asarray, found)

    def _compute(self, plane: Plane, parameters: Any, step_size: jax.Array, place: jax.Array, width: jax.Array) -> Seen:
        field = self.family(**parameters)
        marks = jnp.linspace(-width, width, self.side)

        def arrow(p: jax.Array, q: jax.Array) -> jax.Array:
            return plane.direction(field(0.0, plane.state(jnp.stack([p, q])), self.args))

        arrows = jax.vmap(lambda q: jax.vmap(lambda p: arrow(p, q))(marks))(marks)
        start = plane.state(place)
        times = step_size * jnp.arange(self.num_steps + 1, dtype=place.dtype)
        orbits = {"flow": flow(field, start, times, args=self.args, throw=False).ys}
        for name, rule in self.rules.items():
            orbits[name] = iterate(rule(step_size), field, start, self.num_steps, args=self.args).ys
        middle = ravel_pytree(plane.origin)[0]
        away = {
            name: jax.vmap(lambda y: jnp.linalg.norm(ravel_pytree(y)[0] - middle))(ys) for name, ys in orbits.items()
        }
        return Seen(arrows, times, {name: jax.vmap(plane.project)(ys) for name, ys in orbits.items()}, away)
