"""A real SMTP server on the loopback (RFC 5321), with STARTTLS, implicit TLS and AUTH, that does as it is told."""

from __future__ import annotations

import base64
import email
import email.policy
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import cast

# What to answer instead of the usual, given a line as it came: "" is the greeting, "." the end of a mail.
Script = Callable[[str], str | None]


@dataclass(frozen=True)
class Mail:
    """One mail as it arrived: the envelope, the bytes with their dots unstuffed, and who had logged in how."""

    sender: str
    receivers: list[str]
    content: bytes
    login: str | None
    is_encrypted: bool

    @property
    def parsed(self) -> EmailMessage:
        text = self.content.replace(b"\r\n", b"\n")
        return cast(EmailMessage, email.message_from_bytes(text, policy=email.policy.default))


@dataclass
class Mailing:
    """How a server is set up, and what it saw: the mails it took, and all that were offered; every command; and one
    release of `closed` for each connection that ended.
    """

    tls: ssl.SSLContext | None = None
    starttls: ssl.SSLContext | None = None
    users: dict[str, str] = field(default_factory=dict)
    auth: str = "PLAIN LOGIN XOAUTH2"
    extensions: tuple[str, ...] = ("SIZE 33554432", "8BITMIME", "SMTPUTF8")
    script: Script = lambda _line: None
    port: int = 0
    mails: list[Mail] = field(default_factory=list)
    offered: list[Mail] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    closed: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    leave: threading.Event = field(default_factory=threading.Event)


class Hangup(Exception):
    """The connection is to be closed."""


class _Session(socketserver.BaseRequestHandler):
    """One connection."""

    request: socket.socket

    def handle(self) -> None:
        self.mailing = cast(_Server, self.server).mailing
        self.is_encrypted, self.login = False, cast("str | None", None)
        self.sender, self.receivers = "", cast("list[str]", [])
        with suppress(Hangup, OSError):
            self.request.settimeout(20)
            if self.mailing.tls:
                self.encrypt(self.mailing.tls)
            self.lines = self.request.makefile("rb")
            self.say("220 mail.example ready", "")
            while line := self.lines.readline():
                self.one(line.decode().rstrip("\r\n"))
        with suppress(AttributeError, OSError):
            self.lines.close()
        self.request.close()
        self.mailing.closed.release()

    def encrypt(self, context: ssl.SSLContext) -> None:
        self.request = context.wrap_socket(self.request, server_side=True)
        self.is_encrypted = True

    def say(self, usual: str, line: str) -> bool:
        """Answer as the script says, or as usual; whether it was as usual. An empty answer hangs up."""
        told = self.mailing.script(line)
        if told == "":
            raise Hangup
        self.request.sendall((told or usual).replace("\n", "\r\n").encode("utf-8", "surrogateescape") + b"\r\n")
        return told is None

    def one(self, line: str) -> None:
        self.mailing.lines.append(line)
        verb = line.partition(" ")[0].upper()
        if verb == "EHLO":
            self.greet(line)
        elif verb == "STARTTLS" and self.mailing.starttls:
            if self.say("220 go ahead", line):
                self.encrypt(self.mailing.starttls)
                self.lines = self.request.makefile("rb")
        elif verb == "AUTH":
            self.authenticate(line)
        elif verb == "MAIL":
            if self.say("250 2.1.0 ok", line):
                self.sender, self.receivers = line[len("MAIL FROM:<") :].partition(">")[0], []
        elif verb == "RCPT":
            if self.say("250 2.1.5 ok", line):
                self.receivers.append(line[len("RCPT TO:<") :].partition(">")[0])
        elif verb == "DATA":
            if self.say("354 go ahead", line):
                self.take()
        elif verb == "QUIT":
            self.say("221 bye", line)
            raise Hangup
        else:
            self.say("502 5.5.1 no such command", line)

    def greet(self, line: str) -> None:
        told = list(self.mailing.extensions)
        if self.mailing.starttls and not self.is_encrypted:
            told.append("STARTTLS")
        elif self.mailing.users:
            told.append(f"AUTH {self.mailing.auth}")
        self.say("\n".join(f"250-{each}" for each in ["mail.example", *told]) + "\n250 HELP", line)

    def authenticate(self, line: str) -> None:
        _, mechanism, first = (*line.split(" "), "")[:3]
        if mechanism == "LOGIN":
            login = base64.b64decode(first).decode()
            self.request.sendall(b"334 UGFzc3dvcmQ6\r\n")
            password = base64.b64decode(self.lines.readline()).decode()
        elif mechanism == "XOAUTH2":
            user, _, bearer = base64.b64decode(first).decode().rstrip("\1").partition("\1")
            login, password = user.removeprefix("user="), bearer.removeprefix("auth=Bearer ")
        else:
            _, login, password = base64.b64decode(first).decode().split("\0")
        if self.mailing.users.get(login) == password:
            self.login = login
            self.say("235 2.7.0 welcome", line)
        else:
            self.say(f"535 5.7.8 no: {password} {first}", line)

    def take(self) -> None:
        content = b""
        while (line := self.lines.readline()) != b".\r\n":
            if not line:
                raise Hangup
            content += line[1:] if line.startswith(b".") else line
        mail = Mail(self.sender, self.receivers, content, self.login, self.is_encrypted)
        self.mailing.offered.append(mail)
        if self.say("250 2.0.0 queued as 7", "."):
            self.mailing.mails.append(mail)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = False  # so that closing waits for every connection's thread

    def __init__(self, mailing: Mailing) -> None:
        self.mailing = mailing
        super().__init__(("127.0.0.1", 0), _Session)


@contextmanager
def serving(mailing: Mailing) -> Iterator[Mailing]:
    """Serve on 127.0.0.1, in threads of its own."""
    with _Server(mailing) as server:
        mailing.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield mailing
        finally:
            mailing.leave.set()
            server.shutdown()
            thread.join()
