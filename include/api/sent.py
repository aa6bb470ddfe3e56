"""What a request is: who sent it, and its Idempotency-Key."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request

from include.api.login import CallerDep
from include.documents.caller import Caller

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Any text of your own: the same request with the same key happens once, and is answered the same "
        "again, for a day.",
    ),
]


@dataclass(frozen=True, slots=True)
class SentRequest:
    """Who sent it; its Idempotency-Key, if any; and a digest of all that makes it the same request."""

    caller: Caller
    key: str | None
    digest: bytes


async def _sent(request: Request, caller: CallerDep, idempotency_key: IdempotencyKey = None) -> SentRequest:
    what = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    return SentRequest(caller, idempotency_key, hashlib.sha256(what + await request.body()).digest())


Sent = Annotated[SentRequest, Depends(_sent)]
