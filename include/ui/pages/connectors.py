"""Connectors: their state, what they pull, and what is wrong with them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from include.api.login import CallerDep
from include.ui.form import SentForm
from include.ui.page import PageApi, done, draw, page_router

router = page_router()

_SIZE = 50
_STATES = ("active", "paused", "failing", "rate-limited", "error")
_SORTS = ("name", "-created_at", "-updated_at", "kind", "owner")


@router.get("/connectors")
async def connectors_page(
    request: Request,
    api: PageApi,
    caller: CallerDep,
    search: str = "",
    kind: str = "",
    owner: str = "",
    state: str = "",
    sort: str = "name",
    cursor: str = "",
) -> Response:
    """Connectors that can be searched, filtered and sorted; each with how it is, and when it was pulled last."""
    chosen: dict[str, Any] = {"search": search, "kind": kind, "owner": owner, "state": state, "sort": sort}
    page = await api.get("/connectors", **chosen, cursor=cursor, limit=_SIZE)
    kinds = await _kinds(api)
    return draw(
        request,
        "connectors.html",
        page=page,
        chosen=chosen,
        kinds=kinds,
        pushed=_pushed(kinds),
        states=_STATES,
        sorts=_SORTS,
        filtered=bool(search or kind or owner or state),
    )


@router.get("/connectors/{connector_id}")
async def connector_page(connector_id: int, request: Request, api: PageApi, caller: CallerDep) -> Response:
    """One connector: where it stands, what was wrong, how records come in, and who reads them."""
    connector = await api.get(f"/connectors/{connector_id}")
    readers = await api.get("/workflows", connector_id=connector_id, sort="name", limit=_SIZE)
    kinds = await _kinds(api)
    hook = _hook(request, connector_id) if connector["pushed_to"] else None
    return draw(
        request,
        "connector.html",
        connector=connector,
        summary=kinds.get(connector["kind"], {}).get("summary"),
        readers=readers,
        hook=hook,
        example=_example(hook, connector["config"]) if hook else None,
    )


@router.post("/connectors/{connector_id}/rewind")
async def rewind_connector(connector_id: int, request: Request, api: PageApi, form: SentForm) -> Response:
    """Forget the cursor, so that the next pull begins anew."""
    connector = await api.post(f"/connectors/{connector_id}/rewind")
    return done(request, f"The next pull of {connector['name']} begins anew.")


async def _kinds(api: PageApi) -> dict[str, Any]:
    return {found["kind"]: found for found in (await api.get("/kinds"))["connectors"]}


def _pushed(kinds: Mapping[str, Any]) -> set[str]:
    """The kinds that do not pull: records are pushed to them."""
    return {name for name, kind in kinds.items() if kind["runs_on"] == "api"}


def _hook(request: Request, connector_id: int) -> str:
    """Where records are pushed to, as it is seen from the page."""
    root = request.scope.get("root_path", "")
    return f"{request.url.scheme}://{request.url.netloc}{root}/hooks/{connector_id}"


def _example(hook: str, config: Mapping[str, Any]) -> str:
    """A delivery as a shell sends it, signed as the connector lays down; `SECRET` is the secret of its connection."""
    verify = config.get("verify", "standard")
    lines = ["body='{\"order\": 17}'"]
    if verify == "standard":
        lines += [
            "id=msg_$RANDOM$RANDOM; now=$(date +%s)",
            'key=$(printf %s "${SECRET#whsec_}" | base64 -d | od -An -v -tx1 | tr -d " \\n")',
        ]
        signing = "openssl dgst -sha256 -mac HMAC -macopt hexkey:$key -binary | base64"
        lines += [f'signature=$(printf %s "$id.$now.$body" | {signing})']
        headers = ['"webhook-id: $id"', '"webhook-timestamp: $now"', '"webhook-signature: v1,$signature"']
    elif verify == "hmac":
        algorithm = config.get("algorithm", "sha256")
        prefix = f"{algorithm}=" if config.get("prefix") is None else config["prefix"]
        spelling = "-binary | base64 -w0" if config.get("encoding") == "base64" else "-r | cut -d ' ' -f 1"
        signing = f'openssl dgst -{shlex.quote(str(algorithm))} -hmac "$SECRET" {spelling}'
        lines += [f'signature=$(printf %s "$body" | {signing})']
        headers = [shlex.quote(f"{config.get('header', 'X-Hub-Signature-256')}: {prefix}") + '"$signature"']
    else:
        headers = ['"Authorization: Bearer $SECRET"']
    sent = "".join(f" \\\n  -H {header}" for header in ["'Content-Type: application/json'", *headers])
    return "\n".join([*lines, f'curl {shlex.quote(hook)}{sent} \\\n  -d "$body"'])
