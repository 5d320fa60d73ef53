r"""What the rivals solve: ensembles of the two-parameter GAN with data on [-c, c].

With $\phi(s) = \int_0^1 x^2 \sigma(s x^2)\,dx$ the field of the usual loss is
$w' = c^2 \phi(-c^2 w) - a^2 \phi(w a^2)$, $a' = 2 w a \phi(w a^2)$, and that of the Wasserstein loss
$w' = (c^2 - a^2)/3$, $a' = 2 w a/3$.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class System:
    """One field.

    Args:
        name: Of the loss, in tables.
        num_nodes: Gauss-Legendre nodes on [-1, 1]; 0 for the Wasserstein loss, which has a closed form.
        half_width: Half-width c of the data.
    """

    name: str
    num_nodes: int = 0
    half_width: float = 1.0

    @property
    def quadrature(self) -> tuple[np.ndarray, np.ndarray]:
        """Squares of the nodes above 0, since the integrands are even, and weights times squares."""
        nodes, weights = np.polynomial.legendre.leggauss(self.num_nodes)
        squares = nodes[nodes > 0] ** 2
        return squares, weights[nodes > 0] * squares


WASSERSTEIN = System("W")
# By 12 nodes phi is right to 2e-9 for |s| < 2.6, which no orbit of `starts` leaves; 6 nodes by symmetry.
USUAL = System("JS", num_nodes=12)
# As many nodes as the package takes by default.
BY_DEFAULT = System("JS, 40 nodes", num_nodes=40)
# |s| comes to some 6 here: 24 nodes are right to 2e-12.
STIFF = System("JS, c = 10", num_nodes=24, half_width=10.0)


@dataclasses.dataclass(frozen=True)
class Problem:
    """An ensemble to follow.

    Args:
        system: The field.
        starts: States (w, a) at the first time, shape (members, 2).
        ts: Times to save at, the first one excepted; two of them: only the end is wanted.
    """

    system: System
    starts: np.ndarray
    ts: np.ndarray

    @property
    def size(self) -> int:
        return len(self.starts)

    @property
    def ends_only(self) -> bool:
        return len(self.ts) == 2

    def part(self, size: int) -> "Problem":
        """The first of the starts: they are random, so that any part is a random part."""
        return dataclasses.replace(self, starts=self.starts[:size])


def starts(size: int) -> np.ndarray:
    """The first of a fixed sequence of random starts, -1 < w < 1 and 1/2 < a < 3/2."""
    return np.random.default_rng(0).uniform((-1.0, 0.5), (1.0, 1.5), (size, 2))


def near_equilibrium(size: int, half_width: float) -> np.ndarray:
    """Random starts about the equilibrium of the scaled system, |w| c^2 < 5 and within a tenth of a."""
    low, high = (-5 / half_width**2, 0.9 * half_width), (5 / half_width**2, 1.1 * half_width)
    return np.random.default_rng(0).uniform(low, high, (size, 2))
