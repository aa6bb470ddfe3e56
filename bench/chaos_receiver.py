"""The sink of `chaos`, as the scenario holds it."""

from __future__ import annotations

import json
from typing import Literal

from bench.chaos_audit import Send, parse_sends
from bench.server_process import ServerProcess


class Receiver(ServerProcess):
    """A running sink; `cut` is the state of the network to it."""

    def __init__(self) -> None:
        super().__init__("bench.chaos_sink")
        ports = json.loads(self._get("/ports"))
        self.http_url = f"http://127.0.0.1:{ports['http']}"
        self.smtp_port: int = ports["smtp"]
        self._sends: list[Send] = []

    def cut(self, how: Literal["refuse", "hang", "no"]) -> None:
        self._get(f"/cut?how={how}")

    def sends(self) -> list[Send]:
        """Everything that came so far."""
        self._sends += parse_sends(self.news())
        return list(self._sends)
