"""Where one shift of a fast schedule ends and the next begins.

Shifts of one row tile the time line in equal stretches. The borders are moved by a hash of the row's id, so that ten
thousand rows do not change shifts in the same second.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta, timezone

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def shift_end(row_id: int, instant: datetime, length: timedelta) -> datetime:
    """The first border later than `instant`: the end of the shift that `instant` falls into."""
    phase = _phase(row_id, length)
    whole = (instant - _EPOCH - phase) // length + 1
    return _EPOCH + phase + whole * length


def _phase(row_id: int, length: timedelta) -> timedelta:
    digest = hashlib.blake2b(row_id.to_bytes(8, "big", signed=True), digest_size=8).digest()
    seconds = int.from_bytes(digest, "big") % max(int(length.total_seconds()), 1)
    return timedelta(seconds=seconds)
