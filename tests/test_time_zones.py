"""Time zones have the rules of the pinned package, also on a machine with another database of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, timezone
from importlib.resources import files
from pathlib import Path

import pytest

from include.errors import ConfigError
from include.local.home import PROJECT
from include.time_zones import zone_named, zone_names

_NOON_IN_BERLIN = """
from datetime import datetime, timezone
from zoneinfo import ZoneInfo
from include.schedule import Schedule
begin = datetime(2026, 7, 1, tzinfo=timezone.utc)
print(ZoneInfo("Europe/Berlin").utcoffset(begin.replace(tzinfo=None)))
print(Schedule(anchor=begin, salt=1, cron="0 12 * * *", timezone="Europe/Berlin").next_after(begin))
"""


def test_the_rules_of_the_machine_do_not_count(tmp_path: Path) -> None:
    """Where the operating system has Berlin in Japan, a job of Berlin fires as it does everywhere else."""
    (tmp_path / "Europe").mkdir()
    tokyo = files("tzdata").joinpath("zoneinfo", "Asia", "Tokyo").read_bytes()
    (tmp_path / "Europe" / "Berlin").write_bytes(tokyo)
    environment = {**os.environ, "PYTHONTZPATH": str(tmp_path)}
    said = subprocess.run(
        [sys.executable, "-c", _NOON_IN_BERLIN],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.splitlines() == ["9:00:00", "2026-07-01 10:00:00+00:00"]


def test_every_zone_can_be_read() -> None:
    """Each name that a row may give has rules, and says its name."""
    instant = datetime(2026, 7, 1, tzinfo=timezone.utc)
    for name in zone_names():
        assert instant.astimezone(zone_named(name)).utcoffset() is not None
        assert str(zone_named(name)) == name
    assert {"UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"} <= zone_names()


@pytest.mark.parametrize("name", ["localtime", "right/UTC", "../UTC", "/etc/localtime", "Europe", "", "europe/berlin"])
def test_what_is_no_zone_is_refused(name: str) -> None:
    """What depends on the machine, counts leap seconds, or is a path; a near miss is told what it may have meant."""
    with pytest.raises(ConfigError, match="unknown time zone"):
        zone_named(name)
