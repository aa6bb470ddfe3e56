"""Fetch a URL and check that it answers as it should.

Redirects are followed. Any 2xx is success unless `expect_status` says otherwise, and `expect_body` must be in the
part of the body that is read.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated

from pydantic import Field

from include import model
from include.actions._fields import Url
from include.actions._verdict import excerpt, judge
from include.errors import RetryableError
from include.model import BODY_CAP, Call, Output

HttpStatus = Annotated[int, Field(ge=100, le=599)]


class Config(model.Config):
    url: Url = Field(description="What to fetch.")
    expect_status: HttpStatus | Annotated[list[HttpStatus], Field(min_length=1)] | None = Field(
        default=None, description="The status, or the statuses, that count as success; if not given, any 2xx."
    )
    expect_body: str | None = Field(
        default=None, min_length=1, max_length=1000, description="A text that the body must contain."
    )


async def act(call: Call[Config]) -> Output:
    """Return what came back if it is as expected; a body that is not may be so next time, so it is retried."""
    config = call.config
    expected = [config.expect_status] if isinstance(config.expect_status, int) else config.expect_status
    reply = await call.http.request("GET", config.url, timeout_seconds=call.timeout_seconds)
    output = judge(reply, "GET", datetime.now(timezone.utc), expected)
    if config.expect_body is not None and config.expect_body not in reply.text():
        where = f"the first {BODY_CAP} bytes of the body do" if reply.truncated else "the body does"
        raise RetryableError(
            f"{output.line}: {where} not contain {config.expect_body!r}", code=reply.status, excerpt=excerpt(reply)
        )
    return output
