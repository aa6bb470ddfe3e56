"""What a reply means for the pull: go on, stop, begin anew, or an error that says what to do about it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any, Literal, NoReturn

from pydantic import Field, model_validator

from include import model
from include.connectors._wait import spent, wait_seconds
from include.errors import PermanentError, RateLimitedError, RetryableError
from include.model import PAGE_CAP, Reply

EXCERPT_CHARACTERS = 500

# Statuses that are no server error and all the same say "not now" (RFC 9110 15.5.9, RFC 8470 5.2).
_NOT_NOW = frozenset({408, 425})
# Python knows codecs under many more names, some of which take for ever.
_CHARSET = re.compile(
    r"charset=\"?(iso-8859-\d+|windows-125\d|shift_jis|euc-(?:jp|kr)|gbk|gb18030|big5|koi8-[ru])\b", re.IGNORECASE
)

Verdict = Literal["page", "ignore", "reset"]


class ResponseAction(model.Config):
    """What to do about a reply with this status, this text, or both."""

    status_code: int | None = Field(default=None, ge=100, le=599, description="The status.")
    content: str | None = Field(default=None, min_length=1, description="A text that the body holds.")
    action: Literal["ignore", "retry", "fail", "rate_limited", "reset"] = Field(
        description="ignore: the pull ends here, as if all was read. retry: try again later. fail: report it. "
        "rate_limited: wait as told. reset: the source has lost our place; begin this pull anew."
    )

    @model_validator(mode="after")
    def _some_condition(self) -> ResponseAction:
        if self.status_code is None and self.content is None:
            raise ValueError("write status_code, content or both")
        return self

    def applies(self, reply: Reply) -> bool:
        """Whether the reply fulfils every condition that there is."""
        if self.status_code is not None and self.status_code != reply.status:
            return False
        return self.content is None or self.content.encode() in reply.body


def judge(reply: Reply, line: str, actions: Sequence[ResponseAction], redact: Callable[[str], str]) -> Verdict:
    """Return what is to be done with a reply; `line` begins the message of every error.

    The first action that applies decides. Without one: 2xx is a page; 429, or 403 with a spent limit, is
    `RateLimitedError`; 408, 425 and 5xx are `RetryableError`; everything else is `PermanentError`.
    """
    status, headers = reply.status, reply.headers
    action = next((action.action for action in actions if action.applies(reply)), None)
    if action == "ignore" or action == "reset":
        return action
    if action is None and 200 <= status < 300:
        return "page"
    line = f"{line} {status}"
    excerpt = redact(reply.text()[: 2 * EXCERPT_CHARACTERS])[:EXCERPT_CHARACTERS] or None
    wait = wait_seconds(headers, datetime.now(timezone.utc))
    out_of_limit = status == 429 or (status == 403 and (spent(headers) or "Retry-After" in headers))
    if action == "rate_limited" or (action is None and out_of_limit):
        raise RateLimitedError(line, code=status, excerpt=excerpt, after_seconds=wait)
    if action == "retry" or (action is None and (status >= 500 or status in _NOT_NOW)):
        raise RetryableError(line, code=status, excerpt=excerpt, after_seconds=wait)
    raise PermanentError(line, code=status, excerpt=excerpt)


def parsed(reply: Reply, line: str) -> Any:
    """The JSON of a page (RFC 8259: no NaN, no Infinity); None for 204, which has no body.

    It is UTF-8, unless the reply names one of the older encodings.
    """
    if reply.truncated:
        raise PermanentError(
            f"{line}: the page is larger than {PAGE_CAP >> 20} MiB; ask for smaller pages", code=reply.status
        )
    if reply.status == 204:
        return None
    content_type = reply.headers.get("Content-Type", "no content type")
    charset = _CHARSET.search(content_type)
    try:
        return json.loads(reply.body.decode(charset[1]) if charset else reply.body, parse_constant=_refuse)
    except (ValueError, LookupError, RecursionError):
        kind = content_type.partition(";")[0][:100]
        raise PermanentError(f"{line}: the reply is not valid JSON ({kind})", code=reply.status) from None


def _refuse(_constant: str) -> NoReturn:
    raise ValueError
