"""Facts of the system and the processor, from trees of files as systems show them."""

# mypy: ignore-errors

import sys

import pytest

from layercc.tools.doctor import processors, system
from layercc.tools.doctor.registry import Machine, probes
from tests.tools.doctor.asking import asked, concluded, tree

CPU = "sys/devices/system/cpu"
LINUX = {
    "etc/os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
    "proc/cpuinfo": "model name\t: A processor\nflags\t\t: fpu hypervisor avx\n",
    "proc/meminfo": "MemTotal:  2048 kB\nMemAvailable:  1024 kB\nSwapFree: 0 kB\n"
    "HugePages_Total: 3\n",
    "proc/self/cgroup": "0::/\n",
    "proc/stat": "cpu  40 10 20 900 5 1 4 25 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n",
    "sys/class/dmi/id/sys_vendor": "QEMU\n",
    "sys/class/dmi/id/product_name": "Standard PC\n",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
    f"{CPU}/online": "0-3\n",
    f"{CPU}/cpufreq/boost": "1\n",
    "sys/devices/system/node/node0/cpulist": "0-1\n",
    "sys/devices/system/node/node1/cpulist": "2-3\n",
    "sys/devices/system/node/node2/cpulist": "\n",
} | {
    f"{CPU}/cpu{number}/{file}": f"{text}\n"
    for number in range(4)
    for file, text in {
        "topology/thread_siblings_list": "0,2" if number % 2 == 0 else "1,3",
        "topology/physical_package_id": "0",
        "cpufreq/scaling_governor": "powersave",
        "cpufreq/cpuinfo_min_freq": "800000",
        "cpufreq/cpuinfo_max_freq": "3500000",
        "cpufreq/scaling_max_freq": "2000000",
        "cache/index0/type": "Data",
        "cache/index0/level": "1",
        "cache/index0/size": "32K",
        "cache/index0/shared_cpu_list": "0,2" if number % 2 == 0 else "1,3",
    }.items()
}
V2 = {"sys/fs/cgroup/cpu.max": "150000 100000\n", "sys/fs/cgroup/cpu.stat": "nr_throttled 7\n"}
V1 = {
    "proc/self/cgroup": "3:cpu,cpuacct:/\n2:memory:/docker/0123\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "150000\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.stat": "nr_throttled 7\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": "0\n",
    "sys/fs/cgroup/memory/memory.stat": "total_inactive_file 0\n",
}
EXPECTED = {
    ("system", "system"): "Debian GNU/Linux 12 (bookworm)",
    ("system", "virtual machine"): "QEMU Standard PC",
    ("system", "taken by other machines"): 0.25,
    ("memory", "installed"): 2 << 20,
    ("memory", "available"): 1 << 20,
    ("memory", "huge pages"): "transparent: madvise; 3 set aside",
    ("processor", "name"): "A processor",
    ("processor", "processors"): 4,
    ("processor", "allowed"): 4,
    ("processor", "threads a core"): 2,
    ("processor", "sockets"): 1,
    ("processor", "NUMA nodes"): 2,
    ("processor", "clock"): {"from": 0.8, "to": 3.5, "limited to": 2.0},
    ("processor", "clock governor"): ["powersave"],
    ("processor", "boost"): True,
    ("processor", "caches"): [{"level": 1, "bytes": 32 << 10, "shared_by": 2, "count": 2}],
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, {"quota": None, "times held up by the quota": None, "layercc runs on": 2}),
        (V2, {"quota": 1.5, "times held up by the quota": 7, "layercc runs on": 2}),
        (V1, {"quota": 1.5, "times held up by the quota": 7, "layercc runs on": 2}),
        (
            {"sys/fs/cgroup/cpu.max": "90000 100000\n"},
            {"quota": 0.9, "times held up by the quota": None, "layercc runs on": 1},
        ),
    ],
    ids=["no cgroup", "v2", "v1", "less than one"],
)
def test_facts_of_linux(tmp_path, monkeypatch, files, expected):
    for module in (processors, sys.modules["layercc.processor"]):
        monkeypatch.setattr(module, "allowed_processors", lambda: (0, 1, 2, 3))
    machine = Machine(tree(tmp_path, LINUX | files), "Linux")
    for (section, name), value in EXPECTED.items():
        fact = asked(section, name, machine)
        assert (fact.value, fact.unknown) == (value, False), (name, fact.text)
    for name, value in expected.items():
        assert asked("processor", name, machine).value == value
    limit = 1 << 30 if files is V1 else None
    assert asked("memory", "limit of the cgroup", machine).value == limit
    assert asked("system", "container", machine).value == ("docker" if files is V1 else None)


def test_facts_of_a_tree_that_has_nothing(tmp_path):
    """As on macOS, on Windows or in a sandbox: what there is not is not told, and nothing fails."""
    machine = Machine(tmp_path, "Linux")
    names = [
        (probe.section, probe.name)
        for probe in probes
        if probe.section in ("memory", "processor", "system")
    ]
    facts = {name: asked(*name, machine) for name in names}
    assert not [fact for fact in facts.values() if fact.unknown]
    for name in ("available", "huge pages", "limit of the cgroup"):
        assert facts["memory", name].value is None
    for name in ("quota", "sockets", "NUMA nodes", "clock", "clock governor", "boost"):
        assert facts["processor", name].value is None
    assert facts["processor", "layercc runs on"].value == len(processors.allowed_processors())
    assert facts["processor", "threads a core"].value == 1
    assert facts["processor", "caches"].text == "not told"


def test_macos(tmp_path, monkeypatch):
    answers = {"hw.memsize": "17179869184", "hw.perflevel0.l1dcachesize": "131072"}
    monkeypatch.setattr("layercc.processor.sysctl", lambda name: answers.get(name, ""))
    machine = Machine(tmp_path, "Darwin")
    assert asked("memory", "installed", machine).text == "16 GiB"
    assert asked("processor", "caches", machine).text == "L1\u00a0128\u00a0KiB"
    assert asked("system", "system", machine).text.startswith("macOS")
    assert asked("system", "C library", machine).value == "the system's own"


@pytest.mark.parametrize(
    ("told_by_os", "files", "library", "found"),
    [
        ("glibc 2.36", {}, "glibc 2.36", []),
        (ValueError(), {"lib/ld-musl-x86_64.so.1": ""}, "musl", ["other_c_library"]),
        (ValueError(), {}, None, []),
    ],
)
def test_c_library(tmp_path, monkeypatch, told_by_os, files, library, found):
    def confstr(name):
        if isinstance(told_by_os, Exception):
            raise told_by_os
        return told_by_os

    monkeypatch.setattr(system.os, "confstr", confstr)
    fact = asked("system", "C library", Machine(tree(tmp_path, files), "Linux"))
    assert (fact.value, fact.unknown) == (library, False)
    assert concluded(fact) == found


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({"run/.containerenv": ""}, "podman"),
        ({".dockerenv": ""}, "docker"),
        ({"run/systemd/container": "lxc\n"}, "lxc"),
        ({"proc/self/cgroup": "1:name=systemd:/kubepods/pod0/0123\n"}, "kubepods"),
        ({"proc/self/cgroup": "0::/user.slice\n"}, None),
        ({}, None),
    ],
)
def test_container(tmp_path, monkeypatch, files, kind):
    monkeypatch.delenv("container", raising=False)
    assert asked("system", "container", Machine(tree(tmp_path, files), "Linux")).value == kind


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({"proc/version": "Linux version 5.15 (Microsoft@Microsoft.com)\n"}, "WSL"),
        ({"proc/cpuinfo": "flags : fpu hypervisor\n"}, "of a kind that is not told"),
        ({"proc/cpuinfo": "flags : fpu\nbugs : hypervisor\n"}, None),
        ({}, None),
    ],
)
def test_virtual_machine(tmp_path, files, kind):
    assert asked("system", "virtual machine", Machine(tree(tmp_path, files), "Linux")).value == kind


@pytest.mark.parametrize(
    ("files", "boosts"),
    [
        ({f"{CPU}/intel_pstate/no_turbo": "0"}, True),
        ({f"{CPU}/intel_pstate/no_turbo": "1"}, False),
        ({f"{CPU}/cpufreq/boost": "0"}, False),
        ({}, None),
    ],
)
def test_boost(tmp_path, files, boosts):
    assert asked("processor", "boost", Machine(tree(tmp_path, files))).value is boosts


def test_a_file_that_is_nonsense_is_told(tmp_path):
    machine = Machine(tree(tmp_path, {f"{CPU}/online": "all of them"}), "Linux")
    fact = asked("processor", "processors", machine)
    assert fact.unknown and fact.text.startswith("ValueError: invalid literal")
    assert fact.data == {"unknown": fact.text}
