"""Limits of cgroups, read from trees of files as Linux shows them; and the cores they leave."""

# mypy: ignore-errors

import pytest

from layercc import cgroups
from layercc.cgroups import cpu_quota, folders, memory_left, memory_limit
from layercc.cores import cores_among, usable_cores

V2 = {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cgroup.procs": "1\n"}
V1 = {
    "proc/self/cgroup": "9:name=systemd:/\n4:memory:/m\n3:cpu,cpuacct:/a\n0::/\n",
    "sys/fs/cgroup/cpu,cpuacct/a/tasks": "1\n",
    "sys/fs/cgroup/memory/m/tasks": "1\n",
}


def tree(root, *parts):
    for files in parts:
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
    return root


def quota_1(folder, quota, period=100000):
    top = f"sys/fs/cgroup/{folder}"
    return {f"{top}/cpu.cfs_quota_us": f"{quota}\n", f"{top}/cpu.cfs_period_us": f"{period}\n"}


@pytest.mark.parametrize(
    ("parts", "quota"),
    [
        ([V2], None),
        ([V2, {"sys/fs/cgroup/cpu.max": "150000 100000\n"}], 1.5),
        ([V2, {"sys/fs/cgroup/a/cpu.max": "150000 100000\n"}], 1.5),
        ([V2, {"sys/fs/cgroup/a/b/cpu.max": "5000 100000\n"}], 0.05),
        (
            [
                V2,
                {"sys/fs/cgroup/a/cpu.max": "max 100000\n"},
                {"sys/fs/cgroup/a/b/cpu.max": "300000 100000\n"},
            ],
            3,
        ),
        (
            [
                V2,
                {"sys/fs/cgroup/a/cpu.max": "200000 100000\n"},
                {"sys/fs/cgroup/a/b/cpu.max": "300000 100000\n"},
            ],
            2,
        ),
        ([V2, {"sys/fs/cgroup/cpu.max": "max 100000\n"}], None),
        ([V2, {"sys/fs/cgroup/cpu.max": "nonsense\n"}], None),
        ([V2, {"sys/fs/cgroup/cpu.max": "1 0\n"}], None),
        # A container without a namespace of cgroups sees the path of its host, but not the folder.
        (
            [
                {"proc/self/cgroup": "0::/docker/0123\n"},
                {"sys/fs/cgroup/cpu.max": "50000 100000\n"},
            ],
            0.5,
        ),
        ([V1], None),
        ([V1, quota_1("cpu,cpuacct", 300000)], 3),
        ([V1, quota_1("cpu,cpuacct", -1), quota_1("cpu,cpuacct/a", 50000)], 0.5),
        ([V1, quota_1("cpu,cpuacct", -1)], None),
        # The folder by the name of the controller alone, and no list of cgroups.
        ([quota_1("cpu", 300000)], 3),
        # Both versions, of which the second lies in a folder of its own.
        ([V1, {"sys/fs/cgroup/unified/cgroup.procs": "1\n"}, quota_1("cpu,cpuacct", 300000)], 3),
        ([], None),
    ],
)
def test_quota(tmp_path, parts, quota):
    assert cpu_quota(tree(tmp_path, *parts)) == quota


def memory_2(folder, limit):
    top = f"sys/fs/cgroup/{folder}"
    return {
        f"{top}memory.max": f"{limit}\n",
        f"{top}memory.current": "700\n",
        f"{top}memory.stat": "anon 400\ninactive_file 250\n",
    }


def memory_1(folder, limit):
    top = f"sys/fs/cgroup/memory/{folder}"
    return {
        f"{top}memory.limit_in_bytes": f"{limit}\n",
        f"{top}memory.usage_in_bytes": "700\n",
        f"{top}memory.stat": "inactive_file 1\ntotal_inactive_file 250\n",
    }


@pytest.mark.parametrize(
    ("parts", "limit", "left"),
    [
        ([V2, memory_2("", 1000)], 1000, 550),
        ([V2, memory_2("", 1000), memory_2("a/b/", 900)], 900, 450),
        ([V2, memory_2("", "max")], None, None),
        ([V2, {"sys/fs/cgroup/memory.max": "1000\n"}], None, None),
        ([V1, memory_1("", 1000)], 1000, 550),
        ([V1, memory_1("", 9223372036854771712), memory_1("m/", 2000)], 2000, 1550),
        ([V1, memory_1("", 9223372036854771712)], None, None),
        ([], None, None),
    ],
)
def test_memory(tmp_path, parts, limit, left):
    root = tree(tmp_path, *parts)
    assert memory_limit(root) == limit and memory_left(root) == left


def test_folders(tmp_path):
    root = tree(tmp_path, V1, {"sys/fs/cgroup/unified/cgroup.procs": "1\n"})
    top = root / "sys/fs/cgroup"
    assert folders("cpu", root) == (top / "cpu,cpuacct/a", top / "cpu,cpuacct")
    assert folders("pids", root) == ()
    # A path that leads out of the tree leads nowhere.
    tree(tmp_path, {"proc/self/cgroup": "4:memory:/../../../proc\n"})
    assert folders("memory", root) == (top / "memory",)


@pytest.mark.parametrize(
    ("processors", "shared", "quota", "expected"),
    [
        ((0, 1, 2, 3), {}, None, 4),
        ((0, 1, 2, 3), {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}, None, 2),
        ((0, 1, 2, 3), {}, 1.5, 2),
        ((0, 1), {}, 7.5, 2),
        ((0, 1), {}, 0.1, 1),
    ],
)
def test_cores(tmp_path, processors, shared, quota, expected):
    cpus = "sys/devices/system/cpu"
    for number, text in shared.items():
        tree(tmp_path, {f"{cpus}/cpu{number}/topology/thread_siblings_list": f"{text}\n"})
    if quota is not None:
        tree(tmp_path, {"sys/fs/cgroup/cpu.max": f"{quota * 100000:.0f} 100000\n"})
    assert cores_among(processors, tmp_path) == expected


def test_this_system():
    assert usable_cores() >= 1
    quota = cpu_quota()
    assert quota is None or quota > 0
    assert cgroups.memory_left() is None or cgroups.memory_left() <= cgroups.memory_limit()
