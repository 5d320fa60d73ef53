r"""What the two players are paid for scores.

A discriminator $D$ gives every sample a score. The simplest losses pay by one concave function, $f(D(x))$ for data and
$f(-D(G(z)))$ for generated samples (`AbstractLoss`). Others pay data and samples by two functions, $P(D(x))$ and
$Q(D(G(z)))$ (`AbstractScoreLoss`; the f-GANs among them are `AbstractDivergence`), or pay pairs of both
(`AbstractPairLoss`). The discriminator maximizes the value $V$, the mean of what it is paid; the generator minimizes it
when the game is zero-sum, and otherwise minimizes a loss of its own.

The local theory needs few numbers of a loss, `AtEquilibrium`: of one function they are $f'(0)$ and $f''(0)$. Score 0 is
the density ratio 1 throughout, but for `LeastSquares` with labels of one's own.

Source: the form with $f$ is that of Nagarajan and Kolter (2017), arXiv:1706.04156, equation 1.
"""

from ._hinge import Hinge as Hinge
from ._le_cam import LeCam as LeCam
from ._least_squares import LeastSquares as LeastSquares
from ._loss import AbstractLoss as AbstractLoss
from ._maximum_likelihood import MaximumLikelihood as MaximumLikelihood
from ._minimax import Minimax as Minimax
from ._non_saturating import NonSaturating as NonSaturating
from ._objective import AbstractObjective as AbstractObjective, AtEquilibrium as AtEquilibrium
from ._pair_loss import AbstractPairLoss as AbstractPairLoss
from ._relativistic import Relativistic as Relativistic
from ._relativistic_average import RelativisticAverage as RelativisticAverage
from ._score_loss import AbstractScoreLoss as AbstractScoreLoss
from ._scores import Scores as Scores
from ._wasserstein import Wasserstein as Wasserstein
from .divergences import (
    AbstractDivergence as AbstractDivergence,
    Alpha as Alpha,
    FDivergence as FDivergence,
    JensenShannon as JensenShannon,
    KL as KL,
    NeymanChiSquared as NeymanChiSquared,
    PearsonChiSquared as PearsonChiSquared,
    ReverseKL as ReverseKL,
    SquaredHellinger as SquaredHellinger,
)
