"""Read a request's body without trusting whoever sends it: so many bytes, in so much time."""

from __future__ import annotations

import asyncio

from fastapi import Request
from starlette.requests import ClientDisconnect

from include.deadline import within
from include.errors import RefusedError


async def read_body(request: Request, *, most_bytes: int, most_seconds: float) -> bytes:
    """Return the body; `RefusedError` 413 as soon as it is known to be too large, 408 if it takes too long to come."""
    if int(request.headers.get("content-length", "0")) > most_bytes:
        raise _too_large(most_bytes)
    try:
        return await within(most_seconds, _read(request, most_bytes))
    except asyncio.TimeoutError:
        raise RefusedError(408, f"the body did not arrive within {most_seconds:g} s") from None
    except ClientDisconnect:
        raise RefusedError(400, "the connection was closed before the body had arrived") from None


async def _read(request: Request, most_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        if len(body) + len(chunk) > most_bytes:
            raise _too_large(most_bytes)
        body += chunk
    return bytes(body)


def _too_large(most_bytes: int) -> RefusedError:
    return RefusedError(413, f"the body is larger than {most_bytes / 1024:g} KiB: send it in several deliveries")
