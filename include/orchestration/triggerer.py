"""What is ours in a triggerer beside its triggers: it is ready before it has any, and hands over when it ends.

A triggerer that takes over from a dead one would spend seconds on importing what shifts need. One that is told to stop
keeps its triggers on its name: others would wait for its heartbeat to be old, as if it had died. Nothing of Airflow's
is replaced; without any of this everything works, and shifts are silent for longer: docs/decisions/0021-takeover.md
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence

import psycopg

from include.deadline import within
from include.store import triggerers
from include.store.batch import Batch
from include.store.recall import recalls

log = logging.getLogger(__name__)

_ANSWER_SECONDS = 5.0
_WANTED_SECONDS = 20.0  # Airflow gives `on_kill` 30 s in all
_RELEASE_SECONDS = 8.0  # among thousands of shifts that end at the same moment; after 20 s Airflow kills the process
_AGAIN_SECONDS = 1.0
_AWAY = (psycopg.Error, OSError, asyncio.TimeoutError)

# By loop, of which a triggerer has one.
_leaving: dict[asyncio.AbstractEventLoop, asyncio.Task[None]] = {}
_wanted: dict[asyncio.AbstractEventLoop, Batch[int, bool]] = {}
_recalls: dict[asyncio.AbstractEventLoop, Batch[str, bool]] = {}


def make_ready(command: Sequence[str] = sys.argv) -> None:
    """In the process of a triggerer, before it forks the one in which shifts run: import what they need."""
    if list(command[1:2]) != ["triggerer"]:
        return
    import include.orchestration.trigger  # noqa: F401 - for what comes with it
    from include import registry

    for kinds, load in ((registry.action_kinds(), registry.action), (registry.source_kinds(), registry.source)):
        for kind in kinds:
            try:
                load(kind)
            except Exception:  # whoever wrote the kind: its rows fail, and not the triggerer
                log.exception("kind %r cannot be imported", kind)


def hand_over_at_the_end(database_url: str, trigger_id: int, hostname: str) -> None:
    """See to it, once per process, that other triggerers get this one's triggers as soon as it is told to stop.

    `trigger_id` is one that it has now, for it does not know its own number.
    """
    loop = asyncio.get_running_loop()
    if loop not in _leaving:
        _leaving[loop] = asyncio.create_task(_hand_over(database_url, trigger_id, hostname))


async def was_ended(database_url: str, trigger_id: int) -> bool:
    """Whether a trigger that Airflow cancels was ended by a person, and not only given to another triggerer.

    Airflow tells neither from the other. While nobody knows, it was not: what it had under way is then taken over as
    after a crash, where the other answer would record as ended what is not.
    """
    loop = asyncio.get_running_loop()
    if loop not in _wanted:
        _wanted[loop] = triggerers.wanted(database_url)
    try:
        return not await within(_WANTED_SECONDS, _wanted[loop].ask(trigger_id))
    except _AWAY:
        return False


async def recall(database_url: str, dag_id: str) -> None:
    """Have the next run of a DAG made now: a person has ended the one that was on duty. If that cannot be said, the
    watchdog sees to it."""
    loop = asyncio.get_running_loop()
    if loop not in _recalls:
        _recalls[loop] = recalls(database_url)
    try:
        if await within(_ANSWER_SECONDS, _recalls[loop].ask(dag_id)):
            log.info("%s: its run was ended in Airflow, and the next one begins now", dag_id)
    except _AWAY:
        log.warning("%s: its run was ended in Airflow, and nobody is on duty until the watchdog has seen it", dag_id)


async def _hand_over(database_url: str, trigger_id: int, hostname: str) -> None:
    triggerer_id = await _own_number(database_url, trigger_id, hostname)
    if triggerer_id is None:
        del _leaving[asyncio.get_running_loop()]  # the next shift knows better
        return
    try:
        await asyncio.get_running_loop().create_future()
    finally:  # the whole process is told to stop, and cancels every task it has
        try:
            await within(_RELEASE_SECONDS, triggerers.release(database_url, triggerer_id))
        except _AWAY:
            log.warning("others get the shifts of this triggerer only when its heartbeat is old")


async def _own_number(database_url: str, trigger_id: int, hostname: str) -> int | None:
    """The number of this triggerer; None if the trigger has ended meanwhile, or is another triggerer's."""
    while True:
        try:
            return await within(_ANSWER_SECONDS, triggerers.triggerer_of(database_url, trigger_id, hostname))
        except psycopg.errors.UndefinedTable:
            return None  # no Airflow is in this database
        except _AWAY:
            await asyncio.sleep(_AGAIN_SECONDS)
