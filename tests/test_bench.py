"""The bench's results, scenarios and measurements of usage; the systems that it starts are not part of these tests."""

from __future__ import annotations

import argparse
import json
import os
import time
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from bench import usage
from bench.calls import Window
from bench.result import KEYS, Result, table, verdicts
from bench.scenario import all_scenarios
from bench.sink_process import Sink
from include.local.processes import Identity
from include.local.run import Component, Run
from include.shifts.execution import webhook_id

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=timezone.utc)


# -- results ----------------------------------------------------------------------------------------------------------


def test_the_json_has_the_keys_of_the_contract() -> None:
    """Exactly these, in this order, null where they do not apply; what else there is comes after them."""
    contract = ["scenario", "jobs", "expected", "fired", "ledger_rows", "duplicates", "early", "lateness_p50_s"]
    contract += ["lateness_p99_s", "rate_per_s", "armed_s", "edit_p95_s", "rss_mib", "cpu_cores"]
    contract += ["records", "records_per_s", "lost", "out_of_order", "peer_records_per_s"]
    result = Result("burst")
    result.note(jobs=3, lateness_p99_s=0.123456)
    result.extra["seconds"] = 10.0
    facts = json.loads(json.dumps(result.as_json()))
    assert list(KEYS) == contract
    assert list(facts)[: len(contract)] == contract
    assert (facts["scenario"], facts["jobs"], facts["lateness_p99_s"]) == ("burst", 3, 0.123)
    assert all(facts[key] is None for key in set(contract) - {"scenario", "jobs", "lateness_p99_s"})
    assert facts["machine"]["cpus"] == os.cpu_count()


def test_a_misspelt_key_is_refused() -> None:
    """A scenario cannot leave the contract by accident."""
    with pytest.raises(KeyError, match="lateness_p98_s"):
        Result("burst").note(lateness_p98_s=1)


def test_a_missed_target_is_not_a_wrong_result() -> None:
    """Speed depends on the machine; early, lost or double calls do not."""
    result = Result("steady")
    assert (result.correct, result.targets_met) == (True, None)
    result.aim(False, "lateness p99 2.00 s (at most 1.5 s)")
    assert (result.correct, result.targets_met) == (True, False)
    result.demand(False, "1 calls came early")
    assert not result.correct
    assert verdicts(result) == [
        "steady: MISSED: lateness p99 2.00 s (at most 1.5 s)",
        "steady: WRONG: 1 calls came early",
    ]


def test_a_disturbed_measurement_says_so() -> None:
    """Numbers that were taken beside other work carry a caveat."""
    quiet, noisy = Result("burst"), Result("burst")
    quiet.disturbed(0.1)
    noisy.disturbed(0.8)
    assert verdicts(quiet) == []
    assert verdicts(noisy) == ["burst: but 0.8 cores were busy with something else, so its speed means little"]
    assert noisy.as_json()["other_cores"] == 0.8


def test_the_table_is_markdown() -> None:
    """A line per scenario, as wide as the head; what does not apply is a dash, and no column if it never does."""
    burst, steady = Result("burst"), Result("steady")
    steady.note(jobs=1000, expected=60_000, lateness_p50_s=0.25)
    lines = table([burst, steady]).splitlines()
    assert len(lines) == 4
    assert len({len(line) for line in lines}) == 1
    assert lines[1].startswith("|---")
    assert lines[1].endswith("-:|")
    assert "60,000" in lines[3]
    assert "0.25" in lines[3]
    assert "–" in lines[2]
    assert "late p50 s" in lines[0]
    assert "late p99 s" not in lines[0]


# -- scenarios --------------------------------------------------------------------------------------------------------


def test_the_scenarios_are_those_of_the_table() -> None:
    """Each says in a line what it measures, and has a small form."""
    known = all_scenarios()
    assert list(known) == [
        "api",
        "burst",
        "capacity",
        "chaos",
        "connectors",
        "edit",
        "faults",
        "growth",
        "ingest",
        "retries",
        "single",
        "steady",
        "timers",
        "timers-kill",
        "vanilla",
        "workflows",
    ]
    assert all(scenario.summary for scenario in known.values())
    assert [name for name, scenario in known.items() if scenario.has_own_system] == ["chaos", "vanilla"]


def test_options_come_from_the_command_line() -> None:
    """What is given wins over the small form, and that over the defaults."""
    steady = all_scenarios()["steady"]
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    steady.add_options(parser)
    assert steady.options(parser.parse_args([])) == steady.module.Options()
    assert steady.options(parser.parse_args(["--small"])) == steady.module.SMALL
    given = steady.options(parser.parse_args(["--small", "--jobs", "7"]))
    assert (given.jobs, given.seconds) == (7, steady.module.SMALL.seconds)


def test_vanilla_offers_every_dag_its_turns() -> None:
    """What is expected of plain Airflow is its cron expression: second `n % every` and every `every` after it."""
    vanilla = all_scenarios()["vanilla"].module
    options = vanilla.Options(jobs=4, every=4, seconds=8)
    expected = vanilla._expected(options, Window(NOON, NOON + timedelta(seconds=8)))
    assert expected == {
        webhook_id(number, NOON + timedelta(seconds=second)) for number in range(4) for second in (number, number + 4)
    }


def test_the_database_goes_down_amid_the_kills() -> None:
    """With the database's restart after about as many kills as before it."""
    faults = all_scenarios()["faults"].module
    assert faults._faults(1) == ["triggerer", "PostgreSQL"]
    assert faults._faults(5) == [*["triggerer"] * 3, "PostgreSQL", *["triggerer"] * 2]


# -- usage ------------------------------------------------------------------------------------------------------------


def test_usage_is_that_of_the_process_tree() -> None:
    """What a component's processes use is counted under its name, what belongs to none under the supervisor."""
    me = Identity.of(os.getpid())
    assert me is not None
    run = Run(me, "http://127.0.0.1:1", "admin", "secret", "", demo=False)
    with closing(Sink()) as sink:
        identity = Identity.of(sink.pid)
        assert identity is not None
        run.components["sink"] = Component(identity, "", 0)
        before = usage.cpu_time(run)
        time.sleep(0.05)
        after = usage.cpu_time(run)
        assert set(before.seconds) >= {"supervisor", "sink"}
        assert all(share >= 0 for share in usage.cores(before, after).values())
        memory = usage.memory_mib(run)
    if Path("/proc/self/smaps_rollup").exists():
        assert memory is not None
        assert memory > 10
    else:
        assert memory is None


def test_a_meter_reads_what_was_used_since_it_was_made() -> None:
    """The largest memory that was seen, and the cores of each component."""
    me = Identity.of(os.getpid())
    assert me is not None
    run = Run(me, "http://127.0.0.1:1", "admin", "secret", "", demo=False)
    meter = usage.Meter(lambda: run)
    time.sleep(0.05)
    used = meter.read()
    assert "supervisor" in used.cores
    assert used.memory_mib is None or used.memory_mib > 10


def test_cores_are_seconds_per_second() -> None:
    """Half a second of work in two seconds is a quarter of a core; the busiest comes first."""
    before = usage.CpuTime(10.0, {"triggerer": 1.0, "scheduler": 5.0}, others=40.0)
    after = usage.CpuTime(12.0, {"triggerer": 1.5, "scheduler": 7.0, "postgres": 0.1}, others=41.0)
    assert usage.other_cores(before, after) == 0.5
    assert list(usage.cores(before, after).items()) == [("scheduler", 1.0), ("triggerer", 0.25), ("postgres", 0.05)]
