"""What the database refuses in a row is said in words, with the setting's name, and never as its constraint."""

from __future__ import annotations

from typing import Any

import pytest

from include.errors import ConfigError
from include.store import constraints
from include.store.db import DictConnection
from include.store.edits import changing
from tests.test_store import add_job

# Columns that nobody but Millrace writes.
_OURS = {"connector_head_check", "timer_next_at_check", "timer_status_check", "final_timers_are_finished"}


def test_every_constraint_of_what_people_write_has_words(db: DictConnection) -> None:
    """A migration that adds one adds its words."""
    rows = db.execute(
        "select distinct conname from pg_constraint where contype = 'c' and conrelid = any("
        " array['job', 'connector', 'workflow', 'timer', 'budget']::regclass[])"
    )
    known = {row["conname"] for row in rows.fetchall()}
    assert len(known) > 50
    assert {name for name in known if constraints.in_words(name) is None} == _OURS


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"name": ""}, "name: write 1 to 200 characters, without blanks around them"),
        ({"name": " pad "}, "name: write 1 to 200 characters, without blanks around them"),
        ({"retries": -1}, "retries: write 0 to 100"),
        ({"timeout": "0 s"}, "timeout: write more than 0s, and at most 1d"),
        ({"every": "1 month"}, "every: write at least 1s, and at most 366d, in days or less"),
        ({"every": "1 day", "cron": "@daily"}, "write one of cron, every and run_at, or none of them"),
        ({"run_at": "9999-12-31"}, "write instants between the years 1970 and 9000"),
    ],
)
def test_a_refusal_says_what_to_write(db: DictConnection, columns: dict[str, Any], said: str) -> None:
    """The sentence alone, without the name of a constraint or its expression."""
    with pytest.raises(ConfigError) as refused, changing(db):
        add_job(db, **columns)
    assert str(refused.value) == said
