"""One connector pulls 100,000 records of 400 bytes, 500 a page; then dlt does the same: how many records a second?

Millrace is measured from the first request that the source saw to the commit of the last record; dlt from the begin of
its extract to the end of its load, without the time that it takes to be imported.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass

from bench.peer import Peer, run_peer
from bench.result import Result
from bench.rows import LogFacts, NewConnector
from bench.scenario import option
from bench.source_process import Source
from bench.stage import Stage, report_usage
from bench.usage import Meter
from include.errors import MillraceError
from include.model import Connector


@dataclass(frozen=True)
class Options:
    records: int = option(100_000, "records that the source has")
    page: int = option(500, "records a page")


SMALL = Options(records=2000, page=100)
_LONGEST_PARSING = 60
_LONGEST_PULL = 600
_POLL_SECONDS = 0.02


def run(stage: Stage, options: Options) -> Result:
    result = Result("ingest")
    stage.say(f"{options.records} records, {options.page} a page")
    with closing(Source(items=options.records, page=options.page)) as source:
        [connector] = stage.rows.insert_connectors([_wish(source, options)])
        seconds = _pull(stage, source, connector, options.records, result)
        requests = len(source.asked())
        stage.say("  the same with dlt")
        peer = run_peer(source.url, options.page, stage.stack.database_url, stage.stack.folder / "peer")
    facts = stage.rows.log_facts([connector])[connector.id]
    _report(result, options.records, facts)
    rate = facts.keys / seconds
    result.note(records_per_s=rate, cpu_cores=None)  # the wait for the run to begin is in it
    result.extra |= {"seconds": round(seconds, 2), "requests": requests}
    result.aim(rate >= 12_000, f"{rate:.0f} records/s (at least 12,000)")
    _compare(result, rate, peer, options.records)
    return result


def _wish(source: Source, options: Options) -> NewConnector:
    """A connector that is pulled by hand, so that it is pulled once."""
    paginator = {"type": "offset", "limit": options.page, "total_path": "total"}
    endpoint = {"path": "items", "data_selector": "items", "primary_key": "id", "paginator": paginator}
    return NewConnector("ingest", {"base_url": f"{source.url}/", **endpoint})


def _pull(stage: Stage, source: Source, connector: Connector, records: int, result: Result) -> float:
    """Pull once; the seconds from the first request to the last commit."""
    stage.wait("DAG", lambda: len(stage.rows.dags([connector.dag_id])), 1, seconds=_LONGEST_PARSING)
    meter = Meter(lambda: stage.stack.run)
    if not stage.stack.trigger(connector.dag_id):
        raise MillraceError(f"Airflow does not know {connector.dag_id}")
    stage.wait(
        "records stored",
        lambda: stage.rows.heads([connector])[connector.id],
        records,
        seconds=_LONGEST_PULL,
        every=_POLL_SECONDS,
    )
    ended = time.time()
    report_usage(result, meter.read())
    return ended - source.asked()[0].arrival


def _report(result: Result, records: int, facts: LogFacts) -> None:
    lost = records - facts.keys
    result.note(records=facts.records, lost=lost, duplicates=facts.records - facts.keys, out_of_order=facts.descents)
    result.demand(lost == 0, f"{lost} of {records} records are not in the log")
    result.demand(facts.records == facts.keys, f"{facts.records - facts.keys} records are in the log twice")
    result.demand(facts.is_gapless, f"{facts.records} records have the positions {facts.first} to {facts.last}")
    result.demand(facts.descents == 0, f"{facts.descents} records are not in the order of the source")


def _compare(result: Result, rate: float, peer: Peer | None, records: int) -> None:
    if peer is None:
        result.caveats.append("dlt is not installed, so there is no peer; `./millrace check` installs it")
        return
    times = rate / peer.records_per_s
    result.note(peer_records_per_s=peer.records_per_s)
    result.extra |= {
        "peer_records_per_s_with_import": round(peer.records_per_s_with_import),
        "peer_seconds": {part: round(seconds, 2) for part, seconds in peer.seconds.items()},
    }
    result.demand(peer.records == records, f"dlt loaded {peer.records} of {records} records, so it is no comparison")
    result.aim(times >= 2, f"{times:.1f} times as fast as dlt (at least 2)")
