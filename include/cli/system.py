"""The commands for the system as a whole: up, status, logs, down."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from include.errors import MillraceError

if TYPE_CHECKING:
    from include.local.home import Home

_UNHEALTHY = 1


def add_to(app: typer.Typer) -> None:
    for command in (up, status, logs, sql, down):
        app.command()(command)


def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when all is healthy; stay up.")] = False,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The UI's port; default: 8080, or the next free one.")
    ] = None,
    no_demo: Annotated[bool, typer.Option("--no-demo", help="No demo rows, no echo server.")] = False,
    schedulers: Annotated[int, typer.Option(min=1, help="How many schedulers, which share the work.")] = 1,
    triggerers: Annotated[
        int, typer.Option(min=1, help="How many triggerers, which share the work; no more than there are cores.")
    ] = 1,
    executor: Annotated[
        Literal["local", "celery"],
        typer.Option(help="celery: what runs on workers does so in a Celery worker, by way of this machine's Redis."),
    ] = "local",
) -> None:
    """Start everything, and show what is executed until Ctrl-C, which ends it all, unless it was up already.

    Example: ./millrace up --detach

    As on many machines: ./millrace up --schedulers 2 --triggerers 2 --executor celery
    """
    from include.local import system
    from include.local.home import Home
    from include.local.run import Wishes

    home = Home.from_environment()
    wishes = Wishes(port, not no_demo, schedulers, triggerers, executor)
    started = system.start(home, wishes, stay=detach, say=_say)
    if not started.fresh:
        _say("already running, as it was started")
    print(f"\n  {started.run.url}   user: {started.run.user}   password: {started.run.password}", flush=True)
    print("".join(f"  {line}\n" for line in _other_users(home)), flush=True)
    if detach:
        return
    try:
        hint = "Ctrl-C ends Millrace" if started.fresh else "Ctrl-C ends this view, and not Millrace"
        _watch(started.run.database_url, lambda: system.running(home) is not None, hint)
        raise MillraceError(f"the system has ended ({home.log('supervisor')})")
    finally:
        if started.fresh:
            _say("stopping")
            system.stop(home)


def status(as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False) -> None:
    """Show where the system is and how each component does; exit code 1 if it does not run."""
    from include.local import system
    from include.local.home import Home

    home = Home.from_environment()
    facts = system.status(home)
    if facts is None:
        print("null" if as_json else "not running")
        raise typer.Exit(_UNHEALTHY)
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    print(f"{facts['url']}   user: {facts['user']}   password: {facts['password']}")
    for line in _other_users(home):
        print(line)
    print(facts["database_url"])
    for name, component in facts["components"].items():
        again = f", restarted {component['restarts']}x" if component["restarts"] else ""
        print(f"  {name:<14} {component['state']:<10} pid {component['pid']}, since {component['started_at']}{again}")


def logs(
    component: Annotated[str | None, typer.Argument(help="One component; default: all.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 50,
) -> None:
    """Show the components' logs."""
    from include.cli.logs import log_files, show
    from include.local.home import Home

    show(log_files(Home.from_environment(), component), lines, follow)


def sql(
    statement: Annotated[str | None, typer.Argument(help="SQL to run; default: from standard input, or psql.")] = None,
) -> None:
    """Run SQL on the database with psql, which needs not be installed.

    Example: ./millrace sql "select id, name, error from job"
    """
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    from include.cli.database import database_url
    from include.local.account import client

    address = conninfo_to_dict(database_url())
    # By environment, for arguments can be read by everybody on the machine.
    environment = {**os.environ, "PGPASSWORD": str(address.pop("password", ""))}
    psql = str(client("psql"))
    arguments = ["-v", "ON_ERROR_STOP=1", *(["-c", statement] if statement else []), make_conninfo("", **address)]
    os.execve(psql, [psql, *arguments], environment)  # noqa: S606 - the wheel's own program


def down() -> None:
    """Stop everything."""
    from include.local import system
    from include.local.home import Home

    print("stopped" if system.stop(Home.from_environment()) else "not running")


def _other_users(home: Home) -> Iterator[str]:
    """Where the passwords of other users than the admin are, if there are any."""
    from include.local.users import ADMIN, passwords

    if others := [name for name in passwords(home) if name != ADMIN]:
        yield f"passwords of {', '.join(others)}: {home.passwords_file}"


def _say(line: str) -> None:
    print(line, flush=True)


def _watch(database_url: str, is_up: Callable[[], bool], hint: str) -> None:
    """Return when the system has ended. People see a table; a file or a pipe would only fill up with it."""
    if sys.stdout.isatty():
        from include.cli.live import show_executions

        show_executions(database_url, is_up, hint=hint)
        return
    while is_up():
        time.sleep(1)
