"""Jobs of kind `python`: a function of the user's, in a process of its own."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from include import settings as our_settings
from include.errors import ConfigError, PermanentError, RateLimitedError, RetryableError
from include.model import Connection, Output
from include.registry import action
from tests.worker_actions import are_gone, in_background, pids_in, run, wait_until, worker  # noqa: F401 - a fixture


def call(function: str, *, conn_id: str | None = None, more: dict[str, Any] | None = None, **arguments: Any) -> Output:
    payload = {"function": f"user_functions:{function}", "arguments": arguments, "conn_id": conn_id}
    return run("python", payload, **(more or {}))


# -- results -----------------------------------------------------------------------------------------------------------


def test_what_it_returns_is_the_result() -> None:
    """Arguments go in by name, JSON comes out, and is part of what the ledger keeps."""
    output = call("add", a=2, b=3)
    assert (output.line, output.data, output.excerpt) == ("user_functions:add returned", {"result": 5}, None)
    assert call("nothing").data == {"result": None}


def test_a_coroutine_function_is_awaited() -> None:
    """A user may write `async def`."""
    assert call("add_slowly", a=2, b=3).data == {"result": 5}


def test_it_is_told_of_the_occurrence_if_it_asks() -> None:
    """A parameter `occurrence` gets the key that is the same for every attempt, the instant, and the attempt."""
    told = {"key": "job_1_7", "due": "2026-03-01T12:00:00+00:00", "attempt": 2}
    assert call("about", more={"attempt": 2}).data == {"result": told}


def test_the_example_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """The function that we ship as an example does what it says."""
    monkeypatch.delenv("MILLRACE_USER_CODE")
    our_settings.settings.cache_clear()
    output = run("python", {"function": "example:greet", "arguments": {"name": "Ann"}})
    greeting = "Hello Ann, it is 2026-03-01T12:00:00+00:00"
    assert (output.excerpt, output.data) == (f"{greeting}\n", {"result": {"greeting": greeting, "attempt": 1}})


def test_large_arguments_arrive() -> None:
    """What goes in may be larger than any buffer on the way."""
    with pytest.raises(RetryableError, match="can only concatenate str"):
        call("add", a="x" * 3_000_000)


def test_what_postgresql_cannot_store_is_replaced() -> None:
    """NUL and half a surrogate pair, in texts and in keys."""
    assert call("odd", what="nul").data == {"result": {"a\ufffd": ["b\ufffd", "?"]}}


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("set", r"returned set, which is not JSON \(.*set is not JSON serializable\); return JSON or None"),
        ("nan", "returned list, which is not JSON"),
        ("generator", "returned generator, which is not JSON"),
        ("large", "returned 70002 bytes of JSON; return at most 65536"),
    ],
)
def test_a_result_that_cannot_be_kept_is_an_error(what: str, message: str) -> None:
    """It is not tried again: the work was done, and would be done again."""
    with pytest.raises(PermanentError, match=message):
        call("odd", what=what)


# -- what it is given, and what it shows -------------------------------------------------------------------------------


def test_a_connection_is_handed_over_and_cannot_be_seen() -> None:
    """The function has it whole; no environment or command line has its password, nor any secret of the worker."""
    connection = Connection("api", "http", "h", 443, "s", "ann", "pass-word", {"k": [1]})
    result = call("look_around", conn_id="api", more={"connection": connection}).data["result"]
    digest = hashlib.sha256(b"pass-word").hexdigest()
    assert result == {
        "visible": False,
        "workers": False,
        "connection": ["api", "h", 443, {"k": [1]}, digest],
        "stdin": "/dev/null",
        "of_ours": ["MILLRACE_ATTEMPT", "MILLRACE_DUE", "MILLRACE_KEY"],
    }


def test_what_it_says_is_logged_while_it_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What it prints, logs, and what its children write, in its order, before it has ended; and its input is empty."""
    said = ["printed", "INFO mine: logged", "started"]
    with in_background(lambda: call("talk", until=str(tmp_path / "go"))) as results:
        wait_until(lambda: caplog.messages == said)
        assert not results
        (tmp_path / "go").touch()
    assert results == [Output("user_functions:talk returned", excerpt="\n".join([*said, ""]), data={"result": ""})]


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("remedy", "error", "message", "facts"),
    [
        ("config", ConfigError, "mend the row", {}),
        ("permanent", PermanentError, "gone", {"code": 410, "excerpt": "what came back"}),
        ("retryable", RetryableError, "not now\ufffd", {"code": None, "excerpt": "", "after_seconds": 7}),
        ("told to wait", RateLimitedError, "too many", {"after_seconds": 3}),
        ("mine", RetryableError, "of my own", {"after_seconds": None}),
        ("other", RetryableError, "user_functions:fail raised ValueError: odd", {"code": None}),
        ("exit", RetryableError, "user_functions:fail raised SystemExit: 3", {"code": None}),
        ("crash", RetryableError, "user_functions:fail ended its process, exit code 7, and returned nothing", {}),
    ],
)
def test_errors_keep_their_remedy(remedy: str, error: type[Exception], message: str, facts: dict[str, Any]) -> None:
    """Errors of Millrace say what to do; any other is retried, and says what it was."""
    with pytest.raises(error) as caught:
        call("fail", remedy=remedy)
    assert (type(caught.value), str(caught.value)) == (error, message)
    assert vars(caught.value).items() >= facts.items()


def test_a_traceback_is_logged_and_kept(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever mends the function sees where it failed, in the log and in the ledger."""
    with pytest.raises(RetryableError) as caught:
        call("fail", remedy="other")
    assert caught.value.excerpt is not None
    assert "user_functions.py" in caught.value.excerpt
    assert caplog.messages[-1] == "ValueError: odd"


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("user_functions:missing", {}, "module tests.user_functions has no function missing"),
        ("user_functions:not_a_function", {}, "module tests.user_functions has no function not_a_function"),
        ("user_functions:run", {"args": ["true"]}, "comes from subprocess; name a function of tests"),
        ("nowhere:run", {}, "there is no module tests.nowhere"),
        ("user_functions:add", {}, "user_functions:add: missing a required argument: 'a'"),
        ("user_functions:add", {"a": 1, "c": 2}, "user_functions:add: got an unexpected keyword argument 'c'"),
    ],
)
def test_what_cannot_be_called_is_for_the_rows_owner(function: str, arguments: dict[str, Any], message: str) -> None:
    """The message says what to write; in particular, only functions of the user's package can be named."""
    with pytest.raises(ConfigError, match=message):
        run("python", {"function": function, "arguments": arguments})


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({}, "function: Field required"),
        ({"function": "os.system"}, "function: "),
        ({"function": "..os:system"}, "function: "),
        ({"function": "a:b", "arguments": {"connection": 1}}, "leave out connection: Millrace hands it over"),
        ({"function": "a:b", "arguments": {"occurrence": 1}}, "leave out occurrence: Millrace hands it over"),
    ],
)
def test_a_payload_that_does_not_fit_says_what_to_write(payload: dict[str, Any], message: str) -> None:
    """A wrong payload is refused before anything runs."""
    with pytest.raises(ConfigError, match=message):
        action("python").parse(payload)


@pytest.mark.e2e
def test_a_function_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    """It is gone when the error is raised, with what it started and its guard."""
    with pytest.raises(RetryableError, match="not done within 4 s, and ended with everything that it started"):
        call("hang", pids=str(tmp_path / "pids"), more={"timeout_seconds": 4})
    assert are_gone(pids_in(tmp_path / "pids", 3))


def test_a_kind_describes_itself() -> None:
    """It has a one-line summary and a closed schema that explains every field."""
    found = action("python")
    schema = found.config.model_json_schema()
    assert (found.runs_on, found.summary[-1]) == ("worker", ".")
    assert schema["additionalProperties"] is False
    assert all(field.get("description") for field in schema["properties"].values())
