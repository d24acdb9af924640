"""The measured limits of this machine, kept beside the compiled kernels.

One file for each processor, instruction set, number of threads and number of cores that the process
may use. A file that is damaged, or of another layout, is as none: the limits are measured anew.

On a busy machine a measurement finds less than there is, and never more. So each rate that is kept
is the largest that any found, and one that other work disturbed is repeated by the next process, a
few times.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace

from layercc.cores import usable_cores
from layercc.cpu.isa import Isa
from layercc.cpu.runtime.measuring import measure
from layercc.cpu.runtime.native import default_kernels
from layercc.kernels.cache import KernelCache
from layercc.limits import Limits
from layercc.processor import caches, processor_name

log = logging.getLogger(__name__)

_VERSION = 2  # of what is measured and how
_MOST_MEASUREMENTS = 5  # that are made for one that nothing disturbs

_known: dict[tuple[Isa, int], Limits] = {}
_lock = threading.Lock()  # two measurements at once would take each other's time


def measured_limits(isa: Isa, threads: int, again: bool = False) -> Limits:
    """What this machine reaches with code of `isa`, which it must have, on `threads` threads.

    Measured in a second or two when first asked for; later from memory, or from the cache on disk.
    With `again` it is measured in any case.

    Raises ValueError for less than one thread.
    """
    if threads < 1:
        raise ValueError(f"limits are those of one thread or more, not of {threads}")
    with _lock:
        key = isa, threads
        if again or key not in _known:
            _known[key] = _limits(isa, threads, again)
        return _known[key]


@dataclass(frozen=True)
class Kept:
    """The largest rates that some measurements found, and whether one was undisturbed."""

    limits: Limits
    measurements: int = 1
    undisturbed: bool = True

    @property
    def settled(self) -> bool:
        """Whether another measurement is not worth its time."""
        return self.undisturbed or self.measurements >= _MOST_MEASUREMENTS

    def joined(self, other: Kept | None) -> Kept:
        """All measurements of both."""
        if other is None:
            return self
        return Kept(
            _larger(self.limits, other.limits),
            self.measurements + other.measurements,
            self.undisturbed or other.undisturbed,
        )


def _limits(isa: Isa, threads: int, again: bool) -> Limits:
    cache = default_kernels(isa).cache
    about = conditions(isa, threads)
    found = None if cache is None else load(cache, about)
    if found is None or again or not found.settled:
        limits, undisturbed = measure(isa, threads)
        new = Kept(limits, 1, undisturbed)
        # Another process may have measured meanwhile.
        found = new.joined(None if cache is None else load(cache, about))
        if cache is not None:
            store(cache, about, found)
    return found.limits


def conditions(isa: Isa, threads: int) -> dict[str, object]:
    """What a measurement holds for, as plain data."""
    return {
        "version": _VERSION,
        "processor": processor_name(),
        "caches": [[cache.level, cache.nbytes, len(cache.shared_by)] for cache in caches()],
        "isa": str(isa),
        "threads": threads,
        "cores": usable_cores(),
    }


def file_name(about: dict[str, object]) -> str:
    """The name of the file in the cache's folder for measurements under some conditions."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    return f"limits-{digest[:32]}.json"


def load(cache: KernelCache, about: dict[str, object]) -> Kept | None:
    """What was measured under these conditions, or None where there is nothing that is intact."""
    path = cache.folder / file_name(about)
    try:
        data = json.loads(path.read_bytes())
        if data["conditions"] != about:
            raise ValueError("it was measured under other conditions")
        limits = Limits.from_dict(data["limits"])
        if limits.threads != about["threads"]:
            raise ValueError("it was measured on another number of threads")
        return Kept(limits, int(data["measurements"]), bool(data["undisturbed"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.debug("the limits in %s are unusable: %s: %s", path, type(error).__name__, error)
        return None


def store(cache: KernelCache, about: dict[str, object], kept: Kept) -> bool:
    """Keeps measurements for processes to come; False where the folder takes none."""
    data = {
        "conditions": about,
        "measurements": kept.measurements,
        "undisturbed": kept.undisturbed,
        "limits": kept.limits.to_dict(),
    }
    return cache.write(file_name(about), json.dumps(data, indent=1).encode())


def _larger(one: Limits, other: Limits) -> Limits:
    """The larger of each rate that either knows."""

    def merged(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
        return {name: max(a.get(name, 0.0), b.get(name, 0.0)) for name in {**a, **b}}

    return replace(
        one,
        flops=merged(one.flops, other.flops),
        bytes_per_second=merged(one.bytes_per_second, other.bytes_per_second),
    )


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()  # another thread of the parent may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
