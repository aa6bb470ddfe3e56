"""What Slack's reply means for the attempt.

The Web API answers with status 200 and `{"ok": false, "error": "a_word"}` where it refuses, an incoming webhook with
another status and the word alone, or with `ok`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from datetime import datetime

from include.actions._verdict import judge, retry_after
from include.errors import PermanentError, RetryableError
from include.model import Output, Reply

_WORD = re.compile(r"[A-Za-z0-9._-]{1,100}")  # an error, a channel, a timestamp: what can be shown and stored

# Those that Slack's own pages call transient, or a matter of waiting.
_NOT_NOW = frozenset(
    {
        "fatal_error",
        "internal_error",
        "rate_limited",
        "ratelimited",
        "request_timeout",
        "service_unavailable",
        "team_added_to_org",
    }
)

_REMEDIES = {
    word: remedy
    for remedy, words in {
        "write a valid token as the connection's password": (
            "account_inactive invalid_auth not_authed token_expired token_revoked"
        ),
        "give the app the scope chat:write, and for username and icons chat:write.customize": "missing_scope",
        "invite the app to the channel, or give it the scope chat:write.public": "not_in_channel",
        "write the channel's id; if it is private, invite the app to it": "channel_not_found",
        "write another channel, or restore this one": "channel_is_archived is_archived",
        "the workspace does not allow it: ask an administrator": "action_prohibited restricted_action",
        "the webhook is gone: make a new one, and write its URL": "invalid_token no_active_hooks no_service",
        "mend the blocks, with Slack's Block Kit Builder": "invalid_blocks",
        "mend the blocks or the attachments": "invalid_attachments invalid_payload",
        "write a text or blocks that are not blank": "no_text",
        "write less": "msg_blocks_too_long msg_too_long",
    }.items()
    for word in words.split()
}


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a body says: whether the message is posted, where, or the word for why not."""

    ok: bool
    word: str | None = None
    posted: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.word is None:
            return "the reply is not one of Slack's; check the URL that is called"
        remedy = _REMEDIES.get(self.word)
        return f"{self.word}: {remedy}" if remedy else self.word


def judge_slack(reply: Reply, now: datetime) -> Output:
    """Return the output of a message that is posted, with `channel` and `ts` where Slack says them.

    Raises `RetryableError` or `PermanentError` with Slack's word for what is wrong, and the remedy for common ones.
    """
    answer = _read(reply)
    try:
        output = judge(reply, "POST", now)
    except PermanentError as error:
        if answer.word is None:
            raise
        raise PermanentError(f"{error}: {answer}", code=error.code, excerpt=error.excerpt) from None
    if answer.ok:
        return replace(output, data={**answer.posted})
    line = f"{output.line}: {answer}"
    if answer.word in _NOT_NOW:
        wait = retry_after(reply.headers.get("Retry-After"), now)
        raise RetryableError(line, code=output.code, excerpt=output.excerpt, after_seconds=wait)
    raise PermanentError(line, code=output.code, excerpt=output.excerpt)


def _read(reply: Reply) -> _Answer:
    text = reply.text().strip()
    if text == "ok" or _WORD.fullmatch(text):
        return _Answer(text == "ok", None if text == "ok" else text)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return _Answer(False)
    if not isinstance(document, dict):
        return _Answer(False)
    words = {name: value for name, value in document.items() if isinstance(value, str) and _WORD.fullmatch(value)}
    posted = {name: words[name] for name in ("channel", "ts") if name in words}
    return _Answer(document.get("ok") is True, words.get("error"), posted)
