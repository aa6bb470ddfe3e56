"""What kind `email` sends: who gets it, what they read, and what is attached."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from aiohttp import web

from include.egress import Egress
from include.errors import AttemptError, ConfigError, PermanentError, RetryableError
from include.registry import action
from tests import fake_http
from tests.mailing import KEY, MAIL, PLAIN, connection, decoded, send
from tests.smtp_server import Mail, Mailing, serving


async def sent(payload: dict[str, Any], **how: Any) -> Mail:
    """The one mail that arrives."""
    with serving(Mailing()) as mailing:
        await send(connection(mailing), payload, **how)
    [mail] = mailing.mails
    return mail


# -- who -------------------------------------------------------------------------------------------------------------


async def test_a_mail_arrives() -> None:
    """Sender, receiver, subject, text and date are as the row and the connection say."""
    with serving(Mailing()) as mailing:
        output = await send(connection(mailing))
    [mail] = mailing.mails
    assert (mail.sender, mail.receivers) == ("bot@example.com", ["ann@example.com"])
    parsed = mail.parsed
    assert (parsed["From"], parsed["To"], parsed["Subject"]) == (
        "Millrace <bot@example.com>",
        "ann@example.com",
        "Hello",
    )
    assert (parsed.get_content_type(), parsed.get_content(), parsed["MIME-Version"]) == ("text/plain", "World\n", "1.0")
    assert abs(parsedate_to_datetime(parsed["Date"]) - datetime.now(timezone.utc)) < timedelta(minutes=5)
    assert output.line == "mail to 1 receiver accepted by 127.0.0.1"
    assert (output.code, output.excerpt) == (None, "250 2.0.0 queued as 7")
    assert output.data == {"message_id": parsed["Message-ID"], "receivers": 1, "refused": {}}
    assert mailing.lines[-1] == "QUIT"


async def test_every_receiver_gets_it_and_bcc_is_named_nowhere() -> None:
    """To, cc and bcc are all in the envelope, each once; only to and cc are in the headers."""
    mail = await sent(
        {
            "to": ["ann@example.com", "Bob <bob@example.com>"],
            "cc": "Doe, Carl <carl@example.com>",
            "bcc": ["dora@example.com", "ann@example.com"],
            "reply_to": "desk@example.com",
        }
    )
    assert mail.receivers == ["ann@example.com", "bob@example.com", "carl@example.com", "dora@example.com"]
    assert (mail.parsed["To"], mail.parsed["Cc"]) == (
        "ann@example.com, Bob <bob@example.com>",
        '"Doe, Carl" <carl@example.com>',
    )
    assert mail.parsed["Reply-To"] == "desk@example.com"
    assert b"dora" not in mail.content


@pytest.mark.parametrize(
    ("payload", "extra", "login", "sender"),
    [
        ({"from_email": "Row <row@example.com>"}, {"from_email": "conn@example.com"}, "me@example.com", "row"),
        ({}, {"from_email": "conn@example.com"}, "me@example.com", "conn"),
        ({}, {}, "me@example.com", "me"),
    ],
)
async def test_the_sender_is_found(payload: dict[str, Any], extra: dict[str, Any], login: str, sender: str) -> None:
    """The row's sender goes before the connection's, and that before the login."""
    with serving(Mailing()) as mailing:
        await send(connection(mailing, login=login, extra={**PLAIN, **extra}), payload)
    assert mailing.mails[0].sender == f"{sender}@example.com"


async def test_a_mail_from_nobody_is_an_error_of_the_row() -> None:
    """Where neither the row nor the connection says who the mail is from, it says what to write."""
    with serving(Mailing()) as mailing, pytest.raises(ConfigError, match="write from_email"):
        await send(connection(mailing, login="apikey", extra=PLAIN))


async def test_a_message_id_is_that_of_the_occurrence() -> None:
    """Attempts at the same occurrence have the same one, others another; each is a msg-id (RFC 5322 3.6.4)."""
    ids = [(await sent({}, key=key)).parsed["Message-ID"] for key in (KEY, KEY, "9:3:17", "9:31:7", "9=3a=3=3a=17")]
    assert ids[0] == ids[1] == f"<{KEY}@millrace.example.com>"
    assert len(set(ids)) == 4
    atom = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
    assert all(re.fullmatch(rf"<{atom}(\.{atom})*@{atom}(\.{atom})*>", each) for each in ids)


# -- what ------------------------------------------------------------------------------------------------------------


async def test_text_and_html_are_alternatives() -> None:
    """Readers choose between the two; HTML alone is a mail, too."""
    both = (await sent({"text": "plain", "html": "<b>rich</b>"})).parsed
    assert both.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in both.iter_parts()] == ["text/plain", "text/html"]
    html = (await sent({"text": None, "html": "<b>rich</b>"})).parsed
    assert (html.get_content_type(), html.get_content()) == ("text/html", "<b>rich</b>\n")


@pytest.mark.parametrize(
    "subject",
    [
        "Grüße aus Köln",
        "日本語の件名 " * 20,
        "Re: [SOS-1] ein Häuschen - Demande de retour - bibijolie - 251210 - ça va, à bientôt " * 5,
        "x" * 990,
        "what =?utf-8?q?=0D=0ABcc:_eve=40example.com?= looks like",
        "👨‍👩‍👧 family",
    ],
)
async def test_a_subject_arrives_as_it_was_written(subject: str) -> None:
    """Whatever its script and its length, and even if it looks like an encoded word; lines keep to 998 octets."""
    mail = await sent({"subject": subject})
    [line] = re.findall(rb"(?m)^Subject: (.*(?:\r\n[ \t].*)*)\r\n", mail.content)
    assert decoded(mail.content, "Subject") == subject.strip()
    assert max(map(len, line.split(b"\r\n"))) < 998
    assert mail.content.isascii()
    assert "Bcc" not in mail.parsed


async def test_names_of_people_arrive_as_they_were_written() -> None:
    """In any script, and with the signs that part addresses in them."""
    people = ["Jürgen Müller <j@example.com>", '"O\'Brien, \\"Bo\\" (Ops)" <o@example.com>', "李 <li@example.com>"]
    mail = await sent({"to": people})
    names = [address.display_name for address in mail.parsed["To"].addresses]
    assert names == ["Jürgen Müller", 'O\'Brien, "Bo" (Ops)', "李"]
    assert mail.receivers == ["j@example.com", "o@example.com", "li@example.com"]


async def test_a_domain_in_any_script_is_sent_as_mail_servers_know_it() -> None:
    """It is spelled in ASCII, by IDNA 2008, and so needs nothing of the server."""
    with serving(Mailing(extensions=())) as mailing:
        await send(connection(mailing), {"to": "ann@straße.example"})
    assert mailing.mails[0].receivers == ["ann@xn--strae-oqa.example"]


async def test_an_address_in_any_script_needs_a_server_that_can() -> None:
    """It is sent by SMTPUTF8, or, where the server has none, refused before anything is sent."""
    with serving(Mailing()) as mailing:
        await send(connection(mailing), {"to": ["jürgen@example.com", "ann@example.com"]})
    [mail] = mailing.mails
    assert mail.receivers == ["jürgen@example.com", "ann@example.com"]
    assert "To: jürgen@example.com,".encode() in mail.content
    assert any("SMTPUTF8" in line for line in mailing.lines)
    with serving(Mailing(extensions=())) as plain, pytest.raises(PermanentError, match="has no SMTPUTF8"):
        await send(connection(plain), {"to": "jürgen@example.com"})
    assert not any(line.startswith("MAIL") for line in plain.lines)


async def test_a_text_arrives_as_it_was_written() -> None:
    """Dots at the start of lines, long lines, and any script; on the wire it is 7-bit, and lines end as they must."""
    text = ".\n..two\n" + "long " * 500 + "\nÄ 日本\rlone\r\nlast"
    mail = await sent({"text": text})
    assert mail.parsed.get_content().splitlines() == text.splitlines()
    assert mail.content.isascii()
    assert mail.content.count(b"\r\n") == mail.content.count(b"\n") == mail.content.count(b"\r")
    assert max(map(len, mail.content.split(b"\r\n"))) < 998


async def test_further_headers_are_sent() -> None:
    """A header of the row's own stands in the mail, in any script."""
    mail = await sent({"headers": {"X-Team": "Bücher", "List-Unsubscribe": "<https://example.com/u?a=1>"}})
    assert (mail.parsed["X-Team"], mail.parsed["List-Unsubscribe"]) == ("Bücher", "<https://example.com/u?a=1>")


def test_a_number_may_be_a_subject() -> None:
    """What a template makes of one expression alone may be a number."""
    assert action("email").parse({**MAIL, "subject": 5}).model_dump()["subject"] == "5"


# -- attachments -----------------------------------------------------------------------------------------------------


def file(body: bytes, status: int = 200, **headers: str) -> fake_http.Handler:
    async def handle(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return handle


async def test_files_are_attached() -> None:
    """Name and type are the row's, or else the file's server's, or else the URL's; the content is as it was."""
    content = bytes(range(256)) * 300
    routes = {
        "/a/report.pdf": file(content, Content_Type="application/pdf"),
        "/b": file(
            b"1,2\r\n",
            Content_Type="text/csv",
            Content_Disposition="attachment; filename=\"x\"; filename*=UTF-8''%C3%84.csv",
        ),
        "/c": file(b"", Content_Type="message/rfc822"),
    }
    async with fake_http.serving(routes) as server:
        mail = await sent(
            {
                "attachments": [
                    {"url": server.url("/a/report.pdf")},
                    {"url": server.url("/b")},
                    {"url": server.url("/c"), "filename": "../日本.eml"},
                    {"url": server.url("/a/report.pdf"), "filename": "a", "content_type": "Image/PNG"},
                ]
            }
        )
    assert mail.parsed.get_content_type() == "multipart/mixed"
    assert mail.parsed.get_body().get_content() == "World\n"
    parts = list(mail.parsed.iter_attachments())
    assert [(part.get_filename(), part.get_content_type()) for part in parts] == [
        ("report.pdf", "application/pdf"),
        ("Ä.csv", "text/csv"),
        ("日本.eml", "application/octet-stream"),
        ("a", "image/png"),
    ]
    assert [part.get_payload(decode=True) for part in parts] == [content, b"1,2\r\n", b"", content]


async def test_a_file_that_may_not_be_fetched_stops_the_mail() -> None:
    """The egress guard stands before attachments, and no mail goes out without one."""
    async with fake_http.serving() as server:
        with serving(Mailing()) as mailing, pytest.raises(PermanentError, match=r"attachment 1: .*is loopback"):
            await send(connection(mailing), {"attachments": [{"url": server.url("/x")}]}, egress=Egress())
        assert (server.received, mailing.lines) == ([], [])


@pytest.mark.parametrize(("status", "error"), [(404, PermanentError), (410, PermanentError), (503, RetryableError)])
async def test_a_file_that_is_not_there_stops_the_mail(status: int, error: type[AttemptError]) -> None:
    """The remedy is that of the file's status, which the error does not carry: 410 is no reason to disable the row."""
    async with fake_http.serving(file(b"", status, Retry_After="7")) as server:
        with serving(Mailing()) as mailing, pytest.raises(error, match=f"attachment 1: GET .* {status}") as caught:
            await send(connection(mailing), {"attachments": [{"url": server.url("/secret")}]})
    assert (caught.value.code, getattr(caught.value, "after_seconds", None)) == (None, 7 if status == 503 else None)
    assert ("secret" in str(caught.value), mailing.lines) == (False, [])


@pytest.mark.parametrize("sizes", [[10 * 1024 * 1024 + 1], [7 * 1024 * 1024] * 3])
async def test_files_that_are_too_large_stop_the_mail(sizes: list[int]) -> None:
    """One of more than 10 MiB, or several of more than 20 MiB, are not cut short but refused."""
    async with fake_http.serving({f"/{n}": file(b"x" * size) for n, size in enumerate(sizes)}) as server:
        wanted = [{"url": server.url(f"/{n}")} for n in range(len(sizes))]
        with serving(Mailing()) as mailing, pytest.raises(PermanentError, match="larger than 10 MiB"):
            await send(connection(mailing), {"attachments": wanted})
    assert mailing.lines == []
