from .._types import Scalar
from ._loss import AbstractLoss
from ._objective import AbstractObjective
from ._score_loss import AbstractScoreLoss, check_base
from ._scores import Scores


class RelativisticAverage(AbstractObjective):
    r"""The relativistic average loss: each score against the mean of the other kind.

    With $\bar r = E_x D(x)$ and $\bar m = E_z D(G(z))$, $V = E_x P(D(x) - \bar m) + E_z Q(D(G(z)) - \bar r)$, with the
    payments of the base loss; the generator minimizes $E_z g(D(G(z)) - \bar r) + E_x g(\bar m - D(x))$ with the base's
    own $g$. So `RelativisticAverage(NonSaturating())` is the paper's RaSGAN, with `LeastSquares` it is RaLSGAN, and
    with `Minimax` it is zero-sum.

    Over a minibatch the means are its own, so that the losses are no means over samples, and the gradient is biased by
    the inverse of its size.

    Each player is paid twice for a shift of the samples: $s = 2 f'(0)$ and $p = 2 g'(0)$ beside $c = f''(0) = -x$ (see
    `AtEquilibrium`). On the linear-quadratic GAN the eigenvalues with `Minimax` are $-1/45 \pm i \sqrt{4/9 - 1/2025}$.

    ```python
    import jax.numpy as jnp
    from gan_ode import losses

    loss, even = losses.RelativisticAverage(losses.Wasserstein()), jnp.full(2, 0.5)
    scores = losses.Scores(jnp.array([1.0, 3.0]), jnp.array([0.0, 1.0]), even, even)
    assert loss.value(scores) == 3.0  # twice the distance of the means
    ```

    Source: Jolicoeur-Martineau (2018), arXiv:1807.00734, section 4; the Jacobian derived here.

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

    def value(self, scores: Scores) -> Scalar:
        real, made = scores.over_data(scores.data), scores.over_samples(scores.samples)
        of_data = scores.over_data(self.base.data(scores.data - made))
        return of_data + scores.over_samples(self.base.sample(scores.samples - real))

    def cost(self, scores: Scores) -> Scalar:
        real, made = scores.over_data(scores.data), scores.over_samples(scores.samples)
        of_samples = scores.over_samples(self.base.generator(scores.samples - real))
        return of_samples + scores.over_data(self.base.generator(made - scores.data))
