"""Cron expressions: what they mean on ordinary days."""

from __future__ import annotations

from itertools import islice

import pytest

from tests.schedule_oracle import (
    at,
    plan,
)


@pytest.mark.parametrize(
    ("cron", "wanted"),
    [
        ("0 9 * * mon-fri", ["01-05 09:00", "01-06 09:00"]),
        ("*/20 * * * *", ["01-05 00:00", "01-05 00:20"]),
        ("*/20 * * * * *", ["01-05 00:00", "01-05 00:00:20"]),
        ("15 30 8 * * *", ["01-05 08:30:15", "01-06 08:30:15"]),
        ("0 0 1 jan,MAR *", ["03-01 00:00", "01-01 00:00"]),
        ("0 0 L * *", ["01-31 00:00", "02-28 00:00"]),
        ("0 0 * * fri#1", ["02-06 00:00", "03-06 00:00"]),
        ("0 0 * * L5", ["01-30 00:00", "02-27 00:00"]),
        ("0 0 * * 7", ["01-11 00:00", "01-18 00:00"]),
        ("0 0 * * 0-7", ["01-05 00:00", "01-06 00:00"]),
        ("0 0 13 * fri", ["01-09 00:00", "01-13 00:00"]),
        ("0 0 29 2 *", ["02-29 00:00", "02-29 00:00"]),
        ("@hourly", ["01-05 00:00", "01-05 01:00"]),
        ("@daily", ["01-05 00:00", "01-06 00:00"]),
        (" @Midnight ", ["01-05 00:00", "01-06 00:00"]),
        ("@weekly", ["01-11 00:00", "01-18 00:00"]),
        ("@monthly", ["02-01 00:00", "03-01 00:00"]),
        ("@yearly", ["01-01 00:00", "01-01 00:00"]),
        ("@annually", ["01-01 00:00", "01-01 00:00"]),
    ],
)
def test_cron_syntax(cron: str, wanted: list[str]) -> None:
    """Five fields, six with the seconds first, names, macros, `L` and `#`; day of month and day of week are ORed."""
    found = islice(plan(cron=cron).between(at("2026-01-04 23:59:59"), at("2040-01-01")), 2)
    assert [f"{one:%m-%d %H:%M:%S}".removesuffix(":00") for one in found] == wanted
