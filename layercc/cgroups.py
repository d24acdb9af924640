"""What the cgroups of this process, of version 1 or 2, let it have of processors and memory.

A limit may be in the process's own cgroup and in all around it; the tightest counts. In a container
the outermost that is to be seen is the container's own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path("/")
#: Version 1 has no word for "no limit", but a number of pages that no machine has.
_NO_LIMIT = 1 << 60


def cpu_quota(root: Path = ROOT) -> float | None:
    """Processors' worth of time that the process may take, such as 1.5; None: no limit.

    `root` is where the system's file tree starts.
    """
    found = [*_quotas(folders("cpu", root), _quota), *_quotas(folders("", root), _quota_2)]
    return min(found, default=None)


def memory_limit(root: Path = ROOT) -> int | None:
    """Bytes that the processes of the cgroup may take together; None: no limit."""
    return min((limit for limit, _ in _memory(root)), default=None)


def memory_left(root: Path = ROOT) -> int | None:
    """Bytes of that which are left. The pages in which files are cached can be taken back."""
    return min((limit - used for limit, used in _memory(root)), default=None)


@functools.lru_cache(maxsize=8)
def folders(controller: str, root: Path = ROOT) -> tuple[Path, ...]:
    """The folders of the process's cgroup and those around it, innermost first, that a controller
    of version 1 has; "" for the ones of version 2. Looked up once: a process seldom moves."""
    mounted = root / "sys/fs/cgroup"
    path, names = "/", [controller]
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, where = line.split(":", 2)
        if controller in controllers.split(","):
            path, names = where, [controllers, controller]
    tops = [mounted / name for name in names] if controller else [mounted, mounted / "unified"]
    top = next((top for top in tops if top.is_dir()), None)
    if top is None:
        return ()
    inner = [part for part in path.split("/") if part not in ("", "..")]
    found = [top.joinpath(*inner[:count]) for count in range(len(inner), -1, -1)]
    return tuple(folder for folder in found if folder.is_dir())


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text().splitlines() if line.count(":") >= 2]
    except OSError:
        return []


def _quotas(folders: tuple[Path, ...], read: Callable[[Path], tuple[str, str]]) -> Iterator[float]:
    for folder in folders:
        try:
            quota, period = read(folder)
            if quota not in ("max", "-1"):
                yield int(quota) / int(period)
        except (OSError, ValueError, ZeroDivisionError):  # the outermost has no such file
            continue


def _quota(folder: Path) -> tuple[str, str]:
    quota = (folder / "cpu.cfs_quota_us").read_text().strip()
    return quota, (folder / "cpu.cfs_period_us").read_text().strip()


def _quota_2(folder: Path) -> tuple[str, str]:
    quota, period = (folder / "cpu.max").read_text().split()
    return quota, period


def _memory(root: Path) -> Iterator[tuple[int, int]]:
    """Limits, and the bytes used that cannot be taken back."""
    one = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    two = ("memory.max", "memory.current", "inactive_file")
    for controller, (limit_file, used_file, reclaimable) in (("memory", one), ("", two)):
        for folder in folders(controller, root):
            try:
                limit = int((folder / limit_file).read_text())
                if limit >= _NO_LIMIT:
                    continue
                used = int((folder / used_file).read_text())
                lines = (folder / "memory.stat").read_text().splitlines()
                statistics = dict(line.split() for line in lines)
                yield limit, used - int(statistics.get(reclaimable, 0))
            except (OSError, ValueError):  # "max", or no such file
                continue
