"""A configuration as it is sent: one document per owner, rows by their keys. In files it is the same, as YAML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from include.documents.configuration.sections import SECTIONS
from include.documents.fields import ActionKind, Document, ExternalId, JsonObject, Owner

VERSION = 1


def _entry_schema(section: str) -> WithJsonSchema:
    """What a row of a section may say: the settings of its table but for what its key and its document say."""
    [found] = [each for each in SECTIONS if each.name == section]
    schema = found.table.settings.model_json_schema()
    reads = "connector" in found.fields
    properties = {name: untitled(value) for name, value in schema["properties"].items() if name in found.fields}
    return WithJsonSchema(
        {
            "type": "object",
            "properties": properties,
            "required": [*(name for name in schema["required"] if name != "name"), *(["connector"] * reads)],
            "additionalProperties": False,
        }
    )


def untitled(schema: Any) -> Any:
    """The schema without the titles that pydantic makes of names."""
    if isinstance(schema, dict):
        return {name: untitled(value) for name, value in schema.items() if name != "title" or isinstance(value, dict)}
    return [untitled(value) for value in schema] if isinstance(schema, list) else schema


ConnectorEntry = Annotated[JsonObject, _entry_schema("connectors")]
JobEntry = Annotated[JsonObject, _entry_schema("jobs")]
WorkflowEntry = Annotated[JsonObject, _entry_schema("workflows")]


class Budget(Document):
    """A limit on requests that connectors share."""

    rate_limit: str = Field(
        pattern=r"^[1-9][0-9]{0,8}/(second|minute|hour|day)$",
        description="How many requests at most.",
        examples=["5000/hour"],
    )


class Notify(Document):
    """Whom to tell of jobs that do not say it themselves, and of timers; `on: []` tells nobody."""

    kind: ActionKind | None = Field(None, description="How.", examples=["slack"])
    payload: JsonObject = Field({}, description="The settings of its kind; texts in it are templates.")
    on: list[Literal["failure", "recovery", "missed", "warning", "disabled"]] = Field(
        ["failure", "recovery", "warning", "disabled"], description="Of what."
    )
    after: int = Field(1, ge=1, le=9_999_999, description="Of failures after so many in a row.")


class Configuration(Document):
    """What one owner has, as it is to be; each row under a key that stays the same, whatever its name becomes."""

    version: Literal[1] = Field(description="The version of this format.")
    owner: Owner | None = Field(None, description="Whose it is; left out: whoever applies it.")
    budgets: dict[ExternalId, Budget] | None = Field(
        None, description="Limits that connectors share, by name; for admins."
    )
    notify: dict[Owner, Notify] = Field({}, description="Whom to tell where jobs do not say, by owner.")
    connectors: dict[ExternalId, ConnectorEntry] = Field({}, description="Where records come from, by key.")
    jobs: dict[ExternalId, JobEntry] = Field({}, description="What is done, and when, by key.")
    workflows: dict[ExternalId, WorkflowEntry] = Field(
        {},
        description="What is done with each record of a `connector`, by key. It names one by its key in documents of "
        "the same owner, or else by its name; with `connector_owner`, one of somebody else.",
    )


def owners_of(documents: Sequence[Configuration], me: str) -> list[str]:
    """Whose rows the documents are about."""
    return sorted({document.owner or me for document in documents})
