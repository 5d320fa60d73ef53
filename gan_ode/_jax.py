"""What is taken from JAX and Equinox beyond what they promise to keep, in one place.

`tests/test_jax.py` holds each of these to what it is used for: a new JAX that changes one fails there first, by name.
"""

from equinox.internal import while_loop as while_loop
from jax.core import Tracer as Tracer
from jax.experimental.multihost_utils import process_allgather as process_allgather
from jax.experimental.xla_metadata import set_xla_metadata as set_xla_metadata
from jax.extend.core import (
    ClosedJaxpr as ClosedJaxpr,
    get_opaque_trace_state as get_opaque_trace_state,
    Jaxpr as Jaxpr,
    jaxpr_as_fun as jaxpr_as_fun,
    JaxprEqn as JaxprEqn,
    jaxprs_in_params as jaxprs_in_params,
    Literal as Literal,
)
