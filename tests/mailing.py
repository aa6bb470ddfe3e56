"""One attempt at sending a mail, from the payload as it is in the row, through a connection to a test's server."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from email import message_from_bytes
from email.header import decode_header
from ipaddress import ip_network
from typing import Any

from include.egress import Egress
from include.model import Call, Connection, Output
from include.registry import action
from tests.smtp_server import Mailing

PLAIN = {"disable_ssl": True, "disable_tls": True}
MAIL = {"to": "ann@example.com", "subject": "Hello", "text": "World"}
KEY = "job_5_1790000000000000"


def loopback() -> Egress:
    """The real way out, allowed to reach the loopback."""
    return Egress(allow=(ip_network("127.0.0.0/8"),), concurrency=10)


def connection(mailing: Mailing, host: str = "127.0.0.1", **more: Any) -> Connection:
    """A connection to the server; `extra` is plain and has a sender if nothing else is said."""
    more.setdefault("extra", {**PLAIN, "from_email": "Millrace <bot@example.com>"})
    return Connection(id="smtp_default", type="smtp", host=host, port=mailing.port, **more)


async def send(
    through: Connection,
    payload: dict[str, Any] | None = None,
    *,
    key: str = KEY,
    egress: Egress | None = None,
    seconds: float = 10,
) -> Output:
    """One attempt."""
    found = action("email")
    config = found.parse({**MAIL, **(payload or {})})
    http = egress or loopback()
    try:
        now = datetime.now(timezone.utc)
        call = Call(config=config, key=key, due=now, attempt=1, timeout_seconds=seconds, http=http, connection=through)
        output = await found.act(call)
        assert isinstance(output, Output)
        return output
    finally:
        await http.close()
        await asyncio.sleep(0)  # in which the loop closes the socket: the server, in its thread, waits for that


def decoded(mail: bytes, name: str) -> str:
    """A header as readers see it (RFC 2047), by another reader than Python's newer one, which can be led astray."""
    value = str(message_from_bytes(mail)[name]).replace("\r\n", "")
    parts = [
        part.decode(charset or "ascii") if isinstance(part, bytes) else part for part, charset in decode_header(value)
    ]
    return "".join(parts).strip()
