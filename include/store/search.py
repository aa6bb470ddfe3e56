"""A page of a list: what is wanted, in which order, and after which row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Search:
    """What a list is asked for.

    `owner`: whose rows; None: everybody's. `filters` are by name; one that is not given filters nothing. `after` is the
    `sort_key` and the id of the last row of the page before. Statements that take this have the parameters `owner`,
    `search`, `sort`, `descending`, `after_key`, `after_id`, `limit` and one for each filter.
    """

    owner: str | None
    sort: str
    limit: int
    descending: bool = False
    search: str | None = None
    after: tuple[str, int] | None = None
    filters: Mapping[str, Any] = field(default_factory=dict)

    def parameters(self, *filters: str) -> dict[str, Any]:
        """The parameters of a statement that knows these filters."""
        after_key, after_id = self.after or (None, None)
        return {
            "owner": self.owner,
            "search": self.search,
            "sort": self.sort,
            "descending": self.descending,
            "after_key": after_key,
            "after_id": after_id,
            "limit": self.limit,
            **{name: self.filters.get(name) for name in filters},
        }
