"""Who meets whom."""

import diffrax

from experiments.benchmarks._rivals import (
    _jax_field,
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

PACKAGE, PLAIN = "gan_ode", "Diffrax, jit(vmap)"
OWN_FIELD, PLAIN_OWN_FIELD = f"{PACKAGE}, GameField", f"{PLAIN}, GameField"
ARRAYS, PLAIN_ARRAYS = f"{PACKAGE}, arrays", f"{PLAIN}, arrays"
BARE = ("bare JAX, whole", "bare JAX, chunks")
SCIPY = tuple(f"SciPy {method}, loop" for method in ("RK45", "DOP853", "LSODA"))
NUMBA, HEYOKA = "numba, Tsit5 by hand", "heyoka, batches"


def in_jax() -> list[Rival]:
    return [
        package.rival(PACKAGE),
        package.rival(OWN_FIELD, _jax_field.GAME),
        plain_diffrax.rival(PLAIN, diffrax.Tsit5()),
        bare_jax.whole(BARE[0]),
        bare_jax.chunked(BARE[1]),
    ]


def in_other_ways() -> list[Rival]:
    """The package and plain Diffrax with fields that are not written for speed."""
    return [
        package.rival(OWN_FIELD, _jax_field.GAME),
        plain_diffrax.rival(PLAIN_OWN_FIELD, diffrax.Tsit5(), _jax_field.GAME),
        package.rival(ARRAYS, _jax_field.ARRAYS),
        plain_diffrax.rival(PLAIN_ARRAYS, diffrax.Tsit5(), _jax_field.ARRAYS),
    ]


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
