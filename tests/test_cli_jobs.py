"""`./millrace jobs add` and `edit`: what people write becomes rows as they meant it."""

from __future__ import annotations

import shlex
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from typer.testing import CliRunner

from include.cli.jobs import app
from include.store import jobs
from include.store.db import DictConnection, queries
from tests.job_commands import URL, Refused, Run, document, environment, refused, run

__all__ = ["environment", "refused", "run"]


def test_a_job_without_options_is_what_plain_sql_makes(run: Run, db: DictConnection) -> None:
    """The defaults of the command line are those of the table."""
    run("add", "by cli", "ping", "--set", URL)
    db.execute("""insert into job (name, kind, payload) values ('by sql', 'ping', '{"url": "http://127.0.0.1:9/"}')""")
    one, other = db.execute("select * from job order by id").fetchall()
    own = {"id", "name", "revision", "schedule_revision", "schedule_changed_at", "created_at", "updated_at"}
    assert {name for name in one if one[name] != other[name]} <= own
    columns = db.execute("select column_name from information_schema.columns where table_name = 'job'")
    settable = {str(row["column_name"]) for row in columns} - own - {"kind", "error"}
    assert settable == set(jobs.DEFAULTS)


def test_every_option_of_add_ends_up_in_its_column(run: Run, db: DictConnection) -> None:
    """What is written on the command line is what is in the row."""
    options = (
        "--cron '0 9 * * mon' --timezone Europe/Berlin --starts-at 2026-07-01 --ends-at 2027-01-01T00:00:00Z"
        " --jitter 10s --overlap queue --misfire all --max-lateness 2h --retries 5 --retry-delay 1m"
        " --retry-backoff 1.5 --timeout 90s --delivery at_most_once --owner ada --inactive"
    )
    run("add", "report", "http", *shlex.split(options), "--payload", '{"url": "http://127.0.0.1:9/"}')
    row = jobs.find(db, "report")
    assert (row["cron"], row["every"], row["run_at"]) == ("0 9 * * mon", None, None)
    assert row["starts_at"] == datetime(2026, 6, 30, 22, tzinfo=timezone.utc)
    assert row["ends_at"] == datetime(2027, 1, 1, tzinfo=timezone.utc)
    assert (row["overlap"], row["misfire"], row["delivery"], row["owner"]) == ("queue", "all", "at_most_once", "ada")
    assert (row["jitter"], row["max_lateness"]) == (timedelta(seconds=10), timedelta(hours=2))
    assert (row["retries"], row["retry_delay"], row["retry_backoff"]) == (5, timedelta(minutes=1), 1.5)
    assert (row["timeout"], row["is_active"], row["timezone"]) == (timedelta(seconds=90), False, "Europe/Berlin")


def test_the_options_for_failures_end_up_in_their_columns(run: Run, db: DictConnection) -> None:
    """Retries, what takes a job off duty, whom to tell: what is written is what is in the row, and can be cleared."""
    options = (
        "--every 5m --fixed-delay --retry-max-delay 10m --retry-jitter 0.5 --no-retry-on 505,501 --disable-after 10"
        """ --half-open --probe-every 1m --notify '{"kind": "webhook", "payload": {"url": "http://127.0.0.1:9/"}}'"""
    )
    run("add", "report", "ping", *shlex.split(options), "--set", URL)
    row = jobs.find(db, "report")
    assert (row["every_mode"], row["retry_max_delay"], row["retry_jitter"]) == (
        "fixed_delay",
        timedelta(minutes=10),
        0.5,
    )
    assert (row["no_retry_on"], row["disable_after"], row["half_open"]) == ([501, 505], 10, True)
    assert (row["probe_every"], row["notify"]["kind"]) == (timedelta(minutes=1), "webhook")
    run("edit", "report", *shlex.split("--disable-after none --notify none --no-retry-on none --no-half-open"))
    row = jobs.find(db, "report")
    assert (row["disable_after"], row["notify"], row["no_retry_on"], row["half_open"]) == (None, None, [], False)
    run("edit", "report", "--cron", "@daily")
    assert jobs.find(db, "report")["every_mode"] == "fixed_rate"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--no-retry-on", "abc"), "--no-retry-on"),
        (("--no-retry-on", "99"), "write 501,505, or none"),
        (("--disable-after", "many"), "--disable-after: 'many' is not a number"),
        (("--fixed-delay",), "there is no every"),
        (("--notify", '{"kind": "smoke signal"}'), "unknown kind 'smoke signal'"),
    ],
)
def test_wrong_options_for_failures_are_refused(refused: Refused, words: tuple[str, ...], said: str) -> None:
    """What cannot be meant is refused in words that say what to write."""
    assert said in refused("add", "a", "ping", "--set", URL, *words)


def test_add_says_the_id_and_when_it_fires(run: Run, db: DictConnection) -> None:
    """The id and the next fires come back, as lines for people and as JSON with ISO 8601 and seconds."""
    result = run("add", "minutely", "ping", "--cron", "* * * * *", "--set", URL)
    row = jobs.find(db, "minutely")
    assert f"job {row['id']} (minutely)" in result.stdout
    assert "next (UTC): " in result.stdout
    assert "within seconds" in result.stderr
    made = document(run("add", "slow", "ping", "--every", "1h30m", "--set", URL, "--json"))
    assert (made["name"], made["every"], made["dag_id"]) == ("slow", 5400.0, f"job_{made['id']}")
    fires = [datetime.fromisoformat(text) for text in made["next"]]
    assert fires[0].tzinfo is not None
    assert fires[1] - fires[0] == timedelta(seconds=5400)


def test_the_audit_names_the_command_line(run: Run, db: DictConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who changed a row, and by what means, is written down."""
    monkeypatch.setattr("getpass.getuser", lambda: "ada lovelace")
    run("add", "a", "ping", "--set", URL)
    assert db.execute("select actor, via from audit").fetchall() == [{"actor": "ada lovelace", "via": "cli"}]


def test_a_payload_comes_from_a_file_or_a_pipe(run: Run, db: DictConnection, tmp_path: Path) -> None:
    """`--payload-file` reads a file, or with `-` standard input; `--set` adds to it."""
    file = tmp_path / "payload.json"
    file.write_text('{"url": "http://127.0.0.1:9/"}')
    run("add", "a", "ping", "--payload-file", str(file), "--set", "expect_status=204")
    assert jobs.find(db, "a")["payload"] == {"url": "http://127.0.0.1:9/", "expect_status": 204}
    run("add", "b", "ping", "--payload-file", "-", input=file.read_text())
    assert jobs.find(db, "b")["payload"] == {"url": "http://127.0.0.1:9/"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["a", "pong", "--set", URL], "unknown kind 'pong'; did you mean 'ping'?"),
        (["a", "ping"], "url: Field required"),
        (["a", "ping", "--set", "ulr=http://h/"], "ulr: Extra inputs are not permitted"),
        (["a", "ping", "--set", URL, "--cron", "99 * * * *"], "the minute cannot be '99'"),
        (["a", "ping", "--set", URL, "--every", "1s", "--run-at", "+1h"], "--every and --run-at are given together"),
        (["a", "ping", "--set", URL, "--every", "0.5s"], "write 1 second at least"),
        (["a", "ping", "--set", URL, "--timezone", "Berlin"], "Europe/Berlin"),
        (["a", "ping", "--set", URL, "--run-at", "2026-01-01", "--timezone", "Mars"], "Mars"),
        (["a", "ping", "--set", URL, "--run-at", "2020-01-01"], "--run-at: not in the future; write a time to come"),
        (["a", "ping", "--set", URL, "--starts-at", "2026-01-02", "--ends-at", "2026-01-01"], "write a later ends_at"),
        (["a", "ping", "--payload", "[1]"], "--payload is not a JSON object"),
        (["a", "ping", "--payload", "{"], "--payload is not JSON"),
        (["a", "ping", "--payload", "{}", "--payload-file", "-"], "keep one of them"),
        (["a", "ping", "--payload-file", "/nowhere/x"], "/nowhere/x cannot be read: No such file"),
        (["a", "ping", "--set", URL, "--retries", "101"], "retries: write 0 to 100"),
        (["a", "ping", "--set", URL, "--retry-backoff", "nan"], "invalid input syntax"),
        (["a", "ping", "--set", URL, "--set", 'expect_body="\\u0000"'], "unsupported Unicode escape sequence"),
        ([" a ", "ping", "--set", URL], "name: write 1 to 200 characters"),
        (["42", "ping", "--set", URL], "would be read as an id"),
    ],
)
def test_a_bad_job_is_refused_before_there_is_a_row(
    refused: Refused, db: DictConnection, words: list[str], says: str
) -> None:
    """Whatever is wrong with a new job, the message says so, and no row is left behind."""
    assert says in refused("add", *words)
    assert db.execute("select count(*) as jobs from job").fetchone() == {"jobs": 0}


def test_a_name_is_given_once(run: Run, refused: Refused) -> None:
    """A second job of the same name is refused, with what to do instead."""
    run("add", "a", "ping", "--set", URL)
    assert "a job with this name already" in refused("add", "a", "ping", "--set", URL)


def test_wrong_usage_has_exit_code_2(environment: None) -> None:
    """What is not an option, or not one of its choices, is wrong usage and not an error of a row."""
    for words in (["list", "--nonsense"], ["add", "a", "ping", "--overlap", "maybe"], ["add", "a"]):
        assert CliRunner().invoke(app, words).exit_code == 2


@pytest.mark.parametrize(
    "command", ["add", "list", "show", "edit", "pause", "resume", "run", "rm", "executions", "next"]
)
def test_every_command_shows_an_example(command: str) -> None:
    """`--help` of each command has a line to copy."""
    help_text = CliRunner().invoke(app, [command, "--help"]).output
    assert f"Example: `./millrace jobs {command} " in " ".join(help_text.split())


# edit


def test_edit_changes_what_is_given_and_nothing_else(run: Run, db: DictConnection) -> None:
    """Every column that was not named is as before, the schedule's revision included."""
    run(
        "add",
        "a",
        "ping",
        "--every",
        "1h",
        "--set",
        URL,
        "--set",
        "expect_status=200",
        "--jitter",
        "1h",
        "--retries",
        "7",
    )
    before = jobs.find(db, "a")
    run("edit", "a", "--set", "expect_status=[200,204]", "--timeout", "5s")
    after = jobs.find(db, "a")
    assert after["payload"] == {"url": "http://127.0.0.1:9/", "expect_status": [200, 204]}
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"payload", "timeout", "revision", "updated_at"}
    assert db.execute("select bool_and(changes_dag) as dag from audit where operation = 'update'").fetchone() == {
        "dag": True  # the time-out is in it
    }
    run("edit", "a", "--unset", "expect_status")
    assert jobs.find(db, "a")["payload"] == {"url": "http://127.0.0.1:9/"}
    assert db.execute("select changes_dag from audit order by id desc limit 1").fetchone() == {"changes_dag": False}


def test_a_schedule_is_replaced_as_a_whole(run: Run, db: DictConnection) -> None:
    """Whatever schedule a job had, afterwards it has the one that was given, or none with --no-schedule."""
    run("add", "a", "ping", "--every", "1h", "--set", URL, "--timezone", "Europe/Berlin")
    for words, expected in (
        (["--cron", "@daily"], ("@daily", None, None)),
        (["--run-at", "2030-07-01 09:00"], (None, None, datetime(2030, 7, 1, 7, tzinfo=timezone.utc))),
        (["--every", "1m30s"], (None, timedelta(seconds=90), None)),
        (["--no-schedule"], (None, None, None)),
    ):
        run("edit", "a", *words)
        row = jobs.find(db, "a")
        assert (row["cron"], row["every"], row["run_at"]) == expected
        assert row["timezone"] == "Europe/Berlin"


def test_edit_can_rename_replace_and_clear(run: Run, db: DictConnection) -> None:
    """A new name, a new kind with its whole payload, and limits in time that go away."""
    run("add", "a", "ping", "--every", "1h", "--set", URL, "--ends-at", "2030-01-01")
    words = ["--name", "b", "--kind", "webhook", "--payload", '{"url": "http://127.0.0.1:9/"}', "--ends-at", "none"]
    made = document(run("edit", "a", *words, "--json"))
    assert (made["name"], made["kind"], made["ends_at"]) == ("b", "webhook", None)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "nothing to change"),
        (["--kind", "webhook"], "expect_status: Extra inputs are not permitted"),
        (["--cron", "never"], "cron 'never'"),
        (["--no-schedule", "--every", "5s"], "keep one of them"),
        (["--name", "b"], "a job with this name already"),
        (["--name", "7"], "would be read as an id"),
        (["--timeout", "2d"], "timeout: write more than 0s, and at most 1d"),
    ],
)
def test_a_bad_edit_changes_nothing(
    run: Run, refused: Refused, db: DictConnection, words: list[str], says: str
) -> None:
    """An edit that would leave a job that cannot run is refused as a whole."""
    run("add", "a", "ping", "--every", "1h", "--set", URL, "--set", "expect_status=200")
    run("add", "b", "ping", "--set", URL)
    before = jobs.find(db, "a")
    assert says in refused("edit", "a", *words)
    assert jobs.find(db, "a") == before


def test_every_statement_about_jobs_has_a_sentence() -> None:
    """A statement says in words what it does before it does it."""
    for name, text in queries("jobs").items():
        assert text.startswith("-- "), f"jobs.sql: {name} has no sentence"
