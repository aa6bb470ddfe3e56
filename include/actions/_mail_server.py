"""Handing a mail to an SMTP server (RFC 5321), as an Airflow connection of type `smtp` describes it.

The connection's fields are those of Airflow's provider. Its own hook is not used: it would look the server's name up a
second time, past the egress guard. Here the socket is connected to an address that was permitted, and TLS checks the
certificate against the name.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cache
from typing import Literal

import aiosmtplib
from pydantic import BaseModel, NonNegativeInt, PositiveFloat, ValidationError

from include.actions._mail_message import Letter
from include.actions._mail_refusal import failure_of, told
from include.deadline import within
from include.errors import ConfigError
from include.model import Connection, Http

_PORTS = {"implicit": 465, "starttls": 587, "none": 25}


class _Extra(BaseModel):
    """What we go by in the extra field of the connection; the rest is the provider's alone."""

    from_email: str | None = None
    disable_ssl: bool = False
    disable_tls: bool = False
    ssl_context: Literal["default", "none"] = "default"
    timeout: PositiveFloat = 30.0
    retry_limit: NonNegativeInt = 5
    auth_type: Literal["basic", "oauth2"] = "basic"
    access_token: str | None = None


@dataclass(frozen=True, slots=True)
class MailServer:
    """A server, and how to speak to it.

    `timeout_seconds` is for connecting, TLS and login together; `retry_limit` is how often to connect anew, at once, if
    the server hangs up meanwhile. `from_email` is the sender of mails that name none.
    """

    host: str
    port: int
    tls: Literal["implicit", "starttls", "none"]
    verify: bool
    timeout_seconds: float
    retry_limit: int
    from_email: str | None
    login: str | None = field(repr=False)
    password: str | None = field(repr=False)
    access_token: str | None = field(repr=False)

    @property
    def secrets(self) -> list[str]:
        """What must not be repeated, in each spelling in which the server gets it, the longest first."""
        plain = [secret for secret in (self.password, self.access_token) if secret]
        whole = [f"\0{self.login}\0{self.password}", f"user={self.login}\1auth=Bearer {self.access_token}\1\1"]
        spelled = [b64encode(secret.encode()).decode() for secret in [*plain, *whole]]
        return sorted([*plain, *spelled], key=len, reverse=True)


def server_of(connection: Connection) -> MailServer:
    """Read a connection; `ConfigError` says what is wrong with it."""
    name = f"connection {connection.id!r}"
    try:
        extra = _Extra.model_validate(
            {key: value for key, value in connection.extra.items() if value not in (None, "")}
        )
    except ValidationError as error:
        [problem, *_] = error.errors(include_url=False, include_input=False, include_context=False)
        raise ConfigError(f"{name}: {problem['loc'][0]} in its extra: {problem['msg']}") from None
    if not connection.host:
        raise ConfigError(f"{name} has no host; write the SMTP server's name there")
    login, password, token = connection.login or None, connection.password or None, None
    if extra.auth_type == "oauth2":
        login, password, token = login or extra.from_email, None, extra.access_token
        if login is None or token is None:
            raise ConfigError(f"{name}: auth_type oauth2 needs a login, or from_email, and access_token in its extra")
    tls: Literal["implicit", "starttls", "none"] = "implicit"
    if extra.disable_ssl:
        tls = "none" if extra.disable_tls else "starttls"
    return MailServer(
        host=connection.host,
        port=connection.port or _PORTS[tls],
        tls=tls,
        verify=extra.ssl_context == "default",
        timeout_seconds=extra.timeout,
        retry_limit=extra.retry_limit,
        from_email=extra.from_email,
        login=login,
        password=password,
        access_token=token,
    )


@dataclass(frozen=True, slots=True)
class Receipt:
    """The server's word that it took the mail for at least one receiver; `refused` has its words on the others."""

    reply: str
    refused: dict[str, str]


async def hand_over(server: MailServer, http: Http, letter: Letter, seconds: float) -> Receipt:
    """Hand the mail over within so many seconds, and return the receipt.

    `PermanentError` or `RetryableError`, by what the server said, if no receiver gets it; the error has no status code,
    for those of SMTP mean something else than those of HTTP.
    """
    try:
        return await within(seconds, _handed_over(server, http, letter, seconds))
    # `from None`: the client's own errors may quote what the server repeated of the login
    except (aiosmtplib.SMTPException, OSError, asyncio.TimeoutError) as error:
        raise failure_of(error, server.host, server.secrets) from None


async def _handed_over(server: MailServer, http: Http, letter: Letter, seconds: float) -> Receipt:
    mail = await asyncio.to_thread(_stuffed, letter)
    addresses = await http.addresses(server.host, server.port)
    # A share of the time for each address, and one for the mail, so that a dead address does not take all of it.
    patience = min(server.timeout_seconds, seconds / (len(addresses) + 1))
    client = await _ready(server, addresses, patience)
    try:
        if letter.is_international and not client.supports_extension("smtputf8"):
            raise aiosmtplib.SMTPNotSupported(
                "an address has other characters than ASCII before the @, and the server has no SMTPUTF8"
            )
        receipt = await _sent(client, letter, mail, server.secrets)
        # As Postfix does, the answer to QUIT is not waited for: nothing that happens from here on unsends the mail.
        with suppress(aiosmtplib.SMTPServerDisconnected):
            if client.protocol is not None:
                client.protocol.write(b"QUIT\r\n")
        client.close()
        return receipt
    finally:
        _drop(client)


def _stuffed(letter: Letter) -> bytes:
    """The mail as DATA takes it: lines ended by CR LF, a dot before a dot, a dot at the end (RFC 5321 4.5.2)."""
    lines = letter.written(datetime.now(timezone.utc)).splitlines()
    return b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines) + b"\r\n.\r\n"


async def _sent(client: aiosmtplib.SMTP, letter: Letter, stuffed: bytes, secrets: Sequence[str]) -> Receipt:
    """One mail transaction. The client's own would go through a big mail three times, and all would wait for it."""
    options = [f"SIZE={len(stuffed)}"] if client.supports_extension("size") else []
    encoding = "ascii"
    if letter.is_international:
        options, encoding = [*options, "SMTPUTF8"], "utf-8"
    await client.mail(letter.sender.address, options=options, encoding=encoding)
    refused = []
    for receiver in letter.receivers:
        try:
            await client.rcpt(receiver, encoding=encoding)
        except aiosmtplib.SMTPRecipientRefused as error:
            refused.append(error)
    if len(refused) == len(letter.receivers):
        raise aiosmtplib.SMTPRecipientsRefused(refused)
    reply = await client.execute_command(b"DATA")
    if reply.code != 354 or client.protocol is None:
        raise aiosmtplib.SMTPDataError(*reply)
    client.protocol.write(stuffed)
    reply = await client.protocol.read_response()
    if reply.code != 250:
        raise aiosmtplib.SMTPDataError(*reply)
    words = {error.recipient: told(error.code, error.message, secrets) for error in refused}
    return Receipt(told(*reply, secrets), words)


async def _ready(server: MailServer, addresses: Sequence[str], patience: float) -> aiosmtplib.SMTP:
    """A client that is connected and logged in; a server that hangs up before it is gets another chance."""
    for left in range(server.retry_limit, -1, -1):
        try:
            return await _opened(server, await _connected(addresses, server.port, patience), server.timeout_seconds)
        except aiosmtplib.SMTPException as error:
            hung_up = any(isinstance(each, aiosmtplib.SMTPServerDisconnected) for each in (error, error.__cause__))
            if not left or not hung_up:
                raise
    raise AssertionError("the last chance returns or raises")


async def _connected(addresses: Sequence[str], port: int, patience: float) -> socket.socket:
    """A socket that is connected to the first of the addresses that answers."""
    failure: Exception = OSError()
    for address in addresses:
        connecting = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        connecting.setblocking(False)
        try:
            await within(patience, asyncio.get_running_loop().sock_connect(connecting, (address, port)))
            return connecting
        except (OSError, asyncio.TimeoutError) as error:
            connecting.close()
            failure = error
        except BaseException:
            connecting.close()
            raise
    raise failure


async def _opened(server: MailServer, connected: socket.socket, seconds: float) -> aiosmtplib.SMTP:
    """Speak to the server on a connected socket, which belongs to the client from here on."""
    client = aiosmtplib.SMTP(
        hostname=server.host,
        sock=connected,
        local_hostname=_own_name(connected),
        use_tls=server.tls == "implicit",
        start_tls=server.tls == "starttls",
        tls_context=_tls_context(server.verify),
        timeout=None,  # it would use `asyncio.wait_for`, which can lose a cancellation (include/deadline.py)
    )
    try:
        await within(seconds, _log_in(client, server))
    except BaseException:
        _drop(client)
        raise
    return client


async def _log_in(client: aiosmtplib.SMTP, server: MailServer) -> None:
    await client.connect()
    if server.access_token is not None:
        await client.auth_xoauth2(server.login or "", server.access_token)
    elif server.login is not None and server.password is not None:
        await client.login(server.login, server.password)
    else:
        await client.ehlo()


def _drop(client: aiosmtplib.SMTP) -> None:
    """Hang up now: what is not sent yet would wait for as long as the server does not read."""
    if isinstance(client.transport, asyncio.WriteTransport):
        client.transport.abort()
    client.close()


def _own_name(connected: socket.socket) -> str:
    """What to call ourselves (RFC 5321 4.1.4): our name if it has a domain, else our address; nobody is asked."""
    name = socket.gethostname()
    if "." in name and name.isascii() and name.isprintable() and " " not in name:
        return name
    address = str(connected.getsockname()[0])
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


@cache
def _tls_context(verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
