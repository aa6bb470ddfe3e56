"""The demo's rows: a job of each kind, a connector and two users' workflows, all calling the demo's server."""

from __future__ import annotations

import json
from pathlib import Path

from include.local.files import write_private
from include.local.home import Home
from include.local.ports import LOOPBACK, free_port
from include.store.db import connect

_OWNER = "demo"
_SQL = Path(__file__).with_name("demo.sql")


def wants_demo(database_url: str) -> bool:
    """Whether the demo has a place here: among nobody's rows, or where its own already are."""
    with connect(database_url, via="demo") as db:
        found = db.execute(
            "select not exists (select from millrace.job)"
            " or exists (select from millrace.job where owner = %s) as found",
            (_OWNER,),
        ).fetchone()
    return bool(found and found["found"])


def load_demo(database_url: str, port: int) -> None:
    """Put the rows into an empty job table; those of an earlier run are pointed at this port."""
    with connect(database_url, via="demo") as db:
        db.execute(_SQL.read_bytes(), {"url": f"http://{LOOPBACK}:{port}", "owner": _OWNER})


def demo_port(home: Home) -> int:
    """The echo server's port: the same as last time, if it can be had."""
    last = json.loads(home.remembered_file.read_text())["demo_port"] if home.remembered_file.exists() else None
    port = free_port(last)
    if port != last:
        write_private(home.remembered_file, json.dumps({"demo_port": port}))
    return port
