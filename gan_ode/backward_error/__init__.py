r"""The ODE that an update really follows.

An update's orbit follows the flow of the field only to first order in the step size. What is left is no accident
(spiralling out where the flow cycles, say): to every higher order the orbit follows the flow of a *modified field*,
which can be asked whatever a field can be asked. The *drift* is what the step size adds to the field.
"""

from ._drift import drift as drift, interaction_drift as interaction_drift, self_drift as self_drift
from ._linear import modified_jacobian as modified_jacobian
from ._modified import modified_field as modified_field, modified_terms as modified_terms, Terms as Terms
