"""The document of the API says what a client needs."""

from __future__ import annotations

from typing import Any

import pytest

from include.api.app import create_app
from include.api.openapi import document
from tests.api_client import Api, api_of, ok, problem

pytestmark = pytest.mark.xdist_group("api")


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return document(create_app())


def operations(made: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, found in made["paths"].items()
        for method, operation in found.items()
    ]


def test_every_operation_and_every_parameter_is_described(made: dict[str, Any]) -> None:
    """Nobody has to guess what a route does, or what a parameter is for."""
    assert made["openapi"] == "3.1.0"
    silent = [label for label, operation in operations(made) if not operation.get("description")]
    silent += [
        f"{label}: {parameter['name']}"
        for label, operation in operations(made)
        for parameter in operation.get("parameters", [])
        if not parameter.get("description")
    ]
    assert silent == []


def test_operations_have_names_of_their_own(made: dict[str, Any]) -> None:
    """Clients that are generated call them by these."""
    names = [operation["operationId"] for _, operation in operations(made)]
    assert len(names) == len(set(names))


def test_errors_are_problems_everywhere(made: dict[str, Any]) -> None:
    """Each route under /api says that it may be refused, and that the answer is a problem document then."""
    for label, operation in operations(made):
        if "/api/v1/" in label and "/compat" not in label:
            refused = operation["responses"]["403"]["content"]
            assert list(refused) == ["application/problem+json"], label


def test_the_document_is_for_who_has_logged_in(database_url: str) -> None:
    """It is answered as it is made; strangers are told to log in."""
    with api_of(database_url) as api:
        found: Api = api
        assert ok(found.get("/openapi.json"))["info"]["title"] == "Millrace"
        problem(found.as_(None).get("/openapi.json"), 401)
