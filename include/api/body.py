"""Read a request's body without trusting whoever sends it: so many bytes, in so much time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress

from fastapi import Request
from starlette.requests import ClientDisconnect

from include.deadline import within
from include.errors import RefusedError

# A connection that is closed while its client sends is reset, and the client may never see the answer. So what is on
# its way is let come, and thrown away: so much of it, as long as it keeps coming.
_LINGER_SECONDS = 2.0
_LINGER_BYTES = 32 * 1024 * 1024
_SILENCE_SECONDS = 0.1


async def read_body(request: Request, *, most_bytes: int, most_seconds: float) -> bytes:
    """Return the body; `RefusedError` 413 as soon as it is known to be too large, 408 if it takes too long to come."""
    chunks = request.stream()
    try:
        if int(request.headers.get("content-length", "0")) > most_bytes:
            raise _too_large(most_bytes)
        return await within(most_seconds, _read(chunks, most_bytes))
    except RefusedError:
        await _linger(chunks)
        raise
    except asyncio.TimeoutError:
        raise RefusedError(408, f"the body did not arrive within {most_seconds:g} s") from None
    except ClientDisconnect:
        raise RefusedError(400, "the connection was closed before the body had arrived") from None


async def _read(chunks: AsyncIterator[bytes], most_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in chunks:
        if len(body) + len(chunk) > most_bytes:
            raise _too_large(most_bytes)
        body += chunk
    return bytes(body)


async def _linger(chunks: AsyncIterator[bytes]) -> None:
    left, until = _LINGER_BYTES, time.monotonic() + _LINGER_SECONDS
    with suppress(asyncio.TimeoutError, ClientDisconnect, StopAsyncIteration):
        while left > 0 and time.monotonic() < until:
            left -= len(await within(_SILENCE_SECONDS, anext(chunks)))


def _too_large(most_bytes: int) -> RefusedError:
    return RefusedError(413, f"the body is larger than {most_bytes / 1024:g} KiB: send it in several deliveries")
