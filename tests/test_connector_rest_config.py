"""What a `rest` connector's configuration may say, and what becomes of it in the request."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.egress import Egress
from include.errors import ConfigError
from include.registry import source
from tests.fake_http import serving
from tests.rest_source import Puller, egress, sequence

__all__ = ["egress"]

BASE = {"base_url": "https://api.example.com/v1"}
SINCE = {"cursor_path": "at", "initial_value": "2026-01-01"}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"base_url": "ftp://h"}, "base_url: .*starts with http:// or https://"),
        ({"base_url": "https://u:p@h"}, "base_url: .*without user and password"),
        ({"base_url": "https://h?a=1", "path": "x"}, "base_url: write the query in params"),
        ({"path": "https://other.example.com/x"}, "path: write a path below base_url, and the other host in base_url"),
        ({"path": "http://api.example.com/x"}, "path: write a path below base_url"),
        ({"method": "DELETE"}, "method: Input should be 'GET' or 'POST'"),
        ({"parameters": {}}, "parameters: Extra inputs are not permitted"),
        ({"params": {"a": {"type": "incremental"}}}, "params.a: .*; incremental goes beside"),
        ({"params": {"a": [[1]]}}, "params.a: .*write a text, a number"),
        ({"headers": {"a b": "c"}}, "headers: .*'a b' is not a header name"),
        ({"headers": {"Host": "c"}}, "headers: .*leave out Host"),
        ({"headers": {"Authorization": "Bearer x"}}, "headers: .*put the secret into an Airflow connection"),
        ({"headers": {"a": "b", "A": "c"}}, "headers: .*write A only once"),
        ({"headers": {"a": "b\nc"}}, "headers: .*in one line"),
        ({"json": [1]}, "json: Input should be a valid dictionary"),
        ({"data_selector": "a["}, "data_selector: .*'a\\[' is not a JSONPath"),
        ({"data_selector": ""}, "data_selector: .*'' is not a JSONPath"),
        ({"primary_key": "a..*["}, "primary_key.0: .*'a..*\\[' is not a JSONPath"),
        ({"primary_key": []}, "primary_key: List should have at least 1 item"),
        ({"data_selector": 'a[?(@.b =~ "(x+)+")]'}, "data_selector: .*without regular expressions"),
        ({"data_selector": "a.`sub(/(x+)+/, y)`"}, "data_selector: .*without regular expressions"),
        ({"paginator": "json_response"}, "paginator: .*does not match any of the expected tags"),
        ({"paginator": {"limit": 3}}, "paginator: .*write a type, such as"),
        ({"paginator": "offset"}, "paginator.offset.limit: Field required"),
        ({"paginator": {"type": "offset", "limit": 0}}, "paginator.offset.limit: .*greater than 0"),
        ({"paginator": {"type": "cursor", "limit": 1}}, "paginator.cursor.limit: Extra inputs"),
        ({"paginator": {"type": "auto", "limit": 1}}, "paginator.auto.limit: Extra inputs"),
        ({"paginator": {"type": "cursor", "cursor_param": "a", "cursor_body_path": "b"}},
         "write cursor_param or cursor_body_path, not both"),
        ({"paginator": {"type": "cursor", "cursor_body_path": "a..b"}}, "write names with dots between them"),
        ({"paginator": {"type": "page_number", "page_param": "a", "page_body_path": "b"}}, "not both"),
        ({"paginator": {"type": "offset", "limit": 1, "limit_param": "a", "limit_body_path": "b"}}, "not both"),
        ({"paginator": {"type": "offset", "limit": 1, "total_path": None, "stop_after_empty_page": False}},
         "write total_path, maximum_offset, has_more_path or stop_after_empty_page"),
        ({"incremental": {"initial_value": 1}}, "incremental.cursor_path: Field required"),
        ({"incremental": {"cursor_path": "a", "initial_value": True}}, "incremental.initial_value.*text or a number"),
        ({"incremental": {"cursor_path": "a", "end_value": 1}}, "write initial_value too"),
        ({"incremental": {"cursor_path": "a", "initial_value": 2, "end_value": 1}}, "end_value that is not below"),
        ({"incremental": {"cursor_path": "a", "initial_value": "x", "end_value": 1}}, "write .* alike"),
        ({"incremental": {"cursor_path": "a", "lag": -1}}, "incremental.lag: .*greater than or equal to 0"),
        ({"incremental": {"cursor_path": "a", "row_order": "up"}}, "incremental.row_order: "),
        ({"response_actions": [{"action": "ignore"}]}, "write status_code, content or both"),
        ({"response_actions": [{"status_code": 404, "action": "skip"}]}, "response_actions.0.action: "),
        ({"auth": "bearer"}, "write conn_id"),
        ({"auth": {"type": "bearer", "token": "abc"}, "conn_id": "x"}, "leave out token: put secrets into an Airflow"),
        ({"auth": {"token": "abc"}, "conn_id": "x"}, "leave out token"),
        ({"auth": {"type": "api_key", "api_key": "abc"}, "conn_id": "x"}, "leave out api_key"),
        ({"auth": {"type": "http_basic", "username": "a", "password": "b"}}, "leave out password and username"),
        ({"auth": {"type": "oauth2_client_credentials", "client_secret": "b"}}, "leave out client_secret"),
        ({"auth": {"type": "oauth2_client_credentials", "access_token_url": "https://h",
                   "access_token_request_data": {"client_secret": "b"}}}, "leave out client_secret"),
        ({"auth": {"type": "api_key", "location": "cookie"}, "conn_id": "x"}, "auth.api_key.location: "),
        ({"auth": "digest", "conn_id": "x"}, "auth: .*does not match any of the expected tags"),
    ],
)  # fmt: skip
def test_what_is_refused(config: dict[str, Any], message: str) -> None:
    """What cannot work is refused when it is written, with words that say what to write; secrets are not repeated."""
    with pytest.raises(ConfigError, match=message) as caught:
        source("rest").parse({**BASE, **config})
    assert "abc" not in str(caught.value) + str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"path": "a/{id}"}, "path: {id} is no placeholder: write one of {incremental.start_value}, {"),
        ({"params": {"q": "{incremental.__init__.__globals__}"}}, "params: {incremental.__init__.__globals__} is no"),
        ({"params": {"q": "{incremental.start_value!r}"}}, "params: {incremental.start_value!r} is no placeholder"),
        ({"params": {"q": ["{incremental.start_value:>9}"]}}, "params: {incremental.start_value:>9} is no placeholder"),
        ({"params": {"{0}": "a"}}, "params: {0} is no placeholder"),
        ({"headers": {"x": "{"}}, "headers: { is no placeholder"),
        ({"headers": {"x": "a}"}}, "headers: } is no placeholder"),
        ({"json": {"query": "query { items }"}}, "json: { items } is no placeholder: write one of"),
        ({"json": {"a": [{"b": "{resources.x.y}"}]}}, "json: {resources.x.y} is no placeholder"),
        ({"params": {"q": "{incremental.start_value}"}, "incremental": None}, "params: write incremental too"),
        ({"params": {"q": "a>{incremental.start_value}"}, "incremental": {"cursor_path": "at"}},
         "params: write incremental.initial_value too; without it there is no incremental.start_value at first"),
        ({"path": "{incremental.end_value}"}, "path: write incremental.end_value too"),
    ],
)  # fmt: skip
def test_placeholders_are_a_closed_list(config: dict[str, Any], message: str) -> None:
    """Whatever else is in braces is refused: nothing that is written is ever evaluated."""
    with pytest.raises(ConfigError) as caught:
        source("rest").parse({**BASE, "incremental": SINCE, **config})
    assert message in str(caught.value)


async def test_placeholders_are_filled_in(egress: Egress) -> None:
    """In the path, in parameters, in headers and in the body; alone in the body, a number stays one."""
    config = {
        "path": "since/{incremental.start_value}/to",
        "method": "post",
        "params": {
            "q": "at>{incremental.last_value} {{x}}",
            "to": "{incremental.end_value}",
            "none": None,
            "l": [1, "2"],
        },
        "headers": {"x-from": "{incremental.initial_value}"},
        "json": {
            "from": "{incremental.start_value}",
            "{incremental.start_value}": ["n={incremental.end_value}", 1],
        },
        "incremental": {"cursor_path": "n", "initial_value": 7, "end_value": 9, "start_param": "s", "end_param": "e"},
        "paginator": "single_page",
    }
    async with serving(sequence([])) as server:
        await Puller(egress, server, **config).pull()
        [request] = server.received
    assert (request.method, request.path) == ("POST", "/v1/since/7/to")
    assert request.query == "q=at%3E7+%7Bx%7D&to=9&l=1&l=2&s=7&e=9"
    assert request.headers["x-from"] == "7"
    assert request.headers["content-type"] == "application/json"
    assert request.body == b'{"7":["n=9",1],"from":7}'


async def test_a_placeholder_without_a_value_is_left_out(egress: Egress) -> None:
    """Before the first pull there may be nothing to begin with; then nothing is sent, and in a body null."""
    config = {
        "params": {"since": "{incremental.start_value}", "on": True},
        "headers": {"x-since": "{incremental.start_value}"},
        "json": {"since": "{incremental.start_value}"},
        "incremental": {"cursor_path": "id", "start_param": "from"},
    }
    async with serving(sequence([{"id": 5}])) as server:
        puller = Puller(egress, server, **config)
        await puller.pull()
        await puller.pull(puller.cursor)
        first, second = server.received
    assert (first.query, first.body) == ("on=true", b'{"since":null}')
    assert "x-since" not in first.headers
    assert (second.query, second.body) == ("since=5&on=true&from=5", b'{"since":5}')
    assert second.headers["x-since"] == "5"


@pytest.mark.parametrize(
    "value", ["../admin", "a/b?c#d", "%2e%2e/x", "{incremental.start_value}", "https://evil.example"]
)
async def test_a_value_from_the_source_stays_a_value(egress: Egress, value: str) -> None:
    """What a record says cannot change the path that is asked for, and it is not looked through for placeholders."""
    async with serving(sequence([{"id": value}], [])) as server:
        config = {"path": "x/{incremental.start_value}/y", "incremental": {"cursor_path": "id", "initial_value": "!"}}
        puller = Puller(egress, server, **config, params={"q": "{incremental.start_value}"})
        await puller.pull()
        await puller.pull(puller.cursor)
        assert server.received[1].path == f"/v1/x/{value}/y"


@pytest.mark.parametrize(
    ("base", "path", "asked"),
    [
        ("/v1", "items", "/v1/items"),
        ("/v1/", "/items", "/v1/items"),
        ("/v1/", "items/?a=1", "/v1/items/?a=1"),
        ("/v1/", "", "/v1/"),
        ("/v1?a=1", "", "/v1?a=1"),
    ],
)
async def test_path_and_base_url_are_joined(egress: Egress, base: str, path: str, asked: str) -> None:
    """With one slash between them; without a path, base_url stands as it is."""
    async with serving(sequence([])) as server:
        await Puller(egress, server, base_url=server.url(base), path=path).pull()
        await Puller(egress, server, base_url=server.url(base), path=path, params={"b": 2}).pull()
        first, second = ((f"{r.path}?{r.query}" if r.query else r.path) for r in server.received)
    assert first == asked
    assert second == asked + ("&b=2" if "?" in asked else "?b=2")


async def test_a_path_that_is_a_url(egress: Egress) -> None:
    """A URL at the origin of base_url stands for itself."""
    async with serving(sequence([])) as server:
        await Puller(egress, server, path=server.url("/v2/x")).pull()
        assert server.received[0].path == "/v2/x"


async def test_a_path_that_ends_with_a_placeholder(egress: Egress) -> None:
    """As in dlt, it names one thing: the reply is one record and one page, if nothing else is said."""
    body = {"items": [1, 2], "next": "/v1/x"}
    incremental = {"cursor_path": "id", "initial_value": 5}
    async with serving(sequence(body)) as server:
        puller = Puller(egress, server, path="days/{incremental.start_value}", incremental=incremental)
        [page] = await puller.pull()
        assert [record.payload for record in page.records] == [body]
        listed = Puller(egress, server, **{**puller.config, "data_selector": "items"})
        assert len((await listed.pull())[0].records) == 2


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet="{}.a!:[]0 incremental_start_value", max_size=40))
def test_no_text_does_more_than_it_says(text: str) -> None:
    """Whatever is accepted either has none but known placeholders, or means itself."""
    try:
        config = source("rest").parse({**BASE, "params": {"q": text}, "incremental": SINCE})
    except ConfigError:
        return
    request, _ = config.request("2026")  # type: ignore[attr-defined]
    bare = text.replace("{incremental.start_value}", "2026").replace("{{", "{").replace("}}", "}")
    assert request.params["q"] == bare


def test_the_schema_says_what_may_be_written() -> None:
    """The published schema knows the short forms, and the names that rows use."""
    schema = source("rest").config.model_json_schema()
    assert "json" in schema["properties"]
    assert schema["additionalProperties"] is False
    assert "single_page" in str(schema["properties"]["paginator"])
    assert "header_link" in str(schema["properties"]["paginator"])
