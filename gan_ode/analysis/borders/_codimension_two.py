"""Points on a curve of events where one more thing happens: numbers that change their sign there, and where they do."""

import itertools
from collections.abc import Callable

import numpy as np

from ._seen import Seen
from ._system import eigenvalue, EventSystem

# A number that passes zero, and does not jump over it at a pole, is this small there, beside what it is on both sides.
_SMALL = 1e-5
# A coefficient counts as zero below this part of the terms that it is the sum of.
_ROUNDING = 1e-11
# What of a pair is real up to rounding, beside the largest eigenvalue.
_REAL = 1e-6
# Shares of an interval are found to this, by at most so many steps of the secant method that keeps its bracket.
_FINEST, _MOST_STEPS = 1e-13, 80
# Of so many eigenvalues products are not formed any more.
_MOST_EIGENVALUES = 60

RESONANCES = {"1:1": 1.0, "1:2": -1.0, "1:3": -0.5, "1:4": 0.0}


def numbers(system: EventSystem, seen: Seen) -> dict[str, float]:
    """By the name of the degenerate event, the number that changes its sign there.

    - fold: the quadratic coefficient (cusp); the product of both null vectors (a double eigenvalue: Bogdanov-Takens, of
      maps the resonance 1:1);
    - Hopf: the square of the frequency (Bogdanov-Takens), the first Lyapunov coefficient (generalized Hopf);
    - flip: the cubic coefficient, the product of both vectors (1:2);
    - Neimark-Sacker: the cosine of the angle beside that of a root of unity of degree 1 to 4, the cubic coefficient
      (Chenciner);
    - all: a further eigenvalue at zero, a further multiplier at 1 or -1, a further pair.
    """
    is_map = system.plane.is_map
    own = _own(system, seen, is_map)
    return own | _of_others(system, seen, is_map)


def _own(system: EventSystem, seen: Seen, is_map: bool) -> dict[str, float]:
    pair, cube, overlap = float(seen.pair), float(seen.cube), float(seen.overlap)
    # A coefficient that is zero all along changes its sign by rounding alone.
    cube = 0.0 if abs(cube) <= _ROUNDING * float(seen.size) else cube
    if system.kind == "fold":
        return {"cusp": float(seen.bend), "1:1" if is_map else "bogdanov-takens": overlap}
    if system.kind == "flip":
        return {"generalized flip": cube, "1:2": overlap}
    if system.kind == "hopf":
        return {"bogdanov-takens": pair / float(system.pace) ** 2, "generalized hopf": cube}
    return {name: pair - cosine for name, cosine in RESONANCES.items()} | {"chenciner": cube}


def _of_others(system: EventSystem, seen: Seen, is_map: bool) -> dict[str, float]:
    others = others_of(system, seen)
    if not 0 < len(others) <= _MOST_EIGENVALUES:
        return {}
    # Not by the largest of the others: where there is one alone, that would jump from -1 to 1.
    scale = 1.0 if is_map else float(system.pace)
    word, found = system.kind, {}
    if word != "fold":
        # What crosses zero beside a flip makes the same point as what crosses -1 beside a fold.
        found["fold-" + word] = float(np.real(np.prod(others / scale)))
    if is_map and word != "flip":
        name = "fold-flip" if word == "fold" else "flip-neimark-sacker"
        found[name] = float(np.real(np.prod(others + 2)))
    if is_map:
        sums = [(a + 1) * (b + 1) - 1 for a, b in itertools.combinations(others, 2)]
    else:
        sums = [(a + b) / scale for a, b in itertools.combinations(others, 2)]
    if sums:
        second = "neimark-sacker" if is_map else "hopf"
        name = f"{second}-{second}" if word == second else f"{word}-{second}"
        found[name] = float(np.real(np.prod(sums)))
    return found


def others_of(system: EventSystem, seen: Seen) -> np.ndarray:
    """The eigenvalues of the residual but for those that make the event."""
    left = list(np.asarray(seen.eigenvalues))
    for critical in _critical(system, seen):
        if left:
            left.pop(int(np.argmin(np.abs(np.array(left) - critical))))
    return np.array(left)


def _critical(system: EventSystem, seen: Seen) -> list[complex]:
    pair = complex(seen.pair)
    if system.kind == "hopf":
        return [1j * np.sqrt(pair), -1j * np.sqrt(pair)]
    if system.kind == "neimark-sacker":
        turn = np.sqrt(pair**2 - 1)
        return [pair - 1 + turn, pair - 1 - turn]
    return [complex(eigenvalue(system.kind))]


def share_of_zero(number: Callable[[float], float], at_start: float, at_end: float) -> float | None:
    """Where a number passes zero between 0 and 1, by the Illinois method; None where it jumps or has a pole."""
    low, high, f_low, f_high = 0.0, 1.0, at_start, at_end
    share, value, side = 0.0, at_start, 0
    for _ in range(_MOST_STEPS):
        share = (low * f_high - high * f_low) / (f_high - f_low)
        value = number(share)
        if not np.isfinite(value):
            return None
        if value * f_high > 0:
            high, f_high = share, value
            f_low = f_low / 2 if side == -1 else f_low
            side = -1
        else:
            low, f_low = share, value
            f_high = f_high / 2 if side == 1 else f_high
            side = 1
        if value == 0 or high - low <= _FINEST or f_high == f_low:
            break
    return share if abs(value) <= _SMALL * max(abs(at_start), abs(at_end)) else None


def is_of_its_kind(system: EventSystem, name: str, seen: Seen) -> bool:
    """Whether a further pair is one: real eigenvalues with the sum zero, or the product 1, are none."""
    second = "neimark-sacker" if system.plane.is_map else "hopf"
    if name not in ("fold-" + second, "flip-" + second, f"{second}-{second}"):
        return True
    if system.kind == second and name != f"{second}-{second}":
        return True
    others = others_of(system, seen)
    scale = np.max(np.abs(np.asarray(seen.eigenvalues)))
    distance = np.abs(np.abs(others + 1) - 1) if system.plane.is_map else np.abs(np.real(others))
    distance = np.where(np.abs(np.imag(others)) > _REAL * scale, distance, np.inf)
    return bool(
        np.min(distance) <= _REAL * max(scale, 1.0) if system.plane.is_map else np.min(distance) <= _REAL * scale
    )
