"""How kind `email` gets on with servers: TLS, logins, refusals, and servers that are not there."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from include.actions import _mail_server
from include.egress import Egress
from include.errors import AttemptError, ConfigError, PermanentError, RetryableError
from tests.mail_certificates import Authority
from tests.mailing import PLAIN, connection, send
from tests.smtp_server import Mailing, Script, serving

SENDER = {"from_email": "bot@example.com"}
STARTTLS = {**SENDER, "disable_ssl": True}
USERS = {"me": "s3cret-pass"}


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    """An authority that is trusted for the length of a test."""
    made = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.path))
    _mail_server._tls_context.cache_clear()
    yield made
    _mail_server._tls_context.cache_clear()


def refusing(**answers: str) -> Script:
    """Answer every line that starts with a word as told, and others as usual."""
    return lambda line: next((told for word, told in answers.items() if line.startswith(word)), None)


# -- TLS -------------------------------------------------------------------------------------------------------------


async def test_tls_from_the_start_is_the_default(authority: Authority) -> None:
    """The certificate is checked against the host's name, though the connection goes to an address."""
    with serving(Mailing(tls=authority.server("localhost"))) as mailing:
        await send(connection(mailing, "localhost", extra=SENDER))
    assert mailing.mails[0].is_encrypted


async def test_starttls_comes_before_everything(authority: Authority) -> None:
    """Nothing but the request for TLS is sent in the clear."""
    with serving(Mailing(starttls=authority.server("localhost"), users=USERS)) as mailing:
        await send(connection(mailing, "localhost", extra=STARTTLS, login="me", password="s3cret-pass"))
    [mail] = mailing.mails
    assert (mail.is_encrypted, mail.login) == (True, "me")
    assert [line.partition(" ")[0] for line in mailing.lines[:4]] == ["EHLO", "STARTTLS", "EHLO", "AUTH"]


@pytest.mark.parametrize("way", ["tls", "starttls"])
async def test_a_certificate_for_another_name_is_refused(authority: Authority, way: str) -> None:
    """It is signed by whom we trust, but not for this host: nothing is sent."""
    with serving(Mailing(**{way: authority.server("other.example")})) as mailing:
        extra = SENDER if way == "tls" else STARTTLS
        with pytest.raises(PermanentError, match=r"certificate is not valid: .*localhost"):
            await send(connection(mailing, "localhost", extra=extra))
    assert (mailing.mails, any(line.startswith("MAIL") for line in mailing.lines)) == ([], False)


@pytest.mark.parametrize("way", ["tls", "starttls"])
async def test_a_certificate_that_nobody_vouches_for_is_refused_unless_allowed(tmp_path: Path, way: str) -> None:
    """With `ssl_context` none the connection is encrypted to whoever answers."""
    extra = SENDER if way == "tls" else STARTTLS
    with serving(Mailing(**{way: Authority(tmp_path).server("localhost")})) as mailing:
        with pytest.raises(PermanentError, match="certificate is not valid"):
            await send(connection(mailing, "localhost", extra=extra))
        await send(connection(mailing, "localhost", extra={**extra, "ssl_context": "none"}))
    assert [mail.is_encrypted for mail in mailing.mails] == [True]


async def test_starttls_is_not_done_without() -> None:
    """A server that has none gets no mail, for somebody may have struck it out of what it said."""
    with serving(Mailing()) as mailing, pytest.raises(PermanentError, match="STARTTLS extension not supported"):
        await send(connection(mailing, extra=STARTTLS))
    assert mailing.mails == []


async def test_a_port_that_does_not_speak_tls_says_what_to_change() -> None:
    """TLS from the start, against a server that waits for STARTTLS."""
    with serving(Mailing()) as mailing, pytest.raises(RetryableError, match="disable_ssl"):
        await send(connection(mailing, extra=SENDER))


# -- logins ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_a_password_logs_in(mechanism: str) -> None:
    """By whichever mechanism the server has."""
    with serving(Mailing(users=USERS, auth=mechanism)) as mailing:
        await send(connection(mailing, login="me", password="s3cret-pass"))
    assert mailing.mails[0].login == "me"


async def test_a_token_logs_in() -> None:
    """With `auth_type` oauth2, the token of the connection is sent by XOAUTH2."""
    extra = {**PLAIN, **SENDER, "auth_type": "oauth2", "access_token": "t0ken"}
    with serving(Mailing(users={"me@example.com": "t0ken"})) as mailing:
        await send(connection(mailing, login="me@example.com", password="unused", extra=extra))
    assert mailing.mails[0].login == "me@example.com"


@pytest.mark.parametrize("token", [False, True])
async def test_a_wrong_password_is_for_good_and_stays_secret(token: bool) -> None:
    """The server's words are repeated, but not the password or the token, however the server spells it."""
    extra = {**PLAIN, **SENDER, **({"auth_type": "oauth2", "access_token": "wr0ng"} if token else {})}
    with serving(Mailing(users=USERS)) as mailing, pytest.raises(PermanentError) as caught:
        await send(connection(mailing, login="me", password="wr0ng", extra=extra))
    assert str(caught.value).startswith("127.0.0.1: login refused: 535 5.7.8 no: ***")
    spelled = [
        base64.b64encode(text).decode() for text in (b"wr0ng", b"\0me\0wr0ng", b"user=me\1auth=Bearer wr0ng\1\1")
    ]
    assert not [text for text in ["wr0ng", *spelled] if text in str(caught.value)]
    assert (caught.value.code, caught.value.__cause__) == (None, None)


async def test_a_server_without_login_does_not_get_the_mail() -> None:
    """A connection with a password is not used without it."""
    with serving(Mailing()) as mailing, pytest.raises(PermanentError, match="AUTH extension is not supported"):
        await send(connection(mailing, login="me", password="s3cret-pass"))


@pytest.mark.parametrize(
    ("more", "hint"),
    [
        ({"host": ""}, "has no host"),
        ({"extra": {"timeout": 0}}, "timeout in its extra"),
        ({"extra": {"ssl_context": "mine"}}, "ssl_context in its extra"),
        ({"extra": {"auth_type": "oauth2"}}, "access_token"),
        ({"extra": {"from_email": "a@b, c@d"}}, "from_email in its extra"),
    ],
)
async def test_a_connection_that_makes_no_sense_says_so(more: dict[str, Any], hint: str) -> None:
    """The error names the connection and the field."""
    with pytest.raises(ConfigError, match=hint) as caught:
        await send(connection(Mailing(port=1), **more))
    assert "'smtp_default'" in str(caught.value)


# -- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        ({"MAIL": "550 5.7.1 not you"}, PermanentError, "sender bot@example.com refused: 550 5.7.1 not you"),
        ({"MAIL": "451 4.7.1 later"}, RetryableError, "sender bot@example.com refused: 451 4.7.1 later"),
        ({"RCPT": "550-5.1.1 no\n550 such user"}, PermanentError, "ann@example.com (550 5.1.1 no such user)"),
        ({"RCPT": "450 4.2.1 busy"}, RetryableError, "ann@example.com (450 4.2.1 busy)"),
        ({"RCPT": "421 4.3.2 closing"}, RetryableError, "ann@example.com (421 4.3.2 closing)"),
        ({"DATA": "554 5.5.1 no"}, PermanentError, "mail refused: 554 5.5.1 no"),
        ({"DATA": "250 what"}, RetryableError, "mail refused: 250 what"),
        ({".": "552 5.3.4 too big"}, PermanentError, "mail refused: 552 5.3.4 too big"),
        ({".": "452 4.3.1 full"}, RetryableError, "mail refused: 452 4.3.1 full"),
        ({".": ""}, RetryableError, "the server closed the connection"),
        ({"EHLO": ""}, RetryableError, "the server closed the connection"),
        ({"": "554 5.3.2 go away"}, PermanentError, "refused: 554 5.3.2 go away"),
        ({"": "421 4.3.2 not now"}, RetryableError, "refused: 421 4.3.2 not now"),
        ({"": "\udcff\x00 garbage"}, RetryableError, "refused: -1 Malformed"),
    ],
)
async def test_a_refusal_says_what_to_do(script: dict[str, str], error: type[AttemptError], words: str) -> None:
    """5xx is for good and 4xx is not (RFC 5321 4.2.1); the server's words are kept, its code is no HTTP status."""
    greeting = script.pop("", None)
    usual = refusing(**script)
    answer: Script = lambda line: greeting if line == "" else usual(line)  # noqa: E731 - it is one expression
    with serving(Mailing(script=answer)) as mailing, pytest.raises(error) as caught:
        await send(connection(mailing))
    assert words in str(caught.value)
    assert str(caught.value).startswith("127.0.0.1: ")
    assert caught.value.code is None
    assert "\x00" not in str(caught.value)
    assert mailing.mails == []


async def test_one_refused_receiver_does_not_keep_the_mail_from_the_others() -> None:
    """Nor is it sent to them again: the attempt is a success that names the refused one."""
    with serving(Mailing(script=refusing(**{"RCPT TO:<bob@": "550 5.1.1 no such user"}))) as mailing:
        output = await send(connection(mailing), {"to": ["ann@example.com", "bob@example.com", "eve@example.com"]})
    assert mailing.mails[0].receivers == ["ann@example.com", "eve@example.com"]
    assert output.line == (
        "mail to 2 of 3 receivers accepted by 127.0.0.1; refused: bob@example.com (550 5.1.1 no such user)"
    )
    assert output.data["refused"] == {"bob@example.com": "550 5.1.1 no such user"}
    assert output.data["receivers"] == 2


# -- servers that are not there --------------------------------------------------------------------------------------


async def test_a_server_that_hangs_up_gets_another_chance() -> None:
    """As often as `retry_limit` says, before anything of the mail is sent."""
    greetings: list[str] = []

    def hanging_up(line: str) -> str | None:
        greetings.extend([line] if line == "" else [])
        return "" if line == "" and len(greetings) < 3 else None

    with serving(Mailing(script=hanging_up)) as mailing:
        with pytest.raises(RetryableError, match="closed the connection"):
            await send(connection(mailing, extra={**PLAIN, **SENDER, "retry_limit": 0}))
        await send(connection(mailing, extra={**PLAIN, **SENDER, "retry_limit": 1}))
    assert len(mailing.mails) == 1


async def test_a_server_that_is_not_there_may_come_back() -> None:
    """A refused connection is worth another try."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(RetryableError, match=r"127\.0\.0\.1: connection refused"):
            await send(connection(Mailing(port=bound.getsockname()[1])))


@pytest.mark.parametrize(
    ("at", "limits"), [("", {"extra": {**PLAIN, **SENDER, "timeout": 0.2}}), (".", {"seconds": 0.5})]
)
async def test_a_server_that_does_not_answer_is_left(at: str, limits: dict[str, Any]) -> None:
    """Before the mail after the connection's `timeout`, at any time after the row's; the connection is closed."""
    mailing = Mailing()

    def silent(line: str) -> str | None:
        if line == at:
            mailing.leave.wait(20)
        return None

    mailing.script = silent
    seconds = limits.pop("seconds", 10)
    with serving(mailing):
        with pytest.raises(RetryableError, match="did not answer in time"):
            await send(connection(mailing, **limits), seconds=seconds)
        mailing.leave.set()
        assert await asyncio.to_thread(mailing.closed.acquire, timeout=20)


async def test_a_cancelled_attempt_closes_its_connection() -> None:
    """Wherever it was; the mail is not sent."""
    mailing, reached = Mailing(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def waiting(line: str) -> str | None:
        if line == "DATA":
            loop.call_soon_threadsafe(reached.set)
            mailing.leave.wait(20)
        return None

    mailing.script = waiting
    with serving(mailing):
        attempt = asyncio.create_task(send(connection(mailing)))
        await reached.wait()
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        mailing.leave.set()
        assert await asyncio.to_thread(mailing.closed.acquire, timeout=20)
    assert mailing.mails == []


# -- the guard -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_host_at_a_special_address_is_refused_unless_allowed(host: str) -> None:
    """Whatever it is called; nothing connects to it."""
    with serving(Mailing()) as mailing:
        with pytest.raises(PermanentError, match=r"refused: .*loopback"):
            await send(connection(mailing, host), egress=Egress())
        assert mailing.lines == []
        await send(connection(mailing, host))
    assert len(mailing.mails) == 1


@pytest.mark.parametrize("host", ["0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "::ffff:127.0.0.1"])
async def test_an_odd_spelling_of_a_special_address_is_refused(host: str) -> None:
    """The mail server's host is judged as the hosts of URLs are."""
    with serving(Mailing()) as mailing, pytest.raises(PermanentError):
        await send(connection(mailing, host), egress=Egress())
    assert mailing.lines == []


async def test_the_name_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that gives another answer later leads nowhere; the next address is tried if one is dead."""
    asked: list[Any] = []

    def look_up(host: Any, port: Any, *_args: Any, **_more: Any) -> list[Any]:
        asked.append(host)
        addresses = ["127.0.0.9", "127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    with serving(Mailing()) as mailing:
        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        await send(connection(mailing, "mail.example"))
    assert (asked, len(mailing.mails)) == (["mail.example"], 1)
