"""The settings of a `postgres` connector, and its cursor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    JsonValue,
    ValidationError,
    model_validator,
)
from typing_extensions import Self

from include import model
from include.connectors._rest_fields import CursorValue, Name


def _check_query(value: str) -> str:
    text = value.strip()
    if not text or text.endswith(";"):
        raise ValueError("write one select, without a semicolon at its end")
    return text


def _check_text(value: str) -> str:
    if "\x00" in value:
        raise ValueError("write it without NUL, which PostgreSQL does not know")
    return value


Text = Annotated[str, Field(min_length=1), AfterValidator(_check_text)]
Column = Annotated[Text, Field(max_length=63)]


class Config(model.Config):
    conn_id: Name = Field(description="The Airflow connection to the other database; its schema is the database.")
    table: Annotated[Text, Field(pattern=r"^[^.]{1,63}(\.[^.]{1,63})?$")] | None = Field(
        default=None, description="What to read: a table or a view, or schema.table."
    )
    query: Annotated[Text, Field(max_length=100_000), AfterValidator(_check_query)] | None = Field(
        default=None, description="What to read instead: a select, without a semicolon at its end."
    )
    primary_key: Column | Annotated[list[Column], Field(min_length=1, max_length=32)] = Field(
        description="The column, or the columns, that tell one row from another; never null."
    )
    cursor_column: Column | None = Field(default=None, description="A column that grows. Without: read all each time.")
    initial_value: CursorValue | None = Field(default=None, description="Where the first pull begins.")
    lag: FiniteFloat = Field(
        default=0, ge=0, description="Begin so much below the greatest value: seconds for times, else a number."
    )
    page_size: int = Field(default=1000, ge=1, le=10_000, description="The most rows in one page.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.table is None) == (self.query is None):
            raise ValueError("write table or query")
        if len(set(self.keys)) < len(self.keys):
            raise ValueError("primary_key: write each column once")
        if self.cursor_column is None and (self.lag or self.initial_value is not None):
            raise ValueError("write cursor_column too: lag and initial_value are about its values")
        return self

    @property
    def keys(self) -> list[str]:
        """The columns of the primary key."""
        return [self.primary_key] if isinstance(self.primary_key, str) else self.primary_key

    @property
    def order(self) -> list[str]:
        """The columns that rows are read in the order of: no two rows are equal in all of them."""
        return list(dict.fromkeys([*([] if self.cursor_column is None else [self.cursor_column]), *self.keys]))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a pull is. It reads from `last`, the greatest value of the pulls before, up to `until`, the greatest now.

    `after` is the row that it stopped after, in the columns of `order`; None before the first page.
    """

    last: str | None = None
    until: str | None = None
    after: tuple[str, ...] | None = None


class _Cursor(BaseModel):
    """A place as JSON: every value with the column that it belongs to."""

    model_config = ConfigDict(extra="forbid")

    last: dict[str, str] = {}
    until: dict[str, str] = {}
    after: list[tuple[str, str]] = []


def read_cursor(config: Config, cursor: JsonValue) -> Place:
    """The place in a cursor; what belongs to other columns than those of the row, edited since, counts for nothing."""
    try:
        held = _Cursor.model_validate(cursor or {})
    except ValidationError:
        return Place()
    column = config.cursor_column or ""
    last, until = held.last.get(column), held.until.get(column)
    is_known = [name for name, _ in held.after] == config.order and (until is None) == (config.cursor_column is None)
    return Place(last, until, tuple(value for _, value in held.after)) if is_known else Place(last)


def write_cursor(config: Config, place: Place) -> JsonValue:
    """The cursor that says where a pull is; None if that is the beginning."""
    column = config.cursor_column or ""
    cursor: dict[str, JsonValue] = {}
    if place.last is not None:
        cursor["last"] = {column: place.last}
    if place.until is not None:
        cursor["until"] = {column: place.until}
    if place.after is not None:
        cursor["after"] = [[name, value] for name, value in zip(config.order, place.after, strict=True)]
    return cursor or None
