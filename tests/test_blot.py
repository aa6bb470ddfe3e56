"""What is secret, of a connection and of a request, and how it is blotted out; all else is left alone."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.model import Connection
from include.shifts.blot import Blot, secrets_in_request, secrets_of

TOKEN = "tok-5f1e"


@given(
    st.text(min_size=1, max_size=20).map(str.strip).filter(bool),
    st.sampled_from(["{}", "before {}", "{}after", "x={}&y"]),
)
def test_any_secret_is_blotted_out_in_every_spelling(secret: str, frame: str) -> None:
    """Whatever characters a secret has: as it is, or escaped for a URL or for JSON, it does not survive."""
    blot = Blot([secret])
    spellings = [secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]]
    if not any("\ud800" <= character <= "\udfff" for character in secret):
        spellings += [quote(secret), quote(secret, safe=""), quote_plus(secret)]
    for spelling in spellings:
        assert "***" in blot.text(frame.format(f" {spelling} " if len(secret) <= 7 else spelling))


def test_the_rest_is_left_alone() -> None:
    """Keys, numbers and texts without a secret stay as they are; a short secret counts only where it is a word."""
    blot = Blot([TOKEN, "eu", "", "  ", "12345678", "test"])
    whole = {"neutral": ["eu-west", 1, 1.5, True, None, {"token": "tok-5f1"}, "the latest"], "n": 12345}
    assert blot.json(whole) == {**whole, "neutral": ["***-west", *whole["neutral"][1:]]}
    assert blot.json({TOKEN: [9123456780]}) == {"***": ["9***0"]}
    assert blot.text("a test, a%20test\\ntest") == "a ***, a%20***\\n***"
    assert Blot([]).json(whole) == whole


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("X-Api-Key", True),
        ("apikey", True),
        ("access_token", True),
        ("accessToken", True),
        ("X-Amz-Signature", True),
        ("Cookie", True),
        ("pageToken", False),
        ("next_token", False),
        ("author", False),
        ("page", False),
    ],
)
def test_a_secret_is_known_by_its_name(name: str, secret: bool) -> None:
    """What a request carries under such a name is a secret, though no connection holds it; a place in pages is not."""
    assert ("v4lue" in set(secrets_in_request(f"http://h/?{name}=v4lue", {}))) is secret
    assert ("v4lue" in set(secrets_in_request("http://h/", {name: "Some v4lue"}))) is secret


def test_what_is_secret_of_a_connection() -> None:
    """Its password; in its extra, at any depth, what has a secret's name, or looks like one wherever it stands."""
    extra = {
        "token": "mine",
        "private_keys": {"secret": [8412345678, "deep"]},
        "note": "aB3dE5gH7j",
        "proxy": "http://ann:words@proxy:3128",
    }
    held = set(secrets_of(Connection("c", login="ada", password="pass", extra=extra)))
    assert {"pass", "mine", "8412345678", "deep", "aB3dE5gH7j", "http://ann:words@proxy:3128"} <= held
    assert "ada" not in held
    assert list(secrets_of(None)) == []


def test_settings_in_a_connection_are_no_secrets() -> None:
    """A region or a time-out does not turn into stars wherever it turns up; nor does a password of three letters."""
    settings = {"timeout": "30", "region": "eu", "zone": "eu-central-1", "sslmode": "verify-full", "retries": 300_000}
    more = {"from_email": "bot@example.com", "base_url": "https://slack.com/api/", "since": "2026-01-01", "token": "1"}
    blot = Blot(secrets_of(Connection("c", login="admin", password="1", extra={**settings, "nested": [more]})))
    whole = {"rows": [[1, 30, "eu", "admin"], *([value] for value in (settings | more).values())], "region": 300_000}
    assert blot.json(whole) == whole
