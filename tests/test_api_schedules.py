"""What a schedule means, over HTTP, while somebody is still choosing one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest

from include.store.db import DictConnection
from tests.api_client import ALICE, VIEWER, Api, api_of, ok, problem

pytestmark = pytest.mark.xdist_group("api")


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_of(database_url) as running:
        yield running


def test_a_schedule_is_told_in_words_and_times(api: Api) -> None:
    """Its next five times, as a job would have them: on its clock, within its window; of none, none."""
    berlin = {"cron": "0 9 * * *", "timezone": "Europe/Berlin", "starts_at": "2050-03-26T09:00:00Z"}
    said = ok(api.post("/jobs/schedule", berlin))
    assert said["schedule"] == "cron 0 9 * * * (Europe/Berlin)"
    assert said["next"] == [f"2050-03-{day}T07:00:00Z" for day in (27, 28, 29, 30, 31)]
    ends = ok(api.post("/jobs/schedule", berlin | {"ends_at": "2050-03-28T00:00:00Z"}))
    assert ends["next"] == ["2050-03-27T07:00:00Z"]
    assert ok(api.post("/jobs/schedule", {})) == {"schedule": "by hand", "next": []}
    once = ok(api.post("/jobs/schedule", {"run_at": "8999-12-31T00:00:00Z"}))
    assert once["next"] == ["8999-12-31T00:00:00Z"]
    now = datetime.now(timezone.utc)
    every = ok(api.post("/jobs/schedule", {"every": "90s", "every_mode": "fixed_delay"}))
    assert every["schedule"] == "90 s after the last"
    assert all(datetime.fromisoformat(at.replace("Z", "+00:00")) > now for at in every["next"])


@pytest.mark.parametrize(
    ("settings", "place", "said"),
    [
        ({"cron": "61 * * * *"}, "body.cron", "the minute cannot be '61'"),
        ({"cron": "0 0 30 2 *"}, "body.cron", "never fires"),
        ({"cron": "@daily", "timezone": "Mars/Base"}, "body.timezone", "unknown time zone"),
        ({"every": 0.5}, "body.every", "at least 1s"),
        ({"every": 5, "jitter": 6}, "body.jitter", "5 s apart"),
        ({"every_mode": "fixed_delay"}, "body.every_mode", "there is no every"),
        ({"run_at": "2001-01-01T00:00:00Z"}, "body.run_at", "not in the future"),
        ({"run_at": "2050-01-02T00:00:00Z", "ends_at": "2050-01-01T00:00:00Z"}, "body.run_at", "lies outside"),
        (
            {"every": 5, "starts_at": "2050-01-02T00:00:00Z", "ends_at": "2050-01-01T00:00:00Z"},
            "body.ends_at",
            "is not before ends_at",
        ),
        ({"every": 5, "cron": "@daily"}, "body", "write one of"),
        ({"crom": "@daily"}, "body.crom", "Extra inputs"),
    ],
)
def test_what_is_wrong_has_its_place(api: Api, settings: dict[str, Any], place: str, said: str) -> None:
    """Whatever a job could not have is refused, and the error says which field is at fault."""
    response = api.post("/jobs/schedule", settings)
    assert said in problem(response, 422)
    assert [one["place"] for one in response.json()["errors"]] == [place]


def test_it_is_asked_without_a_job_a_quota_or_a_right(api: Api, db: DictConnection) -> None:
    """Whoever may look may ask, at his quota as well; no id of a job is used up."""
    db.execute("insert into quota (owner, max_rows) values ('alice', 0)")
    for caller in (ALICE, VIEWER):
        assert len(ok(api.as_(caller).post("/jobs/schedule", {"every": "5m"}))["next"]) == 5
    job = {"name": "a", "kind": "ping", "payload": {"url": "https://example.com/"}}
    assert ok(api.post("/jobs", job), 201)["id"] == 1
