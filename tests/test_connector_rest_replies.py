"""What the `rest` connector makes of replies that are no page."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web

from include.connectors._wait import LONGEST_WAIT_SECONDS, retry_after, wait_seconds
from include.egress import Egress
from include.errors import AttemptError, PermanentError, RateLimitedError, RetryableError
from include.model import PAGE_CAP
from tests.fake_http import serving
from tests.rest_source import Puller, egress, payloads, reply, sequence

__all__ = ["egress"]

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)


async def failure(egress: Egress, answer: Any, **config: Any) -> AttemptError:
    """The error that one answer leads to; its message names the host and nothing that could be secret."""
    async with serving(sequence(answer)) as server:
        with pytest.raises(AttemptError) as caught:
            await Puller(egress, server, params={"key": "in-the-query"}, **config).pull()
        assert str(caught.value).startswith(f"GET 127.0.0.1:{server.port}")
        assert "/v1" not in str(caught.value)
        assert "in-the-query" not in str(caught.value)
        return caught.value


@pytest.mark.parametrize(
    ("answer", "kind", "after"),
    [
        (reply(429, "slow down", Retry_After="7"), RateLimitedError, 7),
        (reply(429, "slow down"), RateLimitedError, None),
        (reply(429, "slow down", RateLimit_Reset="30"), RateLimitedError, 30),
        (reply(429, "slow down", Retry_After="7", X_RateLimit_Reset="30"), RateLimitedError, 7),
        (reply(403, "slow down", X_RateLimit_Remaining="0", X_RateLimit_Reset="60"), RateLimitedError, 60),
        (reply(403, "slow down", Retry_After="60"), RateLimitedError, 60),
        (reply(503, "later", Retry_After="7"), RetryableError, 7),
        (reply(500, "oh"), RetryableError, None),
        (reply(408, "oh"), RetryableError, None),
        (reply(425, "oh"), RetryableError, None),
    ],
    ids=lambda value: str(value.status) if isinstance(value, web.Response) else None,
)
async def test_not_now(egress: Egress, answer: web.Response, kind: type[RetryableError], after: float | None) -> None:
    """A source that says "not now" is asked again, when it says so if it does."""
    error = await failure(egress, answer)
    assert type(error) is kind
    assert isinstance(error, RetryableError)
    assert (error.code, error.after_seconds) == (answer.status, after)


@pytest.mark.parametrize("status", [301, 304, 400, 401, 403, 404, 410, 422])
async def test_not_ever(egress: Egress, status: int) -> None:
    """Any other status is for people to look at, with the beginning of what the source said."""
    error = await failure(egress, reply(status, "x" * 5000))
    assert type(error) is PermanentError
    assert error.code == status
    assert len(error.excerpt or "") == (0 if status == 304 else 500)


@pytest.mark.parametrize(
    "body", [b"<html>", b"", b"{", b"[NaN]", b"[Infinity]", b"\xff", b"[" * 200_000, b"[" + b"1" * 5000 + b"]"]
)
async def test_a_page_that_is_no_json(egress: Egress, body: bytes) -> None:
    """It is refused, with the type that it says it has and nothing of what it holds."""
    error = await failure(egress, web.Response(body=body, content_type="text/html"))
    assert type(error) is PermanentError
    assert "the reply is not valid JSON (text/html)" in str(error)
    assert error.excerpt is None


async def test_a_page_that_is_too_large(egress: Egress) -> None:
    """A page over the cap is refused, not cut."""
    error = await failure(egress, web.Response(body=b'"' + b"x" * PAGE_CAP + b'"', content_type="application/json"))
    assert "the page is larger than 8 MiB; ask for smaller pages" in str(error)


async def test_a_page_in_an_older_encoding(egress: Egress) -> None:
    """JSON is UTF-8; where the reply names another encoding, it is that, if it is one that pages come in."""
    body = '["\xe9"]'.encode("latin-1")
    for charset in ("ISO-8859-1", "windows-1252"):
        answer = web.Response(body=body, headers={"Content-Type": f"application/json; charset={charset}"})
        async with serving(sequence(answer)) as server:
            assert payloads(await Puller(egress, server).pull()) == ["\xe9"]
    for charset in ("utf-8", "punycode", "iso-8859-99"):
        answer = web.Response(body=body, headers={"Content-Type": f"application/json; charset={charset}"})
        assert "the reply is not valid JSON" in str(await failure(egress, answer))


async def test_a_reply_without_content(egress: Egress) -> None:
    """204 is an empty page."""
    async with serving(sequence(web.Response(status=204))) as server:
        assert payloads(await Puller(egress, server).pull()) == []


async def test_a_limit_that_is_spent_is_kept_to(egress: Egress) -> None:
    """The page that spends it is good; the next request waits, and if there is none, nobody does."""
    spent = {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": str(int(time.time()) + 500)}
    answers = [reply(200, {"items": [1], "total": 2}, **spent), reply(200, {"items": [2], "total": 2}, **spent)]
    async with serving(sequence(*answers)) as server:
        puller = Puller(egress, server, paginator="page_number")
        with pytest.raises(RateLimitedError) as caught:
            await puller.pull()
        assert payloads(puller.pages) == [1]
        assert 490 < (caught.value.after_seconds or 0) <= 500
        assert payloads(await puller.pull(puller.cursor)) == [2]


async def test_a_failure_in_the_middle_loses_nothing(egress: Egress) -> None:
    """What came before it is there, and the next pull goes on behind it."""
    answers = [{"items": [number], "total": 3} for number in range(3)]
    async with serving(sequence(answers[0], answers[1], reply(429, "no"), answers[2])) as server:
        puller = Puller(egress, server, paginator="page_number")
        with pytest.raises(RateLimitedError):
            await puller.pull()
        before = payloads(puller.pages)
        assert before + payloads(await puller.pull(puller.cursor)) == [0, 1, 2]
        assert [request.query for request in server.received] == ["page=0", "page=1", "page=2", "page=2"]


@pytest.mark.parametrize(
    ("action", "kind"),
    [("retry", RetryableError), ("fail", PermanentError), ("rate_limited", RateLimitedError)],
)
async def test_what_to_do_about_a_reply(egress: Egress, action: str, kind: type[AttemptError]) -> None:
    """By status, by text, or by both; the first action that applies decides, whatever the status would mean."""
    for condition in ({"status_code": 200}, {"content": "err"}, {"status_code": 200, "content": "err"}):
        actions = [{"status_code": 200, "content": "none", "action": "ignore"}, {**condition, "action": action}]
        error = await failure(egress, reply(200, {"err": 1}, Retry_After="9"), response_actions=actions)
        assert type(error) is kind
        assert getattr(error, "after_seconds", 9) == 9
    actions = [{"status_code": 404, "action": action}, {"status_code": 404, "action": "ignore"}]
    assert type(await failure(egress, reply(404, ""), response_actions=actions)) is kind


async def test_a_reply_to_ignore_ends_the_pull(egress: Egress) -> None:
    """As if all was read: what came before counts, and the next pull begins at the beginning."""
    actions = [{"status_code": 404, "content": "no more", "action": "ignore"}]
    page = {"items": [{"at": 5}], "total": 9}
    async with serving(sequence(page, reply(404, "no more"), page, reply(404, "gone"))) as server:
        puller = Puller(
            egress, server, paginator="page_number", incremental={"cursor_path": "at"}, response_actions=actions
        )
        assert [len(page.records) for page in await puller.pull()] == [1, 0]
        assert puller.cursor == {"last": {"at": 5}}
        assert puller.pages[-1].about["ignored"] == 404
        with pytest.raises(PermanentError):
            await puller.pull(puller.cursor)


@pytest.mark.parametrize("status", [400, 404, 410, 422])
async def test_a_place_that_the_source_has_lost(egress: Egress, status: int) -> None:
    """A pull that cannot be gone on with is begun again, where it began; if that fails too, it is an error."""
    tokens = [{"items": [{"at": 1}], "cursors": {"next": "a"}}, {"items": [{"at": 2}]}]
    config: dict[str, Any] = {"paginator": "cursor", "incremental": {"cursor_path": "at", "start_param": "since"}}
    for answers, found in (([*tokens], [{"at": 1}, {"at": 2}]), ([reply(status, "x")], None)):
        async with serving(sequence(tokens[0], reply(status, "expired"), *answers)) as server:
            puller = Puller(egress, server, **config)
            await puller.pull({"last": {"at": 0}}, most=1)
            if found is None:
                with pytest.raises(PermanentError):
                    await puller.pull(puller.cursor)
            else:
                assert payloads(await puller.pull(puller.cursor)) == found
                assert puller.cursor == {"last": {"at": 2}}
            asked = [request.query for request in server.received][:3]
            assert asked == ["since=0", "since=0&cursor=a", "since=0"]


async def test_an_error_later_is_no_lost_place(egress: Egress) -> None:
    """Only the first request after a break can be about a place that was lost meanwhile."""
    page = {"items": [1], "cursors": {"next": "a"}}
    async with serving(sequence(page, page, reply(404, "x"))) as server:
        puller = Puller(egress, server, paginator="cursor")
        await puller.pull(most=1)
        with pytest.raises(PermanentError):
            await puller.pull(puller.cursor)


async def test_reset(egress: Egress) -> None:
    """A reply that is configured so begins the pull again at any time, but only once."""
    actions = [{"content": "expired", "action": "reset"}]
    page, lost = {"items": [1], "cursors": {"next": "a"}}, {"error": "expired"}
    async with serving(sequence(page, lost, page, {"items": [2]})) as server:
        puller = Puller(egress, server, paginator="cursor", response_actions=actions)
        assert payloads(await puller.pull()) == [1, 1, 2]
    async with serving(sequence(page, lost, page, lost)) as server:
        with pytest.raises(RetryableError, match="lost our place again"):
            await Puller(egress, server, paginator="cursor", response_actions=actions).pull()


async def test_an_excerpt_is_text_that_can_be_stored(egress: Egress) -> None:
    """Whatever the source sends."""
    error = await failure(egress, web.Response(status=400, body=b"\x00\xff" + json.dumps("ok").encode()))
    assert error.excerpt == '\ufffd\ufffd"ok"'


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"X-RateLimit-Reset": str(int(NOW.timestamp()) + 90)}, 90),
        ({"X-RateLimit-Reset": str((int(NOW.timestamp()) + 90) * 1000)}, 90),
        ({"X-RateLimit-Reset": f"{NOW.timestamp() + 1.5}"}, 1.5),
        ({"X-Rate-Limit-Reset": str(int(NOW.timestamp()) + 90)}, 90),
        ({"RateLimit-Reset": "90"}, 90),
        ({"RateLimit-Reset": "0"}, None),
        ({"RateLimit-Reset": "nan"}, None),
        ({"RateLimit-Reset": "inf"}, LONGEST_WAIT_SECONDS),
        ({"RateLimit-Reset": "soon"}, None),
        ({"X-RateLimit-Reset": str(int(NOW.timestamp()) - 90)}, None),
        ({"Retry-After": "5", "RateLimit-Reset": "90"}, 5),
        ({"Retry-After": "soon", "RateLimit-Reset": "90"}, 90),
    ],
)
def test_a_limit_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    """A reset is an instant or a wait; what is past or garbled asks for nothing, and nobody waits more than a day."""
    assert wait_seconds(headers, NOW) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0),
        (" 120 ", 120),
        ("9" * 5000, LONGEST_WAIT_SECONDS),
        ("-5", None),
        ("1.5", None),
        ("١٢", None),
        (format_datetime(NOW + timedelta(seconds=30), usegmt=True), 30),
        ("Sun Mar  1 12:00:30 2026", 30),
        ("Sun, 01 Mar 2026 11:59:59 GMT", None),
        ("Sun, 31 Feb 2026 12:00:30 GMT", None),
    ],
)
def test_retry_after_in_every_form(value: str | None, seconds: float | None) -> None:
    """Seconds and dates count; what is past or garbled asks for nothing."""
    assert retry_after(value, NOW) == seconds
