"""What JAX compiles, and what it finds in its cache: a count for the record of a run."""

import dataclasses
from typing import Any

_COMPILED = "/jax/core/compile/backend_compile_duration"
_FOUND = "/jax/compilation_cache/cache_hits"


@dataclasses.dataclass
class Compilations:
    """Counted from `watch` on.

    Attributes:
        programs: How many programs were needed.
        seconds: How long it took to compile them, or to read them from the cache.
        cached: How many of them were in the cache.
    """

    programs: int = 0
    seconds: float = 0.0
    cached: int = 0

    def watch(self) -> "Compilations":
        import jax

        jax.monitoring.register_event_duration_secs_listener(self._on_duration)
        jax.monitoring.register_event_listener(self._on_event)
        return self

    def _on_duration(self, event: str, duration_secs: float, **_: Any) -> None:
        if event == _COMPILED:
            self.programs += 1
            self.seconds += duration_secs

    def _on_event(self, event: str, **_: Any) -> None:
        self.cached += event == _FOUND
