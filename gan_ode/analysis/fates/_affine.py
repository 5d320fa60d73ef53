"""Fields that are linear but for a constant: there eigenvalues say everything."""

import numpy as np

from ._follower import Follower
from ._rest import Rest
from ._verdict import Fate

# Second differences are this small, against the velocities that they are made of.
_LINEAR = {4: 1e-4, 8: 1e-11}
# A ratio of frequencies is taken for one of whole numbers up to this, if it is so to this.
_LARGEST_WHOLE, _WHOLE = 12, 1e-9
_ABSENT = 1e-15


def is_affine(follower: Follower) -> bool:
    """Whether second differences vanish at several distances."""
    n, draw = follower.size, np.random.default_rng(5)
    base = np.maximum(follower.scale, 1e-6 * np.max(follower.scale))
    for factor in (0.1, 1.0, 10.0, 1e3):
        one, other = (factor * base * draw.standard_normal(n) for _ in range(2))
        center = base * draw.standard_normal(n)
        values = follower.velocities(np.stack([center + one + other, center + one, center + other, center]))
        second = values[0] - values[1] - values[2] + values[3]
        if not np.max(np.abs(second)) <= _LINEAR[follower.itemsize] * np.max(np.abs(values)):
            return False
    return True


def judge_affine(follower: Follower, y0: np.ndarray, rest: Rest | None) -> Fate | None:
    """The fate by the modes of which the start is made; None where rounding does not tell it."""
    if rest is None or follower.size > 200 or not is_affine(follower):
        return None
    values, vectors = np.linalg.eig(rest.matrix)
    if np.linalg.cond(vectors) > 1e6:
        return None
    weights = np.linalg.solve(vectors, (y0 - rest.y).astype(complex))
    sizes = np.abs(weights) * np.linalg.norm(vectors, axis=0)
    # What rounding leaves of a mode that the start has none of; it matters only where the mode does not decay.
    unsure = (sizes > 0) & (sizes <= _ABSENT * np.linalg.cond(vectors) * np.max(sizes))
    active = sizes > 0
    noise = 64 * follower.rounding * np.linalg.norm(rest.matrix, 2) * np.linalg.cond(vectors)
    if np.any(unsure & (np.real(values) > -noise) & (np.abs(values) > noise)):
        return None
    # A mode of eigenvalue 0 is constant.
    active = active & (np.abs(values) > noise)
    if not np.any(active):
        return None
    real, imag = np.real(values), np.abs(np.imag(values))
    turning = imag[active]
    decays, goes_round = np.any(real[active] < -noise), np.any((np.abs(real) <= noise) & active & (imag > noise))
    if decays and goes_round and np.max(real[active]) <= noise:
        return _of_frequencies(turning[np.abs(real[active]) <= noise], noise)
    if np.max(real[active]) > noise:
        rate = float(np.max(real[active]))
        numbers = {"rate": rate, "rate_error": float(noise) + 1e-12 * rate}
        return Fate("diverges", f"the field is linear, and a mode of the start grows at the rate {rate:.6g}", numbers)
    if np.all(real[active] < -noise):
        rest_stays = " onto a continuum of equilibria" if np.any(np.abs(values) <= noise) else ""
        return Fate("converges", f"the field is linear, and every mode of the start that moves decays{rest_stays}")
    if np.all(np.abs(real[active]) <= noise) and np.all(turning > noise):
        return _of_frequencies(turning, noise)
    return None


def _of_frequencies(turning: np.ndarray, noise: float) -> Fate:
    slowest = float(np.min(turning[turning > noise]))
    ratios = np.unique(np.round(turning[turning > noise] / slowest, 12))
    for whole in range(1, _LARGEST_WHOLE + 1):
        if np.all(np.abs(whole * ratios - np.round(whole * ratios)) < _WHOLE * whole):
            period = 2 * np.pi * whole / slowest
            numbers = {"period": period, "period_error": float(noise) * period / slowest + 1e-9 * period}
            reason = f"the field is linear, and the modes of the start turn with one period {period:.8g}"
            return Fate("cycles", reason, numbers)
    return Fate("wanders", "a torus: the field is linear, and the modes of the start turn with several frequencies")
