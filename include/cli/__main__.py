"""`./millrace COMMAND`: the commands, put together. What a command needs is imported when it runs."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import typer

from include.cli import system
from include.cli.apply import apply
from include.cli.audit import audit
from include.cli.export import export
from include.cli.migrate import migrate
from include.cli.sbom import sbom
from include.cli.upkeep import upkeep
from include.cli.warnings import warnings
from include.errors import MillraceError

_PROJECT = Path(__file__).parents[2]

# Groups of commands with a module of their own, which is imported only if one of them is called.
_GROUPS = {
    "jobs": "Add, list, show, edit, pause, resume, run and remove jobs.",
    "connectors": "Add, preview, list, show, edit, pause, resume, run and remove connectors; see their records.",
    "workflows": "Add, list, show, edit, pause, resume, run and remove workflows.",
    "timers": "Add, list, show and cancel timers: calls that are made once, at an instant.",
    "dead-letters": "See what has failed for good: records, executions, timers; redrive or discard it.",
    "notify": "Say whom to tell when jobs fail, recover or are paused; see what is still to be told.",
    "access": "Say which Airflow connections owners may name, and the most that they may have.",
}


def main() -> None:
    """Run one command. What went wrong is one line on stderr; exit code 1, for wrong usage 2, after Ctrl-C 130."""
    try:
        _application(sys.argv[1] if len(sys.argv) > 1 else "")(prog_name="./millrace")
    except (MillraceError, OSError) as error:
        sys.stdout.flush()
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _application(command: str) -> typer.Typer:
    app = typer.Typer(
        help="Jobs, connectors and workflows as rows in PostgreSQL, run by Apache Airflow.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    system.add_to(app)
    for name, summary in _GROUPS.items():
        module = f"include.cli.{name.replace('-', '_')}"
        if find_spec(module) is not None:
            group = import_module(module).app if command == name else typer.Typer()
            app.add_typer(group, name=name, help=summary)
    app.command()(export)
    app.command()(apply)
    app.command()(migrate)
    app.command()(sbom)
    app.command()(audit)
    app.command()(upkeep)
    app.command()(warnings)
    _pass_on(app, "bench", ["-m", "bench"], "Measure: `./millrace bench SCENARIO [--json FILE]`.")
    _pass_on(app, "test", ["-m", "include.cli.tests"], "Run the tests, with the arguments of pytest.", at=_PROJECT)
    _pass_on(app, "check", ["-m", "include.cli.check"], "Check style and types, as CI does.", at=_PROJECT)
    return app


def _pass_on(app: typer.Typer, name: str, python: list[str], summary: str, at: Path | None = None) -> None:
    """Add a command that becomes another program, which gets all arguments; `at`: the directory that it runs in."""

    @app.command(
        name,
        help=summary,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )
    def become(context: typer.Context) -> None:
        if at is not None:
            os.chdir(at)
        os.execv(sys.executable, [sys.executable, *python, *context.args])  # noqa: S606 - ourselves again


if __name__ == "__main__":
    main()
