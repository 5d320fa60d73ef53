"""Every kind of game and update there is, each with what is known of it in closed form; losses are in `loss_facts.py`.

`tests/test_conformance.py` runs one suite over all of it: a new game or update is tested by an entry here. Closed forms
are written in NumPy, from derivations by hand; nothing here evaluates a loss or a field of the package.

A flat state has the discriminator's numbers first, then the generator's.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from gan_ode import distributions, fields, games, losses, regularizers, updates
from gan_ode.games import Players
from tests import regularizer_facts as by_hand
from tests.game_facts import SMALL_GAMES
from tests.loss_facts import LOSSES, LossFacts, ONE_FUNCTION, PairFacts, PAIRS as PAIRS, sigmoid


def players(discriminator: Any, generator: Any, dtype: Any = float) -> Players:
    """A state of arrays, from numbers or lists."""
    return Players(jnp.asarray(discriminator, dtype), jnp.asarray(generator, dtype))


def flat(y: Any) -> np.ndarray:
    """A state's numbers, the discriminator's first."""
    return np.asarray(ravel_pytree(y)[0])


# Games.


@dataclasses.dataclass(frozen=True, eq=False)
class GameCase:
    """A game, as the field of one parameter that may be traced.

    Attributes:
        name: What the test is called.
        field: The field, made of the parameter.
        parameter: The parameter's value.
        states: Some states, with a leading axis.
        args: What the field takes beside the state.
        velocity: The closed form, of a flat state and the parameter.
        equilibrium: A zero of the field, flat.
        jacobian: The field's Jacobian there.
        invariant: What the flow keeps, of a flat state.
        one_of_its_kind: Whether the checks that take long to compile are made on it.
        has_losses: Whether each velocity is the slope of the player's own loss, as of a game; not of an adjusted field.
    """

    name: str
    field: Callable[[Any], Any]
    parameter: float
    states: Players
    args: Any = None
    velocity: Callable[[np.ndarray, float], np.ndarray] | None = None
    equilibrium: np.ndarray | None = None
    jacobian: np.ndarray | None = None
    invariant: Callable[[np.ndarray], float] | None = None
    one_of_its_kind: bool = False
    has_losses: bool = True

    def __str__(self) -> str:
        return self.name


# States within |D| < 1, where the hinge has no kink.
_PLANE = Players(jnp.array([0.3, -0.4, 0.05]), jnp.array([0.8, 1.3, -1.1]))
_DIRAC_PLANE = Players(jnp.array([0.3, -0.7, 0.05]), jnp.array([0.8, 1.1, -0.9]))
_SPACE = Players(jnp.array([[0.2, -0.1], [-0.3, 0.25], [0.05, 0.1]]), jnp.array([[0.8, 0.2], [1.2, -0.3], [-0.9, 0.1]]))

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(120)
_WEIGHTS = _WEIGHTS / 2


def linear_quadratic_velocity(loss: LossFacts, y: np.ndarray, c: float) -> np.ndarray:
    """The gradients of V = E P(D(x)) + E Q(D(G(z))), D = w x^2 (+ v x), G = a z (+ b), differentiated by hand."""
    (w, v), (a, b) = ((y[0], 0.0), (y[1], 0.0)) if len(y) == 2 else (y[:2], y[2:])
    x, z = c * _NODES, _NODES
    made = a * z + b
    real_score, made_score = w * x**2 + v * x, w * made**2 + v * made
    real_slope, made_slope = loss.slope_of_data(real_score), loss.slope_of_sample(made_score)
    downhill = loss.slope_of_generator(made_score) * (2 * w * made + v)
    w_dot = _WEIGHTS @ (real_slope * x**2 + made_slope * made**2)
    v_dot = _WEIGHTS @ (real_slope * x + made_slope * made)
    a_dot, b_dot = -_WEIGHTS @ (downhill * z), -_WEIGHTS @ downhill
    return np.array([w_dot, a_dot]) if len(y) == 2 else np.array([w_dot, v_dot, a_dot, b_dot])


def dirac_velocity(loss: LossFacts, y: np.ndarray) -> np.ndarray:
    psi, theta = y
    return np.array([-theta * loss.slope_of_sample(-theta * psi), psi * loss.slope_of_generator(-theta * psi)])


def linear_quadratic_velocity_of_pairs(facts: PairFacts, y: np.ndarray) -> np.ndarray:
    """The same of V = E P(D(x) - D(G(z))) over all pairs, or of P(D(x) - E D(G(z))) and Q(D(G(z)) - E D(x))."""
    w, a = y
    base, x, z, weights = facts.base, _NODES**2, a**2 * _NODES**2, _WEIGHTS
    if not facts.average:
        apart, both = x[:, None] - z[None, :], np.outer(weights, weights)
        w_dot = np.sum(both * base.slope_of_data(w * apart) * apart)
        downhill = base.slope_of_generator(-w * apart)
        return np.array([w_dot, -np.sum(both * downhill * 2 * w * z[None, :] / a)])
    real, made = weights @ x, weights @ z
    w_dot = weights @ (base.slope_of_data(w * (x - made)) * (x - made))
    w_dot += weights @ (base.slope_of_sample(w * (z - real)) * (z - real))
    of_samples = weights @ (base.slope_of_generator(w * (z - real)) * 2 * w * z / a)
    of_data = weights @ base.slope_of_generator(w * (made - x)) * 2 * w * made / a
    return np.array([w_dot, -of_samples - of_data])


def wasserstein_energy(y: np.ndarray) -> float:
    """Kept by the linear-quadratic Wasserstein GAN."""
    return y[0] ** 2 / 2 + y[1] ** 2 / 4 - np.log(np.abs(y[1])) / 2


def squared_radius(y: np.ndarray) -> float:
    return float(y @ y)


def _linear_quadratic(name: str, facts: LossFacts) -> GameCase:
    # The equilibrium is (0, c), with K_DD = c^4/5 and K_DG = -2c/3.
    c = 1.2
    swing = 2 * facts.slope * c / 3
    return GameCase(
        f"linear_quadratic_{name}",
        field=lambda half_width: fields.GameField(games.LinearQuadratic(facts.make(), half_width)),
        parameter=c,
        states=_PLANE,
        velocity=lambda y, half_width: linear_quadratic_velocity(facts, y, half_width),
        equilibrium=np.array([0.0, c]),
        jacobian=np.array([[2 * facts.curvature * c**4 / 5, -swing], [swing, 0.0]]),
        # At c: H = w^2/2 + a^2/4 - c^2 log|a| / 2.
        invariant=(lambda y: y[0] ** 2 / 2 + y[1] ** 2 / 4 - c**2 * np.log(abs(y[1])) / 2)
        if name == "wasserstein"
        else None,
        one_of_its_kind=name == "minimax",
    )


def _dirac(name: str, facts: LossFacts) -> GameCase:
    return GameCase(
        f"dirac_{name}",
        field=lambda rate: fields.GameField(games.Dirac(facts.make()), Players(rate, rate)),
        parameter=0.7,
        states=_DIRAC_PLANE,
        velocity=lambda y, rate: rate * dirac_velocity(facts, y),
        equilibrium=np.zeros(2),
        jacobian=0.7 * facts.slope * np.array([[0.0, 1.0], [-1.0, 0.0]]),
        invariant=squared_radius if name in ("minimax", "wasserstein") else None,
        one_of_its_kind=name == "non_saturating",
    )


def _linear_quadratic_4(name: str, facts: LossFacts) -> GameCase:
    # At (0, 0, 1, 0): E x^2 = 1/3, E x^4 = 1/5, so the pairs (w, a) and (v, b) part.
    f1, f2 = facts.slope, facts.curvature
    jacobian = np.array(
        [
            [2 * f2 / 5, 0, -2 * f1 / 3, 0],
            [0, 2 * f2 / 3, 0, -f1],
            [2 * f1 / 3, 0, 0, 0],
            [0, f1, 0, 0],
        ]
    )
    return GameCase(
        f"linear_quadratic_4_{name}",
        field=lambda c: fields.GameField(games.LinearQuadratic(facts.make(), c, linear=True, offset=True)),
        parameter=1.0,
        states=_SPACE,
        velocity=lambda y, c: linear_quadratic_velocity(facts, y, c),
        equilibrium=np.array([0.0, 0.0, 1.0, 0.0]),
        jacobian=jacobian,
    )


def damped_linear_quadratic(y: np.ndarray, eta: float) -> np.ndarray:
    """The Wasserstein one with the gradient-norm penalty; its potential falls at the rate (2 eta / 9)(1 - a^2)^2."""
    w, a = y
    return np.array([(1 - a**2) / 3, 2 * w * a / 3 + 4 * eta * a * (1 - a**2) / 9])


def _gradient_norm_minimax(y: np.ndarray, eta: float) -> np.ndarray:
    """The shear by hand: B = d(w')/da with w' = E f'(w x^2) x^2 - E f'(-w a^2 z^2) a^2 z^2."""
    w, a = y
    w_dot, a_dot = linear_quadratic_velocity(LOSSES["minimax"], y, 1.0)
    z2 = _NODES**2
    s = w * a**2 * z2
    bend = -_WEIGHTS @ (2 * a * z2 * sigmoid(s) + a**2 * z2 * sigmoid(s) * sigmoid(-s) * 2 * w * a * z2)
    return np.array([w_dot, a_dot - 2 * eta * bend * w_dot])


def _r1_dirac(y: np.ndarray, gamma: float) -> np.ndarray:
    """The penalty is (gamma / 2) psi^2."""
    return dirac_velocity(LOSSES["minimax"], y) - np.array([gamma * y[0], 0.0])


def _nested_dirac(y: np.ndarray, gamma: float) -> np.ndarray:
    """Gradient-norm 0.4 on the game with R1: the generator also pays 0.4 (psi' )^2 of the penalized velocity."""
    psi, theta = y
    psi_dot = theta * sigmoid(-theta * psi) - gamma * psi
    bend = sigmoid(-theta * psi) - theta * psi * sigmoid(-theta * psi) * sigmoid(theta * psi)
    return np.array([psi_dot, -psi * sigmoid(-theta * psi) - 2 * 0.4 * psi_dot * bend])


def _nested() -> GameCase:
    def field(gamma: Any) -> fields.GameField:
        inner = regularizers.Penalized(games.Dirac(losses.Minimax()), regularizers.R1(gamma))
        return fields.GameField(regularizers.Penalized(inner, regularizers.GradientNorm(0.4)))

    g = 0.3
    return GameCase(
        "dirac_minimax_r1_gradient_norm",
        field=field,
        parameter=g,
        states=_DIRAC_PLANE,
        velocity=_nested_dirac,
        equilibrium=np.zeros(2),
        jacobian=np.array([[-g, 0.5], [-0.5 + 2 * 0.4 * g * 0.5, -2 * 0.4 * 0.25]]),
    )


def _consensus_dirac(y: np.ndarray, gamma: float) -> np.ndarray:
    """Minus (gamma / 2) grad |F|^2 is added, with |F|^2 = (psi^2 + theta^2) s^2 and s = sigmoid(-theta psi)."""
    psi, theta = y
    s = sigmoid(-theta * psi)
    bend = s * sigmoid(theta * psi)
    slope = 2 * y * s**2 - 2 * (psi**2 + theta**2) * s * bend * np.array([theta, psi])
    return dirac_velocity(LOSSES["minimax"], y) - gamma / 2 * slope


def _adjusted(game: Any, adjustment: Callable[[Any], Any]) -> Callable[[Any], regularizers.Adjusted]:
    return lambda weight: regularizers.Adjusted(fields.GameField(game), adjustment(weight))


def _penalized(game: Any, penalty: Callable[[Any], Any]) -> Callable[[Any], fields.GameField]:
    return lambda weight: fields.GameField(regularizers.Penalized(game, penalty(weight)))


_MATRIX = np.array([[1.0, -0.5], [0.3, 2.0]])
_OFFSETS = np.array([0.2, -0.1])


def _quadratic_losses(y: Players, args: Any) -> Players:
    """A game that somebody else writes: not zero-sum, and its state is a dictionary and a list."""
    u, (v,) = y.discriminator["u"], y.generator
    coupling = u @ jnp.asarray(_MATRIX, u.dtype) @ (v - jnp.asarray(_OFFSETS, v.dtype))
    return Players(-coupling + 0.5 * jnp.sum(u**2), coupling + 0.25 * jnp.sum(v**4))


def _quadratic_velocity(y: np.ndarray, rate: float) -> np.ndarray:
    u, v = y[:2], y[2:]
    return np.concatenate([rate * (_MATRIX @ (v - _OFFSETS) - u), -_MATRIX.T @ u - v**3])


def gan(loss: losses.AbstractObjective) -> games.GAN:
    """Two small smooth networks."""
    d_key, g_key = jax.random.split(jax.random.key(3))
    discriminator = eqx.nn.MLP(2, "scalar", 3, 1, activation=jnp.tanh, key=d_key)
    generator = eqx.nn.MLP(1, 2, 3, 1, activation=jnp.tanh, key=g_key)
    return games.GAN(discriminator, generator, loss, data=distributions.Ring(), latent=distributions.Normal(1))


def _gan_case(name: str, field: Callable[[Any], fields.GameField], *, one_of_its_kind: bool = False) -> GameCase:
    game = gan(losses.Minimax())
    spread = jnp.array([1.0, 0.6, -0.8])
    states = jax.tree.map(lambda leaf: jnp.multiply.outer(spread, leaf), game.players)
    # No generator: a fixed minibatch, so that nothing depends on a random number.
    angles = np.arange(5)
    data = 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    latent = np.linspace(-1.5, 1.5, 5)[:, None]
    return GameCase(
        name,
        field,
        parameter=0.5,
        states=states,
        args=(jnp.asarray(data), jnp.asarray(latent)),
        one_of_its_kind=one_of_its_kind,
    )


def _applied() -> GameCase:
    """Two functions of a batch, D(x) = w x and G(z) = a z: with the Wasserstein loss w' = E x - a E z, a' = w E z."""
    args = (np.array([[1.0, 0.5], [-0.2, 2.0]]), np.array([[0.3, -1.0], [0.9, 0.4], [0.1, 0.2]]))
    data, latent = (np.mean(part, axis=0) for part in args)
    game = games.from_apply(
        lambda params, x: x @ params["w"],
        lambda params, z: params["a"] * z,
        losses.Wasserstein(),
        discriminator_params={"w": _SPACE.discriminator[0]},
        generator_params={"a": _PLANE.generator[0]},
        data=distributions.Ring(),
        latent=distributions.Normal(2),
        batched=True,
    )
    return GameCase(
        "gan_from_apply",
        lambda rate: fields.GameField(game, Players(rate, rate)),
        parameter=0.7,
        states=Players({"w": _SPACE.discriminator}, {"a": _PLANE.generator}),
        args=(jnp.asarray(args[0]), jnp.asarray(args[1])),
        velocity=lambda y, rate: rate * np.array([*(data - y[2] * latent), y[:2] @ latent]),
    )


def _minimax_case(
    name: str, game: Any, penalty: Callable[[Any], Any], taken: Callable[..., Any], jacobian: Any
) -> GameCase:
    """A penalty of the discriminator alone: `taken`, of its own number and the state, is taken from its velocity."""
    dirac = isinstance(game, games.Dirac)
    return GameCase(
        name,
        field=_penalized(game, penalty),
        parameter=0.3,
        states=_DIRAC_PLANE if dirac else _PLANE,
        velocity=lambda y, g: (
            (dirac_velocity(LOSSES["minimax"], y) if dirac else linear_quadratic_velocity(LOSSES["minimax"], y, 1.0))
            - np.array([taken(y[0], y[1], g), 0.0])
        ),
        equilibrium=np.zeros(2) if dirac else np.array([0.0, 1.0]),
        jacobian=np.array(jacobian),
    )


def _adjusted_case(name: str, field: Any, velocity: Any, parameter: float, jacobian: Any, **kwargs: Any) -> GameCase:
    options = {"states": _DIRAC_PLANE, "equilibrium": np.zeros(2), "has_losses": False} | kwargs
    return GameCase(name, field, parameter, velocity=velocity, jacobian=np.array(jacobian), **options)


def _penalties() -> list[GameCase]:
    g, lq, dirac = 0.3, games.LinearQuadratic(losses.Minimax()), games.Dirac(losses.Minimax())
    wasserstein, turn = games.Dirac(losses.Wasserstein()), [[0.0, 0.5], [-0.5, 0.0]]
    anchor = players(0.2, -0.5)
    return [
        # E (e x + (1 - e) a z)^2 = (1 + a^2)/9.
        _minimax_case(
            "linear_quadratic_minimax_zero_centered_gp",
            lq,
            regularizers.ZeroCenteredGP,
            lambda w, a, g: 4 * g * w * (1 + a**2) / 9,
            [[-1 / 10 - 8 * g / 9, -1 / 3], [1 / 3, 0.0]],
        ),
        # E (x + d)^2 = 1/3 + s^2.
        _minimax_case(
            "linear_quadratic_minimax_dragan",
            lq,
            lambda gamma: regularizers.DRAGAN(gamma, 0.0, std=0.5),
            lambda w, a, g: 4 * g * w * (1 / 3 + 0.25),
            [[-1 / 10 - 4 * g * (1 / 3 + 0.25), -1 / 3], [1 / 3, 0.0]],
        ),
        # E ((x + s e)^2 - x^2)^2 = 4 s^2/3 + 3 s^4.
        _minimax_case(
            "linear_quadratic_minimax_approximated_r1",
            lq,
            lambda weight: regularizers.ApproximatedR1(weight, 0.5),
            lambda w, a, g: 2 * g * w * (1 / 3 + 3 / 16),
            [[-1 / 10 - 2 * g * (1 / 3 + 3 / 16), -1 / 3], [1 / 3, 0.0]],
        ),
        # Below the bound nothing is charged, at the equilibrium neither.
        _minimax_case(
            "dirac_minimax_wgan_lp",
            dirac,
            lambda gamma: regularizers.WGANLP(gamma, 0.4),
            lambda psi, theta, g: g * max(abs(psi) - 0.4, 0) * np.sign(psi),
            turn,
        ),
        GameCase(
            "dirac_wasserstein_dragan",
            field=_penalized(wasserstein, lambda gamma: regularizers.DRAGAN(gamma, 0.4)),
            parameter=0.5,
            states=_DIRAC_PLANE,
            velocity=lambda y, g: np.array([y[1] - g * (np.abs(y[0]) - 0.4) * np.sign(y[0]), -y[0]]),
        ),
        GameCase(
            "dirac_minimax_weight_decay",
            field=_penalized(dirac, lambda weight: regularizers.WeightDecay(weight, 0.4)),
            parameter=g,
            states=_DIRAC_PLANE,
            velocity=lambda y, g: dirac_velocity(LOSSES["minimax"], y) - np.array([g, 0.4]) * y,
            equilibrium=np.zeros(2),
            jacobian=np.array([[-g, 0.5], [-0.5, -0.4]]),
        ),
        GameCase(
            "dirac_wasserstein_weight_anchor",
            field=_penalized(wasserstein, lambda weight: regularizers.WeightAnchor(anchor, weight, 0.4)),
            parameter=g,
            states=_DIRAC_PLANE,
            velocity=lambda y, g: np.array([y[1], -y[0]]) - np.array([g * (y[0] - 0.2), 0.4 * (y[1] + 0.5)]),
            equilibrium=np.linalg.solve([[-g, 1.0], [-1.0, -0.4]], [-0.2 * g, 0.4 * 0.5]),
            jacobian=np.array([[-g, 1.0], [-1.0, -0.4]]),
        ),
        *(
            GameCase(
                name,
                field=_penalized(
                    games.FromLosses(by_hand.pennies), lambda tau, at=at: regularizers.Entropic(tau, tau / 2, at)
                ),
                parameter=g,
                states=Players(_SPACE.discriminator, _SPACE.generator),
                velocity=lambda y, tau, at=at: by_hand.entropic_pennies(
                    y, tau, np.zeros(4) if at is None else flat(at)
                ),
                # u u^T / 2 couples the players, with u = (1, -1)/sqrt 2, and the divergence bends by u u^T / 2, too.
                equilibrium=np.zeros(4) if at is None else None,
                jacobian=np.kron([[-g, 1.0], [-1.0, -g / 2]], [[0.25, -0.25], [-0.25, 0.25]]),
            )
            for name, at in (("pennies_entropic", None), ("pennies_entropic_anchor", by_hand.LOGITS))
        ),
        GameCase(
            "matrix_player_spectral_penalty",
            field=_penalized(games.FromLosses(by_hand.matrix_player), regularizers.SpectralPenalty),
            parameter=g,
            states=Players(
                {"bias": _SPACE.generator, "weight": jnp.stack([_SPACE.discriminator, _SPACE.generator], axis=1)},
                _SPACE.discriminator,
            ),
            velocity=by_hand.spectral_matrix_player,
        ),
    ]


def _noisy() -> list[GameCase]:
    def noisy(game: Any) -> Callable[[Any], fields.GameField]:
        return lambda std: fields.GameField(regularizers.InstanceNoise(game, std))

    s = 0.5
    # E (x + s e)^4 = 1/5 + 2 s^2 + 3 s^4 at c = 1, and d E (a z + s e)^2 / da = 2 a / 3, as without noise.
    bend = -(1 / 5 + 2 * s**2 + 3 * s**4) / 2
    return [
        GameCase(
            "dirac_minimax_instance_noise",
            field=noisy(games.Dirac(losses.Minimax())),
            parameter=s,
            states=_DIRAC_PLANE,
            velocity=by_hand.noisy_dirac,
            equilibrium=np.zeros(2),
            jacobian=np.array([[-(s**2) / 2, 0.5], [-0.5, 0.0]]),
            one_of_its_kind=True,
        ),
        GameCase(
            "linear_quadratic_non_saturating_instance_noise",
            field=noisy(games.LinearQuadratic(losses.NonSaturating())),
            parameter=s,
            states=_PLANE,
            velocity=lambda y, std: by_hand.noisy_linear_quadratic(LOSSES["non_saturating"], y, std),
            equilibrium=np.array([0.0, 1.0]),
            jacobian=np.array([[bend, -1 / 3], [1 / 3, 0.0]]),
        ),
    ]


def _adjustments() -> list[GameCase]:
    dirac, q, c, k, e = games.Dirac(losses.Minimax()), by_hand.BACK, by_hand.CHARGE, by_hand.COUPLING, by_hand.TOLL
    rotation, matrix = games.Dirac(losses.Wasserstein()), 1.3 * _MATRIX
    bilinear, unit = games.Bilinear(jnp.asarray(matrix)), np.eye(2)
    whole = np.block([[np.zeros((2, 2)), matrix], [-matrix.T, np.zeros((2, 2))]])
    h = 0.6
    answer = np.linalg.inv(np.eye(4) - h * whole)
    spun = by_hand.PUSH * unit + by_hand.TURN * np.array([[0.0, 1.0], [-1.0, 0.0]])
    return [
        _adjusted_case(
            "dirac_minimax_symplectic_gradient",
            _adjusted(dirac, regularizers.SymplecticGradient),
            by_hand.symplectic_dirac,
            h,
            [[-h / 4, 0.5], [-0.5, -h / 4]],
        ),
        _adjusted_case(
            # The first state is slow, and the others fast enough for the other sign.
            "pushed_symplectic_gradient_aligned",
            _adjusted(
                games.FromLosses(by_hand.pushed), lambda weight: regularizers.SymplecticGradient(weight, align=True)
            ),
            by_hand.aligned_pushed,
            h,
            # -h A^T F' with A = TURN R and F' = PUSH I + TURN R.
            spun + h * by_hand.TURN * np.array([[0.0, 1.0], [-1.0, 0.0]]) @ spun,
            states=Players(jnp.array([0.3, -0.7, 1.2]), jnp.array([0.2, 1.1, -0.9])),
        ),
        _adjusted_case(
            "dirac_minimax_jacobian_regularization",
            _adjusted(dirac, regularizers.JacobianRegularization),
            by_hand.jare_dirac,
            h,
            [[-h / 4, 0.5], [-0.5, -h / 4]],
        ),
        _adjusted_case(
            "linear_quadratic_wasserstein_crossing_the_curl",
            lambda rate: regularizers.Adjusted(
                fields.GameField(games.LinearQuadratic(losses.Wasserstein()), Players(rate, rate)),
                regularizers.CrossingTheCurl(),
            ),
            by_hand.curl_crossed,
            0.7,
            -(0.7**2) * 8 / 9 * unit,
            states=_PLANE,
            equilibrium=np.array([0.0, 1.0]),
        ),
        _adjusted_case(
            "dirac_minimax_drift_cancelling",
            _adjusted(dirac, regularizers.DriftCancelling),
            by_hand.drift_cancelled_dirac,
            h,
            [[-h / 8, 0.5], [-0.5, -h / 8]],
        ),
        _adjusted_case(
            "shared_lola",
            _adjusted(games.FromLosses(by_hand.shared), regularizers.LOLA),
            by_hand.aware_shared,
            h,
            [[-2 * h * k * q, k + h * c * q], [-q - h * k * e, -2 * h * k * q]],
        ),
        _adjusted_case(
            "bilinear_competitive_gradient",
            _adjusted(bilinear, regularizers.CompetitiveGradient),
            lambda y, eta: np.linalg.solve(np.eye(4) - eta * whole, whole @ y),
            h,
            answer @ whole,
            states=_SPACE,
            equilibrium=np.zeros(4),
        ),
        _adjusted_case(
            # Inside, sliding, about to leave, and past the border.
            "dirac_wasserstein_projected_on_a_box",
            lambda bound: regularizers.Projected(fields.GameField(rotation), bound),
            by_hand.held_in_a_box,
            0.5,
            [[0.0, 1.0], [-1.0, 0.0]],
            states=Players(jnp.array([0.3, 0.5, -0.5, 0.7]), jnp.array([0.8, 0.9, 0.4, 1.1])),
        ),
        _adjusted_case(
            "bilinear_projected_on_a_ball",
            lambda bound: regularizers.Projected(fields.GameField(bilinear), bound, "ball"),
            lambda y, bound: by_hand.held_in_a_ball(matrix, y, bound),
            0.4,
            whole,
            states=Players(
                jnp.array([[0.1, -0.2], [0.24, 0.32], [-0.5, 0.1]]), jnp.array([[0.8, 0.2], [1.2, -0.3], [-0.9, 0.1]])
            ),
            equilibrium=np.zeros(4),
        ),
    ]


def _three_penalties(weight: Any) -> fields.GameField:
    """Penalties that ask for slopes, weight matrices and parameters, around each other."""
    game = gan(losses.Minimax())
    anchor = jax.tree.map(lambda leaf: 0.5 * leaf, game.players)
    for penalty in (
        regularizers.ZeroCenteredGP(weight),
        regularizers.SpectralPenalty(weight),
        regularizers.WeightAnchor(anchor, weight, 0.1),
    ):
        game = regularizers.Penalized(game, penalty)
    return fields.GameField(game)


_ETA = 0.5
GAMES = [
    *(GameCase(**facts) for facts in SMALL_GAMES),
    *(_linear_quadratic(name, facts) for name, facts in ONE_FUNCTION.items()),
    _linear_quadratic("kl", LOSSES["kl"]),
    *(_linear_quadratic_4(name, LOSSES[name]) for name in ("minimax", "wasserstein")),
    GameCase(
        "linear_wasserstein",
        field=lambda rate: fields.GameField(
            games.LinearQuadratic(losses.Wasserstein(), quadratic=False, linear=True, offset=True), Players(rate, rate)
        ),
        parameter=0.7,
        states=Players(jnp.array([0.3, -0.4, 0.1]), _SPACE.generator),
        # w1' = -b, a' = 0, b' = w1: a line of equilibria, and a rotation.
        velocity=lambda y, rate: rate * np.array([-y[2], 0.0, y[0]]),
        equilibrium=np.array([0.0, 1.0, 0.0]),
        jacobian=0.7 * np.array([[0.0, 0.0, -1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]),
        invariant=squared_radius,
    ),
    *(_dirac(name, facts) for name, facts in ONE_FUNCTION.items()),
    _dirac("squared_hellinger_non_saturating", LOSSES["squared_hellinger_non_saturating"]),
    GameCase(
        "bilinear",
        field=lambda size: fields.GameField(games.Bilinear(size * jnp.asarray(_MATRIX))),
        parameter=1.3,
        states=_SPACE,
        velocity=lambda y, size: size * np.concatenate([_MATRIX @ y[2:], -_MATRIX.T @ y[:2]]),
        equilibrium=np.zeros(4),
        jacobian=1.3 * np.block([[np.zeros((2, 2)), _MATRIX], [-_MATRIX.T, np.zeros((2, 2))]]),
        invariant=squared_radius,
        one_of_its_kind=True,
    ),
    GameCase(
        "from_losses",
        field=lambda rate: fields.GameField(games.FromLosses(_quadratic_losses), Players(rate, 1.0)),
        parameter=0.6,
        states=Players({"u": _SPACE.discriminator}, [_SPACE.generator]),
        velocity=_quadratic_velocity,
        one_of_its_kind=True,
    ),
    GameCase(
        "linear_quadratic_wasserstein_gradient_norm",
        field=_penalized(games.LinearQuadratic(losses.Wasserstein()), regularizers.GradientNorm),
        parameter=_ETA,
        states=_PLANE,
        velocity=damped_linear_quadratic,
        equilibrium=np.array([0.0, 1.0]),
        jacobian=np.array([[0.0, -2 / 3], [2 / 3, -8 * _ETA / 9]]),
        one_of_its_kind=True,
    ),
    GameCase(
        "linear_quadratic_minimax_gradient_norm",
        field=_penalized(games.LinearQuadratic(losses.Minimax()), regularizers.GradientNorm),
        parameter=_ETA,
        states=_PLANE,
        velocity=_gradient_norm_minimax,
        equilibrium=np.array([0.0, 1.0]),
        jacobian=np.array([[-1 / 10, -1 / 3], [1 / 3 - _ETA / 15, -2 * _ETA / 9]]),
    ),
    GameCase(
        # The plain field's discriminator row is that of minimax, and so is the penalty; the generator's slope differs.
        "linear_quadratic_non_saturating_gradient_norm",
        field=_penalized(games.LinearQuadratic(losses.NonSaturating()), regularizers.GradientNorm),
        parameter=_ETA,
        states=_PLANE,
        velocity=lambda y, eta: (
            _gradient_norm_minimax(y, eta)
            - linear_quadratic_velocity(LOSSES["minimax"], y, 1.0)
            + linear_quadratic_velocity(LOSSES["non_saturating"], y, 1.0)
        ),
        equilibrium=np.array([0.0, 1.0]),
        jacobian=np.array([[-1 / 10, -1 / 3], [1 / 3 - _ETA / 15, -2 * _ETA / 9]]),
    ),
    GameCase(
        "dirac_wasserstein_gradient_norm",
        field=_penalized(games.Dirac(losses.Wasserstein()), regularizers.GradientNorm),
        parameter=_ETA,
        states=_DIRAC_PLANE,
        velocity=lambda y, eta: np.array([y[1], -y[0] - 2 * eta * y[1]]),
        equilibrium=np.zeros(2),
        jacobian=np.array([[0.0, 1.0], [-1.0, -2 * _ETA]]),
    ),
    GameCase(
        "dirac_minimax_r1",
        field=_penalized(games.Dirac(losses.Minimax()), regularizers.R1),
        parameter=0.3,
        states=_DIRAC_PLANE,
        velocity=_r1_dirac,
        equilibrium=np.zeros(2),
        jacobian=np.array([[-0.3, 0.5], [-0.5, 0.0]]),
        one_of_its_kind=True,
    ),
    GameCase(
        # |D'(x)|^2 = 4 w^2 x^2, and E x^2 = 1/3.
        "linear_quadratic_minimax_r1",
        field=_penalized(games.LinearQuadratic(losses.Minimax()), regularizers.R1),
        parameter=0.3,
        states=_PLANE,
        velocity=lambda y, g: linear_quadratic_velocity(LOSSES["minimax"], y, 1.0) - np.array([4 * g * y[0] / 3, 0.0]),
        equilibrium=np.array([0.0, 1.0]),
        jacobian=np.array([[-1 / 10 - 4 * 0.3 / 3, -1 / 3], [1 / 3, 0.0]]),
    ),
    GameCase(
        # |D'(a z)|^2 = 4 w^2 a^2 z^2, and E z^2 = 1/3; the generator pays nothing.
        "linear_quadratic_minimax_r2",
        field=_penalized(games.LinearQuadratic(losses.Minimax()), regularizers.R2),
        parameter=0.3,
        states=_PLANE,
        velocity=lambda y, g: (
            linear_quadratic_velocity(LOSSES["minimax"], y, 1.0) - np.array([4 * g * y[0] * y[1] ** 2 / 3, 0.0])
        ),
        equilibrium=np.array([0.0, 1.0]),
        jacobian=np.array([[-1 / 10 - 4 * 0.3 / 3, -1 / 3], [1 / 3, 0.0]]),
        one_of_its_kind=True,
    ),
    GameCase(
        # The slope of D is |psi| everywhere.
        "dirac_wasserstein_wgan_gp",
        field=_penalized(games.Dirac(losses.Wasserstein()), lambda gamma: regularizers.WGANGP(gamma, 0.4)),
        parameter=0.5,
        states=_DIRAC_PLANE,
        velocity=lambda y, g: np.array([y[1] - g * (np.abs(y[0]) - 0.4) * np.sign(y[0]), -y[0]]),
    ),
    GameCase(
        "dirac_minimax_consensus",
        field=_adjusted(games.Dirac(losses.Minimax()), regularizers.Consensus),
        parameter=0.6,
        states=_DIRAC_PLANE,
        velocity=_consensus_dirac,
        equilibrium=np.zeros(2),
        jacobian=np.array([[-0.6 / 4, 0.5], [-0.5, -0.6 / 4]]),
        one_of_its_kind=True,
        has_losses=False,
    ),
    GameCase(
        # All pairs of nodes; J_DD = 2 f''(0) Var(x^2).
        "linear_quadratic_relativistic",
        field=lambda rate: fields.GameField(
            games.LinearQuadratic(losses.Relativistic(losses.NonSaturating())), Players(rate, rate)
        ),
        parameter=0.7,
        states=_PLANE,
        velocity=lambda y, rate: rate * linear_quadratic_velocity_of_pairs(PAIRS["relativistic_non_saturating"], y),
        equilibrium=np.array([0.0, 1.0]),
        jacobian=0.7 * np.array([[-2 / 45, -1 / 3], [1 / 3, 0.0]]),
        one_of_its_kind=True,
    ),
    GameCase(
        # D = 0 at the datum, so that the only pair is paid f(psi theta) as the usual loss pays.
        "dirac_relativistic_r1",
        field=_penalized(games.Dirac(losses.Relativistic(losses.Minimax())), regularizers.R1),
        parameter=0.3,
        states=_DIRAC_PLANE,
        velocity=_r1_dirac,
        equilibrium=np.zeros(2),
        jacobian=np.array([[-0.3, 0.5], [-0.5, 0.0]]),
    ),
    GameCase(
        # The shear [[1, 0], [2 eta s k, 1]] of [[-2/5, -k], [k, 0]] with k = 2/3.
        "linear_quadratic_squared_hellinger_gradient_norm",
        field=_penalized(games.LinearQuadratic(losses.SquaredHellinger()), regularizers.GradientNorm),
        parameter=_ETA,
        states=_PLANE,
        equilibrium=np.array([0.0, 1.0]),
        jacobian=np.array([[-2 / 5, -2 / 3], [2 / 3 - _ETA * 8 / 15, -8 * _ETA / 9]]),
    ),
    *_penalties(),
    *_noisy(),
    *_adjustments(),
    _nested(),
    _gan_case(
        "gan_relativistic_r1",
        _penalized(gan(losses.Relativistic(losses.NonSaturating())), regularizers.R1),
    ),
    _gan_case("gan_non_saturating", lambda rate: fields.GameField(gan(losses.NonSaturating()), Players(rate, rate))),
    _gan_case(
        "gan_minimax_gradient_norm",
        _penalized(gan(losses.Minimax()), regularizers.GradientNorm),
        one_of_its_kind=True,
    ),
    _gan_case("gan_wasserstein_wgan_gp", _penalized(gan(losses.Wasserstein()), regularizers.WGANGP)),
    _gan_case("gan_minimax_r1", _penalized(gan(losses.Minimax()), regularizers.R1)),
    _applied(),
    _gan_case("gan_minimax_three_penalties", _three_penalties),
]


# Updates.


@dataclasses.dataclass(frozen=True, eq=False)
class UpdateCase:
    """An update, made of a step size that may be traced.

    Attributes:
        name: What the test is called.
        make: The update.
        speeds: How much time one step of size 1 stands for, to first order, for each player.
        multipliers: Of one step of size h at an eigenvalue of a field without players; None if it needs them.
    """

    name: str
    make: Callable[[Any], updates.AbstractUpdate]
    speeds: tuple[float, float] = (1.0, 1.0)
    multipliers: Callable[[complex], list[complex]] | None = None

    def __str__(self) -> str:
        return self.name


def _tight(h: Any) -> float:
    """A tolerance that steps of this size can reach in their precision."""
    return 1e-6 if jnp.result_type(h) == jnp.float32 else 1e-10


def _sgd(order: Any) -> Callable[[Any], updates.Optax]:
    return lambda h: updates.Optax(optax.sgd(h), optax.sgd(h), order=order, step_size=h)


UPDATES = [
    UpdateCase("simultaneous", updates.Simultaneous, multipliers=lambda hl: [1 + hl]),
    UpdateCase("alternating", updates.Alternating),
    UpdateCase(
        "alternating_3_2",
        lambda h: updates.Alternating(h, discriminator_steps=3, generator_steps=2),
        speeds=(3.0, 2.0),
    ),
    UpdateCase("extragradient", updates.Extragradient, multipliers=lambda hl: [1 + hl + hl**2]),
    UpdateCase("optimistic", updates.Optimistic, multipliers=lambda hl: list(np.roots([1, -(1 + 2 * hl), hl]))),
    UpdateCase(
        "heavy_ball",
        lambda h: updates.HeavyBall(h, -0.5),
        multipliers=lambda hl: list(np.roots([1, -(1 - 0.5 + hl), -0.5])),
    ),
    UpdateCase(
        "heavy_ball_alternating",
        lambda h: updates.HeavyBall(h, Players(discriminator=-0.5, generator=0.3), alternating=True),
    ),
    UpdateCase("optax_simultaneous", _sgd("simultaneous")),
    UpdateCase("optax_discriminator_first", _sgd("discriminator_first")),
    UpdateCase("optax_generator_first", _sgd("generator_first")),
    UpdateCase("unrolled_optax", lambda h: updates.UnrolledOptax(optax.sgd(h), optax.sgd(h), steps=2, step_size=h)),
    UpdateCase(
        "solver_step_heun",
        lambda h: updates.SolverStep(diffrax.Heun(), h),
        multipliers=lambda hl: [1 + hl + hl**2 / 2],
    ),
    UpdateCase(
        "solver_step_implicit_euler",
        lambda h: updates.SolverStep(diffrax.ImplicitEuler(), h, rtol=_tight(h), atol=_tight(h)),
        multipliers=lambda hl: [1 / (1 - hl)],
    ),
    UpdateCase("frozen_opponent_heun", lambda h: updates.FrozenOpponent(diffrax.Heun(), h)),
    UpdateCase(
        "extragradient_from_the_past",
        updates.ExtragradientFromThePast,
        multipliers=lambda hl: list(np.roots([1, -(1 + 2 * hl), hl])),
    ),
    UpdateCase(
        "nesterov",
        lambda h: updates.Nesterov(h, 0.4),
        speeds=(1.4, 1.4),
        multipliers=lambda hl: list(np.roots([1, -1.4 * (1 + hl), 0.4 * (1 + hl)])),
    ),
    # From the second step on its steps change with the number of steps.
    UpdateCase("anchored_extragradient", updates.AnchoredExtragradient),
    UpdateCase(
        "lookahead",
        lambda h: updates.Lookahead(updates.Simultaneous(h), steps=4, alpha=0.3),
        speeds=(1.2, 1.2),
        multipliers=lambda hl: [0.7 + 0.3 * (1 + hl) ** 4],
    ),
    UpdateCase(
        "averaged",
        lambda h: updates.Averaged(updates.Extragradient(h), rate=0.25),
        speeds=(0.25, 0.25),
        multipliers=lambda hl: [1 + hl + hl**2, 0.75],
    ),
    UpdateCase("averaged_uniformly", lambda h: updates.Averaged(updates.Simultaneous(h)), speeds=(0.5, 0.5)),
    # Needs players; its multipliers have a test of their own.
    UpdateCase("competitive_gradient", updates.CompetitiveGradient),
    UpdateCase("clipped", lambda h: updates.Clipped(updates.Alternating(h), bound=10.0)),
    UpdateCase(
        "cycle",
        lambda h: updates.Cycle([updates.Simultaneous(h), updates.Extragradient(h)], factors=[1.0, -0.5]),
        speeds=(0.5, 0.5),
        multipliers=lambda hl: [(1 + hl) * (1 - hl / 2 + hl**2 / 4)],
    ),
    UpdateCase(
        "cycle_of_one_player_each",
        lambda h: updates.Cycle([updates.Simultaneous(h)] * 2, factors=[Players(2.0, 0.0), Players(0.0, 0.5)]),
        speeds=(2.0, 0.5),
    ),
]
