"""Changes to the config tables as people make them: all or nothing, and refused in words that say how to mend them."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from include.errors import ConfigError, TakenError
from include.store import constraints
from include.store.db import DictConnection, queries

Row = dict[str, Any]

LARGEST_ID = 2**63 - 1
_SQL = {name: text.encode() for name, text in queries("edits").items()}
NO_BUDGET = (
    "there is no budget of this name; an admin adds it first, by `PUT /budgets/NAME`, or by"
    " SQL: insert into budget (name, rate_limit) values (..., '10/second')"
)
_TAKEN = {
    "job_owner_name_key": "this owner has a job with this name already; choose another name, or change that one",
    "connector_owner_name_key": "this owner has a connector with this name already; choose another name, or change that"
    " one",
    "workflow_owner_name_key": "this owner has a workflow with this name already; choose another name, or change that"
    " one",
    "job_owner_external_id_key": "this owner has a job with this external_id already",
    "connector_owner_external_id_key": "this owner has a connector with this external_id already",
    "workflow_owner_external_id_key": "this owner has a workflow with this external_id already",
    "timer_owner_external_id_key": "this owner has a timer with this external_id already",
    "workflow_connector_id_fkey": "workflows read this connector's records; remove them first"
    " (`./millrace workflows list`)",
    "connector_budget_fkey": NO_BUDGET,
}
_UNIQUE = re.compile("(?:job|connector|workflow)_owner_(name|external_id)_key")  # the setting that is taken


@contextmanager
def changing(db: DictConnection) -> Iterator[None]:
    """All changes made inside happen, or none; what the database refuses is a `ConfigError` in its words."""
    try:
        with db.transaction():
            yield
    except psycopg.errors.UniqueViolation as error:
        about = _UNIQUE.fullmatch(error.diag.constraint_name or "")
        raise TakenError(_refusal(db, error), about[1] if about else None) from error
    except (psycopg.IntegrityError, psycopg.DataError) as error:
        raise ConfigError(_refusal(db, error)) from error


def is_id(name_or_id: str) -> bool:
    """Whether people mean an id: all digits."""
    return name_or_id.isascii() and name_or_id.isdigit()


def no_such(noun: str, name_or_id: str, names: Iterable[str]) -> ConfigError:
    """The error for a row that is not there; of the `names` that are, it tells those that were probably meant."""
    listed = f"`./millrace {noun}s list` shows those there are"
    if is_id(name_or_id):
        return ConfigError(f"there is no {noun} with id {name_or_id}; {listed}")
    close = difflib.get_close_matches(name_or_id, list(names), n=3)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else listed
    return ConfigError(f"there is no {noun} named {name_or_id!r}; {hint}")


def find_row(db: DictConnection, noun: str, sql: Mapping[str, bytes], name_or_id: str, owner: str | None = None) -> Row:
    """The row of that id (all digits) or name; `ConfigError` names the rows that were probably meant.

    A name that several owners gave means the one of `owner`; if that one has none, the error lists the ids.
    """
    rows: list[Row] = []
    if not is_id(name_or_id):
        rows = db.execute(sql[f"{noun}_by_name"], {"name": name_or_id}).fetchall()
    elif int(name_or_id) <= LARGEST_ID:
        rows = db.execute(sql[f"{noun}_by_id"], {"id": int(name_or_id)}).fetchall()
    if len(rows) > 1:
        rows = [row for row in rows if row["owner"] == owner] or rows
    if len(rows) > 1:
        raise several(noun, name_or_id, rows)
    if not rows:
        raise no_such(noun, name_or_id, (str(row["name"]) for row in db.execute(sql[f"{noun}_names"])))
    return rows[0]


def several(noun: str, name: str, rows: Iterable[Row]) -> ConfigError:
    """The error for a name that several owners gave."""
    owned = ", ".join(f"{row['id']} ({row['owner']})" for row in rows)
    return ConfigError(f"several owners have a {noun} named {name!r}; write the id: {owned}")


def returned_row(db: DictConnection, noun: str, statement: bytes, parameters: Mapping[str, Any]) -> Row:
    """The row that a statement inserts, changes or locks; `ConfigError` if it is no longer there."""
    row = db.execute(statement, parameters).fetchone()
    if row is None:
        raise ConfigError(f"{noun} {parameters.get('id')} is gone: somebody deleted it just now")
    return row


def document(columns: Mapping[str, Any]) -> Jsonb:
    """Columns as a document that `jsonb_populate_record` turns into a row."""
    return Jsonb(dict(columns), dumps=partial(json.dumps, default=_spell))


def _spell(value: object) -> str:
    """A value as PostgreSQL reads it."""
    if isinstance(value, timedelta):
        return f"{value.days} days {value.seconds} seconds {value.microseconds} microseconds"
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in a row")


def _refusal(db: DictConnection, error: psycopg.Error) -> str:
    message = error.diag.message_primary or str(error)
    if error.diag.constraint_name in _TAKEN:
        return _TAKEN[error.diag.constraint_name]
    if error.diag.constraint_name is not None:
        words = constraints.in_words(error.diag.constraint_name)
        if words is not None:
            return words
        rule = db.execute(_SQL["constraint_rule"], {"name": error.diag.constraint_name}).fetchone()
        message += f", which says {rule['rule']}" if rule is not None else ""
    return f"{message}; {error.diag.message_hint}" if error.diag.message_hint else message
