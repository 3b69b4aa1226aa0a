"""Distributions that can be added up: counts in buckets whose edges grow by a constant factor, so that parts make up the quantiles of all.

Averages of percentiles are no percentiles. A sketch of two ranks, or of eight steps, is the sum of theirs, bucket by bucket, and any
quantile of it is within GROWTH of the true one. Values below LEAST count as LEAST.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping

GROWTH = 1.05
"""Ratio of two neighbouring edges: a quantile is off by 2.5 % at most."""
LEAST = 1e-3
"""The lowest edge; for seconds a millisecond."""

_LOG = math.log(GROWTH)


def sketch(values: Iterable[float]) -> Counter[int]:
    """Bucket -> how many of the values; what is not finite is left out."""
    return Counter(bucket_of(value) for value in values if math.isfinite(value))


def bucket_of(value: float) -> int:
    """The bucket of a value: 0 up to LEAST, then k for values in (LEAST x GROWTH^(k-1), LEAST x GROWTH^k]."""
    return 0 if value <= LEAST else math.ceil(math.log(value / LEAST) / _LOG)


def value_of(bucket: int) -> float:
    """What stands for the values of a bucket: the middle of its edges."""
    return LEAST if bucket <= 0 else LEAST * GROWTH**bucket * (1 + 1 / GROWTH) / 2


def quantile(counts: Mapping[int, float], share: float) -> float:
    """The value that `share` of the counted values do not exceed (0.5: the median); NaN where nothing was counted."""
    total = sum(counts.values())
    if total <= 0:
        return math.nan
    seen = 0.0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if seen >= share * total:
            return value_of(bucket)
    return value_of(max(counts))
