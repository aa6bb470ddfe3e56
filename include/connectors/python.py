"""Pull with a Python generator of your own, on a worker: any library, `requests` included, and it may block.

The function is named `module:function`, in the package `include.user_code` (`MILLRACE_USER_CODE`), and is called with
the cursor of the last committed page, None at first, and the arguments of the row; with `connection=` as well if the
row names one. It yields `include.model.Page`: records and cursor of each are stored together, so that after a crash the
next call goes on from there.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from pydantic import Field, JsonValue

from include import model
from include.errors import PermanentError
from include.model import Page, Source
from include.settings import settings
from include.user_function import PATTERN, user_function


class Config(model.Config):
    function: str = Field(
        pattern=PATTERN,
        description="The generator, as module:function; the module is in the package for user code.",
    )
    arguments: dict[str, JsonValue] = Field(default_factory=dict, description="What to call it with, by name.")
    conn_id: str | None = Field(default=None, description="The Airflow connection to hand to it, as `connection`.")


def pull(source: Source[Config]) -> Iterator[Page]:
    """Yield the pages of the user's generator."""
    config = source.config
    arguments: dict[str, Any] = dict(config.arguments)
    if source.connection is not None:
        arguments["connection"] = source.connection
    pages = user_function(settings().user_code, config.function)(source.cursor, **arguments)
    if not inspect.isgenerator(pages):
        raise PermanentError(f"{config.function} is no generator: it returned {type(pages).__name__}; yield pages")
    for page in pages:
        if not isinstance(page, Page):
            raise PermanentError(f"{config.function} yielded {type(page).__name__}; yield include.model.Page")
        yield page
