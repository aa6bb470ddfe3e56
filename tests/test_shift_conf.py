"""What whoever starts a run by hand may not choose."""

from __future__ import annotations

from typing import Any

import pytest

from include import registry
from include.errors import ConfigError
from include.shifts.bell import utcnow
from include.store.db import DictConnection
from tests.shift_stage import add, executions, stage, stand


async def test_who_starts_a_run_does_not_choose_the_connection(database_url: str, db: DictConnection) -> None:
    """A conf that names a connection fails the execution, be it the one of the row; nothing is sent."""
    async with stage(database_url) as (post, server):
        job_id = add(db, server, kind="webhook")
        ending = await stand(post, job_id, utcnow(), "manual__1", by_hand=True, conf={"conn_id": "another"})
        assert server.received == []
    assert (ending.state, ending.line) == (
        "failed",
        "conn_id cannot be replaced for one run of kind 'webhook'; edit the row",
    )
    [row] = executions(db)
    assert (row["status"], row["error"]) == ("failed", ending.line)


@pytest.mark.parametrize("kind", registry.action_kinds())
def test_it_is_the_same_for_every_kind(kind: str) -> None:
    """No kind lets a run choose the connection; that of code is its own affair."""
    with pytest.raises(ConfigError, match="conn_id cannot be replaced"):
        registry.check_conf(kind, {}, {"conn_id": None})


@pytest.mark.parametrize(
    ("kind", "payload", "kept", "free"),
    [
        ("webhook", {"conn_id": "key"}, "url", "body"),
        ("webhook", {"conn_id": "key"}, "headers", "body"),
        ("slack", {"conn_id": "s"}, "channel", "text"),
        ("email", {}, "to", "subject"),  # it has a connection by itself
        ("sql", {"conn_id": "db"}, "rows", "parameters"),
        ("python", {"conn_id": "db"}, "nothing", "arguments"),
    ],
)
def test_whoever_starts_a_run_cannot_send_a_secret_elsewhere(kind: str, payload: Any, kept: str, free: str) -> None:
    """Where a row uses a connection, a run's conf says something else, and not to somebody else."""
    with pytest.raises(ConfigError, match=f"{kept} cannot be replaced"):
        registry.check_conf(kind, payload, {free: "x", kept: "x"})
    registry.check_conf(kind, payload, {free: "x"})


def test_without_a_connection_all_can_be_replaced() -> None:
    """What goes nowhere with a secret may go anywhere that calls may go."""
    registry.check_conf("webhook", {"url": "https://example.com/"}, {"url": "https://example.org/", "headers": {}})
    registry.check_conf("slack", {"url": "https://example.com/"}, {"channel": "#x"})
