"""`./millrace jobs`: what people write becomes rows as they meant it, and what they read is so."""

from __future__ import annotations

import io
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from include.cli import jobs_run
from include.cli.database import open_database
from include.cli.jobs import app
from include.cli.output import print_table, status_cell
from include.cli.payload import assign
from include.cli.times import parse_duration, parse_instant, spell_duration
from include.errors import ConfigError, RetryableError
from include.settings import settings
from include.store import jobs
from include.store.db import DictConnection, queries

URL = "url=http://127.0.0.1:9/"
NOW = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=timezone.utc)
Run = Callable[..., Result]


@pytest.fixture
def environment(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The test's database in the environment, and no running system to be found."""
    monkeypatch.setenv("MILLRACE_DATABASE_URL", database_url)
    monkeypatch.setenv("MILLRACE_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture
def run(environment: None) -> Run:
    """Call `jobs` with these words; it must go well."""

    def call(*words: str, input: str | None = None) -> Result:
        result = CliRunner().invoke(app, words, input=input)
        assert result.exit_code == 0, (result.output, result.exception)
        return result

    return call


@pytest.fixture
def refused(environment: None) -> Callable[..., str]:
    """Call `jobs` with these words; it must end with exit code 1 and an error of ours, which is returned."""

    def call(*words: str, input: str | None = None) -> str:
        result = CliRunner().invoke(app, words, input=input)
        assert result.exit_code == 1
        assert isinstance(result.exception, ConfigError), (result.output, result.exception)
        return str(result.exception)

    return call


def document(result: Result) -> Any:
    return json.loads(result.stdout)


def add_execution(db: DictConnection, job_id: int, due: datetime, status: str = "success", **facts: Any) -> None:
    """A row of the ledger as a shift leaves it, with one attempt of 120 ms that began 80 ms late."""
    entry = {"attempt": 1, "at": due.isoformat(), "ms": 120.0, "code": 200, **facts}
    db.execute(
        "insert into execution (job_id, scheduled_for, status, attempt, attempts, started_at, finished_at, error,"
        " dag_run_id) values (%s, %s, %s, 1, %s::jsonb, %s, %s, %s, 'a_run')",
        (
            job_id,
            due,
            status,
            json.dumps([entry]),
            due + timedelta(milliseconds=80),
            due + timedelta(milliseconds=200),
            facts.get("error"),
        ),
    )


# What people write.


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5),
        ("90s", 90),
        ("1m30s", 90),
        ("1.5m", 90),
        ("5 min", 300),
        ("2h", 7200),
        ("1d", 86_400),
        ("1d 2h", 93_600),
        ("250ms", 0.25),
        ("00:05:00", 300),
        ("2 days 01:00:00.5", 176_400.5),
        ("0", 0),
        (" 10S ", 10),
    ],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    """Every form that the help names means what it says."""
    assert parse_duration(text, "--every").total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "5", "5 parsecs", "-5s", "1h-5m", "5s!", "00:61:00", "9" * 30 + "d", "٥s"])
def test_a_bad_duration_is_refused_under_its_option(text: str) -> None:
    """What is no duration is refused, and the option is named."""
    with pytest.raises(ConfigError, match=r"^--every: "):
        parse_duration(text, "--every")


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=36525)))
def test_durations_are_written_so_that_they_can_be_read(length: timedelta) -> None:
    """What a table shows can be given to an option, and means the same."""
    assert parse_duration(spell_duration(length), "--every") == length


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-07-01T09:00:00+02:00", "2026-07-01T07:00:00"),
        ("2026-07-01T09:00:00Z", "2026-07-01T09:00:00"),
        ("2026-07-01 09:00:00.25 -0530", "2026-07-01T14:30:00.250000"),
        ("2026-07-01 09:00", "2026-07-01T07:00:00"),
        ("2026-07-01", "2026-06-30T22:00:00"),
        ("2026-10-25 02:30", "2026-10-25T00:30:00"),
        ("+10m", "2026-03-01T12:10:01"),
    ],
)
def test_instants_are_read_on_the_clock_of_the_zone(text: str, instant: str) -> None:
    """An offset counts; without one it is the wall clock of the zone, the first pass of a repeated hour; `+` is from
    now, up to the next whole second, and so never early."""
    read = parse_instant(text, "--run-at", zone="Europe/Berlin", now=NOW)
    assert read.astimezone(timezone.utc).replace(tzinfo=None).isoformat() == instant


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tomorrow", "write 2026-07-01T09:00:00"),
        ("2026-02-30", "is not an instant"),
        ("2026-03-29 02:30", "the clocks of Europe/Berlin skip 2026-03-29 02:30:00"),
        ("+soon", "is not a duration"),
        ("1767225600", "is not an instant"),
        ("2026-07-01T09:00+99:00", "is not an instant"),
    ],
)
def test_a_bad_instant_is_refused_under_its_option(text: str, says: str) -> None:
    """What is no instant, or one that the zone's clock never shows, is refused, and the option is named."""
    with pytest.raises(ConfigError, match=r"^--run-at: ") as caught:
        parse_instant(text, "--run-at", zone="Europe/Berlin", now=NOW)
    assert says in str(caught.value)


def test_set_puts_values_where_the_dots_lead() -> None:
    """A value is JSON where it can be, else text; dots lead into objects; the original stays as it was."""
    before = {"json": {"a": 1}, "url": "x"}
    after = assign(before, ["url=http://h/?a=b", "json.b.c=[1]", "n=200", "t=true", "s=NaN", 'q="5"'], ["json.a"])
    assert after == {"json": {"b": {"c": [1]}}, "url": "http://h/?a=b", "n": 200, "t": True, "s": "NaN", "q": "5"}
    assert before == {"json": {"a": 1}, "url": "x"}


@pytest.mark.parametrize(
    ("set_", "unset", "says"),
    [
        (["url"], [], "write key=value"),
        (["=1"], [], "write key=value"),
        (["a..b=1"], [], "write key=value"),
        (["url.x=1"], [], "url is not an object"),
        ([], ["nothing"], "the payload has no such key"),
    ],
)
def test_a_bad_assignment_says_what_to_write(set_: list[str], unset: list[str], says: str) -> None:
    """An assignment that leads nowhere is refused, and quoted."""
    with pytest.raises(ConfigError, match=says):
        assign({"url": "x"}, set_, unset)


# add


def test_a_job_without_options_is_what_plain_sql_makes(run: Run, db: DictConnection) -> None:
    """The defaults of the command line are those of the table."""
    run("add", "by cli", "ping", "--set", URL)
    db.execute("""insert into job (name, kind, payload) values ('by sql', 'ping', '{"url": "http://127.0.0.1:9/"}')""")
    one, other = db.execute("select * from job order by id").fetchall()
    own = {"id", "name", "revision", "schedule_revision", "schedule_changed_at", "created_at", "updated_at"}
    assert {name for name in one if one[name] != other[name]} <= own
    columns = db.execute("select column_name from information_schema.columns where table_name = 'job'")
    settable = {str(row["column_name"]) for row in columns} - own - {"kind", "notify", "error"}
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
        (["a", "ping", "--set", URL, "--starts-at", "2026-01-02", "--ends-at", "2026-01-01"], "write a later ends_at"),
        (["a", "ping", "--payload", "[1]"], "--payload is not a JSON object"),
        (["a", "ping", "--payload", "{"], "--payload is not JSON"),
        (["a", "ping", "--payload", "{}", "--payload-file", "-"], "keep one of them"),
        (["a", "ping", "--payload-file", "/nowhere/x"], "/nowhere/x cannot be read: No such file"),
        (["a", "ping", "--set", URL, "--retries", "101"], "which says CHECK (((retries >= 0) AND (retries <= 100)))"),
        (["a", "ping", "--set", URL, "--retry-backoff", "nan"], "invalid input syntax"),
        (["a", "ping", "--set", URL, "--set", 'expect_body="\\u0000"'], "unsupported Unicode escape sequence"),
        ([" a ", "ping", "--set", URL], "job_name_check"),
        (["42", "ping", "--set", URL], "would be read as an id"),
    ],
)
def test_a_bad_job_is_refused_before_there_is_a_row(
    refused: Callable[..., str], db: DictConnection, words: list[str], says: str
) -> None:
    """Whatever is wrong with a new job, the message says so, and no row is left behind."""
    assert says in refused("add", *words)
    assert db.execute("select count(*) as jobs from job").fetchone() == {"jobs": 0}


def test_a_name_is_given_once(run: Run, refused: Callable[..., str]) -> None:
    """A second job of the same name is refused, with what to do instead."""
    run("add", "a", "ping", "--set", URL)
    assert "a job with this name exists already" in refused("add", "a", "ping", "--set", URL)


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


# edit, pause, resume, rm


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
        "1d",
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
        (["--name", "b"], "a job with this name exists already"),
        (["--name", "7"], "would be read as an id"),
        (["--timeout", "2d"], "job_timeout_check"),
    ],
)
def test_a_bad_edit_changes_nothing(
    run: Run, refused: Callable[..., str], db: DictConnection, words: list[str], says: str
) -> None:
    """An edit that would leave a job that cannot run is refused as a whole."""
    run("add", "a", "ping", "--every", "1h", "--set", URL, "--set", "expect_status=200")
    run("add", "b", "ping", "--set", URL)
    before = jobs.find(db, "a")
    assert says in refused("edit", "a", *words)
    assert jobs.find(db, "a") == before


def test_several_jobs_are_paused_and_resumed_or_none(run: Run, refused: Callable[..., str], db: DictConnection) -> None:
    """Names and ids may be mixed; if one of them is unknown, none changes."""
    for name in ("a", "b"):
        run("add", name, "ping", "--set", URL)
    b = jobs.find(db, "b")["id"]
    assert "did you mean" in refused("pause", "a", "bb")
    assert [jobs.find(db, name)["is_active"] for name in "ab"] == [True, True]
    run("pause", "a", str(b), "a")
    assert [jobs.find(db, name)["is_active"] for name in "ab"] == [False, False]
    run("pause", "b", "--until", "+2h")
    run("resume", "a", "b")
    assert [(jobs.find(db, n)["is_active"], jobs.find(db, n)["paused_until"]) for n in "ab"] == [(True, None)] * 2


def test_a_pause_with_an_end_leaves_the_job_active(run: Run, refused: Callable[..., str], db: DictConnection) -> None:
    """`--until` sets the instant at which the job is back by itself; it must lie ahead, and `next` knows it."""
    run("add", "a", "ping", "--every", "5s", "--set", URL)
    run("pause", "a", "--until", "+1h")
    row = jobs.find(db, "a")
    assert row["is_active"]
    assert timedelta(minutes=59) < row["paused_until"] - datetime.now(timezone.utc) <= timedelta(hours=1, seconds=1)
    [listed] = document(run("list", "--json"))
    assert listed["state"] == "paused"
    assert datetime.fromisoformat(listed["next"]) >= row["paused_until"]
    assert "is not in the future" in refused("pause", "a", "--until", "2020-01-01")


def test_rm_asks_or_is_told_yes(run: Run, refused: Callable[..., str], db: DictConnection) -> None:
    """Without a terminal nothing is removed unless --yes says so; the ledger keeps what happened."""
    run("add", "a", "ping", "--set", URL)
    job_id = jobs.find(db, "a")["id"]
    add_execution(db, job_id, datetime.now(timezone.utc))
    assert "say --yes" in refused("rm", "a")
    assert document(run("rm", "a", "--yes", "--json")) == [{"id": job_id, "name": "a"}]
    assert f"there is no job with id {job_id}" in refused("show", str(job_id))
    [left] = document(run("executions", str(job_id), "--json"))
    assert (left["job"], left["status"]) == (None, "success")


def test_an_unknown_job_is_answered_with_those_that_were_meant(run: Run, refused: Callable[..., str]) -> None:
    """A misspelt name gets the close ones; an id that nobody has, however long, gets the way to the list."""
    run("add", "nightly report", "ping", "--set", URL)
    assert refused("show", "nightly reprot").endswith("did you mean 'nightly report'?")
    assert "`./millrace jobs list`" in refused("show", "something else entirely")
    assert "there is no job with id" in refused("next", "9" * 40)


# list, show, executions, next


def test_list_shows_schedule_state_outcome_and_next_fire(run: Run, db: DictConnection) -> None:
    """One line per job, with its newest execution, and a null where there is nothing."""
    run("add", "a", "ping", "--cron", "0 0 1 1 *", "--set", URL)
    run("add", "b", "webhook", "--set", URL, "--owner", "ada", "--inactive")
    a, b = (jobs.find(db, name)["id"] for name in "ab")
    due = datetime.now(timezone.utc).replace(microsecond=0)
    add_execution(db, a, due - timedelta(minutes=1))
    add_execution(db, a, due, "failed", error="HTTP 500")
    one, other = document(run("list", "--json"))
    assert (one["id"], one["schedule"], one["state"]) == (a, "cron 0 0 1 1 * (UTC)", "active")
    assert one["last"] == {"scheduled_for": due.isoformat(), "status": "failed", "reason": None, "error": "HTTP 500"}
    assert one["next"].endswith("-01-01T00:00:00+00:00")
    assert (other["id"], other["state"], other["last"], other["next"]) == (b, "paused", None, None)
    header, first, second = run("list").stdout.splitlines()
    assert header.split()[:4] == ["id", "name", "kind", "schedule"]
    assert "failed" in first
    assert "by hand" in second


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["--kind", "webhook"], ["b"]),
        (["--owner", "ada"], ["b"]),
        (["--active"], ["a", "c"]),
        (["--paused"], ["b"]),
        (["--failing"], ["a", "c"]),
        (["--limit", "1"], ["a"]),
        (["--limit", "0"], ["a", "b", "c"]),
        (["--failing", "--owner", "ada"], []),
    ],
)
def test_list_filters(run: Run, db: DictConnection, words: list[str], names: list[str]) -> None:
    """Only the jobs that were asked for."""
    run("add", "a", "ping", "--set", URL)
    run("add", "b", "webhook", "--set", URL, "--owner", "ada", "--inactive")
    run("add", "c", "ping", "--set", URL)
    add_execution(db, jobs.find(db, "a")["id"], datetime.now(timezone.utc), "failed", error="HTTP 500")
    db.execute("update job set error = 'bad' where name = 'c'")
    result = run("list", *words, "--json")
    assert [job["name"] for job in document(result)] == names
    assert ("there are more" in result.stderr) == (words == ["--limit", "1"])


def test_a_list_of_many_is_cut_and_says_how_to_go_on(run: Run, db: DictConnection) -> None:
    """A page has 100 jobs unless told otherwise, nothing in it is cut off, and following the hint shows all once."""
    db.execute(
        "insert into job (name, kind, every) select rpad('job ' || n, 150, '.'), 'ping', '1 minute'"
        " from generate_series(1, 250) as n"
    )
    seen: list[int] = []
    after = "0"
    for size in (100, 100, 50):
        result = run("list", "--after", after)
        lines = result.stdout.splitlines()[1:]
        assert len(lines) == size
        assert all("." * 100 in line for line in lines)
        seen += [int(line.split()[0]) for line in lines]
        after = str(seen[-1])
        assert (f"--after {after}" in result.stderr) == (size == 100)
    assert seen == sorted(set(seen))
    assert len(seen) == 250


def test_list_asks_the_ledger_only_about_the_jobs_of_its_page(db: DictConnection) -> None:
    """However many jobs and executions there are, a page looks up the newest execution of its own jobs."""
    db.execute("insert into job (name, kind) select 'job ' || n, 'ping' from generate_series(1, 2000) as n")
    db.execute(
        "insert into execution (job_id, scheduled_for, status, finished_at) select j.id, now() - n * interval '1 hour',"
        " 'success', now() from job j, generate_series(1, 20) as n"
    )
    db.execute("analyze job, execution")
    wanted = {"kind": None, "owner": None, "paused": None, "failing": False, "after": 0, "limit": 101}
    explain = "explain (analyze, format json) " + queries("jobs")["list_jobs"]
    row = db.execute(explain.encode(), wanted).fetchone()
    assert row is not None
    plan: Any = row["QUERY PLAN"]

    def most_loops(node: dict[str, Any]) -> int:
        return max([node["Actual Loops"], *(most_loops(child) for child in node.get("Plans", []))])

    assert most_loops(plan[0]["Plan"]) <= 101


def test_show_tells_everything(run: Run, db: DictConnection) -> None:
    """Columns, payload, error, fires and executions of one job; JSON has every column by its name."""
    run(
        "add",
        "a",
        "ping",
        "--cron",
        "0 3 * * *",
        "--timezone",
        "Europe/Berlin",
        "--set",
        URL,
        "--ends-at",
        "2090-01-01",
    )
    row = jobs.find(db, "a")
    due = datetime.now(timezone.utc)
    for minutes in range(7):
        add_execution(db, row["id"], due - timedelta(minutes=minutes))
    db.execute("update job set error = 'its DAG is broken'")
    text = run("show", "a").stdout
    for part in (
        "a",
        "Europe/Berlin",
        '"url": "http://127.0.0.1:9/"',
        "its DAG is broken",
        "before 2089-12-31 23:00:00",
    ):
        assert part in text
    shown = document(run("show", str(row["id"]), "--json"))
    assert set(row) - {"schedule_revision", "schedule_changed_at"} <= set(shown)
    assert (shown["state"], shown["timeout"], shown["max_lateness"]) == ("ERROR", 30.0, 3600.0)
    assert (len(shown["next"]), len(shown["executions"])) == (5, 5)


def test_show_and_list_survive_a_row_that_makes_no_sense(run: Run, db: DictConnection) -> None:
    """A bad row that was written by SQL is shown with what is wrong, before anybody else has noticed."""
    db.execute("insert into job (name, kind, cron) values ('bad', 'nonsense', '0 0 30 2 *')")
    assert [job["next"] for job in document(run("list", "--json"))] == [None]
    shown = document(run("show", "bad", "--json"))
    assert shown["next"] == []
    assert shown["error"]
    assert "ERROR" in run("show", "bad").stdout


def test_executions_are_shown_newest_first_with_all_attempts(run: Run, db: DictConnection) -> None:
    """The table has one line per execution; JSON has the attempts, and lateness and duration in seconds."""
    for name in ("a", "b"):
        run("add", name, "ping", "--set", URL)
    a, b = (jobs.find(db, name)["id"] for name in "ab")
    now = datetime.now(timezone.utc)
    add_execution(db, a, now - timedelta(minutes=3))
    add_execution(db, b, now - timedelta(minutes=2), "failed", error="HTTP 500: oh", code=500)
    add_execution(db, a, now - timedelta(hours=2))
    found = document(run("executions", "--json"))
    assert [(row["job"], row["job_id"], row["status"]) for row in found] == [("b", b, "failed"), ("a", a, "success")]
    assert (found[0]["lateness"], found[0]["duration"], found[0]["code"]) == (0.08, 0.12, 500)
    assert [attempt["error"] for attempt in found[0]["attempts"]] == ["HTTP 500: oh"]
    header, line = run("executions", "b").stdout.splitlines()
    assert header.split()[0] == "job"
    assert "80" in line
    assert "0.12s" in line
    assert "HTTP 500: oh" in line


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["a"], 4),
        (["a", "--since", "1h"], 3),
        (["a", "--status", "failed"], 1),
        (["a", "-n", "2"], 2),
        (["a", "--since", "2020-01-01"], 4),
        (["--since", "1d"], 4),
        (["--since", "1d", "--status", "failed"], 1),
        (["--status", "missed"], 0),
        ([], 3),
    ],
)
def test_executions_are_chosen_by_job_status_and_time(
    run: Run, db: DictConnection, words: list[str], count: int
) -> None:
    """Of one job, all there are; of all jobs, those of the last hour, unless told otherwise."""
    run("add", "a", "ping", "--set", URL)
    a = jobs.find(db, "a")["id"]
    now = datetime.now(timezone.utc)
    for minutes, status in ((1, "success"), (2, "failed"), (3, "success"), (90, "success")):
        add_execution(db, a, now - timedelta(minutes=minutes), status)
    assert len(document(run("executions", *words, "--json"))) == count


def test_next_marks_what_the_clocks_do(run: Run, db: DictConnection) -> None:
    """Fires are shown in UTC and on the row's clock; those that a change of the clocks moved or doubled say so."""
    run("add", "a", "ping", "--cron", "30 2 * * *", "--timezone", "Europe/Berlin", "--set", URL, "--jitter", "1m")
    db.execute("update job set starts_at = '2031-03-29'")  # the night before the clocks go forward
    fires = document(run("next", "a", "-n", "3", "--json"))
    assert [fire["local"] for fire in fires] == [
        "2031-03-29T02:30:00+01:00",
        "2031-03-30T03:00:00+02:00",
        "2031-03-31T02:30:00+02:00",
    ]
    assert fires[0]["scheduled_for"] == "2031-03-29T01:30:00+00:00"
    assert [bool(fire["oddity"]) for fire in fires] == [False, True, False]
    for fire in fires:
        due, fires_at = (datetime.fromisoformat(fire[name]) for name in ("scheduled_for", "fires_at"))
        assert (fires_at - due).total_seconds() == pytest.approx(fire["jitter"])
        assert 0 <= fire["jitter"] < 60
    odd = fires[1]["oddity"]
    lines = run("next", "a", "-n", "3").stdout.splitlines()
    assert "Europe/Berlin" in lines[0]
    assert "2031-03-30 03:00:00 CEST" in lines[2]
    assert odd in lines[2]


def test_next_says_when_there_is_nothing_to_come(run: Run, db: DictConnection) -> None:
    """A job by hand, or one that is paused, says so instead of leaving people to wonder."""
    run("add", "hand", "ping", "--set", URL)
    assert "no further occurrences: by hand" in run("next", "hand").stderr
    run("add", "off", "ping", "--every", "1h", "--set", URL, "--inactive")
    result = run("next", "off", "-n", "2")
    assert len(result.stdout.splitlines()) == 3
    assert "is paused" in result.stderr


def test_next_of_a_bad_row_says_what_is_wrong(refused: Callable[..., str], db: DictConnection) -> None:
    """A schedule that cannot be read is an error with its reason, not an empty table."""
    db.execute("insert into job (name, kind, cron) values ('bad', 'ping', '99 * * * *')")
    assert "the minute cannot be '99'" in refused("next", "bad")


# run, with a server on the loopback in Airflow's place


class Airflow:
    """What `jobs run` needs of Airflow's API; `fire(due, conf)` stands for all that a run sets in motion."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.missing_dag = 0  # how often the DAG is not there yet
        self.state = "running"
        self.fire: Callable[[datetime, dict[str, Any]], None] = lambda due, conf: None

    def answer(self, method: str, path: str, token: str | None, body: Any) -> tuple[int, Any]:
        self.asked.append((method, path, body))
        if path == "/auth/token":
            known = body == {"username": "admin", "password": "secret"}
            return (201, {"access_token": "the token"}) if known else (401, {"detail": "Invalid credentials"})
        if token != "Bearer the token":
            return 401, {"detail": "not authenticated"}
        if method == "GET":
            return 200, {"state": self.state}
        if self.missing_dag:
            self.missing_dag -= 1
            return 404, {"detail": "Dag not found"}
        self.fire(datetime.fromisoformat(body["logical_date"]), body["conf"])
        return 200, {"dag_run_id": "manual__1", "state": "queued"}


@contextmanager
def listening(airflow: Airflow) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"null")
            status, answer = airflow.answer(self.command, self.path, self.headers.get("authorization"), body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def airflow(environment: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Airflow]:
    airflow = Airflow()
    monkeypatch.setattr(jobs_run, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(jobs_run, "_DAG_POLL_SECONDS", 0.01)
    with listening(airflow) as url:
        monkeypatch.setenv("MILLRACE_URL", url + "/")
        monkeypatch.setenv("MILLRACE_USER", "admin")
        monkeypatch.setenv("MILLRACE_PASSWORD", "secret")
        yield airflow


def test_run_triggers_the_dag_with_its_conf(run: Run, airflow: Airflow, db: DictConnection) -> None:
    """One run of the job's DAG, now, with the settings to override; its DAG may still be on its way."""
    run("add", "a", "ping", "--set", URL)
    job_id = jobs.find(db, "a")["id"]
    airflow.missing_dag = 2
    before = datetime.now(timezone.utc)
    result = run("run", "a", "--conf", '{"expect_status": 204}', "--json")
    method, path, body = airflow.asked[-1]
    assert (method, path) == ("POST", f"/api/v2/dags/job_{job_id}/dagRuns")
    assert body["conf"] == {"expect_status": 204}
    assert before <= datetime.fromisoformat(body["logical_date"]) <= datetime.now(timezone.utc)
    assert document(result) == {
        "job_id": job_id,
        "dag_run_id": "manual__1",
        "scheduled_for": body["logical_date"],
        "execution": None,
    }
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(("status", "code"), [("success", 0), ("failed", 1), ("skipped", 1)])
def test_run_waits_for_the_outcome(
    run: Run, airflow: Airflow, db: DictConnection, database_url: str, status: str, code: int
) -> None:
    """With --wait the execution is printed once it is final, and anything but success has exit code 1."""
    run("add", "a", "ping", "--set", URL)
    job_id = jobs.find(db, "a")["id"]
    airflow.fire = lambda due, conf: add_execution(db, job_id, due, status)
    result = CliRunner().invoke(app, ["run", "a", "--wait"])
    assert (result.exit_code, result.exception is None or isinstance(result.exception, SystemExit)) == (code, True)
    assert status in result.stdout
    result = CliRunner().invoke(app, ["run", str(job_id), "--wait", "--json"])
    assert document(result)["execution"]["status"] == status


def test_a_run_that_ends_without_an_execution_is_not_waited_for(run: Run, airflow: Airflow) -> None:
    """If Airflow ends the run and the ledger knows nothing of it, the command says so."""
    run("add", "a", "ping", "--set", URL)
    airflow.state = "failed"
    result = CliRunner().invoke(app, ["run", "a", "--wait"])
    assert result.exit_code == 1
    assert "ended in Airflow without an execution" in str(result.exception)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["a", "--conf", '{"ulr": "x"}'], "ulr: Extra inputs are not permitted"),
        (["a", "--conf", "5"], "--conf is not a JSON object"),
        (["off"], "`./millrace jobs resume"),
    ],
)
def test_a_run_that_cannot_work_is_not_started(
    run: Run, refused: Callable[..., str], airflow: Airflow, words: list[str], says: str
) -> None:
    """A conf that does not fit, or a paused job, is refused before Airflow hears of it."""
    run("add", "a", "ping", "--set", URL)
    run("add", "off", "ping", "--set", URL, "--inactive")
    assert says in refused("run", *words)
    assert airflow.asked == []


def test_run_says_what_is_wrong_with_the_way_to_airflow(
    run: Run, refused: Callable[..., str], airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong password, an address where nobody listens, and no system at all are told apart."""
    run("add", "a", "ping", "--set", URL)
    monkeypatch.setenv("MILLRACE_PASSWORD", "wrong")
    assert "check MILLRACE_USER and MILLRACE_PASSWORD" in refused("run", "a")
    monkeypatch.setenv("MILLRACE_URL", "http://127.0.0.1:9")
    result = CliRunner().invoke(app, ["run", "a"])
    assert isinstance(result.exception, RetryableError)
    assert "is the system up" in str(result.exception)
    monkeypatch.delenv("MILLRACE_URL")
    assert "the system is not up; start it with `./millrace up`" in refused("run", "a")


# Where the database is, and how things are printed.


def test_without_a_database_the_remedy_is_named(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No setting and no running system: the message says how to get either."""
    monkeypatch.delenv("MILLRACE_DATABASE_URL")
    assert "`./millrace up`, or set MILLRACE_DATABASE_URL" in refused("list")


def test_a_database_that_is_away_is_one_line(environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that cannot be reached is an error to try again later."""
    monkeypatch.setenv("MILLRACE_DATABASE_URL", "postgresql://nobody@127.0.0.1:9/nothing")
    settings.cache_clear()
    result = CliRunner().invoke(app, ["list"])
    assert isinstance(result.exception, RetryableError)


def test_a_database_that_goes_away_is_a_retryable_error(run: Run, db: DictConnection) -> None:
    """A connection that is cut in the middle of a command is reported as lost, in one line."""

    def cut_and_ask() -> None:
        with open_database() as mine:
            row = mine.execute("select pg_backend_pid() as pid").fetchone()
            assert row is not None
            db.execute("select pg_terminate_backend(%s)", (row["pid"],))
            mine.execute("select 1")

    with pytest.raises(RetryableError, match=r"^the database was lost: [^\n]+$"):
        cut_and_ask()


@pytest.mark.fresh_database
def test_a_database_without_our_tables_is_named(
    refused: Callable[..., str], db: DictConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty database gets the way to fill it, not an error of SQL."""
    db.execute("drop schema millrace cascade")
    assert "the database has no tables of Millrace" in refused("list")


def test_a_terminal_gets_colours_and_every_character(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a narrow terminal long names are folded and never cut; markup in a name is only text."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.delenv("NO_COLOR", raising=False)
    print_table(("name", "status"), [["n" * 60 + "[red]", status_cell("failed")]])
    text = screen.getvalue()
    assert text.count("n") >= 60
    assert "red" in text
    assert "\x1b[31m" in text


def test_a_name_cannot_steer_the_terminal(run: Run, db: DictConnection) -> None:
    """Control characters in what is shown are replaced, and every row stays one line."""
    db.execute("insert into job (name, kind) values (%s, 'ping')", ("a\x1b[2Jb\nc",))
    out = run("list").stdout
    assert "\x1b" not in out
    assert len(out.splitlines()) == 2


def test_every_statement_about_jobs_has_a_sentence() -> None:
    """A statement says in words what it does before it does it."""
    for name, text in queries("jobs").items():
        assert text.startswith("-- "), f"jobs.sql: {name} has no sentence"
