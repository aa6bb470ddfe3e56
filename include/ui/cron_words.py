"""Cron expressions in words."""

from __future__ import annotations

import re
from functools import lru_cache

from cron_descriptor import Options, get_description  # type: ignore[import-untyped] # it comes without

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_WITH_SECONDS = 6
# How many values second, minute, hour, day of month, month and day of week have; months are not equally long.
_CYCLES = (60, 60, 24, 0, 12, 7)
_DAY, _MONTH, _WEEKDAY = 3, 4, 5
_PLAIN = re.compile(r"[\dA-Z]+(?:,[\dA-Z]+)*", re.ASCII)
_LISTS_OF_SPECIAL = re.compile(r",.*[#LW?]|[#LW?].*,", re.ASCII)
_NAMES = re.compile(r"SUN|MON|TUE|WED|THU|FRI|SAT|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC")


@lru_cache(maxsize=4096)
def reading(cron: str) -> str | None:
    """`0 3 * * 1,5` is `At 03:00, on Monday and Friday`; None for what cannot be said so, or would be said wrongly."""
    fields = _MACROS.get(cron.strip().lower(), cron).upper().split()
    if not _can_be_said(fields):
        return None
    options = Options()
    options.locale_code = "en_US"  # else what the server's environment says
    options.use_24hour_time_format = True
    try:
        said = str(get_description(" ".join(fields), options))
    except Exception:  # whatever it stumbles over, the expression itself can be shown
        return None
    return said.replace("only on ", "on ").replace("only in ", "in ")


def _can_be_said(fields: list[str]) -> bool:
    """Whether the library reads this as Millrace does (`include/schedule.py`)."""
    fields = ["0", *fields] if len(fields) == _WITH_SECONDS - 1 else fields
    if len(fields) != _WITH_SECONDS:
        return False
    for field, cycle in zip(fields, _CYCLES, strict=True):
        steps = [int(step) for step in re.findall(r"(?:^|,)(?:\*|\d+)/(\d+)", field, re.ASCII)]
        if any(step > 1 and (step == 0 or cycle == 0 or cycle % step) for step in steps):
            return False  # `*/7` is not every 7 minutes: each hour begins anew
        if _LISTS_OF_SPECIAL.search(_NAMES.sub("", field)):
            return False
    # Where both are given, one is enough; of ranges and the like, the library says it as if both were needed.
    days = [field for field in (fields[_DAY], fields[_WEEKDAY]) if field not in ("*", "?")]
    return len(days) < 2 or all(_PLAIN.fullmatch(day) and not re.search(r"\d[LW]|^[LW]", day) for day in days)
