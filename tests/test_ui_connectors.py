"""The pages of connectors: what they show, what their buttons do, and whom they refuse."""

from __future__ import annotations

import base64
import hmac
import html
import os
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from include.store.db import DictConnection
from tests import log_rows
from tests.api_client import ALICE, BOB, VIEWER, ok
from tests.ui_client import Pages, pages_of

pytestmark = pytest.mark.xdist_group("api")


@pytest.fixture
def pages(database_url: str) -> Iterator[Pages]:
    with pages_of(database_url) as running:
        yield running


def add(pages: Pages, name: str = "shop", **settings: Any) -> int:
    body = {"name": name, "kind": "rest", "config": {"base_url": "https://example.com/"}, "every": "30s", **settings}
    return int(ok(pages.api.post("/connectors", body), 201)["id"])


def add_pushed(pages: Pages, name: str, **config: Any) -> int:
    return add(pages, name, kind="webhook", config={"conn_id": "its_secret", **config}, every=None)


def test_an_empty_page_says_what_to_do_first(pages: Pages) -> None:
    """Without a connector there is an explanation and a button, for those who may write; a filter says so."""
    page = pages.get("/connectors").text
    assert "No connectors yet" in page
    assert "Create the first connector" in page
    assert "Create the first connector" not in pages.as_(VIEWER).get("/connectors").text
    assert "Nothing matches" in pages.get("/connectors", search="x").text


def test_a_line_shows_how_a_connector_is(pages: Pages, db: DictConnection) -> None:
    """Name, state, kind, how often, how many records and the last error; what people wrote is text and not HTML."""
    shop = add(pages, "<b>bold</b>")
    add_pushed(pages, "orders")
    log_rows.append(db, shop, [{"n": 1}, {"n": 2}])
    db.execute("update connector set last_error = 'HTTP 503', failures = 2, pulled_at = now() where id = %s", (shop,))
    page = pages.get("/connectors").text
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "<b>bold</b>" not in page
    for part in ("every 30 s", 'class="badge active"', "HTTP 503", "pushed to it", ">2</a>"):
        assert part in page
    assert page.count("Pull now") == 1


def test_filters_and_pages_lead_on(pages: Pages) -> None:
    """Fifty connectors are on a page; the link to the next keeps the filters; a wrong filter is said."""
    for number in range(51):
        add(pages, f"shop {number:02}")
    first = pages.get("/connectors", kind="rest", state="active").text
    assert "shop 49" in first
    assert "shop 50" not in first
    link = html.unescape(first.partition('rel="next" href="')[2].partition('"')[0])
    assert "kind=rest" in link
    assert "shop 50" in pages.get(link.removeprefix("/ui")).text
    assert "Nothing matches" in pages.get("/connectors", state="paused").text
    assert pages.get("/connectors", state="odd").status_code == 422


def test_everybody_sees_his_own_connectors(pages: Pages, db: DictConnection) -> None:
    """Others' connectors are not there; who only looks has no button that works."""
    mine = add(pages.as_(ALICE), "of alice")
    assert "of alice" in pages.as_(ALICE).get("/connectors").text
    assert "of alice" not in pages.as_(BOB).get("/connectors").text
    assert pages.as_(BOB).get(f"/connectors/{mine}").status_code == 404
    for what in ("pause", "resume", "run", "rewind", "delete"):
        assert pages.as_(BOB).send(f"/connectors/{mine}/{what}").status_code == 404
    db.execute("update connector set owner = 'viewer'")
    page = pages.as_(VIEWER).get(f"/connectors/{mine}").text
    assert page.count("<button") - 2 == page.count(" disabled title=")
    assert "/edit" not in page
    assert pages.as_(VIEWER).send(f"/connectors/{mine}/pause").status_code == 403
    assert db.execute("select is_active from connector").fetchall() == [{"is_active": True}]


def test_buttons_act_and_say_so(pages: Pages, db: DictConnection) -> None:
    """Pause, resume, rewind and delete change the row, and the page that comes back says what has been done."""
    path = f"/connectors/{add(pages)}"
    db.execute("""update connector set cursor = '{"page": 7}'""")
    assert "shop is paused." in pages.send(f"{path}/pause").text
    assert db.execute("select is_active from connector").fetchall() == [{"is_active": False}]
    assert "shop is back on duty." in pages.send(f"{path}/resume").text
    assert "&#34;page&#34;: 7" in pages.get(path).text
    assert "begins anew" in pages.send(f"{path}/rewind").text
    assert db.execute("select cursor from connector").fetchall() == [{"cursor": None}]
    assert "The next pull begins at the beginning." in pages.get(path).text
    assert "shop is deleted." in pages.send(f"{path}/delete").text
    assert db.execute("select id from connector").fetchall() == []


def test_what_cannot_be_done_is_said(pages: Pages, db: DictConnection) -> None:
    """A connector that workflows read is not deleted, one that is pushed to not pulled; ids that cannot be are said."""
    pushed = add_pushed(pages, "orders")
    log_rows.add_workflow(db, pushed, "https://example.com/", "to crm", owner="admin")
    refused = pages.send(f"/connectors/{pushed}/delete")
    assert refused.status_code == 409
    assert "workflows read its records" in refused.text
    assert "does not pull" in pages.send(f"/connectors/{pushed}/run").text
    for path in ("/connectors/x", f"/connectors/{2**70}", "/connectors/0", "/connectors/987654"):
        assert pages.get(path).status_code in (404, 422)
    page = pages.get(f"/connectors/{pushed}").text
    assert "to crm" in page


def test_a_page_shows_how_a_connector_is(pages: Pages, db: DictConnection) -> None:
    """What failed and since when, how many records came in a minute, its settings, where it is in Airflow."""
    shop = add(pages, rate_limit="10/second", notify={"kind": "webhook", "payload": {"url": "https://example.com/n"}})
    log_rows.append(db, shop, [{"n": number} for number in range(3)])
    db.execute("update record set created_at = now() - interval '1 hour' where position = 1")
    db.execute(
        "update connector set last_error = 'HTTP 503', failures = 7, failing_since = '2026-11-21T09:00:00Z',"
        " not_before = now() + interval '1 hour'"
    )
    page = re.sub(r"\s+", " ", pages.get(f"/connectors/{shop}").text)
    assert "The last pull failed, 7 in a row; it has been failing since 2026-11-21 09:00:00 UTC" in page
    assert 'Records in the last minute</span><span class="value">2</span>' in page
    assert '<td class="number">2</td>' in pages.get("/connectors").text
    assert "every 30s; every 5 min while it is failing" in page
    for part in (f"/dags/connector_{shop}", "data-airflow", "10/second", "https://example.com/n", "Next pull", "/edit"):
        assert part in page


def test_a_row_that_cannot_run_can_be_looked_at(pages: Pages, db: DictConnection) -> None:
    """A row made by plain SQL whose kind nobody knows has its page, which says what is wrong."""
    odd = log_rows.add_connector(db, "odd", kind="nobody_knows", config={"a": [1]}, error="unknown kind", owner="admin")
    page = pages.get(f"/connectors/{odd}")
    assert page.status_code == 200
    assert "It cannot run: unknown kind" in page.text
    assert "odd" in pages.get("/connectors").text


def sent_by(page: str) -> list[str]:
    """What the example of a page gives to curl, the secret being known."""
    example = html.unescape(re.findall(r"<pre[^>]*>(.*?)</pre>", page, re.DOTALL)[1])
    script = 'curl() { printf "%s\\n" "$@"; }\n' + example
    secret = "whsec_" + base64.b64encode(b"secret").decode()
    given = {"SECRET": secret, "PATH": os.environ["PATH"]}
    ran = subprocess.run(["bash", "-c", script], env=given, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.decode().splitlines()


def test_the_address_of_what_is_pushed_is_shown_with_how_to_sign(pages: Pages) -> None:
    """The example of the page is signed as the connector lays down: Standard Webhooks, HMAC, or a bearer token."""
    connector = add_pushed(pages, "all orders")
    standard = sent_by(pages.get(f"/connectors/{connector}").text)
    assert standard[0] == f"http://millrace.test/hooks/{connector}"
    given = dict(line.split(": ", 1) for line in standard if ": " in line and line[0] != "{")
    signed = f"{given['webhook-id']}.{given['webhook-timestamp']}.{standard[-1]}".encode()
    expected = base64.b64encode(hmac.digest(b"secret", signed, "sha256")).decode()
    assert given["webhook-signature"] == f"v1,{expected}"
    spelt = "whsec_" + base64.b64encode(b"secret").decode()
    signed = hmac.digest(spelt.encode(), standard[-1].encode(), "sha256")
    by_hex = sent_by(pages.get(f"/connectors/{add_pushed(pages, 'b', verify='hmac')}").text)
    assert f"X-Hub-Signature-256: sha256={signed.hex()}" in by_hex
    shown = add_pushed(pages, "c", verify="hmac", encoding="base64", prefix="$(exit 1)'", header="X-Sig")
    by_base64 = sent_by(pages.get(f"/connectors/{shown}").text)
    assert f"X-Sig: $(exit 1)'{base64.b64encode(signed).decode()}" in by_base64
    bearer = sent_by(pages.get(f"/connectors/{add_pushed(pages, 'd', verify='bearer')}").text)
    assert f"Authorization: Bearer {spelt}" in bearer
