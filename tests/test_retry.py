"""Retries: how many, how soon, and for which failures."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.errors import ConfigError, PermanentError, RateLimitedError, RetryableError
from include.retry import RetryPolicy


@pytest.mark.parametrize(("failures", "seconds"), [(1, 2), (2, 4), (3, 8), (10, 1024), (12, 3600), (500, 3600)])
def test_waits_grow_by_the_backoff_up_to_the_longest(failures: int, seconds: int) -> None:
    """2 s, 4 s, 8 s …, never more than the row allows."""
    assert RetryPolicy(jitter=0).wait(failures, "job") == timedelta(seconds=seconds)


@given(st.integers(1, 200), st.text(max_size=20), st.floats(0, 1), st.floats(1, 10))
def test_jitter_lengthens_a_wait_by_its_share_at_most(failures: int, salt: str, jitter: float, backoff: float) -> None:
    """A wait lies between the plain one and that plus the share, and is the same whenever it is asked for."""
    plain = RetryPolicy(jitter=0, backoff=backoff).wait(failures, salt)
    policy = RetryPolicy(jitter=jitter, backoff=backoff)
    assert plain <= policy.wait(failures, salt) <= plain * (1 + jitter) + timedelta(microseconds=1)
    assert policy.wait(failures, salt) == policy.wait(failures, salt)


def test_rows_that_failed_together_do_not_come_back_together() -> None:
    """The waits of a thousand rows are spread evenly over the jitter."""
    policy = RetryPolicy(jitter=0.5, delay=timedelta(seconds=10))
    waits = sorted(policy.wait(1, f"job_{number}").total_seconds() for number in range(1000))
    assert 10 <= waits[0] < 10.1
    assert 14.9 < waits[-1] < 15
    assert 12 < waits[500] < 13


def test_a_receiver_that_says_when_is_not_asked_earlier() -> None:
    """`Retry-After` is the least wait, and the policy's own counts where it is longer."""
    assert RetryPolicy(jitter=0).wait(1, "job", 60) == timedelta(seconds=60)
    assert RetryPolicy(jitter=0).wait(3, "job", 5) == timedelta(seconds=8)


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (RetryableError("no connection"), True),
        (RetryableError("503", code=503), True),
        (RateLimitedError("429", code=429), True),
        (RetryableError("502", code=502), False),
        (PermanentError("404", code=404), False),
        (ConfigError("no such kind"), False),
        (ValueError("a defect"), False),
    ],
)
def test_what_is_tried_again(error: Exception, again: bool) -> None:
    """What may succeed later is tried again, unless the row says that its status is final."""
    assert RetryPolicy(never_on=frozenset({502})).allows(error, 1) is again


@given(st.integers(0, 100), st.integers(1, 200))
def test_no_more_attempts_than_the_row_allows(retries: int, failures: int) -> None:
    """`retries` is the number of attempts after the first."""
    assert RetryPolicy(retries=retries).allows(RetryableError("down"), failures) is (failures <= retries)
