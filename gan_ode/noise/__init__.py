r"""The noise of minibatches as a stochastic differential equation.

Simultaneous steps of size $h$ on minibatches of $B$ examples are, for small steps, the equation of Itô

$$dy = F(y)\,dt + \sqrt{h/B}\,\Sigma(y)^{1/2}\,dW,$$

with $F$ the field of the whole population and $\Sigma$ the covariance of the velocities of single examples. A minibatch
is a fluctuation of the weights of the population's points, and so the noise is the derivative of the field along such a
fluctuation: no covariance matrix and no velocity of a single example is ever formed. Everything here goes into Diffrax
as it is; `simulate.paths` follows many paths at once.
"""

from ._diagonal import Diagonal as Diagonal
from ._diffusion import AbstractDiffusion as AbstractDiffusion
from ._frozen import Frozen as Frozen
from ._low_rank import LowRank as LowRank
from ._modified import Modified as Modified
from ._of_minibatches import of_minibatches as of_minibatches
from ._sde import SDE as SDE
from ._stratonovich import stratonovich_drift as stratonovich_drift
