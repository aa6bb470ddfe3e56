"""Whether Airflow is well, as its API server tells it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from urllib.request import ProxyHandler, build_opener

_PATH = "/api/v2/monitor/health"
_PARTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")

# The machine's proxy settings are not meant for loopback.
_opener = build_opener(ProxyHandler({}))


def health(url: str, *, since: datetime | None = None, timeout_seconds: float = 5.0) -> dict[str, str]:
    """The state of each part: `healthy`, or in a word what is wrong; all are `unknown` while nobody answers.

    A sign of life from before `since` does not count: it was the predecessor's.
    """
    try:
        with _opener.open(url + _PATH, timeout=timeout_seconds) as reply:
            answer = json.load(reply)
    except (OSError, ValueError):
        return dict.fromkeys(_PARTS, "unknown")
    return {part: _state(part, answer.get(part) or {}, since) for part in _PARTS}


def unwell(states: dict[str, str]) -> list[str]:
    return [part.replace("_", " ") for part, state in states.items() if state != "healthy"]


def _state(part: str, answer: dict[str, Any], since: datetime | None) -> str:
    heartbeat = answer.get(f"latest_{part}_heartbeat")
    if since is not None and heartbeat and datetime.fromisoformat(heartbeat) < since:
        return "starting"
    return answer.get("status") or "unknown"
