"""Take connectors off duty, put them back, have them begin anew, and remove them. Of several, all are done or none."""

from __future__ import annotations

from include.cli import duty
from include.cli.connectors_options import NameOrId
from include.cli.connectors_view import connector_document
from include.cli.database import open_database
from include.cli.duty import Until, Yes
from include.cli.jobs_options import AsJson, NamesOrIds
from include.cli.output import print_json, print_line
from include.store import connectors
from include.store.edits import Row, changing
from include.times import utcnow

_CONNECTORS = duty.Group("connector", connectors.find, connectors.change, connector_document)


def pause(names_or_ids: NamesOrIds, until: Until = None, as_json: AsJson = False) -> None:
    """Take connectors off duty; they go on where they stopped.

    Example: `./millrace connectors pause shop 17 --until +2h`
    """
    duty.pause(_CONNECTORS, names_or_ids, until, as_json)


def resume(names_or_ids: NamesOrIds, as_json: AsJson = False) -> None:
    """Put connectors back on duty, whichever way they were paused.

    Example: `./millrace connectors resume shop`
    """
    duty.resume(_CONNECTORS, names_or_ids, as_json)


def reset(name_or_id: NameOrId, yes: Yes = False, as_json: AsJson = False) -> None:
    """Forget where the last pull stopped, so that everything is pulled again.

    What is stored already is not stored again: its key is known.

    Example: `./millrace connectors reset shop --yes`
    """
    with open_database() as db:
        row = connectors.find(db, name_or_id)
        if not yes:
            duty.confirm(f"have {row['name']!r} pull everything again")
        with changing(db):
            row = connectors.rewind(db, row["id"])
    if as_json:
        print_json(connector_document(row, utcnow()))
    else:
        print_line(f"reset connector {row['id']} ({row['name']}): its next pull begins anew")


def rm(names_or_ids: NamesOrIds, yes: Yes = False, as_json: AsJson = False) -> None:
    """Remove connectors, and their records with them.

    Refused while workflows read one of them.

    Example: `./millrace connectors rm shop --yes`
    """
    with open_database() as db:
        found = connectors.holdings(db, [row["id"] for row in duty.found(db, connectors.find, names_or_ids)])
        if not yes and any(row["records"] for row in found):
            duty.confirm("remove " + ", ".join(f"{row['name']!r} and its {_records(row)}" for row in found))
        with changing(db):
            gone = {row["id"] for row in connectors.remove(db, [row["id"] for row in found])}
    removed = [row for row in found if row["id"] in gone]
    if as_json:
        print_json(removed)
        return
    for row in removed:
        print_line(f"removed connector {row['id']} ({row['name']}) and its {_records(row)}")


def _records(row: Row) -> str:
    return "1 record" if row["records"] == 1 else f"{row['records']} records"
