"""What a module must be to be a player: a function of its parameters and of one sample."""

from typing import Any

import equinox as eqx
import jax

_PARAMETERS_ALONE = "A field is a function of the players' parameters and of the minibatch"
_SPECIAL = (eqx.nn.BatchNorm, eqx.nn.SpectralNorm, eqx.nn.Dropout, eqx.nn.StateIndex)


def check(name: str, module: Any) -> None:
    """Refuses what cannot be called or has no parameters, and layers that couple samples, carry something from call to
    call, or draw random numbers.

    Raises:
        ValueError: If there is one; the text names it, says why, and what to take instead.
    """
    if isinstance(module, type):
        raise ValueError(f"`{name}` must be an instance, but is the class {module.__name__}: make one, with its key.")
    if not callable(module):
        raise ValueError(f"`{name}` must be callable, on one sample, but is {module!r}: give an Equinox module.")
    if not any(map(eqx.is_inexact_array, jax.tree.leaves(module))):
        raise ValueError(
            f"`{name}` must be a pytree with floating-point arrays in it, which are its parameters, but in this "
            f"{type(module).__name__} JAX sees none. Of Flax's, Haiku's and PyTorch's modules, and of functions that "
            "hold arrays, make a function of parameters and a sample for `games.from_apply`; or take an Equinox module."
        )
    for path, layer in jax.tree_util.tree_flatten_with_path(module, is_leaf=lambda x: isinstance(x, _SPECIAL))[0]:
        fault = _fault(layer)
        if fault is not None:
            kind = type(layer).__name__
            raise ValueError(f"`{name}{jax.tree_util.keystr(path)}` must not be of `equinox.nn.{kind}`: {fault}")


def _fault(layer: Any) -> str | None:
    match layer:
        case eqx.nn.BatchNorm():
            return (
                "its statistics couple the samples of a minibatch, so that a sample has no score of its own, the "
                "losses are no means over samples, and the field changes with the size of the minibatch; and it "
                "carries running averages that no player chooses. Normalize within a sample, by "
                "`equinox.nn.GroupNorm` or `LayerNorm`, or the weights, by `gan_ode.networks.SpectralNorm`."
            )
        case eqx.nn.SpectralNorm():
            return (
                f"it carries the vectors of a power iteration from call to call. {_PARAMETERS_ALONE}: take "
                "`gan_ode.networks.SpectralNorm(layer)`, which computes the norm exactly at every evaluation."
            )
        case eqx.nn.StateIndex():
            return (
                f"the layer that holds it carries state from call to call. {_PARAMETERS_ALONE}: take a layer without "
                "`equinox.nn.State`, or put what it carries among the parameters."
            )
        case eqx.nn.Dropout() if not layer.inference and layer.p != 0:
            return (
                f"it draws random numbers at every call. {_PARAMETERS_ALONE}, and one that draws breaks adaptive "
                "steps: switch it off by `equinox.nn.inference_mode(module)`, or leave it out."
            )
    return None
