r"""What the two players are paid for a score.

A discriminator $D$ gives every sample a score, and is paid $f(D(x))$ for data and $f(-D(G(z)))$ for generated samples,
with $f$ concave. The value of the game is $V = E_x f(D(x)) + E_z f(-D(G(z)))$: the discriminator maximizes it; the
generator minimizes it when the game is zero-sum, and otherwise minimizes a loss of its own. The theory needs $f$ only
through $f'(0)$ and $f''(0)$.

Source: the form with $f$ is that of Nagarajan and Kolter (2017), arXiv:1706.04156, equation 1.
"""

from ._hinge import Hinge as Hinge
from ._least_squares import LeastSquares as LeastSquares
from ._loss import AbstractLoss as AbstractLoss
from ._minimax import Minimax as Minimax
from ._non_saturating import NonSaturating as NonSaturating
from ._wasserstein import Wasserstein as Wasserstein
