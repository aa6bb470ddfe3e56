"""What a `postgres` connector reads, and how: the statements, and what their rows are as records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from psycopg import sql
from pydantic import JsonValue

from include.connectors._postgres_config import Config, Place
from include.connectors._postgres_session import Session
from include.connectors._rest_fields import to_json
from include.errors import ConfigError, PermanentError
from include.model import PAGE_CAP, Record

_DIGITS = 1000  # a longer whole number is a text: Python itself would not spell it

_SELECT = sql.SQL("select * from {rows} as q limit %(most)s")
_TYPE = sql.SQL("select format_type(oid, -1), typcategory from pg_type where oid = %(oid)s")
_GREATEST = sql.SQL(
    "select {cursor}::text from {rows} as q where {cursor} is not null and {where}"
    " order by {cursor} desc limit %(most)s"
)
_EARLIER_NUMBER = sql.SQL("floor(%(start)s::numeric - %(lag)s::numeric)::{type}")
_EARLIER_TIME = sql.SQL("(%(start)s::{type} - make_interval(secs => %(lag)s))::{type}")
_COMMA = sql.SQL(", ")
# A page ends early if it gets too large: from then on rows come without their payload. One row more than the page comes
# along, to show whether there are more.
_PAGE = sql.SQL("""
select p.place,
       case when sum(octet_length(p.payload)) over (order by {aliases}) - octet_length(p.payload) < %(cap)s
            then p.payload end,
       {nulls}
from (select array[{texts}] as place, row_to_json(q.*)::text as payload, {values}
      from {rows} as q where {where} order by {order} limit %(most)s) as p
order by {aliases}
""")
_ANY = sql.SQL("exists (select from {rows} as q where {where})")


class Table:
    """What is read, and how."""

    def __init__(self, config: Config, database: Session) -> None:
        self._config = config
        self._database = database
        self._cursor_type: sql.SQL | None = None  # if it is needed
        self._is_number = False
        if config.query is not None:
            # On lines of its own, for it may end in a comment.
            self._rows: sql.Composable = sql.SQL("(\n{}\n)").format(sql.SQL(_escaped(config.query)))
        else:
            self._rows = sql.SQL(".").join(map(_name, str(config.table).split(".")))

    async def look(self) -> None:
        """Make sure that the columns are there, and find out the type of the cursor where `lag` needs it."""
        columns, _ = await self._database.read(_SELECT.format(rows=self._rows), {"most": 0})
        names = [column.name for column in columns]
        for name in self._config.order:
            if name not in names:
                raise PermanentError(f"there is no column {name}; there are: {', '.join(names)}")
        double = [name for name in names if names.count(name) > 1]
        if double:
            raise PermanentError(f"there are two columns {double[0]}: give one of them another name in the query")
        if self._config.lag:
            oid = columns[names.index(str(self._config.cursor_column))].type_code
            _, [(name, category)] = await self._database.read(_TYPE, {"oid": oid})
            if category not in ("D", "N"):
                raise ConfigError(f"leave out lag: {self._config.cursor_column} is {name}, neither a time nor a number")
            self._cursor_type, self._is_number = sql.SQL(_escaped(name)), category == "N"

    async def greatest(self, place: Place) -> str | None:
        """The greatest value of the cursor from the place on."""
        where, parameters = self._new(place)
        statement = _GREATEST.format(cursor=self._column(str(self._config.cursor_column)), rows=self._rows, where=where)
        _, rows = await self._database.read(statement, {**parameters, "most": 1})
        return rows[0][0] if rows else None

    async def page(self, place: Place) -> tuple[list[Record], tuple[str, ...] | None]:
        """The next records, and the row that they end with, None if there are no more."""
        config = self._config
        where, parameters = self._left(place)
        columns = [self._column(name) for name in config.order]
        aliases = [sql.Identifier(f"o{index}") for index in range(len(columns))]
        statement = _PAGE.format(
            rows=self._rows,
            where=where,
            order=_COMMA.join(columns),
            texts=_COMMA.join(sql.SQL("{}::text").format(column) for column in columns),
            values=_COMMA.join(sql.SQL("{} as {}").format(*pair) for pair in zip(columns, aliases, strict=True)),
            aliases=_COMMA.join(aliases),
            nulls=sql.SQL("false") if place.after is None else self._hidden_nulls(),
        )
        _, rows = await self._database.read(statement, {**parameters, "cap": PAGE_CAP, "most": config.page_size + 1})
        self._check_keys(rows)
        taken = [row for row in rows[: config.page_size] if row[1] is not None]
        records = [Record(_key(config, values), _payload(text)) for values, text, _ in taken]
        return records, (None if len(taken) == len(rows) else tuple(taken[-1][0]))

    def _check_keys(self, rows: Sequence[tuple[Any, ...]]) -> None:
        for values, _, hidden in rows:
            if hidden or None in values:
                keys = ", ".join(self._config.keys)
                raise PermanentError(f"a row has null in its primary key ({keys}); leave such rows out in a query")

    def _hidden_nulls(self) -> sql.Composable:
        """Whether a null in a key is out of sight of `_beyond`: it is not greater than a value, though sorted behind.

        That is so for rows that are equal in the first column to the one that the last page ended with.
        """
        first, *others = map(self._column, self._config.order)
        conditions = [sql.SQL("{} = %(after0)s and {} is null").format(first, other) for other in others]
        if self._config.cursor_column is None:
            conditions.append(sql.SQL("{} is null").format(first))
        where = sql.SQL(" or ").join(conditions)
        return _ANY.format(rows=self._rows, where=where) if conditions else sql.SQL("false")

    def _left(self, place: Place) -> tuple[sql.Composable, dict[str, Any]]:
        """The condition for the rows that are left to read."""
        config = self._config
        where, parameters = self._new(place) if place.after is None else self._beyond(place.after)
        if config.cursor_column is None:
            return where, parameters
        bounded = sql.SQL("{} and {} <= %(until)s").format(where, self._column(config.cursor_column))
        return bounded, {**parameters, "until": place.until}

    def _beyond(self, after: tuple[str, ...]) -> tuple[sql.Composable, dict[str, Any]]:
        """The condition for rows behind one. Values are texts: the server reads them as what the columns are."""
        names = [f"after{index}" for index in range(len(after))]
        columns = _COMMA.join(map(self._column, self._config.order))
        where = sql.SQL("({}) > ({})").format(columns, _COMMA.join(map(sql.Placeholder, names)))
        return where, dict(zip(names, after, strict=True))

    def _new(self, place: Place) -> tuple[sql.Composable, dict[str, Any]]:
        """The condition for rows that the pulls before have not seen, and some that they have."""
        config = self._config
        start = config.initial_value if place.last is None else place.last
        if start is None:
            return sql.SQL("true"), {}
        column, parameters = self._column(str(config.cursor_column)), {"start": str(start)}
        if place.last is None or self._cursor_type is None:
            return sql.SQL("{} >= %(start)s").format(column), parameters
        earlier = _EARLIER_NUMBER if self._is_number else _EARLIER_TIME
        since = earlier.format(type=self._cursor_type)
        return sql.SQL("{} >= {}").format(column, since), {**parameters, "lag": config.lag}

    @staticmethod
    def _column(name: str) -> sql.Composed:
        return sql.SQL("q.{}").format(_name(name))


def _name(name: str) -> sql.Identifier:
    return sql.Identifier(_escaped(name))


def _escaped(text: str) -> str:
    """Text for a statement with parameters, in which a percent sign would be one."""
    return text.replace("%", "%%")


def _key(config: Config, values: Sequence[str]) -> str:
    by_name = dict(zip(config.order, values, strict=True))
    keys = [by_name[name] for name in config.keys]
    return keys[0] if len(keys) == 1 else to_json(keys)


def _payload(text: str) -> JsonValue:
    try:
        row: JsonValue = json.loads(text, parse_int=_whole, parse_float=_fraction)
    except RecursionError:
        raise PermanentError("a row holds JSON that is nested too deeply") from None
    return row


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) <= _DIGITS else digits


def _fraction(digits: str) -> float | str:
    """The number if a double holds it to the last digit; else its digits, for a reader of JSON would round it."""
    number = float(digits)
    try:
        return number if Decimal(repr(number)) == Decimal(digits) else digits
    except InvalidOperation:  # an exponent beyond all measure, in a column of type json
        return digits
