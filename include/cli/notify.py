"""`./millrace notify COMMAND`: whom to tell where jobs do not say, by owner, and what is still to be sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer

from include.cli.database import open_database
from include.cli.jobs_options import AsJson
from include.cli.notify_try import try_out
from include.cli.output import Cell, note, print_json, print_line, print_table
from include.cli.payload import assign, read_payload
from include.errors import ConfigError
from include.store import notices
from include.store.edits import Row, changing
from include.times import spell_instant

_OWNER_HEADERS = ("owner", "kind", "on", "after", "payload")
_UNSENT_HEADERS = ("owners", "kind", "payload", "notices", "since (UTC)", "failed", "next try (UTC)", "error")
_DEFAULT_ON = "failure, recovery, warning, disabled"

Owner = Annotated[str, typer.Argument(metavar="OWNER", help="As in the column `owner` of the rows.")]

app = typer.Typer(no_args_is_help=True)


def list_notify(as_json: AsJson = False) -> None:
    """List whom owners have told, and the notices that are still to be sent.

    Example: `./millrace notify list`
    """
    with open_database() as db:
        owners, unsent = notices.owners(db), notices.unsent(db)
    if as_json:
        print_json({"owners": owners, "unsent": unsent})
        return
    if owners:
        print_table(_OWNER_HEADERS, [_owner_cells(row) for row in owners])
    else:
        note("no owner has anybody told; `./millrace notify set --help` shows how")
    if unsent:
        print_line()
        print_line("still to be sent:")
        print_table(_UNSENT_HEADERS, [_unsent_cells(row) for row in unsent])


def set_notify(
    owner: Owner,
    kind: Annotated[str, typer.Argument(metavar="KIND", help="slack, email, webhook: a kind as of jobs.")],
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="One setting of the kind (again for more): JSON, or else text."
        ),
    ] = None,
    payload: Annotated[
        str | None, typer.Option("--payload", metavar="JSON", help="All settings of the kind, as a JSON object.")
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(metavar="EVENT,EVENT", help=f"Of what; {_DEFAULT_ON} if not given; there is `missed`, too."),
    ] = None,
    after: Annotated[int | None, typer.Option(min=1, help="Tell of failures after so many in a row.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say whom to tell of an owner's timers, and of jobs that do not say it themselves; in place of what was said.

    Texts may be templates over summary, text, notices, count, counts and more; what is not given is as the kind says.

    Example: `./millrace notify set ann@example.com slack --set conn_id=slack --on failure,recovery --after 3`
    """
    from include import registry  # brings the kinds, and with them an HTTP client

    notify: dict[str, Any] = {
        "kind": kind,
        "payload": assign(read_payload(payload, None) or {}, assignments or ()),
    }
    if on is not None:
        notify["on"] = [event.strip() for event in on.split(",") if event.strip()]
    if after is not None:
        notify["after"] = after
    registry.vet_notify(notify)
    with open_database() as db, changing(db):
        row = notices.set_owner(db, owner, notify)
    if as_json:
        print_json(row)
    else:
        print_line(f"{owner} is told by {kind} of {_on(notify)}")
        note(f"`./millrace notify test {owner}` sends a message to try it out")


def unset_notify(owner: Owner) -> None:
    """Tell an owner nothing more, but for jobs that say it themselves.

    Example: `./millrace notify unset ann@example.com`
    """
    with open_database() as db, changing(db):
        if not notices.unset_owner(db, owner):
            raise _unknown(owner)
    print_line(f"{owner} is told nothing more")


def send_test(owner: Owner) -> None:
    """Send one message to try out what `notify set` said.

    From here and now, if it takes no Airflow connection; otherwise the system sends it, as any other notice.

    Example: `./millrace notify test ann@example.com`
    """
    with open_database() as db:
        row = notices.owner(db, owner)
        if row is None:
            raise _unknown(owner)
        line = try_out(owner, row["notify"])
        if line is None:
            channel = {"kind": row["notify"]["kind"], "payload": row["notify"].get("payload", {})}
            notices.add_test(db, owner, channel, "somebody wants to know whether this arrives")
    if line is not None:
        print_line(f"sent: {line}")
    else:
        print_line("the system sends it soon, for it takes an Airflow connection")
        note("`./millrace notify list` shows it until it has been sent, and what goes wrong")


def _owner_cells(row: Row) -> list[Cell | str]:
    notify = row["notify"]
    shown = json.dumps(notify.get("payload", {}), ensure_ascii=False)
    return [row["owner"], notify.get("kind", ""), _on(notify), str(notify.get("after", 1)), shown]


def _unsent_cells(row: Row) -> list[Cell | str]:
    return [
        ", ".join(row["owners"]),
        row["kind"],
        json.dumps(row["payload"], ensure_ascii=False),
        str(row["notices"]),
        spell_instant(row["since"]),
        str(row["attempt"]),
        "soon" if row["next_at"] is None else spell_instant(row["next_at"]),
        Cell(row["error"] or "", "red"),
    ]


def _on(notify: dict[str, Any]) -> str:
    return ", ".join(notify["on"]) or "nothing" if "on" in notify else _DEFAULT_ON


def _unknown(owner: str) -> ConfigError:
    return ConfigError(f"owner {owner!r} has nobody told; `./millrace notify list` shows who has")


# In the order in which the help lists them.
_COMMANDS: dict[str, Callable[..., None]] = {
    "list": list_notify,
    "set": set_notify,
    "unset": unset_notify,
    "test": send_test,
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)
