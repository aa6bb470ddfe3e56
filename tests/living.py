"""A process in which all is at work at once: shifts, claims, timers, records, a workflow, the API; and a handle on it.

It is run with the code of any release that has what it imports, so as to see how that does on another one's tables.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from include.model import Record
from include.shifts import job as job_shift
from include.shifts import workflow as workflow_shift
from include.shifts.bell import utcnow
from include.shifts.post import Post
from include.shifts.shift import Shift
from include.store.db import DictConnection, connect
from include.store.log import as_items
from tests.api_client import Api, api_of
from tests.log_rows import add_connector, add_workflow
from tests.shift_stage import opened_post
from tests.test_store import add_job
from tests.timer_rows import has_status, pumping

ROUTES = ("/jobs", "/executions", "/timers", "/connectors", "/workflows", "/stats", "/audit", "//metrics", "//health")
AT_WORK = ("claims", "fires", "timers", "records", "processed", "answers", "edits")
_LEASE_SECONDS = 5.0
_STEP_SECONDS = 0.02


class Work:
    """What is done over and over until the end is told, counted by what it is."""

    def __init__(self, url: str, post: Post, db: DictConnection, api: Api) -> None:
        self._url, self._post, self._db, self._api = url, post, db, api
        self.counts: Counter[str] = Counter(dict.fromkeys(AT_WORK, 0))
        self.errors: list[str] = []
        self.longest_gap = 0.0  # between two claims that were answered
        self.ending = asyncio.Event()
        hook = {"url": f"{url}/job"}
        self._jobs = {
            name: add_job(db, name, kind="webhook", payload=json.dumps(hook), overlap="allow", every=every)
            for name, every in (("fast", "1 second"), ("by hand", None))
        }
        self._connector = add_connector(db)
        self._workflow = add_workflow(db, self._connector, f"{url}/workflow")

    async def go(self) -> None:
        """Work until the end is told, and to the end of what was begun."""
        duty = asyncio.create_task(self._be_on_duty())
        steps = (self._claim, self._set_timer, self._append, self._process, self._ask, self._edit)
        await asyncio.gather(*map(self._repeat, steps))
        while not await asyncio.to_thread(has_status, self._db, "fired", "failed"):
            await asyncio.sleep(_STEP_SECONDS)
        await self._process()
        duty.cancel()
        await asyncio.gather(duty, return_exceptions=True)

    async def _repeat(self, step: Callable[[], Awaitable[None]]) -> None:
        while not self.ending.is_set():
            try:
                await step()
            except Exception as error:
                self.errors.append(f"{step.__name__}: {error!r}")
            await asyncio.sleep(_STEP_SECONDS)

    async def _be_on_duty(self) -> None:
        due = utcnow() + timedelta(seconds=1)
        ending = await job_shift.stand(Shift(self._jobs["fast"], due.replace(microsecond=0), "on duty", 1), self._post)
        self.errors.append(f"the shift ended: {ending}")

    async def _claim(self) -> None:
        asked_at, due = time.monotonic(), utcnow()
        shift = Shift(self._jobs["by hand"], due, f"manual {due}", 1, by_hand=True)
        ending = await job_shift.stand(shift, self._post)
        assert ending.state == "success", ending
        self.longest_gap = max(self.longest_gap, time.monotonic() - asked_at)
        self.counts["claims"] += 1

    async def _set_timer(self) -> None:
        await self._call("POST", "/timers", {"url": f"{self._url}/timer", "seconds": 1})
        self.counts["timers"] += 1

    async def _append(self) -> None:
        number = self.counts["records"]
        items = as_items([Record(f"k{number}", {"n": number})])
        after = number or None
        done = await self._post.log.append(self._connector, items, after=after, cursor=number + 1)
        assert (done.stored, done.superseded) == (1, False), done
        self.counts["records"] += 1

    async def _process(self) -> None:
        shift = Shift(self._workflow, utcnow(), f"manual {utcnow()}", 1, by_hand=True, table="workflow")
        ending = await workflow_shift.stand(shift, self._post)
        assert ending.state == "success", ending
        self.counts["processed"] += 1

    async def _ask(self) -> None:
        for path in ROUTES:
            await self._call("GET", path)
        self.counts["answers"] += 1

    async def _edit(self) -> None:
        """A job comes, changes, and goes; and it is seen what the shift has fired."""
        made = await self._call("POST", "/jobs", {"name": "short", "kind": "ping", "payload": {"url": self._url}})
        await self._call("PATCH", f"/jobs/{made['id']}", {"every": "1h"})
        await self._call("DELETE", f"/jobs/{made['id']}")
        self.counts["edits"] += 1
        fired = await self._call("GET", f"/jobs/{self._jobs['fast']}/executions?status=success&limit=200")
        self.counts["fires"] = len(fired["items"])

    async def _call(self, method: str, path: str, body: Any = None) -> Any:
        response = await asyncio.to_thread(self._api.send, method, path, body)
        assert response.status_code < 400, (method, path, response.text)
        is_json = response.headers.get("content-type", "").startswith("application/json")
        return response.json() if is_json and response.content else None

    def say(self) -> None:
        facts = {"counts": self.counts, "errors": self.errors[:5], "longest_gap": self.longest_gap}
        print(json.dumps(facts), flush=True)


async def _main(database_url: str, url: str) -> None:
    with connect(database_url) as db, api_of(database_url) as api:
        async with opened_post(database_url, lease_seconds=_LEASE_SECONDS) as post, pumping(post):
            work = Work(url, post, db, api)
            telling = asyncio.create_task(_tell(work))
            asyncio.get_running_loop().run_in_executor(None, sys.stdin.read).add_done_callback(
                lambda _: work.ending.set()
            )
            await work.go()
            telling.cancel()
            work.say()


async def _tell(work: Work) -> None:
    while True:
        work.say()
        await asyncio.sleep(0.1)


class Living:
    """The process, from outside."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.counts: dict[str, int] = {}
        self.errors: list[str] = []
        self.longest_gap = 0.0
        self._reading = asyncio.create_task(self._read())

    async def until_grown(self, by: int, names: tuple[str, ...] = AT_WORK) -> None:
        """Return when so much more of everything has been done."""
        await self._heard()
        before = dict(self.counts)
        while any(self.counts[name] < before[name] + by for name in names):
            await self._heard()

    async def end(self) -> None:
        """Have it bring to an end what it has begun, and no error have happened."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        await self._reading
        assert (self._process.returncode, self.errors) == (0, [])

    async def kill(self) -> None:
        """As when power runs out."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await self._reading

    async def _heard(self) -> None:
        before = self.counts
        while self.counts is before:
            assert not self._reading.done(), "it has ended by itself"
            await asyncio.sleep(0.02)
        assert not self.errors, self.errors

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            if line.startswith(b'{"counts"'):
                facts = json.loads(line)
                self.counts, self.errors = facts["counts"], facts["errors"]
                self.longest_gap = facts["longest_gap"]


@asynccontextmanager
async def living(checkout: Path, database_url: str, url: str) -> AsyncIterator[Living]:
    """At work with the code in `checkout`; what it calls is below `url`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.living", database_url, url),
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},  # before whatever the tests themselves were started with
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    alive = Living(process)
    try:
        yield alive
    finally:
        await alive.kill()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
