"""What is the same of every table that is exchanged as documents: how its rows are found, judged and written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from include.documents.caller import Caller
from include.documents.fields import Document
from include.store.db import DictConnection
from include.store.edits import Row

D = TypeVar("D", bound=Document)


class Get(Protocol):
    """Find a row by its id, among those of `owner` (None: all); with `lock`, nobody changes it until the transaction
    ends. None if there is none."""

    def __call__(self, db: DictConnection, row_id: int, owner: str | None, *, lock: bool = False) -> Row | None: ...


@dataclass(frozen=True, slots=True)
class Table(Generic[D]):
    """One table.

    `columns` makes columns of settings, `judge` raises `ConfigError` if a row with these columns could not run, and
    `connections` names the Airflow connections that it would use; `stored` is the row as it is, None for a new one.
    """

    noun: str
    settings: type[D]
    document: Callable[[Row, datetime], dict[str, Any]]
    get: Get
    by_external_id: Callable[[DictConnection, str, str], Row | None]
    insert: Callable[[DictConnection, Mapping[str, Any]], Row]
    change: Callable[[DictConnection, int, Mapping[str, Any]], Row]
    remove: Callable[[DictConnection, Sequence[int]], list[Row]]
    columns: Callable[[DictConnection, Caller, D, Row | None], dict[str, Any]]
    judge: Callable[[Mapping[str, Any], Row | None], None]
    connections: Callable[[Mapping[str, Any]], frozenset[str]]
    code: str = "payload"

    def settings_of(self, row: Row) -> dict[str, Any]:
        """What a person has set in a row, as the settings take it."""
        return {name: row[name] for name in self.settings.model_fields}
