"""A kind is a file, and nothing else lists it.

`include/actions/<kind>.py` is what jobs and workflows of that kind do, `include/connectors/<kind>.py` is where records
of that kind come from. A file whose name starts with `_` is not a kind.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from pydantic import ValidationError

from include.errors import ConfigError, MisfitError
from include.model import Call, Config, Connector, Delivery, Job, Output, Page, Received, Record, Source, Workflow
from include.templates import Template

_HERE = Path(__file__).parent
_CONNECTION = "conn_id"  # the setting that names an Airflow connection, in every kind that has one


@dataclass(frozen=True, slots=True)
class Action:
    """What a job or a workflow of one kind does: `config` is the shape of its payload, `act` does the work.

    `record_field` is the setting that gets the record of a workflow that does not say what to send; `notice` are the
    settings, templates among them, of a notify that does not give them. `code_field` is one that is run as it is
    written: it cannot be a template, or whoever makes a record could have it run. `conf_fields` are what is said, and
    not to whom: a run's conf may replace them also where the row uses a connection.
    """

    kind: str
    config: type[Config]
    act: Callable[[Call[Any]], Awaitable[Output]] | Callable[[Call[Any]], Output]
    summary: str
    record_field: str | None = None
    notice: Mapping[str, Any] = field(default_factory=dict)
    code_field: str | None = None
    conf_fields: tuple[str, ...] = ()

    @property
    def runs_on(self) -> Literal["triggerer", "worker"]:
        """An ordinary function may block, and so runs on a worker; a coroutine runs in the triggerer."""
        return "triggerer" if inspect.iscoroutinefunction(self.act) else "worker"

    def parse(self, payload: dict[str, Any]) -> Config:
        """Return the payload as the kind's settings, or raise `ConfigError` naming every field that does not fit."""
        return _parse(self.config, payload, f"the payload does not fit kind {self.kind!r}", "payload")


@dataclass(frozen=True, slots=True)
class SourceKind:
    """Where the records of one kind of connector come from.

    One that `pull`s does so in the triggerer, or, if its `pull` is an ordinary generator, on a worker; one that
    `receive`s is pushed to, through the API. `warnings` says what of the config a preview's records do not bear out.
    """

    kind: str
    config: type[Config]
    pull: Callable[[Source[Any]], AsyncIterator[Page]] | Callable[[Source[Any]], Iterator[Page]] | None
    receive: Callable[[Delivery[Any]], Awaitable[Received]] | None
    summary: str
    warnings: Callable[[Any, Sequence[Record]], list[str]] | None = None

    @property
    def runs_on(self) -> Literal["triggerer", "worker", "api"]:
        if self.pull is None:
            return "api"
        return "triggerer" if inspect.isasyncgenfunction(self.pull) else "worker"

    def parse(self, config: dict[str, Any]) -> Config:
        """Return the configuration as the kind's settings, or raise `ConfigError` naming every field that is wrong."""
        return _parse(self.config, config, f"the config does not fit kind {self.kind!r}", "config")


@cache
def action_kinds() -> tuple[str, ...]:
    """The kinds that jobs and workflows can have, sorted."""
    return _kinds("actions")


@cache
def source_kinds() -> tuple[str, ...]:
    """The kinds that connectors can have, sorted."""
    return _kinds("connectors")


@cache
def action(kind: str) -> Action:
    """Return the action of a kind, or raise `ConfigError` that lists the kinds there are."""
    module = _module("actions", kind, action_kinds())
    return Action(
        kind=kind,
        config=module.Config,
        act=module.act,
        summary=_summary(module),
        record_field=getattr(module, "RECORD_FIELD", None),
        notice=getattr(module, "NOTICE", {}),
        code_field=getattr(module, "CODE_FIELD", None),
        conf_fields=getattr(module, "CONF_FIELDS", ()),
    )


@cache
def source(kind: str) -> SourceKind:
    """Return the kind of a connector, or raise `ConfigError` that lists the kinds there are."""
    module = _module("connectors", kind, source_kinds())
    pull, receive = getattr(module, "pull", None), getattr(module, "receive", None)
    return SourceKind(kind, module.Config, pull, receive, _summary(module), getattr(module, "warnings", None))


def holds_many(job: Job) -> bool:
    """Whether one shift of the job holds many occurrences: it is due every minute, or only its shift knows when.

    On a worker, which a shift would occupy all the time, each occurrence has a run of its own.
    """
    if job.schedule.is_fast or job.schedule.fixed_delay:
        return True
    on_worker = job.kind in action_kinds() and action(job.kind).runs_on == "worker"
    return job.schedule.is_minutely and not on_worker


def has_shifts(row: Job | Connector | Workflow) -> bool:
    """Whether a run of the row is on duty for hours, and not for one occurrence.

    A connector that fails is probed, so that people see each failure in Airflow. `ConfigError`: there is no such kind.
    """
    if isinstance(row, Job):
        return holds_many(row)
    if isinstance(row, Connector):
        return source(row.kind).runs_on == "triggerer" and row.failing_since is None
    return action(row.kind).runs_on == "triggerer"


def vet(row: Job | Connector | Workflow) -> None:
    """Raise `ConfigError` if the row could not run: its schedule, its kind or its settings are wrong."""
    row.schedule.validate()
    runs_on: str
    if isinstance(row, Job):
        action(row.kind).parse(row.payload)
        runs_on = action(row.kind).runs_on
        _vet_notify_of(row)
    elif isinstance(row, Workflow):
        template_of(row)
        runs_on = action(row.kind).runs_on
    else:
        kind = source(row.kind)
        kind.parse(row.config)
        runs_on = kind.runs_on
        _vet_notify_of(row)
    if runs_on == "worker" and row.schedule.is_fast:
        said = f"kind {row.kind!r} runs on a worker, at most once a minute: write a slower schedule"
        raise MisfitError(said, [("every" if row.schedule.cron is None else "cron", said)])
    if runs_on == "worker" and row.schedule.fixed_delay:
        said = f"kind {row.kind!r} runs on a worker, which has no fixed delays: write every_mode fixed_rate"
        raise MisfitError(said, [("every_mode", said)])


def _vet_notify_of(row: Job | Connector) -> None:
    try:
        vet_notify(row.notify)
    except MisfitError as error:
        raise _within("notify", error) from error


def check_conf(kind: str, payload: Mapping[str, Any], conf: Mapping[str, Any]) -> None:
    """Raise `ConfigError` if what is given for one run of a job replaces what is for whoever edits the row to choose.

    Airflow lets everybody start a run who may change DAGs, whosever the row is. So what a kind runs as it is written
    stays, and the connection; and where there is one, so does where it goes: its secret is the owner's.
    """
    made = action(kind)
    for name in (made.code_field, _CONNECTION):
        if name is not None and name in conf:
            raise ConfigError(f"{name} cannot be replaced for one run of kind {kind!r}; edit the row")
    field = made.config.model_fields.get(_CONNECTION)
    if field is None or payload.get(_CONNECTION, None if field.is_required() else field.default) is None:
        return
    for name in conf:
        if name not in made.conf_fields:
            allowed = " or ".join(made.conf_fields) or "nothing"
            raise ConfigError(
                f"{name} cannot be replaced for one run of a row that uses a connection, only {allowed}; edit the row"
            )


def vet_notify(notify: dict[str, Any] | None) -> None:
    """Raise `ConfigError` if nobody could be told in this way; None, or one without a kind, tells nobody."""
    if notify is None or (not notify.get("kind") and not notify.get("on", True)):
        return
    kind, payload = notify.get("kind", ""), notify.get("payload", {})
    if not isinstance(kind, str) or not isinstance(payload, dict):
        raise ConfigError('notify: write {"kind": "slack", "payload": {...}}, a text and an object')
    if action(kind).runs_on == "worker":
        said = f"kind {kind!r} runs on a worker; write slack, email or webhook"
        raise MisfitError(f"notify: {said}", [("kind", said)])
    _vet_templated(kind, notice_template(kind, payload))


def notice_template(kind: str, payload: dict[str, Any]) -> Template:
    """A notify's payload as a template; what it does not give is as the kind says."""
    return _template({**action(kind).notice, **payload})


def template_of(workflow: Workflow) -> Template:
    """The workflow's payload as a template that makes settings of its kind out of records."""
    payload = workflow.payload
    field = action(workflow.kind).record_field
    if field is not None and field not in payload:
        payload = {**payload, field: "{{ records if workflow.batch_size > 1 else record }}"}
    template = _template(payload)
    code = action(workflow.kind).code_field
    if code is not None and template.covers((code,)):
        said = f"{code} cannot be a template: what a record holds would be run; hand it over beside {code}"
        raise MisfitError(said, [(f"payload.{code}", said)])
    if template.covers(("conn_id",)):
        said = "conn_id cannot be a template: what a record holds would choose whose secrets are used"
        raise MisfitError(said, [("payload.conn_id", said)])
    _vet_templated(workflow.kind, template)
    return template


def _template(payload: dict[str, Any]) -> Template:
    try:
        return Template(payload)
    except MisfitError as error:
        raise _within("payload", error) from error


def _within(root: str, error: MisfitError) -> MisfitError:
    """The same, of what `root` holds."""
    return MisfitError(str(error), [(f"{root}.{place}", said) for place, said in error.problems])


def _vet_templated(kind: str, template: Template) -> None:
    """Judge what of a payload is not a template; the rest is judged when it is rendered."""
    try:
        action(kind).config.model_validate(template.payload)
    except ValidationError as error:
        problems = [p for p in error.errors(include_url=False) if _is_at_fault(p["loc"], p["type"], template)]
        if problems:
            raise _misfit(f"the payload does not fit kind {kind!r}", problems, "payload") from error


def _is_at_fault(place: tuple[int | str, ...], kind: str, template: Template) -> bool:
    """A setting that does not exist is wrong whatever it will be filled with; others are, unless they are templates."""
    return (kind == "extra_forbidden" and len(place) == 1) or not template.covers(place)


def _kinds(folder: str) -> tuple[str, ...]:
    return tuple(sorted(file.stem for file in (_HERE / folder).glob("*.py") if not file.stem.startswith("_")))


def _module(folder: str, kind: str, known: tuple[str, ...]) -> ModuleType:
    if kind not in known:
        close = difflib.get_close_matches(kind, known, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        said = f"unknown kind {kind!r}; {hint}there are: {', '.join(known)}"
        raise MisfitError(said, [("kind", said)])
    return import_module(f"include.{folder}.{kind}")


def _summary(module: ModuleType) -> str:
    return (module.__doc__ or "").strip().partition("\n")[0]


def _parse(config: type[Config], settings: dict[str, Any], what: str, root: str) -> Config:
    try:
        return config.model_validate(settings)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        raise _misfit(what, problems, root) from error


def _misfit(what: str, problems: Any, root: str) -> MisfitError:
    places = [(_place((root, *problem["loc"])), _say(problem)) for problem in problems]
    return MisfitError(f"{what}: {_spell(problems, root)}", places)


def _spell(problems: Any, root: str) -> str:
    return "; ".join(f"{_place(problem['loc']) or root}: {_say(problem)}" for problem in problems)


def _say(problem: Any) -> str:
    """What is wrong; pydantic's prefix to what our own validators say adds nothing."""
    return str(problem["msg"]).removeprefix("Value error, ")


def _place(path: tuple[int | str, ...]) -> str:
    """Where a problem is, as people write it: without the types that pydantic has tried there."""
    return ".".join(str(part) for part in path if "[" not in str(part) and "(" not in str(part))
