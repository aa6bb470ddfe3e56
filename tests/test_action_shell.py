"""Jobs of kind `shell`: what a command is given, what its exit code means, and where its output goes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from include import settings as our_settings
from include.actions import _process_output
from include.actions._verdict import EXCERPT_CHARACTERS
from include.errors import ConfigError, PermanentError, RetryableError
from include.model import Output
from include.registry import action, template_of
from include.store.db import DictConnection
from include.store.rows import workflow_from_row
from tests.log_rows import add_connector, add_workflow
from tests.worker_actions import in_background, run, wait_until, worker  # noqa: F401 - a fixture


def shell(command: str | list[str], **payload: Any) -> Output:
    return run("shell", {"command": command, **payload})


# -- allowed, or not ---------------------------------------------------------------------------------------------------


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILLRACE_ALLOW_SHELL")
    our_settings.settings.cache_clear()


def test_it_is_off_unless_it_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row is refused, with the setting that would allow it."""
    forbid(monkeypatch)
    with pytest.raises(ConfigError, match=r"kind 'shell' is off: .* MILLRACE_ALLOW_SHELL=1"):
        action("shell").parse({"command": "true"})


def test_a_workflow_hands_records_over_beside_the_command(monkeypatch: pytest.MonkeyPatch, db: DictConnection) -> None:
    """Its environment may be made of records, its command not; where `shell` is off, both are refused."""

    def vet(payload: dict[str, Any]) -> None:
        db.execute("delete from workflow")
        add_workflow(db, connector, "", kind="shell", payload=payload)
        row = db.execute("select *, 'source' as connector from workflow").fetchone()
        assert row is not None
        template_of(workflow_from_row(row))

    connector = add_connector(db)
    payload = {"command": 'echo "$TITLE"', "environment": {"TITLE": "{{ record.payload }}"}}
    vet(payload)
    with pytest.raises(ConfigError, match="command cannot be a template"):
        vet({"command": ["echo", "{{ record.payload }}"]})
    forbid(monkeypatch)
    with pytest.raises(ConfigError, match="kind 'shell' is off"):
        vet(payload)


def test_it_is_judged_again_when_it_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What was read where the setting is not known does not run where it is off."""
    monkeypatch.delenv("MILLRACE_DATABASE_URL")
    our_settings.settings.cache_clear()
    payload = {"command": f"touch {tmp_path}/done"}
    action("shell").parse(payload)
    with pytest.raises(ConfigError):
        run("shell", payload)
    assert not list(tmp_path.iterdir())


# -- exit codes --------------------------------------------------------------------------------------------------------


def test_exit_code_nought_is_success() -> None:
    """The output has the code, and what was written."""
    output = shell("echo hello")
    assert (output.line, output.code, output.excerpt) == ("exit code 0", 0, "hello\n")


@pytest.mark.parametrize(
    ("command", "payload", "message", "error"),
    [
        ("exit 3", {}, "exit code 3: expected 0", RetryableError),
        ("exit 3", {"no_retry_on": [2, 3]}, "exit code 3: expected 0", PermanentError),
        ("true", {"expect_exit_code": [3, 4]}, "exit code 0: expected 3 or 4", RetryableError),
        ("kill -9 $$", {}, "exit code 137 (SIGKILL): expected 0", RetryableError),
        ("no-such-program", {"no_retry_on": [127]}, "exit code 127: expected 0", PermanentError),
    ],
)
def test_another_exit_code_fails(command: str, payload: dict[str, Any], message: str, error: type[Exception]) -> None:
    """It is retried, unless the row says that it is final; the ledger has the code, and the end of the output."""
    with pytest.raises(error) as caught:
        shell(f"echo before; {command}", **payload)
    assert type(caught.value) is error
    assert str(caught.value) == message
    assert caught.value.code == int(message.split()[2].rstrip(":"))  # type: ignore[attr-defined]
    assert caught.value.excerpt.startswith("before\n")  # type: ignore[attr-defined]


def test_other_exit_codes_can_be_expected() -> None:
    """A row may say which codes are success."""
    assert shell("exit 3", expect_exit_code=3).code == 3
    assert shell("exit 4", expect_exit_code=[3, 4]).line == "exit code 4"


# -- what it is given --------------------------------------------------------------------------------------------------


def test_a_list_is_run_without_a_shell() -> None:
    """Nothing in a list is read as shell; the program is looked for on PATH."""
    assert shell(["printf", "%s|", "$HOME", "a b", ";"]).excerpt == "$HOME|a b|;|"


def test_its_environment_is_made_anew() -> None:
    """A few variables of the worker, the row's and the occurrence's: nothing else, and none of the worker's secrets."""
    payload = {"command": ["env", "-0"], "environment": {"TITLE": "$(id) ü", "TZ": "Europe/Berlin"}}
    output = run("shell", payload, attempt=2)
    assert output.excerpt is not None
    given = dict(line.split("=", 1) for line in output.excerpt.rstrip("\ufffd").split("\ufffd"))
    ours = {"MILLRACE_KEY": "job_1_7", "MILLRACE_DUE": "2026-03-01T12:00:00+00:00", "MILLRACE_ATTEMPT": "2"}
    assert given.items() >= {**ours, **payload["environment"], "PATH": os.environ["PATH"]}.items()
    workers = {"PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH"}
    assert set(given) - workers == {*ours, "TITLE"}


def test_no_process_around_it_has_the_workers_secrets() -> None:
    """Neither the command nor its guard, whose environment it may read, has them."""
    output = shell("cat /proc/$$/environ /proc/$PPID/environ /proc/$PPID/cmdline; ls -l /proc/self/fd")
    assert output.excerpt is not None
    assert "the-secret" not in output.excerpt
    assert "socket" not in output.excerpt, "the guard's leash must not be in the command's hands"


def test_its_input_is_empty() -> None:
    """A command that reads is not left waiting."""
    assert shell("cat; echo end").excerpt == "end\n"


def test_it_runs_where_it_is_told(tmp_path: Path) -> None:
    """In the directory of the row, or at home."""
    assert shell("pwd", working_directory=str(tmp_path)).excerpt == f"{tmp_path}\n"
    assert shell("pwd").excerpt == f"{Path.home()}\n"


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"working_directory": "/no/such"}, "cannot run in /no/such: no such file or directory; write a directory"),
        ({"working_directory": "/dev/null"}, "cannot run in /dev/null: not a directory"),
        ({"command": ["no-such-program"]}, "cannot be started: no-such-program: no such file or directory"),
        ({"command": ["/dev/null"]}, "cannot be started: /dev/null: permission denied"),
    ],
)
def test_what_cannot_be_started_is_for_the_rows_owner(payload: dict[str, Any], message: str) -> None:
    """The message says what is missing on the worker."""
    with pytest.raises(ConfigError, match=message):
        run("shell", {"command": "true", **payload})


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({}, "command: Field required"),
        ({"command": ""}, "command"),
        ({"command": []}, "command"),
        ({"command": "a\x00b"}, "without the character NUL"),
        ({"command": "a" * 30_001}, "at most 30000"),
        ({"command": "a", "environment": {"A B": ""}}, "'A B' is not a variable's name"),
        ({"command": "a", "environment": {"A": "\x00"}}, "without the character NUL"),
        ({"command": "a", "environment": {"MILLRACE_KEY": "x"}}, "leave out MILLRACE_KEY"),
        ({"command": "a", "working_directory": "src"}, "write an absolute path"),
        ({"command": "a", "expect_exit_code": 256}, "expect_exit_code"),
        ({"command": "a", "expect_exit_code": []}, "expect_exit_code"),
        ({"command": "a", "cwd": "/"}, "cwd: Extra inputs"),
    ],
)
def test_a_payload_that_does_not_fit_says_what_to_write(payload: dict[str, Any], message: str) -> None:
    """A wrong payload is refused before anything runs."""
    with pytest.raises(ConfigError, match=message):
        action("shell").parse(payload)


# -- its output --------------------------------------------------------------------------------------------------------


def test_output_is_logged_while_it_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A line is in the log before the command goes on; both streams are there, in their order."""
    command = f"echo one; echo two >&2; while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; printf three"
    with in_background(lambda: shell(command)) as results:
        wait_until(lambda: caplog.messages == ["one", "two"])
        assert not results
        (tmp_path / "go").touch()
    assert caplog.messages == ["one", "two", "three"]
    assert isinstance(results[0], Output)
    assert results[0].excerpt == "one\ntwo\nthree"


def test_a_flood_is_neither_kept_nor_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """Of 200 MB of lines, the log has the first, and says how many bytes there were; the ledger has the last."""
    output = shell("yes flood | head -c 200000000; echo; echo end")
    assert output.excerpt is not None
    assert len(output.excerpt) == EXCERPT_CHARACTERS
    assert output.excerpt.endswith("flood\nfl\nend\n")
    *lines, last = caplog.messages
    assert sum(map(len, lines)) < _process_output.LOGGED_BYTES
    assert set(lines) == {"flood"}
    assert last == "200000005 bytes of output in all; what is missing above was not logged"


def test_output_need_not_be_text(caplog: pytest.LogCaptureFixture) -> None:
    """NUL and what is not UTF-8 are replaced; a line without an end is logged in parts."""
    output = shell(r"printf 'a\000b\377c\r\n\303\274\n'; head -c 10000 /dev/zero | tr '\0' x")
    assert caplog.messages[:2] == ["a\ufffdb\ufffdc", "ü"]
    assert [len(message) for message in caplog.messages[2:]] == [4096, 4096, 1808]
    assert output.excerpt == "x" * EXCERPT_CHARACTERS
    assert shell("head -c 5000000 /dev/urandom").excerpt is not None


def test_a_kind_describes_itself() -> None:
    """It has a one-line summary and a closed schema that explains every field."""
    found = action("shell")
    schema = found.config.model_json_schema()
    assert (found.runs_on, found.summary[-1]) == ("worker", ".")
    assert schema["additionalProperties"] is False
    assert all(field.get("description") for field in schema["properties"].values())
