"""Types that every layer speaks of."""

from collections.abc import Callable
from typing import Any, TypeAlias

from jaxtyping import Array, ArrayLike, Float, PyTree, Real

RealScalarLike: TypeAlias = Real[ArrayLike, ""]
Scalar: TypeAlias = Float[Array, ""]
Args: TypeAlias = PyTree[Any]
State: TypeAlias = PyTree[Any]
Field: TypeAlias = Callable[[Any, Any, Any], Any]
