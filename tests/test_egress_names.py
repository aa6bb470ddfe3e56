"""A name is looked up once for a connection, which goes to the address that was judged; look-ups hold nobody up."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest

from include.egress import Egress, permitted_addresses
from include.egress.resolver import SystemResolver
from include.errors import PermanentError, RetryableError
from tests.dns_server import DnsClient, answering
from tests.fake_http import serving
from tests.way_out import LOOPBACK, egress, recorder, strict

__all__ = ["egress", "strict"]

PUBLIC = "93.184.215.14"
LINK_LOCAL = ip_network("fe80::/10")


# -- answers that change -----------------------------------------------------------------------------------------------


async def test_a_name_that_leads_out_first_and_inside_then() -> None:
    """The connection goes to the one address that was judged, by one look-up; the next look-up is judged anew."""
    async with answering(PUBLIC, "127.0.0.1") as dns, serving() as inside:
        way_out = recorder(DnsClient(dns.port))
        with pytest.raises(RetryableError):
            await way_out.request("GET", inside.url(host="rebind.example"), timeout_seconds=5)
        assert (way_out.peers, dns.asked) == ([PUBLIC], ["rebind.example"])
        with pytest.raises(PermanentError, match=r"127\.0\.0\.1 is loopback"):
            await way_out.request("GET", inside.url(host="rebind.example"), timeout_seconds=5)
        assert (way_out.peers, len(dns.asked), inside.received) == ([PUBLIC], 2, [])
        await way_out.close()


async def test_a_name_that_leads_inside_first_and_out_then() -> None:
    """A refusal is by the answer that was used, and does not outlast it."""
    async with answering("127.0.0.1", PUBLIC) as dns, serving() as inside:
        way_out = recorder(DnsClient(dns.port))
        with pytest.raises(PermanentError, match=r"127\.0\.0\.1 is loopback"):
            await way_out.request("GET", inside.url(host="rebind.example"), timeout_seconds=5)
        assert (way_out.peers, len(dns.asked)) == ([], 1)
        with pytest.raises(RetryableError):
            await way_out.request("GET", inside.url(host="rebind.example"), timeout_seconds=5)
        assert (way_out.peers, len(dns.asked), inside.received) == ([PUBLIC], 2, [])
        await way_out.close()


async def test_a_connection_is_made_where_the_first_answer_leads() -> None:
    """A real call arrives at the address that was allowed, though the name has led elsewhere ever since."""
    async with answering("127.0.0.1", "127.0.0.2") as dns, serving() as server:
        way_out = Egress(allow=LOOPBACK, resolver=DnsClient(dns.port))
        assert (await way_out.request("GET", server.url(host="rebind.example"), timeout_seconds=5)).status == 200
        assert len(dns.asked) == 1
        await way_out.close()


async def test_the_addresses_for_other_protocols_come_of_one_look_up() -> None:
    """A client of SMTP or SQL is told where to connect, and an answer that leads inside is refused."""
    async with answering(PUBLIC, "10.0.0.1") as dns:
        way_out = Egress(resolver=DnsClient(dns.port))
        assert await way_out.addresses("rebind.example", 25) == [PUBLIC]
        assert len(dns.asked) == 1
        with pytest.raises(PermanentError, match=r"rebind\.example: refused: 10\.0\.0\.1 is private"):
            await way_out.addresses("rebind.example", 25)
        await way_out.close()


# -- addresses for other protocols -------------------------------------------------------------------------------------


async def asked(host: str, **options: Any) -> list[str]:
    """What both ways to ask say, which is the same."""
    way_out = Egress(**options)
    [told] = await asyncio.gather(way_out.addresses(host, 5432), return_exceptions=True)
    await way_out.close()
    try:
        told_blocking: object = permitted_addresses(host, 5432, options.get("allow", ()), options.get("hosts", ()))
    except (PermanentError, RetryableError) as error:
        told_blocking = error
    assert (type(told), str(told)) == (type(told_blocking), str(told_blocking))
    if isinstance(told, BaseException):
        raise told
    return told


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("localhost", ["127.0.0.1"]),
        ("LOCALHOST", ["127.0.0.1"]),
        ("127.0.0.1", ["127.0.0.1"]),
        ("①②⑦.0.0.1", ["127.0.0.1"]),
        ("8.8.8.8", ["8.8.8.8"]),
        ("0x8.8.2056", ["8.8.8.8"]),
        ("[2620:FE::fe]", ["2620:fe::fe"]),
        ("2620:fe:0::fe", ["2620:fe::fe"]),
    ],
)
async def test_what_may_be_connected_to_is_an_address(host: str, addresses: list[str]) -> None:
    """Names and addresses become addresses in their one spelling; those that are refused are left out."""
    assert await asked(host, allow=LOOPBACK) == addresses


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("localhost", "is loopback; allow it with MILLRACE_EGRESS_ALLOW"),
        ("::1", "::1 is loopback"),
        ("[::ffff:127.0.0.1]", "is loopback"),
        ("169.254.169.254", "is cloud metadata; allow it by itself"),
        ("metadata.google.internal.", "metadata.google.internal is cloud metadata"),
        ("Metadata.GOOG", "metadata.goog is cloud metadata"),
        ("127.1", "127.0.0.1 is loopback"),
        ("0x7f000001", "127.0.0.1 is loopback"),
        ("2130706433", "127.0.0.1 is loopback"),
        ("0177.0.0.1", "127.0.0.1 is loopback"),
        ("127.0.0.1.", "address as"),
        ("fe80::1%lo", "address as"),
        ("::1%25lo", "address as"),
        ("%6c%6fcalhost", "valid host"),
        ("example.com/@127.0.0.1", "valid host"),
        ("user@localhost", "valid host"),
        ("example.com,127.0.0.1", "valid host"),
        ("/var/run/postgresql", "valid host"),
        ("@socket", "valid host"),
        ("local\thost", "valid host"),
        ("localhost\0.example.com", "valid host"),
        ("", "valid host"),
    ],
)
async def test_no_spelling_leads_another_protocol_inside(host: str, message: str) -> None:
    """A host of a connection is read as a URL's is, and the message says what to write."""
    with pytest.raises(PermanentError, match=message):
        await asked(host)


async def test_the_hosts_that_are_set_hold_for_other_protocols_too() -> None:
    """The setting for hosts is about all calls, the one for ports about HTTP."""
    told = await asked("LOCALHOST", allow=LOOPBACK, hosts=("localhost",), ports=((443, 443),))
    assert told == ["127.0.0.1"]
    with pytest.raises(PermanentError, match=r"127\.0\.0\.1 is not among the hosts in MILLRACE_EGRESS_HOSTS"):
        await asked("127.0.0.1", allow=LOOPBACK, hosts=("localhost",))


async def test_a_zone_that_a_look_up_finds_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A link-local address is judged without its zone and connected to with it."""
    peer = ("fe80::1", 0, 0, 2)
    found = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", peer)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: found)
    with pytest.raises(PermanentError, match="fe80::1%2 is link-local"):
        await asked("printer.local")
    assert permitted_addresses("printer.local", 25, (LINK_LOCAL,)) == ["fe80::1%2"]


# -- the system's resolver ---------------------------------------------------------------------------------------------


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names that are being looked up, by a system that never answers."""
    asked: list[str] = []
    end = threading.Event()

    def wait(host: str, *_args: Any, **_options: Any) -> Any:
        asked.append(host)
        end.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    yield asked
    end.set()


async def test_names_that_are_slow_take_no_thread_from_others(stuck: list[str]) -> None:
    """However many look-ups hang, the loop's own threads are free, and each call is told in time."""
    way_out = Egress(resolver=SystemResolver(timeout_seconds=0.2))
    calls = [way_out.request("GET", f"http://{number}.slow.example/", timeout_seconds=30) for number in range(100)]
    gathered = asyncio.gather(*calls, way_out.addresses("slow.example", 25), return_exceptions=True)
    assert await asyncio.get_running_loop().run_in_executor(None, lambda: "free") == "free"
    outcomes = await gathered
    await way_out.close()
    assert all(isinstance(outcome, RetryableError) for outcome in outcomes)
    assert str(outcomes[0]) == "GET 0.slow.example: the host's name cannot be resolved"
    assert str(outcomes[-1]) == "slow.example: the host's name cannot be resolved"
    assert 0 < len(stuck) < 50


async def test_one_name_is_looked_up_once_at_a_time(stuck: list[str]) -> None:
    """Many calls to one name share a look-up, and so one thread."""
    way_out = Egress(resolver=SystemResolver(timeout_seconds=0.2))
    calls = [way_out.addresses("slow.example", 25) for _ in range(50)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    await way_out.close()
    assert all(isinstance(outcome, RetryableError) for outcome in outcomes)
    assert stuck == ["slow.example"]


async def test_an_answer_is_kept_for_a_short_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is not looked up again for each call; a failure is not kept, nor an answer beyond its time."""
    answers: list[list[Any]] = [[], [(2, 1, 6, "", (PUBLIC, 0))], [(2, 1, 6, "", ("127.0.0.1", 0))]]
    asked: list[str] = []

    def answer(host: str, *_args: Any, **_options: Any) -> list[Any]:
        asked.append(host)
        if not answers[len(asked) - 1]:
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return answers[len(asked) - 1]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    way_out = Egress(resolver=SystemResolver(kept_seconds=0.3))
    with pytest.raises(RetryableError):
        await way_out.addresses("a.example", 25)
    for _ in range(3):
        assert await way_out.addresses("a.example", 25) == [PUBLIC]
    await asyncio.sleep(0.3)
    with pytest.raises(PermanentError, match="is loopback"):
        await way_out.addresses("a.example", 25)
    await way_out.close()
    assert asked == ["a.example"] * 3


async def test_the_system_knows_its_own_names(egress: Egress) -> None:
    """The resolver that is used by default resolves, and what it finds is called."""
    async with serving() as server:
        assert (await egress.request("GET", server.url(host="localhost"), timeout_seconds=5)).status == 200


async def test_a_call_is_cancelled_while_its_name_is_looked_up(stuck: list[str], strict: Egress) -> None:
    """Who waits for a name can be called off at once."""
    call = asyncio.create_task(strict.request("GET", "http://slow.example/", timeout_seconds=30))
    while not stuck:
        await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
