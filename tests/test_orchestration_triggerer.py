"""A triggerer that ends lets go of what it has, and tells a shift that a person ended from one that others have now."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from include.local.home import PROJECT
from include.orchestration.triggerer import hand_over_at_the_end, was_ended
from include.store.db import DictConnection

pytestmark = pytest.mark.fresh_database


@pytest.fixture
def airflow(db: DictConnection) -> DictConnection:
    """What is read of Airflow's tables: two triggerers of this machine, with two and one triggers."""
    db.execute("create table public.job (id int, hostname text)")
    db.execute("create table public.trigger (id int, triggerer_id int)")
    db.execute("insert into public.job values (1, 'here'), (2, 'here'), (3, 'there')")
    db.execute("insert into public.trigger values (10, 1), (11, 1), (20, 2), (30, 3)")
    return db


def held(db: DictConnection) -> dict[object, object]:
    return {row["id"]: row["triggerer_id"] for row in db.execute("select id, triggerer_id from public.trigger")}


@pytest.mark.parametrize(("trigger_id", "freed"), [(10, {10, 11}), (20, {20}), (30, set()), (99, set())])
def test_what_a_triggerer_has_is_free_when_its_process_is_told_to_stop(
    database_url: str, airflow: DictConnection, trigger_id: int, freed: set[int]
) -> None:
    """All of its own, nothing of another one's; nothing where the trigger is on another machine by now, or gone."""

    async def process(seconds: float) -> None:
        for _ in range(2):  # each shift says so
            hand_over_at_the_end(database_url, trigger_id, "here")
        await asyncio.sleep(seconds)

    expected = {key: None if key in freed else triggerer for key, triggerer in held(airflow).items()}
    for seconds in (0.1, 0.5, 2.0):  # until it has found out its number, on a busy machine as well
        asyncio.run(process(seconds))  # which cancels what is left, as Airflow's runner does
        if freed and held(airflow) == expected:
            break
    assert held(airflow) == expected


def test_a_shift_that_has_ended_already_is_not_the_only_chance(database_url: str, airflow: DictConnection) -> None:
    """The first shift of a process may be over before it is known which triggerer had it: then the next one tells."""

    async def process(seconds: float) -> None:
        hand_over_at_the_end(database_url, 99, "here")
        await asyncio.sleep(seconds)
        hand_over_at_the_end(database_url, 10, "here")
        await asyncio.sleep(seconds)

    for seconds in (0.2, 1.0, 4.0):  # as long as both take on a busy machine
        asyncio.run(process(seconds))
        if held(airflow)[10] is None:
            break
    assert held(airflow) == {10: None, 11: None, 20: 2, 30: 3}


async def test_a_shift_that_another_triggerer_has_was_not_ended(database_url: str, airflow: DictConnection) -> None:
    """Airflow cancels both alike; but a trigger that a person has ended is gone."""
    assert not await was_ended(database_url, 10)
    airflow.execute("delete from public.trigger where id = 10")
    assert await was_ended(database_url, 10)


async def test_thousands_may_be_cancelled_at_once(database_url: str, airflow: DictConnection) -> None:
    """A triggerer that wakes up finds all it had elsewhere; to ask, it needs one connection and not thousands."""
    airflow.execute("insert into public.trigger select id, 2 from generate_series(1000, 2999) as id")
    airflow.execute("delete from public.trigger where id % 2 = 1")
    asked = range(1000, 3000)
    ended = await asyncio.gather(*(was_ended(database_url, trigger_id) for trigger_id in asked))
    assert ended == [trigger_id % 2 == 1 for trigger_id in asked]


async def test_where_nobody_can_say_nothing_was_ended(db: DictConnection, database_url: str) -> None:
    """What a shift had under way is then taken over as after a crash, and not recorded as ended by somebody."""
    assert not await was_ended(database_url, 10)  # of a database without Airflow


def test_a_triggerer_imports_what_shifts_need_and_others_do_not() -> None:
    """Before it has its first shift, so that taking over does not wait for it."""
    program = (
        "import sys\n"
        "from include.orchestration.triggerer import make_ready\n"
        "make_ready(['airflow', 'scheduler'])\n"
        "assert 'include.shifts.job' not in sys.modules\n"
        "sys.modules['include.actions.email'] = None  # cannot be imported\n"
        "make_ready(['airflow', 'triggerer', '--skip-serve-logs'])\n"
        "needed = {'include.orchestration.trigger', 'include.actions.webhook', 'include.connectors.rest'}\n"
        "assert needed <= set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=True)
