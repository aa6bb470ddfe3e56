"""What Airflow stores of a trigger is a wire format: another release may have written it, and nothing may raise."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.airflow_system import OF_AIRFLOW  # isort: split

from airflow._shared.module_loading import import_string
from airflow.models.trigger import Trigger

from include.orchestration.trigger import ShiftTrigger
from tests.test_orchestration_trigger import ended, how

pytest_plugins = ["tests.airflow_fixtures"]
pytestmark = OF_AIRFLOW

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
kwargs = st.dictionaries(
    words | st.sampled_from(["kind", "id", "due", "task_instance", "run"]), json_values, max_size=5
)


@given(kwargs)
@example({"self": 1})
@settings(max_examples=100, deadline=None)
def test_anything_can_be_stored_in_a_trigger(given_kwargs: dict[str, Any]) -> None:
    """Whatever kwargs are in Airflow's database, the trigger is made of them and is written back as it was read."""
    classpath, written = ShiftTrigger(**given_kwargs).serialize()
    assert import_string(classpath) is ShiftTrigger
    assert {**written, **given_kwargs} == written
    assert set(written) == {"kind", "id", *given_kwargs}
    assert ShiftTrigger(**written).serialize() == (classpath, written)
    assert json.loads(json.dumps(written)) == written


@pytest.mark.usefixtures("airflow_url")
def test_a_trigger_is_what_airflow_stored() -> None:
    """The kwargs of a DAG's task come out of Airflow's encryption as they went in."""
    _, written = ShiftTrigger(kind="job", id=42, later={"a": [1, None]}).serialize()
    stored = Trigger(classpath="x", kwargs=written)
    assert ShiftTrigger(**stored.kwargs).serialize() == ShiftTrigger(**written).serialize()


@given(kind=json_values.filter(lambda value: value != "job"), id=json_values)
@settings(max_examples=50, deadline=None)
def test_an_unknown_kind_is_a_failed_task(kind: Any, id: Any) -> None:
    """A run left over by another release fails, and is not tried again; its trigger raises nothing."""
    state, control = how(asyncio.run(ended(ShiftTrigger(kind=kind, id=id))))
    assert state == "failed"
    assert control == {"retry": False, "after_seconds": None}
