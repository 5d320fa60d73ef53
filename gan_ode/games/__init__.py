r"""Two players, each with a loss of both players' parameters.

A game is any object with a method `losses(y, args)` that returns `Players` of two scalars: what the discriminator
minimizes and what the generator minimizes. Nothing else is asked; `FromLosses` makes one of a plain function.
"""

from ._applied import AppliedGAN as AppliedGAN, from_apply as from_apply
from ._bilinear import Bilinear as Bilinear
from ._dirac import Dirac as Dirac
from ._finite_sample import FiniteSample as FiniteSample
from ._game import AbstractGame as AbstractGame, FromLosses as FromLosses, gradients as gradients, Players as Players
from ._gaussian_covariance import GaussianCovariance as GaussianCovariance
from ._gaussian_mean import GaussianMean as GaussianMean
from ._kernel import Kernel as Kernel
from ._linear_quadratic import LinearQuadratic as LinearQuadratic
from ._matrix import Matrix as Matrix
from ._multivariate_linear_quadratic import MultivariateLinearQuadratic as MultivariateLinearQuadratic
from ._neural import GAN as GAN
from ._quadratic import Quadratic as Quadratic
from ._sampled import AbstractSampledGame as AbstractSampledGame, Batch as Batch, weighted as weighted
from .published import (
    AlmostBilinear as AlmostBilinear,
    Forsaken as Forsaken,
    Heusel as Heusel,
    Mazumdar as Mazumdar,
)
