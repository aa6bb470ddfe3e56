"""The document of the API (OpenAPI 3.1), at /api/v1/openapi.json.

FastAPI makes it of the routes; what it cannot know is added here: how callers log in, and what an error looks like.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from include.api.login import CallerDep
from include.api.problem import Problem, problems
from include.api.route import api_router

router = api_router(tags=["about"])

VERSION = "1.0"  # of the API: it grows, and nothing in it changes its meaning
DESCRIPTION = """\
Everything that a row can express, by a program. Log in with a token of Airflow (`POST /auth/token`), sent as
`Authorization: Bearer …`. Rows belong to whoever created them; rows of others are answered as rows that do not exist.

Every error is a problem document (RFC 9457) whose `detail` says what is wrong and how to mend it. Instants are ISO 8601
in UTC, durations are seconds. Lists are read page by page: pass `next` on as `cursor`. A POST with an `Idempotency-Key`
happens once; `If-Match` with the `ETag` of a row guards against lost updates.
"""
_OPEN = ("/hooks/", "/health", "/metrics")
_SCHEMES = {
    "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "From `POST /auth/token`."},
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "_token",
        "description": "Of Airflow's web UI; changes come from its own pages only.",
    },
}
# What parameters mean that are the same wherever they are.
_PARAMETERS = {
    "accept": "OpenMetrics, if it is asked for; else Prometheus' text format.",
    "address": "The id of a connector; or its name, which means the one that has had it for longest.",
    "authorization": "`Bearer` and the token of `MILLRACE_METRICS_TOKEN`, if that is set.",
    "conn_id": "Only of this connection.",
    "connector_id": "The id of a connector.",
    "external_id": "Only the row with this `external_id`.",
    "job_id": "The id of a job.",
    "kind": "Only of this kind.",
    "n": "How many.",
    "name": "Only rows with this name.",
    "operation": "Only what was done so.",
    "source": "What it was: a job's execution, a timer, or a workflow's record.",
    "state": "Only rows in this state.",
    "status": "Only those with this status.",
    "timer_id": "The id of a timer.",
    "workflow_id": "The id of a workflow.",
}


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the app."""
    made = app.openapi()
    components = made.setdefault("components", {})
    components["securitySchemes"] = _SCHEMES
    components.setdefault("schemas", {})["Problem"] = _schema_of_problem()
    made["security"] = [{"token": []}, {"cookie": []}]
    for operation in (operation for operations in made["paths"].values() for operation in operations.values()):
        for parameter in operation.get("parameters", []):
            known = parameter["schema"].get("description", _PARAMETERS.get(parameter["name"]))
            parameter.setdefault("description", known)
    for path, operations in made["paths"].items():
        if path.startswith(_OPEN):
            for operation in operations.values():
                operation["security"] = []
    return made


def _schema_of_problem() -> dict[str, Any]:
    schema = Problem.model_json_schema()
    for inner in schema.pop("$defs", {}).values():
        schema["properties"]["errors"]["anyOf"][0]["items"] = inner
    return schema


@router.get("/openapi.json", response_model=None, responses=problems())
def openapi(request: Request, _: CallerDep) -> JSONResponse:
    """This document."""
    return JSONResponse(document(request.app))
