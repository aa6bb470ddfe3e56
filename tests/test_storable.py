"""Whatever an attempt leaves behind has a place in PostgreSQL, or the attempt says that it has none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from include.shifts.storable import storable, storable_text
from include.store.db import DictConnection

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.sampled_from([0.5, -1.25, 1e-7]) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=10,
)


def test_anything_can_be_stored(db: DictConnection) -> None:
    """NUL and lone surrogates are replaced, and nothing else is changed."""

    @given(ANY_JSON, ANY_TEXT)
    def check(value: Any, text: str) -> None:
        document, line = storable(value), storable_text(text)
        row = db.execute("select %s::jsonb as document, %s::text as line", (Jsonb(document), line)).fetchone()
        assert row == {"document": document, "line": line}

    check()
    plain = {"a": ["\\u0000", "\\\\u0000", "ü", 1.5, None, True]}
    assert storable(plain) == plain
    assert storable({"a\x00": "\ud800"}) == {"a\ufffd": "?"}


@pytest.mark.parametrize("value", [{1, 2}, {"at": object()}, {"x": float("nan")}, {"x": float("inf")}])
def test_what_is_no_json_is_said_to_be_none(value: Any) -> None:
    """Sets, objects and numbers that JSON does not have are an error."""
    with pytest.raises(ValueError, match="it is no JSON"):
        storable(value)
