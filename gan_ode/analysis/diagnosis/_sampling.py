"""Sampling error of an eigenvalue: what other minibatches of the same size would make of it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from . import _thresholds
from ._noise import batch_size
from ._products import Jacobian


def error_of_mode(jacobian: Jacobian, vector: np.ndarray, key: PRNGKeyArray) -> float:
    """The standard error of the real part of an eigenvalue, by redrawing the rows of the minibatch.

    To first order an eigenvalue changes by its quotient of Rayleigh in the metric of the scale, for which it need not
    be found again: exact where the unscaled Jacobian is normal, as that of a rotation is.

    Args:
        jacobian: The scaled Jacobian on the minibatch.
        vector: Its eigenvector.
        key: Chooses the rows.

    Returns:
        The error; 0 where the minibatch has no rows, and nothing is drawn; NaN where the scale is no metric.
    """
    rows = batch_size(jacobian.args)
    if rows < 2:
        return 0.0
    if not np.all(jacobian.scale > 0):
        return float("nan")
    parts = [part for part in (np.real(vector), np.imag(vector)) if np.any(part)]
    jacobian.budget.require(_thresholds.PRODUCT * len(parts) * _thresholds.NUM_PARTS)
    quotients = []
    for own in jax.random.split(key, _thresholds.NUM_PARTS):
        drawn = tuple(
            jnp.asarray(part)[jax.random.randint(each, (rows,), 0, rows)]
            for each, part in zip(jax.random.split(own, len(jacobian.args)), jacobian.args, strict=True)
        )
        other = dataclasses.replace(jacobian, args=drawn)
        # The real part of the quotient is the sum over both parts of the vector.
        quotients.append(sum(part @ (other(part) / jacobian.scale) for part in parts))
    return float(np.std(quotients, ddof=1) / sum(part @ (part / jacobian.scale) for part in parts))
