"""Quantiles of measured times, how sure they are, and how many calls at the begin warm up.

Nothing here assumes how times are distributed: they are skewed, with tails that other programs on
the machine make. Intervals are pairs of order statistics, whose confidence follows from the
binomial distribution alone (David & Nagaraja, "Order Statistics", 2003, section 7.1; Le Boudec,
"Performance Evaluation of Computer and Communication Systems", 2010, section 2.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
#: Calls of which the median is one value for `warm_up_calls`: a single slow one does not count.
BATCH = 5
#: Values from which on a warm-up can be told from noise.
LEAST_BATCHES = 10


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a quantile lies, with at least this confidence (less than was asked for only where
    there are too few values: it is then all of their range)."""

    low: float
    high: float
    confidence: float


def calls_needed(q: float, confidence: float = CONFIDENCE) -> int:
    """The least number of values whose largest is above the quantile `q` with that confidence:
    1 - q^n (Wilks, "Determination of sample sizes for setting tolerance limits", 1941).

    Fewer say nothing of the quantile: 29 for 0.9, 299 for 0.99, 2995 for 0.999.
    """
    return math.ceil(math.log1p(-confidence) / math.log(q))


def interval(
    values: Sequence[float] | np.ndarray, q: float = 0.5, confidence: float = CONFIDENCE
) -> Interval:
    """An interval that holds the quantile `q` of what `values` are drawn from, independently.

    Raises ValueError if there are no values.
    """
    if not len(values):
        raise ValueError("no values")
    ordered = np.sort(np.asarray(values, dtype=float))
    below = _binomial(len(ordered), q)
    tail = (1 - confidence) / 2
    # the value of rank i, from 0, is above the quantile if at most i values are below that
    low = max(int(np.searchsorted(below, tail, side="right")) - 1, 0)
    high = min(int(np.searchsorted(below, 1 - tail, side="left")), len(ordered) - 1)
    covered = max(float(below[high] - below[low]), 0.0)
    return Interval(float(ordered[low]), float(ordered[high]), covered)


def _binomial(count: int, q: float) -> np.ndarray:
    """The chances that at most 0, 1, ... `count` of so many values are below their quantile `q`."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    below = np.arange(count + 1)
    chances = logs[count] - logs - logs[::-1] + below * math.log(q)
    return np.minimum(np.cumsum(np.exp(chances + (count - below) * math.log1p(-q))), 1.0)


def warm_up_calls(seconds: Sequence[float]) -> int | None:
    """How many calls at the begin differ from those that follow; None if that cannot be told yet:
    too few calls, or times that still change.

    MSER-5 (White, "An effective truncation heuristic for bias reduction in simulation output",
    1997; White & Robinson, "The problem of the initial transient (again)", 2010): cut off as much
    as makes the mean of the rest surest, that is, sum of squares / n² least; where this is half of
    all or more, the series is too short. Of each five calls the median counts, so that single slow
    ones do not; of fewer than 50 calls each one counts.
    """
    values = np.asarray(seconds, dtype=float)
    size = BATCH if len(values) >= BATCH * LEAST_BATCHES else 1
    count = len(values) // size
    if count < LEAST_BATCHES:
        return None
    batches = np.median(values[: count * size].reshape(count, size), axis=1)
    middle = np.median(batches)
    batches = batches - middle  # small numbers: their squares keep their digits
    batches[np.abs(batches) <= 1e-6 * middle] = 0.0  # roundings are no noise
    left = np.arange(count, 0, -1)
    sums = np.cumsum(batches[::-1])[::-1]
    squares = np.cumsum(np.square(batches)[::-1])[::-1]
    spread = np.maximum(squares - np.square(sums) / left, 0.0) / np.square(left)
    cut = int(np.argmin(spread[: count - LEAST_BATCHES // 2 + 1]))
    return None if 2 * cut >= count else cut * size
