"""Functions of a user who is careless with the connection that he is given."""

from __future__ import annotations

import logging
import sys
from base64 import b64encode
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from include.errors import PermanentError
from include.model import Connection, Page, Record


def tells(*, connection: Connection) -> dict[str, Any]:
    """Writes it wherever one can, and returns it."""
    password = str(connection.password)
    print(f"using {password}")
    print(quote(password, safe=""), file=sys.stderr)
    logging.getLogger("mine").warning("%s", b64encode(password.encode()).decode())
    return {"password": password, "of": [connection.extra], password: 1}


def raises(*, connection: Connection) -> None:
    """Raises what holds it, with more of it in the frame."""
    secrets = [connection.password, connection.extra]
    raise LookupError(f"no such thing: {secrets}")


def gives_up(*, connection: Connection) -> None:
    """As a careful function does, but for what it says."""
    raise PermanentError(f"refused {connection.password}", code=403, excerpt=f"token={connection.password}")


def pages(_cursor: Any, *, connection: Connection) -> Iterator[Page]:
    """Uses it, and does not show it."""
    yield Page([Record("1", {"length": len(str(connection.password))})], cursor=1)


def breaks(_cursor: Any, *, connection: Connection) -> Iterator[Page]:
    """Raises what holds it."""
    raise RuntimeError(f"no pages with {connection.password!r} and {connection.extra}")
    yield Page([], cursor=1)
