"""Parts of orbits that a panel shows, and how large states are."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from gan_ode import Orbit


def until(duration: float, members: Orbit, member: int) -> Orbit:
    """One orbit of several, up to a time."""
    ts = np.asarray(members.ts[member])
    within = ts <= duration * (1 + 1e-9)
    ys = jax.tree.map(lambda leaf: np.asarray(leaf[member])[within], members.ys)
    return dataclasses.replace(members, ts=ts[within], ys=ys)


def within(orbit: Orbit, xlim: tuple[float, float], ylim: tuple[float, float]) -> Orbit:
    """The orbit until it leaves the panel: what comes back later would stand there unexplained."""
    w, a = np.asarray(orbit.ys.discriminator), np.asarray(orbit.ys.generator)
    left = np.logical_or(*((x < low) | (x > high) for x, (low, high) in ((w, xlim), (a, ylim))))
    end = int(np.argmax(left)) + 1 if left.any() else len(w)
    return dataclasses.replace(orbit, ts=orbit.ts[:end], ys=jax.tree.map(lambda leaf: leaf[:end], orbit.ys))


def size(orbit: Orbit) -> jax.Array:
    """Largest norm of a state on an orbit."""
    return jnp.max(jnp.hypot(orbit.ys.discriminator, orbit.ys.generator))
