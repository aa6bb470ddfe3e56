"""Errors are named by their remedy, so that whoever catches one knows what to do next.

`MillraceError` is the one root. Messages say which row, what is wrong and how to mend it; they are shown to users as
they stand. Nothing may decide by reading a message.
"""

from __future__ import annotations


class MillraceError(Exception):
    """The root of every error that Millrace raises on purpose."""


class ConfigError(MillraceError):
    """Fix the configuration: a row, a payload, a setting. Trying again without an edit is useless."""


class MisfitError(ConfigError):
    """Fix a row: `problems` are places in it, such as `payload.headers.0`, and what is wrong there."""

    def __init__(self, message: str, problems: list[tuple[str, str]]) -> None:
        super().__init__(message)
        self.problems = problems


class TakenError(ConfigError):
    """Choose another name, or change what has it: a row has this name, or this `external_id`, already.

    `place` is the setting that is taken, where only one row is written.
    """

    def __init__(self, message: str, place: str | None = None) -> None:
        super().__init__(message)
        self.place = place


class AttemptError(MillraceError):
    """One attempt failed: `code` and `excerpt` say what came back, where something did; the ledger keeps both."""

    def __init__(self, message: str, *, code: int | None = None, excerpt: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.excerpt = excerpt


class RetryableError(AttemptError):
    """Try again later: a time-out, a refused connection, a 503. `after_seconds` is the least wait, if one was given."""

    def __init__(
        self, message: str, *, code: int | None = None, excerpt: str | None = None, after_seconds: float | None = None
    ) -> None:
        super().__init__(message, code=code, excerpt=excerpt)
        self.after_seconds = after_seconds


class PermanentError(AttemptError):
    """Give up on this occurrence: a 404, a refused address. The next occurrence may still succeed."""


class RateLimitedError(RetryableError):
    """Wait as told, then go on: the source is asked too often, which is not a failure of anybody's."""


class RefusedError(MillraceError):
    """What somebody sent is refused and not stored; `status` is the HTTP status that fits, the message the reason."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
