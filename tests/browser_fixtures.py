"""Fixtures for tests in a browser; a test module names this in `pytest_plugins`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser import Watched, chromium, dashboard_of


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def watched(browser: Browser, database_url: str) -> Iterator[Watched]:
    """An admin on the dashboard of the test's database; nothing is wrong with any page that the test opens."""
    with dashboard_of(database_url) as url:
        person = Watched(browser, url, caller="admin")
        yield person
        person.close()
        assert person.wrong == []
