"""Make the rows as documents say: all of it, or nothing; or try whether that can be done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from include.documents import edits, permits
from include.documents.caller import Caller
from include.documents.configuration.document import Configuration
from include.documents.configuration.plan import Plan, make_plan
from include.documents.configuration.sections import CONNECTOR_SECTION, SECTIONS, Section
from include.documents.configuration.step import Step
from include.documents.connector import still_read
from include.documents.invalid import InvalidDocumentError
from include.errors import ConfigError, RefusedError, TakenError
from include.store import access, configuration, connectors
from include.store.db import DictConnection
from include.store.edits import Row, changing

_CHANGED_SINCE = "somebody has changed it just now; make another plan"
_PLAIN = {"budgets": configuration.write_budget, "notify": configuration.write_notify}


def apply(
    db: DictConnection,
    caller: Caller,
    documents: Sequence[Configuration],
    *,
    prune: bool,
    replace: bool,
    fingerprint: str | None = None,
) -> Plan:
    """Do what `make_plan` says in one transaction, and return it.

    `RefusedError` (409) if it is not the plan of that `fingerprint` any more, if somebody changes one of its rows
    meanwhile, or if rows would have to be made anew and `replace` does not allow that.
    """
    work = _Work(db, caller)
    with work.as_a_whole():
        plan = make_plan(db, caller, documents, prune=prune)
        if fingerprint is not None and fingerprint != plan.fingerprint:
            raise RefusedError(409, "rows have changed since the plan was made; make another one")
        if not replace:
            _refuse_replacing(plan)
        work.do(plan)
    return plan


def rehearse(db: DictConnection, caller: Caller, documents: Sequence[Configuration], *, prune: bool) -> Plan:
    """The plan, after it was done and undone: what `apply` would refuse, if it may `replace`, is refused here."""
    work = _Rehearsal(db, caller)
    with work.as_a_whole(), db.transaction(force_rollback=True):
        plan = make_plan(db, caller, documents, prune=prune)
        work.do(plan)
    return plan


def _refuse_replacing(plan: Plan) -> None:
    if steps := [step for step in plan.steps if step.action == "replace"]:
        others = ", ".join(f"{step.section}.{step.key}" for step in steps[1:])
        raise RefusedError(
            409,
            f"{steps[0].place}: with another kind of connector, or another connector to read, a row must be deleted "
            "and added anew, and what it has gathered is lost; say `replace` if you mean that"
            + (f" (so it is with {others})" if others else ""),
        )


@dataclass
class _Work:
    """Writes rows, and knows which of them it is at."""

    db: DictConnection
    caller: Caller
    step: Step | None = None

    @property
    def at(self) -> str:
        """Where the documents say it."""
        return "" if self.step is None else self.step.place or f"{self.step.section}.{self.step.key}"

    @contextmanager
    def as_a_whole(self) -> Iterator[None]:
        """All of it or nothing; what goes wrong says where in the documents."""
        try:
            with changing(self.db):
                yield
        except TakenError as error:
            raise TakenError(f"{self._placed(error)}{self._holder()}") from error
        except InvalidDocumentError as error:
            if not self.at:
                raise
            raise InvalidDocumentError([(f"{self.at}.{place}", said) for place, said in error.problems]) from error
        except ConfigError as error:
            if not self.at:
                raise
            raise InvalidDocumentError([(self.at, str(error))]) from error
        except RefusedError as error:
            raise RefusedError(error.status, self._placed(error)) from error

    def do(self, plan: Plan) -> None:
        """What is deleted goes first, workflows before the connectors that they read, so that its names are free; only
        budgets are there until nobody names them any more."""
        self._lock(plan)
        unused = [step for step in plan.steps if step.section == "budgets" and step.action == "delete"]
        self._write_plain([step for step in plan.steps if step.section in _PLAIN and step not in unused])
        for section in reversed(SECTIONS):
            self._delete(section, plan.of(section.name, "delete", "replace"))
        for section in SECTIONS:
            self._change(section, plan.of(section.name, "change"))
            self._add(section, plan.of(section.name, "add", "replace"))
        self._write_plain(unused)

    def _placed(self, error: Exception) -> str:
        return f"{self.at}: {error}" if self.at else str(error)

    def _lock(self, plan: Plan) -> None:
        """Rows before owners, as everybody does who changes one, and each in one order: or two would wait for each
        other."""
        for section in SECTIONS:
            steps = plan.of(section.name, "change", "replace", "delete")
            configuration.lock(self.db, section.name, [step.row_id for step in steps if step.row_id is not None])
        for owner in sorted({step.owner for step in plan.steps if step.owner is not None}):
            access.lock_owner(self.db, owner)

    def _holder(self) -> str:
        """Which row has the name that the step wants, now that all was undone; nothing if it was one of this work."""
        step = self.step
        of = [section for section in SECTIONS if step is not None and section.name == step.section]
        if step is None or step.owner is None or step.settings is None or not of:
            return ""
        for row in of[0].rows(self.db, [step.owner]):
            if row["name"] == step.settings.name and row["id"] != step.row_id:
                return f" (it is {of[0].table.noun} {row['id']}, and its key is {row['external_id'] or row['name']!r})"
        return ""

    def _begin(self, step: Step) -> None:
        self.step = step

    def _delete(self, section: Section, steps: Sequence[Step]) -> None:
        for step in steps:
            self._remove(section, self._planned(section, step))

    def _remove(self, section: Section, row: Row) -> None:
        edits.remove(self.db, section.table, self.caller, row)

    def _add(self, section: Section, steps: Sequence[Step]) -> None:
        for step in steps:
            self._begin(step)
            edits.create(self.db, section.table, self.caller, step.settings)

    def _change(self, section: Section, steps: Sequence[Step]) -> None:
        """Names that go from one row to another are free in between."""
        before = [self._planned(section, step) for step in steps]
        wanted = {step.settings.name for step in steps if "name" in step.columns}
        for number, step in enumerate(steps):
            if "name" in step.columns and before[number]["name"] in wanted:
                row_id = before[number]["id"]
                before[number] = section.table.change(self.db, row_id, {"name": f"({row_id})"})
        for step, row in zip(steps, before, strict=True):
            self._begin(step)
            settings = step.settings.model_copy(update={"paused_until": row["paused_until"]})
            edits.replace(self.db, section.table, self.caller, row, settings)

    def _planned(self, section: Section, step: Step) -> Row:
        """The row, which is as it was planned."""
        self._begin(step)
        row = section.table.get(self.db, step.row_id or 0, self.caller.sees)
        if row is None or step.before is None or row["revision"] != step.before["revision"]:
            raise RefusedError(409, _CHANGED_SINCE)
        return row

    def _write_plain(self, steps: Sequence[Step]) -> None:
        for step in steps:
            self._begin(step)
            if step.section == "notify" and step.settings is not None:
                permits.check_notify(self.db, self.caller, step.key, step.settings, step.before)
            if not _PLAIN[step.section](self.db, step.key, step.before, step.settings):
                raise RefusedError(409, _CHANGED_SINCE)


class _Rehearsal(_Work):
    """Does all but delete connectors, for that takes as long as they have records: they make room for others."""

    def _remove(self, section: Section, row: Row) -> None:
        if section is not CONNECTOR_SECTION:
            super()._remove(section, row)
            return
        if connectors.readers(self.db, row["id"]):
            raise still_read()
        nobodys = f"({row['id']})"
        connectors.change(self.db, row["id"], {"name": nobodys, "owner": nobodys, "external_id": None, "budget": None})
