"""Sick GANs: what ails each of them, how it is trained, how it is treated, and how good its samples are."""

from ._data import digits as digits, Material as Material, ring as ring
from ._patients import (
    HEALTHY as HEALTHY,
    OTHER_LOSS as OTHER_LOSS,
    Patient as Patient,
    PATIENTS as PATIENTS,
    regimen as regimen,
)
from ._training import (
    Adam as Adam,
    dosed as dosed,
    field_of as field_of,
    minibatch as minibatch,
    Regimen as Regimen,
    stacked as stacked,
    train as train,
    treated as treated,
    update_of as update_of,
)
