"""Everything that exists because of how XLA and CPUs behave, behind one door; `plain` switches all of it off.

Results are those of `equinox.filter_jit` and Diffrax up to rounding. The words are XLA's: a *kernel* is what it
compiles some operations to, and runs by itself.
"""

from ._devices import num_cpus as num_cpus, on_cpu as on_cpu
from ._javascript import to_javascript as to_javascript
from ._jaxprs import evaluate_equation as evaluate_equation, evaluate_jaxpr as evaluate_jaxpr
from ._jit import jit as jit, jit_quickly as jit_quickly, strongly_typed as strongly_typed
from ._kernels import (
    fits_kernel as fits_kernel,
    in_kernel_program as in_kernel_program,
    inverse_root as inverse_root,
    is_long_for_kernel as is_long_for_kernel,
    kernel_jit as kernel_jit,
    map_in_kernels as map_in_kernels,
    opaque as opaque,
)
from ._narrow_matmul import expand_narrow_products as expand_narrow_products
from ._plain import is_plain as is_plain, plain as plain
from ._scalar_state import is_small_state as is_small_state, join_state as join_state, split_state as split_state
