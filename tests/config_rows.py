"""What tests of config as code share: documents applied as an admin, and what the tables say as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from include.documents.caller import Caller
from include.documents.configuration.apply import apply, rehearse
from include.documents.configuration.document import Configuration
from include.documents.configuration.files import read_files, write_files
from include.documents.configuration.plan import Plan
from include.documents.configuration.snapshot import snapshot
from include.store.db import DictConnection
from include.store.edits import changing
from tests.api_client import ADMIN

URL = "https://example.com/"


def job(**settings: Any) -> dict[str, Any]:
    return {"kind": "ping", "payload": {"url": URL}, "every": "5m", **settings}


def connector(**settings: Any) -> dict[str, Any]:
    config = {"base_url": URL, "path": "items", "primary_key": "id"}
    return {"kind": "rest", "config": config, "every": "5m", **settings}


def workflow(connector: str, **settings: Any) -> dict[str, Any]:
    return {"connector": connector, "kind": "webhook", "payload": {"url": URL}, **settings}


def documents(*written: Mapping[str, Any]) -> list[Configuration]:
    return [Configuration.model_validate({"version": 1, **document}) for document in written]


def applied(
    db: DictConnection,
    *written: Mapping[str, Any],
    caller: Caller = ADMIN,
    prune: bool = False,
    replace: bool = False,
    fingerprint: str | None = None,
) -> Plan:
    with changing(db):
        return apply(db, caller, documents(*written), prune=prune, replace=replace, fingerprint=fingerprint)


def planned(db: DictConnection, *written: Mapping[str, Any], caller: Caller = ADMIN, prune: bool = False) -> Plan:
    return rehearse(db, caller, documents(*written), prune=prune)


def actions(plan: Plan) -> list[tuple[str, str, str]]:
    return [(step.section, step.action, step.key) for step in plan.steps]


def exported(db: DictConnection, caller: Caller = ADMIN) -> str:
    return write_files(snapshot(db, caller))


def read(text: str, folder: Path) -> list[dict[str, Any]]:
    """What a file of this text says."""
    file = folder / "millrace.yaml"
    file.write_text(text, "utf-8", newline="\n")
    return read_files([str(file)], {}).documents
