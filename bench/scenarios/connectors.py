"""200 connectors every 30 s, each with 20 new records at every pull: is every pull on time, and every record there?"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta

from bench.calls import Window
from bench.pulls import PullTally, sizes_at, tally_pulls
from bench.result import Result
from bench.rows import LogFacts, NewConnector
from bench.scenario import option
from bench.source_process import Source
from bench.stage import Stage, next_second, report_usage, sleep_until
from include.model import Connector


@dataclass(frozen=True)
class Options:
    connectors: int = option(200, "connectors, each with a feed of its own")
    every: int = option(30, "seconds between two pulls of a connector")
    grow: int = option(20, "records that are new at each pull")
    seconds: int = option(120, "seconds that are measured")


SMALL = Options(connectors=10, every=5, grow=5, seconds=15)  # longer than a machine stands still
_LONGEST_ARMING = 300
_LONGEST_PULL = 30.0
_TICK = timedelta(microseconds=1)


def run(stage: Stage, options: Options) -> Result:
    result = Result("connectors")
    stage.say(f"{options.connectors} connectors every {options.every} s")
    every = timedelta(seconds=options.every)
    with closing(Source(grow=options.grow)) as source:
        wishes = [_wish(source, number, every) for number in range(options.connectors)]
        connectors = stage.rows.insert_connectors(wishes)
        armed = stage.wait_until_armed(connectors, seconds=_LONGEST_ARMING)
        start = next_second(5)  # a run that has just got its trigger may miss what is due this second
        window = Window(start, start + timedelta(seconds=options.seconds))
        stage.say(f"  watching for {options.seconds} s")
        sleep_until(window.start)
        report_usage(result, stage.measure(window.end))
        pulls = _settled_pulls(source, _due(connectors, window))
        asked = source.asked()
        existing, before = (sizes_at(asked, at.timestamp()) for at in (window.end, window.start))
        facts = _settled_logs(stage, connectors, existing)
        complaints = stage.rows.complaints(connectors)
    result.note(armed_s=armed, records_per_s=(sum(existing.values()) - sum(before.values())) / options.seconds)
    result.extra |= {"connectors": options.connectors, "seconds": options.seconds}
    _report_pulls(result, pulls)
    _report_logs(result, sum(existing.values()), facts.values())
    result.demand(not complaints, f"{len(complaints)} connectors have an error, such as {complaints[:1]}")
    return result


def _wish(source: Source, number: int, every: timedelta) -> NewConnector:
    name = f"connector {number}"
    return NewConnector(name, {"base_url": f"{source.url}/", **_endpoint(_feed(name))}, every)


def _endpoint(feed: str) -> dict[str, object]:
    return {
        "path": f"feed/{feed}",
        "data_selector": "items",
        "primary_key": "id",
        "paginator": {"type": "cursor", "cursor_path": "next", "cursor_param": "since"},
        "incremental": {"cursor_path": "id", "start_param": "since", "initial_value": 0},
    }


def _feed(name: str) -> str:
    return name.replace(" ", "-")


def _due(connectors: Collection[Connector], window: Window) -> dict[str, list[float]]:
    """When each feed is to be pulled in the window, by the schedule's own arithmetic, and the first time after it."""
    due: dict[str, list[float]] = {}
    for connector in connectors:
        instants: list[datetime] = list(connector.schedule.between(window.start - _TICK, window.end - _TICK))
        border = connector.schedule.next_after(window.end - _TICK)
        instants += [border] if border else []
        due[_feed(connector.name)] = [instant.timestamp() for instant in instants]
    return due


def _settled_pulls(source: Source, due: Mapping[str, Sequence[float]]) -> PullTally:
    """How the pulls compare with what was due, once all have come, or when it is too late for that."""
    deadline = time.monotonic() + _LONGEST_PULL
    while (pulls := tally_pulls(due, source.asked())).missed and time.monotonic() < deadline:
        time.sleep(0.2)
    return pulls


def _settled_logs(stage: Stage, connectors: Collection[Connector], existing: Mapping[str, int]) -> dict[int, LogFacts]:
    """What the logs hold of what existed, once that is all, or when it is too late for that."""
    limits = {connector.id: existing.get(_feed(connector.name), 0) for connector in connectors}
    deadline = time.monotonic() + _LONGEST_PULL
    while True:
        facts = stage.rows.log_facts(connectors, limits)
        if sum(one.keys for one in facts.values()) >= sum(limits.values()) or time.monotonic() > deadline:
            return facts
        time.sleep(0.5)


def _report_pulls(result: Result, pulls: PullTally) -> None:
    late = pulls.lateness_at(0.99)
    result.note(
        expected=pulls.expected,
        fired=pulls.pulled,
        lateness_p50_s=pulls.lateness_at(0.5),
        lateness_p99_s=late,
    )
    result.extra |= {
        "lateness_max_s": round(pulls.lateness[-1], 3) if pulls.lateness else None,
        "unasked": pulls.unasked,
    }
    result.demand(pulls.expected > 0, "nothing was due, so nothing was measured")
    result.demand(pulls.missed == 0, f"{pulls.missed} of {pulls.expected} pulls did not come before the next was due")
    result.aim(late is not None and late <= 2, f"pulls late p99 {late or 0:.2f} s (at most 2 s)")
    result.demand(pulls.unasked == 0, f"{pulls.unasked} pulls were not due")


def _report_logs(result: Result, existing: int, facts: Collection[LogFacts]) -> None:
    records, keys = sum(one.records for one in facts), sum(one.keys for one in facts)
    descents = sum(one.descents for one in facts)
    gaps = sum(not one.is_gapless for one in facts)
    result.note(records=records, lost=existing - keys, duplicates=records - keys, out_of_order=descents)
    result.demand(keys == existing, f"{existing - keys} of {existing} records are not in the logs")
    result.demand(records == keys, f"{records - keys} records are in the logs twice")
    result.demand(descents == 0, f"{descents} records are not in the order of their source")
    result.demand(gaps == 0, f"{gaps} logs have gaps")
