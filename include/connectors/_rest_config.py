"""The settings of a `rest` connector: one endpoint, in the words and with the defaults of dlt's `rest_api`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, JsonValue, model_validator

from include import model
from include.connectors._auth import Auth
from include.connectors._paths import JsonPath
from include.connectors._rest_actions import ResponseAction
from include.connectors._rest_fields import CursorValue, Headers, Name, Param, Url
from include.connectors._rest_incremental import Incremental
from include.connectors._rest_pages import Auto, Paginator, SinglePage
from include.connectors._rest_placeholders import filled, filled_path, used
from include.connectors._rest_request import Request, join, same_origin
from include.egress import parse_url


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Keys = Annotated[
    list[JsonPath],
    Field(min_length=1, max_length=20),
    BeforeValidator(_listed, json_schema_input_type=str | list[str]),
]


class Config(model.Config):
    # `json` is taken by pydantic, so the field has another name in Python; rows and the schema say `json`.
    model_config = ConfigDict(serialize_by_alias=True, hide_input_in_errors=True)

    base_url: Url = Field(description="Where the API is, such as https://api.example.com/v1.")
    path: str = Field(default="", max_length=2048, description="The endpoint, below base_url.")
    method: Annotated[Literal["GET", "POST"], BeforeValidator(_upper)] = "GET"
    params: dict[str, Param] = Field(default_factory=dict, description="Query parameters; null leaves one out.")
    headers: Headers = Field(default_factory=dict, description="Headers, but none that are secret.")
    json_body: dict[str, JsonValue] | None = Field(default=None, alias="json", description="A body to send as JSON.")
    data_selector: JsonPath | None = Field(default=None, description="Where in the reply the records are.")
    primary_key: Keys | None = Field(
        default=None, description="What tells one record from another: a field or several. Without: its content."
    )
    paginator: Paginator = Field(default=Auto(type="auto"), description="How the source gives page after page.")
    incremental: Incremental | None = None
    response_actions: list[ResponseAction] = Field(
        default_factory=list, max_length=50, description="What to do about certain replies; the first that applies."
    )
    conn_id: Name | None = Field(default=None, description="The Airflow connection that holds login and password.")
    auth: Auth | None = Field(
        default=None, description="How to use the connection. Without: http_basic if it has a login, else bearer."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if self.auth is not None and self.conn_id is None:
            raise ValueError("write conn_id: the Airflow connection that holds what auth needs")
        for where, value in self._templates():
            self._check_placeholders(where, value)
        self._check_url()
        return self

    @property
    def one_record(self) -> bool:
        """Whether the path ends with a placeholder: then the reply is one record, as in dlt, unless told otherwise."""
        return any(used(self.path.rstrip("/").rpartition("/")[2]))

    @property
    def known_paginator(self) -> Any:
        """The paginator, or None if it is to be found out."""
        if self.one_record and "paginator" not in self.model_fields_set:
            return SinglePage(type="single_page")
        return None if isinstance(self.paginator, Auto) else self.paginator

    def request(self, start: CursorValue | None) -> tuple[Request, dict[str, str]]:
        """The request for the first page, and its headers, of a pull that begins with `start`."""
        incremental, params = self.incremental, dict(self.params)
        values: dict[str, Any] = {}
        path = self.path
        if incremental is not None:
            values = {
                "incremental.start_value": start,
                "incremental.last_value": start,
                "incremental.initial_value": incremental.initial_value,
                "incremental.end_value": incremental.end_value,
            }
        params = filled(params, values)
        if incremental is not None and incremental.start_param is not None:
            params[incremental.start_param] = start
        if incremental is not None and incremental.end_param is not None:
            params[incremental.end_param] = incremental.end_value
        headers = {name: str(value) for name, value in filled(self.headers, values).items() if value is not None}
        url = join(self.base_url, filled_path(path, values))
        return Request(url, params, filled(self.json_body, values)), headers

    def _templates(self) -> list[tuple[str, Any]]:
        return [("path", self.path), ("params", self.params), ("headers", self.headers), ("json", self.json_body)]

    def _check_placeholders(self, where: str, value: Any) -> None:
        try:
            placeholders = list(used(value))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        if placeholders and self.incremental is None:
            raise ValueError(f"{where}: write incremental too, where there is a placeholder")
        for name, whole in placeholders:
            setting = "end_value" if name == "incremental.end_value" else "initial_value"
            if (where == "path" or not whole) and getattr(self.incremental, setting) is None:
                raise ValueError(f"{where}: write incremental.{setting} too; without it there is no {name} at first")

    def _check_url(self) -> None:
        if self.path and ("?" in self.base_url or "#" in self.base_url):
            raise ValueError("base_url: write the query in params")
        values = dict.fromkeys((name for name, _ in used(self.path)), "x")
        try:
            url = parse_url(join(self.base_url, filled_path(self.path, values)))
        except ValueError as error:
            raise ValueError(f"path: {error}") from None
        if not same_origin(url, parse_url(self.base_url)):
            raise ValueError("path: write a path below base_url, and the other host in base_url")
