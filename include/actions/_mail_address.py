"""One-line texts of a mail, and the addresses in it, checked so that no text can pass for two (RFC 5322 2.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.header import Header
from email.utils import quote

import idna

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u00a1-\U0010ffff-]+"  # RFC 5322 3.2.3, with RFC 6531 3.3
_LOCAL = re.compile(rf"{_ATEXT}(\.{_ATEXT})*")
_DOMAIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")
_NAMED = re.compile(r"(?P<name>[^<>]*)<(?P<address>[^<>]*)>")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')

# RFC 5321 4.5.3.1; a name has no limit of its own, but a header line has.
_LONGEST_LOCAL = 64
_LONGEST_ADDRESS = 254
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Who a mail is from or goes to: a name, which may be empty, and an address, its domain in ASCII (RFC 5890)."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]

    def header(self) -> str:
        """As it stands in a header; only the address may have other characters than ASCII in it."""
        if not self.name:
            return self.address
        named = f'"{quote(self.name)}"' if is_plain(self.name) else encoded(self.name)
        return f"{named} <{self.address}>"


def one_line(text: str) -> str:
    """Return a text that fits into one line, or raise `ValueError`: whoever breaks the line writes the next header."""
    if _CONTROL.search(text):
        raise ValueError("write it in one line, without control characters")
    return text


def is_plain(text: str) -> bool:
    """Whether a text means in a header what it says: ASCII that nobody takes for an encoded word (RFC 2047)."""
    return text.isascii() and "=?" not in text


def encoded(text: str, header: str | None = None) -> str:
    """A text as encoded words, folded for the header in which it stands."""
    return Header(text, "utf-8", header_name=header).encode(linesep="\r\n")


def mailbox(text: str) -> Mailbox:
    """Read `a@example.com` or `A Name <a@example.com>`; `ValueError` says what to write."""
    named = _NAMED.fullmatch(one_line(text).strip())
    name, address = (named["name"].strip(), named["address"]) if named else ("", text.strip())
    if quoted := _QUOTED.fullmatch(name):
        name = re.sub(r"\\(.)", r"\1", quoted[1])
    elif "@" in name or '"' in name:
        raise ValueError("write one address in each text; several make a list")
    if len(name) > _LONGEST_NAME:
        raise ValueError(f"write a name of at most {_LONGEST_NAME} characters")
    local, at, domain = address.rpartition("@")
    if not at or not _LOCAL.fullmatch(local) or not local.isprintable() or len(local.encode()) > _LONGEST_LOCAL:
        raise ValueError("write an address such as a@example.com, or A Name <a@example.com>")
    checked = Mailbox(name, f"{local}@{_ascii(domain)}")
    if len(checked.address.encode()) > _LONGEST_ADDRESS:
        raise ValueError(f"write an address of at most {_LONGEST_ADDRESS} characters")
    return checked


def _ascii(domain: str) -> str:
    """The domain as mail servers know it (IDNA 2008, with the mapping of UTS 46)."""
    try:
        plain = domain if domain.isascii() else idna.encode(domain, uts46=True).decode("ascii")
    except idna.IDNAError:
        plain = ""
    if not _DOMAIN.fullmatch(plain):
        raise ValueError("write a domain such as example.com after the @")
    return plain
