"""Who meets whom."""

import diffrax

from experiments.benchmarks._rivals import (
    bare_jax,
    heyoka_batch,
    numba_tsit5,
    numbalsoda_loop,
    package,
    plain_diffrax,
    scipy_loop,
    sundials_loop,
    torchdiffeq_batch,
    torchode_batch,
)
from experiments.benchmarks._rivals._rival import Rival

PACKAGE, OWN_FIELD, PLAIN = "gan_ode", "gan_ode, GameField", "Diffrax, jit(vmap)"
PLAIN_OWN_FIELD = "Diffrax, jit(vmap), GameField"
BARE = ("bare JAX, whole", "bare JAX, chunks")
SCIPY = tuple(f"SciPy {method}, loop" for method in ("RK45", "DOP853", "LSODA"))
NUMBA, HEYOKA = "numba, Tsit5 by hand", "heyoka, batches"


def in_jax() -> list[Rival]:
    return [
        package.rival(PACKAGE),
        package.rival(OWN_FIELD, by_hand=False),
        plain_diffrax.rival(PLAIN, diffrax.Tsit5()),
        bare_jax.whole(BARE[0]),
        bare_jax.chunked(BARE[1]),
    ]


def with_own_field() -> list[Rival]:
    return [package.rival(OWN_FIELD, by_hand=False), plain_with_own_field()]


def plain_with_own_field() -> Rival:
    return plain_diffrax.rival(PLAIN_OWN_FIELD, diffrax.Tsit5(), by_hand=False)


def compiled() -> list[Rival]:
    return [numba_tsit5.rival(), numbalsoda_loop.rival(), heyoka_batch.rival()]


def interpreted() -> list[Rival]:
    return [
        torchdiffeq_batch.rival(),
        torchode_batch.rival(),
        *(scipy_loop.rival(method) for method in ("RK45", "DOP853", "LSODA")),
        sundials_loop.rival("Adams"),
    ]


def all_of_them() -> list[Rival]:
    return [*in_jax(), *compiled(), *interpreted()]
