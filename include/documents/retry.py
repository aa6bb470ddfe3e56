"""What jobs, workflows and timers say about failed attempts."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from include.documents.fields import Document, Duration, Seconds, Shown, between

_DAY = timedelta(days=1)


class RetrySettings(Document):
    """Whether a failed attempt is made again, and when (`include/retry.py`)."""

    retries: int = Field(3, ge=0, le=100, description="Attempts after the first.")
    retry_delay: Annotated[Duration, between(timedelta(0), _DAY)] = Field(
        timedelta(seconds=2), description="Before the first retry."
    )
    retry_backoff: float = Field(2.0, ge=1, le=10, description="Each wait is so many times the one before.")
    retry_max_delay: Annotated[Duration, between(timedelta(0), _DAY)] = Field(
        timedelta(hours=1), description="The longest wait."
    )
    retry_jitter: float = Field(0.1, ge=0, le=1, description="Each wait is up to this share longer.")
    no_retry_on: list[Annotated[int, Field(ge=100, le=599)]] = Field(
        [],
        max_length=100,
        description="HTTP statuses that are final: an attempt that gets one is not made again.",
        examples=[[404, 410]],
    )


class ShownRetry(Shown):
    """The same, as it is shown."""

    retries: int
    retry_delay: Seconds
    retry_backoff: float
    retry_max_delay: Seconds
    retry_jitter: float
    no_retry_on: list[int]
