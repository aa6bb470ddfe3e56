"""What an SMTP server's refusal means for the attempt, try again or give up: in its own words, without secrets."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import Iterable

import aiosmtplib

from include.errors import AttemptError, PermanentError, RetryableError

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST = 500
_MOST_NAMED = 5


def told(code: int, message: str, secrets: Iterable[str]) -> str:
    """A reply in one line, bounded; a server that repeats what it was sent does not get a secret into it."""
    words = message.encode("utf-8", "replace").decode()
    for secret in secrets:
        words = words.replace(secret, "***")
    return f"{code} {' '.join(_CONTROL.sub(' ', words).split())}"[:_LONGEST]


def failure_of(error: Exception, host: str, secrets: Iterable[str]) -> AttemptError:
    """The error that says what to do about a mail that nobody gets (RFC 5321 4.2.1: 4xx not now, 5xx never)."""
    secrets = list(secrets)
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return _refused(error.recipients, host, secrets)
    if isinstance(error, aiosmtplib.SMTPResponseException):
        words = f"{host}: {_what(error)}: {told(error.code, error.message, secrets)}"
        return PermanentError(words) if 500 <= error.code < 600 else RetryableError(words)
    cause = error if isinstance(error, ssl.SSLError) else error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return PermanentError(f"{host}: the certificate is not valid: {cause.verify_message}")
    if isinstance(cause, ssl.SSLError):
        return RetryableError(
            f"{host}: TLS failed; a port for STARTTLS, such as 587, needs disable_ssl in the connection's extra"
        )
    if isinstance(error, asyncio.TimeoutError):
        return RetryableError(f"{host}: the server did not answer in time")
    if isinstance(error, (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPConnectError)):
        return RetryableError(f"{host}: the server closed the connection")
    if isinstance(error, OSError):
        return RetryableError(f"{host}: {os.strerror(error.errno).lower() if error.errno else 'the connection failed'}")
    return PermanentError(f"{host}: {error}")  # the client's own words: the server lacks what the connection asks for


def _refused(refused: list[aiosmtplib.SMTPRecipientRefused], host: str, secrets: list[str]) -> AttemptError:
    """All receivers are refused; if one of them may be taken later, all are tried again."""
    words = [f"{each.recipient} ({told(each.code, each.message, secrets)})" for each in refused]
    line = f"{host}: every receiver refused: {named(words)}"
    return PermanentError(line) if all(500 <= each.code < 600 for each in refused) else RetryableError(line)


def named(words: list[str]) -> str:
    """The first few, and how many more."""
    more = f" and {len(words) - _MOST_NAMED} more" if len(words) > _MOST_NAMED else ""
    return ", ".join(words[:_MOST_NAMED]) + more


def _what(error: aiosmtplib.SMTPResponseException) -> str:
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return "login refused"
    if isinstance(error, aiosmtplib.SMTPSenderRefused):
        return f"sender {error.sender} refused"
    if isinstance(error, aiosmtplib.SMTPDataError):
        return "mail refused"
    return "refused"
