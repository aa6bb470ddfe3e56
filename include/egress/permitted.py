"""Addresses to connect to, for protocols other than HTTP."""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from ipaddress import IPv4Address, ip_address

from aiohttp.abc import AbstractResolver

from include.egress.addresses import Network, verdict
from include.egress.hosts import host_refusal
from include.egress.resolver import ANY_FAMILY, look_up
from include.errors import PermanentError, RetryableError
from include.host import plain_host

_NUMBERS = re.compile(r"[0-9a-fA-FxX]+(\.[0-9a-fA-FxX]+){0,3}")


def permitted_addresses(
    host: str, port: int, allowed: tuple[Network, ...] = (), hosts: tuple[str, ...] = ()
) -> list[str]:
    """The addresses of a host that may be connected to, looked up now: connect to these, and look it up no more.

    `hosts`, if given, are the only ones to go to. No port is refused: the setting for those is about HTTP.
    `PermanentError` if there are none, `RetryableError` if the name cannot be resolved. It blocks, for as long as the
    system takes for a look-up; `addresses_by` does not.
    """
    name = _asked_for(host, hosts)
    try:
        found = [name] if _is_address(name) else look_up(name, port)
    except OSError:
        raise _unresolved(host) from None
    return _permitted(host, found, allowed)


async def addresses_by(
    resolver: AbstractResolver, host: str, port: int, allowed: tuple[Network, ...], hosts: tuple[str, ...]
) -> list[str]:
    """As `permitted_addresses`, by a resolver that limits how long it takes."""
    name = _asked_for(host, hosts)
    if _is_address(name):
        return _permitted(host, [name], allowed)
    try:
        found = await resolver.resolve(name, port, ANY_FAMILY)
    except OSError:
        raise _unresolved(host) from None
    return _permitted(host, [one["host"] for one in found], allowed)


def _asked_for(host: str, hosts: tuple[str, ...]) -> str:
    try:
        name = _read_as_number(host) or plain_host(host)
    except ValueError as error:
        raise PermanentError(f"a connection's host: {error}") from None  # which may hold a password
    reason = host_refusal(name, hosts)
    if reason:
        raise PermanentError(f"{host}: refused: {reason}")
    return name


def _read_as_number(host: str) -> str | None:
    """The address as which clients that are not a browser read `127.1`, `0x7f.1` or `2130706433`: judge it as that."""
    if _NUMBERS.fullmatch(host):
        with suppress(OSError):
            return str(IPv4Address(socket.inet_aton(host)))
    return None


def _permitted(host: str, found: list[str], allowed: tuple[Network, ...]) -> list[str]:
    reasons = {address: verdict(address, allowed) for address in found}
    permitted = [address for address, reason in reasons.items() if reason is None]
    if not permitted:
        raise PermanentError(f"{host}: refused: {next(iter(reasons.values()), 'it has no address')}")
    return permitted


def _unresolved(host: str) -> RetryableError:
    return RetryableError(f"{host}: the host's name cannot be resolved")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
