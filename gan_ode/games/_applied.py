"""A GAN of two functions of their parameters: networks of Flax, of Haiku, of plain JAX."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._types import Scalar
from ..distributions import AbstractDistribution
from ..losses import AbstractObjective
from ._drawn import AbstractDrawnGame
from ._game import Players
from ._sampled import check_loss, single_score

Apply: TypeAlias = Callable[[Any, Array], Array]
"""A network as a function of its parameters and of one sample, or of a batch."""

# What Flax calls the collections, and the variables, of its statistics.
_PARAMETERS, _STATISTICS = "params", "BatchStat"


class AppliedGAN(AbstractDrawnGame):
    """A GAN of two functions of their parameters, as `from_apply` makes it.

    Attributes:
        players: The initial state: the parameters as they were given, their floating-point arrays alone.
        rest: What else was among the parameters.
        discriminator_apply: The discriminator, of its parameters and of a sample, or of a batch.
        generator_apply: The generator, of its parameters and of a latent point, or of a batch.
        loss: The GAN loss, for example `losses.Minimax()`.
        data: Where data are drawn from.
        latent: Where latent points are drawn from.
        batched: Whether both are functions of a batch.
    """

    players: Players
    rest: Players
    discriminator_apply: Apply
    generator_apply: Apply
    loss: AbstractObjective
    data: AbstractDistribution
    latent: AbstractDistribution
    batched: bool = eqx.field(static=True)

    def modules(self, y: Players) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
        """The discriminator and the generator with the parameters of a state, as functions of a sample or a batch."""
        whole = eqx.combine(y, self.rest)
        return (
            partial(self.discriminator_apply, whole.discriminator),
            partial(self.generator_apply, whole.generator),
        )

    def discriminate(self, discriminator: PyTree[Array], x: Float[Array, "*event"]) -> Scalar:
        """The score of one sample; where scores depend on their batch, that of a batch of one."""
        whole = eqx.combine(discriminator, self.rest.discriminator)
        return single_score(self.discriminator_apply(whole, x[None] if self.batched else x))

    def generate(self, generator: PyTree[Array], z: Float[Array, "*latent"]) -> Float[Array, "*event"]:
        """The sample made of one latent point; where samples depend on their batch, that of a batch of one."""
        whole = eqx.combine(generator, self.rest.generator)
        return self.generator_apply(whole, z[None])[0] if self.batched else self.generator_apply(whole, z)

    def scores(self, discriminator: PyTree[Array], points: Float[Array, "num *event"]) -> Float[Array, " num"]:
        """The scores of a batch."""
        if not self.batched:
            return jax.vmap(lambda x: self.discriminate(discriminator, x))(points)
        scores = self.discriminator_apply(eqx.combine(discriminator, self.rest.discriminator), points)
        if jnp.shape(scores) not in ((len(points),), (len(points), 1)):
            raise ValueError(
                f"`discriminator_apply` must return one score for each of the {len(points)} samples of a batch, but "
                f"returned shape {jnp.shape(scores)}: give it an output of size 1, or take `batched=False`, of one "
                "sample."
            )
        return jnp.reshape(scores, (len(points),))

    def samples(self, generator: PyTree[Array], points: Float[Array, "num *latent"]) -> Float[Array, "num *event"]:
        """The samples made of a batch of latent points."""
        if not self.batched:
            return jax.vmap(lambda z: self.generate(generator, z))(points)
        return self.generator_apply(eqx.combine(generator, self.rest.generator), points)


def from_apply(
    discriminator_apply: Apply,
    generator_apply: Apply,
    loss: AbstractObjective,
    *,
    discriminator_params: PyTree[Any],
    generator_params: PyTree[Any],
    data: AbstractDistribution,
    latent: AbstractDistribution,
    batched: bool = False,
) -> AppliedGAN:
    """A GAN of two functions `(params, x)`: networks of Flax (linen and nnx), of Haiku, of plain JAX.

    What `games.GAN` is to Equinox modules: a game of scores and samples with `players`, `sample` and `quadrature`, for
    every loss, penalty and update. The state has the parameters in the structure in which they were given.

    ```python
    import jax.numpy as jnp
    from gan_ode import distributions, fields, games, losses

    gan = games.from_apply(
        lambda params, x: params["w"] @ x,
        lambda params, z: params["a"] * z,
        losses.Wasserstein(),
        discriminator_params={"w": jnp.ones(2)},
        generator_params={"a": jnp.array(0.5)},
        data=distributions.Ring(),
        latent=distributions.Normal(2),
    )
    velocity = fields.GameField(gan)(0.0, gan.players, (jnp.ones((4, 2)), jnp.ones((4, 2))))
    assert jnp.allclose(velocity.discriminator["w"], 0.5)  # E x - E G(z)
    assert jnp.allclose(velocity.generator["a"], 2.0)  # w E z
    ```

    For Flax linen the functions are `model.apply` and the parameters `model.init(key, x)`; for nnx
    `graphdef, params = nnx.split(model)` and `lambda params, x: nnx.merge(graphdef, params)(x)`; for Haiku
    `haiku.without_apply_rng(haiku.transform(f)).apply`.

    A field is a function of the parameters and of the minibatch, so what a network carries from call to call is held,
    as frozen running statistics, and what it draws is switched off or drawn once. With `batched=True` the scores of a
    batch may depend on each other, as under batch normalization: a legal game of the batch, whose data and samples are
    each scored as one batch. Then the losses are no means over samples, the field changes with the batch's size, and
    what speaks of means (`noise`, the weights of a `Quadrature`, `analysis.theory`) does not speak of it; the slopes
    in `R1` and its like are those of the sum of the batch's scores.

    Args:
        discriminator_apply: `(params, x) -> score` of one sample, of shape `()` or `(1,)`; with `batched` of samples
            with a leading axis, of shape `(num,)` or `(num, 1)`.
        generator_apply: `(params, z) -> sample` of one latent point, or with `batched` of many.
        loss: The GAN loss, for example `losses.Minimax()`.
        discriminator_params: The discriminator's parameters, any pytree.
        generator_params: The generator's parameters.
        data: Where data are drawn from.
        latent: Where latent points are drawn from.
        batched: Whether both are functions of a batch.

    Returns:
        The game.

    Raises:
        ValueError: If a function does not take `(params, x)`, or makes no single scores, or no samples like the data;
            if parameters hold none, or running statistics beside them; if `loss` is none.
    """
    check_loss(loss)
    given = Players(discriminator_params, generator_params)
    for name, apply in (("discriminator", discriminator_apply), ("generator", generator_apply)):
        _check_function(f"{name}_apply", apply)
        _check_parameters(f"{name}_params", getattr(given, name))
    # NumPy's arrays are parameters, too.
    given = jax.tree.map(lambda leaf: jnp.asarray(leaf) if eqx.is_inexact_array_like(leaf) else leaf, given)
    players, rest = eqx.partition(given, eqx.is_inexact_array)
    game = AppliedGAN(
        players=players,
        rest=rest,
        discriminator_apply=discriminator_apply,
        generator_apply=generator_apply,
        loss=loss,
        data=data,
        latent=latent,
        batched=batched,
    )
    _try(game)
    return game


def _check_function(name: str, apply: Any) -> None:
    """Refuses what is no function of parameters and a sample."""
    if not callable(apply) or hasattr(apply, "apply") or isinstance(apply, type):
        found = f"the class {apply.__name__}" if isinstance(apply, type) else f"of {type(apply).__name__}"
        raise ValueError(
            f"`{name}` must be a function `(params, x)`, but is {found}: give the model's function, as `model.apply` "
            "of Flax, or `haiku.without_apply_rng(haiku.transform(f)).apply`."
        )
    try:
        inspect.signature(apply).bind(None, None)
    except TypeError as error:
        raise ValueError(
            f"`{name}` must take `(params, x)`, but has the signature {_parameters_of(apply)}: {error}. For Haiku take "
            "`haiku.without_apply_rng(haiku.transform(f)).apply`; for an `nnx.Module`, `graphdef, params = "
            "nnx.split(model)` and `lambda params, x: nnx.merge(graphdef, params)(x)`; for others a `lambda`."
        ) from None
    except ValueError:
        # Of what is not written in Python there may be no signature.
        return


def _parameters_of(apply: Callable) -> str:
    return f"({', '.join(inspect.signature(apply).parameters)})"


def _check_parameters(name: str, params: Any) -> None:
    """Refuses what holds no parameters, or more than them."""
    if not any(eqx.is_inexact_array_like(leaf) for leaf in jax.tree.leaves(params)):
        raise ValueError(
            f"`{name}` must hold floating-point arrays, but has none among {jax.tree.structure(params)}: give what "
            "`model.init(key, x)` returns."
        )
    others = sorted(set(params) - {_PARAMETERS}) if isinstance(params, Mapping) and _PARAMETERS in params else []
    leaves = jax.tree.leaves(params, is_leaf=_is_statistic)
    if others or any(map(_is_statistic, leaves)):
        found = f"the collections {', '.join(map(repr, others))}" if others else f"variables of `{_STATISTICS}`"
        raise ValueError(
            f"`{name}` must hold parameters alone, which the players choose, but also holds {found}: keep them in the "
            "function, frozen, as `lambda params, x: model.apply({'params': params, 'batch_stats': statistics}, x)`; "
            "for nnx take `graphdef, params, rest = nnx.split(model, nnx.Param, ...)`."
        )


def _is_statistic(part: Any) -> bool:
    return type(part).__name__ == _STATISTICS


def _try(game: AppliedGAN) -> None:
    """Looks at the shapes of two samples and their scores; nothing is computed."""
    try:
        data, latent = eqx.filter_eval_shape(lambda: game.sample(jax.random.key(0), 2))
    except jax.errors.JAXTypeError:
        # A distribution of somebody's own that draws by NumPy.
        return
    made = eqx.filter_eval_shape(game.samples, game.players.generator, latent)
    if made.shape != data.shape:
        kind = "batches" if game.batched else "one sample"
        raise ValueError(
            f"`generator_apply` must make samples like the data, of shape {data.shape[1:]}, but makes "
            f"{made.shape[1:]}: it is called on {kind} of latent points; for functions of the other kind give "
            f"`batched={not game.batched}`."
        )
    eqx.filter_eval_shape(game.scores, game.players.discriminator, data)
