"""docs/security.md names tests for what it says, and they are there."""

from __future__ import annotations

import re

import pytest

from include.local.home import PROJECT

PAGE = (PROJECT / "docs" / "security.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`(test_\w+\.py)(?:::(test_\w+))?`", PAGE)))


@pytest.mark.parametrize(("file", "test"), NAMED, ids=["::".join(filter(None, named)) for named in NAMED])
def test_what_the_page_names_exists(file: str, test: str) -> None:
    """The file, and in it the test, by exactly this name."""
    text = (PROJECT / "tests" / file).read_text("utf-8")
    assert re.search(rf"^(async )?def {test}\(", text, re.MULTILINE) if test else "def test_" in text


def test_every_promise_has_a_test() -> None:
    """Each line of a table says in its last column by which test it is shown."""
    lines = [line for line in PAGE.splitlines() if line.startswith("|")]
    promises = [line for line in lines if not re.match(r"\| ?-|\|-", line) and "| shown by |" not in line]
    assert len(promises) > 30
    for line in promises:
        assert re.search(r"`test_\w+\.py(::test_\w+)?`", line.rstrip("|").rpartition("|")[2]), line
