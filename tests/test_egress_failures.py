"""What fails says what to do about it, and nothing that is secret."""

from __future__ import annotations

import datetime
import ssl
import traceback
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from include.egress import Egress
from include.errors import PermanentError, RetryableError
from tests.fake_http import sending, serving
from tests.way_out import Names, closed_port, egress

__all__ = ["egress"]


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (b"", "without a reply"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "cut short"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "cut short|not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Encoding: gzip\r\n\r\nnope", "cut short|not valid HTTP"),
    ],
)
async def test_a_broken_reply_may_be_whole_next_time(egress: Egress, reply: bytes, message: str) -> None:
    """A server that hangs up or talks nonsense is worth another try."""
    async with sending(reply) as server:
        with pytest.raises(RetryableError, match=message):
            await egress.request("POST", server.url(), body=b"x", timeout_seconds=5)


async def test_a_closed_port_may_open(egress: Egress) -> None:
    """A refused connection is worth another try, and the message names method, host and cause."""
    port = closed_port()
    with pytest.raises(RetryableError) as caught:
        await egress.request("GET", f"http://127.0.0.1:{port}/", timeout_seconds=5)
    assert str(caught.value) == f"GET 127.0.0.1:{port}: connection refused"


async def test_a_name_may_appear() -> None:
    """A name that cannot be resolved is worth another try."""
    egress = Egress(resolver=Names({}))
    with pytest.raises(RetryableError, match=r"GET nowhere\.example: the host's name cannot be resolved"):
        await egress.request("GET", "http://nowhere.example/", timeout_seconds=5)
    await egress.close()


async def test_a_header_cannot_become_two(egress: Egress) -> None:
    """A line break in a header is refused before anything is sent."""
    async with serving() as server:
        with pytest.raises(PermanentError, match="cannot be sent"):
            await egress.request("GET", server.url(), headers={"X": "a\r\nY: b"}, timeout_seconds=5)
        assert server.received == []


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/hush?token=hush#hush",
        "http://10.0.0.1/hush?token=hush",
        "http://metadata.goog/hush?token=hush",
        "http://127.0.0.1:25/hush?token=hush",
        "http://0x7f.1/hush?token=hush",
        "http://hush@127.0.0.1/",
        "http://hush\\@127.0.0.1/",
        "hush://127.0.0.1/",
        "http://127.0.0.1/hush\nhush",
    ],
)
async def test_errors_keep_secrets(egress: Egress, url: str) -> None:
    """Neither a message nor its traceback shows the path, the query, the user or a header."""
    with pytest.raises((RetryableError, PermanentError)) as caught:
        await egress.request(
            "GET", url.format(port=closed_port()), headers={"Authorization": "hush"}, timeout_seconds=5
        )
    lines = traceback.format_exception_only(type(caught.value), caught.value)
    assert "hush" not in "".join(lines)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert caught.value.__cause__ is None


@pytest.fixture
def self_signed(tmp_path: Path) -> ssl.SSLContext:
    """A server's TLS with a certificate that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def test_a_certificate_that_nobody_vouches_for_is_refused(egress: Egress, self_signed: ssl.SSLContext) -> None:
    """Nothing is sent to a server whose certificate is not valid, and trying again does not make it so."""
    async with serving(tls=self_signed) as server:
        with pytest.raises(PermanentError, match=r"the certificate is not valid: self.signed"):
            await egress.request("GET", server.url(), timeout_seconds=5)
        assert server.received == []


async def test_a_port_that_does_not_speak_tls_may_do_so_later(egress: Egress) -> None:
    """A failed handshake is worth another try: it is what a server in the middle of a change does."""
    async with serving() as server:
        with pytest.raises(RetryableError, match="TLS failed"):
            await egress.request("GET", server.url().replace("http:", "https:"), timeout_seconds=5)


async def test_a_host_that_cannot_be_read_is_not_repeated(egress: Egress) -> None:
    """Who writes a password into a connection's host does not find it in a log."""
    with pytest.raises(PermanentError, match="host: write a valid host") as caught:
        await egress.addresses("me:hush@mail.example.com", 25)
    assert "hush" not in str(caught.value)
