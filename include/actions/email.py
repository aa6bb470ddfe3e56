"""Send a mail through an Airflow connection of type `smtp`.

Every attempt at the same occurrence has the same `Message-ID`, which is what receivers deduplicate by. If some
receivers are refused and others are not, the mail is sent, and not sent again: the output names the refused ones.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from include import model
from include.actions._fields import Headers
from include.actions._mail_address import Mailbox, mailbox, one_line
from include.actions._mail_attachments import Wanted, fetched
from include.actions._mail_message import Letter, message_id
from include.actions._mail_refusal import named
from include.actions._mail_server import MailServer, Receipt, hand_over, server_of
from include.errors import ConfigError
from include.model import Call, Output

_MOST_RECEIVERS = 100  # what every server takes (RFC 5321 4.5.3.1.8)
_MOST_CHARACTERS = 1024 * 1024
# RFC 5322 3.6, RFC 2045
_OURS = frozenset(
    {
        "bcc",
        "cc",
        "date",
        "from",
        "message-id",
        "mime-version",
        "received",
        "reply-to",
        "return-path",
        "sender",
        "subject",
        "to",
    }
)


def _check_address(value: str) -> str:
    mailbox(value)
    return value


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _check_headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if name.lower() in _OURS or name.lower().startswith(("content-", "resent-")):
            raise ValueError(f"leave out {name}: Millrace writes it")
        one_line(value)
    return headers


Address = Annotated[str, AfterValidator(_check_address)]
Addresses = Annotated[
    list[Address],
    Field(max_length=_MOST_RECEIVERS),
    BeforeValidator(_as_list),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
MailHeaders = Annotated[Headers, AfterValidator(_check_headers)]
Body = Annotated[str, Field(min_length=1, max_length=_MOST_CHARACTERS)]


# What is sent to tell somebody of failures, where a notify does not say what.
NOTICE = {"subject": "{{ summary }}", "text": "{{ text }}"}
CONF_FIELDS = ("subject", "text", "html")


class Config(model.Config):
    # A template that is one expression can make a number, and a subject may well be one.
    model_config = ConfigDict(coerce_numbers_to_str=True)

    conn_id: str = Field(default="smtp_default", min_length=1, description="The Airflow connection to send it through.")
    to: Addresses = Field(description="Who gets it: an address, or a list; `A Name <a@example.com>` is one, too.")
    cc: Addresses = Field(default_factory=list, description="Who gets a copy.")
    bcc: Addresses = Field(default_factory=list, description="Who gets a copy without being named in the mail.")
    subject: Annotated[str, AfterValidator(one_line)] = Field(
        min_length=1, max_length=1000, description="What it is about, in one line."
    )
    text: Body | None = Field(default=None, description="The mail as plain text.")
    html: Body | None = Field(default=None, description="The mail as HTML; with `text`, readers choose between them.")
    from_email: Address | None = Field(
        default=None, description="Who it is from; if not given, `from_email` of the connection, or its login."
    )
    reply_to: Addresses = Field(default_factory=list, description="Where answers go, if not to the sender.")
    headers: MailHeaders = Field(default_factory=dict, description="Further headers, by name.")
    attachments: list[Wanted] = Field(
        default_factory=list, max_length=20, description="Files to attach, fetched when the mail is sent."
    )

    @model_validator(mode="after")
    def _can_be_sent(self) -> Config:
        if not self.to:
            raise ValueError("write at least one address into to")
        if len(self.to) + len(self.cc) + len(self.bcc) > _MOST_RECEIVERS:
            raise ValueError(f"write at most {_MOST_RECEIVERS} receivers into to, cc and bcc together")
        if self.text is None and self.html is None:
            raise ValueError("write text or html, or both")
        return self


async def act(call: Call[Config]) -> Output:
    """Return what the server said if it took the mail for at least one receiver."""
    config = call.config
    if call.connection is None:
        raise ConfigError("there is no connection to send the mail through")
    deadline = time.monotonic() + call.timeout_seconds
    server = server_of(call.connection)
    sender = _sender(config, server, call.connection.id)
    for name, receivers in (("to", config.to), ("cc", config.cc), ("bcc", config.bcc)):
        if receivers:
            call.sent[name] = named(receivers)
    call.sent["subject"] = config.subject
    attachments = await fetched(config.attachments, call.http, call.timeout_seconds)
    letter = Letter(
        sender=sender,
        to=_mailboxes(config.to),
        cc=_mailboxes(config.cc),
        bcc=_mailboxes(config.bcc),
        reply_to=_mailboxes(config.reply_to),
        subject=config.subject,
        text=config.text,
        html=config.html,
        headers=config.headers,
        message_id=message_id(call.key, sender.domain),
        attachments=attachments,
    )
    receipt = await hand_over(server, call.http, letter, deadline - time.monotonic())
    return _output(letter, receipt, server)


def _mailboxes(texts: Sequence[str]) -> list[Mailbox]:
    return [mailbox(text) for text in texts]


def _sender(config: Config, server: MailServer, conn_id: str) -> Mailbox:
    """From whom the mail is: as the row says, else as the connection says, else whoever logs in."""
    if config.from_email is not None:
        return mailbox(config.from_email)
    if server.from_email is not None:
        try:
            return mailbox(server.from_email)
        except ValueError as error:
            raise ConfigError(f"connection {conn_id!r}: from_email in its extra: {error}") from None
    try:
        return mailbox(server.login or "")
    except ValueError:
        raise ConfigError(f"write from_email, or add it to the extra of connection {conn_id!r}") from None


def _output(letter: Letter, receipt: Receipt, server: MailServer) -> Output:
    total, refused = len(letter.receivers), receipt.refused
    if refused:
        words = named([f"{receiver} ({reply})" for receiver, reply in refused.items()])
        line = f"mail to {total - len(refused)} of {total} receivers accepted by {server.host}; refused: {words}"
    else:
        line = f"mail to {total} receiver{'s' if total > 1 else ''} accepted by {server.host}"
    data = {"message_id": letter.message_id, "receivers": total - len(refused), "refused": refused}
    return Output(line=line, excerpt=receipt.reply, data=data)
