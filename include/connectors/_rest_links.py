"""The `Link` header (RFC 8288)."""

from __future__ import annotations

import re
from collections.abc import Mapping

# A target in angle brackets, and its parameters: whatever is quoted, or neither a comma nor a quote.
_LINK = re.compile(r'<([^>]*)>((?:[^,"<]|"(?:[^"\\]|\\.)*")*)')
_REL = re.compile(r""";\s*rel\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s;,"']+))""", re.IGNORECASE)


def links(headers: Mapping[str, str]) -> dict[str, str]:
    """The target of each relation that the headers name; the last one where a relation has several."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        if name.lower() != "link":
            continue
        for target, parameters in _LINK.findall(value):
            rel = _REL.search(parameters)
            for relation in (rel[1] or rel[2] or rel[3] or "").split() if rel else ():
                found[relation] = target.strip()
    return found
