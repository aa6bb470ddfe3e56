"""How a component is called in Airflow's tables: each of several on one machine by a name of its own.

Airflow asks for the name of the machine, and nothing else tells one triggerer's sign of life from another's.
"""

from __future__ import annotations

import os
import socket

COMPONENT = "MILLRACE_COMPONENT"


def hostname_of(component: str) -> str:
    """The name that a component of this machine has in Airflow's tables."""
    return f"{component}.{socket.gethostname()}"


def hostname() -> str:
    """The name of this process in them: Airflow's `hostname_callable` where ./millrace runs the components."""
    component = os.environ.get(COMPONENT)
    return hostname_of(component) if component else socket.gethostname()
