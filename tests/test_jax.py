"""What the package takes from JAX beyond what JAX promises: it stands in one module, and does what it is used for."""

import ast
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_ode import _jax

PACKAGE = Path(__file__).parents[1] / "gan_ode"
PRIVATE = ("jax._src", "jax.core", "jax.extend", "jax.experimental", "jax.interpreters", "jax.lib", "equinox.internal")


def taken(source: str) -> list[str]:
    """The modules that a source imports of which nobody promises anything."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        found += [name for name in names if any(name == each or name.startswith(f"{each}.") for each in PRIVATE)]
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_one_module_takes_what_is_not_promised(path):
    assert path.name == "_jax.py" or not taken(path.read_text())


def test_what_is_not_promised_is_noticed():
    source = "import jax.experimental.jet\nfrom jax.extend.core import Jaxpr\nimport jax.numpy as jnp\nimport equinox"
    assert taken(source) == ["jax.experimental.jet", "jax.extend.core"]


def function(x, y):
    return jnp.sum(jnp.sin(x) * 2.0) + y


JAXPR = jax.make_jaxpr(function)(jnp.ones(3), 1.0)


def test_a_traced_value_is_a_tracer():
    seen = []
    jax.jit(lambda x: seen.append(isinstance(x, _jax.Tracer)) or x)(1.0)
    assert seen == [True] and not isinstance(jnp.ones(()), _jax.Tracer)


def test_the_state_of_traces_differs_within_transformations_alone():
    outside, inside = _jax.get_opaque_trace_state(), []
    jax.jit(lambda x: inside.append(_jax.get_opaque_trace_state()) or x)(1.0)
    jax.vmap(lambda x: inside.append(_jax.get_opaque_trace_state()) or x)(jnp.ones(2))
    assert _jax.get_opaque_trace_state() == outside and all(state != outside for state in inside)


def test_a_traced_function_is_a_list_of_equations_with_literals():
    assert isinstance(JAXPR, _jax.ClosedJaxpr) and isinstance(JAXPR.jaxpr, _jax.Jaxpr)
    names = [equation.primitive.name for equation in JAXPR.jaxpr.eqns]
    assert all(isinstance(equation, _jax.JaxprEqn) for equation in JAXPR.jaxpr.eqns)
    assert names[:2] == ["sin", "mul"] and "add" in names
    literals = [each for each in JAXPR.jaxpr.eqns[1].invars if isinstance(each, _jax.Literal)]
    assert len(literals) == 1 and literals[0].val == 2.0


def test_a_traced_function_can_be_called_and_put_together_anew():
    x, y = jnp.arange(3.0), jnp.array(1.0)
    np.testing.assert_allclose(_jax.jaxpr_as_fun(JAXPR)(x, y)[0], function(x, y))
    inner = JAXPR.jaxpr.replace(eqns=JAXPR.jaxpr.eqns[:1], outvars=JAXPR.jaxpr.eqns[0].outvars)
    np.testing.assert_allclose(_jax.jaxpr_as_fun(_jax.ClosedJaxpr(inner, []))(x, y)[0], jnp.sin(x))


def test_functions_within_equations_are_found():
    looped = jax.make_jaxpr(lambda x: jax.lax.cond(x > 0, jnp.sin, jnp.cos, x))(1.0)
    inner = [each for equation in looped.jaxpr.eqns for each in _jax.jaxprs_in_params(equation.params)]
    assert {equation.primitive.name for each in inner for equation in each.eqns} >= {"sin", "cos"}


def test_metadata_reach_the_compiler():
    @jax.jit
    def marked(x):
        with _jax.set_xla_metadata(inlineable="false"):
            return jax.jit(lambda x: x + 1)(x)

    assert 'inlineable = "false"' in marked.lower(1.0).as_text()


@pytest.mark.parametrize("kind", ["lax", "checkpointed"])
def test_a_loop_of_equinox_has_these_kinds(kind):
    def doubled(x):
        return _jax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, 2 * s[1]), (0, x), max_steps=8, kind=kind)[1]

    assert doubled(1.5) == 12.0
    if kind == "checkpointed":
        assert jax.grad(doubled)(1.5) == 8.0


def test_one_process_gathers_what_it_has():
    np.testing.assert_array_equal(_jax.process_allgather(jnp.arange(3), tiled=True), np.arange(3))
