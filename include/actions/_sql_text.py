"""The text of a row of kind `sql`, as single statements. Only the text is looked at; the server has the last word."""

from __future__ import annotations

import re
from collections.abc import Sequence

import sqlparse

MOST_STATEMENTS = 1_000

# What the server skips before and between words: blanks, and comments, of which those in /* */ nest (PostgreSQL 4.1.5).
# Whoever takes them for one another can be shown another statement than the server is.
_SIGN = re.compile(r"/\*|\*/|--|[\r\n]|\w+|\S|\s")

# All statements are one transaction, which is not theirs to end. BEGIN and END may begin a block in other dialects.
_TRANSACTION = re.compile(
    r"(COMMIT|ABORT|START TRANSACTION|PREPARE TRANSACTION)\b"
    r"|(BEGIN|END)( (WORK|TRAN|TRANSACTION|ISOLATION|READ|NOT|DEFERRABLE|AND)\b|$)"
    r"|ROLLBACK(?!( WORK| TRANSACTION)? TO\b)"
)


def statements(sql: str | Sequence[str]) -> list[str]:
    """The statements of a text, which is split at semicolons outside of quotes, comments and bodies; or of a list,
    whose items are one each. Those that are only blank or comment are left out.

    `ValueError` says what to write if none is left, if there are too many, or if one begins or ends a transaction.
    """
    pieces = sqlparse.split(sql, strip_semicolon=True) if isinstance(sql, str) else list(sql)
    found: list[str] = []
    for piece in pieces:
        words = " ".join(_first_words(piece, 3)).upper()
        if not words:
            continue
        found.append(piece)
        if _TRANSACTION.match(words):
            raise ValueError(
                f"statement {len(found)} is {words.partition(' ')[0]}: leave it out; all statements are one "
                "transaction, which is committed at the end"
            )
    if not found:
        raise ValueError("write one statement or more")
    if len(found) > MOST_STATEMENTS:
        raise ValueError(f"write at most {MOST_STATEMENTS} statements")
    return found


def _first_words(statement: str, most: int) -> list[str]:
    """The first words or signs of a statement, without blanks, comments and semicolons."""
    found: list[str] = []
    depth, in_line = 0, False
    for match in _SIGN.finditer(statement):
        sign = match[0]
        if in_line:
            in_line = sign not in "\r\n"
        elif sign == "/*":
            depth += 1
        elif depth:
            depth -= sign == "*/"
        elif sign == "--":
            in_line = True
        elif not sign.isspace() and sign != ";":
            found.append(sign)
            if len(found) == most:
                break
    return found
