"""What an error of a database means for the attempt: try again, or give up. For any driver that keeps to PEP 249."""

from __future__ import annotations

from typing import Any

from include.errors import AttemptError, PermanentError, RetryableError
from include.model import Connection

# Classes and codes of SQLSTATE (PostgreSQL, appendix A) that say "not now": connection; rolled back, deadlocks and
# serialization failures among them; out of resources; lock not available; idle for too long; cancelled or shut down;
# trouble of the system.
_NOT_NOW = ("08", "40", "53", "55P03", "25P03", "25P04", "57", "58")
_NEVER = frozenset({"40002"})  # a constraint that is checked at COMMIT
_CANCELED = "57014"

# Names of PEP 249, by which drivers without SQLSTATE say that it is not the statement's fault.
_OPERATIONAL = frozenset({"OperationalError", "InterfaceError", "OSError"})
_OF_A_VALUE = frozenset({"DataError", "ValueError", "OverflowError", "NotImplementedError"})


def explained(error: Exception, named: Connection, place: str, timeout_seconds: float) -> AttemptError:
    """The error that says what to do, with the server's own words and SQLSTATE, but without login and password.

    `place` says where in the row it happened. None has a `code`: after a connection broke nobody knows the outcome.
    """
    state = _state(error)
    line = f"{named.host}: {place}: {_said(error, named)}"
    if state is not None:
        line = f"{line} (SQLSTATE {state})"
    if state == _CANCELED:
        line = f"{line}; an attempt may take {timeout_seconds:g} s"
    if state is None:
        return RetryableError(line) if _is_one_of(error, _OPERATIONAL) else PermanentError(line)
    return RetryableError(line) if state.startswith(_NOT_NOW) and state not in _NEVER else PermanentError(line)


def is_unreadable(error: Exception) -> bool:
    """Whether it is the driver that cannot make anything of a value, which the server has sent all right."""
    return _state(error) is None and _is_one_of(error, _OF_A_VALUE)


def _state(error: Exception) -> str | None:
    """The SQLSTATE, as psycopg 3 or psycopg2 has it."""
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)


def _is_one_of(error: Exception, names: frozenset[str]) -> bool:
    return not names.isdisjoint(kind.__name__ for kind in type(error).__mro__)


def _said(error: Exception, named: Connection) -> str:
    """The first line of what was said, without the secrets of the connection."""
    diagnosis: Any = getattr(error, "diag", None)
    said = getattr(diagnosis, "message_primary", None)
    # libpq's own messages begin with address and port: `connection to server at "...", port 5432 failed: ...`
    said = said or str(error).strip().partition("\n")[0].rpartition(" failed: ")[2] or type(error).__name__
    said = said.removeprefix("FATAL:").strip()
    if named.password:
        said = said.replace(named.password, "***")
    for quote in "\"'" if named.login else "":
        said = said.replace(f"{quote}{named.login}{quote}", f"{quote}***{quote}")
    return said.replace("\x00", "\ufffd")
