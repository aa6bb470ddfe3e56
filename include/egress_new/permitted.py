"""Addresses to connect to, for protocols other than HTTP."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import ip_address

from aiohttp.abc import AbstractResolver

from include.egress.addresses import Network, verdict
from include.egress.hosts import host_refusal
from include.egress.resolver import look_up
from include.errors import PermanentError, RetryableError
from include.host import plain_host


def permitted_addresses(
    host: str, port: int, allowed: tuple[Network, ...] = (), hosts: tuple[str, ...] = ()
) -> list[str]:
    """The addresses of a host that may be connected to, looked up now: connect to these, and look it up no more.

    `hosts`, if given, are the only ones that may be asked for; the port is free, for those settings are about HTTP.
    `PermanentError` if there are none, `RetryableError` if the name cannot be resolved. It blocks; `looked_up` does not.
    """
    place = _Place(host, port, hosts)
    return place.permitted(place.literal or _or_unresolved(place, look_up, ...), allowed)
