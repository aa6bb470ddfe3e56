"""Try a connector out, before it is a row or after: pull a few pages, show them, and store nothing."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from include.cli.connectors_access import find_connection, system_environment
from include.cli.connectors_view import excerpt, spell_cursor
from include.cli.connectors_write import from_file, judged
from include.cli.database import open_database
from include.cli.jobs_options import AsJson
from include.cli.output import note, print_json, print_line, print_table
from include.cli.row_edits import vet
from include.errors import ConfigError, MillraceError
from include.model import Connector
from include.store import connectors
from include.store.rows import connector_from_row
from include.times import utcnow

if TYPE_CHECKING:
    from include.shifts.preview import Exchange, Preview, Sample


def preview(
    name_or_id: Annotated[
        str | None, typer.Argument(metavar="[NAME|ID]", help="A connector; with --file one of those in it.")
    ] = None,
    file: Annotated[
        str | None, typer.Option("--file", metavar="FILE", help="One from a YAML file, as `add` reads it.")
    ] = None,
    pages: Annotated[int, typer.Option("--pages", min=1, max=100, help="How many pages to pull, at the most.")] = 1,
    anew: Annotated[bool, typer.Option("--anew", help="From the beginning, and not from where it stopped.")] = False,
    as_json: AsJson = False,
) -> None:
    """Pull a page as the connector would, and show the requests, the records, how pages follow, and the next cursor.

    Nothing is stored and nothing changes. Secrets are blotted out.

    Example: `./millrace connectors preview --file shop.yaml --pages 2`
    """
    environment = system_environment()
    connector = _from_file(file, name_or_id) if file is not None else _stored(name_or_id)
    if anew:
        connector = replace(connector, cursor=None)
    made = _made(connector, pages, environment)
    if as_json:
        print_json({"connector": connector.name, "kind": connector.kind, **asdict(made)})
    else:
        _print(connector, made)
    if made.error is not None:
        raise MillraceError(f"connector {connector.name!r}: {made.error}")


def _stored(name_or_id: str | None) -> Connector:
    if name_or_id is None:
        raise typer.BadParameter("write a NAME, or --file FILE")
    with open_database() as db:
        connector = connector_from_row(connectors.find(db, name_or_id))
    vet(connector, "connector")
    return connector


def _from_file(file: str, name: str | None) -> Connector:
    rows = from_file(file)
    names = ", ".join(row["name"] for row in rows)
    if name is None and len(rows) > 1:
        raise ConfigError(f"{file} has {len(rows)} connectors; say which: {names}")
    found = [row for row in rows if name in (None, row["name"])]
    if not found:
        raise ConfigError(f"{file} has no connector named {name!r}; it has {names}")
    if len(found) > 1:
        raise ConfigError(f"{file} has {len(found)} connectors named {name!r}; leave one of them in it")
    return judged(found[0], utcnow())


def _made(connector: Connector, pages: int, environment: dict[str, str]) -> Preview:
    from include import registry  # brings the kinds, and with them an HTTP client
    from include.egress import egress_of
    from include.settings import settings
    from include.shifts.preview import preview

    # From here on this process has the settings of the system: where calls may go, and where code of users lies.
    os.environ.update({name: value for name, value in environment.items() if name.startswith("MILLRACE_")})
    kind = registry.source(connector.kind)
    conn_id = getattr(kind.parse(connector.config), "conn_id", None)
    pulls = kind.runs_on != "api"
    connection = find_connection(conn_id, environment) if conn_id is not None and pulls else None

    async def look() -> Preview:
        http = egress_of(settings())
        try:
            return await preview(connector, connection=connection, http=http, pages=pages)
        finally:
            await http.close()

    return asyncio.run(look())


def _print(connector: Connector, made: Preview) -> None:
    if made.pushed_to is not None:
        print_line(f"connector {connector.name!r} does not pull: its records are pushed to it")
        print_line(f"POST {made.pushed_to}   on the host and port of Airflow's UI")
        return
    if made.cursor is not None:
        print_line(f"from cursor {spell_cursor(made.cursor)}")
    for exchange in made.requests:
        _print_exchange(exchange)
    for number, page in enumerate(made.pages, start=1):
        _print_page(number, page)
    if made.error is None:
        print_line()
        print_line(f"next cursor {spell_cursor(made.next_cursor)}")
    for warning in made.warnings:
        note(f"warning: {warning}")
    if made.caught_up:
        note("these are all the pages that there are at present")


def _print_exchange(exchange: Exchange) -> None:
    print_line(f"{exchange.method} {exchange.url}", "bold")
    for name, value in exchange.headers.items():
        print_line(f"    {name}: {value}")
    came = exchange.error or ("no answer" if exchange.status is None else f"{exchange.status}, {exchange.bytes} bytes")
    ok = exchange.status is not None and exchange.status < 400
    print_line(f"    -> {came}, after {exchange.seconds:.3f} s", "green" if ok else "red")


def _print_page(number: int, page: Sample) -> None:
    print_line()
    shown = f", the first {len(page.records)}" if page.count > len(page.records) else ""
    print_line(f"page {number}: {page.count} records{shown}", "bold")
    for name, value in page.about.items():
        print_line(f"    {name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")
    if page.records:
        cells = [
            [excerpt(record.key or "(its content)"), excerpt(json.dumps(record.payload, ensure_ascii=False))]
            for record in page.records
        ]
        print_table(("key", "payload"), cells)
