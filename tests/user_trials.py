"""Functions of a user that are careless with the secret that they are given, for trials."""

from __future__ import annotations

from include.errors import PermanentError
from include.model import Connection


def tell(*, connection: Connection) -> dict[str, str | None]:
    """What no function should return."""
    return {"password": connection.password}


def fail(*, connection: Connection) -> None:
    """As a driver does that quotes what it was given."""
    raise PermanentError(f"cannot log in with {connection.password}", excerpt=f"{connection.password}?")
