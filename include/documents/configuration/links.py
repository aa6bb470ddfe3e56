"""What names connectors, and what connectors name, once they are as they are to be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from include.documents.caller import Caller
from include.documents.configuration.step import Entry, Step
from include.documents.invalid import InvalidDocumentError
from include.errors import ConfigError
from include.store import configuration
from include.store.db import DictConnection
from include.store.edits import Row


class Named(NamedTuple):
    """A connector: no other one of its owner has its name."""

    owner: str
    name: str


class Links:
    """The connectors that there will be after these `steps`; `entries` are those of the documents."""

    def __init__(self, db: DictConnection, caller: Caller, entries: Sequence[Entry], steps: Sequence[Step]) -> None:
        stored = configuration.connector_names(db)
        gone = {step.row_id for step in steps if step.action in ("delete", "replace")}
        edited = {step.row_id: step.settings for step in steps if step.action == "change"}
        self._caller = caller
        self._keys = {(entry.owner, entry.key): str(entry.settings.name) for entry in entries}
        self._stay = {
            row["id"]: Named(row["owner"], edited[row["id"]].name if row["id"] in edited else row["name"])
            for row in stored
            if row["id"] not in gone
        }
        self.budgets = {entry.settings.budget for entry in entries} | {
            row["budget"] for row in stored if row["id"] not in gone and row["id"] not in edited
        }

    def rows(self, workflows: Sequence[Row]) -> list[Row]:
        """Each with the name that its connector will have, and whose it is; None if it will be gone."""
        return [{**row, **_written(row["owner"], self._stay.get(row["connector_id"]))} for row in workflows]

    def entries(self, entries: Sequence[Entry], workflows: Sequence[Row]) -> list[Entry]:
        """Each with the name of the connector that it means, and whose it is: of its owner's own, one in his documents
        by its key, or else any by its name; or one of somebody else, by its name, that the caller sees, or that his
        workflows read already."""
        read = {row["connector_id"] for row in workflows}
        seen = {Named(owner, name) for (owner, _), name in self._keys.items()}
        seen |= {
            named for row_id, named in self._stay.items() if row_id in read or self._caller.sees in (None, named.owner)
        }
        by_name: dict[str, list[Named]] = defaultdict(list)
        for named in sorted(seen):
            by_name[named.name].append(named)
        made, problems = [], []
        for entry in entries:
            try:
                meant = _written(entry.owner, self._meant(entry, by_name.get(entry.settings.connector, [])))
                other = {name: value for name, value in meant.items() if value != getattr(entry.settings, name)}
                made.append(replace(entry, settings=entry.settings.model_copy(update=other)))
            except ConfigError as error:
                problems.append((f"{entry.place}.connector", str(error)))
        if problems:
            raise InvalidDocumentError(problems)
        return made

    def _meant(self, entry: Entry, so_named: Sequence[Named]) -> Named:
        name, whose = entry.settings.connector, entry.settings.connector_owner
        if whose is None and (entry.owner, name) in self._keys:
            return Named(entry.owner, self._keys[entry.owner, name])
        found = [named for named in so_named if whose in (None, named.owner)]
        found = [named for named in found if named.owner == entry.owner] or found
        if len(found) == 1:
            return found[0]
        if found:
            owners = ", ".join(named.owner for named in found)
            raise ConfigError(f"several owners have a connector named {name!r}; say which by connector_owner: {owners}")
        if whose is not None:
            raise ConfigError(f"there is no connector named {name!r} of {whose!r}")
        raise ConfigError(
            f"there is no connector {name!r}, neither in the documents of {entry.owner!r} nor by this name"
        )


def _written(reader: str, named: Named | None) -> dict[str, str | None]:
    """How a workflow of `reader` says that it reads this one."""
    if named is None:
        return {"connector": None, "connector_owner": None}
    return {"connector": named.name, "connector_owner": None if named.owner == reader else named.owner}
