"""What a statement gave, as JSON that fits into the ledger: how many rows, and the first of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import Any

from pydantic import JsonValue, TypeAdapter

from include.actions._fields import to_json
from include.actions._sql_errors import is_unreadable

OUTPUT_BYTES = 60 * 1024
VALUE_CHARACTERS = 1_000

_WRITING = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE"})
_DURATION = TypeAdapter(timedelta)


@dataclass
class Room:
    """How many bytes of JSON are left for the rows of all statements together."""

    left: int = OUTPUT_BYTES

    def takes(self, value: JsonValue) -> bool:
        """Whether there is room for a value; once there was none, there is none for smaller ones either."""
        self.left -= len(to_json(value).encode()) + 1
        return self.left >= 0


def result(cursor: Any, most: int, room: Room) -> dict[str, Any]:
    """`changed` or `read` is a number of rows; `columns` and `rows` are there where the statement returned rows.

    `truncated` says that rows are missing because there was no room; `unreadable`, that the driver could not make
    anything of a value, such as a date after the year 9999.
    """
    count = cursor.rowcount
    if cursor.description is None:
        return {"changed": max(count, 0)}
    verb = (getattr(cursor, "statusmessage", None) or "").partition(" ")[0]
    first = _first_rows(cursor, most, room)
    return {"changed" if verb in _WRITING else "read": len(first["rows"]) if count < 0 else count, **first}


def _first_rows(cursor: Any, most: int, room: Room) -> dict[str, Any]:
    columns: list[JsonValue] = [shown(str(column[0])) for column in cursor.description]
    if not room.takes(columns):
        return {"rows": [], "truncated": True}
    rows: list[JsonValue] = []
    while len(rows) < most:
        try:
            row = cursor.fetchone()
        except Exception as error:
            if not is_unreadable(error):
                raise
            return {"columns": columns, "rows": rows, "unreadable": shown(str(error))}
        if row is None:
            break
        values: list[JsonValue] = [shown(value) for value in row]
        if not room.takes(values):
            return {"columns": columns, "rows": rows, "truncated": True}
        rows.append(values)
    return {"columns": columns, "rows": rows}


def shown(value: Any) -> JsonValue:
    """A value of a row as JSON: dates and intervals in ISO 8601, numbers that JSON has no form for as text, bytes in
    hexadecimal, everything else as its text; at most `VALUE_CHARACTERS` of it, with `…` at the end of what is cut.
    """
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _capped(bytes(value[:VALUE_CHARACTERS]).hex())
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(_DURATION.dump_python(value, mode="json"))
    if isinstance(value, (dict, list, tuple)):
        nested = _nested(value)
        text = to_json(nested)
        return nested if len(text) <= VALUE_CHARACTERS else _capped(text)
    return _capped(str(value))


def _nested(value: Any) -> JsonValue:
    if isinstance(value, dict):
        return {_capped(str(name)): _nested(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_nested(item) for item in value]
    return shown(value)


def _capped(text: str) -> str:
    """NUL, which PostgreSQL cannot store, and halves of a surrogate pair, which are no characters, are replaced."""
    kept = text[:VALUE_CHARACTERS].replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    return kept if len(text) <= VALUE_CHARACTERS else f"{kept}…"
