"""Addresses to connect to, for protocols other than HTTP."""

from __future__ import annotations

from ipaddress import ip_address

from aiohttp.abc import AbstractResolver

from include.egress.addresses import Network, verdict
from include.egress.hosts import host_refusal
from include.egress.resolver import ANY_FAMILY, look_up
from include.errors import PermanentError, RetryableError
from include.host import plain_host


def permitted_addresses(
    host: str, port: int, allowed: tuple[Network, ...] = (), hosts: tuple[str, ...] = ()
) -> list[str]:
    """The addresses of a host that may be connected to, looked up now: connect to these, and look it up no more.

    `hosts`, if given, are the only ones to go to. No port is refused: the setting for those is about HTTP.
    `PermanentError` if there are none, `RetryableError` if the name cannot be resolved. It blocks, for as long as the
    system takes for a look-up; `addresses_by` does not.
    """
    name = _asked_for(host, port, hosts)
    try:
        found = [name] if _is_address(name) else look_up(name)
    except OSError:
        raise _unresolved(host, port) from None
    return _permitted(host, port, found, allowed)


async def addresses_by(
    resolver: AbstractResolver, host: str, port: int, allowed: tuple[Network, ...], hosts: tuple[str, ...]
) -> list[str]:
    """As `permitted_addresses`, by a resolver that limits how long it takes."""
    name = _asked_for(host, port, hosts)
    if _is_address(name):
        return _permitted(host, port, [name], allowed)
    try:
        found = await resolver.resolve(name, port, ANY_FAMILY)
    except OSError:
        raise _unresolved(host, port) from None
    return _permitted(host, port, [one["host"] for one in found], allowed)


def _asked_for(host: str, port: int, hosts: tuple[str, ...]) -> str:
    try:
        name = plain_host(host)
    except ValueError as error:
        raise PermanentError(f"{host!r} port {port}: {error}") from None
    reason = host_refusal(name, hosts)
    if reason:
        raise PermanentError(f"{host} port {port}: refused: {reason}")
    return name


def _permitted(host: str, port: int, found: list[str], allowed: tuple[Network, ...]) -> list[str]:
    reasons = {address: verdict(address, allowed) for address in found}
    permitted = [address for address, reason in reasons.items() if reason is None]
    if not permitted:
        raise PermanentError(f"{host} port {port}: refused: {next(iter(reasons.values()), 'it has no address')}")
    return permitted


def _unresolved(host: str, port: int) -> RetryableError:
    return RetryableError(f"{host} port {port}: the host's name cannot be resolved")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
