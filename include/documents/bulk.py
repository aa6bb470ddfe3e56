"""Many rows at once: all of them, or none. Called inside `store.edits.changing`, as `edits` is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from include.documents import edits, permits
from include.documents.caller import Caller
from include.documents.invalid import InvalidDocumentError
from include.documents.table import D, Table
from include.errors import ConfigError, RefusedError, TakenError
from include.store import access
from include.store.db import DictConnection
from include.store.edits import Row, changing


def create(db: DictConnection, table: Table[D], caller: Caller, wanted: Sequence[D]) -> list[int]:
    """Add rows, and return their ids, in their order; what is refused is said with the place of the row (`jobs.3`)."""
    caller.check_writes()
    owners = {getattr(settings, "owner", None) or caller.name for settings in wanted}
    for owner in sorted(owners) if caller.is_admin else [caller.name]:  # in one order, or two would wait for each other
        access.lock_owner(db, owner)
    ids: list[int] = []
    for number, settings in enumerate(wanted):
        with _at(f"{table.noun}s.{number}"), changing(db):
            ids.append(edits.add(db, table, caller, settings).row["id"])
    permits.check_quota(db, caller, caller.name)
    return ids


def switch(db: DictConnection, table: Table[D], caller: Caller, ids: Sequence[int], columns: Mapping[str, Any]) -> None:
    """Put rows on duty, or take them off."""
    edits.switch_all(db, table, caller, _locked(db, table, caller, ids), columns)


def remove(db: DictConnection, table: Table[D], caller: Caller, ids: Sequence[int]) -> None:
    """Delete rows."""
    for row in _locked(db, table, caller, ids):
        edits.remove(db, table, caller, row)


def _locked(db: DictConnection, table: Table[D], caller: Caller, ids: Sequence[int]) -> list[Row]:
    """The rows of these ids, locked in their order; `RefusedError` (404) names those that are not there."""
    rows = {row_id: table.get(db, row_id, caller.sees, lock=True) for row_id in sorted(set(ids))}
    if missing := [str(row_id) for row_id, row in rows.items() if row is None]:
        raise RefusedError(404, f"there is no {table.noun} with id {', '.join(missing)}")
    return [row for row in rows.values() if row is not None]


@contextmanager
def _at(place: str) -> Iterator[None]:
    """What is refused in here is said of this part of the body."""
    try:
        yield
    except TakenError as error:
        raise TakenError(f"body.{place}: {error}") from error
    except InvalidDocumentError as error:
        raise InvalidDocumentError([(f"{place}.{inner}", said) for inner, said in error.problems]) from error
    except ConfigError as error:
        raise InvalidDocumentError([(place, str(error))]) from error
    except RefusedError as error:
        raise RefusedError(error.status, f"body.{place}: {error}") from error
