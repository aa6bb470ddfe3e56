"""Configurations in files: `version: 1`, an `owner` or none, and rows by key; several files are one configuration.

What is wrong is said with the file and the line; no key is there twice, in whichever files.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from include.documents.configuration.document import VERSION, Configuration
from include.documents.configuration.references import Environment, escape
from include.documents.configuration.yaml_read import Keys, Parsed, read_yaml
from include.documents.configuration.yaml_write import write_yaml
from include.errors import ConfigError

_ENDINGS = (".yaml", ".yml", ".json")
_SECTIONS = tuple(name for name in Configuration.model_fields if name not in ("version", "owner"))


@dataclass
class Files:
    """What files say: `documents`, one per owner, and where each part of them is written."""

    documents: list[dict[str, Any]] = field(default_factory=list)
    _lines: dict[str, str] = field(default_factory=dict)

    def locate(self, said: str) -> str:
        """An error about `documents.0.jobs.x` as one about a file and its line; others as they are."""
        whole = said.removeprefix("body.")
        ends = [found.start() for found in re.finditer(": ", whole)]
        # A key may have a colon in it: the place is the longest that is known.
        place = max((whole[:end] for end in ends), key=lambda place: len(self._known(place)), default="")
        if not self._known(place):
            return said
        return self.locate_at(place, whole[len(place) + 2 :])

    def locate_at(self, place: str, said: str) -> str:
        """What is wrong at a place of the documents, such as `documents.0.jobs.x.every`, with the file and the line."""
        place = place.removeprefix("body.")
        known = self._known(place)
        if not known:
            return f"{place}: {said}" if place else said
        _, _, inner = place.removeprefix("documents.").partition(".")
        return f"{self._lines[known]}: {inner}: {said}" if inner else f"{self._lines[known]}: {said}"

    def _known(self, place: str) -> str:
        """As much of the place as has a line; nothing if it is none in documents."""
        while place and place not in self._lines:
            place = place.rpartition(".")[0]
        return place

    def add(self, file: str, parsed: Parsed) -> None:
        """Take one document up; `ConfigError` if it is none, or says again what another one has said."""
        value = _checked(file, parsed)
        number = self._number(value.get("owner"))
        document, place = self.documents[number], f"documents.{number}"
        self._lines.setdefault(place, f"{file}:{parsed.line}")
        for section in value.keys() & set(_SECTIONS):
            known = document.setdefault(section, {})
            for key, entry in value[section].items():
                line = f"{file}:{parsed.lines.get((section, key), parsed.line)}"
                if key in known:
                    raise ConfigError(
                        f"{line}: {section}.{key} is at {self._lines[f'{place}.{section}.{key}']} already"
                    )
                known[key] = entry
                self._lines[f"{place}.{section}.{key}"] = line
        for path, line_number in parsed.lines.items():
            self._lines.setdefault(".".join((place, *path)), f"{file}:{line_number}")

    def _number(self, owner: Any) -> int:
        for number, document in enumerate(self.documents):
            if document.get("owner") == owner:
                return number
        self.documents.append({"version": VERSION} if owner is None else {"version": VERSION, "owner": owner})
        return len(self.documents) - 1


def read_files(paths: Sequence[str], variables: Mapping[str, str]) -> Files:
    """The files, those below directories, and standard input (`-`), with `variables` in place of references.

    `ConfigError` names all variables that are missing.
    """
    files, environment = Files(), Environment(variables)
    for path in paths:
        for file, text in _texts(path):
            for parsed in read_yaml(text, file):
                value = environment.resolve(parsed.value, partial(_place, file, parsed))
                files.add(file, Parsed(value, parsed.line, parsed.lines))
    if environment.unclear:
        raise ConfigError(
            f"{environment.unclear[0]}: ${{ is followed by no name and }}; write $${{ for the text itself"
        )
    if environment.missing:
        named = ", ".join(f"{name} ({place})" for name, place in sorted(environment.missing.items()))
        raise ConfigError(f"the environment lacks variables that the files name: {named}")
    if not files.documents:
        raise ConfigError(f"{', '.join(paths)}: there is no configuration; write version: 1, and rows below it")
    return files


def write_files(documents: Sequence[Mapping[str, Any]]) -> str:
    """Documents as one file of YAML, which `read_files` reads back exactly."""
    return "---\n".join(write_yaml(escape(dict(document))) for document in documents)


def _texts(path: str) -> Iterator[tuple[str, str]]:
    """Files by name, with what is in them; those of a directory in the order of their names, hidden ones left out."""
    if path == "-":
        yield "standard input", _text("standard input", sys.stdin.buffer.read)
        return
    found = [Path(path)]
    if found[0].is_dir():
        found = sorted(
            Path(folder) / name
            for folder, folders, names in os.walk(path)
            for name in _seen(names, folders)
            if name.endswith(_ENDINGS)
        )
        if not found:
            raise ConfigError(f"{path}: there are no files {', '.join('*' + ending for ending in _ENDINGS)} below it")
    for file in found:
        yield str(file), _text(str(file), file.read_bytes)


def _text(file: str, read: Callable[[], bytes]) -> str:
    try:
        return read().decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8 text") from error
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error


def _seen(names: list[str], folders: list[str]) -> list[str]:
    folders[:] = [folder for folder in folders if not folder.startswith(".")]
    return [name for name in names if not name.startswith(".")]


def _place(file: str, parsed: Parsed, keys: Keys) -> str:
    """The line of what the keys lead to, as closely as it is known."""
    while keys and keys not in parsed.lines:
        keys = keys[:-1]
    return f"{file}:{parsed.lines[keys] if keys else parsed.line}"


def _checked(file: str, parsed: Parsed) -> dict[str, Any]:
    """The document, if it is a mapping of what there is."""
    value = parsed.value
    if not isinstance(value, dict):
        raise ConfigError(f"{file}:{parsed.line}: write a mapping: version: 1, and below it jobs and the like")
    for name in value:
        line = f"{file}:{parsed.lines[name,]}"
        if name not in Configuration.model_fields:
            close = difflib.get_close_matches(name, Configuration.model_fields, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(Configuration.model_fields)}"
            raise ConfigError(f"{line}: there is no {name!r}; {hint}")
        if name in _SECTIONS and value[name] is not None and not isinstance(value[name], dict):
            raise ConfigError(f"{line}: {name}: write a mapping, each row under its key")
        if name == "owner" and not (isinstance(value[name], str) and value[name]):
            raise ConfigError(f"{line}: owner: write a name, or leave it out")
    if value.get("version") != VERSION or isinstance(value["version"], bool):
        raise ConfigError(f"{file}:{parsed.line}: write version: {VERSION}, so that it is clear what this is")
    return {name: {} if name in _SECTIONS and inner is None else inner for name, inner in value.items()}
