"""The system, its memory, and what it is inside of."""

from __future__ import annotations

import os
import platform
import re
import sys

from layercc.cgroups import memory_left, memory_limit
from layercc.tools.doctor.registry import Machine, binary, fact

_CONTAINERS = ("docker", "kubepods", "containerd", "libpod", "lxc")


@fact("system", "layercc")
def layercc_version(machine: Machine) -> str:
    import layercc

    return layercc.__version__


@fact("system", "Python")
def python(machine: Machine) -> str:
    return f"{platform.python_implementation()} {platform.python_version()}"


@fact("system", "system")
def system_name(machine: Machine) -> str:
    """The distribution, or the system with its version."""
    if machine.system == "Darwin":
        return f"macOS {platform.mac_ver()[0]}"
    release = machine.try_read("etc/os-release") or ""
    found = re.search(r'^PRETTY_NAME="?([^"\n]+)', release, re.MULTILINE)
    return found[1] if found else f"{machine.system} {platform.version()}"


@fact("system", "kernel")
def kernel(machine: Machine) -> str:
    return f"{platform.system()} {platform.release()} {platform.machine()}"


@fact("system", "C library", none="not glibc")
def c_library(machine: Machine) -> str | None:
    """glibc with its version, musl, or that of the system."""
    if machine.system != "Linux":
        return "the system's own"
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):
        musl = any((machine.root / "lib").glob("ld-musl-*"))
        return "musl" if musl else None


@fact("system", "container", none="none seen")
def container(machine: Machine) -> str | None:
    for path, kind in (("run/.containerenv", "podman"), (".dockerenv", "docker")):
        if (machine.root / path).exists():
            return kind
    told = machine.try_read("run/systemd/container") or os.environ.get("container")  # noqa: SIM112
    if told:
        return told
    groups = machine.try_read("proc/self/cgroup") or ""
    return next((kind for kind in _CONTAINERS if kind in groups), None)


@fact("system", "virtual machine", none="none seen")
def virtual_machine(machine: Machine) -> str | None:
    """What the firmware is called where the processor says that there is a hypervisor."""
    if "microsoft" in (machine.try_read("proc/version") or "").lower():
        return "WSL"
    flags = (machine.try_read("proc/cpuinfo") or "").partition("flags")[2].partition("\n")[0]
    if "hypervisor" not in flags.split():
        return None
    names = ("sys_vendor", "product_name")
    told = [machine.try_read(f"sys/class/dmi/id/{name}") for name in names]
    return " ".join(filter(None, told)) or "of a kind that is not told"


@fact("system", "load", show=lambda load: f"{load:.1f} threads wanted to run in the last minute")
def load(machine: Machine) -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


@fact("system", "taken by other machines", show="{:.1%} of the time wanted".format)
def stolen(machine: Machine) -> float | None:
    """The part of the processors' time that a hypervisor gave to other virtual machines while this
    one wanted it, since its start: `steal` in /proc/stat, see proc(5)."""
    line = (machine.try_read("proc/stat") or "").partition("\n")[0].split()
    if len(line) < 9 or line[0] != "cpu":
        return None
    user, nice, kernel, _idle, _waiting, hard, soft, steal = map(int, line[1:9])
    return steal / max(user + nice + kernel + hard + soft + steal, 1)


@fact("memory", "installed", show=binary)
def installed(machine: Machine) -> int | None:
    if machine.system == "Darwin":
        from layercc.processor import sysctl

        return int(sysctl("hw.memsize"))
    return _meminfo(machine, "MemTotal")


@fact("memory", "available", show=binary)
def available(machine: Machine) -> int | None:
    return _meminfo(machine, "MemAvailable")


@fact("memory", "limit of the cgroup", show=binary, none="none")
def cgroup_limit(machine: Machine) -> int | None:
    return memory_limit(machine.root)


@fact("memory", "left of that", show=binary, none="no limit")
def cgroup_left(machine: Machine) -> int | None:
    return memory_left(machine.root)


@fact("memory", "limit of the process", show=binary, none="none")
def process_limit(machine: Machine) -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit


@fact("memory", "swap that is free", show=binary)
def swap(machine: Machine) -> int | None:
    return _meminfo(machine, "SwapFree")


@fact("memory", "huge pages")
def huge_pages(machine: Machine) -> str | None:
    """When the kernel makes them by itself, and how many are set aside."""
    text = machine.try_read("sys/kernel/mm/transparent_hugepage/enabled")
    chosen = re.search(r"\[(\w+)\]", text or "")
    if chosen is None:
        return None
    reserved = _meminfo(machine, "HugePages_Total", scale=0)
    return f"transparent: {chosen[1]}" + (f"; {reserved} set aside" if reserved else "")


@fact("memory", "denormals are kept")
def denormals(machine: Machine) -> bool:
    """Whether this thread's floating-point mode has numbers below the smallest normal one."""
    return sys.float_info.min / 2 != 0.0


def _meminfo(machine: Machine, name: str, scale: int = 10) -> int | None:
    found = re.search(rf"^{name}:\s+(\d+)", machine.try_read("proc/meminfo") or "", re.MULTILINE)
    return int(found[1]) << scale if found else None
