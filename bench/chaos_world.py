"""What `chaos` plays with: the rows that are put into the system, its receivers, and all that is known of them."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import psycopg
import requests

from bench.chaos_audit import AuditedJob, Line, Send, audit_jobs, audit_timers, none_of, parse_sends
from bench.chaos_load import DATABASE, SMTP, PlannedJob, planned
from bench.chaos_receiver import Receiver
from bench.chaos_records import AuditedWorkflow, audit_logs, audit_workflows
from bench.chaos_rows import ChaosRows
from bench.pulls import sizes_at
from bench.rows import NewConnector
from bench.source_process import Source
from bench.stage import Stage, utcnow
from include.cli.airflow_api import AirflowApi
from include.cli.millrace_api import MillraceApi
from include.errors import MillraceError
from include.model import Connector

_CONNECTORS = 2
_EVERY = timedelta(seconds=2)
_TIMERS_A_SECOND = 2
_BROKEN_TIMERS = 25  # one in so many
_ASK_AGAIN_SECONDS = 3.0
_PAGE = 200
_ONE_MINUTE = 60 * 1_000_000


class Armed(NamedTuple):
    """A row that has a shift on duty at all times."""

    id: int
    dag_id: str


class World:
    """One system, its work and its receivers."""

    def __init__(self, stage: Stage, receiver: Receiver, source: Source) -> None:
        self._stage = stage
        self._receiver = receiver
        self._source = source
        self._rows = ChaosRows(stage.stack.database_url)
        self._shell_file = stage.stack.folder / "shell-effects"
        self._jobs: dict[int, PlannedJob] = {}
        self._connectors: list[Connector] = []
        self._picky: dict[int, bool] = {}  # by workflow
        self._timers = 0
        self._audited: list[AuditedJob] = []
        self._are_paused = False

    @property
    def jobs(self) -> int:
        return len(self._jobs)

    def begin(self, start: datetime, load: datetime, end: datetime) -> None:
        """Insert everything."""
        self._rows.make_effects()
        self._shell_file.touch()
        self._connect()
        self._insert_records()
        url = self._receiver.http_url
        for job in planned(start, load, end, sink_url=url, shell_file=str(self._shell_file)):
            self._jobs[self._rows.insert_job(job.document)] = job
        count = int((end - load).total_seconds() * _TIMERS_A_SECOND)
        self._rows.insert_timers(url, count, first=load, gap=(end - load) / count, broken=_BROKEN_TIMERS)
        self._timers = count

    def _connect(self) -> None:
        """Have Airflow know the mail server and the database."""
        database = urlsplit(self._stage.stack.database_url)
        mail = '{"disable_ssl": true, "disable_tls": true, "from_email": "chaos@example.com"}'
        smtp = {"connection_id": SMTP, "conn_type": "smtp", "host": "127.0.0.1", "port": self._receiver.smtp_port}
        postgres = {
            "connection_id": DATABASE,
            "conn_type": "postgres",
            "host": database.hostname,
            "port": database.port,
            "login": database.username,
            "password": database.password,
            "schema": database.path.lstrip("/"),
        }
        with self._session() as session:
            api = MillraceApi(session, f"{self._stage.stack.run.url}/api/v2")
            api.ask("POST", "/connections", {**smtp, "extra": mail})
            api.ask("POST", "/connections", postgres)

    def _session(self) -> requests.Session:
        run = self._stage.stack.run
        session = requests.Session()
        session.trust_env = False  # a proxy has no part in what stays on this machine
        AirflowApi(session, run.url).log_in(run.user, run.password)
        return session

    def _insert_records(self) -> None:
        wishes = [NewConnector(f"feed {number}", self._config(number), _EVERY) for number in range(_CONNECTORS)]
        self._connectors = self._stage.rows.insert_connectors(wishes)
        for connector in self._connectors:
            for place in ("fine", "picky"):
                workflow = self._rows.insert_workflow(connector.id, f"{self._receiver.http_url}/{place}/workflow-")
                self._picky[workflow] = place == "picky"

    def _config(self, number: int) -> dict[str, object]:
        return {
            "base_url": f"{self._source.url}/",
            "path": f"feed/{number}",
            "data_selector": "items",
            "primary_key": "id",
            "paginator": {"type": "cursor", "cursor_path": "next", "cursor_param": "since"},
            "incremental": {"cursor_path": "id", "start_param": "since", "initial_value": 0},
        }

    def wait_until_armed(self, *, seconds: float) -> None:
        """Return when everything fast is on duty, and everything slow is known; what is due from then on is owed."""
        rows = self._stage.rows
        fast = [Armed(id, f"job_{id}") for id, job in self._jobs.items() if 0 < job.beat.every < _ONE_MINUTE]
        workflows = [Armed(id, f"workflow_{id}") for id in self._picky]
        dag_ids = [f"job_{id}" for id in self._jobs]
        self._stage.wait("DAGs", lambda: len(rows.dags(dag_ids)), len(dag_ids), seconds=seconds)
        self._stage.wait_until_armed(fast, seconds=seconds)
        self._stage.wait_until_armed(workflows, seconds=seconds)
        self._stage.wait_until_armed(self._connectors, seconds=seconds)
        owed_from = utcnow() + timedelta(seconds=1)
        self._audited = [job.audited(id, owed_from) for id, job in self._jobs.items()]

    def settle(self, *, seconds: float) -> list[Line]:
        """The audit, as soon as nothing is wrong any more, or when it is too late for that."""
        ended, deadline = time.time(), time.monotonic() + seconds
        sizes = sizes_at(self._source.asked(), ended)
        existing = {connector.id: sizes.get(connector.name.split()[-1], 0) for connector in self._connectors}
        told = ""
        while True:
            try:
                lines = self._audit(existing)
            except (MillraceError, psycopg.Error, OSError) as error:
                lines = [none_of("audits that broke off", [" ".join(str(error).split())])]
            wrong = [f"{line.what}: {len(line.breaches)}" for line in lines if line.breaches]
            if not wrong or time.monotonic() > deadline:
                return lines
            if told != (told := "; ".join(wrong)):
                self._stage.say(f"  {deadline - time.monotonic():4.0f} s left: {told}")
            time.sleep(_ASK_AGAIN_SECONDS)

    def _audit(self, existing: dict[int, int]) -> list[Line]:
        sends = self._sends()
        logs = audit_logs(self._stage.rows.log_facts(self._connectors, existing), existing)
        if not self._are_paused and not any(line.breaches for line in logs):
            self._rows.pause_connectors()
            self._are_paused = True
        timers = self._rows.timers()
        short = [f"{len(timers)} of {self._timers}"] if len(timers) != self._timers else []
        dead, listed = self._rows.dead(), self._listed()
        return [
            *audit_jobs(self._audited, self._rows.entries(self._jobs), sends),
            *audit_timers(timers, sends),
            none_of("timers that are gone", short),
            *logs,
            *audit_workflows(self._workflows(), sends),
            Line("dead letters that the API lists", dead, listed, [] if dead == listed else [f"{listed} of {dead}"]),
            *self._rows.orphans([f"job_{id}" for id in self._jobs]),
            none_of("components that are not well", self._stage.stack.unwell()),
        ]

    def _sends(self) -> list[Send]:
        shell = parse_sends(Path(self._shell_file).read_text())
        return [*self._receiver.sends(), *self._rows.effects(), *shell]

    def _workflows(self) -> list[AuditedWorkflow]:
        return [
            AuditedWorkflow(
                id=row["id"],
                connector_id=row["connector_id"],
                place=f"/{'picky' if self._picky[row['id']] else 'fine'}/workflow-{row['id']}",
                position=row["position"],
                head=row["head"],
                dead=frozenset(row["dead"]),
                picky=self._picky[row["id"]],
            )
            for row in self._rows.workflows()
        ]

    def _listed(self) -> int:
        """How many dead letters a person is shown."""
        listed, cursor = 0, None
        with self._session() as session:
            api = MillraceApi(session, f"{self._stage.stack.run.url}/millrace/api/v1")
            while True:
                asked = {"limit": _PAGE, **({"cursor": cursor} if cursor else {})}
                page = api.ask("GET", "/dead-letters", params=asked)
                listed += len(page["items"])
                if (cursor := page["next"]) is None:
                    return listed
