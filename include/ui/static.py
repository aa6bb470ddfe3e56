"""What pages need besides HTML: served to anybody, for there is nothing in it but this project's own files."""

from __future__ import annotations

import os
from pathlib import Path

from fastapi.staticfiles import StaticFiles
from starlette.responses import Response
from starlette.types import Scope

_FOLDER = Path(__file__).parent / "static"


class _Files(StaticFiles):
    """Asked for again each time, by its ETag: a new release is never drawn with an old stylesheet."""

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def files() -> StaticFiles:
    """The files of the dashboard, as an app to be mounted."""
    return _Files(directory=_FOLDER)
