"""No text in a mail can pass for another part of it: who gets it, what it says, what its files are called."""

from __future__ import annotations

import email
import email.policy
import string
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.actions._mail_address import mailbox
from include.actions._mail_attachments import filename_of, sanitised
from include.actions._mail_message import Attachment, Letter, message_id
from include.errors import ConfigError
from include.registry import action
from tests.mailing import MAIL, decoded

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)
OURS = ["subject", "from", "to", "cc", "reply-to", "date", "message-id"]
LINE_BREAKS = ["\r", "\n", "\r\n", "\x00", "\x0b", "\x0c", "\x1c", "\x1e", "\x85", "\u2028", "\u2029"]
EVE = "Bcc: eve@example.com"

# Anything, and often what means something to somebody.
nasty = st.one_of(
    st.text(max_size=60),
    st.lists(
        st.sampled_from(
            [*LINE_BREAKS, EVE, "=?utf-8?q?=0D=0A", "?=", " ", "\t", '"', "\\", "<", ">", ",", ";", "@", "ö", "a"]
        ),
        max_size=12,
    ).map("".join),
)


def parse(payload: dict[str, Any]) -> Any:
    return action("email").parse({**MAIL, **payload})


@pytest.mark.parametrize("break_", LINE_BREAKS)
@pytest.mark.parametrize(
    "field",
    ["to", "cc", "bcc", "reply_to", "from_email", "subject", "headers", "filename"],
)
def test_a_broken_line_is_refused(field: str, break_: str) -> None:
    """In every field that ends up in a header; the error says what to write."""
    evil = f"a{break_}{EVE}"
    address = f"A{break_}{EVE} <a@example.com>"
    values: dict[str, Any] = {
        "subject": {"subject": evil},
        "headers": {"headers": {"X-A": evil}},
        "filename": {"attachments": [{"url": "https://example.com/", "filename": evil}]},
    }
    with pytest.raises(ConfigError, match="in one line, without control characters"):
        parse(values.get(field, {field: address}))


@pytest.mark.parametrize(
    "name", ["Bcc", "TO", "from", "Subject", "Content-Type", "MIME-Version", "Resent-To", "a b", "a:"]
)
def test_a_header_that_is_ours_or_none_is_refused(name: str) -> None:
    """What says who gets the mail and how to read it is written by us alone."""
    with pytest.raises(ConfigError):
        parse({"headers": {name: "x"}})


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ann",
        "@example.com",
        "ann@",
        "a@b@example.com",
        "a b@example.com",
        "a@example.com, b@example.com",
        "a@example.com; b@example.com",
        "x@y, c <d@example.com>",
        "<a@example.com> SIZE=1",
        "<a@example.com><b@example.com>",
        "a@example.com>",
        ".a@example.com",
        "a..b@example.com",
        "a@exa mple.com",
        "a@-example.com",
        "a@example..com",
        "a\u202eb@example.com",
        '"a" "b" <a@example.com>',
        "a" * 65 + "@example.com",
        "a@" + "b" * 60 + ".c" * 100,
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    """Each text is one address that goes into the envelope as it is, or an error."""
    with pytest.raises(ConfigError, match="write"):
        parse({"to": address})


@pytest.mark.parametrize(
    ("payload", "hint"),
    [
        ({"to": []}, "at least one address"),
        ({"text": None}, "write text or html"),
        ({"to": ["a@b"] * 60, "cc": ["a@b"] * 60}, "at most 100 receivers"),
        ({"bbc": "a@b"}, "bbc"),
        ({"attachments": [{"url": "file:///etc/passwd"}]}, "http"),
        ({"attachments": [{"url": "https://example.com", "content_type": "text/html\r\nX: y"}]}, "without parameters"),
    ],
)
def test_a_payload_that_makes_no_mail_is_refused(payload: dict[str, Any], hint: str) -> None:
    """The error says what to write."""
    with pytest.raises(ConfigError, match=hint):
        parse(payload)


@settings(max_examples=200, deadline=None)
@given(subject=nasty, name=nasty, header=nasty, text=nasty, filename=nasty, local=nasty)
def test_no_text_gets_out_of_its_place(
    subject: str, name: str, header: str, text: str, filename: str, local: str
) -> None:
    """What the row's checks let through makes exactly the headers that it should, and each says what was written."""
    payload: dict[str, Any] = {"to": "ann@example.com", "subject": "s", "text": text or "t"}
    for more in (
        {"subject": subject},
        {"to": f"{name} <ann@example.com>"},
        {"cc": f"{local}@example.com"},
        {"headers": {"X-A": header}},
    ):
        try:
            parse({**payload, **more})
        except ConfigError:
            continue
        payload.update(more)
    config = parse(payload)
    to, cc = [mailbox(each) for each in config.to], [mailbox(each) for each in config.cc]
    letter = Letter(
        sender=mailbox("bot@example.com"),
        to=to,
        cc=cc,
        bcc=[mailbox("dora@example.com")],
        reply_to=[],
        subject=config.subject,
        text=config.text,
        html=None,
        headers=config.headers,
        message_id=message_id("job_1_2", "example.com"),
        attachments=[Attachment(sanitised(filename) or "a", "application/pdf", b"content")],
    )
    written = letter.written(NOW)
    assert written.count(b"\r\n") == written.count(b"\n") == written.count(b"\r")
    parsed = email.message_from_bytes(written, policy=email.policy.compat32)
    names = [each.lower() for each in parsed]
    expected = {"subject", "from", "to", "date", "message-id", "mime-version", "content-type"}
    assert set(names) == expected | ({"cc"} if cc else set()) | ({"x-a"} if config.headers else set())
    assert len(names) == len(set(names))
    assert b"dora" not in written
    assert decoded(written, "Subject") == config.subject.strip()
    assert len(parsed.get_payload()) == 2
    modern = email.message_from_bytes(written, policy=email.policy.default)
    assert [each.addr_spec for each in modern["To"].addresses] == ["ann@example.com"]


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=400), nasty))
def test_a_files_name_is_a_name_and_no_more(name: str) -> None:
    """No folder, no control character, no mark that turns the direction of writing, no dot to hide it; not too long."""
    tidy = sanitised(name)
    assert not set(tidy) & {*string.whitespace.replace(" ", ""), "/", "\\", "\x00", "\u202e", *LINE_BREAKS}
    assert len(tidy) <= 150
    assert not tidy.startswith(".")


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="a b.pdf"', "a b.pdf"),
        ("attachment; filename=a.pdf; x=y", "a.pdf"),
        (r'attachment; filename="a\"b.pdf"', 'a"b.pdf'),
        ("attachment; FILENAME*=utf-8'en'%e2%82%ac%20rates", "€ rates"),
        ("attachment; filename*=iso-8859-1''%A3.txt; filename=x", "£.txt"),
        ("attachment; filename*=koi8-r''%A3; filename=x", "x"),
        ("attachment", ""),
        ("", ""),
    ],
)
def test_a_files_name_is_read_from_its_servers_reply(disposition: str, name: str) -> None:
    """As RFC 6266 has it: quoted, plain, or with a charset, which goes first."""
    assert filename_of(disposition) == name
