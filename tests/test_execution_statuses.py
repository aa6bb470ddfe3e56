"""Executions of a status that few have, or nobody, are found without reading all the others."""

from __future__ import annotations

from typing import Any

import pytest

from include.store.db import DictConnection, queries
from tests.test_store import add_job

_SEARCH = queries("executions")["newest_of_all"]


def past(db: DictConnection, count: int) -> None:
    """So many executions of a job in the last three days, all of them successful."""
    db.execute("select make_execution_partitions((now() - interval '3 days')::date, now()::date)")
    db.execute(
        "insert into execution (job_id, scheduled_for, status, attempt, started_at, finished_at)"
        " select %(job)s, at, 'success', 1, at, at"
        " from generate_series(1, %(count)s) as number,"
        " lateral (select now() - interval '3 days' * number / %(count)s as at) as times",
        {"job": add_job(db, "busy", every="1 second"), "count": count},
    )
    db.execute("analyze execution")


@pytest.mark.parametrize("status", ["missed", "skipped", "cancelled"])
def test_a_search_for_what_was_not_begun_reads_an_index_of_that(db: DictConnection, status: str) -> None:
    """However many have succeeded, none of them is read, on any day."""
    past(db, 20_000)
    wanted = {"status": status, "kind": None, "since": None, "until": None, "until_id": 2**62, "limit": 51}
    plan = db.execute(f"explain (analyze, format json) {_SEARCH}".encode(), wanted, prepare=False).fetchone()
    assert plan is not None
    read = [*_scans(plan["QUERY PLAN"][0]["Plan"])]
    assert len(read) > 3
    assert sum(scan.get("Rows Removed by Filter", 0) for scan in read) == 0


def _scans(node: dict[str, Any]) -> list[dict[str, Any]]:
    found = [node] if str(node.get("Relation Name", "")).startswith("execution") else []
    return found + [scan for inner in node.get("Plans", ()) for scan in _scans(inner)]
