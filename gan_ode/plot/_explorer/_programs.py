"""The functions that an explorer computes in the browser, written out as JavaScript."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._lowering import to_javascript
from ..._rules import is_used, maker
from ..._types import Field, Scalar, State

Family = Callable[..., Field]


class Programs(eqx.Module):
    """Functions of flat vectors: what the browser gets, and what tests compare it with.

    Attributes:
        family: From parameters by keyword to the field.
        names: The parameters' names, in the order of the numbers in a vector.
        like: A state, which says what its two numbers are.
        rules: What makes updates from step sizes, by their names.
        quantity: One number of a state, which the page follows over time.
    """

    family: Family = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    like: State
    rules: Mapping[str, Any] = eqx.field(static=True)
    quantity: Callable[[State], Scalar] | None = eqx.field(static=True, default=None)

    def field(self, parameters: Float[Array, " p"]) -> Any:
        """What the family gives: a field, unless the user made a mistake."""
        return self.family(**dict(zip(self.names, parameters, strict=True)))

    def state(self, y: Float[Array, " 2"]) -> State:
        return restored(y, self.like)

    def velocity(self, y: Float[Array, " 2"], parameters: Float[Array, " p"]) -> Float[Array, " 2"]:
        return flat(self.field(parameters)(0.0, self.state(y), None))

    def jacobian(self, y: Float[Array, " 2"], parameters: Float[Array, " p"]) -> Float[Array, " 4"]:
        return jnp.ravel(jax.jacfwd(self.velocity)(y, parameters))

    def init(self, rule: str, y: Float[Array, " 2"], h: Scalar, parameters: Float[Array, " p"]) -> Float[Array, " m"]:
        """The memory of an update before its first step."""
        return flat(self._memory(rule, y, h, parameters))

    def step(
        self, rule: str, y: Float[Array, " 2"], h: Scalar, parameters: Float[Array, " p"], memory: Float[Array, " m"]
    ) -> Float[Array, " n"]:
        """The next state, then the next memory."""
        field = self.field(parameters)
        update = self._update(rule, h, field, y)
        like = jax.eval_shape(lambda: update.init(field, self.state(y), None))
        found = update.step(field, 0.0, self.state(y), None, restored(memory, like))
        return flat(found)

    def step_jacobian(
        self, rule: str, y: Float[Array, " 2"], h: Scalar, parameters: Float[Array, " p"], memory: Float[Array, " m"]
    ) -> Float[Array, " nn"]:
        """The Jacobian of a step in state and memory, by rows."""

        def joint(both: Float[Array, " n"]) -> Float[Array, " n"]:
            return self.step(rule, both[:2], h, parameters, both[2:])

        return jnp.ravel(jax.jacfwd(joint)(flat((y, memory))))

    def linear_step_jacobian(self, rule: str, matrix: Float[Array, " 4"], h: Scalar) -> Float[Array, " nn"]:
        """The Jacobian of a step of the linear field of a matrix, in state and memory, at rest."""

        def field(t: Any, y: State, args: Any) -> State:
            return restored(matrix.reshape(2, 2) @ flat(y), self.like)

        rest = jnp.zeros(2)
        update = maker(self.rules[rule], field, self.state(rest), None)(h)
        memory = update.init(field, self.state(rest), None)

        def joint(both: Float[Array, " n"]) -> Float[Array, " n"]:
            return flat(update.step(field, 0.0, self.state(both[:2]), None, restored(both[2:], memory)))

        return jnp.ravel(jax.jacfwd(joint)(flat((rest, memory))))

    def counts(self, rule: str) -> bool:
        """Whether an update counts its steps: then they differ, and one of them does not say what all do."""
        y, h, p = flat(self.like), jnp.asarray(1.0), jnp.zeros(len(self.names))
        memory = jax.eval_shape(lambda y, h, p: self._memory(rule, y, h, p), y, h, p)
        return not all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(memory))

    def _memory(self, rule: str, y: Float[Array, " 2"], h: Scalar, parameters: Float[Array, " p"]) -> Any:
        field = self.field(parameters)
        return self._update(rule, h, field, y).init(field, self.state(y), None)

    def _update(self, rule: str, h: Scalar, field: Field, y: Float[Array, " 2"]) -> Any:
        return maker(self.rules[rule], field, self.state(y), None)(h)

    def javascript(self) -> str:
        """An object literal: the field, its Jacobian, and of each update its memory, step and Jacobian."""
        y, h, p = (jax.ShapeDtypeStruct(shape, jnp.result_type(float)) for shape in ((2,), (), (len(self.names),)))
        entries = [
            f"field:{_function(self.velocity, (y, p))}",
            f"jacobian:{_function(self.jacobian, (y, p))}",
            f"invariant:{self._javascript_of_quantity(y)}",
            f"updates:[{','.join(self._javascript_of(rule, y, h, p) for rule in self.rules)}]",
        ]
        return "{" + ",\n".join(entries) + "}"

    def _javascript_of_quantity(self, y: Any) -> str:
        if (quantity := self.quantity) is None:
            return "null"
        return _function(lambda y: jnp.asarray(quantity(self.state(y)), float), (y,))

    def _javascript_of(self, rule: str, y: Any, h: Any, p: Any) -> str:
        memory = jax.eval_shape(lambda y, h, p: self.init(rule, y, h, p), y, h, p)
        init = _function(lambda y, h, p: self.init(rule, y, h, p), (y, h, p))
        step = _function(lambda y, h, p, m: self.step(rule, y, h, p, m), (y, h, p, memory))
        jacobian = linear = "null"
        if not self.counts(rule):
            jacobian = _function(lambda y, h, p, m: self.step_jacobian(rule, y, h, p, m), (y, h, p, memory))
            matrix = jax.ShapeDtypeStruct((4,), y.dtype)
            linear = _function(lambda matrix, h: self.linear_step_jacobian(rule, matrix, h), (matrix, h))
        return f"{{name:{json_of(rule)},\ninit:{init},\nstep:{step},\njacobian:{jacobian},\nlinear:{linear}}}"


def flat(tree: Any) -> Float[Array, " n"]:
    """All numbers of a tree in one vector; counters too, as numbers."""
    leaves = [jnp.ravel(jnp.asarray(leaf)).astype(float) for leaf in jax.tree.leaves(tree)]
    # Arrays without elements would stay arrays.
    return jnp.concatenate([leaf for leaf in leaves if leaf.size]) if leaves else jnp.zeros(0)


def restored(numbers: Float[Array, " n"], like: Any) -> Any:
    """The tree that `flat` made a vector of."""
    leaves, structure = jax.tree.flatten(like)
    found, first = [], 0
    for leaf in leaves:
        found.append(numbers[first : first + leaf.size].reshape(leaf.shape).astype(leaf.dtype))
        first += leaf.size
    return jax.tree.unflatten(structure, found)


def _function(function: Callable[..., Any], inputs: Sequence[Any]) -> str:
    body, _ = to_javascript(function, inputs)
    return "function(x){" + body + "}"


def json_of(value: Any) -> str:
    """JSON that may stand within a script: a closing tag in a string would end it."""
    return json.dumps(value).replace("</", "<\\/")


def depends_on_time(field: Field, y: State) -> bool:
    """Whether the field has time in it."""
    return is_used(lambda t: field(t, y, None), jnp.zeros(()))
