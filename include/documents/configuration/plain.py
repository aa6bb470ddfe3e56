"""The parts of documents that are no rows of an owner: budgets, which all share, and whom owners have told."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from include.documents.caller import Caller
from include.documents.configuration.document import Configuration
from include.documents.configuration.step import Action, Step
from include.documents.invalid import InvalidDocumentError
from include.documents.same import same
from include.errors import RefusedError
from include.store import configuration
from include.store.db import DictConnection

# What is written under a key, and where.
Wanted = dict[str, tuple[Any, str]]


def budget_steps(
    db: DictConnection, caller: Caller, documents: Sequence[Configuration], named: Collection[str], *, prune: bool
) -> tuple[list[Step], int]:
    """What changes of budgets, and how many stay; those that connectors will name stay in any case.

    Documents that have no budgets, not even none of them (`budgets: {}`), are not about budgets.
    """
    wanted: Wanted = {}
    found = [(number, each.budgets) for number, each in enumerate(documents) if each.budgets is not None]
    if found and not caller.is_admin:
        raise RefusedError(403, f"documents.{found[0][0]}.budgets: budgets are for admins; leave them out")
    for number, budgets in found:
        for name, budget in budgets.items():
            _put(wanted, name, budget.model_dump(), f"documents.{number}.budgets.{name}")
    stored = configuration.budgets(db)
    return _compared("budgets", wanted, stored, stored.keys() - set(named) if prune and found else ())


def notify_steps(
    db: DictConnection, caller: Caller, documents: Sequence[Configuration], owners: Sequence[str], *, prune: bool
) -> tuple[list[Step], int]:
    """What changes of whom owners have told, and how many stay; others than those of `owners` stay in any case."""
    wanted: Wanted = {}
    for number, document in enumerate(documents):
        for owner, notify in document.notify.items():
            place = f"documents.{number}.notify.{owner}"
            check_owner(caller, owner, place)
            _put(wanted, owner, notify.model_dump(exclude_unset=True), place)
    stored = configuration.notifies(db, sorted({*owners, *wanted}))
    return _compared("notify", wanted, stored, stored.keys() & set(owners) if prune else ())


def check_owner(caller: Caller, owner: str | None, place: str) -> None:
    """`RefusedError` (403) that names the place if what is said there is about somebody else's rows."""
    try:
        caller.owner(owner)
    except RefusedError as error:
        raise RefusedError(error.status, f"{place}: {str(error).removeprefix('owner: ')}") from error


def _put(wanted: Wanted, key: str, value: Any, place: str) -> None:
    if key in wanted:
        raise InvalidDocumentError([(place, "another document says this, too")])
    wanted[key] = value, place


def _compared(section: str, wanted: Wanted, stored: Mapping[str, Any], going: Iterable[str]) -> tuple[list[Step], int]:
    steps = []
    for key, (value, place) in sorted(wanted.items()):
        before = stored.get(key)
        if before is None or not same(before, value):
            action: Action = "add" if before is None else "change"
            steps.append(Step(section, action, key, None, before, value, _columns(before or {}, value), place))
    unchanged = len(wanted) - len(steps)
    steps += [Step(section, "delete", key, None, stored[key]) for key in sorted(going) if key not in wanted]
    return steps, unchanged


def _columns(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    pairs = {
        name: (before.get(name), after.get(name)) for name in [*after, *(name for name in before if name not in after)]
    }
    return {name: pair for name, pair in pairs.items() if not same(*pair)}
