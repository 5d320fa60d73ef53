r"""Terms added to the players' losses, or to the field.

`Penalized(game, penalty)` is again a game, `Adjusted(field, adjustment)` again a field; `InstanceNoise` is a game by
itself and `Projected` a field. Two gradients are easily mixed up: the regularizer of Nagarajan and Kolter
(`GradientNorm`) is the gradient of the value with respect to the discriminator's *parameters* and is paid by the
generator; `R1`, `R2`, `WGANGP` and their relatives take the gradient of the score with respect to the discriminator's
*input*, and are paid by the discriminator.
"""

from ._instance_noise import InstanceNoise as InstanceNoise
from ._projected import Projected as Projected
from .adjustments._adjustment import AbstractAdjustment as AbstractAdjustment, Adjusted as Adjusted
from .adjustments._competitive_gradient import CompetitiveGradient as CompetitiveGradient
from .adjustments._consensus import Consensus as Consensus
from .adjustments._crossing_the_curl import CrossingTheCurl as CrossingTheCurl
from .adjustments._drift_cancelling import DriftCancelling as DriftCancelling
from .adjustments._jacobian_regularization import JacobianRegularization as JacobianRegularization
from .adjustments._lola import LOLA as LOLA
from .adjustments._symplectic_gradient import SymplecticGradient as SymplecticGradient
from .penalties._approximated_r1 import ApproximatedR1 as ApproximatedR1
from .penalties._dragan import DRAGAN as DRAGAN
from .penalties._entropic import Entropic as Entropic
from .penalties._gradient_norm import GradientNorm as GradientNorm
from .penalties._penalty import AbstractPenalty as AbstractPenalty, Penalized as Penalized, unwrap as unwrap
from .penalties._r1 import R1 as R1
from .penalties._r2 import R2 as R2
from .penalties._spectral_penalty import SpectralPenalty as SpectralPenalty
from .penalties._weight_anchor import WeightAnchor as WeightAnchor
from .penalties._weight_decay import WeightDecay as WeightDecay
from .penalties._wgan_gp import WGANGP as WGANGP
from .penalties._wgan_lp import WGANLP as WGANLP
from .penalties._zero_centered_gp import ZeroCenteredGP as ZeroCenteredGP
