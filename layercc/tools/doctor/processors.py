"""The processor, how much of it this process may use, and which instructions layercc chose."""

from __future__ import annotations

import os
import re
from collections import Counter
from typing import Any

from layercc.cgroups import cpu_quota, folders
from layercc.cores import allowed_processors, cores_among, siblings
from layercc.cpu.isa import ENVIRONMENT_VARIABLE, best_isa, host_isa
from layercc.processor import caches, processor_name, processor_set
from layercc.tools.doctor.registry import Machine, binary, fact, plain, unbroken

_CPUS = "sys/devices/system/cpu"


@fact("processor", "name")
def name(machine: Machine) -> str:
    return processor_name(machine.root / "proc/cpuinfo")


@fact("processor", "instruction set")
def instruction_set(machine: Machine) -> str:
    return host_isa().name


@fact("processor", "why")
def why(machine: Machine) -> str:
    wanted = os.environ.get(ENVIRONMENT_VARIABLE)
    if wanted:
        return f"{ENVIRONMENT_VARIABLE}={wanted}"
    return "the best that this processor has and layercc knows"


@fact("processor", "best instruction set")
def best(machine: Machine) -> str:
    """What would be chosen without the variable."""
    return best_isa().name


@fact("processor", "extensions")
def extensions(machine: Machine) -> list[str]:
    return list(host_isa().features)


@fact("processor", "processors")
def processors(machine: Machine) -> int | None:
    """Those that are online."""
    online = machine.try_read(f"{_CPUS}/online")
    return len(processor_set(online)) if online else os.cpu_count()


@fact("processor", "allowed")
def allowed(machine: Machine) -> int:
    """Those that this process may run on."""
    return len(allowed_processors())


@fact("processor", "threads a core")
def threads_a_core(machine: Machine) -> int:
    """How many of the allowed processors share a core, at most."""
    return max(Counter(siblings(n, machine.root) for n in allowed_processors()).values())


@fact("processor", "quota", none="none")
def quota(machine: Machine) -> float | None:
    """Processors' worth of time that cgroups leave."""
    return cpu_quota(machine.root)


@fact("processor", "times held up by the quota", none="none")
def throttled(machine: Machine) -> int | None:
    found = [
        int(count)
        for controller in ("cpu", "")
        for folder in folders(controller, machine.root)
        for count in re.findall(
            r"^nr_throttled (\d+)", machine.try_read(f"{folder}/cpu.stat") or "", re.MULTILINE
        )
    ]
    return max(found, default=None)


@fact("processor", "layercc runs on", show="{} threads, unless told otherwise".format)
def threads(machine: Machine) -> int:
    return cores_among(allowed_processors(), machine.root)


@fact("processor", "sockets")
def sockets(machine: Machine) -> int | None:
    return _different(machine, "topology/physical_package_id")


@fact("processor", "NUMA nodes")
def numa_nodes(machine: Machine) -> int | None:
    """Those that have a processor which this process may use."""
    nodes = machine.root / "sys/devices/system/node"
    found = set()
    for folder in nodes.glob("node[0-9]*"):
        if processor_set(machine.read(f"{folder}/cpulist")) & set(allowed_processors()):
            found.add(folder.name)
    return len(found) or None


def _show_caches(value: list[dict[str, Any]]) -> str:
    if not value:
        return "not told"
    return unbroken(
        f"L{each['level']} {binary(each['bytes'])}"
        + (f" × {each['count']}" if each["count"] > 1 else "")
        + (f" of {each['shared_by']} processors" if each["shared_by"] > 1 else "")
        for each in value
    )


@fact("processor", "caches", show=_show_caches)
def data_caches(machine: Machine) -> list[dict[str, Any]]:
    """Data caches of the allowed processors: of each kind, how many there are."""
    found = Counter(
        (cache.level, cache.nbytes, len(cache.shared_by))
        for cache in caches(machine.root / _CPUS, machine.system)
    )
    names = ("level", "bytes", "shared_by")
    return [dict(zip(names, kind, strict=True), count=n) for kind, n in sorted(found.items())]


@fact("processor", "clock", show=lambda clock: plain({k: f"{v:.2f} GHz" for k, v in clock.items()}))
def clock(machine: Machine) -> dict[str, float] | None:
    """The least and the most, as the driver tells, in GHz."""
    folder = f"{_CPUS}/cpu{allowed_processors()[0]}/cpufreq"
    names = {"from": "cpuinfo_min_freq", "to": "cpuinfo_max_freq", "limited to": "scaling_max_freq"}
    told = {key: machine.try_read(f"{folder}/{file}") for key, file in names.items()}
    found = {key: int(text) / 1e6 for key, text in told.items() if text}
    if found.get("limited to") == found.get("to"):
        found.pop("limited to", None)
    return found or None


@fact("processor", "clock governor")
def governor(machine: Machine) -> list[str] | None:
    files = (f"{_CPUS}/cpu{number}/cpufreq/scaling_governor" for number in allowed_processors())
    return sorted({text for text in map(machine.try_read, files) if text}) or None


@fact("processor", "boost")
def boost(machine: Machine) -> bool | None:
    """Whether the clock may go beyond its nominal rate."""
    intel = machine.try_read(f"{_CPUS}/intel_pstate/no_turbo")
    if intel is not None:
        return intel == "0"
    other = machine.try_read(f"{_CPUS}/cpufreq/boost")
    return None if other is None else other == "1"


def _different(machine: Machine, file: str) -> int | None:
    paths = (f"{_CPUS}/cpu{number}/{file}" for number in allowed_processors())
    return len({text for text in map(machine.try_read, paths) if text is not None}) or None
