"""`./millrace access COMMAND`: what owners may have: the Airflow connections that they may name, and quotas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Annotated, Any

import typer

from include.cli.database import open_database
from include.cli.jobs_options import AsJson
from include.cli.output import note, print_json, print_line, print_table
from include.errors import ConfigError
from include.store import access
from include.store.db import DictConnection
from include.store.edits import Row, changing
from include.store.search import Search
from include.times import parse_duration, spell_duration

_EVERYBODY = "*"
_NO_LIMIT = "none"
_MIB = 1024 * 1024
_QUOTA_HEADERS = ("owner", "rows", "fires per minute", "min interval", "MiB")
_GRANT_HEADERS = ("owner", "connection")

Owner = Annotated[str, typer.Argument(metavar="OWNER", help="As in the column `owner` of the rows; '*' is everybody.")]
ConnId = Annotated[str, typer.Argument(metavar="CONN_ID", help="The id of a connection in Airflow.")]

app = typer.Typer(no_args_is_help=True)


def grant(owner: Owner, conn_id: ConnId, as_json: AsJson = False) -> None:
    """Let an owner, or '*', name an Airflow connection in rows that he writes through the API.

    Example: `./millrace access grant ann@example.com slack_default`
    """
    with open_database() as db, changing(db):
        row, made = access.grant(db, _checked(owner, "OWNER", 200), _checked(conn_id, "CONN_ID", 250))
    if as_json:
        print_json(row)
    else:
        print_line(f"{_spell_owner(owner)} may {'now' if made else 'already'} name {conn_id}")


def revoke(owner: Owner, conn_id: ConnId, as_json: AsJson = False) -> None:
    """Take that back. Rows that use the connection go on using it; they are listed.

    Example: `./millrace access revoke ann@example.com slack_default`
    """
    from include.documents.owner import still_in_use  # brings the kinds, and with them an HTTP client

    with open_database() as db, changing(db):
        found = access.find_grant(db, owner, conn_id)
        if found is None:
            raise ConfigError(
                f"{_spell_owner(owner)} has no such grant; `./millrace access list` shows those there are"
            )
        access.revoke(db, int(found["id"]))
        used = still_in_use(db, found)
    if as_json:
        print_json({"grant": found, "still_in_use": used})
        return
    print_line(f"{_spell_owner(owner)} may no longer name {conn_id}")
    if used:
        print_line("these go on using it, until they are changed or paused:")
        print_table(("table", "id", "name", "owner"), [[str(value or "") for value in row.values()] for row in used])


def list_access(
    owner: Annotated[str | None, typer.Argument(metavar="[OWNER]", help="Only of this owner, or of '*'.")] = None,
    as_json: AsJson = False,
) -> None:
    """List which connections owners may name, and the quotas that there are.

    Example: `./millrace access list ann@example.com`
    """
    with open_database() as db:
        grants = _grants(db, owner)
        quotas = access.quotas(db, owner)
    if as_json:
        print_json({"grants": grants, "quotas": quotas})
        return
    if grants:
        print_table(_GRANT_HEADERS, [[row["owner"], row["conn_id"]] for row in grants])
    else:
        note("no connection is granted; `./millrace access grant --help` shows how")
    print_line()
    print_table(_QUOTA_HEADERS, [_quota_cells(row) for row in quotas])


def quota(
    owner: Owner,
    rows: Annotated[
        str | None, typer.Option(metavar="N|none", help="Rows: jobs, connectors, workflows, timers.")
    ] = None,
    fires_per_minute: Annotated[
        str | None, typer.Option(metavar="F|none", help="What the schedules of all active rows come to.")
    ] = None,
    min_interval: Annotated[
        str | None, typer.Option(metavar="DURATION|none", help="The least time between two occurrences: 10s, 1m30s.")
    ] = None,
    mib: Annotated[str | None, typer.Option(metavar="N|none", help="What the settings of all rows come to.")] = None,
    none: Annotated[bool, typer.Option("--none", help="No quota of his own: that of everybody holds.")] = False,
    as_json: AsJson = False,
) -> None:
    """Set the most that an owner may have, or show it; '*' is everybody without a quota of his own. Admins have none.

    What is not given stays as it is, for an owner without a quota of his own as everybody's is; `none` is no limit.

    Example: `./millrace access quota ann@example.com --rows 100 --min-interval 10s`
    """
    given = _given(rows, fires_per_minute, min_interval, mib)
    if none and (given or owner == _EVERYBODY):
        raise ConfigError("--none: it goes with no other option, and not with '*'; write, say, --rows none")
    with open_database() as db, changing(db):
        if none:
            access.unset_quota(db, owner)
        elif given:
            access.set_quota(db, _checked(owner, "OWNER", 200), replace(access.quota(db, owner), **given))
        own, holds = access.own_quota(db, owner), access.quota(db, owner)
    row = {"owner": owner, **asdict(holds)}
    if as_json:
        print_json({**row, "is_own": own is not None})
        return
    print_table(_QUOTA_HEADERS, [_quota_cells(row)])
    if own is None and owner != _EVERYBODY:
        note("that is the quota of everybody")


def _given(rows: str | None, fires: str | None, interval: str | None, mib: str | None) -> dict[str, Any]:
    """The limits that were written on the command line."""
    read: dict[str, tuple[str | None, Callable[[str], Any]]] = {
        "max_rows": (rows, lambda text: int(_number(text, "--rows", 2**31 - 1, whole=True))),
        "max_fires_per_minute": (fires, lambda text: _number(text, "--fires-per-minute", 1e9)),
        "min_interval": (interval, lambda text: parse_duration(text, "--min-interval")),
        "max_bytes": (mib, lambda text: int(_number(text, "--mib", 2**31) * _MIB)),
    }
    return {
        name: None if text == _NO_LIMIT else parse(text) for name, (text, parse) in read.items() if text is not None
    }


def _number(text: str, option: str, most: float, *, whole: bool = False) -> float:
    try:
        number = int(text) if whole else float(text)
    except ValueError:
        raise ConfigError(f"{option}: {text!r} is not a number; write one, or {_NO_LIMIT}") from None
    if not 0 <= number <= most:
        raise ConfigError(f"{option}: write a number from 0 to {most:.0f}, or {_NO_LIMIT}")
    return number


def _grants(db: DictConnection, owner: str | None) -> list[Row]:
    """All of them; with an owner, his and everybody's."""
    found: list[Row] = []
    for of in (None,) if owner is None else dict.fromkeys((_EVERYBODY, owner)):
        found += access.search_grants(db, Search(None, "id", 100_000, filters={"of": of}))
    return [{name: row[name] for name in ("id", "owner", "conn_id", "created_at")} for row in found]


def _checked(text: str, what: str, most: int) -> str:
    if not 1 <= len(text) <= most:
        raise ConfigError(f"{what}: write 1 to {most} characters")
    return text


def _spell_owner(owner: str) -> str:
    return "everybody" if owner == _EVERYBODY else owner


def _quota_cells(row: Row) -> list[str]:
    def spell(value: Any, spelled: Callable[[Any], str] = str) -> str:
        return _NO_LIMIT if value is None else spelled(value)

    return [
        row["owner"],
        spell(row["max_rows"]),
        spell(row["max_fires_per_minute"], "{:g}".format),
        spell(row["min_interval"], spell_duration),
        spell(row["max_bytes"], lambda size: f"{size / _MIB:g}"),
    ]


# In the order in which the help lists them.
_COMMANDS: dict[str, Callable[..., None]] = {"grant": grant, "revoke": revoke, "list": list_access, "quota": quota}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)
