"""GAN training as a dynamical system: its flow, its updates, and what they do.

`flow` follows a game's field in continuous time, `iterate` by the discrete rule that practitioners run; both give an
`Orbit`. The groups are `losses`, `distributions`, `networks`, `solvers`, `games`, `fields`, `updates`,
`backward_error`, `noise`, `regularizers`, `simulate`, `sweeps`, `analysis` and `plot`; only `plot` imports Matplotlib.
"""

from diffrax import RESULTS as RESULTS

from ._lowering import plain as plain
from .simulate import flow as flow, iterate as iterate, Orbit as Orbit
