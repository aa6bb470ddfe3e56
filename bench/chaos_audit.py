"""The audit of `chaos`: what was due, what the database has, and what receivers saw, held against each other. Pure.

What was due is worked out here and not by the schedule under test; the jobs of `chaos` are simple enough for that.
Instants are microseconds since the epoch.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

SECOND = 1_000_000
_FINAL = ("success", "failed", "skipped", "missed", "cancelled")
_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Beat:
    """When a job is due: at `first`, and then every `every` until before `end`; just once if `every` is 0."""

    first: int
    every: int
    end: int

    def dues(self) -> Iterator[int]:
        if self.every:
            yield from range(self.first, self.end, self.every)
        else:
            yield self.first


@dataclass(frozen=True, slots=True)
class AuditedJob:
    """A job as the audit knows it. `place`: where its sends come to, and no other's; `owed_from`: what was due before
    then is nobody's fault. `keyed`: its sends tell their occurrence. `makes_up`: it misses nothing, however late.
    """

    id: int
    place: str
    beat: Beat
    owed_from: int
    keyed: bool = True
    makes_up: bool = False
    at_most_once: bool = False


class Entry(NamedTuple):
    """A row of the ledger."""

    job_id: int
    due: int
    status: str
    attempt: int


class Send(NamedTuple):
    """Something that a receiver got: when, under which key (if any), where."""

    at: int
    key: str
    place: str


class AuditedTimer(NamedTuple):
    """A timer: what was asked for, and its row now."""

    id: int
    due: int
    place: str
    status: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the audit; `breaches` name what is wrong, all of it."""

    what: str
    expected: int | str
    found: int
    breaches: Sequence[str] = ()

    def as_json(self) -> dict[str, object]:
        some = list(self.breaches[:_EXAMPLES])
        return {
            "what": self.what,
            "expected": self.expected,
            "found": self.found,
            "breach": len(self.breaches),
            "e.g.": some,
        }


def none_of(what: str, found: Iterable[str]) -> Line:
    """A line of what there must be nothing of."""
    breaches = list(found)
    return Line(what, 0, len(breaches), breaches)


def parse_sends(dump: str) -> list[Send]:
    """The sends of a dump: seconds since the epoch, key, place."""
    parts = (line.split(",", 2) for line in dump.splitlines())
    return [Send(round(float(at) * SECOND), key, place) for at, key, place in parts]


def job_key(job_id: int, due: int) -> str:
    return f"job_{job_id}_{due}"


def audit_jobs(jobs: Collection[AuditedJob], ledger: Sequence[Entry], sends: Sequence[Send]) -> list[Line]:
    """Every occurrence has one row, with an end; and every send a row, and its instant behind it."""
    rows = {(entry.job_id, entry.due): entry for entry in ledger}
    by_place = defaultdict[str, list[Send]](list)
    for send in sends:
        by_place[send.place].append(send)
    keyed = [job for job in jobs if job.keyed]
    unkeyed = [job for job in jobs if not job.keyed]
    return [
        *_audit_ledger(jobs, ledger, rows),
        *_audit_keyed(keyed, rows, by_place),
        *_audit_unkeyed(unkeyed, ledger, by_place),
    ]


def _audit_ledger(
    jobs: Collection[AuditedJob], ledger: Sequence[Entry], rows: Mapping[tuple[int, int], Entry]
) -> list[Line]:
    owed = [(job.id, due) for job in jobs for due in job.beat.dues() if due >= job.owed_from]
    possible = {(job.id, due) for job in jobs for due in job.beat.dues()}
    times = Counter((entry.job_id, entry.due) for entry in ledger)
    missing = [f"{job_key(*one)} has no row" for one in owed if one not in rows]
    twice = [f"{job_key(*one)} has {number} rows" for one, number in times.items() if number > 1]
    makes_up = {job.id: job.owed_from for job in jobs if job.makes_up}
    return [
        Line("occurrences with exactly one ledger row", len(owed), len(owed) - len(missing), missing + twice),
        none_of("ledger rows of no occurrence", (job_key(*one) for one in rows if one not in possible)),
        none_of(
            "ledger rows without an end",
            (f"{job_key(e.job_id, e.due)} is {e.status}" for e in ledger if e.status not in _FINAL),
        ),
        none_of(
            "occurrences given up, of jobs that make up for all",
            (
                f"{job_key(e.job_id, e.due)} is {e.status}"
                for e in ledger
                if e.due >= makes_up.get(e.job_id, e.due + 1) and e.status in ("missed", "skipped", "cancelled")
            ),
        ),
    ]


def _audit_keyed(
    jobs: Collection[AuditedJob], rows: Mapping[tuple[int, int], Entry], by_place: Mapping[str, Sequence[Send]]
) -> list[Line]:
    """Sends that tell their occurrence."""
    unknown, beyond, early, twice, unseen = [], [], [], [], []
    repeated = 0
    for job in jobs:
        entries = {job_key(*one): entry for one, entry in rows.items() if one[0] == job.id}
        times = Counter[str]()
        for send in by_place.get(job.place, ()):
            entry = entries.get(send.key)
            times[send.key] += 1
            if entry is None or entry.attempt == 0:
                unknown.append(f"{send.key or 'a send without key'} at {job.place}")
            elif send.at < entry.due:
                early.append(f"{send.key}: {(entry.due - send.at) / SECOND:.3f} s early")
        for key, number in times.items():
            attempts = entries[key].attempt if key in entries else 0
            repeated += number - 1
            if number > attempts > 0:
                beyond.append(f"{key}: {number} sends in {attempts} attempts")
            if job.at_most_once and number > 1:
                twice.append(f"{key}: {number} sends")
        unseen += [key for key, entry in entries.items() if entry.status == "success" and not times[key]]
    return [
        none_of("sends without a ledger row", unknown),
        none_of("sends beyond the attempts in the ledger", beyond),
        none_of("sends before their instant", early),
        none_of("second sends, of what is sent at most once", twice),
        none_of("successes that no receiver saw", unseen),
        Line("sends again, under the same key", "any", repeated),
    ]


def _audit_unkeyed(
    jobs: Collection[AuditedJob], ledger: Sequence[Entry], by_place: Mapping[str, Sequence[Send]]
) -> list[Line]:
    """Sends that do not tell their occurrence: at no time more of them than attempts at what was due by then."""
    strange, unseen = [], []
    for job in jobs:
        entries = sorted((entry for entry in ledger if entry.job_id == job.id), key=lambda entry: entry.due)
        sends = sorted(by_place.get(job.place, ()))
        for number, send in enumerate(sends, start=1):
            allowed = sum(entry.attempt for entry in entries if entry.due <= send.at)
            if number > allowed:
                strange.append(f"{job.place}: send {number} with {allowed} attempts due by then")
        successes = sum(entry.status == "success" for entry in entries)
        if successes > len(sends):
            unseen.append(f"{job.place}: {successes} successes, {len(sends)} sends")
    return [
        none_of("unkeyed sends that are early, or without a row", strange),
        none_of("unkeyed successes that no receiver saw", unseen),
    ]


def audit_timers(timers: Collection[AuditedTimer], sends: Sequence[Send]) -> list[Line]:
    """Every timer has fired, none early; one that failed was sent all the same."""
    known = {f"timer_{timer.id}": timer for timer in timers}
    times, early, unknown = Counter[str](), [], []
    places = {timer.place for timer in timers}
    for send in sends:
        timer = known.get(send.key)
        if timer is not None:
            times[send.key] += 1
            if send.at < timer.due:
                early.append(f"{send.key}: {(timer.due - send.at) / SECOND:.3f} s early")
        elif send.place in places:
            unknown.append(send.key or f"a send without key at {send.place}")
    unfired = [
        f"{key} is {t.status}" for key, t in known.items() if t.status not in ("fired", "failed") or not times[key]
    ]
    beyond = [
        f"{key}: {times[key]} sends in {t.attempt} attempts" for key, t in known.items() if times[key] > t.attempt
    ]
    return [
        Line("timers that fired", len(known), len(known) - len(unfired), unfired),
        none_of("timers that fired early", early),
        none_of("sends of no timer", unknown),
        none_of("sends of timers beyond their attempts", beyond),
    ]


def table(lines: Sequence[Line]) -> list[str]:
    """The audit as lines of text, with examples of each breach below."""
    cells = [("what", "expected", "found", "breach")]
    cells += [(line.what, str(line.expected), str(line.found), str(len(line.breaches) or "–")) for line in lines]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    texts = []
    for row in cells:
        first, *others = (
            cell.ljust(w) if place == 0 else cell.rjust(w)
            for place, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        texts.append(" | ".join((first, *others)))
    texts.insert(1, "-+-".join("-" * width for width in widths))
    return texts
