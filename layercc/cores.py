"""How many cores this process may use."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterable
from pathlib import Path

from layercc.cgroups import ROOT, cpu_quota


def allowed_processors() -> tuple[int, ...]:
    """The numbers of the processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


@functools.cache
def usable_cores() -> int:
    """Physical cores this process may run on, within its cgroup's quota; at least 1."""
    return cores_among(allowed_processors())


def cores_among(processors: Iterable[int], root: Path = ROOT) -> int:
    """The cores that these processors are of, within the quota; at least 1.

    Threads that share a core share its vector units, so a second one gains nothing here.
    """
    cores = len({siblings(number, root) for number in processors})
    return max(1, min(cores, math.ceil(cpu_quota(root) or cores)))


def siblings(number: int, root: Path = ROOT) -> str:
    """The processors that share a core with ``number``, as a list such as `0-1`, or itself where
    that is unknown."""
    folder = root / f"sys/devices/system/cpu/cpu{number}/topology"
    try:
        return (folder / "thread_siblings_list").read_text().strip()
    except OSError:
        return str(number)
