r"""Terms added to the players' losses, or to the field.

`Penalized(game, penalty)` is again a game, `Adjusted(field, adjustment)` again a field. Two gradients are easily mixed
up: the regularizer of Nagarajan and Kolter (`GradientNorm`) is the gradient of the value with respect to the
discriminator's *parameters* and is paid by the generator; `R1`, `R2` and `WGANGP` take the gradient of the score with
respect to the discriminator's *input*, and are paid by the discriminator.
"""

from ._adjustment import AbstractAdjustment as AbstractAdjustment, Adjusted as Adjusted, Consensus as Consensus
from ._gradient_norm import GradientNorm as GradientNorm
from ._penalty import AbstractPenalty as AbstractPenalty, Penalized as Penalized, unwrap as unwrap
from ._r1 import R1 as R1
from ._r2 import R2 as R2
from ._wgan_gp import WGANGP as WGANGP
