"""Who may use each route of the API, with a request that is good in everything but the right to send it.

`{job_id}` and the like stand for rows of somebody, in paths, queries and bodies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

# open: anybody, without a login. look: whoever may read. write: whoever may write. admin: admins.
Access = Literal["open", "look", "write", "admin"]

_JOB = {"name": "{another}", "kind": "ping", "payload": {"url": "https://example.com/"}}
_CONNECTOR = {"name": "{another}", "kind": "rest", "config": {"base_url": "http://127.0.0.1:9", "path": "/a"}}
_WORKFLOW = {**_JOB, "connector": "{connector}", "every": "1h"}
_TIMER = {"url": "https://example.com/", "hours": 1}
_LETTERS = {"ids": [{"source": "job", "id": "{letter_id}"}]}
_CONFIGURATION = {"documents": [{"version": 1, "jobs": {"a": _JOB}}]}
_PREDECESSORS_JOB = {
    "name": "{another}",
    "cronExpression": "0 9 * * *",
    "taskPayload": {"type": "API_CALL", "config": {"url": "https://example.com/", "method": "GET"}},
}


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may use a route; what to send.

    `starts_run`: it asks Airflow for a run, which only a real system has. `answer`: why, although one may, it does not
    happen: the connector is in use, the workflow is at the beginning, the preview goes where no call may go.
    """

    access: Access
    body: Any = None
    query: str = ""
    form: dict[str, str] | None = None
    starts_run: bool = False
    answer: int | None = None


TABLE: dict[str, Rule] = {
    "GET /health": Rule("open"),
    "GET /health/live": Rule("open"),
    "GET /metrics": Rule("open"),
    "POST /hooks/{address:path}": Rule("open"),
    "GET /api/v1/openapi.json": Rule("look"),
    "GET /api/v1/me": Rule("look"),
    "GET /api/v1/jobs": Rule("look"),
    "POST /api/v1/jobs": Rule("write", _JOB),
    "POST /api/v1/jobs/validate": Rule("write", _JOB),
    "POST /api/v1/jobs/schedule": Rule("look", {"cron": "0 3 * * *"}),
    "POST /api/v1/jobs/trial": Rule("write", {"kind": "ping", "payload": {"url": "http://127.0.0.1:9/"}}),
    "GET /api/v1/jobs/trials/{trial_id}": Rule("look"),
    "POST /api/v1/jobs/bulk": Rule("write", {"jobs": [_JOB]}),
    "POST /api/v1/jobs/bulk-pause": Rule("write", {"ids": ["{job_id}"]}),
    "POST /api/v1/jobs/bulk-resume": Rule("write", {"ids": ["{job_id}"]}),
    "POST /api/v1/jobs/bulk-delete": Rule("write", {"ids": ["{job_id}"]}),
    "GET /api/v1/jobs/{job_id}": Rule("look"),
    "PUT /api/v1/jobs/{job_id}": Rule("write", _JOB),
    "PATCH /api/v1/jobs/{job_id}": Rule("write", {"retries": 1}),
    "DELETE /api/v1/jobs/{job_id}": Rule("write"),
    "POST /api/v1/jobs/{job_id}/pause": Rule("write"),
    "POST /api/v1/jobs/{job_id}/resume": Rule("write"),
    "POST /api/v1/jobs/{job_id}/run": Rule("write", starts_run=True),
    "GET /api/v1/jobs/{job_id}/next": Rule("look"),
    "GET /api/v1/jobs/{job_id}/why": Rule("look"),
    "GET /api/v1/executions": Rule("look"),
    "GET /api/v1/jobs/{job_id}/executions": Rule("look"),
    "GET /api/v1/jobs/{job_id}/executions/{due}": Rule("look"),
    "POST /api/v1/jobs/{job_id}/executions/{due}/redrive": Rule("write"),
    "POST /api/v1/jobs/{job_id}/executions/{due}/discard": Rule("write"),
    "GET /api/v1/connectors": Rule("look"),
    "POST /api/v1/connectors": Rule("write", _CONNECTOR),
    "POST /api/v1/connectors/preview": Rule("write", _CONNECTOR, answer=422),
    "GET /api/v1/connectors/{connector_id}": Rule("look"),
    "PUT /api/v1/connectors/{connector_id}": Rule("write", _CONNECTOR),
    "PATCH /api/v1/connectors/{connector_id}": Rule("write", {"every": "2h"}),
    "DELETE /api/v1/connectors/{connector_id}": Rule("write", answer=409),
    "POST /api/v1/connectors/{connector_id}/pause": Rule("write"),
    "POST /api/v1/connectors/{connector_id}/resume": Rule("write"),
    "POST /api/v1/connectors/{connector_id}/rewind": Rule("write"),
    "POST /api/v1/connectors/{connector_id}/preview": Rule("write", answer=422),
    "POST /api/v1/connectors/{connector_id}/run": Rule("write", starts_run=True),
    "GET /api/v1/connectors/{connector_id}/records": Rule("look"),
    "GET /api/v1/connectors/{connector_id}/records/{position}": Rule("look"),
    "POST /api/v1/connectors/{connector_id}/records": Rule("write", [{"key": "k", "payload": 1}]),
    "GET /api/v1/workflows": Rule("look"),
    "GET /api/v1/workflows/lag": Rule("look"),
    "POST /api/v1/workflows": Rule("write", _WORKFLOW),
    "GET /api/v1/workflows/{workflow_id}": Rule("look"),
    "PUT /api/v1/workflows/{workflow_id}": Rule("write", _WORKFLOW),
    "PATCH /api/v1/workflows/{workflow_id}": Rule("write", {"retries": 1}),
    "DELETE /api/v1/workflows/{workflow_id}": Rule("write"),
    "POST /api/v1/workflows/{workflow_id}/pause": Rule("write"),
    "POST /api/v1/workflows/{workflow_id}/resume": Rule("write"),
    "POST /api/v1/workflows/{workflow_id}/run": Rule("write", starts_run=True),
    "GET /api/v1/workflows/{workflow_id}/lag": Rule("look"),
    "POST /api/v1/workflows/{workflow_id}/rewind": Rule("write", {"to": 0}, answer=409),
    "POST /api/v1/workflows/{workflow_id}/skip": Rule("write", {"to": "now"}),
    "POST /api/v1/workflows/{workflow_id}/retry": Rule("write"),
    "GET /api/v1/dead-letters": Rule("look"),
    "POST /api/v1/dead-letters/redrive": Rule("write", _LETTERS),
    "POST /api/v1/dead-letters/discard": Rule("write", _LETTERS),
    "GET /api/v1/dead-letters/{source}/{letter_id}": Rule("look"),
    "POST /api/v1/dead-letters/{source}/{letter_id}/redrive": Rule("write"),
    "POST /api/v1/dead-letters/{source}/{letter_id}/discard": Rule("write"),
    "GET /api/v1/timers": Rule("look"),
    "POST /api/v1/timers": Rule("write", _TIMER),
    "POST /api/v1/timers/bulk": Rule("write", {"timers": [_TIMER]}),
    "GET /api/v1/timers/{timer_id}": Rule("look"),
    "POST /api/v1/timers/{timer_id}/cancel": Rule("write"),
    "DELETE /api/v1/timers/{timer_id}": Rule("write"),
    "GET /api/v1/kinds": Rule("look"),
    "GET /api/v1/kinds/actions/{kind}": Rule("look"),
    "GET /api/v1/kinds/connectors/{kind}": Rule("look"),
    "GET /api/v1/audit": Rule("look"),
    "GET /api/v1/audit/{audit_id}": Rule("look"),
    "GET /api/v1/stats": Rule("look"),
    "GET /api/v1/warnings": Rule("look"),
    "GET /api/v1/config": Rule("look"),
    "GET /api/v1/config/schema": Rule("look"),
    "POST /api/v1/config/plan": Rule("write", _CONFIGURATION),
    "POST /api/v1/config/apply": Rule("write", _CONFIGURATION),
    "GET /api/v1/owners/{owner}/notify": Rule("look"),
    "PUT /api/v1/owners/{owner}/notify": Rule("write", {"on": []}),
    "DELETE /api/v1/owners/{owner}/notify": Rule("write"),
    "GET /api/v1/owners/{owner}": Rule("admin"),
    "PUT /api/v1/owners/{owner}/quota": Rule("admin", {"max_rows": 1}),
    "DELETE /api/v1/owners/{owner}/quota": Rule("admin"),
    "GET /api/v1/grants": Rule("admin"),
    "POST /api/v1/grants": Rule("admin", {"owner": "alice", "conn_id": "c"}),
    "DELETE /api/v1/grants/{grant_id}": Rule("admin"),
    "GET /api/v1/budgets": Rule("admin"),
    "GET /api/v1/budgets/{name}": Rule("admin"),
    "PUT /api/v1/budgets/{name}": Rule("admin", {"rate_limit": "5/second"}),
    "DELETE /api/v1/budgets/{name}": Rule("admin"),
    "POST /compat/timers": Rule("write", {"minutes": 5, "url": "https://example.com/"}),
    "GET /compat/timers/{timer_id}": Rule("look"),
    "GET /compat/api/v1/jobs": Rule("look", query="?jobId={job_id}"),
    "POST /compat/api/v1/jobs": Rule("write", _PREDECESSORS_JOB),
    "DELETE /compat/api/v1/jobs/{job_id}": Rule("write"),
    "POST /compat/api/create": Rule(
        "write", form={"hour": "9", "minute": "0", "type": "ping", "url": "https://example.com/"}
    ),
    "POST /compat/api/delete-job": Rule("write", query="?id={job_id}"),
    "GET /compat/api/machine-crons": Rule("look"),
}
