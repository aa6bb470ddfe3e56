"""`./millrace notify test`: one message, sent from here, through the same guard as those of the system."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Awaitable
from typing import Any, cast

from include.cli.connectors_access import system_environment
from include.deadline import within
from include.errors import ConfigError, RetryableError
from include.times import utcnow

_TIMEOUT_SECONDS = 30.0


def try_out(owner: str, notify: dict[str, Any]) -> str | None:
    """Send a test and return what came of it; None, and nothing sent, if that takes an Airflow connection.

    Raises what the kind raises; `ConfigError` if nobody is told.
    """
    from include import registry  # brings the kinds, and with them an HTTP client
    from include.egress import egress_of
    from include.model import Call, Output
    from include.settings import settings
    from include.shifts.notices import wording

    if "kind" not in notify:
        raise ConfigError(f"owner {owner!r} is told nothing: there is no kind to send by")
    registry.vet_notify(notify)
    now = utcnow()
    told = {"event": "test", "table": "owner_notify", "id": None, "name": owner, "owner": owner, "count": 1}
    names = wording([{**told, "at": now.isoformat(), "detail": "this is how it arrives"}], {"test": 1}, rows=1)
    action = registry.action(notify["kind"])
    config = action.parse(registry.notice_template(notify["kind"], notify.get("payload", {})).render(**names))
    if getattr(config, "conn_id", None) is not None:
        return None
    # From here on this process has the settings of the system: where calls may go.
    environment = system_environment()
    os.environ.update({name: value for name, value in environment.items() if name.startswith("MILLRACE_")})

    async def send() -> str:
        http = egress_of(settings())
        key = f"notice_test_{secrets.token_hex(8)}"
        try:
            call = Call(config, key, now, 1, _TIMEOUT_SECONDS, http)
            return (await within(_TIMEOUT_SECONDS, cast("Awaitable[Output]", action.act(call)))).line
        except asyncio.TimeoutError:
            raise RetryableError(f"no result within {_TIMEOUT_SECONDS:g} s") from None
        finally:
            await http.close()

    return asyncio.run(send())
