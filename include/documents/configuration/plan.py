"""What applying documents would do: rows to add, to change, to make anew, to delete. It changes nothing.

A row is the one of an entry if it belongs to the document's owner and has the entry's key as its `external_id`; or else
if it has no `external_id`, and its name is the key, or the entry's name.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from include import registry
from include.documents.caller import Caller
from include.documents.configuration.document import Configuration, owners_of
from include.documents.configuration.links import Links
from include.documents.configuration.plain import budget_steps, check_owner, notify_steps
from include.documents.configuration.sections import CONNECTOR_SECTION, JOB_SECTION, SECTIONS, WORKFLOW_SECTION, Section
from include.documents.configuration.step import Action, Entry, Step
from include.documents.invalid import InvalidDocumentError
from include.errors import ConfigError, MisfitError
from include.store import connectors
from include.store.db import DictConnection
from include.store.edits import Row


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order of the sections, and how many rows are `unchanged`."""

    steps: tuple[Step, ...]
    unchanged: int

    @property
    def fingerprint(self) -> str:
        """The same as long as neither the documents nor the rows that they are about change; records come and go."""
        said = [[replace(step, records=None).shown(), _version(step.before)] for step in self.steps]
        return hashlib.sha256(json.dumps([said, self.unchanged]).encode()).hexdigest()

    def of(self, section: str, *actions: Action) -> list[Step]:
        """The steps of a section that are such actions."""
        return [step for step in self.steps if step.section == section and step.action in actions]

    def shown(self) -> dict[str, Any]:
        """For people, and for programs."""
        counts = Counter(step.action for step in self.steps)
        return {
            "fingerprint": self.fingerprint,
            "add": counts["add"],
            "change": counts["change"],
            "replace": counts["replace"],
            "delete": counts["delete"],
            "unchanged": self.unchanged,
            "steps": [step.shown() for step in self.steps],
        }


def _version(before: Row | None) -> Any:
    """Of a row, its revision; of what has none, all that it says."""
    return before and before.get("revision", before)


def make_plan(db: DictConnection, caller: Caller, documents: Sequence[Configuration], *, prune: bool) -> Plan:
    """What it takes to make the rows as the documents say; `prune`: and to have no others of their owners.

    `InvalidDocumentError` names every entry that could not run; `RefusedError` (403) says what is not the caller's.
    """
    caller.check_writes()
    for number, document in enumerate(documents):
        check_owner(caller, document.owner, f"documents.{number}.owner")
    owners = owners_of(documents, caller.name)
    rows = {section.name: section.rows(db, owners) for section in SECTIONS}
    entries = _all_entries(documents, caller.name)
    of_connectors = _compared(CONNECTOR_SECTION, entries["connectors"], rows["connectors"], prune)
    links = Links(db, caller, entries["connectors"], of_connectors[0])
    reading = links.entries(entries["workflows"], rows["workflows"])
    parts = [
        budget_steps(db, caller, documents, links.budgets, prune=prune),
        notify_steps(db, caller, documents, owners, prune=prune),
        of_connectors,
        _compared(JOB_SECTION, entries["jobs"], rows["jobs"], prune),
        _compared(WORKFLOW_SECTION, reading, links.rows(rows["workflows"]), prune),
    ]
    steps = [step for found, _ in parts for step in found]
    _judge(steps)
    return Plan(tuple(_with_records(db, steps)), sum(unchanged for _, unchanged in parts))


def _all_entries(documents: Sequence[Configuration], me: str) -> dict[str, list[Entry]]:
    """What is said of rows, by section, in the order of owners and keys."""
    problems: list[tuple[str, str]] = []
    entries = {section.name: _entries(section, documents, me, problems) for section in SECTIONS}
    if problems:
        raise InvalidDocumentError(problems)
    return entries


def _entries(
    section: Section, documents: Sequence[Configuration], me: str, problems: list[tuple[str, str]]
) -> list[Entry]:
    entries: dict[tuple[str, str], Entry] = {}
    for number, document in enumerate(documents):
        owner = document.owner or me
        for key, written in getattr(document, section.name).items():
            place = f"documents.{number}.{section.name}.{key}"
            if (owner, key) in entries:
                problems.append((place, "another document of this owner has this key"))
            try:
                entries[owner, key] = Entry(owner, key, section.settings(owner, key, written), place)
            except InvalidDocumentError as error:
                problems += [(f"{place}.{inner}" if inner else place, said) for inner, said in error.problems]
    return [entry for _, entry in sorted(entries.items())]


def _compared(section: Section, entries: Sequence[Entry], rows: Sequence[Row], prune: bool) -> tuple[list[Step], int]:
    """What is to be done, and how many rows are as they are to be."""
    steps: list[Step] = []
    matched = _match(entries, rows)
    for entry in entries:
        before = matched.get((entry.owner, entry.key))
        columns = section.changes(before, entry.settings)
        if before is None or columns:
            action: Action = "add" if before is None else "replace" if section.fixed & columns.keys() else "change"
            steps.append(
                Step(section.name, action, entry.key, entry.owner, before, entry.settings, columns, entry.place)
            )
    unchanged = len(entries) - len(steps)
    if prune:
        kept = {row["id"] for row in matched.values()}
        going = sorted((row["owner"], row["external_id"] or row["name"], row["id"]) for row in rows)
        by_id = {row["id"]: row for row in rows}
        steps += [Step(section.name, "delete", key, owner, by_id[id]) for owner, key, id in going if id not in kept]
    return steps, unchanged


def _match(entries: Sequence[Entry], rows: Sequence[Row]) -> dict[tuple[str, str], Row]:
    """The row of each entry, by owner and key."""
    known = {(row["owner"], row["external_id"]): row for row in rows if row["external_id"] is not None}
    named = {(row["owner"], row["name"]): row for row in rows if row["external_id"] is None}
    found = {place: known[place] for entry in entries if (place := (entry.owner, entry.key)) in known}
    spellings: tuple[Callable[[Entry], str], ...] = (lambda entry: entry.key, lambda entry: entry.settings.name)
    for spelling in spellings:
        for entry in entries:
            place = entry.owner, entry.key
            if place not in found and (row := named.pop((entry.owner, spelling(entry)), None)) is not None:
                found[place] = row
    return found


def _judge(steps: Iterable[Step]) -> None:
    """`InvalidDocumentError` names every row that could not run as it is to be."""
    sections = {section.name: section for section in SECTIONS}
    problems: list[tuple[str, str]] = []
    for step in steps:
        try:
            if step.action == "delete" or step.section == "budgets":
                continue
            if step.section == "notify":
                registry.vet_notify(step.settings)
            else:
                sections[step.section].judge(step.before if step.action == "change" else None, step.settings)
        except MisfitError as error:
            problems += [(f"{step.place}.{place}", said) for place, said in error.problems]
        except ConfigError as error:
            problems.append((step.place, str(error)))
    if problems:
        raise InvalidDocumentError(problems)


def _with_records(db: DictConnection, steps: Sequence[Step]) -> list[Step]:
    """Each with the records that go with it, for connectors that are deleted."""
    ids = [step.row_id for step in steps if step.section == "connectors" and step.action in ("delete", "replace")]
    if not ids:
        return list(steps)
    records = {row["id"]: int(row["records"]) for row in connectors.holdings(db, [id for id in ids if id is not None])}
    return [replace(step, records=records.get(step.row_id)) if step.section == "connectors" else step for step in steps]
