from jaxtyping import Array, Float

from ._loss import AbstractLoss
from ._pair_loss import AbstractPairLoss
from ._score_loss import AbstractScoreLoss, check_base


class Relativistic(AbstractPairLoss):
    r"""The relativistic pairing loss: data have to score higher than samples, $V = E_{x,z}\,P(D(x) - D(G(z)))$.

    $P$ is what the base loss pays data, and the generator minimizes $E_{x,z}\,g(D(G(z)) - D(x))$ with the base's own
    $g$. So `Relativistic(NonSaturating())` is the paper's RSGAN, `Relativistic(Minimax())` the same played zero-sum
    (as in R3GAN), and `Relativistic(LeastSquares())` has the payments of least squares.

    Only differences of scores are paid: with any constant added to $D$ nothing changes, and a bias of the discriminator
    rests. At equilibrium the covariance of $\nabla D$ takes the place of $K_{DD}$, and one term that of two: on the
    linear-quadratic GAN the eigenvalues are $-1/45 \pm i \sqrt{1/9 - 1/2025}$ with `Minimax`, where the plain loss has
    $-1/20$. On the Dirac-GAN nothing changes near the equilibrium.

    ```python
    from gan_ode import losses

    numbers = losses.Relativistic(losses.Minimax()).at_equilibrium()
    assert numbers.slope == 1 / 2 and numbers.cross == -numbers.curvature == 1 / 4
    ```

    Source: Jolicoeur-Martineau (2018), arXiv:1807.00734, section 4; zero-sum: Huang et al. (2024),
    arXiv:2501.05441, section 2. The Jacobian derived here.

    Args:
        base: What pays the differences.

    Raises:
        ValueError: If `base` pays no scores.
    """

    base: AbstractScoreLoss

    def __check_init__(self) -> None:
        check_base(self.base)

    @property
    def zero_sum(self) -> bool:
        """Whether the base is, by one function for data and samples."""
        return isinstance(self.base, AbstractLoss) and self.base.trusted_zero_sum

    @property
    def degree(self) -> int | None:
        """That of the base."""
        return self.base.trusted_degree

    def pair(self, real: Float[Array, "*batch"], made: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return self.base.data(real - made)

    def generator_pair(self, real: Float[Array, "*batch"], made: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return self.base.generator(made - real)
