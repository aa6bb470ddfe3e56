"""What a scenario found: numbers, what went wrong, which targets were reached; as JSON and as a table."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

# The contract: every result has exactly these, in this order, null where one does not apply; more may follow.
KEYS = (
    "scenario",
    "jobs",
    "expected",
    "fired",
    "ledger_rows",
    "duplicates",
    "early",
    "lateness_p50_s",
    "lateness_p99_s",
    "rate_per_s",
    "armed_s",
    "edit_p95_s",
    "rss_mib",
    "cpu_cores",
    "records",
    "records_per_s",
    "lost",
    "out_of_order",
    "peer_records_per_s",
)
_QUIET_CORES = 0.2
_DECIMALS = {
    "rate_per_s": 2,
    "rss_mib": 0,
    "armed_s": 1,
    "edit_p95_s": 2,
    "cpu_cores": 2,
    "records_per_s": 0,
    "peer_records_per_s": 0,
}
_TITLES = {
    "ledger_rows": "in ledger",
    "lateness_p50_s": "late p50 s",
    "lateness_p99_s": "late p99 s",
    "rate_per_s": "per s",
    "armed_s": "armed s",
    "edit_p95_s": "edit p95 s",
    "rss_mib": "MiB",
    "cpu_cores": "cores",
    "records_per_s": "records/s",
    "out_of_order": "out of order",
    "peer_records_per_s": "peer's records/s",
}


@dataclass(frozen=True, slots=True)
class Target:
    """Something that the full size should reach on the machine that the README names."""

    text: str
    reached: bool


@dataclass
class Result:
    """One scenario's outcome; `values` are the contract's keys, `extra` what is worth knowing besides."""

    scenario: str
    values: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    caveats: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)  # what is printed besides, as it is

    def note(self, **values: object) -> None:
        """Set keys of the contract."""
        unknown = values.keys() - set(KEYS)
        if unknown:
            raise KeyError(f"{sorted(unknown)} are not in the contract; they belong into extra")
        self.values.update(values)

    def demand(self, holds: bool, otherwise: str) -> None:
        """What must hold whatever the machine; else the run is wrong."""
        if not holds:
            self.wrong.append(otherwise)

    def disturbed(self, other_cores: float) -> None:
        """Say how many cores were busy with something else meanwhile."""
        self.extra["other_cores"] = other_cores
        if other_cores > _QUIET_CORES:
            self.caveats.append(f"{other_cores:g} cores were busy with something else, so its speed means little")

    def aim(self, reached: bool, text: str) -> None:
        """What should hold at full size."""
        self.targets.append(Target(text, reached))

    @property
    def correct(self) -> bool:
        return not self.wrong

    @property
    def targets_met(self) -> bool | None:
        """None where nothing was aimed at: at a small size, speed is not judged."""
        return all(target.reached for target in self.targets) if self.targets else None

    def as_json(self) -> dict[str, Any]:
        contract = {key: _rounded(key, self.values.get(key)) for key in KEYS}
        contract["scenario"] = self.scenario
        return {
            **contract,
            **self.extra,
            "correct": self.correct,
            "wrong": self.wrong,
            "targets_met": self.targets_met,
            "targets": {target.text: target.reached for target in self.targets},
            "measured_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "machine": machine(),
        }


def _rounded(key: str, value: Any) -> Any:
    if not isinstance(value, float):
        return value
    decimals = _DECIMALS.get(key, 3)
    return round(value, decimals) if decimals else round(value)


def table(results: Iterable[Result]) -> str:
    """The results as a table that can be pasted into Markdown, with the columns that apply to any of them."""
    facts = [result.as_json() for result in results]
    keys = [key for key in KEYS if any(fact[key] is not None for fact in facts)]
    rows = [[_TITLES.get(key, key) for key in keys]]
    rows += [["–" if fact[key] is None else _spell(fact[key]) for key in keys] for fact in facts]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(_aligned(row, widths)) + " |" for row in rows]
    lines.insert(
        1, "|" + "|".join("-" * (width + 1) + ("-" if not at else ":") for at, width in enumerate(widths)) + "|"
    )
    return "\n".join(lines)


def _spell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]


def verdicts(result: Result) -> list[str]:
    """What is printed besides, and a line per target, per caveat and per thing that was wrong."""
    lines = result.lines + [
        f"{result.scenario}: {'reached' if target.reached else 'MISSED'}: {target.text}" for target in result.targets
    ]
    lines += [f"{result.scenario}: but {text}" for text in result.caveats]
    return lines + [f"{result.scenario}: WRONG: {text}" for text in result.wrong]


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    return {
        "cpus": os.cpu_count(),
        "cpu": _cpu_model(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
