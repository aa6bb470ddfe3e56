"""What an attempt sends, as the ledger notes it: a few short texts, in which no secret is left."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache
from itertools import islice

from yarl import URL

from include.egress import parse_url
from include.model import BODY_CAP, Http, Reply
from include.shifts.blot import Blot
from include.shifts.likely_secrets import without_likely_secrets
from include.shifts.storable import storable_text

log = logging.getLogger(__name__)

LONGEST = 500
_MOST = 10
_LOOKED_AT = 4096  # characters; what is cut in the middle of a secret lies far beyond what is kept


class Noted:
    """The way out of one attempt. What goes through it first is noted in `sent`, if its kind has noted nothing."""

    def __init__(self, http: Http) -> None:
        self.sent: dict[str, str] = {}
        self._http = http

    def shown(self, blot: Blot) -> dict[str, str]:
        """What was sent, as it can be kept: without secrets, and no more than ten texts of 500 characters.

        It raises nothing: what was done is done, whatever a kind has noted of it.
        """
        sent = islice(dict(self.sent).items(), _MOST)  # a copy: a thread that was left behind may still write
        try:
            return {_kept(str(name)): _kept(blot.text(str(text))[:_LOOKED_AT]) for name, text in sent}
        except Exception as error:
            log.warning("what was sent cannot be noted: %s", type(error).__name__)
            return {}

    async def addresses(self, host: str, port: int) -> list[str]:
        """As `Http.addresses`."""
        return await self._http.addresses(host, port)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_seconds: float,
        follow_redirects: bool = True,
        body_cap: int = BODY_CAP,
    ) -> Reply:
        """As `Http.request`; of where redirects have led, nothing is noted but host and path."""
        target = None if self.sent else _target(url, params)
        if target is not None:
            self.sent.update(method=method, url=target)
        reply = await self._http.request(
            method,
            url,
            headers=headers,
            params=params,
            body=body,
            timeout_seconds=timeout_seconds,
            follow_redirects=follow_redirects,
            body_cap=body_cap,
        )
        if target is not None and follow_redirects and reply.url != target:
            self.sent["redirected_to"] = reply.url.partition("?")[0]
        return reply


def _target(url: str, params: Mapping[str, str] | None) -> str:
    try:
        target: URL = parse_url(url)
        return str(target.extend_query(params) if params else target)
    except ValueError:  # it will not be sent
        return url


@lru_cache(maxsize=2048)
def _kept(text: str) -> str:
    plain = without_likely_secrets(storable_text(text))
    return plain if len(plain) <= LONGEST else f"{plain[:LONGEST]}…"
