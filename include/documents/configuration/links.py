"""What names connectors, and what connectors name, once they are as they are to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from include.documents.caller import Caller
from include.documents.configuration.step import Entry, Step
from include.documents.invalid import InvalidDocumentError
from include.store import configuration
from include.store.db import DictConnection
from include.store.edits import Row


class Links:
    """The connectors that there will be after these `steps`; `entries` are those of the documents."""

    def __init__(self, db: DictConnection, caller: Caller, entries: Sequence[Entry], steps: Sequence[Step]) -> None:
        stored = configuration.connector_names(db)
        gone = {step.row_id for step in steps if step.action in ("delete", "replace")}
        edited = {step.row_id: step.settings for step in steps if step.action == "change"}
        self._caller = caller
        self._keys = {(entry.owner, entry.key): str(entry.settings.name) for entry in entries}
        self._names = {
            row["id"]: str(edited[row["id"]].name if row["id"] in edited else row["name"])
            for row in stored
            if row["id"] not in gone
        }
        self._owners = {row["id"]: str(row["owner"]) for row in stored}
        self.budgets = {entry.settings.budget for entry in entries} | {
            row["budget"] for row in stored if row["id"] not in gone and row["id"] not in edited
        }

    def rows(self, workflows: Sequence[Row]) -> list[Row]:
        """Each with the name that its connector will have; None if that will be gone."""
        return [{**row, "connector": self._names.get(row["connector_id"])} for row in workflows]

    def entries(self, entries: Sequence[Entry], workflows: Sequence[Row]) -> list[Entry]:
        """Each with the name of the connector that it means: one in the documents of its owner by its key, or else one
        that the caller sees, or that his workflows read already, by its name."""
        seen = {*self._keys.values(), *(row["connector"] for row in self.rows(workflows))}
        seen |= {name for row_id, name in self._names.items() if self._caller.sees in (None, self._owners[row_id])}
        made, problems = [], []
        for entry in entries:
            named = entry.settings.connector
            name = self._keys.get((entry.owner, named), named if named in seen else None)
            if name is None:
                said = f"there is no connector {named!r}, neither in the documents of {entry.owner!r} nor by this name"
                problems.append((f"{entry.place}.connector", said))
            made.append(replace(entry, settings=entry.settings.model_copy(update={"connector": name})))
        if problems:
            raise InvalidDocumentError(problems)
        return made
