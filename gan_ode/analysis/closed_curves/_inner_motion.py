"""What steps do on a closed curve: how fast they go around it, and how fast what is beside it comes nearer.

In NumPy, on numbers that the compiled program has left for the nodes.
"""

import dataclasses

import numpy as np

from ._corrector import Place
from ._fourier import nodes

# Singular values below this part are harmonics that rotate by whole turns: their coefficients are left out.
_RESONANT = 1e-10
# Nodes are spread by how long the steps stay, between these bounds, and by so many times the length, both averaged over
# what about this part of the harmonics can tell: then they take in turns that are slow and those that are fast.
_STAYS, _BY_LENGTH, _FOLLOWED = (0.1, 10.0), 0.5, 0.2
# Steps along which a disturbance is followed where there is more than one direction across, after some to settle.
_STEPS, _SETTLING = 4096, 256


@dataclasses.dataclass(frozen=True)
class Inner:
    """The motion on a curve, and across it.

    Attributes:
        rotation: Turns a step makes on the average, between -1/2 and 1/2.
        multiplier: By how much the slowest disturbance across the curve grows in a step, on the average.
        forward: Whether the steps keep the order of places on the curve, as they must.
        density: How densely places of the curve should have nodes, at the nodes; its mean is 1.
    """

    rotation: float
    multiplier: float
    forward: bool
    density: np.ndarray


def inner_motion(place: Place) -> Inner:
    r"""The rotation number and the mean growth across, from where the nodes are mapped to.

    The map of phases $\varphi \mapsto \varphi + g(\varphi)$ is a rotation of another phase $\varphi + p(\varphi)$ with
    $p(\varphi + g) - p(\varphi) - 2 \pi\rho = -g(\varphi)$: linear equations at the nodes for the Fourier coefficients
    of $p$ and for $\rho$, by least squares, since where $\rho$ is a ratio of small numbers some harmonics have no
    equation. Its derivative $1 + p'$ is how long the steps stay where on the curve, by which logarithms of growth are
    averaged.
    """
    images = np.asarray(place.images, float)
    num = len(images)
    phases = nodes(num)
    turns = images - phases
    middle = np.angle(np.mean(np.exp(1j * turns)))
    turns = middle + np.angle(np.exp(1j * (turns - middle)))
    here, there = _waves(phases), _waves(phases + turns)
    matrix = np.column_stack([there - here, -np.ones(num)])
    found = np.linalg.lstsq(matrix, -turns, rcond=_RESONANT)[0]
    rotation = found[-1] / (2 * np.pi)
    order = np.arange(1, num // 2 + 1)
    cosines, sines = np.split(_waves(phases, order), 2, axis=1)
    density = 1 - sines @ found[: num // 2] + cosines @ found[num // 2 : -1]
    slopes = 1 + _slopes(turns)
    jacobians, velocities = np.asarray(place.jacobians, float), np.asarray(place.velocities, float)
    if jacobians.shape[-1] == 2:
        speeds = np.linalg.norm(velocities, axis=-1)
        # What the determinant leaves for the direction across.
        across = np.abs(np.linalg.det(jacobians)) * speeds[0] / (speeds[1] * np.abs(slopes))
        growth = float(np.mean(density * np.log(np.maximum(across, np.finfo(float).tiny))))
    else:
        growth = _growth_along(turns, jacobians, velocities[0], rotation)
    spread = _spread(density, np.linalg.norm(velocities[0], axis=-1))
    return Inner(rotation, float(np.exp(growth)), bool(np.all(slopes > 0)), spread)


def _spread(stays: np.ndarray, speeds: np.ndarray) -> np.ndarray:
    """How densely to place nodes."""
    num, stays = len(stays), np.clip(stays, *_STAYS)
    density = stays / np.mean(stays) + _BY_LENGTH * speeds / np.mean(speeds)
    coefficients = np.fft.rfft(density / np.mean(density))
    # By a positive kernel, so that it stays positive.
    coefficients *= np.exp(-((np.arange(len(coefficients)) / (_FOLLOWED * (num // 2))) ** 2))
    return np.fft.irfft(coefficients, num)


def _waves(phases: np.ndarray, factors: np.ndarray | float = 1.0) -> np.ndarray:
    """Cosines, and then sines, of the multiples of the phases, times some factors."""
    angles = phases[:, None] * np.arange(1, len(phases) // 2 + 1)
    return np.concatenate([factors * np.cos(angles), factors * np.sin(angles)], axis=1)


def _slopes(rows: np.ndarray) -> np.ndarray:
    """The derivative by the phase of what is known at the nodes."""
    order = np.fft.rfftfreq(len(rows), 1 / len(rows))
    return np.fft.irfft(1j * order * np.fft.rfft(rows), len(rows))


def _growth_along(turns: np.ndarray, jacobians: np.ndarray, velocities: np.ndarray, rotation: float) -> float:
    """The mean logarithm by which a disturbance across the curve grows, followed along steps."""
    num, m = velocities.shape
    table = np.concatenate([turns[:, None], velocities, jacobians.reshape(num, -1)], axis=1)
    coefficients = np.fft.rfft(table, axis=0) / num
    coefficients[1:] *= 2
    order = np.arange(len(coefficients))
    phase, vector = 0.0, np.random.default_rng(0).normal(size=m)
    logarithms = []
    # Over whole turns, as far as there are some.
    for _ in range(_SETTLING + _STEPS):
        numbers = np.real(np.exp(1j * order * phase) @ coefficients)
        along = numbers[1 : m + 1] / np.linalg.norm(numbers[1 : m + 1])
        vector -= (along @ vector) * along
        length = np.linalg.norm(vector)
        logarithms.append(np.log(max(length, np.finfo(float).tiny)))
        vector = numbers[m + 1 :].reshape(m, m) @ (vector / max(length, np.finfo(float).tiny))
        phase += numbers[0]
    share = np.arange(1, _STEPS + 1) / (_STEPS + 1)
    weights = np.exp(-1 / (share * (1 - share)))
    return float(weights @ logarithms[-_STEPS:] / np.sum(weights))
