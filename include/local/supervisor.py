"""What owns a running system: brings it up, starts again whatever ends, takes it all down."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timezone

from include.errors import ConfigError, MillraceError
from include.local.attention import Attention
from include.local.components import Supervised, airflow_components, demo_component, redis_component
from include.local.database import NAME, Database
from include.local.demo_rows import demo_port, load_demo, wants_demo
from include.local.environment import Site, component_environment
from include.local.health import health, unwell
from include.local.home import Home
from include.local.keys import Keys
from include.local.patience import Patience
from include.local.ports import announce, is_free, next_free_port
from include.local.postgres import Postgres
from include.local.prepare import check_server, make_admin, migrate_airflow, migrate_millrace
from include.local.processes import Identity, end, keep_log_small, last_line
from include.local.redis import Redis
from include.local.run import Component, Run, Wishes
from include.local.signs import gives_signs, states
from include.local.users import ADMIN, check_users, write_passwords
from include.settings import settings_of

DEFAULT_PORT = 8080
BROKER_URL = "AIRFLOW__CELERY__BROKER_URL"
_HEALTHY_SECONDS = 300
_GRACE_SECONDS = 15
_TURN_SECONDS = 1.0
_LOGS_SECONDS = 60.0
_SIGNS_SECONDS = 15.0
_TOO_OFTEN = 3

Report = Callable[[str, float | None], None]  # what is done, and how many seconds it took


class Supervisor:
    """One system in one home. Whoever makes it must hold the home's lock."""

    def __init__(self, home: Home, wishes: Wishes, attention: Attention, report: Report) -> None:
        self._home = home
        self._wishes = wishes
        self._attention = attention
        self._report = report
        self._postgres: Postgres | None = None
        self._components: list[Supervised] = []
        self._run: Run | None = None
        self._patience = Patience()
        self._database_due = 0.0

    def bring_up(self) -> None:
        """Return when everything is healthy; raise `MillraceError` or `Stopped` if that is not to be."""
        self._clear_remains()
        site = self._site()
        with self._step("PostgreSQL"):
            site = replace(site, database=self._database())
        self._note(database_url=site.database.url)
        with self._step("Airflow's tables"):
            migrate_airflow(site, component_environment(site), self._attention.raise_if_stopped)
            make_admin(site, component_environment(site), self._attention.raise_if_stopped)
        with self._step("Millrace's tables"):
            migrate_millrace(site.database.url)
        site = self._with_demo(self._with_broker(site))
        began = datetime.now(timezone.utc)
        components = airflow_components(site, component_environment(site), self._wishes)
        with self._step(", ".join(component.name for component in components)):
            self._components += components
            self._wait_until(lambda: self._unwell(site, began))
        self._note(ready=True)

    def watch(self) -> None:
        """Keep everything running until it is time to stop."""
        logs_due = signs_due = time.monotonic()
        while not self._attention.stop:
            if not self._home.run_file.exists():
                _log(f"{self._home.path} was removed; stopping")
                return
            self._tend()
            if time.monotonic() > signs_due:
                signs_due = time.monotonic() + _SIGNS_SECONDS
                self._end_who_hangs()
            if time.monotonic() > logs_due:
                logs_due += _LOGS_SECONDS
                for component in self._components:
                    keep_log_small(component.log_file)
            self._attention.wait(_TURN_SECONDS)

    def take_down(self) -> None:
        """Leave nothing running."""
        end([c.identity for c in self._components if c.identity], grace_seconds=_GRACE_SECONDS)
        if self._postgres is not None:
            self._postgres.stop()
        self._home.run_file.unlink(missing_ok=True)

    # -- coming up ----------------------------------------------------------------------------------------------------

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self._attention.raise_if_stopped()
        began = time.monotonic()
        yield
        self._report(name, time.monotonic() - began)

    def _clear_remains(self) -> None:
        """A supervisor that was killed could not end its components; they must not live beside the new ones."""
        before = Run.of(self._home)
        if before is not None:
            end([component.identity for component in before.components.values()], grace_seconds=_GRACE_SECONDS)

    def _site(self) -> Site:
        keys = Keys.of(self._home)
        site = Site(self._home, Database(""), keys, self._wishes.port or DEFAULT_PORT, demo=False)
        settings_of({"MILLRACE_DATABASE_URL": "of this machine", **os.environ})  # before anything takes its time
        check_users(os.environ, site.host)
        write_passwords(self._home, os.environ, keys.password)
        if self._wishes.port is None:
            site = replace(site, port=next_free_port(DEFAULT_PORT, site.host))
        elif not is_free(site.port, site.host) or not announce(site.port):
            raise ConfigError(f"port {site.port} is taken; choose another with --port")
        me = Identity.of(os.getpid())
        assert me is not None  # noqa: S101 - we are alive
        self._run = Run(me, site.url, ADMIN, keys.password, "", demo=False)
        self._run.write(self._home)
        return site

    def _database(self) -> Database:
        given = os.environ.get("DATABASE_URL")
        if given:
            database = Database.parse(given)
            check_server(database.url)
            return database
        self._postgres = Postgres(self._home.postgres)
        self._postgres.start()
        self._postgres.create_database(NAME)
        place = self._postgres.data_dir
        if place != self._home.postgres:
            self._report(f"PostgreSQL's user cannot reach {self._home.path}, so the data is in {place}", None)
        return Database(self._postgres.url(NAME))

    def _with_broker(self, site: Site) -> Site:
        if self._wishes.executor != "celery":
            return site
        given = os.environ.get(BROKER_URL)
        if given:
            return replace(site, broker_url=given)
        redis = Redis(self._home)
        with self._step("Redis"):
            self._components.append(redis_component(site, redis.prepare(), component_environment(site)))
            self._wait_until(lambda: [] if redis.answers() else ["redis"])
        return replace(site, broker_url=redis.url)

    def _with_demo(self, site: Site) -> Site:
        if not self._wishes.demo or not wants_demo(site.database.url):
            return site
        with self._step("Demo"):
            site = replace(site, demo=True)
            port = demo_port(self._home)
            self._components.append(demo_component(site, port, component_environment(site)))
            self._tend()
            load_demo(site.database.url, port)
        self._note(demo=True)
        return site

    def _unwell(self, site: Site, began: datetime) -> list[str]:
        """What is not up yet; of several schedulers or triggerers, Airflow itself tells of one."""
        if ill := unwell(health(site.url, since=began)):
            return ill
        found = states(site.database.url, self._records())
        return [name for name, state in found.items() if gives_signs(name) and state != "healthy"]

    def _wait_until(self, unwell_now: Callable[[], list[str]]) -> None:
        """Wait until nothing is unwell; raise `MillraceError` if that takes too long, or something does not last."""
        deadline = time.monotonic() + _HEALTHY_SECONDS
        self._tend()
        while ill := unwell_now():
            self._attention.raise_if_stopped()
            self._tend()
            for component in self._components:
                if component.failures >= _TOO_OFTEN:
                    said = last_line(component.log_file)
                    raise MillraceError(f"{component.name} ends as soon as it starts: {said} ({component.log_file})")
            if time.monotonic() > deadline:
                raise MillraceError(f"not healthy after {_HEALTHY_SECONDS} s: {', '.join(ill)} ({self._home.logs})")
            self._attention.wait(0.3)

    # -- staying up ---------------------------------------------------------------------------------------------------

    def _tend(self) -> None:
        """Start what does not run. Without a database nothing else could start either."""
        if self._postgres is not None and not self._postgres.is_running():
            if time.monotonic() < self._database_due:
                return
            _log("PostgreSQL ended; starting it again")
            try:
                self._postgres.start(self._postgres.port)
            except MillraceError as error:
                _log(str(error))
                self._database_due = time.monotonic() + _TURN_SECONDS  # trying wakes us, and so would have no pause
                return
        changed = False
        for component in self._components:
            if component.tend():
                changed = True
                if component.restarts:
                    _log(f"{component.name} ended with {component.exit_code}; restart {component.restarts}")
        if changed:
            self._note(components=self._records())

    def _records(self) -> dict[str, Component]:
        records = {component.name: component.record() for component in self._components}
        return {name: record for name, record in records.items() if record}

    def _end_who_hangs(self) -> None:
        assert self._run is not None  # noqa: S101 - it is up
        exhausted = self._patience.exhausted(states(self._run.database_url, self._records()), time.monotonic())
        for component in self._components:
            if component.name in exhausted:
                _log(f"{component.name} lives, and has said nothing for minutes; ending it")
                component.kill()

    def _note(self, **facts: object) -> None:
        assert self._run is not None  # noqa: S101 - _site() comes first
        self._run = replace(self._run, **facts)  # type: ignore[arg-type]
        with suppress(OSError):  # a full disk is no reason to let the system down
            self._run.write(self._home)


def _log(line: str) -> None:
    print(datetime.now(timezone.utc).isoformat(timespec="seconds"), line, file=sys.stderr, flush=True)
