"""Branches without dense matrices against those with them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_ode import analysis, updates
from tests.analysis.continuation.test_branches import brusselator

# Both find events to rounding of their linear systems; measured at most 1e-13, and 1e-11 in coefficients.
SAME = 1e-9
RANGE, START = jnp.array([2.0, 3.2]), jnp.array([1.3, 2.0 / 1.3])


@pytest.mark.parametrize("update", [None, updates.Simultaneous(0.05)], ids=["flow", "update"])
def test_without_matrices_a_branch_has_the_same_events_and_normal_forms(update):
    family = brusselator(1.3)
    (dense,) = analysis.continue_equilibrium(family, RANGE, START, update=update).events
    branch = analysis.continue_equilibrium(family, RANGE, START, update=update, matrix_free=True, longest_step=0.3)
    (event,) = branch.events
    assert event.kind == dense.kind == ("hopf" if update is None else "neimark-sacker")
    np.testing.assert_allclose(event.value, dense.value, rtol=SAME)
    np.testing.assert_allclose(event.eigenvalue, dense.eigenvalue, rtol=SAME)
    np.testing.assert_allclose(event.normal_form.coefficient, dense.normal_form.coefficient, rtol=SAME)
    assert event.normal_form.criticality == dense.normal_form.criticality
    assert branch.ended == "end of range" and bool(branch.stable[0]) and not bool(branch.stable[-1])
    np.testing.assert_allclose(branch.states[-1], [1.3, 3.2 / 1.3], rtol=SAME)


def test_a_large_state_under_a_transformation_is_refused():
    def along(a):
        return analysis.continue_equilibrium(brusselator(1.3), RANGE, START + a, matrix_free=True).values

    with pytest.raises(ValueError, match="`y` must be concrete, since a branch of large states"):
        jax.jit(along)(0.0)
