"""What a failed exchange asks for: another try, or none."""

from __future__ import annotations

import os

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from include.egress.redirects import Hop
from include.errors import AttemptError, PermanentError, RetryableError

# What a request can fail with, besides `asyncio.TimeoutError`.
FAILURES = (aiohttp.ClientError, HttpProcessingError, OSError, ValueError)


class LostError(aiohttp.ClientError):
    """The connection was lost after a request may have arrived; `cause` is what the client calls it.

    The client sends a request of a method that is said to be idempotent once more after a `ServerDisconnectedError`
    and a `ClientOSError`, even where the connection was new. It does not after this.
    """

    def __init__(self, cause: aiohttp.ClientError) -> None:
        super().__init__()
        self.cause = cause


async def send_once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Middleware for a client that must not send a request again by itself."""
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise  # nothing was sent
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
        raise LostError(error) from None


def failure(error: Exception, hop: Hop, tried: list[str | None]) -> AttemptError:
    """The error that says what to do about one of `FAILURES`; an address refused in vain is for good.

    `tried` is what was said of each address that the hop tried, None where it was not refused.
    """
    if isinstance(error, LostError):
        error = error.cause
    if isinstance(error, aiohttp.ClientConnectorError) and tried and tried[0] and all(tried):
        return PermanentError(f"{hop}: refused: {tried[0]}")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = getattr(error.certificate_error, "verify_message", None) or "it does not fit the host"
        return PermanentError(f"{hop}: the certificate is not valid: {cause}")
    if isinstance(error, ValueError):
        return PermanentError(f"{hop}: the URL or a header cannot be sent as it is written")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return RetryableError(f"{hop}: the host's name cannot be resolved")
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return RetryableError(f"{hop}: the server closed the connection without a reply")
    if isinstance(error, aiohttp.ClientPayloadError):
        return RetryableError(f"{hop}: the reply's body is cut short or garbled")
    if isinstance(error, (aiohttp.ClientResponseError, HttpProcessingError)):
        return RetryableError(f"{hop}: the reply is not valid HTTP")
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return RetryableError(f"{hop}: TLS failed")
    if isinstance(error, OSError):
        return RetryableError(f"{hop}: {os.strerror(error.errno).lower() if error.errno else 'the connection failed'}")
    return RetryableError(f"{hop}: the connection failed")
