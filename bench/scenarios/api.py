"""The REST API and the dashboard with 10,000 jobs and 1,000,000 executions: pages, totals, and timers as fast as they
are answered."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any

import requests

from bench.requests_at_once import Answered, ask
from bench.result import Result
from bench.scenario import option
from bench.stage import Stage, report_usage, utcnow
from bench.usage import Meter


@dataclass(frozen=True)
class Options:
    jobs: int = option(10_000, "jobs")
    executions: int = option(1_000_000, "executions in the ledger")
    seconds: int = option(20, "seconds of timers created, and as many of timers asked for")
    clients: int = option(32, "clients at once")


SMALL = Options(jobs=200, executions=5_000, seconds=3, clients=8)

_API = "/millrace/api/v1"
_SCREENS = "/millrace/ui"
_SPAN = timedelta(days=7)
_TIMES = 30
# What is read one after another, with the longest that its p95 may take.
_READ = {
    "jobs_page": (f"{_API}/jobs?limit=50", 0.150),
    "jobs_by_name": (f"{_API}/jobs?limit=50&sort=-name", 0.150),
    "jobs_search": (f"{_API}/jobs?limit=50&search=hook/77", 0.150),
    "executions_page": (f"{_API}/executions?limit=50", 0.150),
    "stats": (f"{_API}/stats", 0.300),
    "metrics": ("/millrace/metrics", 0.300),
    "overview_screen": (f"{_SCREENS}/", 0.300),
    "overview_week_screen": (f"{_SCREENS}/?range=7d", 0.300),
    "jobs_screen": (f"{_SCREENS}/jobs", 0.300),
    "executions_screen": (f"{_SCREENS}/executions", 0.300),
}


def run(stage: Stage, options: Options) -> Result:
    result = Result("api")
    stage.say(f"{options.jobs} jobs, {options.executions} executions")
    stage.rows.insert_listed(options.jobs)
    stage.rows.insert_past(options.executions, _SPAN)
    try:
        _measure(stage, options, result)
    finally:
        stage.rows.delete_past()
    return result


def _measure(stage: Stage, options: Options, result: Result) -> None:
    token = _token(stage)
    url = stage.stack.run.url
    meter = Meter(lambda: stage.stack.run)
    for name, (path, most_seconds) in _READ.items():
        seen = ask(url, token, partial(_get, path), clients=1, times=_TIMES)
        _report(result, name, seen, 200)
        slowest = seen.took_at(0.95)
        result.aim(slowest <= most_seconds, f"{name}: p95 {slowest:.3f} s (at most {most_seconds} s)")
    meter.sample()
    made = _timers(stage, options, result, url, token)
    result.note(jobs=options.jobs, rate_per_s=made.rate_per_s)
    report_usage(result, meter.read())


def _timers(stage: Stage, options: Options, result: Result, url: str, token: str) -> Answered:
    """Create timers, and then ask for them."""
    numbers = count()
    new: Any = {"url": "http://127.0.0.1:9/timer", "hours": 1000}
    made = ask(
        url,
        token,
        lambda: ("POST", f"{_API}/timers", {**new, "external_id": f"{utcnow().timestamp()} {next(numbers)}"}),
        clients=options.clients,
        seconds=options.seconds,
    )
    _report(result, "timers_created", made, 201)
    stored = stage.rows.timers().get("pending", 0)
    result.demand(stored == made.statuses[201], f"{made.statuses[201]} timers were created, and {stored} are stored")
    result.aim(made.rate_per_s >= 300, f"{made.rate_per_s:.0f} timers created per second (at least 300)")
    ids = [json.loads(body)["id"] for body in made.bodies]
    draw = random.Random(0)
    asked = ask(
        url,
        token,
        lambda: _get(f"{_API}/timers/{draw.choice(ids)}"),
        clients=options.clients,
        seconds=options.seconds,
    )
    _report(result, "timers_asked", asked, 200)
    result.aim(asked.rate_per_s >= 500, f"{asked.rate_per_s:.0f} timers asked for per second (at least 500)")
    return made


def _get(path: str) -> tuple[str, str, None]:
    return "GET", path, None


def _report(result: Result, name: str, seen: Answered, status: int) -> None:
    result.extra |= {
        f"{name}_p50_s": round(seen.took_at(0.5), 4),
        f"{name}_p95_s": round(seen.took_at(0.95), 4),
        f"{name}_per_s": round(seen.rate_per_s, 1),
    }
    result.demand(set(seen.statuses) == {status}, f"{name}: answers by status {dict(seen.statuses)}")


def _token(stage: Stage) -> str:
    run = stage.stack.run
    with requests.Session() as session:
        session.trust_env = False
        login = {"username": run.user, "password": run.password}
        answer = session.post(f"{run.url}/auth/token", json=login, timeout=30)
        answer.raise_for_status()
        return str(answer.json()["access_token"])
