"""Whether what an object says of its methods is said of those that it has.

A class may say something of a method, which then is trusted: that its losses are zero-sum, that there is a cheaper way
to their gradients. A class made of it that writes the method anew inherits the word, which may be true no longer.
"""

import math
from typing import Any


def says(instance: Any, claim: str, *methods: str, otherwise: Any) -> Any:
    """What an object has under the name `claim`, if that is said of its `methods`; `otherwise` if not, or in doubt.

    It is, if no class writes one of the methods that is nearer to the object than the class that makes the claim. What
    an object was given by itself, in the place of its class, is said of methods of which there is only one version.
    """
    if not hasattr(instance, claim):
        return otherwise
    return getattr(instance, claim) if all(_is_of(instance, claim, method) for method in methods) else otherwise


def _is_of(instance: Any, claim: str, method: str) -> bool:
    if method in getattr(instance, "__dict__", {}):
        return claim in instance.__dict__
    said, written = _writers(instance, claim), _writers(instance, method)
    if not said and claim in getattr(instance, "__dict__", {}):
        return len(written) <= 1
    # What neither has is handed on by `__getattr__`, from one object that has both.
    return min(said, default=math.inf) <= min(written, default=math.inf)


def _writers(instance: Any, name: str) -> list[int]:
    """Which classes write it, the nearest first; not those that only ask for it."""
    found = [(i, vars(cls)[name]) for i, cls in enumerate(type(instance).__mro__) if name in vars(cls)]
    return [i for i, each in found if not getattr(each, "__isabstractmethod__", False)]
