"""How late executions began, estimated from how many were between which bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise


def quantile(q: float, counts: Mapping[int, int], bounds: Sequence[float]) -> float | None:
    """The lateness in seconds that a share `q` of executions does not exceed; None if there are none.

    `counts` are by the number of a bucket, from 1: 1 + how many of the bounds were passed. Inside a bucket executions
    are taken to be spread evenly, as by Prometheus; beyond the last bound it is that bound.
    """
    wanted = q * sum(counts.values())
    if not wanted:
        return None
    seen = 0
    for bucket, (lower, upper) in enumerate(pairwise((0.0, *bounds)), 1):
        here = counts.get(bucket, 0)
        if here and seen + here >= wanted:
            return lower + (upper - lower) * (wanted - seen) / here
        seen += here
    return bounds[-1]
