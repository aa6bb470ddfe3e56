"""Which hosts and ports may be asked for, and how a URL may spell them."""

from __future__ import annotations

import pytest

from include.egress import Egress, parse_url
from include.errors import ConfigError, PermanentError, RetryableError
from include.settings import Settings, settings
from tests.fake_http import redirect, serving
from tests.way_out import LOOPBACK, Names, Recorder, recorder, strict

__all__ = ["strict"]


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("ftp://example.com/", "http://"),
        ("file:///etc/passwd", "http://"),
        ("example.com", "http://"),
        ("http:///path", "host"),
        ("http://exa mple.com/", "host"),
        ("http://%6c%6fcalhost/", "host"),
        ("http://user:secret@example.com/", "user and password"),
        ("http://user@example.com/", "user and password"),
        ("http://[::1/", "valid URL"),
        ("http://example.com:99999/", "valid URL"),
        ("http://" + "a" * 64 + ".com/", "valid host"),
        ("http://" + "a." * 127 + "com/", "valid host"),
        ("http://.example.com/", "valid host"),
        ("http://a..example.com/", "valid host"),
        ("http://example.com../", "valid host"),
        ("http://example.com\\@127.0.0.1/", "valid URL"),
        ("http://127.0.0.1\\@example.com/", "valid URL"),
        ("http://127.0.0.1%00.example.com/", "valid host"),
        ("http://127.0.0.1%2f@example.com/", "user and password"),
        ("http://exam\tple.com/", "line breaks"),
        ("http://example.com/\nHost: 127.0.0.1", "line breaks"),
        ("http://exa\u200bmple.com/", "valid URL"),
        ("http:/example.com/", "host"),
        ("http:\\\\example.com", "host"),
        ("http://127.1/", "address as"),
        ("http://0x7f.1/", "address as"),
        ("http://0177.0.0.1/", "address as"),
        ("http://2130706433/", "address as"),
        ("http://127.0.0.1./", "address as"),
        ("http://example.1/", "address as"),
        ("http://1.2.3.4.5/", "address as"),
        ("http://１２７.1/", "address as"),
        ("http://[::1%25lo]/", "address as"),
        ("http://[fe80::1%lo]/", "address as"),
    ],
)
async def test_a_url_that_cannot_be_called_says_what_to_write(strict: Egress, url: str, hint: str) -> None:
    """A malformed URL is for good, and its message does not repeat it, for it may hold a password."""
    with pytest.raises(PermanentError, match=hint) as caught:
        await strict.request("GET", url, timeout_seconds=5)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        (" https://example.com/\n", "example.com"),
        ("HTTPS://EXAMPLE.com./", "example.com."),
        ("https://bücher.example/", "xn--bcher-kva.example"),
        ("https://my_host/", "my_host"),
        ("https://1.example/", "1.example"),
        ("https://①②⑦.⓪.⓪.①/", "127.0.0.1"),
        ("https://[2001:DB8:0::1]/", "2001:db8::1"),
    ],
)
def test_what_a_url_may_say(text: str, host: str) -> None:
    """Names and addresses have one spelling, whatever the case, the script and the blanks around them."""
    assert parse_url(text).raw_host == host


@pytest.mark.parametrize(
    "host",
    [
        "metadata.google.internal",
        "METADATA.Google.Internal.",
        "metadata.goog",
        "metadata",
        "instance-data",
        "instance-data.ec2.internal.",
        "metadata．goog",
        "metadata.tencentyun.com",
    ],
)
async def test_the_names_of_cloud_metadata_are_refused(host: str) -> None:
    """Whatever answers for them, the names under which clouds hand out credentials are not called, allowed or not."""
    way_out = recorder(Anywhere(), hosts=(host.lower().rstrip("."),))
    with pytest.raises(PermanentError, match="is cloud metadata; allow its address by itself"):
        await way_out.request("GET", f"http://{host}/", timeout_seconds=5)
    with pytest.raises(PermanentError, match="is cloud metadata; allow its address by itself"):
        await way_out.addresses(host, 25)
    assert way_out.peers == []
    await way_out.close()


class Anywhere(Names):
    """Names that all lead to one public address."""

    def __init__(self) -> None:
        super().__init__({})

    def find(self, _name: str) -> list[str]:
        return ["93.184.215.14"]


async def reached(way_out: Recorder, url: str) -> bool:
    """Whether the way out would have connected; if not, the call is refused for good."""
    before = len(way_out.peers)
    with pytest.raises((PermanentError, RetryableError)) as caught:
        await way_out.request("GET", url, timeout_seconds=5)
    is_reached = len(way_out.peers) > before
    assert isinstance(caught.value, RetryableError) == is_reached
    return is_reached


@pytest.mark.parametrize(
    ("url", "is_reached"),
    [
        ("https://example.com/", True),
        ("https://EXAMPLE.com./", True),
        ("https://example.com:8443/", True),
        ("https://www.example.com/", False),
        ("https://example.com.evil.example/", False),
        ("https://a.example.org/", True),
        ("https://b.a.example.org/", True),
        ("https://example.org/", False),
        ("https://badexample.org/", False),
        ("https://bücher.example/", True),
        ("https://xn--bcher-kva.example/", True),
        ("https://straße.example/", True),
        ("https://strasse.example/", False),
        ("https://9.9.9.9/", True),
        ("https://8.8.8.8/", False),
        ("https://[2620:FE::FE]/", True),
        ("https://[2620:fe::9]/", False),
    ],
)
async def test_only_the_hosts_that_are_set_are_called(url: str, is_reached: bool) -> None:
    """Names count after IDNA, whatever their case and a dot at their end; `*.` is every host below, and not itself."""
    hosts = Settings(
        database_url="",
        egress_hosts="Example.COM., *.example.org, BÜCHER.example, straße.example, 9.9.9.9, [2620:fe::FE]",
    ).egress_hosts
    way_out = recorder(Anywhere(), hosts=Settings(database_url="", egress_hosts=hosts).egress_hosts)
    assert await reached(way_out, url) == is_reached
    await way_out.close()


async def test_a_redirect_goes_to_no_other_host_or_port() -> None:
    """What the first call may not name, a redirect may not either."""
    async with serving({"/host": redirect("http://example.com/"), "/port": redirect("http://127.0.0.1:25/")}) as server:
        port = (server.port, server.port)
        way_out = Egress(allow=LOOPBACK, hosts=("127.0.0.1",), ports=(port, (80, 80)))
        with pytest.raises(PermanentError, match=r"GET example\.com: refused: example\.com is not among"):
            await way_out.request("GET", server.url("/host"), timeout_seconds=5)
        with pytest.raises(PermanentError, match=r"GET 127\.0\.0\.1:25: refused: port 25 is not among"):
            await way_out.request("GET", server.url("/port"), timeout_seconds=5)
        await way_out.close()


async def test_a_host_header_is_no_way_round_the_hosts_that_are_set() -> None:
    """A server of many names is not asked for one that the URL does not say."""
    async with serving() as server:
        way_out = Egress(allow=LOOPBACK, hosts=("127.0.0.1",))
        with pytest.raises(PermanentError, match="Host header"):
            await way_out.request("GET", server.url(), headers={"hOst": "example.com"}, timeout_seconds=5)
        await way_out.close()
        assert server.received == []


@pytest.mark.parametrize(
    ("ports", "url", "is_reached"),
    [
        ("", "http://example.com/", True),
        ("", "http://example.com:65535/", True),
        ("", "http://example.com:8080/", True),
        ("", "http://example.com:0/", False),
        ("", "http://example.com:22/", False),
        ("", "http://example.com:25/", False),
        ("", "http://example.com:587/", False),
        ("", "http://example.com:6379/", True),
        ("", "http://example.com:6667/", False),
        ("", "http://example.com:10080/", False),
        ("443, 8000-8999", "https://example.com/", True),
        ("443, 8000-8999", "http://example.com:8000/", True),
        ("443, 8000-8999", "http://example.com:8999/", True),
        ("443, 8000-8999", "http://example.com:9000/", False),
        ("443, 8000-8999", "http://example.com/", False),
        ("25", "http://example.com:25/", True),
    ],
)
async def test_only_ports_for_http_or_those_that_are_set_are_called(ports: str, url: str, is_reached: bool) -> None:
    """By default what browsers block is refused; ports that are set are the only ones, whatever they are."""
    way_out = recorder(Anywhere(), ports=Settings(database_url="", egress_ports=ports).egress_ports)
    assert await reached(way_out, url) == is_reached
    await way_out.close()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *[
            ("HOSTS", value)
            for value in ("https://example.com", "example.com:443", "example.com/a", "*", "*.", "a.*.com")
        ],
        *[("HOSTS", value) for value in ("*.*.example.com", "a b", "user@example.com", "127.1", "*.10.0.0.1", "*.::1")],
        *[("PORTS", value) for value in ("http", "0", "65536", "9000-8000", "80-", "-80", "80-81-82", "８０", "8_0")],
        *[("ALLOW", value) for value in ("loopback", "10.0.0.0/33", "10.0.0.0-10.0.0.9", "300.0.0.1")],
    ],
)
def test_a_setting_that_means_nothing_says_so(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """The error names the variable and the part of it that is wrong, beside parts that are right."""
    monkeypatch.setenv("MILLRACE_DATABASE_URL", "postgresql://h/d")
    right = {"HOSTS": "example.com", "PORTS": "80", "ALLOW": "10.0.0.0/8"}[variable]
    monkeypatch.setenv(f"MILLRACE_EGRESS_{variable}", f"{right}, {value}")
    settings.cache_clear()
    try:
        with pytest.raises(ConfigError, match=f"MILLRACE_EGRESS_{variable}: .*'") as caught:
            settings()
        assert repr(value) in str(caught.value)
    finally:
        settings.cache_clear()


def test_settings_that_are_given_but_empty_are_not_given() -> None:
    """An empty variable, as compose files like to set, neither allows nor forbids anything."""
    empty = Settings(database_url="", egress_allow="", egress_hosts=" , ", egress_ports="")
    assert (empty.egress_allow, empty.egress_hosts, empty.egress_ports) == ((), (), ())
