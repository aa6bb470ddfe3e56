"""When a component that lives and says nothing is given up, and started again.

One that has been silent for minutes has lost what it had: its shifts are elsewhere, its leases have run out, its
tasks are adopted; should it wake up, it finds all that it would send void. So ending it endangers nothing, and without
that one that is deadlocked would be out for good. But not while all are silent: then it is the database that takes no
signs, or the machine that sleeps, and ending them would only add to it.
"""

from __future__ import annotations

from collections.abc import Mapping

from include.local.signs import State

GIVEN_UP_SECONDS = 270.0  # of being seen `unhealthy`, which begins half a minute after the last sign


class Patience:
    """Since when each component has been silent, on a clock that stands still while the machine sleeps."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def exhausted(self, states: Mapping[str, State], now: float) -> list[str]:
        """Who is to be started again, by what is seen at `now`, in seconds on a clock that nobody sets."""
        if "healthy" not in states.values():
            self._since.clear()
            return []
        silent = [name for name, state in states.items() if state == "unhealthy"]
        self._since = {name: self._since.get(name, now) for name in silent}
        return [name for name in silent if now - self._since[name] >= GIVEN_UP_SECONDS]
