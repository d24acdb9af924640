"""What else went on while times were measured: other programs, quotas, the clock."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from layercc.cgroups import folders
from layercc.timing import PAUSE_SECONDS

_ROOT = Path("/")
#: Fields of the first line of /proc/stat: user nice system idle iowait irq softirq steal.
_IDLE, _STEAL = (3, 4), 7


@dataclass(frozen=True, slots=True)
class Caution:
    """What a reader of figures must know: what was seen, and of whom or how much."""

    what: str
    value: str

    def __str__(self) -> str:
        return f"{self.what}: {self.value}"


@dataclass(frozen=True, slots=True)
class Noise:
    """Over the measuring. None: this system does not tell.

    `background`: processors that other programs kept busy, on average. `stolen`: the share of this
    machine's processor time that the host gave to others. `throttled`: seconds for which the
    cgroup's quota held threads back. `switches`: involuntary context switches a second. `clock`:
    MHz before and behind, the mean over processors. `load`: the load average of the last minute,
    before.
    """

    seconds: float
    processors: int
    load: float | None
    background: float | None
    stolen: float | None
    throttled: float | None
    switches: float | None
    clock: list[float] | None

    def cautions(self) -> list[Caution]:
        """What may have disturbed the figures."""
        found = []
        if self.background is not None and self.background > 0.1:
            busy = f"{self.background:.1f} of {self.processors}"
            found.append(Caution("other programs kept processors busy", busy))
        if self.stolen is not None and self.stolen > 0.01:
            found.append(
                Caution("the host took processors' time away (steal)", f"{self.stolen:.0%}")
            )
        if self.throttled:
            held = f"for {self.throttled:.2f} s"
            found.append(Caution("the cgroup's quota held threads back", held))
        if self.clock and abs(self.clock[1] / self.clock[0] - 1) > 0.05:
            change = f"from {self.clock[0]:.0f} to {self.clock[1]:.0f} MHz"
            found.append(Caution("the clock changed", change))
        return found


class Watch:
    """Looks at the counters now, and again when asked."""

    def __init__(self, root: Path = _ROOT) -> None:
        self._root = root
        self._begun = _Reading(root)

    def noise(self) -> Noise:
        """What went on since."""
        begun, now = self._begun, _Reading(self._root)
        seconds = max(now.time - begun.time, 1e-9)
        background = stolen = None
        if begun.ticks and now.ticks and sum(now.ticks) > sum(begun.ticks):
            # shares of the counters' own total: their unit does not matter
            spent = [after - before for before, after in zip(begun.ticks, now.ticks, strict=True)]
            stolen = spent[_STEAL] / sum(spent)
            busy = 1 - stolen - sum(spent[index] for index in _IDLE) / sum(spent)
            own = (now.own - begun.own) / seconds
            background = max(busy * now.processors - own, 0.0)
        clock = [begun.clock, now.clock] if begun.clock and now.clock else None
        return Noise(
            seconds,
            now.processors,
            begun.load,
            background,
            stolen,
            _difference(begun.throttled, now.throttled),
            None if now.switches is None else _difference(begun.switches, now.switches) / seconds,  # type: ignore[operator]
            clock,
        )


def spinning(run: Callable[[], object], pause: float = PAUSE_SECONDS) -> float:
    """Seconds of processor time that threads of this process use up in a pause behind a call: a
    pool that waits for work by spinning takes them from whatever runs next.

    The less of two tries, where the first finds any: threads may have had something to finish.
    """
    first = _used_behind(run, pause)
    return first if first < 0.05 * pause else min(first, _used_behind(run, pause))


def _used_behind(run: Callable[[], object], pause: float) -> float:
    run()
    start = time.process_time()
    time.sleep(pause)
    return time.process_time() - start


class _Reading:
    """The counters at one moment."""

    def __init__(self, root: Path) -> None:
        self.time = time.perf_counter()
        self.own = time.process_time()
        stat = _text(root / "proc/stat").splitlines()
        self.ticks = [int(field) for field in stat[0].split()[1:9]] if stat else []
        self.processors = sum(line[:3] == "cpu" and line[3:4].isdigit() for line in stat) or (
            os.cpu_count() or 1
        )
        load = _text(root / "proc/loadavg").split()
        self.load = float(load[0]) if load else None
        self.throttled = _throttled(root)
        self.switches = _switches()
        self.clock = _clock(root)


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _text(path: Path) -> str:
    """What is in a file of the system; nothing where there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _throttled(root: Path) -> float | None:
    """Seconds, by the counts of the cgroups around this process: whichever waited longest."""
    found = []
    for controller, key, unit in (("", "throttled_usec", 1e6), ("cpu", "throttled_time", 1e9)):
        for folder in folders(controller, root):
            for line in _text(folder / "cpu.stat").splitlines():
                name, _, value = line.partition(" ")
                if name == key:
                    found.append(int(value) / unit)
    return max(found, default=None)


def _switches() -> float | None:
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw)


def _clock(root: Path) -> float | None:
    """MHz, the mean over processors."""
    files = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
    found = [float(text) / 1e3 for file in files if (text := _text(file).strip())]
    if not found:
        lines = _text(root / "proc/cpuinfo").splitlines()
        found = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    return sum(found) / len(found) if found else None
