"""A job of kind `email` in a shift, on a real database and a real SMTP server."""

from __future__ import annotations

import json

from include.model import Connection
from include.shifts.bell import utcnow
from include.shifts.execution import webhook_id
from include.store.db import DictConnection
from tests.mailing import MAIL, connection
from tests.shift_stage import executions, opened_post, stand
from tests.smtp_server import Mailing, serving
from tests.test_store import add_job


async def test_a_greylisted_mail_is_the_same_when_it_is_sent_again(database_url: str, db: DictConnection) -> None:
    """451 is worth another try, which has the `Message-ID` of the first; the ledger has the server's words."""
    mailing = Mailing()
    mailing.script = lambda line: "451 4.7.1 greylisted" if line == "." and len(mailing.offered) == 1 else None
    with serving(mailing):

        async def connections(conn_id: str) -> Connection:
            assert conn_id == "smtp_default"
            return connection(mailing)

        async with opened_post(database_url, lead_seconds=0) as post:
            post.connections = connections
            due = utcnow()
            job_id = add_job(db, kind="email", payload=json.dumps(MAIL), run_at=due, retry_delay="1 second")
            first = await stand(post, job_id, due)
            second = await stand(post, job_id, due, try_number=2)
    assert (first.state, second.state, len(mailing.mails)) == ("retry", "success", 1)
    [row] = executions(db)
    expected = f"<{webhook_id(job_id, due)}@millrace.example.com>"
    assert row["attempts"][0]["error"] == "127.0.0.1: mail refused: 451 4.7.1 greylisted"
    assert row["output"]["message_id"] == expected
    assert [mail.parsed["Message-ID"] for mail in mailing.offered] == [expected] * 2
