"""The page for whoever adds a kind of connector: what it shows works as it stands."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import include.connectors
from include import errors, registry
from include.cli.connectors_write import from_file, judged
from include.egress import Egress
from include.errors import ConfigError, PermanentError, RateLimitedError, RetryableError
from include.local.home import PROJECT
from include.model import Page, Source
from tests.fake_http import Handler, serving
from tests.recorded import replay
from tests.rest_source import NOW, egress

__all__ = ["egress"]

PAGE = (PROJECT / "docs" / "add-a-connector.md").read_text()
KIND, TEST = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
[ROW] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
RECORDING = re.findall(r"`([\w-]+\.http)`:\n\n```http\n(.*?)```", PAGE, re.DOTALL)
NAME = "order_export"
MODULE = f"include.connectors.{NAME}"


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The kind of the page is a file where kinds are, beside the real ones."""
    folder = tmp_path / "connectors"
    folder.mkdir()
    (folder / f"{NAME}.py").write_text(KIND)
    monkeypatch.setattr(registry, "_HERE", tmp_path)
    monkeypatch.setattr(include.connectors, "__path__", [*include.connectors.__path__, str(folder)])
    caches = registry.source_kinds, registry.source
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()
    sys.modules.pop(MODULE, None)
    vars(include.connectors).pop(NAME, None)


async def pull(egress: Egress, handler: Handler, cursor: Any = None) -> list[Page]:
    async with serving(handler) as server:
        config = registry.source(NAME).parse({"url": server.url("/orders.jsonl"), "lines": 2})
        given = Source(config, cursor, egress, None, NOW, 5)
        return [page async for page in registry.source(NAME).pull(given)]  # type: ignore[misc, union-attr]


async def test_the_kind_pulls_what_there_is_and_goes_on_from_there(egress: Egress) -> None:
    """A page and a cursor for each request, and from a cursor only what comes after it."""

    async def export(request: web.Request) -> web.StreamResponse:
        after, limit = int(request.query.get("after", 0)), int(request.query["limit"])
        return web.Response(text="".join(f'{{"id": {n}}}\n' for n in range(after + 1, min(after + limit, 5) + 1)))

    pages = await pull(egress, export)
    assert [[record.key for record in page.records] for page in pages] == [["1", "2"], ["3", "4"], ["5"]]
    assert [page.cursor for page in pages] == [2, 4, 5]
    assert [page.cursor for page in await pull(egress, export, cursor=4)] == [5]
    assert await pull(egress, export, cursor=5) == []


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ({"status": 429, "headers": {"Retry-After": "7"}}, RateLimitedError),
        ({"status": 503}, RetryableError),
        ({"status": 404}, PermanentError),
        ({"text": "<html>"}, PermanentError),
        ({"text": '{"total": 1}'}, PermanentError),
        ({"text": "[1]"}, PermanentError),
    ],
)
async def test_its_errors_say_what_to_do(egress: Egress, reply: dict[str, Any], error: type[Exception]) -> None:
    """As the table of the page has it; without the path, which may hold a secret."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(**reply)

    with pytest.raises(error) as caught:
        await pull(egress, answer)
    assert type(caught.value) is error
    assert "orders" not in str(caught.value)
    assert getattr(caught.value, "after_seconds", None) == (7 if error is RateLimitedError else None)


def test_the_row_fits_the_kind(tmp_path: Path) -> None:
    """The YAML on the page is a row of the kind on the page, and one with a mistake in it is refused."""
    file = tmp_path / "orders.yaml"
    file.write_text(ROW)
    [row] = from_file(str(file))
    connector = judged(row, NOW)
    assert (connector.name, connector.kind, registry.source(NAME).runs_on) == ("orders", NAME, "triggerer")
    with pytest.raises(ConfigError, match="line: Extra inputs are not permitted"):
        judged({**row, "config": {**row["config"], "line": 3}}, NOW)


async def test_the_test_on_the_page_passes(egress: Egress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the recorded pages that are shown, and not without them."""
    folder = tmp_path / "recorded" / NAME
    folder.mkdir(parents=True)
    for name, text in RECORDING:
        (folder / name).write_text(text)
    monkeypatch.setattr(replay, "RECORDED", folder.parent)
    shown: dict[str, Any] = {}
    exec(compile(TEST, "the page's test", "exec"), shown)  # noqa: S102 - our own page
    [test] = [value for name, value in shown.items() if name.startswith("test_")]
    await test(egress)
    (folder / RECORDING[-1][0]).unlink()
    with pytest.raises(AssertionError, match="one too many"):
        await test(egress)


def test_what_the_page_names_is_there() -> None:
    """Its links lead somewhere, and the errors that it tells apart are all that a pull can raise."""
    links = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert [link for link in links if not (PROJECT / "docs" / link).exists()] == []
    told = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    there = [name for name, error in vars(errors).items() if isinstance(error, type) and issubclass(error, Exception)]
    assert sorted(told) == sorted(
        {*there} - {"MillraceError", "AttemptError", "RefusedError", "TakenError", "MisfitError"}
    )
