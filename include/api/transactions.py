"""How a route works with the database: it reads, or it writes once.

return transactions.once(sent, lambda db: answer(...))      # a POST, with or without Idempotency-Key
with transactions.writing(sent.caller) as db: ...           # everything else that changes something
with transactions.reading() as db: ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import psycopg
from fastapi import Depends, Request
from fastapi.responses import Response
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from include.api.answer import response
from include.api.sent import SentRequest
from include.documents import permits
from include.documents.caller import Caller
from include.documents.invalid import InvalidDocumentError
from include.errors import ConfigError, RefusedError, RetryableError, TakenError
from include.store import idempotency
from include.store.db import DictConnection, conninfo
from include.store.edits import changing
from include.store.idempotency import Answer

# As many at once as two cores can use; who waits longer is told to come again.
_CONNECTIONS = 8
_WAIT_SECONDS = 10.0
_STATEMENT_SECONDS = 20


class Transactions:
    """The API's connections. Whoever is refused by the database, or by a rule of a row, gets a 422 that says why."""

    def __init__(self, database_url: str) -> None:
        self._pool: ConnectionPool[DictConnection] = ConnectionPool(
            conninfo(database_url, via="api"),
            kwargs={"autocommit": True, "row_factory": dict_row},
            configure=_configure,
            min_size=1,
            max_size=_CONNECTIONS,
            timeout=_WAIT_SECONDS,
            open=False,
        )

    def open(self) -> None:
        """Begin to connect; the database may come later."""
        self._pool.open(wait=False)

    def close(self) -> None:
        """Disconnect."""
        self._pool.close()

    @contextmanager
    def reading(self) -> Iterator[DictConnection]:
        """A connection for statements that change nothing."""
        with _refusing(), self._pool.connection() as db:
            yield db

    @contextmanager
    def writing(self, caller: Caller) -> Iterator[DictConnection]:
        """A transaction, in the name of the caller: all of it happens, or nothing."""
        with _refusing(), self._pool.connection() as db, changing(db):
            db.execute("select set_config('millrace.actor', %s, true)", (caller.name,))
            yield db

    def once(self, sent: SentRequest, work: Callable[[DictConnection], Answer]) -> Response:
        """Do the work in a transaction; if the request has an Idempotency-Key, only the first time that it comes."""
        with self.writing(sent.caller) as db:
            if sent.key is None:
                return response(work(db))
            known = idempotency.claim(db, sent.caller.name, sent.key, sent.digest)
            if known is not None:
                return response(known, {"Idempotency-Replayed": "true"})
            permits.check_keys(db, sent.caller)
            answer = work(db)
            idempotency.keep(db, sent.caller.name, sent.key, answer)
        return response(answer)


def _configure(db: DictConnection) -> None:
    db.execute(f"set statement_timeout = '{_STATEMENT_SECONDS}s'".encode())


@contextmanager
def _refusing() -> Iterator[None]:
    """Whoever asked can mend what is wrong with a row; whether the database is there, he cannot."""
    try:
        yield
    except (InvalidDocumentError, TakenError):
        raise
    except ConfigError as error:
        raise RefusedError(422, str(error)) from error
    except psycopg.DataError as error:
        raise RefusedError(422, f"that has no place in the database: {error.diag.message_primary or error}") from error
    except PoolTimeout:
        raise RetryableError("too much to do at present: send it again later") from None
    except psycopg.errors.QueryCanceled:
        raise RetryableError(f"it took longer than {_STATEMENT_SECONDS} s: ask for less") from None
    except psycopg.errors.DeadlockDetected:
        raise RetryableError("somebody else is changing the same rows: send it again") from None
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise RetryableError("the database cannot be reached: send it again later") from error


async def _transactions(request: Request) -> Transactions:
    found: Transactions = request.app.state.transactions
    return found


Db = Annotated[Transactions, Depends(_transactions)]
