from typing import Any

import diffrax
import equinox as eqx

from .._types import Field
from ._diffusion import AbstractDiffusion


class SDE(eqx.Module):
    """A stochastic differential equation of Itô: a drift and a diffusion.

    Attributes:
        drift: A field.
        diffusion: What multiplies the Brownian motion.
    """

    drift: Field
    diffusion: AbstractDiffusion

    def terms(self, path: diffrax.AbstractPath) -> diffrax.MultiTerm:
        """As Diffrax takes it: `MultiTerm(ODETerm(drift), ControlTerm(diffusion, path))`.

        Args:
            path: A Brownian path of the shape `diffusion.increments(y, args)`.
        """
        drift: Any = self.drift
        return diffrax.MultiTerm(diffrax.ODETerm(drift), diffrax.ControlTerm(self.diffusion, path))
