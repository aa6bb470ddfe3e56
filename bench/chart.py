"""A picture of what grows with what: small line charts beside each other, as SVG that needs nothing to be looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT = 300, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 20, 44, 40
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#57606a} .title{font-size:13px;font-weight:600;fill:#24292f}"
    " .grid{stroke:#d0d7de;stroke-width:1} .line{fill:none;stroke:#0969da;stroke-width:2} .dot{fill:#0969da}"
    " @media(prefers-color-scheme:dark){text{fill:#8b949e}.title{fill:#e6edf3}.grid{stroke:#30363d}}"
)


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart: `points` are (x, y) with x above 0, drawn by its logarithm; y begins at 0."""

    title: str
    unit: str
    points: Sequence[tuple[int, float]]


def drawn(panels: Sequence[Panel], x_title: str) -> str:
    """The picture, as the text of an SVG file."""
    width = _WIDTH * len(panels)
    inner = "".join(_panel(panel, place * _WIDTH, x_title) for place, panel in enumerate(panels))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" width="{width}" height="{_HEIGHT}"'
        f' role="img"><style>{_STYLE}</style>{inner}</svg>\n'
    )


def _panel(panel: Panel, left: int, x_title: str) -> str:
    top = _ceiling(max(y for _, y in panel.points))
    logs = [math.log10(x) for x, _ in panel.points]
    span = max(logs[-1] - logs[0], 1e-9)
    wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    places = [
        (left + _LEFT + wide * (at - logs[0]) / span, _TOP + high * (1 - y / top))
        for at, (_, y) in zip(logs, panel.points, strict=True)
    ]
    parts = [_text(left + _LEFT, 20, f"{panel.title}", "title"), _text(left + _LEFT, 36, panel.unit)]
    for share in (0.0, 0.5, 1.0):
        y = _TOP + high * (1 - share)
        parts.append(f'<path class="grid" d="M{left + _LEFT} {y:.1f}h{wide}"/>')
        parts.append(_text(left + _LEFT - 6, y + 4, f"{top * share:g}", anchor="end"))
    for (x, _), (count, _) in zip(places, panel.points, strict=True):
        parts.append(_text(x, _HEIGHT - _BOTTOM + 16, _count(count), anchor="middle"))
    parts.append(_text(left + _LEFT + wide / 2, _HEIGHT - 6, x_title, anchor="middle"))
    parts.append('<path class="line" d="M' + " L".join(f"{x:.1f} {y:.1f}" for x, y in places) + '"/>')
    parts += [f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places]
    return "".join(parts)


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    named = f' class="{style}"' if style else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{named}>{escape(text)}</text>'


def _ceiling(most: float) -> float:
    """The smallest of 1, 2 and 5, with noughts, that is not below `most`."""
    if most <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(most))
    return next(unit * step for step in (1, 2, 5, 10) if unit * step >= most)


def _count(number: int) -> str:
    return f"{number / 1000:g}k" if number >= 1000 else str(number)
