"""An embedded PostgreSQL on loopback, driven through the binaries of a wheel: one directory of data, one server.

It listens on TCP and not on a Unix socket: every driver can use it, and no path is too long for it.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from include.errors import ConfigError, MillraceError
from include.local.account import Account, account_for, elsewhere
from include.local.files import write_private
from include.local.ports import LOOPBACK, free_port, is_free
from include.local.postgres_settings import DURABLE, FORGETFUL

SUPERUSER = "millrace"
_START_SECONDS = 300  # a server that recovers from a crash replays up to `max_wal_size`
_FAST_SECONDS = 30
_IMMEDIATE_SECONDS = 10


class Postgres:
    """The server of one data directory, which is made on first start. Port and password stay the same over restarts."""

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        self._wanted_dir = data_dir.absolute()
        self._settings = DURABLE if durable else FORGETFUL
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log_file(self) -> Path:
        """What the server says before it has a log of its own, and why it would not start."""
        return self._wanted_dir.with_name(self._wanted_dir.name + ".log")

    @property
    def data_dir(self) -> Path:
        """Where the data really is: elsewhere than asked for where root's server could not have reached it."""
        moved = elsewhere(self._wanted_dir) / "data"
        return moved if os.geteuid() == 0 and moved.exists() else self._wanted_dir

    def url(self, database: str) -> str:
        """The address of a database of this server, password included."""
        facts = self._facts()
        return f"postgresql://{SUPERUSER}:{facts['password']}@{LOOPBACK}:{facts['port']}/{database}"

    @property
    def port(self) -> int | None:
        """Where it listens, or listened last; None before the first start."""
        port: int | None = self._facts()["port"] if self._facts_file.exists() else None
        return port

    def is_running(self) -> bool:
        return self._postmaster() is not None

    def start(self, port: int | None = None) -> None:
        """Return when the server accepts connections. `port` None: the one of last time, or a free one."""
        if self.is_running():
            return
        try:
            account = account_for(self._wanted_dir)
            if not account.data_dir.exists():
                self._initialise(account)
            self._clear_remains(account.data_dir)
            self._start(account, port)
        except (OSError, subprocess.SubprocessError) as error:
            raise MillraceError(f"PostgreSQL: {error}") from error

    def stop(self) -> None:
        """Return when the server is down: by its own orderly stop, or, if that takes too long, by a harder one."""
        postmaster = self._postmaster()
        if postmaster is None:
            return
        for order, seconds in ((signal.SIGINT, _FAST_SECONDS), (signal.SIGQUIT, _IMMEDIATE_SECONDS)):
            with suppress(psutil.NoSuchProcess):
                postmaster.send_signal(order)
            if self._is_gone(seconds):
                return
        with suppress(psutil.NoSuchProcess):
            postmaster.kill()
        self._is_gone(_IMMEDIATE_SECONDS)
        _end_backends(self.data_dir)

    def create_database(self, name: str) -> None:
        """Make sure that the database exists."""
        import psycopg
        from psycopg import sql

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
            if known is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    @classmethod
    @contextmanager
    def temporary(cls) -> Iterator[Postgres]:
        """A running server of its own for tests: fast, as it need not survive a power cut."""
        place = Path(tempfile.mkdtemp(prefix="millrace-postgres-"))
        place.chmod(0o711)
        server = cls(place / "data", durable=False)
        try:
            server.start()
            yield server
        finally:
            server.stop()
            shutil.rmtree(place, ignore_errors=True)
            shutil.rmtree(elsewhere(place / "data"), ignore_errors=True)

    # -- starting -----------------------------------------------------------------------------------------------------

    def _initialise(self, account: Account) -> None:
        """Make the data directory, whole or not at all: it has its name only when initdb is through."""
        data_dir = account.data_dir
        data_dir.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        unfinished = data_dir.with_name(data_dir.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        account.own(unfinished)
        password = secrets.token_hex(24)
        with tempfile.NamedTemporaryFile("w", dir=data_dir.parent, prefix=".password-") as file:
            file.write(password)
            file.flush()
            account.own(Path(file.name))
            # The builtin locale sorts by code point and needs nothing of the machine.
            options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions"]
            options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
            options += ["-U", SUPERUSER, f"--pwfile={file.name}", *([] if self._durable else ["--no-sync"])]
            with self.log_file.open("wb") as log:
                done = subprocess.run(  # noqa: S603 - our own binary and arguments
                    [str(account.binaries / "initdb"), "-D", str(unfinished), *options],
                    **account.identity,
                    cwd="/",
                    env={},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    check=False,
                )
        if done.returncode != 0:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise MillraceError(f"PostgreSQL could not make its data directory: {self._last_words()} ({self.log_file})")
        self._note({"password": password, "port": None})
        unfinished.rename(data_dir)

    def _start(self, account: Account, port: int | None) -> None:
        if port is not None and not is_free(port):
            raise ConfigError(f"port {port} is taken; give PostgreSQL another one")
        for last in (False, False, True):
            chosen = port or free_port(self._facts()["port"])
            self._note({**self._facts(), "port": chosen})
            if self._serve(account, chosen):
                return
            if last or port is not None or is_free(chosen):
                break
        raise MillraceError(f"PostgreSQL did not start: {self._last_words()} ({self.log_file})")

    def _serve(self, account: Account, port: int) -> bool:
        """Start the server and wait until it is ready (true) or has given up (false)."""
        settings = {**self._settings, "port": str(port), "listen_addresses": LOOPBACK}
        command = [str(account.binaries / "postgres"), "-D", str(account.data_dir)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own binary and arguments
                command,
                **account.identity,
                cwd="/",
                env={},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while self._process.poll() is None:
            words = _pid_file(account.data_dir)
            if len(words) > 7 and words[0] == str(self._process.pid) and words[7] == "ready":
                return True
            if time.monotonic() > deadline:
                self.stop()
                raise MillraceError(f"PostgreSQL was not ready after {_START_SECONDS} s ({self.log_file})")
            time.sleep(0.02)
        return False

    def _clear_remains(self, data_dir: Path) -> None:
        """After a crash: end backends that outlived their server, drop a lock whose pid is another's now."""
        if _pid_file(data_dir):
            _end_backends(data_dir)
            (data_dir / "postmaster.pid").unlink(missing_ok=True)

    # -- watching -----------------------------------------------------------------------------------------------------

    def _postmaster(self) -> psutil.Process | None:
        if self._process is not None:
            if self._process.poll() is None:
                return psutil.Process(self._process.pid)
            self._process = None  # reaped; its pid may be another's from now on
        words = _pid_file(self.data_dir)
        if not words or not words[0].isdecimal():
            return None
        try:
            process = psutil.Process(int(words[0]))
            return process if _serves(process, self.data_dir) else None
        except psutil.NoSuchProcess:
            return None

    def _is_gone(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self._postmaster() is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    # -- what is remembered -------------------------------------------------------------------------------------------

    def _facts(self) -> dict[str, Any]:
        try:
            facts: dict[str, Any] = json.loads(self._facts_file.read_text())
        except FileNotFoundError:
            raise ConfigError(
                f"{self._facts_file} is gone, and with it the password of the database in {self.data_dir}; "
                "restore it, or remove both to begin afresh"
            ) from None
        return facts

    def _note(self, facts: dict[str, Any]) -> None:
        write_private(self._facts_file, json.dumps(facts))

    @property
    def _facts_file(self) -> Path:
        return self._wanted_dir.with_name(self._wanted_dir.name + ".json")

    def _last_words(self) -> str:
        lines = [line for line in self.log_file.read_text("utf-8", "replace").splitlines() if line.strip()]
        causes = [line[at:] for line in lines for word in ("FATAL:", "error:") if (at := line.find(word)) >= 0]
        return (causes or lines or ["no reason given"])[-1].strip()


def _pid_file(data_dir: Path) -> list[str]:
    """The lines of the lock that a server keeps: its pid first, its state eighth; empty without one."""
    try:
        return [line.strip() for line in (data_dir / "postmaster.pid").read_text().splitlines()]
    except FileNotFoundError:
        return []


def _serves(process: psutil.Process, data_dir: Path) -> bool:
    """Whether the process is a server, or a backend of one, on this directory: they all work in it."""
    try:
        return process.name() == "postgres" and os.path.samefile(process.cwd(), data_dir)
    except (psutil.NoSuchProcess, FileNotFoundError):
        return False


def _end_backends(data_dir: Path) -> None:
    left = [process for process in psutil.process_iter() if _is_backend(process, data_dir)]
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=_IMMEDIATE_SECONDS)


def _is_backend(process: psutil.Process, data_dir: Path) -> bool:
    try:
        return _serves(process, data_dir)
    except psutil.AccessDenied:  # somebody else's, then
        return False
