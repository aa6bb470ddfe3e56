"""Files become documents: several are one configuration, and what is wrong is said with its file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.documents.configuration.files import read_files
from include.errors import ConfigError

JOB = "kind: ping, payload: {url: 'https://example.com/'}"


def write(folder: Path, **files: str) -> str:
    for name, text in files.items():
        file = folder / name.replace("__", "/")
        file = file.with_name(file.name.replace("_", "."))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return str(folder)


def test_all_files_below_a_directory_are_one_configuration(tmp_path: Path) -> None:
    """Files of the three endings are read, in the order of their names; what is hidden, or no configuration, is not."""
    folder = write(
        tmp_path,
        b_yaml=f"version: 1\njobs:\n  b: {{{JOB}}}\n",
        a_json='{"version": 1, "jobs": {"a": {"kind": "ping"}}}',
        sub__c_yml=f"version: 1\nowner: alice\njobs:\n  a: {{{JOB}}}\n---\nversion: 1\njobs:\n  c: {{{JOB}}}\n",
        _hidden_yaml="nonsense",
        notes_txt="nonsense",
    )
    mine, hers = read_files([folder], {}).documents
    assert list(mine["jobs"]) == ["a", "b", "c"]
    assert (hers["owner"], list(hers["jobs"])) == ("alice", ["a"])


def test_a_key_that_is_there_twice_is_said_with_both_places(tmp_path: Path) -> None:
    """The same key of the same owner in two files is an error; of another owner, or in another section, it is none."""
    first = f"version: 1\njobs:\n  x: {{{JOB}}}\n"
    folder = write(tmp_path, a_yaml=first, b_yaml="version: 1\nowner: bob\njobs:\n  x: {}\nconnectors:\n  x: {}\n")
    assert len(read_files([folder], {}).documents) == 2
    write(tmp_path, c_yaml=f"version: 1\nconnectors: {{}}\n\njobs:\n  x: {{{JOB}}}\n")
    with pytest.raises(ConfigError) as caught:
        read_files([folder], {})
    assert str(caught.value) == f"{folder}/c.yaml:5: jobs.x is at {folder}/a.yaml:3 already"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version: 1\njob: {}\n", ":2: there is no 'job'; did you mean 'jobs'?"),
        ("version: 2\n", ":1: write version: 1"),
        ("version: true\n", ":1: write version: 1"),
        ("jobs: {}\n", ":1: write version: 1"),
        ("version: 1\njobs: []\n", ":2: jobs: write a mapping"),
        ("version: 1\nowner: 5\n", ":2: owner: write a name"),
        ("- 1\n", ":1: write a mapping"),
        ("", "there is no configuration"),
        ("# nothing\n---\n", "there is no configuration"),
    ],
)
def test_what_is_no_configuration_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    """A misspelt section, another version, or no mapping at all is an error with a line, before anything is sent."""
    write(tmp_path, a_yaml=text)
    with pytest.raises(ConfigError) as caught:
        read_files([str(tmp_path / "a.yaml")], {})
    assert said in str(caught.value)


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    """A file that is not there, no text, or a directory without any, is an error of one line."""
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_files([str(tmp_path / "a.yaml")], {})
    with pytest.raises(ConfigError, match="there are no files"):
        read_files([str(tmp_path)], {})
    (tmp_path / "a.yaml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_files([str(tmp_path)], {})


def test_errors_about_documents_are_told_as_errors_about_lines(tmp_path: Path) -> None:
    """The place that the system names becomes the file and the line where it is written, as closely as it can be."""
    folder = write(tmp_path, a_yaml="version: 1\njobs:\n  a.b:\n    kind: ping\n    every: soon\n")
    files = read_files([folder], {})
    assert files.locate("documents.0.jobs.a.b.every: no duration") == f"{folder}/a.yaml:5: jobs.a.b.every: no duration"
    assert files.locate("body.documents.0.jobs.a.b.x: none") == f"{folder}/a.yaml:3: jobs.a.b.x: none"
    assert files.locate("there is no database: none") == "there is no database: none"
    assert files.locate_at("documents.0", "none") == f"{folder}/a.yaml:1: none"
    assert files.locate_at("", "none") == "none"


def test_keys_may_hold_whatever_separates_places(tmp_path: Path) -> None:
    """A colon, a dot or a blank in a key leads to no other line than its own; inner fields have lines as well."""
    text = "version: 1\njobs:\n  'a: b.c':\n    payload:\n      body: {title: x,\n             id: y}\n  a: {}\n"
    files = read_files([write(tmp_path, a_yaml=text)], {})
    for place, line in (("", 3), (".every", 3), (".payload", 4), (".payload.url", 4), (".payload.body.id", 6)):
        whole = f"documents.0.jobs.a: b.c{place}"
        expected = f"{tmp_path}/a.yaml:{line}: jobs.a: b.c{place}: none: at all"
        assert files.locate(f"{whole}: none: at all") == files.locate_at(whole, "none: at all") == expected
