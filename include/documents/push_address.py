"""Where records are pushed to."""

from __future__ import annotations

from include import registry
from include.errors import ConfigError

_HOOKS = "/millrace/hooks/"


def push_address(kind: str, connector_id: int | None) -> str | None:
    """The path, on the host of Airflow's UI, of what is pushed to a connector; None if it is not pushed to.

    Of one that has no id yet: how the path will look.
    """
    try:
        is_pushed = registry.source(kind).receive is not None
    except ConfigError:  # a row that plain SQL made
        return None
    return _HOOKS + ("{id}" if connector_id is None else str(connector_id)) if is_pushed else None
