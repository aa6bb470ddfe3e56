"""Who may log in to a system of `./millrace up`: users in a setting, their passwords in a file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from include.cli.system import status
from include.errors import ConfigError
from include.local.database import Database
from include.local.environment import Site, component_environment
from include.local.home import Home
from include.local.keys import Keys
from include.local.processes import Child
from include.local.users import USERS, are_in_fab, check_users, passwords, write_passwords

ALL_ADMINS = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    made.make()
    return made


@pytest.mark.parametrize(
    ("given", "users"),
    [
        ("", "admin:admin"),
        ("alice:user", "admin:admin,alice:user"),
        (" bob:viewer , alice:Op", "admin:admin,bob:viewer , alice:Op"),
        ("alice:user,admin:viewer", "alice:user,admin:viewer"),
        ("alice:user:red|blue", "admin:admin,alice:user:red|blue"),
    ],
)
def test_an_operator_may_have_more_users(home: Home, given: str, users: str) -> None:
    """The setting is Airflow's own; `admin`, as whom ./millrace logs in, is added where nobody has that name."""
    site = Site(home, Database("postgresql://a:b@c/d"), Keys.of(home), 8080, demo=False)
    assert component_environment(site, inherited={USERS: given})[USERS] == users


@pytest.mark.parametrize(
    ("auth_manager", "fab"),
    [
        (None, False),
        ("airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager", False),
        ("include.orchestration.auth_fab.MillraceFabAuthManager", True),
        ("airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager", True),
    ],
)
def test_an_operator_chooses_the_auth_manager(home: Home, auth_manager: str | None, fab: bool) -> None:
    """Ours by itself, ours over FAB, or one of Airflow's own; `up` makes an admin in FAB's tables for either FAB."""
    site = Site(home, Database("postgresql://a:b@c/d"), Keys.of(home), 8080, demo=False)
    name = "AIRFLOW__CORE__AUTH_MANAGER"
    environment = component_environment(site, inherited={} if auth_manager is None else {name: auth_manager})
    assert environment[name] == (auth_manager or "include.orchestration.auth_simple.MillraceSimpleAuthManager")
    assert are_in_fab(environment) == fab


@pytest.mark.parametrize("users", ["alice", "alice:boss", ":user", "alice:user,alice:op", "alice:user;bob:op"])
def test_a_setting_that_cannot_be_read_is_refused(users: str) -> None:
    """Airflow would take any word for a role, and fail when its user comes."""
    with pytest.raises(ConfigError, match=USERS):
        check_users({USERS: users}, "127.0.0.1")


def test_everybody_gets_a_password_that_stays(home: Home) -> None:
    """None is left for Airflow to make up; who is no longer in the setting has none; only its owner reads the file."""
    keys = Keys.of(home)
    write_passwords(home, {USERS: "alice:user,bob:viewer"}, keys.password)
    first = passwords(home)
    assert first.keys() == {"admin", "alice", "bob"}
    assert first["admin"] == keys.password
    assert len(set(first.values())) == 3
    write_passwords(home, {USERS: "alice:op"}, keys.password)
    assert passwords(home) == {"admin": keys.password, "alice": first["alice"]}
    assert stat.S_IMODE(home.passwords_file.stat().st_mode) == 0o600


def test_looking_at_the_keys_takes_no_password_away(home: Home) -> None:
    """A command that knows nothing of the setting leaves the other users as they are."""
    write_passwords(home, {USERS: "alice:user"}, Keys.of(home).password)
    before = passwords(home)
    Keys.of(home)
    assert passwords(home) == before


def test_a_password_file_that_was_broken_is_not_replaced(home: Home) -> None:
    """Its users would be locked out without a word."""
    home.passwords_file.write_text("{")
    with pytest.raises(ConfigError, match=r"passwords\.json is not JSON"):
        Keys.of(home)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_on_the_loopback_everybody_may_be_an_admin(host: str) -> None:
    """Nobody else can reach it."""
    check_users({ALL_ADMINS: "True"}, host)


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.0.2.1", "example.com"])  # noqa: S104 - not bound to
def test_elsewhere_not_everybody_may_be_an_admin(host: str) -> None:
    """Whoever reaches the host would be one."""
    check_users({ALL_ADMINS: "False"}, host)
    for yes in ("True", "1", "t", "yes"):
        with pytest.raises(ConfigError, match="have AIRFLOW__API__HOST be a loopback address"):
            check_users({ALL_ADMINS: yes}, host)


def test_the_status_says_where_passwords_are_but_not_those_of_others(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator finds the file; the passwords of others are not shown in passing."""
    facts = {"url": "http://h", "user": "admin", "password": "p", "database_url": "postgresql://h/d", "components": {}}
    monkeypatch.setenv("MILLRACE_HOME", str(home.path))
    monkeypatch.setattr("include.local.system.status", lambda _: facts)
    status()
    assert "passwords of" not in capsys.readouterr().out
    write_passwords(home, {USERS: "alice:user,bob:op"}, Keys.of(home).password)
    status()
    shown = capsys.readouterr().out
    assert f"passwords of alice, bob: {home.passwords_file}" in shown
    assert passwords(home)["alice"] not in shown


def test_a_process_can_be_told_a_secret(tmp_path: Path) -> None:
    """What it is told comes by its standard input, and not in its arguments, which everybody can read."""
    child = Child(
        ["sh", "-c", "read a; read b; echo $a $b; cat"],
        log_file=tmp_path / "log",
        environment=dict(os.environ),
        directory=tmp_path,
        told="one\ntwo\n",
    )
    while child.exit_code() is None:
        pass
    assert (tmp_path / "log").read_text() == "one two\n"
