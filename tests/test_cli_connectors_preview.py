"""`./millrace connectors preview` and `run`: a connector is tried out, or run, from the command line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from include.cli.connectors import app
from include.cli.connectors_access import find_connection, system_environment
from include.errors import ConfigError, MillraceError
from include.local.home import PROJECT
from include.settings import settings
from include.store import connectors
from include.store.db import DictConnection
from tests.connector_commands import SHOP, Refused, Run, add_records, document, environment, refused, run
from tests.json_server import answering, in_place_of_airflow

__all__ = ["environment", "refused", "run"]

SECRET = "s3cr3t-of-the-shop"


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An API with two pages of items, which calls may go to; its URL."""
    monkeypatch.setenv("MILLRACE_EGRESS_ALLOW", "127.0.0.0/8")

    def answer(_method: str, path: str, headers: dict[str, str], _body: Any) -> tuple[int, Any]:
        if path == "/away":
            return 500, {"error": f"no entry for {headers.get('authorization')}"}
        page = 2 if "page=2" in path else 1
        seen = headers.get("authorization", "nobody")
        link = None if page == 2 else "/?page=2"
        return 200, {"items": [{"id": page * 10 + n, "seen": seen} for n in range(3)], "next": link}

    with answering(answer) as url:
        yield url


@pytest.fixture
def file(tmp_path: Path, shop: str) -> str:
    """A file with one connector that is no row yet."""
    path = tmp_path / "shop.yaml"
    path.write_text(f"connector: shop\nkind: rest\nconfig:\n  base_url: {shop}\n  primary_key: id\n")
    return str(path)


def test_a_file_is_previewed_before_it_is_a_row(run: Run, file: str, shop: str, db: DictConnection) -> None:
    """Request, reply, records, paginator and cursor, for people; nothing is stored."""
    text = run("preview", "--file", file).stdout
    for part in (f"GET {shop}", "200, ", "page 1: 3 records", "paginator: json_link", '{"id": 10', "next cursor"):
        assert part in text
    assert db.execute("select count(*) as rows from connector").fetchone() == {"rows": 0}


def test_a_setting_that_no_record_bears_out_is_warned_of(run: Run, file: str) -> None:
    """For people it is a remark beside the records, for scripts a part of the document."""
    Path(file).write_text(Path(file).read_text().replace("primary_key: id", "primary_key: ID"))
    said = "primary_key: none of these 3 records has anything at ID"
    assert f"warning: {said}" in run("preview", "--file", file).stderr
    assert document(run("preview", "--file", file, "--json"))["warnings"][0].startswith(said)


def test_a_preview_for_scripts_is_one_document(run: Run, file: str) -> None:
    """All there is to know, with the records as they are."""
    result = run("preview", "--file", file, "--pages", "5", "--json")
    made = document(result)
    assert (made["connector"], made["kind"], made["caught_up"], made["error"]) == ("shop", "rest", True, None)
    assert [request["status"] for request in made["requests"]] == [200, 200]
    assert [[record["key"] for record in page["records"]] for page in made["pages"]] == [
        ["10", "11", "12"],
        ["20", "21", "22"],
    ]
    assert made["next_cursor"] == made["pages"][-1]["cursor"]


def test_a_row_is_previewed_from_its_cursor_or_anew(run: Run, file: str, db: DictConnection) -> None:
    """A connector shows what its next pull would bring, or with --anew its first; the row stays as it is."""
    run("add", "--file", file)
    cursor = document(run("preview", "shop", "--json"))["next_cursor"]
    db.execute("update connector set cursor = %s::jsonb", (json.dumps(cursor),))
    before = connectors.find(db, "shop")
    keys = {}
    for words in ((), ("--anew",)):
        [page] = document(run("preview", "1", *words, "--json"))["pages"]
        keys[words] = page["records"][0]["key"]
    assert keys == {(): "20", ("--anew",): "10"}
    assert connectors.find(db, "shop") == before
    assert document(run("records", "shop", "--json")) == []


def test_of_a_file_with_several_one_is_named(run: Run, refused: Refused, file: str, tmp_path: Path) -> None:
    """Which of them is meant is not guessed."""
    several = tmp_path / "several.yaml"
    several.write_text(Path(file).read_text() + "---\nconnector: other\nkind: webhook\nconfig: {conn_id: hook}\n")
    assert "has 2 connectors; say which: shop, other" in refused("preview", "--file", str(several))
    assert "has no connector named 'third'" in refused("preview", "third", "--file", str(several))
    assert "POST /millrace/hooks/{id}" in run("preview", "other", "--file", str(several)).stdout
    several.write_text(
        several.read_text() + "---\nconnector: shop\nkind: webhook\nowner: bob\nconfig: {conn_id: hook}\n"
    )
    assert "has 3 connectors; say which: shop, other, shop" in refused("preview", "--file", str(several))
    assert "has 2 connectors named 'shop'" in refused("preview", "shop", "--file", str(several))


def test_a_preview_that_fails_has_exit_code_1(run: Run, shop: str) -> None:
    """What was tried is shown all the same; the error is the last word, also beside a JSON document."""
    run("add", "shop", "rest", "--set", f"base_url={shop}", "--set", "path=/away")
    result = CliRunner().invoke(app, ["preview", "shop"])
    assert (result.exit_code, type(result.exception)) == (1, MillraceError)
    assert "connector 'shop': " in str(result.exception)
    assert "-> 500, " in result.stdout
    result = CliRunner().invoke(app, ["preview", "shop", "--json"])
    assert result.exit_code == 1
    assert document(result)["requests"][0]["status"] == 500


@pytest.fixture
def airflow_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place of its own for Airflow, and a connection by environment."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    held = {"conn_type": "http", "login": "ada-login", "password": SECRET}
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps(held))


@pytest.mark.e2e
def test_a_connection_of_airflow_is_used_and_not_shown(run: Run, shop: str, airflow_home: None) -> None:
    """The secret gets from Airflow to the source, and to nobody who looks on."""
    run("add", "shop", "rest", "--set", f"base_url={shop}", "--set", "conn_id=shop")
    result = run("preview", "shop", "--json")
    made = document(result)
    assert made["requests"][0]["headers"] == {"Authorization": "***"}
    assert {record["payload"]["seen"] for record in made["pages"][0]["records"]} == {"***"}
    assert "ada-login" not in result.output
    assert SECRET not in result.output


@pytest.mark.e2e
def test_a_connection_that_airflow_does_not_have_is_an_error(environment: None, airflow_home: None) -> None:
    """The name that is wrong is named, and the way to add it."""
    with pytest.raises(ConfigError, match="Airflow has no connection 'nowhere'; add it under Admin"):
        find_connection("nowhere", system_environment())


def test_an_airflow_that_breaks_is_not_quoted(environment: None, tmp_path: Path) -> None:
    """What Airflow says when it breaks may hold anything, secrets included."""
    (tmp_path / "airflow.py").write_text(f"raise ValueError('cannot read http://ada:{SECRET}@host')")
    with pytest.raises(MillraceError, match="Airflow fails to read connection 'shop'") as caught:
        find_connection("shop", {**system_environment(), "PYTHONPATH": f"{tmp_path}{os.pathsep}{PROJECT}"})
    assert SECRET not in str(caught.value)


def test_without_a_system_the_remedy_is_named(refused: Refused, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A preview has the settings of a system; there must be one."""
    monkeypatch.delenv("MILLRACE_DATABASE_URL")
    settings.cache_clear()
    assert "`./millrace up`, or set MILLRACE_DATABASE_URL" in refused("preview", "--file", file)


# run, with a server on the loopback in Airflow's place


class Airflow:
    """What `connectors run` needs of Airflow's API; `pull` stands for all that a run sets in motion."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.state = "success"
        self.pull: Callable[[], None] = lambda: None

    def __call__(self, method: str, path: str, _headers: dict[str, str], body: Any) -> tuple[int, Any]:
        self.asked.append((method, path, body))
        if path == "/auth/token":
            return 201, {"access_token": "the token"}
        if method == "GET":
            return 200, {"state": self.state}
        self.pull()
        return 200, {"dag_run_id": "manual__1", "state": "queued"}


@pytest.fixture
def airflow(environment: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Airflow]:
    airflow = Airflow()
    with in_place_of_airflow(airflow, monkeypatch):
        yield airflow


def test_run_triggers_the_dag(run: Run, airflow: Airflow) -> None:
    """One run of the connector's DAG, now, without any conf."""
    run("add", "shop", *SHOP)
    made = document(run("run", "shop", "--json"))
    method, path, body = airflow.asked[-1]
    assert (method, path, body["conf"]) == ("POST", "/api/v2/dags/connector_1/dagRuns", {})
    assert (made["connector_id"], made["dag_run_id"], made["state"]) == (1, "manual__1", None)
    assert "`./millrace connectors show 1`" in run("run", "shop").stdout


def test_run_waits_and_says_what_came(run: Run, airflow: Airflow, db: DictConnection) -> None:
    """With --wait the new records are counted once the run has ended."""
    run("add", "shop", *SHOP)
    airflow.pull = lambda: add_records(db, 1, 4)
    assert "success: 4 new records, the newest at position 4" in run("run", "shop", "--wait").stdout
    made = document(run("run", "shop", "--wait", "--json"))
    assert (made["state"], made["stored"], made["head"]) == ("success", 0, 4)


def test_a_run_that_fails_has_exit_code_1(run: Run, airflow: Airflow, db: DictConnection) -> None:
    """The error that the row has afterwards is shown."""
    run("add", "shop", *SHOP)
    airflow.state = "failed"

    def fail() -> None:
        db.execute("update connector set last_error = 'HTTP 500'")

    airflow.pull = fail
    result = CliRunner().invoke(app, ["run", "shop", "--wait"])
    assert result.exit_code == 1
    assert "failed: HTTP 500" in result.stdout
    result = CliRunner().invoke(app, ["run", "shop", "--wait", "--json"])
    assert (result.exit_code, document(result)["last_error"]) == (1, "HTTP 500")


def test_a_run_that_cannot_work_is_not_started(
    run: Run, refused: Refused, airflow: Airflow, db: DictConnection
) -> None:
    """One that is paused, that is pushed to, or whose config does not fit is refused before Airflow hears of it."""
    run("add", "off", *SHOP, "--inactive")
    run("add", "hook", "webhook", "--set", "conn_id=hook")
    db.execute("insert into connector (name, kind) values ('bad', 'python')")
    assert "`./millrace connectors resume" in refused("run", "off")
    assert "its records are pushed to it" in refused("run", "hook")
    assert "function: Field required" in refused("run", "bad")
    assert airflow.asked == []
