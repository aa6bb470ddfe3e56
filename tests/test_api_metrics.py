"""/metrics: what Prometheus reads, from the database as it is, by one at a time."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from httpx2 import Response
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from include.api.metrics import _BUNDLE, _CLASSPATH
from include.api.remembered import Remembered
from include.local.environment import read_settings
from include.local.home import PROJECT
from include.store.db import DictConnection
from include.store.metrics import Ended, Meter
from tests.api_client import Api, api_of, problem
from tests.test_store import add_job

pytestmark = pytest.mark.xdist_group("api")

NOW = datetime.now(timezone.utc)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_of(database_url) as api:
        yield api.as_(None)


def scraped(response: Response) -> dict[tuple[str, ...], float]:
    """The samples by name and label values, in the order of the labels' names."""
    assert response.status_code == 200, response.text
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def scrape(api: Api) -> dict[tuple[str, ...], float]:
    return scraped(api.get("//metrics"))


def end(db: DictConnection, job_id: int, due: datetime, status: str = "success", late: float = 0.0) -> None:
    """Write an execution as the ledger does: begun, and then ended."""
    db.execute(
        "insert into execution (job_id, scheduled_for, status, attempt, started_at) values (%s, %s, 'running', 1, %s)",
        (job_id, due, due + timedelta(seconds=late)),
    )
    db.execute(
        "update execution set status = %s, finished_at = now() where job_id = %s and scheduled_for = %s",
        (status, job_id, due),
    )


def test_what_has_ended_is_counted_by_status_and_lateness(api: Api, db: DictConnection) -> None:
    """Counters by status, 0 for what has not happened yet; a histogram of lateness with its sum; success by job."""
    job_id = add_job(db, every="1 hour")
    for number, late in enumerate((0.005, 0.03, 0.7, 400)):
        end(db, job_id, NOW - (number + 1) * MINUTE, late=late)
    end(db, job_id, NOW, "failed", late=0.03)
    db.execute(
        "insert into execution (job_id, scheduled_for, status, finished_at) values (%s, %s, 'missed', now())",
        (job_id, NOW - 9 * MINUTE),
    )
    found = scrape(api)
    total = {status: found["millrace_executions_total", "job", status] for status in ("success", "failed", "missed")}
    assert total == {"success": 4, "failed": 1, "missed": 1}
    assert found["millrace_executions_total", "timer", "fired"] == 0
    assert found["millrace_attempts_total", "job"] == 5
    buckets = {
        bound: found["millrace_lateness_seconds_bucket", bound, "job"]
        for bound in ("0.01", "0.025", "0.05", "0.5", "1.0", "300.0", "+Inf")
    }
    assert buckets == {"0.01": 1, "0.025": 1, "0.05": 3, "0.5": 3, "1.0": 4, "300.0": 4, "+Inf": 5}
    assert found["millrace_lateness_seconds_count", "job"] == 5
    assert found["millrace_lateness_seconds_sum", "job"] == pytest.approx(400.765)
    last = found["millrace_job_last_success_timestamp_seconds", str(job_id)]
    assert last == pytest.approx(datetime.now(timezone.utc).timestamp(), abs=60)
    assert found["millrace_job_failing", str(job_id)] == 1
    assert found["millrace_jobs", "failing"] == 1
    assert found["millrace_dead_letters", "job"] == 1


def test_counters_never_decrease_when_something_is_redriven(database_url: str, db: DictConnection) -> None:
    """Neither the count of failures nor the sum of lateness, whoever redrives it, and when what is old is folded."""
    job_id = add_job(db)
    end(db, job_id, NOW - timedelta(days=3), "failed", late=2)
    key = ("job", "failed", 8)  # later than seven of the bounds
    once = Ended(ended=1, attempts=1, late_seconds=Decimal(2))
    assert Meter(_CLASSPATH, _BUNDLE, 10).read(db).totals[key] == once
    again = "update execution set status = 'running', finished_at = null, base_attempt = 1, attempt = 2"
    for change in (again, "select fold_tally(10)"):
        db.execute(change.encode())
        assert Meter(_CLASSPATH, _BUNDLE, 10).read(db).totals[key] == once
    db.execute("update execution set status = 'success', finished_at = now()")
    with api_of(database_url) as api:
        found = scrape(api.as_(None))
    assert found["millrace_lateness_seconds_sum", "job"] == 2
    assert found["millrace_lateness_seconds_count", "job"] == 1
    assert found["millrace_executions_total", "job", "failed"] == 1
    assert found["millrace_executions_total", "job", "success"] == 1
    assert found["millrace_attempts_total", "job"] == 2


def test_rows_are_told_apart_up_to_the_limit_and_by_id_only(database_url: str, db: DictConnection) -> None:
    """Those that fail come first; no name, owner or URL of a row is in it."""
    ids = [add_job(db, f"secret name {number}", owner="annabel", every="1 day") for number in range(5)]
    for job_id in ids:
        end(db, job_id, NOW - 2 * MINUTE)
    end(db, ids[3], NOW - MINUTE, "failed")
    with api_of(database_url, metrics_jobs=2) as api:
        answer = api.as_(None).get("//metrics")
    told = {key[1] for key in scraped(answer) if key[0] == "millrace_job_last_success_timestamp_seconds"}
    assert told == {str(ids[3]), str(ids[0])}
    assert not any(word in answer.text for word in ("secret", "annabel", "localhost"))


def test_connectors_workflows_and_timers_are_measured(api: Api, db: DictConnection) -> None:
    """Failures and head of connectors, the lag of workflows, timers that wait or are late."""
    db.execute(
        "insert into connector (name, kind, failures, pulled_at) values ('c', 'rest', 6, now() - interval '90 s')"
    )
    db.execute("insert into workflow (name, owner, connector_id, kind) values ('w', 'ann', 1, 'webhook')")
    db.execute(
        "insert into workflow (name, owner, connector_id, kind, is_active) values ('p', 'a', 1, 'webhook', false)"
    )
    db.execute("insert into record (connector_id, key, payload) select 1, n::text, '{}' from generate_series(1, 3) n")
    db.execute(
        "insert into timer (url, due_at) values ('http://a/', now() - interval '1 min'), ('http://a/', now() + '1 h')"
    )
    found = scrape(api)
    assert found["millrace_connector_failures", "1"] == 6
    assert found["millrace_connector_head", "1"] == 3
    assert found["millrace_connector_pull_age_seconds", "1"] >= 90
    assert found["millrace_workflow_lag_records", "1"] == 3
    assert found["millrace_workflow_lag_seconds", "1"] > 0
    assert ("millrace_workflow_lag_records", "2") not in found, "what is paused is not stuck"
    assert (found["millrace_workflows", "active"], found["millrace_workflows", "paused"]) == (1, 1)
    assert found["millrace_timers_pending",] == 2
    assert found["millrace_timer_oldest_due_seconds",] >= 60


def test_an_occurrence_that_nobody_begins_is_measured(api: Api, db: DictConnection) -> None:
    """How long ago it was due; what Airflow would know is absent while its tables are elsewhere."""
    add_job(db, every="1 minute", created_at=NOW - timedelta(hours=2))
    db.execute(
        "alter table job disable trigger user; update job set schedule_changed_at = now() - interval '10 minutes'"
    )
    db.execute("alter table job enable trigger user")
    found = scrape(api)
    assert 500 < found["millrace_oldest_due_unfired_seconds",] < 660
    assert not [key for key in found if key[0] in ("millrace_shifts_on_duty", "millrace_component_up")]
    assert found["millrace_up",] == 1


def test_both_formats_are_what_they_say(api: Api, db: DictConnection) -> None:
    """Prometheus' text by itself, OpenMetrics where it is accepted; whatever a client accepts is answered."""
    end(db, add_job(db), NOW)
    assert api.get("//metrics").headers["content-type"].startswith("text/plain; version=0.0.4")
    answer = api.send("GET", "//metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0, text/plain"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert {family.name for family in openmetrics(answer.text)} >= {"millrace_executions", "millrace_build"}
    for accept in ("application/openmetrics-text; version=no", "text/plain; version=9; escaping=?", "image/png", ";;"):
        assert api.send("GET", "//metrics", headers={"Accept": accept}).status_code == 200


def test_a_token_is_demanded_where_there_is_one(database_url: str) -> None:
    """Without it, and with another one, 401; the reason does not give it away."""
    with api_of(database_url, metrics_token="only for us") as api:
        wrong: tuple[Any, ...] = (
            "",
            "Bearer",
            "Bearer other",
            "Basic only for us",
            "Bearer only for u",
            b"Bearer \xfc",
        )
        for given in wrong:
            answer = api.send("GET", "//metrics", headers={"Authorization": given})
            assert "only for us" not in problem(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
        assert scraped(api.send("GET", "//metrics", headers={"Authorization": "Bearer only for us"}))


def test_without_a_database_there_is_no_half_answer() -> None:
    """503 with a reason, and not some of the metrics."""
    with api_of("postgresql://nobody@127.0.0.1:1/nowhere") as api:
        assert "cannot be reached" in problem(api.get("//metrics"), 503)


@pytest.mark.fresh_database
def test_a_database_that_is_not_ours_is_a_503(database_url: str, db: DictConnection) -> None:
    """A table that is missing is an error of the database, too."""
    db.execute("alter table timer rename to other")
    with api_of(database_url) as api:
        assert "does not answer" in problem(api.get("//metrics"), 503)


async def test_what_many_ask_for_is_worked_out_once() -> None:
    """Those who ask while it is worked out wait for the same; later ones get what is remembered, errors included."""
    calls: list[int] = []

    def work() -> int:
        calls.append(1)
        time.sleep(0.05)
        if len(calls) > 1:
            raise ValueError("no")
        return len(calls)

    remembered = Remembered(work, 0.2)
    assert await asyncio.gather(*(remembered.get(10) for _ in range(50))) == [1] * 50
    assert await remembered.get(10) == 1
    await asyncio.sleep(0.3)
    for _ in range(3):
        with pytest.raises(ValueError, match="no"):
            await remembered.get(10)
    assert len(calls) == 2


async def test_who_cannot_wait_does_not_end_it_for_others() -> None:
    """A time-out of one leaves the work to go on, and it is not begun a second time."""
    calls: list[int] = []

    def work() -> str:
        calls.append(1)
        time.sleep(0.3)
        return "done"

    remembered = Remembered(work, 10)
    with pytest.raises(asyncio.TimeoutError):
        await remembered.get(0.01)
    assert await remembered.get(10) == "done"
    assert len(calls) == 1


def test_our_names_in_airflows_tables_are_those_that_airflow_has() -> None:
    """The trigger's class path is that of the source, the bundle's name that of Airflow's settings."""
    module, _, name = _CLASSPATH.rpartition(".")
    source = (PROJECT / module.replace(".", "/")).with_suffix(".py").read_text("utf-8")
    assert f"class {name}(" in source
    bundles: list[dict[str, Any]] = json.loads(read_settings()["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    assert _BUNDLE in {bundle["name"] for bundle in bundles}
