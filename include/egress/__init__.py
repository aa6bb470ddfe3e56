"""Where calls may go: the guarded way out of the process.

An address is judged at the moment of connecting to it. So one check covers every way to name a machine: literals in
any spelling, names, names whose answer changes between two look-ups (DNS rebinding), and each hop of a redirect.
"""

from __future__ import annotations

from include.egress.addresses import Network, refusal
from include.egress.client import USER_AGENT, Egress, egress_of
from include.egress.hosts import checked, parse_url
from include.egress.permitted import permitted_addresses
from include.egress.redirects import MAX_REDIRECTS
from include.model import BODY_CAP

__all__ = [
    "BODY_CAP",
    "MAX_REDIRECTS",
    "USER_AGENT",
    "Egress",
    "Network",
    "checked",
    "egress_of",
    "parse_url",
    "permitted_addresses",
    "refusal",
]
