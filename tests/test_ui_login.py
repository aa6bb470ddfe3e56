"""The dashboard by Airflow's real logins: a browser's cookie opens it, and no other site may use that."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.airflow_logins import ORIGIN, Logins
from tests.airflow_system import OF_AIRFLOW  # isort: split

from fastapi.testclient import TestClient

from include.store.db import DictConnection

pytest_plugins = ["tests.airflow_fixtures", "tests.airflow_login_fixtures"]
pytestmark = [*OF_AIRFLOW, pytest.mark.e2e]

UI = "/millrace/ui"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

Insert = Callable[..., int]


@pytest.fixture
def browser(logins: Logins) -> Iterator[TestClient]:
    """Of Ann, who has logged in to Airflow's UI."""
    with logins.serving() as client:
        client.cookies.set("_token", logins.token("ann", "User"))
        yield client


def active(db: DictConnection) -> list[bool]:
    return [row["is_active"] for row in db.execute("select is_active from job order by id").fetchall()]


def test_the_cookie_of_airflow_opens_the_pages(browser: TestClient, insert: Insert) -> None:
    """With it one sees one's own rows; without it, or with one that is no longer any good, one is led to the login."""
    insert(name="of ann", owner="ann")
    insert(name="of bob", owner="bob")
    page = browser.get(f"{UI}/jobs")
    assert page.status_code == 200
    assert "of ann" in page.text
    assert "of bob" not in page.text
    browser.cookies.set("_token", "gone")
    assert browser.get(f"{UI}/jobs", follow_redirects=False).headers["location"].startswith("/api/v2/auth/login?next=")


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"Origin": "https://elsewhere.test"},
        {"Origin": "null"},
        {"Origin": f"{ORIGIN}.elsewhere.test"},
        {"Sec-Fetch-Site": "cross-site", "Origin": ORIGIN},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_a_form_of_another_site_does_nothing(
    browser: TestClient, insert: Insert, ours: DictConnection, sent: dict[str, str]
) -> None:
    """A browser sends the cookie along, and says where the form comes from: neither is enough to act."""
    job_id = insert(owner="ann")
    for what in ("pause", "run", "delete"):
        assert browser.post(f"{UI}/jobs/{job_id}/{what}", headers={**FORM, **sent}).status_code == 403, what
    assert active(ours) == [True]


@pytest.mark.parametrize("sent", [{"Origin": ORIGIN}, {"Sec-Fetch-Site": "same-origin"}])
def test_a_form_of_ours_acts(browser: TestClient, insert: Insert, ours: DictConnection, sent: dict[str, str]) -> None:
    """On one's own rows; another's is not there."""
    own, others = insert(owner="ann"), insert(owner="bob")
    answers = [
        browser.post(f"{UI}/jobs/{job_id}/pause", headers={**FORM, **sent}, follow_redirects=False)
        for job_id in (own, others)
    ]
    assert [answer.status_code for answer in answers] == [303, 404]
    assert active(ours) == [False, True]


def test_nothing_is_done_by_looking(browser: TestClient, insert: Insert, ours: DictConnection) -> None:
    """What a form asks for is not had by a link, which any site may have."""
    job_id = insert(owner="ann")
    for what in ("pause", "run", "delete"):
        assert browser.get(f"{UI}/jobs/{job_id}/{what}").status_code in (404, 405)
    assert active(ours) == [True]
