"""`./millrace export`: all rows as configuration files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from include.cli.configuration import Me, Token, Url, open_target


def export(
    file: Annotated[
        str, typer.Option("--file", "-f", metavar="FILE", help="Where to write it; default: standard output.")
    ] = "-",
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="OWNER", help="Only this owner's rows (again for more).")
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Instead, the JSON Schema of such files.")] = False,
    url: Url = None,
    token: Token = None,
    owner: Me = None,
) -> None:
    """Write all jobs, connectors, workflows and the like as YAML, for `./millrace apply`.

    The same rows are the same bytes. What is as by default is left out, and so is what happens by itself: cursors,
    watermarks, when a pause ends.

    Example: `./millrace export > millrace.yaml`
    """
    if schema:
        from include.documents.configuration.schema import schema as schema_of_files

        _write(file, json.dumps(schema_of_files(), indent=2) + "\n")
        return
    from include.documents.configuration.files import write_files

    with open_target(url, token, owner) as target:
        documents = target.export(only or ())
    _write(file, write_files(documents))


def _write(file: str, text: str) -> None:
    if file == "-":
        print(text, end="")
    else:
        Path(file).write_text(text, "utf-8", newline="\n")
