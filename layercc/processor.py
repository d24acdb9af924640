"""What this machine's processor is called, and its caches, as the system tells."""

from __future__ import annotations

import functools
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

from layercc.cores import allowed_processors

_CPUINFO = Path("/proc/cpuinfo")
_CPUS = Path("/sys/devices/system/cpu")
#: Names in sysctl of macOS, of the faster cores where there are two kinds.
_SYSCTL = {1: "hw.perflevel0.l1dcachesize", 2: "hw.perflevel0.l2cachesize"}
_SYSCTL_INTEL = {1: "hw.l1dcachesize", 2: "hw.l2cachesize", 3: "hw.l3cachesize"}


@dataclass(frozen=True)
class Cache:
    """One cache for data: its level, its bytes, and the processors that share it."""

    level: int
    nbytes: int
    shared_by: frozenset[int]


@functools.cache
def processor_name(cpuinfo: Path = _CPUINFO) -> str:
    """The processor's name with what tells its generation: virtual machines hide the name."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    found: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    name = found.get("model name") or found.get("Model") or _system_name()
    detail = ("cpu family", "model", "CPU implementer", "CPU part")
    told = ", ".join(f"{key} {found[key]}" for key in detail if key in found)
    return f"{name} ({told.replace('cpu family', 'family')})" if told else name


def _system_name() -> str:
    name = sysctl("machdep.cpu.brand_string") if platform.system() == "Darwin" else ""
    return name or platform.processor() or platform.machine()


def sysctl(name: str) -> str:
    """A value of the BSDs' sysctl; empty where there is none."""
    try:
        done = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


def caches(cpus: Path = _CPUS, system: str | None = None) -> tuple[Cache, ...]:
    """The data caches of the processors that this process may run on; none where the system does
    not tell. `system` is this one, by Python's name for it, unless given."""
    if (system or platform.system()) == "Darwin":
        return _caches_of_macos()
    found = set()
    for number in allowed_processors():
        for folder in sorted((cpus / f"cpu{number}" / "cache").glob("index*")):
            try:
                kind, level, size, shared = (
                    (folder / name).read_text().strip()
                    for name in ("type", "level", "size", "shared_cpu_list")
                )
                if kind != "Instruction":
                    found.add(Cache(int(level), _bytes(size), processor_set(shared)))
            except (OSError, ValueError):  # some kernels tell a part of it only
                continue
    return tuple(sorted(found, key=lambda cache: (cache.level, sorted(cache.shared_by))))


def _caches_of_macos() -> tuple[Cache, ...]:
    found = {level: sysctl(name) for level, name in _SYSCTL.items()}
    if not any(found.values()):
        found = {level: sysctl(name) for level, name in _SYSCTL_INTEL.items()}
    return tuple(
        Cache(level, int(size), frozenset(allowed_processors()) if level > 1 else frozenset({0}))
        for level, size in found.items()
        if size.isdecimal() and int(size)
    )


def processor_set(text: str) -> frozenset[int]:
    """The numbers in a list such as `0-3,8`. Raises ValueError for other text."""
    numbers: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    return frozenset(numbers)


def _bytes(text: str) -> int:
    """Bytes of a size such as `48K`. Raises ValueError for other text."""
    scale = {"K": 10, "M": 20, "G": 30}.get(text[-1:], 0)
    return int(text[:-1] if scale else text) << scale
