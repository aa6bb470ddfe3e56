"""`./millrace apply`: rows as files say."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from include.cli.configuration import Me, Target, Token, Url, open_target
from include.cli.output import note, print_json, print_line
from include.errors import ConfigError, RefusedError, TakenError

if TYPE_CHECKING:
    from include.documents.configuration.files import Files

_SOMETHING_TO_DO = 2
_SIGNS = {
    "add": ("+", "green"),
    "change": ("~", "yellow"),
    "replace": ("-/+", "bold red"),
    "delete": ("-", "red"),
}
_LONGEST = 200


def apply(
    files: Annotated[
        list[str],
        typer.Option("--file", "-f", metavar="FILE|DIR", help="A file, all below a directory, or - (again for more)."),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="With --dry-run: exit code 2 if there is something to do.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete the rows of the files' owners that are in no file.")
    ] = False,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Delete and add anew what cannot change: connectors' kinds, workflows' connectors."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before anything is deleted.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The plan as one JSON document, for scripts.")] = False,
    url: Url = None,
    token: Token = None,
    owner: Me = None,
) -> None:
    """Make the rows as files say: show what would be done, then do all of it, or nothing.

    A row is found by its key in the files, which is its external_id, or, where it has none, its name. ${NAME} in a text
    is a variable of the environment.

    Example: `./millrace apply -f config/ --dry-run`
    """
    from include.documents.configuration.files import read_files

    wanted = read_files(files, os.environ)
    with open_target(url, token, owner) as target, _Located(wanted):
        plan = target.plan(wanted.documents, prune=prune)
        to_do = bool(plan["steps"])
        if not as_json:
            _show(plan)
        if to_do and not dry_run:
            if not yes and (plan["delete"] or (plan["replace"] and replace)):
                _ask(plan, files)
            _do(target, wanted, plan, prune=prune, replace=replace)
    if as_json:
        print_json({**plan, "applied": to_do and not dry_run})
    elif to_do:
        note("nothing was changed: it was a dry run" if dry_run else "done")
    if dry_run and exit_code and to_do:
        raise typer.Exit(_SOMETHING_TO_DO)


def _do(target: Target, wanted: Files, plan: dict[str, Any], *, prune: bool, replace: bool) -> None:
    target.apply(wanted.documents, prune=prune, replace=replace, fingerprint=plan["fingerprint"])


class _Located:
    """Errors about documents become errors about files and lines."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from include.documents.invalid import InvalidDocumentError

        if isinstance(error, InvalidDocumentError):
            said = [self._files.locate_at(place, detail) for place, detail in error.problems]
            raise ConfigError("; ".join(said)) from error
        if isinstance(error, TakenError):
            raise TakenError(self._files.locate(str(error))) from error
        if isinstance(error, RefusedError):
            raise RefusedError(error.status, self._files.locate(str(error))) from error


def _show(plan: dict[str, Any]) -> None:
    section = None
    for step in plan["steps"]:
        if step["section"] != section:
            section = step["section"]
            print_line(section)
        _show_step(step)
    if plan["steps"]:
        print_line()
    print_line(
        f"{plan['add']} to add, {plan['change']} to change, {plan['replace']} to replace, {plan['delete']} to delete, "
        f"{plan['unchanged']} unchanged"
    )


def _show_step(step: dict[str, Any]) -> None:
    sign, style = _SIGNS[step["action"]]
    about = [f"of {step['owner']}"] if step["owner"] else []
    about += [f"id {step['id']}"] if step["id"] else []
    about += [f"{step['records']:,} records go with it"] if step["records"] is not None else []
    about += ["deleted, and added anew"] if step["action"] == "replace" else []
    print_line(f"  {sign} {step['key']}" + (f" ({', '.join(about)})" if about else ""), style)
    for name, values in step["columns"].items():
        for place, old, new in _differences(name, values["old"], values["new"]):
            print_line(f"      {place}: {new}" if step["action"] == "add" else f"      {place}: {old} -> {new}")


def _differences(place: str, old: Any, new: Any) -> list[tuple[str, str, str]]:
    """Where two values differ, as far inside as both are objects."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            found
            for name in [*old, *(name for name in new if name not in old)]
            if old.get(name) != new.get(name) or (name in old) != (name in new)
            for found in _differences(f"{place}.{name}", old.get(name), new.get(name))
        ]
    return [(place, _spell(old), _spell(new))]


def _spell(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _ask(plan: dict[str, Any], files: list[str]) -> None:
    if "-" in files or not sys.stdin.isatty():
        raise ConfigError("something would be deleted, and nobody can be asked here; say --yes if you mean it")
    count = plan["delete"] + plan["replace"]
    if not typer.confirm(f"Delete {'1 row' if count == 1 else f'{count} rows'}?", err=True):
        raise ConfigError("nothing was changed")
