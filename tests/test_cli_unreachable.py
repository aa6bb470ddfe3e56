"""Why an address did not answer, as commands say it: in one sentence, and with what to do."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from include.cli.millrace_api import MillraceApi
from include.cli.unreachable import unreachable
from include.errors import RetryableError
from tests.mail_certificates import Authority


@contextmanager
def listening(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of a server that takes a connection, and never answers; with a context, one that speaks TLS first."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            taken, _ = server.accept()
            with taken:
                try:
                    if context is not None:
                        context.wrap_socket(taken, server_side=True)
                    over.wait(10)
                except OSError:
                    pass

        over = threading.Event()
        taking = threading.Thread(target=take)
        taking.start()
        yield server.getsockname()[1]
        over.set()
        taking.join(10)


def said_of(url: str) -> str:
    with requests.Session() as session:
        session.trust_env = False
        try:
            session.get(url, timeout=(5, 0.2))
        except requests.RequestException as error:
            return unreachable(url, error)
    raise AssertionError(f"{url} answered")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:1", "connection refused; check the URL, and whether the system is up"),
        ("http://nosuch.invalid", "name not found; check the URL"),
        ("millrace:8080/", "it begins neither with http:// nor with https://"),
        ("millrace", "it is not a URL; write http://host:port"),
    ],
)
def test_an_address_that_is_wrong(url: str, said: str) -> None:
    """It is named, with the reason, and nothing of Python's is."""
    assert said_of(url).startswith(f"{url} cannot be reached: {said}")


def test_a_server_that_keeps_silent() -> None:
    """It has timed out."""
    with listening() as port:
        assert "cannot be reached: timed out; " in said_of(f"http://127.0.0.1:{port}")


def test_a_certificate_of_an_authority_that_nobody_knows(tmp_path: Path) -> None:
    """It says what is wrong with it, and where one's own authority is named."""
    with listening(Authority(tmp_path).server("localhost")) as port:
        said = said_of(f"https://localhost:{port}")
    assert "its certificate is not trusted (" in said
    assert "REQUESTS_CA_BUNDLE" in said


def test_a_server_without_tls() -> None:
    """It is asked whether http was meant."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            taken, _ = server.accept()
            with taken:
                taken.recv(4096)
                taken.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        answering = threading.Thread(target=answer)
        answering.start()
        assert "is it http, and not https?" in said_of(f"https://127.0.0.1:{server.getsockname()[1]}")
        answering.join(10)


def test_commands_say_it_so() -> None:
    """As an error after which one may try again."""
    with (
        requests.Session() as session,
        pytest.raises(RetryableError, match="cannot be reached: connection refused"),
    ):
        MillraceApi(session, "http://127.0.0.1:1").ask("GET", "/jobs")
