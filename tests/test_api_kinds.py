"""Kinds over HTTP: what rows can do, and the schema of their settings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from include import registry
from tests.api_client import ALICE, VIEWER, Api, api_of, ok, problem

pytestmark = pytest.mark.xdist_group("api")


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_of(database_url) as running:
        yield running


def test_every_kind_is_listed_with_the_schema_of_its_settings(api: Api) -> None:
    """Whatever is a file of a kind is here, with what a form needs to ask for."""
    found = ok(api.as_(VIEWER).get("/kinds"))
    assert [kind["kind"] for kind in found["actions"]] == list(registry.action_kinds())
    assert [kind["kind"] for kind in found["connectors"]] == list(registry.source_kinds())
    for kind in (*found["actions"], *found["connectors"]):
        assert kind["summary"]
        assert kind["json_schema"]["type"] == "object"
    webhook = ok(api.get("/kinds/actions/webhook"))
    assert webhook in found["actions"]
    assert (webhook["runs_on"], webhook["record_field"]) == ("triggerer", "body")
    assert webhook["json_schema"]["required"] == ["url"]
    assert ok(api.get("/kinds/connectors/webhook"))["runs_on"] == "api"


def test_it_says_which_kinds_are_for_admins(api: Api) -> None:
    """A user can tell beforehand what would be refused."""
    found = ok(api.as_(ALICE).get("/kinds"))
    assert [kind["kind"] for kind in found["actions"] if kind["admins_only"]] == ["shell"]
    assert not [kind for kind in found["connectors"] if kind["admins_only"]]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/kinds/actions/webhok", "did you mean 'webhook'?"),
        ("/kinds/connectors/rset", "did you mean 'rest'?"),
        ("/kinds/actions/rest", "unknown kind 'rest'"),
        ("/kinds/actions/_verdict", "unknown kind '_verdict'"),
        ("/kinds/actions/%00", "there are: email"),
    ],
)
def test_an_unknown_kind_is_not_there(api: Api, path: str, said: str) -> None:
    """It is a 404 that names what was probably meant, or what there is."""
    assert said in problem(api.get(path), 404)


def test_what_a_client_has_is_not_sent_again(api: Api) -> None:
    """The ETag stands for the content: the same, 304; for another caller to whom it says something else, another."""
    for path in ("/kinds", "/kinds/actions/shell"):
        first = api.get(path)
        tag = first.headers["etag"]
        assert api.get(path).headers["etag"] == tag
        again = api.send("GET", path, headers={"If_None_Match": tag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert api.as_(ALICE).send("GET", path, headers={"If_None_Match": tag}).status_code == 200
