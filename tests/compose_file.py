"""docker-compose.yaml as Compose has it once its variables are filled in, and what a container finds around it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

import yaml

from include.local.environment import read_settings
from include.local.home import PROJECT

EXAMPLE = read_settings(PROJECT / ".env.example")
# As if somebody had filled it in: each secret is one that nothing else is.
FILLED = {name: value or f"secret0of0{name.lower()}" for name, value in EXAMPLE.items()}
RAW: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yaml").read_text("utf-8"))
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<how>:[-?])(?P<rest>[^{}]*))?\}")
_DOLLAR = "\0"  # stands for `$$`, which means a dollar


class MissingError(Exception):
    """A variable that must be set is not; the text is what the file says about it."""


def filled(value: Any, variables: Mapping[str, str]) -> Any:
    """The value with all `${NAME}`, `${NAME:-default}` and `${NAME:?message}` in it replaced, the innermost first."""
    if isinstance(value, dict):
        return {key: filled(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, variables) for each in value]
    if not isinstance(value, str):
        return value
    text, found = value.replace("$$", _DOLLAR), 1
    while found:
        text, found = _VARIABLE.subn(lambda match: _value(match, variables), text)
    assert "$" not in text, value
    return text.replace(_DOLLAR, "$")


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    given = variables.get(match["name"], "")
    if not given and match["how"] == ":?":
        raise MissingError(match["name"], match["rest"])
    return given or (match["rest"] if match["how"] == ":-" else "")


def compose(**variables: str) -> dict[str, Any]:
    """The whole file for a `.env` that is filled in, and has these variables as well."""
    whole: dict[str, Any] = filled(RAW, {**FILLED, **variables})
    return whole


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile, instruction by instruction."""
    text = (PROJECT / "Dockerfile").read_text("utf-8")
    lines = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    split = [line.partition(" ") for line in lines if line.strip()]
    return [(name, rest.strip()) for name, _, rest in split]


def image_environment() -> dict[str, str]:
    """What the image sets, but for the search path of commands."""
    pairs = [pair.partition("=") for name, rest in instructions() if name == "ENV" for pair in shlex.split(rest)]
    return {name: value for name, _, value in pairs if name != "PATH"}


def environment_of(service: Mapping[str, Any], **dotenv: str) -> dict[str, str]:
    """The environment of a service's process: its own settings over `.env` over config/airflow.env over the image's."""
    files = {"config/airflow.env": read_settings(), ".env": {**FILLED, **dotenv}}
    merged = image_environment()
    for name in service["env_file"]:
        merged |= files[name]
    return merged | service["environment"]
