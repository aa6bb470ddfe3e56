"""The source, as the scenarios hold it."""

from __future__ import annotations

from bench.pulls import Asked, parse_asked
from bench.server_process import ServerProcess


class Source(ServerProcess):
    """A running source: `items` records at `/items`, and feeds that grow by `grow` when they are read to the end.

    A feed that has grown does not do so again for `calm` seconds.
    """

    def __init__(self, *, items: int = 0, page: int = 500, grow: int = 20, calm: float = 0.5) -> None:
        arguments = {"--items": items, "--limit": page, "--grow": grow, "--calm": calm}
        super().__init__("bench.source", *(str(part) for pair in arguments.items() for part in pair))
        self._asked: list[Asked] = []

    def asked(self) -> list[Asked]:
        """Every request for records so far, in the order of arrival."""
        self._asked += parse_asked(self.news())
        return list(self._asked)
