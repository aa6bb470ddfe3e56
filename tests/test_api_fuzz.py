"""The API against requests that nobody would think of (Schemathesis, from the OpenAPI document)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
import uvicorn
from fastapi import Request
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import HookContext
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection, positive_data_acceptance
from schemathesis.specs.openapi.schemas import OpenApiSchema

from include import registry
from include.api.app import create_app
from include.api.openapi import document
from include.documents.caller import Caller
from include.errors import RefusedError
from include.local.postgres import Postgres
from include.settings import Settings
from include.store.db import DictConnection, connect
from include.store.rows import connector_from_row, job_from_row
from tests.api_client import CALLERS
from tests.conftest import EMPTY, copy_of_template

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("fuzz")]

_EXAMPLES = 60  # of each operation, and half as many again that break a rule
_SEQUENCES = 150  # of up to ten requests that follow from each other
_CALLER = {"Authorization": "Bearer alice"}
# Rules that JSON Schema cannot say, such as that a kind's settings fit, refuse what it allows. Our token takes the
# place of those that are made up; who gets in without one is tested for every route in test_api_access.py.
_NOT_OF_SCHEMAS = [positive_data_acceptance, ignored_auth]
_RULES = settings(
    max_examples=_EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
    database=None,
)


async def login(request: Request) -> Caller:
    """The caller whose name is the token."""
    name = request.headers.get("authorization", "").removeprefix("Bearer ")
    if name not in CALLERS:
        raise RefusedError(401, "log in first")
    return CALLERS[name]


@pytest.fixture(scope="module")
def database(server: Postgres) -> str:
    """One for all of these tests: what one leaves is what the next one meets."""
    return server.url(copy_of_template(server))


@pytest.fixture
def db(database: str) -> Iterator[DictConnection]:
    with connect(database) as connection:
        yield connection


@pytest.fixture(scope="module")
def server_url(database: str) -> Iterator[str]:
    """The API where Airflow mounts it, on a server of its own; alice is calling."""
    app = create_app(Settings(database_url=database), login=login)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="on", root_path="/millrace")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def schema(server_url: str) -> OpenApiSchema:
    made = schemathesis.openapi.from_dict(document(create_app()))
    made.config.update(base_url=server_url, headers=_CALLER)
    return made


def operations() -> list[str]:
    """Every operation of the document, by its label."""
    made = schemathesis.openapi.from_dict(document(create_app()))
    return [result.ok().label for result in made.get_all_operations()]


@pytest.mark.parametrize("label", operations())
def test_whatever_is_sent_is_answered_as_the_document_says(
    schema: OpenApiSchema, db: DictConnection, label: str
) -> None:
    """No request leads to a 5xx, or to an answer that the document does not know; no row is left half-made."""
    operation = schema.find_operation_by_label(label)
    assert operation is not None

    @settings(_RULES, max_examples=_EXAMPLES)
    @given(case=operation.as_strategy())
    def hold(case: schemathesis.Case) -> None:
        case.call_and_validate(excluded_checks=_NOT_OF_SCHEMAS)

    hold()
    check_rows(db)


def test_requests_that_follow_from_each_other_are_answered_as_the_document_says(
    schema: OpenApiSchema, db: DictConnection
) -> None:
    """What is created can be looked at, changed and deleted in any order, and what is deleted is gone."""

    schema.hook("map_body")(_made_acceptable)
    done: set[str] = set()

    schema = schema.exclude(path_regex="/run$")  # there is no Airflow here; what it starts is tested elsewhere

    class Sequences(schema.as_state_machine()):  # type: ignore[misc] # a class made at run time
        def setup(self) -> None:
            db.execute(EMPTY.encode())  # a sequence that is tried again must find what it found before

        def validate_response(self, response: Any, case: schemathesis.Case, **options: Any) -> None:
            # what was made up to be wrong may have been mended since, see _made_acceptable()
            case.validate_response(response, excluded_checks=[*_NOT_OF_SCHEMAS, negative_data_rejection])
            if response.status_code in (201, 204):
                done.add(case.operation.label)

    Sequences.run(settings=settings(_RULES, max_examples=_SEQUENCES, stateful_step_count=10))
    assert {"POST /api/v1/jobs", "POST /api/v1/connectors", "POST /api/v1/timers"} <= done
    assert any(label.startswith("DELETE") for label in done)
    check_rows(db)


# What Schemathesis makes up fits no kind; sequences shall come to rows.
_ACCEPTABLE: dict[str, dict[str, Any]] = {
    "POST /api/v1/jobs": {"kind": "ping", "payload": {"url": "https://example.com/"}, "every": 300},
    "PUT /api/v1/jobs/{job_id}": {"kind": "ping", "payload": {"url": "https://example.com/"}, "every": 600},
    "POST /api/v1/connectors": {"kind": "feed", "config": {"url": "https://example.com/feed"}, "every": 300},
    "POST /api/v1/timers": {"url": "https://example.com/", "hours": 1},
}
_NAMED = ("external_id", "is_active", "retries")


def _made_acceptable(context: HookContext, body: Any) -> Any:
    settings = _ACCEPTABLE.get(context.operation.label) if context.operation is not None else None
    if settings is None or not isinstance(body, dict):
        return body
    name = {"name": f"row {len(str(body))}"} if "kind" in settings else {}
    return {**{key: body[key] for key in _NAMED if key in body}, **settings, **name}


def check_rows(db: DictConnection) -> None:
    """What is there could run, and is whole."""
    for row in db.execute("select * from job").fetchall():
        registry.vet(job_from_row(row))
    for row in db.execute("select * from connector").fetchall():
        registry.vet(connector_from_row(row))
    [left] = db.execute("select count(*) as n from idempotency_key where status = 0").fetchall()
    assert left["n"] == 0
