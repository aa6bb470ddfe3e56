"""What is exported and applied to an empty database is exported again to the byte, whatever the rows hold."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from include.store import configuration, connectors, jobs, workflows
from include.store.db import DictConnection
from tests.config_rows import URL, applied, exported, planned, read
from tests.conftest import EMPTY

ODD = [
    *("on", "yes", "null", "~", "", "2026-01-01", "12:30:00", "0x1f", "1e5", "1_000", ".inf", "=", "<<", "- a", "a: b"),
    *("#x", " a", "a ", "a\nb", "\na", "a\n\n", "a \nb", "a\n  b\n", "---", "a\n---\nb", "'", '"', "\t", "a\r\nb"),
    *("${HOME}", "$${HOME}", "$$${", "${", "🚀\nx", "\x85", "\u2028", "&a", "*a", "!x", "%", "[", "{", "x" * 300),
]
# What a template would take for its own is left out: it is judged when a workflow is applied.
texts = st.one_of(
    st.sampled_from(ODD), st.text(st.characters(exclude_characters="\0{", exclude_categories=("Cs",)), max_size=12)
)
names = texts.map(lambda text: text.strip(" ")[:200].strip(" ")).filter(
    lambda text: text and not (text.isascii() and text.isdigit())
)
keys = st.one_of(st.none(), names)
numbers = st.one_of(st.integers(-(10**20), 10**20), st.floats(allow_nan=False, allow_infinity=False))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
bodies = st.dictionaries(texts, values, min_size=1, max_size=3)
durations = st.timedeltas(timedelta(seconds=1), timedelta(days=366))
instants = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(timezone.utc))
owners = st.sampled_from(["admin", "alice", "Zoë", "on"])
notifies = st.one_of(
    st.just({"on": []}),
    st.fixed_dictionaries(
        {"kind": st.just("webhook"), "payload": st.fixed_dictionaries({"url": st.just(URL), "body": bodies})},
        optional={"on": st.lists(st.sampled_from(["failure", "missed"])), "after": st.integers(1, 9)},
    ),
)
RETRY: dict[str, Any] = {
    "retries": st.integers(0, 100),
    "retry_delay": st.timedeltas(timedelta(0), timedelta(days=1)),
    "retry_backoff": st.floats(1, 10),
    "no_retry_on": st.lists(st.integers(100, 599), max_size=3),
    "is_active": st.booleans(),
    "paused_until": instants,
}
job_rows = st.fixed_dictionaries(
    {
        "name": names,
        "owner": owners,
        "external_id": keys,
        "kind": st.just("http"),
        "payload": st.fixed_dictionaries({"url": st.just(URL), "method": st.just("POST"), "json": values}),
    },
    optional={
        **RETRY,
        "every": durations,
        "starts_at": instants,
        "jitter": st.timedeltas(timedelta(0), timedelta(days=1)),
        "max_lateness": st.timedeltas(timedelta(0), timedelta(days=3000)),
        "timezone": st.sampled_from(["UTC", "Europe/Berlin"]),
        "disable_after": st.integers(1, 10),
        "notify": notifies,
    },
).filter(lambda row: row.get("jitter", timedelta(0)) <= row.get("every", timedelta.max))
connector_rows = st.fixed_dictionaries(
    {
        "name": st.one_of(st.sampled_from(["shop", "news"]), names),
        "owner": owners,
        "external_id": st.one_of(st.sampled_from([None, "shop", "news"]), keys),
        "kind": st.just("rest"),
        "config": st.fixed_dictionaries(
            {"base_url": st.just(URL), "path": st.just("a b"), "primary_key": st.just("on")}
        ),
    },
    optional={"every": durations, "budget": st.sampled_from(["github", "no: 1"]), "dedupe": st.just("content")},
)
workflow_rows = st.fixed_dictionaries(
    {
        "name": names,
        "owner": owners,
        "external_id": keys,
        "kind": st.just("webhook"),
        "payload": st.fixed_dictionaries({"url": st.just(URL), "body": bodies}),
    },
    optional={**RETRY, "every": durations, "started_at": instants, "start_from": st.just("beginning")},
)


def different(rows: list[dict[str, Any]], *columns: str) -> list[dict[str, Any]]:
    """The first row of each combination, as the table wants it; those without a value are all kept."""
    kept, seen = [], set()
    for row in rows:
        place = tuple(row[column] for column in columns)
        if None in place or place not in seen:
            seen.add(place)
            kept.append(row)
    return kept


def unique(rows: list[dict[str, Any]], *name: str) -> list[dict[str, Any]]:
    return different(different(rows, *name), "owner", "external_id")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    made=st.fixed_dictionaries(
        {
            "jobs": st.lists(job_rows, max_size=4),
            "connectors": st.lists(connector_rows, min_size=1, max_size=4),
            "workflows": st.lists(workflow_rows, max_size=4),
            "notify": st.dictionaries(owners, notifies, max_size=2),
        }
    ),
    data=st.data(),
)
def test_an_export_applied_to_an_empty_database_is_exported_again_to_the_byte(
    made: dict[str, Any], data: st.DataObject, db: DictConnection, tmp_path: Path
) -> None:
    """Rows of every table and of several owners, with odd names and values, come back as they were; and where they
    still are, there is nothing to do."""
    db.execute(EMPTY.encode())
    for name in ("github", "no: 1"):
        configuration.write_budget(db, name, None, {"rate_limit": "5/second"})
    for owner, notify in made["notify"].items():
        configuration.write_notify(db, owner, None, notify)
    for row in unique(made["jobs"], "owner", "name"):
        jobs.insert(db, row)
    ids = [connectors.insert(db, row)["id"] for row in unique(made["connectors"], "owner", "name")]
    for row in unique(made["workflows"], "owner", "name"):
        chosen = data.draw(st.sampled_from(ids))
        workflows.insert(db, {**row, "connector_id": chosen})
    before = exported(db)
    again = read(before, tmp_path)
    assert planned(db, *again, prune=True).steps == ()
    db.execute(EMPTY.encode())
    applied(db, *again)
    assert exported(db) == before


def test_rows_of_plain_sql_come_back_as_they_were(db: DictConnection, tmp_path: Path) -> None:
    """What SQL alone can write, such as numbers that have several spellings, is exported, and changes nothing."""
    payload = Jsonb({"url": URL, "method": "POST", "json": {"a": 1e22, "b": 1.0, "c": 1e-7, "d": True, "e": 1}})
    db.execute("insert into job (name, kind, payload) values ('a', 'http', %s)", (payload,))
    before = exported(db)
    assert planned(db, *read(before, tmp_path), prune=True).steps == ()
    db.execute(EMPTY.encode())
    applied(db, *read(before, tmp_path))
    assert exported(db) == before
