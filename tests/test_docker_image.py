"""The Dockerfile: pinned, without root, with layers that cache, and with nothing in it that it does not name."""

from __future__ import annotations

import re

from include.local.home import PROJECT
from tests.compose_file import image_environment, instructions

INSTRUCTIONS = instructions()
LAST_STAGE = INSTRUCTIONS[max(number for number, (name, _) in enumerate(INSTRUCTIONS) if name == "FROM") :]


def test_every_stage_begins_with_the_same_pinned_slim_python() -> None:
    """With a Python that Millrace supports, and all parts of its version."""
    bases = {rest.split()[0] for name, rest in INSTRUCTIONS if name == "FROM"}
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.1[0-3]\.\d+-slim-bookworm", bases.pop())


def test_packages_are_those_of_the_lock() -> None:
    """By hash, and none of those that only checks need."""
    [install] = [rest for name, rest in INSTRUCTIONS if name == "RUN" and "pip install" in rest]
    assert {"--require-hashes", "--no-deps", "--only-binary"} <= set(install.split())
    copied = " ".join(rest for name, rest in INSTRUCTIONS if name == "COPY")
    assert "requirements.txt" in copied
    assert "dev" not in copied


def test_a_change_of_ours_installs_nothing_anew() -> None:
    """The lock is copied and installed before anything else comes from here."""
    steps = [rest for name, rest in INSTRUCTIONS if name in ("COPY", "RUN")]
    install = next(number for number, step in enumerate(steps) if "pip install" in step)
    before = " ".join(steps[:install])
    assert "requirements.txt" in before
    assert "include" not in before


def test_it_does_not_run_as_root_nor_may_it_change_itself() -> None:
    """The user is a number that Kubernetes can judge, the last one named; the code is not its own."""
    users = [rest for name, rest in LAST_STAGE if name == "USER"]
    assert users == ["50000:0"]
    assert [name for name, _ in LAST_STAGE[-2:]] == ["USER", "CMD"]
    assert not [rest for name, rest in LAST_STAGE if name == "COPY" and "--chown" in rest]


def test_the_code_is_where_the_image_says() -> None:
    """What is on Python's path, and what Airflow looks for, is copied there."""
    [home] = [rest for name, rest in LAST_STAGE if name == "WORKDIR"]
    copied = [rest.split()[0] for name, rest in LAST_STAGE if name == "COPY" and "--from" not in rest]
    assert sorted(copied) == ["config", "dags", "include", "plugins"]
    found = image_environment()
    assert found["PYTHONPATH"] == f"{home}:{home}/config"
    assert found["AIRFLOW__CORE__DAGS_FOLDER"] == f"{home}/dags"
    assert found["AIRFLOW__CORE__PLUGINS_FOLDER"] == f"{home}/plugins"


def test_only_what_the_image_needs_leaves_the_checkout() -> None:
    """All is ignored but what is copied, so that no .env, .git, .venv or home of a system can be in an image."""
    rules = [line for line in (PROJECT / ".dockerignore").read_text("utf-8").splitlines() if line[:1] not in ("", "#")]
    assert rules[0] == "*"
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = {rest.split()[0] for name, rest in INSTRUCTIONS if name == "COPY" and "--from" not in rest}
    assert allowed == copied
    assert "**/.env*" in rules[rules.index("!plugins") :]
