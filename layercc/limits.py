"""What a machine can do at most: the rates that the time of a kernel is compared with.

A roofline (Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for
multicore architectures", CACM 52(4), 2009): the time of a computation is at least that of its
arithmetic at the peak rate, and at least that of moving its bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from layercc.kernels.element_types import ELEMENT_TYPES

#: Levels that data come from, nearest first: keys of `Limits.bytes_per_second`.
LEVELS = ("L1", "L2", "L3", "memory")


@dataclass(frozen=True)
class Limits:
    """Rates that `threads` threads of a device reach together.

    `flops`: by element type (`"f32"`, `"i8"`, ...), operations a second, a multiply-add counted as
    two. `bytes_per_second`: by level (`LEVELS`), bytes moved to and from it. `holds`: by level,
    the bytes that all caches of it hold for so many threads. What is not known is not there.
    """

    device: str
    threads: int
    flops: Mapping[str, float]
    bytes_per_second: Mapping[str, float]
    holds: Mapping[str, int] = field(default_factory=dict)

    def peak(self, dtype: str) -> float | None:
        """Operations a second on elements of `dtype`, or else on those that kernels compute it as;
        None where neither is known. Products of integers have the rate of those with a sign."""
        known = ELEMENT_TYPES.get(dtype)
        names = (dtype, known.computed if known else "", dtype.replace("u", "i", 1))
        return next((self.flops[name] for name in names if name in self.flops), None)

    def seconds(
        self, flops: float, nbytes: float, dtype: str = "f32", level: str = "memory"
    ) -> float:
        """The least time that `flops` operations on elements of `dtype` take, with `nbytes` bytes
        moved to and from `level`; data that a cache still holds take less than from memory. What
        is unknown of the machine bounds nothing."""
        compute = flops / (self.peak(dtype) or math.inf)
        return max(compute, nbytes / self.bytes_per_second.get(level, math.inf))

    def nearest_level(self, nbytes: float) -> str:
        """The nearest level that holds so many bytes: from where they come at best."""
        return next((name for name in LEVELS if nbytes <= self.holds.get(name, -1)), "memory")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` makes the limits again."""
        return asdict(self)

    @staticmethod
    def from_dict(data: Any) -> Limits:
        """The inverse of `to_dict`. Raises ValueError for data that no limits have."""
        try:
            limits = Limits(
                str(data["device"]),
                int(data["threads"]),
                {str(name): float(rate) for name, rate in data["flops"].items()},
                {str(name): float(rate) for name, rate in data["bytes_per_second"].items()},
                {str(name): int(size) for name, size in data["holds"].items()},
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"these are no limits: {type(error).__name__}: {error}") from error
        rates = (
            *limits.flops.values(),
            *limits.bytes_per_second.values(),
            *limits.holds.values(),
        )
        if limits.threads < 1 or not all(0 < rate < math.inf for rate in rates):
            raise ValueError("these are no limits: rates, sizes and threads must be positive")
        return limits
