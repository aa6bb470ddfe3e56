"""Where our `rest` connector differs from dlt 1.31 on purpose: what each of them does, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import JsonValue

from include.errors import ConfigError, PermanentError
from tests.paged_api import FIVE, ITEMS, Answer, Api, Case, after, always, but, here, numbered, paged, rows, token

if TYPE_CHECKING:
    from tests.dlt_peer import Peers, Run

pytest_plugins = ["tests.dlt_peer"]
pytestmark = [pytest.mark.filterwarnings("ignore:::dlt"), pytest.mark.e2e]

SINGLE = {"path": "items", "paginator": "single_page"}
LINKS = {"path": "items", "paginator": "json_link"}
CURSOR = {"path": "items", "paginator": {"type": "cursor", "cursor_path": "next"}}
BY_PAGE = {"path": "items", "paginator": {"type": "page_number", "total_path": "pages"}}
ONE = always(rows(1, 2))
ALL = rows(1, 5)


async def both(peers: Peers, config: dict[str, Any], api: Api) -> tuple[Run, Run]:
    """What dlt gives, and what we give."""
    case = Case("", config, api, 0)
    [theirs], [ours] = await peers.dlt(case), await peers.ours(case)
    return theirs, ours


@pytest.mark.parametrize(
    ("config", "body"),
    [(CURSOR, {"items": rows(1, 2), "next": "c1"}), (LINKS, {"items": rows(1, 2), "next": "/api/items?n=1"})],
    ids=["a cursor", "a link"],
)
async def test_a_place_that_comes_again(peers: Peers, config: dict[str, Any], body: JsonValue) -> None:
    """dlt reads the same page for ever; we give it again with the same cursor, by which a shift knows that it must end.

    The guard is the shift's, because a connector may begin anew between any two pages and remembers nothing.
    """
    theirs, ours = await both(peers, config, always(body))
    assert "418" in str(theirs.error)
    assert len(theirs.records) == 60
    assert ours.cursors[0] == ours.cursors[1] is not None


@pytest.mark.parametrize("end", ["", False], ids=["an empty text", "false"])
async def test_a_link_that_is_none(peers: Peers, end: JsonValue) -> None:
    """dlt calls an empty link, and fails; to us it is the end, as it is with a cursor in both."""
    theirs, ours = await both(peers, LINKS, always({"items": rows(1, 2), "next": end}))
    assert "Invalid URL" in str(theirs.error)
    assert ours.error is None
    assert ours.records == theirs.records == rows(1, 2)


async def test_an_empty_cursor_in_a_header(peers: Peers) -> None:
    """dlt goes on with an empty cursor, and so for ever; to us it is the end, as it is with one in the body in both."""
    config = {"path": "items", "paginator": "header_cursor"}
    api = paged(FIVE, token("cursor"), here, {"next": after("c{}", "")})
    theirs, ours = await both(peers, config, api)
    assert "418" in str(theirs.error)
    assert ours.error is None
    assert ours.records == ALL


@pytest.mark.parametrize("link", ["ftp://example.com/items", "http://user:secret@127.0.0.1/items"])
async def test_a_link_that_cannot_be_called(peers: Peers, link: str) -> None:
    """dlt gives the page and fails at the next; we fail at once: a page is stored with its place, or not at all."""
    theirs, ours = await both(peers, LINKS, always({"items": rows(1, 2), "next": link}))
    assert theirs.error is not None
    assert theirs.records == rows(1, 2)
    assert isinstance(ours.error, PermanentError)
    assert "secret" not in str(ours.error)
    assert ours.records == []


LINK_HEADERS = {
    "a semicolon in the URL": '</api/items?n={}&fields=a;b>; rel="next"',
    "two relations": '</api/items?n={}>; rel="next last"',
}


@pytest.mark.parametrize("link", LINK_HEADERS.values(), ids=LINK_HEADERS)
async def test_links_that_dlt_does_not_see(peers: Peers, link: str) -> None:
    """dlt cuts the header at each semicolon and ends after a page; we read it as RFC 8288 has it, and miss nothing."""
    config = {"path": "items", "paginator": "header_link"}
    theirs, ours = await both(peers, config, paged(FIVE, numbered("n"), here, {"Link": after(link)}))
    assert theirs.records == rows(1, 2)
    assert ours.records == ALL


@pytest.mark.parametrize("name", ["my items", "$items", "größe", "where", "my.items", ""])
async def test_names_that_are_no_jsonpath(peers: Peers, name: str) -> None:
    """dlt finds the records, then reads their name as a JSONPath, in vain; to us what was found is a name."""
    theirs, ours = await both(peers, {"path": "items"}, always({name: rows(1, 2)}))
    assert theirs.records == []
    assert ours.records == rows(1, 2)


async def test_truth_in_a_query(peers: Peers) -> None:
    """dlt spells true as Python does, `True`; we spell it as JSON and nearly every API does."""
    theirs, ours = await both(peers, {**SINGLE, "params": {"open": True, "flags": [False]}}, ONE)
    assert (theirs.params("open"), theirs.params("flags")) == (["True"], ["False"])
    assert (ours.params("open"), ours.params("flags")) == (["true"], ["false"])


async def test_an_answer_without_content(peers: Peers) -> None:
    """dlt fails at 204, which has no body (RFC 9110 15.3.5); to us it is a page without records."""
    theirs, ours = await both(peers, SINGLE, always(b"", 204))
    assert theirs.error is not None
    assert ours.error is None
    assert ours.records == []


async def test_bytes_that_are_no_text(peers: Peers) -> None:
    """dlt puts U+FFFD for what is not UTF-8; we refuse the page, since what is stored must be what the source has."""
    theirs, ours = await both(peers, SINGLE, always(b'["\xe4"]'))
    assert theirs.records == ["\ufffd"]
    assert isinstance(ours.error, PermanentError)


@pytest.mark.parametrize(
    "answer",
    [Answer(None, 403, {"Retry-After": "1"}), Answer(None, 403, {"X-RateLimit-Remaining": "0"}), Answer(None, 408)],
    ids=["403 with Retry-After", "403 with a spent limit", "408"],
)
async def test_more_that_is_tried_again(peers: Peers, answer: Answer) -> None:
    """dlt gives up at 403 and 408; GitHub limits rates with 403, and 408 asks for another try (RFC 9110 15.5.9)."""
    api = but(paged(FIVE, numbered("page"), {**ITEMS, "pages": 3}), {2: answer})
    theirs, ours = await both(peers, BY_PAGE, api)
    assert theirs.error is not None
    assert theirs.records == rows(1, 2)
    assert ours.error is None
    assert ours.records == ALL


async def test_a_place_that_is_lost(peers: Peers) -> None:
    """dlt fails where a cursor is no longer known after a wait; we begin anew, and the store drops repeats.

    A pull may go on hours after it was interrupted, so this happens to us, and a second try from there never helps.
    """
    api = but(
        paged(FIVE, token("cursor"), {**ITEMS, "next": after("c{}")}), {2: Answer(None, 429), 3: Answer(None, 410)}
    )
    theirs, ours = await both(peers, CURSOR, api)
    assert theirs.error is not None
    assert theirs.records == rows(1, 2)
    assert ours.error is None
    assert ours.records == [*rows(1, 2), *ALL]
    assert ours.params("cursor") == [None, "c1", "c1", None, "c1", "c2"]


async def test_placeholders_are_no_formats(peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    """dlt uses `str.format`, which walks from a value to the process's environment; we know four names."""
    monkeypatch.setenv("SOME_PASSWORD", "hunter2")
    walk = "{incremental.__init__.__globals__[inspect].os.environ[SOME_PASSWORD]}"
    config = {**SINGLE, "params": {"q": walk}, "incremental": {"cursor_path": "id", "initial_value": 0}}
    theirs, ours = await both(peers, config, ONE)
    assert theirs.params("q") == ["hunter2"]
    assert isinstance(ours.error, ConfigError)
    assert ours.seen == []


async def test_a_format_is_no_placeholder(peers: Peers) -> None:
    """dlt knows conversions and widths of Python's formats; we refuse what only looks like a placeholder."""
    config = {
        **SINGLE,
        "params": {"q": "{incremental.start_value!r:>3}"},
        "incremental": {"cursor_path": "id", "initial_value": 0},
    }
    theirs, ours = await both(peers, config, ONE)
    assert theirs.params("q") == ["  0"]
    assert isinstance(ours.error, ConfigError)


async def test_a_placeholder_without_a_value(peers: Peers) -> None:
    """dlt sends the word None; we leave the parameter out where it is nothing else, and refuse it within a text."""
    incremental = {"cursor_path": "id"}
    theirs, ours = await both(
        peers, {**SINGLE, "params": {"q": "{incremental.start_value}"}, "incremental": incremental}, ONE
    )
    assert theirs.params("q") == ["None"]
    assert ours.params("q") == [None]
    theirs, ours = await both(
        peers, {**SINGLE, "params": {"q": ">{incremental.start_value}"}, "incremental": incremental}, ONE
    )
    assert theirs.params("q") == [">None"]
    assert isinstance(ours.error, ConfigError)
    assert "initial_value" in str(ours.error)


MORE_THAN_OURS: dict[str, dict[str, Any]] = {
    "a body of another form": {"method": "POST", "data": {"a": 1}},
    "incremental in a parameter": {"params": {"since": {"type": "incremental", "cursor_path": "id",
        "initial_value": 0}}},
    "a parameter in the path": {"path": "items/{kind}", "params": {"kind": "a"}},
    "the least value": {"incremental": {"cursor_path": "id", "last_value_func": "min"}},
    "what to do about a missing value": {"incremental": {"cursor_path": "id", "on_cursor_value_missing": "exclude"}},
    "a range without its start": {"incremental": {"cursor_path": "id", "range_start": "open", "initial_value": 0}},
    "an old name of json_link": {"paginator": "json_response"},
    "a secret": {"auth": {"type": "bearer", "token": "t0k3n"}},
    "a secret in a header": {"headers": {"Authorization": "Bearer t0k3n"}},
}  # fmt: skip


@pytest.mark.parametrize("settings", MORE_THAN_OURS.values(), ids=MORE_THAN_OURS)
async def test_settings_that_we_do_not_have(peers: Peers, settings: dict[str, Any]) -> None:
    """What dlt has and we have not is refused by name, and never passed over; so are secrets in a row."""
    theirs, ours = await both(peers, {**SINGLE, **settings}, always(rows(1, 2)))
    assert theirs.error is None
    assert theirs.records == rows(1, 2)
    assert isinstance(ours.error, ConfigError)
    assert "t0k3n" not in str(ours.error)
    assert ours.seen == []


WRONG: dict[str, dict[str, Any]] = {
    "a misspelt key": {"paginater": "single_page"},
    "a misspelt key of the paginator": {"paginator": {"type": "page_number", "start_page": 1}},
    "a misspelt key of incremental": {"incremental": {"cursor_path": "id", "start": 1}},
    "an unknown paginator": {"paginator": "pages"},
    "an offset without a limit": {"paginator": {"type": "offset"}},
    "an offset by name only": {"paginator": "offset"},
    "in the query and in the body": {"paginator": {"type": "page_number", "page_param": "p", "page_body_path": "p"}},
    "a cursor in the query and in the body": {"paginator": {"type": "cursor", "cursor_param": "c",
        "cursor_body_path": "c"}},
    "a limit in the query and in the body": {"paginator": {"type": "offset", "limit": 1, "limit_param": "l",
        "limit_body_path": "l"}},
    "pages without an end": {"paginator": {"type": "page_number", "total_path": None, "stop_after_empty_page": False}},
    "offsets without an end": {"paginator": {"type": "offset", "limit": 1, "total_path": None,
        "stop_after_empty_page": False}},
    "a selector that is no JSONPath": {"data_selector": "a[", "paginator": "single_page"},
    "a total that is no JSONPath": {"paginator": {"type": "page_number", "total_path": "a["}},
    "an order that is none": {"incremental": {"cursor_path": "id", "row_order": "up"}},
    "parameters that are none": {"params": ["a"]},
    "a parameter that is an object": {"params": {"a": {"b": 1}}},
    "an action that is missing": {"response_actions": [{"status_code": 200}]},
    "a method that is none": {"method": "FETCH"},
}  # fmt: skip


@pytest.mark.parametrize("settings", WRONG.values(), ids=WRONG)
async def test_settings_that_are_wrong(peers: Peers, settings: dict[str, Any]) -> None:
    """What dlt refuses, some of it only at the first page, we refuse too, before any request."""
    theirs, ours = await both(peers, {"path": "items", **settings}, ONE)
    assert theirs.error is not None
    assert theirs.records == []
    assert isinstance(ours.error, ConfigError)
    assert ours.seen == []
