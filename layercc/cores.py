"""How many cores this process may use."""

from __future__ import annotations

import functools
import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


@functools.cache
def usable_cores() -> int:
    """Physical cores this process may run on, within its cgroup's quota; at least 1.

    Threads that share a core share its vector units, so a second one gains nothing here.
    """
    if hasattr(os, "sched_getaffinity"):
        processors = os.sched_getaffinity(0)
    else:
        processors = set(range(os.cpu_count() or 1))
    cores = len({_siblings(number) for number in processors})
    return max(1, min(cores, cgroup_limit(_CGROUP)))


def _siblings(number: int) -> str:
    """The processors that share a core with ``number``, or itself where that is unknown."""
    try:
        return Path(_TOPOLOGY.format(number)).read_text().strip()
    except OSError:
        return str(number)


def cgroup_limit(root: Path) -> int:
    """Cores that the quota of the cgroup at ``root`` allows (version 2, then 1), rounded up."""
    try:
        quota, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (root / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return _unlimited()
    if quota in ("max", "-1"):
        return _unlimited()
    return max(1, math.ceil(int(quota) / int(period)))


def _unlimited() -> int:
    return os.cpu_count() or 1
