"""A mail as it goes over the wire (RFC 5322): its headers, one to a line, and the body in MIME, all of it 7-bit.

The headers are written here, and not by `email.message`, which takes a text that looks like an encoded word apart
(so that it could smuggle in a line, CPython issue 121650) and loses blanks when it folds (92081) in the older of the
Pythons that we run on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from include.actions._mail_address import Mailbox, encoded, is_plain

# Some servers cannot take more than 7 bits, and nobody minds quoted-printable or base64.
_POLICY = SMTP.clone(cte_type="7bit")

# RFC 5322 2.1.1 has 998 as the most; what is longer must be folded, and encoded words can be, anywhere.
_LONGEST_LINE = 900

_NO_ATOM = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file in a mail; `content_type` is `type/subtype`."""

    filename: str
    content_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail, ready to be written down. `bcc` gets it without being named in it; `message_id` has its brackets."""

    sender: Mailbox
    to: Sequence[Mailbox]
    cc: Sequence[Mailbox]
    bcc: Sequence[Mailbox]
    reply_to: Sequence[Mailbox]
    subject: str
    text: str | None
    html: str | None
    headers: Mapping[str, str]
    message_id: str
    attachments: Sequence[Attachment] = ()

    @property
    def receivers(self) -> list[str]:
        """Every address once, in order."""
        return list(dict.fromkeys(receiver.address for receiver in (*self.to, *self.cc, *self.bcc)))

    @property
    def is_international(self) -> bool:
        """Whether an address has other characters than ASCII before the @, which needs SMTPUTF8 (RFC 6531)."""
        return not all(each.address.isascii() for each in (self.sender, *self.to, *self.cc, *self.bcc, *self.reply_to))

    def written(self, now: datetime) -> bytes:
        """The mail in bytes, lines ended by CR LF; `now` goes into its `Date`. A big one takes a second."""
        lines = [
            _line("Subject", self.subject),
            f"From: {self.sender.header()}",
            *_receivers("To", self.to),
            *_receivers("Cc", self.cc),
            *_receivers("Reply-To", self.reply_to),
            f"Date: {format_datetime(now)}",
            f"Message-ID: {self.message_id}",
            *(_line(name, value) for name, value in self.headers.items()),
            "",
        ]
        return "\r\n".join(lines).encode() + self._body().as_bytes()

    def _body(self) -> EmailMessage:
        body = EmailMessage(_POLICY)
        if self.text is not None:
            body.set_content(self.text)
        if self.html is not None:
            (body.set_content if self.text is None else body.add_alternative)(self.html, subtype="html")
        for attachment in self.attachments:
            maintype, _, subtype = attachment.content_type.partition("/")
            body.add_attachment(attachment.content, maintype=maintype, subtype=subtype, filename=attachment.filename)
        return body


def message_id(key: str, domain: str) -> str:
    """The `Message-ID` of everything that is sent under a key: another key never has the same."""
    return f"<{_NO_ATOM.sub(lambda odd: f'={ord(odd[0]):x}=', key)}@millrace.{domain}>"


def _receivers(name: str, mailboxes: Sequence[Mailbox]) -> list[str]:
    return [f"{name}: " + ",\r\n ".join(each.header() for each in mailboxes)] if mailboxes else []


def _line(name: str, value: str) -> str:
    is_short = len(name) + len(value) < _LONGEST_LINE
    return f"{name}: {value if is_plain(value) and is_short else encoded(value, name)}"
