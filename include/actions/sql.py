"""Run SQL statements on the database of an Airflow connection, on a worker: all of them in one transaction.

It is committed at the end, and rolled back if anything goes wrong; as far as the database has transactions. The result
of each statement is read as a whole by the driver, so limit what may be large. In PostgreSQL the server itself keeps to
`read_only`, and ends what takes longer than the row's timeout; elsewhere it is cancelled, if the driver can do that.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from include import model
from include.actions._fields import to_json
from include.actions._sql_errors import explained
from include.actions._sql_rows import Room, result
from include.actions._sql_text import statements
from include.errors import ConfigError, MillraceError, RetryableError
from include.model import Call, Connection, Output

_CANCEL_AGAIN_SECONDS = 1.0

_MOST_CHARACTERS = 65_536


def _split(value: object) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError("write a text, or a list of texts")
    if sum(map(len, texts)) > _MOST_CHARACTERS:
        raise ValueError(f"write at most {_MOST_CHARACTERS} characters; more belongs into a function of the database")
    return statements(value if isinstance(value, str) else texts)


def _check_parameters(value: object) -> object:
    if value is not None and not isinstance(value, (dict, list)):
        raise ValueError("write an object or a list")
    return value


Statements = Annotated[list[str], BeforeValidator(_split, json_schema_input_type=str | list[str])]
Parameters = Annotated[dict[str, JsonValue] | list[JsonValue] | None, BeforeValidator(_check_parameters)]


# Run as it is written: values are parameters.
CODE_FIELD = "sql"
CONF_FIELDS = ("parameters",)


class Config(model.Config):
    conn_id: str = Field(description="The Airflow connection of the database.")
    sql: Statements = Field(
        description="Statements, with semicolons between them; or a list, each item of which is one statement."
    )
    parameters: Parameters = Field(
        default=None,
        description="Values for placeholders in the driver's style (PostgreSQL: %(name)s, or %s for a list), handed "
        "over beside the text, so that nothing in them is ever SQL; an object as its JSON text. Named ones are there "
        "for every statement, a list is for a single one. With parameters, a % that is no placeholder is written %%.",
    )
    read_only: bool = Field(default=False, description="Have the database refuse to change anything; PostgreSQL only.")
    rows: int = Field(default=20, ge=0, le=1_000, description="How many first rows of each result are kept.")

    @model_validator(mode="after")
    def _list_for_one(self) -> Config:
        if isinstance(self.parameters, list) and len(self.sql) > 1:
            raise ValueError("write parameters as an object: a list is for a single statement")
        return self


def act(call: Call[Config]) -> Output:
    """Return how many rows were changed and read, and the first ones of each statement that returned any.

    What is wrong with a statement is a `PermanentError` that says which; a lost connection, a deadlock, a time-out is a
    `RetryableError`, whose outcome is unknown if it happened at COMMIT.
    """
    deadline = time.monotonic() + call.timeout_seconds
    named = call.connection
    if named is None or call.open_database is None:
        raise ConfigError("kind 'sql' needs Airflow, which has the connections")
    if call.config.read_only and not _is_postgres(named):
        raise ConfigError(f"read_only works with connections of type postgres, and {named.id!r} is {named.type}")
    call.sent["sql"] = ";\n".join(call.config.sql)
    with _explaining(call, named, "connecting"):
        connection = call.open_database(named)
    try:
        with _cancelled_at(deadline, connection):
            return _Transaction(call, named, connection, deadline).run()
    except BaseException:
        with suppress(Exception):
            connection.rollback()
        raise
    finally:
        with suppress(Exception):
            connection.close()


class _Transaction:
    """The one transaction of an attempt; every step checks whether there is time for it."""

    def __init__(self, call: Call[Config], named: Connection, connection: Any, deadline: float) -> None:
        self._call = call
        self._named = named
        self._connection = connection
        self._deadline = deadline

    def run(self) -> Output:
        found = self._call.config.sql
        parameters = _adapted(self._call.config.parameters)
        room = Room()
        results: list[dict[str, JsonValue]] = []
        with self._step("the transaction's settings"):
            cursor = self._connection.cursor()
            if _is_postgres(self._named):
                self._set_up(cursor)
        for number, statement in enumerate(found, 1):
            with self._step(f"statement {number} of {len(found)}"):
                # In psycopg's pipelines a text is one statement to the server, which refuses it where there is another
                # one in it that the splitter, who knows all dialects a little, has overlooked.
                with getattr(self._connection, "pipeline", nullcontext)():
                    cursor.execute(statement, *parameters)
                results.append(result(cursor, self._call.config.rows, room))
        with self._step("COMMIT"):
            self._connection.commit()
        return Output(line=_line(results), data={"statements": results})

    def _set_up(self, cursor: Any) -> None:
        """Limit the time, and what may be done. A query comes last: after one, no statement can loosen read-only."""
        left_ms = max(math.ceil((self._deadline - time.monotonic()) * 1000), 1)
        if self._call.config.read_only:
            cursor.execute("set transaction read only")
        cursor.execute("select set_config('statement_timeout', %s, true)", (str(left_ms),))

    @contextmanager
    def _step(self, place: str) -> Iterator[None]:
        if time.monotonic() >= self._deadline:
            raise RetryableError(
                f"{self._named.host}: {place}: no time is left of {self._call.timeout_seconds:g} s; rolled back"
            )
        with _explaining(self._call, self._named, place):
            yield


@contextmanager
def _explaining(call: Call[Config], named: Connection, place: str) -> Iterator[None]:
    try:
        yield
    except MillraceError:
        raise
    except Exception as error:  # a driver's, whichever it is; `from None`, for it may quote login and password
        raise explained(error, named, place, call.timeout_seconds) from None


@contextmanager
def _cancelled_at(deadline: float, connection: Any) -> Iterator[None]:
    """Cancel what runs at the deadline, from another thread, if the driver can; again, should it come between two."""
    cancel: Callable[[], None] | None = getattr(connection, "cancel_safe", getattr(connection, "cancel", None))
    done = threading.Event()

    def watch() -> None:
        seconds = deadline - time.monotonic()
        while cancel is not None and not done.wait(max(seconds, 0.0)):
            with suppress(Exception):
                cancel()
            seconds = _CANCEL_AGAIN_SECONDS

    threading.Thread(target=watch, daemon=True, name="deadline").start()
    try:
        yield
    finally:
        done.set()


def _is_postgres(named: Connection) -> bool:
    return named.type == "postgres"


def _adapted(parameters: dict[str, JsonValue] | list[JsonValue] | None) -> tuple[Any, ...]:
    """The second argument of `execute`, if any; without it, a % in a statement is a %."""
    if parameters is None:
        return ()
    if isinstance(parameters, list):
        return ([_value(value) for value in parameters],)
    return ({name: _value(value) for name, value in parameters.items()},)


def _value(value: JsonValue) -> Any:
    if isinstance(value, list):
        return [_value(item) for item in value]
    return to_json(value) if isinstance(value, dict) else value


def _line(results: Sequence[dict[str, Any]]) -> str:
    changed = sum(made.get("changed", 0) for made in results)
    read = sum(made.get("read", 0) for made in results)
    return f"{_count(len(results), 'statement')}, {_count(changed, 'row')} changed, {_count(read, 'row')} read"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
