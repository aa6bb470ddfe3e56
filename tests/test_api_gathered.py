"""Many small requests as few transactions: who shares one, and that nobody is harmed by anybody else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest

from include.api.gathered import Gathered
from include.errors import RefusedError, RetryableError

Ask = tuple[str, int]


class Database:
    """Answers each number with its double; what it was asked for together, and what it does before it answers."""

    def __init__(self) -> None:
        self.transactions: list[Sequence[Ask]] = []
        self.before: Callable[[Sequence[Ask]], None] = lambda asks: None

    def run(self, asks: Sequence[Ask]) -> list[int]:
        self.transactions.append(asks)
        self.before(asks)
        return [2 * number for _, number in asks]


class Held:
    """The first transaction of Alice's goes on when it is let go."""

    def __init__(self, database: Database) -> None:
        self.begun, self.let_go = threading.Event(), threading.Event()
        database.before = self._hold

    def _hold(self, asks: Sequence[Ask]) -> None:
        if asks[0] == ("alice", 0):
            self.begun.set()
            assert self.let_go.wait(30)


@pytest.fixture
def database() -> Database:
    return Database()


def gathered(database: Database, *, most: int = 100, most_waiting: int = 1000) -> Gathered[Ask, int]:
    return Gathered(database.run, together=lambda ask: ask[0], most=most, most_waiting=most_waiting)


async def waiting(work: Gathered[Ask, int], asks: Sequence[Ask]) -> list[asyncio.Task[int]]:
    """Those who ask, once they have."""
    tasks = [asyncio.create_task(work.ask(ask)) for ask in asks]
    await asyncio.sleep(0)
    return tasks


async def begun(held: Held) -> None:
    assert await asyncio.to_thread(held.begun.wait, 30)


async def test_many_at_once_share_few_transactions(database: Database) -> None:
    """Who comes while a transaction is under way goes into the next one, in the order of coming; all are answered."""
    work = gathered(database, most=100)
    held = Held(database)
    first = await waiting(work, [("alice", 0)])
    await begun(held)
    rest = await waiting(work, [("alice", number) for number in range(1, 251)])
    held.let_go.set()
    assert await asyncio.gather(*first, *rest) == [2 * number for number in range(251)]
    assert [len(asks) for asks in database.transactions] == [1, 100, 100, 50]
    assert [ask for asks in database.transactions for ask in asks] == [("alice", number) for number in range(251)]


async def test_who_is_refused_does_not_harm_the_others(database: Database) -> None:
    """The others of the same transaction are answered, and each who is refused hears why, as if he had come alone."""

    def refuse(asks: Sequence[Ask]) -> None:
        for _, number in asks:
            if number in (3, 5):
                raise RefusedError(422, f"not {number}")

    database.before = refuse
    tasks = await waiting(gathered(database), [("alice", number) for number in range(1, 8)])
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [answer for answer in answers if isinstance(answer, int)] == [2, 4, 8, 12, 14]
    assert [str(answers[2]), str(answers[4])] == ["not 3", "not 5"]


async def test_callers_are_kept_apart(database: Database) -> None:
    """No transaction is of two callers, and one who keeps the database busy keeps nobody else waiting."""
    work = gathered(database)
    held = Held(database)
    hers = await waiting(work, [("alice", 0)])
    await begun(held)
    more = await waiting(work, [("alice", 1), ("bob", 2), ("alice", 3), ("bob", 4)])
    assert await asyncio.gather(more[1], more[3]) == [4, 8]
    assert not any(task.done() for task in (*hers, more[0], more[2]))
    held.let_go.set()
    assert await asyncio.gather(*hers, *more) == [0, 2, 4, 6, 8]
    assert sorted({name for name, _ in asks} for asks in database.transactions) == [{"alice"}, {"bob"}, {"alice"}]


async def test_who_goes_away_harms_nobody(database: Database) -> None:
    """Whether he goes before his turn, which is then nobody's, or during it: the others are answered."""
    work = gathered(database)
    held = Held(database)
    first = await waiting(work, [("alice", 0)])
    await begun(held)
    rest = await waiting(work, [("alice", 1), ("alice", 2), ("alice", 3)])
    for gone in (first[0], rest[1]):
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
    held.let_go.set()
    assert await asyncio.gather(rest[0], rest[2]) == [2, 6]
    assert database.transactions == [[("alice", 0)], [("alice", 1), ("alice", 3)]]


@pytest.mark.parametrize("defect", [ValueError("ours"), StopIteration(), asyncio.CancelledError()])
async def test_a_defect_answers_everybody(database: Database, defect: BaseException) -> None:
    """All who share the transaction are told, each by an error of his own, and whoever comes after is answered."""

    def fail(asks: Sequence[Ask]) -> None:
        raise defect

    work = gathered(database)
    database.before = fail
    tasks = await waiting(work, [("alice", 1), ("alice", 2), ("bob", 3)])
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(answer, (RuntimeError, RetryableError)) for answer in answers)
    if isinstance(defect, Exception):
        assert answers[0] is not answers[1]
        assert all(isinstance(answer, RuntimeError) and answer.__cause__ is defect for answer in answers)
    database.before = lambda asks: None
    assert await work.ask(("alice", 4)) == 8


async def test_too_few_answers_are_a_defect() -> None:
    """Nobody gets the answer of somebody else, and nobody waits for ever."""
    work: Gathered[Ask, int] = Gathered(lambda asks: [1], together=lambda ask: ask[0])
    tasks = await waiting(work, [("alice", 1), ("alice", 2)])
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [RuntimeError, RuntimeError]


async def test_a_database_that_is_away_is_asked_once_for_all(database: Database) -> None:
    """All are told to come again; they are not asked for one by one."""

    def away(asks: Sequence[Ask]) -> None:
        raise RetryableError("the database cannot be reached")

    database.before = away
    tasks = await waiting(gathered(database), [("alice", number) for number in range(50)])
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert {str(answer) for answer in answers} == {"the database cannot be reached"}
    assert len(database.transactions) == 1


async def test_closing_waits_for_all_answers(database: Database) -> None:
    """What was asked for before is answered when close() returns; with nothing to wait for, it returns at once."""
    work = gathered(database, most=2)
    await work.close()
    held = Held(database)
    tasks = await waiting(work, [("alice", 0)])
    await begun(held)
    tasks += await waiting(work, [("alice", 1), ("alice", 2), ("alice", 3), ("bob", 4)])
    closing = asyncio.create_task(work.close())
    await asyncio.sleep(0)
    assert not closing.done()
    held.let_go.set()
    await closing
    assert await asyncio.gather(*tasks) == [0, 2, 4, 6, 8]


async def test_closing_that_is_cut_short_cuts_off_nobody(database: Database) -> None:
    """Whoever does not want to wait for the end any longer leaves the others to be answered."""
    work = gathered(database)
    held = Held(database)
    tasks = await waiting(work, [("alice", 0)])
    await begun(held)
    closing = asyncio.create_task(work.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    held.let_go.set()
    assert await asyncio.gather(*tasks) == [0]


async def test_no_more_wait_than_can_be_answered(database: Database) -> None:
    """One too many of a caller's is told to come later; another caller is answered all the same."""
    work = gathered(database, most_waiting=3)
    held = Held(database)
    tasks = await waiting(work, [("alice", 0)])
    await begun(held)
    tasks += await waiting(work, [("alice", number) for number in range(1, 4)])
    with pytest.raises(RetryableError, match="too much to do"):
        await work.ask(("alice", 4))
    assert await work.ask(("bob", 5)) == 10
    held.let_go.set()
    assert await asyncio.gather(*tasks) == [0, 2, 4, 6]
