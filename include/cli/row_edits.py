"""What adding, editing and running rows share: names and settings as people write them, and whether a row could run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from include.cli.payload import assign, read_payload
from include.errors import ConfigError
from include.model import Connector, Job, Workflow
from include.store.edits import Row, is_id


def checked_name(name: str) -> str:
    """The name itself; `ConfigError` if everybody would take it for an id."""
    if is_id(name):
        raise ConfigError(f"the name {name} would be read as an id; write one that is not all digits")
    return name


def new_settings(
    column: str,
    before: dict[str, Any],
    text: str | None,
    file: str | None,
    assignments: Sequence[str] | None,
    removals: Sequence[str] | None = None,
) -> dict[str, Any]:
    """`{column: settings}` as they will be, or `{}` if nothing is said about them.

    `text` and `file` are those of `--payload` and `--payload-file`, if that is the column: they replace what was
    there `before`. `assignments` and `removals` are those of `--set` and `--unset`.
    """
    whole = read_payload(text, file, f"--{column}")
    if whole is None and not assignments and not removals:
        return {}
    base = before if whole is None else whole
    return {column: assign(base, assignments or (), removals or (), column)}


def vet(row: Job | Connector | Workflow, noun: str) -> None:
    """Raise `ConfigError` that names the row, a `noun`, if it could not run."""
    if (wrong := defect(row)) is not None:
        raise ConfigError(f"{noun} {row.name!r}: {wrong}")


def defect(row: Job | Connector | Workflow) -> str | None:
    """Why the row could not run, although nobody has tried it yet; None if it could."""
    from include import registry  # brings the kinds, and with them an HTTP client

    try:
        registry.vet(row)
    except ConfigError as error:
        return str(error)
    return None


def hook_of(row: Row) -> str | None:
    """Where records are pushed to, if they are pushed to this connector."""
    from include.documents.push_address import push_address  # brings the kinds, too

    return push_address(row["kind"], row["id"])
