"""The `rest` connector reads every page of every kind of paged API, once, wherever it is interrupted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from include.egress import Egress
from include.errors import PermanentError
from include.registry import source
from tests.fake_http import Handler, serving
from tests.rest_source import Puller, answering, egress, keys, payloads, reply, rows, sequence

__all__ = ["egress"]

ALL = rows(25)


def cut(place: int, size: int = 10) -> dict[str, Any]:
    return {"items": ALL[place : place + size], "total": len(ALL), "more": place + size < len(ALL)}


def following(place: int) -> int | None:
    return place + 10 if place + 10 < len(ALL) else None


def offset(request: web.Request, _body: Any) -> Any:
    return cut(int(request.query["offset"]), int(request.query["limit"]))


def offset_in_body(_request: web.Request, body: Any) -> Any:
    assert body["where"] == {"open": True}
    return cut(body["page"]["from"], body["page"]["size"])


def page_number(request: web.Request, _body: Any) -> Any:
    return {**cut(10 * (int(request.query["page"]) - 1)), "total": 3}


def token(request: web.Request, body: Any) -> Any:
    place = int((body or {}).get("token") or request.query.get("cursor", "0"))
    end = following(place)
    return {**cut(place), "cursors": {"next": None if end is None else str(end)}}


def header_token(request: web.Request, _body: Any) -> Any:
    place = int(request.query.get("after", "0"))
    end = following(place)
    return reply(200, cut(place)["items"], **({} if end is None else {"X_Next": str(end)}))


def linked(link: str) -> Callable[[web.Request, Any], Any]:
    def answer(request: web.Request, _body: Any) -> Any:
        place = int(request.query.get("at", "0"))
        assert ("q" in request.query) == (place == 0), "a link says everything, so parameters are not added to it"
        end = following(place)
        return {**cut(place), "next": None if end is None else link.format(end, origin=f"http://{request.host}")}

    return answer


def header_linked(request: web.Request, _body: Any) -> Any:
    place = int(request.query.get("at", "0"))
    end = following(place)
    links = '</v1/items?at=0>; rel="first"' + ("" if end is None else f', <?at={end}>; title="a, b"; rel="next"')
    return reply(200, ALL[place : place + 10], Link=links)


def single(_request: web.Request, _body: Any) -> Any:
    return {"items": ALL}


POST = {"method": "POST", "json": {"where": {"open": True}}}
IN_BODY = {"offset_body_path": "page.from", "limit_body_path": "page.size"}
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "single_page": (single, {"paginator": "single_page"}),
    "offset": (offset, {"paginator": {"type": "offset", "limit": 10}}),
    "offset without a total": (offset, {"paginator": {"type": "offset", "limit": 10, "total_path": None}}),
    "offset with has_more": (
        offset, {"paginator": {"type": "offset", "limit": 10, "total_path": None, "has_more_path": "more"}}),
    "offset in the body": (offset_in_body, {"paginator": {"type": "offset", "limit": 10, **IN_BODY}, **POST}),
    "page_number": (page_number, {"paginator": {"type": "page_number", "base_page": 1}}),
    "cursor": (token, {"paginator": "cursor"}),
    "cursor in the body": (token, {"paginator": {"type": "cursor", "cursor_body_path": "token"}, "method": "POST"}),
    "header_cursor": (
        header_token, {"paginator": {"type": "header_cursor", "cursor_key": "X-Next", "cursor_param": "after"}}),
    "json_link": (linked("{origin}/v1/items?at={}"), {"paginator": "json_link", "params": {"q": 1}}),
    "json_link from the root": (linked("/v1/items?at={}"), {"paginator": "json_link", "params": {"q": 1}}),
    "json_link, relative": (linked("?at={}"), {"paginator": "json_link", "params": {"q": 1}}),
    "header_link": (header_linked, {"paginator": "header_link"}),
    "auto: header_link": (header_linked, {}),
    "auto: json_link": (linked("/v1/items?at={}"), {"params": {"q": 1}}),
    "auto: cursor": (
        lambda request, body: {"meta": {"next_cursor": (page := token(request, body)).pop("cursors")["next"]}, **page},
        {}),
    "auto: page_number": (
        lambda request, _body: {"items": cut(10 * int(request.query.get("page", "0")))["items"], "total_pages": 3}, {}),
    "auto: page_number from 1": (
        lambda request, _body: {"items": cut(10 * int(request.query.get("page", "1")) - 10)["items"],
                                "meta": {"page": int(request.query.get("page", "1")), "pages": 3}}, {}),
    "auto: single_page": (single, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
async def test_every_paginator_from_every_place(egress: Egress, name: str) -> None:
    """All records come once and in order; whoever stops after any page and goes on from its cursor misses none."""
    answer, config = KINDS[name]
    async with serving(answering(answer)) as server:
        puller = Puller(egress, server, primary_key="id", **config)
        whole = await puller.pull()
        asked = [(request.path, request.query, request.body) for request in server.received]
        assert keys(whole) == [str(row["id"]) for row in ALL]
        assert puller.cursor is None
        for count in range(1, len(whole)):
            server.received.clear()
            before = list(await puller.pull(most=count))
            after = await puller.pull(puller.cursor)
            assert [page.records for page in before + after] == [page.records for page in whole], count
            assert [(request.path, request.query, request.body) for request in server.received] == asked, count


@pytest.mark.parametrize("name", [name for name in KINDS if name.startswith("auto")])
async def test_what_was_found_out_is_shown(egress: Egress, name: str) -> None:
    """A preview says which paginator was found, and what to write to have the same for good."""
    answer, config = KINDS[name]
    async with serving(answering(answer)) as server:
        [page, *_] = await Puller(egress, server, **config).pull()
        assert page.about["paginator"] == name.split()[1]
        assert page.about["request"] == f"GET http://127.0.0.1:{server.port}/v1/items" + ("?q=1" if config else "")
        explicit = Puller(egress, server, primary_key="id", **{**config, **page.about["detected"]})  # type: ignore[dict-item]
        assert keys(await explicit.pull())[-1] == "24"


async def test_a_last_page_that_is_full(egress: Egress) -> None:
    """Where nothing says that a full page is the last, an empty one does."""
    handler = answering(lambda request, _body: ALL[:20][int(request.query["offset"]) :][:10])
    async with serving(handler) as server:
        pages = await Puller(egress, server, paginator={"type": "offset", "limit": 10, "total_path": None}).pull()
    assert [len(page.records) for page in pages] == [10, 10, 0]


@pytest.mark.parametrize(
    ("paginator", "sizes"),
    [
        ({"type": "offset", "limit": 10, "maximum_offset": 20}, [10, 10]),
        ({"type": "offset", "limit": 10, "offset": 15}, [10]),
        ({"type": "page_number", "base_page": 1, "maximum_page": 2}, [10]),
        ({"type": "page_number", "base_page": 1, "page": 3}, [5]),
    ],
)
async def test_a_part_of_the_pages(egress: Egress, paginator: dict[str, Any], sizes: list[int]) -> None:
    """A maximum is where the pull stops, a first page where it begins."""
    handler = answering(offset if paginator["type"] == "offset" else page_number)
    async with serving(handler) as server:
        pages = await Puller(egress, server, paginator=paginator).pull()
    assert [len(page.records) for page in pages] == sizes


async def test_an_empty_page_in_the_middle(egress: Egress) -> None:
    """It ends a counted pull; a token goes on past it, unless it is told to stop."""
    gap = [{"items": rows(2), "cursors": {"next": "a"}}, {"items": [], "cursors": {"next": "b"}}, {"items": rows(1, 2)}]
    for stop, sizes in ((False, [2, 0, 1]), (True, [2, 0])):
        async with serving(sequence(*gap)) as server:
            pages = await Puller(egress, server, paginator={"type": "cursor", "stop_after_empty_page": stop}).pull()
        assert [len(page.records) for page in pages] == sizes
    async with serving(sequence({"items": rows(2), "total": 9}, {"items": []})) as server:
        pages = await Puller(egress, server, paginator="page_number").pull()
    assert [len(page.records) for page in pages] == [2, 0]


@pytest.mark.parametrize(
    ("paginator", "body", "message"),
    [
        ({"type": "page_number"}, {"items": [1]}, "the reply has no total at total; write null"),
        ({"type": "page_number"}, {"items": [1], "total": "many"}, "what the reply has at total is not a number"),
        ({"type": "offset", "limit": 1, "has_more_path": "more"}, {"items": [1], "total": 9}, "has nothing at"),
        ({"type": "cursor", "has_more_path": "more"}, {"items": [1], "more": 3}, "has neither true nor false"),
        ({"type": "json_link"}, {"items": [1], "next": 7}, "the reply has no URL at next"),
        ({"type": "json_link"}, {"items": [1], "next": "ftp://h/"}, "the next link is not a URL"),
        ({"type": "json_link"}, {"items": [1], "next": "http://u:p@h/"}, "the next link is not a URL"),
    ],
)  # fmt: skip
async def test_a_reply_that_does_not_say_how_to_go_on(egress: Egress, paginator: Any, body: Any, message: str) -> None:
    """What the configuration promises and the reply lacks is an error, before the page counts as read."""
    async with serving(sequence(body)) as server:
        puller = Puller(egress, server, paginator=paginator)
        with pytest.raises(PermanentError, match=message):
            await puller.pull()
    assert puller.pages == []


@pytest.mark.parametrize(("more", "pages"), [("true", 2), ("Yes", 2), ("0", 1), (False, 1)])
async def test_has_more_as_a_word(egress: Egress, more: Any, pages: int) -> None:
    """Some APIs write their booleans as texts."""
    bodies = [{"items": [1], "more": more}, {"items": [2], "more": False}]
    async with serving(sequence(*bodies)) as server:
        paginator = {"type": "page_number", "total_path": None, "has_more_path": "more"}
        assert len(await Puller(egress, server, paginator=paginator).pull()) == pages


@pytest.mark.parametrize(
    ("primary_key", "row", "key"),
    [
        (None, {"id": 1}, None),
        ("id", {"id": "a"}, "a"),
        ("id", {"id": 12}, "12"),
        ("id", {"id": 1.5}, "1.5"),
        ("id", {"id": True}, "true"),
        ("id", {"id": {"b": 1, "a": 2}}, '{"a":2,"b":1}'),
        ("id", {"id": None}, None),
        ("id", {"other": 1}, None),
        ("id", "text", None),
        ("a.b", {"a": {"b": "x"}}, "x"),
        ("a.b", {"a": None}, None),
        ("$.a[0].b", {"a": [{"b": "x"}]}, "x"),
        ('"@id"', {"@id": "x"}, "x"),
        ("größe", {"größe": "x"}, "x"),
        (["a", "b"], {"a": 1, "b": "2"}, '[1,"2"]'),
        (["a", "b"], {"a": "1", "b": 2}, '["1",2]'),
        (["a", "b"], {"a": "1"}, '["1",null]'),
        (["a", "b"], {}, None),
        (["a"], {"a": "x"}, "x"),
    ],
)
async def test_the_key_of_a_record(egress: Egress, primary_key: Any, row: Any, key: str | None) -> None:
    """A text is its own key, anything else its JSON; several fields make a list, so that none is taken for others."""
    async with serving(sequence([row])) as server:
        [page] = await Puller(egress, server, primary_key=primary_key).pull()
    assert [(record.key, record.payload) for record in page.records] == [(key, row)]


@pytest.mark.parametrize(
    ("selector", "body", "found"),
    [
        (None, {"meta": [0], "data": [1]}, [1]),
        (None, {"a": {"b": {"c": [1]}}}, [1]),
        (None, {"a": {"b": {"c": {"d": [1]}}}}, [{"a": {"b": {"c": {"d": [1]}}}}]),
        (None, {"x-y": {"a.b": [1]}}, [1]),
        (None, {'"\\': [1]}, [1]),
        (None, None, []),
        ("$", {"a": 1}, [{"a": 1}]),
        ("a.b", {"a": {"b": [1]}}, [1]),
        ("a.b", {"a": {}}, []),
        ("a[*].b", {"a": [{"b": 1}, {"b": 2}]}, [1, 2]),
        ("a[?(@.b > 1)]", {"a": [{"b": 1}, {"b": 2}]}, [{"b": 2}]),
    ],
)
async def test_the_records_of_a_reply(egress: Egress, selector: str | None, body: Any, found: list[Any]) -> None:
    """They are where the selector says, or else where the most telling list is."""
    async with serving(sequence(reply(200, body))) as server:
        assert payloads(await Puller(egress, server, data_selector=selector).pull()) == found


async def test_an_edited_request_is_not_gone_on_with(egress: Egress) -> None:
    """The place in the pages of another request means nothing in those of this one, so the pull begins again."""
    async with serving(answering(offset)) as server:
        paginator = {"type": "offset", "limit": 10}
        puller = Puller(egress, server, paginator=paginator, primary_key="id")
        await puller.pull(most=1)
        edited = Puller(egress, server, paginator=paginator, primary_key="id", params={"state": "open"})
        assert keys(await edited.pull(puller.cursor))[0] == "0"
        beside = Puller(egress, server, paginator=paginator, headers={"x-team": "b"}, response_actions=[])
        assert payloads(await beside.pull(puller.cursor))[0] == {"id": 10}


@pytest.mark.parametrize("cursor", ["text", 7, [1], {"x": 1}, {"paging": 1}, {"paging": {"of": "", "next": 3}}])
async def test_a_cursor_of_something_else(egress: Egress, cursor: Any) -> None:
    """A cursor that is none of ours is as good as none."""
    async with serving(answering(offset)) as server:
        assert len(payloads(await Puller(egress, server, paginator={"type": "offset", "limit": 10}).pull(cursor))) == 25


def test_the_kind_runs_in_the_triggerer() -> None:
    """It waits for nothing but the network."""
    assert source("rest").runs_on == "triggerer"


async def test_a_link_relation_of_ones_own(egress: Egress) -> None:
    """The relation to follow can be another, one of several, and in another header of the same name."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.json_response([len(request.query)])
        if not request.query:
            response.headers.add("Link", "</v1/items?x=1>; rel=last")
            response.headers.add("Link", "<items?y=1>;rel='older archive'")
        return response

    handler: Handler = handle
    async with serving(handler) as server:
        paginator = {"type": "header_link", "links_next_key": "archive"}
        assert payloads(await Puller(egress, server, paginator=paginator).pull()) == [0, 1]
        assert server.received[1].query == "y=1"
