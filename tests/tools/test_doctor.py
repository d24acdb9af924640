"""`layercc doctor`: facts from trees of files as systems show them, and findings from facts."""

# mypy: ignore-errors

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import CliRunner

from layercc.cpu.isa import host_isa
from layercc.cpu.kernels.copy import copy
from layercc.cpu.runtime.kernel_cache import CompiledKernel, KernelCache, entry_name
from layercc.tools.cli import main
from layercc.tools.doctor import packages, processors, system, trials
from layercc.tools.doctor.examine import Examination, examine
from layercc.tools.doctor.registry import (
    Fact,
    Facts,
    Machine,
    Probe,
    binary,
    conclusions,
    plain,
    probes,
)

CHECKED = {"seconds": 0.5, "error": 1e-7, "same": True, "result": "00", "threads": 2}


def limits(threads):
    rates = {"f32": 1e11 * threads}
    return {"device": "", "threads": threads, "flops": rates, "bytes_per_second": {"memory": 1e10}}


@pytest.fixture
def told(monkeypatch):
    """What trials find, told rather than tried out; may be changed."""
    answers = {"check": dict(CHECKED), "limits": limits}

    def run_worker(what, threads, variables=None):
        answer = answers[what]
        if isinstance(answer, Exception):
            raise answer
        if variables:  # leaves a kernel in the cache
            (Path(variables["LAYERCC_CACHE_DIR"]) / "a.kernel").touch()
        return answer(threads) if callable(answer) else answer

    monkeypatch.setattr(trials, "run_worker", run_worker)
    return answers


def tree(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def asked(section, name, machine, *told):
    """One fact, given others."""
    probe = next(probe for probe in probes if (probe.section, probe.name) == (section, name))
    return probe.fact(machine, Facts(told))


CPU = "sys/devices/system/cpu"
LINUX = {
    "etc/os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
    "proc/cpuinfo": "model name\t: A processor\nflags\t\t: fpu hypervisor avx\n",
    "proc/meminfo": "MemTotal:  2048 kB\nMemAvailable:  1024 kB\nSwapFree: 0 kB\n"
    "HugePages_Total: 3\n",
    "proc/self/cgroup": "0::/\n",
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


# Findings.


def concluded(*facts):
    """The names of the conclusions that find something in these facts alone."""
    found = []
    for conclude in conclusions:
        told = conclude(Facts(facts))
        if told is not None and (not hasattr(told, "__next__") or list(told)):
            found.append(conclude.__name__)
    return found


def known(section, **values):
    return [Fact(section, name.replace("_", " "), value, "") for name, value in values.items()]


def test_nothing_is_found_where_nothing_is_known():
    assert concluded() == []
    unknown = [
        Fact(probe.section, probe.name, None, "not known", True)
        for probe in probes
        if probe.section != "check" and probe.name != "instruction set"
    ]
    assert concluded(*unknown) == []


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        (known("processor", instruction_set="avx2", best_instruction_set="avx512"), ["narrowed"]),
        (known("processor", instruction_set="avx2", best_instruction_set="avx2"), []),
        (known("processor", best_instruction_set="portable"), ["portable"]),
        ([Fact("processor", "instruction set", None, "not known: ...", True)], ["wrong_variable"]),
        (known("processor", quota=1.5, allowed=4, layercc_runs_on=2), ["quota"]),
        (known("processor", quota=4.0, allowed=4, layercc_runs_on=4), []),
        (known("processor", quota=None, allowed=4, layercc_runs_on=4), []),
        (known("processor", allowed=2, processors=4), ["affinity"]),
        (known("processor", allowed=4, processors=4), []),
        (known("processor", threads_a_core=2, layercc_runs_on=2), ["shared_cores"]),
        (known("processor", threads_a_core=1), []),
        (known("processor", NUMA_nodes=2), ["several_nodes"]),
        (known("processor", NUMA_nodes=1), []),
        (known("processor", clock_governor=["performance", "powersave"]), ["powersave"]),
        (known("processor", clock_governor=["schedutil"]), []),
        (known("system", load=3.1) + known("processor", processors=4), ["busy"]),
        (known("system", load=1.0) + known("processor", processors=4), []),
        (known("memory", available=4 << 30, left_of_that=100 << 20), ["memory"]),
        (known("memory", available=100 << 20), ["memory"]),
        (known("memory", available=4 << 30, left_of_that=None), []),
        (known("memory", denormals_are_kept=False), ["denormals"]),
        (known("memory", denormals_are_kept=True), []),
        (known("kernel cache", folder=None), ["cache"]),
        (known("kernel cache", folder="/c", usable="others may write to it"), ["cache"]),
        (known("kernel cache", folder="/c", usable="", writable=False), ["cache"]),
        (known("kernel cache", folder="/c", usable="", free_space=1 << 20), ["cache"]),
        (known("kernel cache", folder="/c", usable="", entries={"damaged": 1}), ["cache"]),
        (
            known("kernel cache", folder="/c", usable="", writable=True, free_space=1 << 40)
            + known("kernel cache", entries={"damaged": 0}),
            [],
        ),
        (
            known("packages", needed={"numba": {"version": None, "wanted": [], "fits": False}}),
            ["packages"],
        ),
        (
            known("packages", needed={"numba": {"version": "1", "wanted": [">=2"], "fits": False}}),
            ["packages"],
        ),
        (
            known("packages", needed={"numba": {"version": "1", "wanted": ["?"], "fits": None}}),
            [],
        ),
        (known("environment", variables={"OMP_NUM_THREADS": "1"}), ["unread_variables"]),
        (known("environment", variables={"PYTHONDONTWRITEBYTECODE": "1"}), ["unread_variables"]),
        (known("environment", variables={"LAYERCC_ISA": "avx2"}), []),
        ([Fact("check", "a small model", None, "not known: SIGILL", True)], ["check"]),
        (known("check", a_small_model={"right": False, "error": 1.0, "same": True, "kept": True})
         , ["check"]),
        (known("check", a_small_model={"right": True, "same": False, "kept": True}), ["check"]),
        (known("check", a_small_model={"right": True, "same": True, "kept": False}), ["check"]),
        (known("check", a_small_model={"right": True, "same": True, "kept": True}), []),
        (
            known("limits", on_1_thread=limits(1))
            + known("limits", on_all_cores={**limits(2), "flops": {"f32": 1.2e11}}),
            ["slow_threads"],
        ),
        (known("limits", on_1_thread=limits(1), on_all_cores=limits(2)), []),
    ],
)  # fmt: skip
def test_findings(facts, found):
    assert concluded(*facts) == found


# Packages.


@pytest.mark.parametrize(
    ("line", "name", "clauses"),
    [
        ("numpy>=2.0", "numpy", ">=2.0"),
        ("numpy<2.6,>=1.22", "numpy", "<2.6,>=1.22"),
        ("ml_dtypes (>=0.5)", "ml_dtypes", ">=0.5"),
        ("numba", "numba", ""),
        ("layercc[test]; extra == 'dev'", "", ""),
        ("colorama; sys_platform == 'win32'", "", ""),
        ("???", "", ""),
    ],
)
def test_requirements(line, name, clauses):
    assert packages.parse_requirement(line) == (name, clauses)


@pytest.mark.parametrize(
    ("version", "clauses", "fits"),
    [
        ("2.4.6", ">=2.0", True),
        ("1.26.4", ">=2.0", False),
        ("0.50.0", "<0.51,>=0.50.0dev0", True),
        ("0.47.0", "<0.51,>=0.50.0dev0", False),
        ("0.51.0", "<0.51", False),
        ("2", "==2.0.0", True),
        ("2.13.0+cpu", "==2.13.0", True),
        ("2.5", "!=2.5", False),
        ("1.4.9", "~=1.4.2", True),
        ("1.5.0", "~=1.4.2", False),
        ("2.0", ">1,<=2", True),
        ("2.0", "==2.*", None),
        ("2.0", "===2.0", None),
    ],
)
def test_versions(version, clauses, fits):
    assert packages.fits_all(version, clauses) is fits


def without(monkeypatch, missing, versions=None):
    """Makes packages look as if they were not installed, or of other versions."""
    real = metadata.version

    def version(name):
        if name in missing:
            raise metadata.PackageNotFoundError(name)
        return (versions or {}).get(name) or real(name)

    monkeypatch.setattr(packages.metadata, "version", version)


def test_packages_as_they_are():
    fact = asked("packages", "needed", Machine())
    assert set(fact.value) >= {"numpy", "numba", "llvmlite", "onnx", "ml_dtypes", "rich"}
    assert concluded(fact) == []
    assert fact.value["numpy"]["version"] == metadata.version("numpy")


def test_optional_packages(monkeypatch):
    without(monkeypatch, {"onnxruntime"}, {"openvino": "2026.1"})
    fact = asked("optional packages", "onnxruntime", Machine())
    assert fact.value is None
    assert fact.text.startswith("not installed: pip install onnxruntime")
    assert asked("optional packages", "openvino", Machine()).text == "2026.1"


def test_a_package_that_is_missing(monkeypatch):
    without(monkeypatch, {"llvmlite"})
    fact = asked("packages", "needed", Machine())
    assert fact.value["llvmlite"]["version"] is None and "llvmlite\u00a0missing" in fact.text
    assert concluded(fact) == ["packages"]


def test_a_version_that_another_package_does_not_want(monkeypatch):
    """Numba is made for one version of llvmlite."""
    without(monkeypatch, set(), {"llvmlite": "0.99.0"})
    fact = asked("packages", "needed", Machine())
    assert fact.value["llvmlite"]["fits"] is False
    assert "llvmlite 0.99.0 (>=0.47, <" in fact.text.replace("\u00a0", " ")


def test_not_installed_itself(monkeypatch):
    """From its source, with no metadata."""
    real = metadata.requires

    def requires(name):
        if name == "layercc":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(packages.metadata, "requires", requires)
    assert "numba" in asked("packages", "needed", Machine()).value


# The kernel cache.


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "kernels"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("LAYERCC_CACHE_DIR", str(folder))
    monkeypatch.delenv("LAYERCC_CACHE", raising=False)
    return KernelCache(folder)


def cache_facts():
    facts = Facts()
    for probe in probes:
        if probe.section == "kernel cache":
            facts.all.append(probe.fact(Machine(), facts))
    return facts


def test_entries(cache):
    kernel = CompiledKernel(copy.key("f32"), (), "symbol", b"code")
    cache.store(entry_name(kernel.key, host_isa()), kernel)
    cache.store("0" * 64, kernel)
    cache.store("1" * 64, CompiledKernel(type(kernel.key)("no_such_family"), (), "", b""))
    (cache.folder / "2.kernel").write_bytes(b"layercc0 in another format")
    (cache.folder / "3.kernel").write_bytes(kernel.to_bytes()[:-1])
    (cache.folder / "4.partial").touch()
    facts = cache_facts()
    found = facts.value("kernel cache", "entries")
    assert (found["count"], found["current"], found["other"], found["damaged"]) == (5, 1, 3, 1)
    assert facts.value("kernel cache", "writable") is True
    assert facts.value("kernel cache", "usable") == ""
    assert concluded(*facts.all) == ["cache"]  # the damaged one


def test_only_some_entries_are_looked_at(cache, monkeypatch):
    monkeypatch.setattr("layercc.tools.doctor.cache._LOOKED_AT", 2)
    for name in "abc":
        (cache.folder / f"{name}.kernel").touch()
    text = cache_facts().find("kernel cache", "entries").text
    assert "; of the 2 last used: 0 for this version and machine, 0 for others, 2 damaged" in text


@pytest.mark.parametrize("fault", ["a file", "open to others", "below a file", "off"])
def test_a_cache_that_cannot_be_used(cache, monkeypatch, fault):
    folder = cache.folder
    if fault == "open to others":
        if os.name != "posix":
            pytest.skip("permissions are POSIX's")
        folder.chmod(0o777)
    elif fault == "off":
        monkeypatch.setenv("LAYERCC_CACHE", "0")
    else:
        folder.rmdir()
        folder.touch()
        if fault == "below a file":
            monkeypatch.setenv("LAYERCC_CACHE_DIR", str(folder / "kernels"))
    facts = cache_facts()
    assert facts.value("kernel cache", "usable")
    assert concluded(*facts.all) == ["cache"]
    assert not [fact for fact in facts.all if fact.unknown]


def test_a_folder_that_takes_no_files(cache, monkeypatch):
    def refuse(**options):
        raise PermissionError("read-only file system")

    monkeypatch.setattr("layercc.tools.doctor.cache.tempfile.NamedTemporaryFile", refuse)
    facts = cache_facts()
    assert facts.value("kernel cache", "writable") is False
    assert concluded(*facts.all) == ["cache"]


# Trials.


@pytest.mark.parametrize("measure", [True, False])
def test_limits(told, measure):
    machine = Machine(measure=measure)
    threads = Fact("processor", "layercc runs on", 2, "")
    one = asked("limits", "on 1 thread", machine)
    several = asked("limits", "on all cores", machine, threads)
    if not measure:
        assert one.text == several.text == "not measured"
        return
    assert (one.value["threads"], several.value["threads"]) == (1, 2)
    assert one.text.replace("\u00a0", " ") == "f32 100 GOP/s, memory 10 GB/s"


def test_one_core_is_measured_once(told):
    threads = Fact("processor", "layercc runs on", 1, "")
    assert asked("limits", "on all cores", Machine(), threads).value is None


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "died of SIGILL"),
        ("raise ValueError('no such thing')", "ValueError: no such thing"),
        ("print('no JSON')", "the process said 'no JSON'"),
        ("raise SystemExit(3)", "exit code 3"),
        ("pass", "exit code 0"),
        ("import time; time.sleep(60)", "it took more than 1 s"),
    ],
)
def test_a_process_that_fails(tmp_path, monkeypatch, script, why):
    """Wrong code must not take the doctor with it."""
    package = tmp_path / "layercc" / "tools" / "doctor"
    package.mkdir(parents=True)
    for folder in (package, *package.parents[:2]):
        (folder / "__init__.py").touch()
    (package / "worker.py").write_text(script)
    monkeypatch.setattr(trials, "_PATIENCE_SECONDS", 1 if "sleep" in script else 60)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    fact = asked("check", "a small model", Machine())
    assert fact.unknown and why in fact.text
    assert concluded(fact) == ["check"]


def test_no_interpreter(monkeypatch):
    monkeypatch.setattr(sys, "executable", "")
    assert "there is no Python interpreter" in asked("check", "a small model", Machine()).text


@pytest.mark.parametrize("fault", ["error", "same", "result"])
def test_wrong_results_are_an_error(told, monkeypatch, fault):
    told["check"][fault] = {"error": 0.1, "same": False, "result": "01"}[fault]
    if fault == "result":  # that of the second process
        answers = iter([CHECKED, told["check"]])
        told["check"] = lambda threads: next(answers)
    found = examine(Machine(measure=False))
    assert not found.ok
    assert [each.level for each in found.findings].count("error") == 1


# The whole.


def test_command(monkeypatch, cache):
    """With real trials, but for limits, which have tests of their own."""
    done = CliRunner().invoke(main, ["doctor", "--no-measure", "--json"])
    assert done.exit_code == 0, done.output
    data = json.loads(done.stdout)
    assert data["ok"] and set(data) == {"ok", "facts", "findings"}
    check = data["facts"]["check"]["a small model"]
    assert check["right"] and check["same"] and check["kept"]
    assert data["facts"]["limits"] == {"on 1 thread": None, "on all cores": None}
    unknown = [
        name
        for facts in data["facts"].values()
        for name, value in facts.items()
        if isinstance(value, dict) and "unknown" in value
    ]
    assert not unknown
    assert list(cache.folder.iterdir()) == []  # trials have a folder of their own


@pytest.mark.parametrize("measure", [[], ["--no-measure"]])
def test_text(told, monkeypatch, measure):
    monkeypatch.setenv("LAYERCC_CACHE", "0")
    done = CliRunner().invoke(main, ["doctor", *measure])
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert {"system", "processor", "packages", "findings"} <= set(lines)
    assert "  warning  the kernel cache is off" in lines
    assert ("not measured" in done.stdout) == bool(measure)


def test_exit_code(told):
    told["check"] = trials.TrialError("the process died of SIGILL")
    done = CliRunner().invoke(main, ["doctor", "--no-measure"])
    assert done.exit_code == 1
    assert "  error    a small model could not be compiled and run" in done.stdout


def test_a_variable_that_is_wrong():
    """Nothing is chosen, so nothing runs; all that does not hang on it is told."""
    done = run_script(NO_TRIALS, LAYERCC_ISA="avx1024")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    data = json.loads(done.stdout)
    assert "avx1024" in data["facts"]["processor"]["instruction set"]["unknown"]
    assert data["facts"]["processor"]["best instruction set"]
    whats = [finding["what"] for finding in data["findings"] if finding["level"] == "error"]
    assert whats == ["no instruction set can be chosen"]


@pytest.mark.parametrize("module", ["numpy", "numba", "onnx", "platformdirs"])
def test_a_package_that_cannot_be_imported(module):
    done = run_script(f"import sys; sys.modules[{module!r}] = None\n{NO_TRIALS}")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    facts = json.loads(done.stdout)["facts"]
    assert facts["processor"]["layercc runs on"] >= 1 and facts["packages"]["needed"]["numpy"]


NO_TRIALS = """
from layercc.tools.doctor import trials
def run_worker(*arguments):
    raise trials.TrialError("not tried")
trials.run_worker = run_worker
"""


def run_script(begin, **variables):
    """`layercc doctor` in a process that runs some code first."""
    script = (
        f"{begin}\nfrom layercc.tools.cli import main\nmain(['doctor', '--no-measure', '--json'])"
    )
    return subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
    )


def test_nothing_private(told, tmp_path, monkeypatch):
    home = tmp_path / "home" / "ada"
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(home))
    monkeypatch.setenv("LOGNAME", "ada")
    monkeypatch.setenv("LAYERCC_CACHE_DIR", str(home / "kernels"))
    monkeypatch.setenv("PYTHONPATH", f"/scratch/ada/lib{os.pathsep}/data/adapter")
    found = examine(Machine(measure=False))
    text = json.dumps(found.to_dict()) + str(found)
    assert str(home) not in text and "/ada/" not in text
    assert "~/kernels" in text
    assert "/scratch/USER/lib" in text and "/data/adapter" in text


def test_a_conclusion_that_fails(told, monkeypatch):
    def wrong(facts):
        raise KeyError("not there")

    monkeypatch.setattr("layercc.tools.doctor.examine.conclusions", [wrong])
    found = examine(Machine(measure=False))
    assert [finding.what for finding in found.findings] == [
        "no conclusion on wrong: KeyError: 'not there'"
    ]


def test_nothing_found():
    assert str(Examination([], [])) == "\nfindings\n  none"


def test_lines_break_between_items():
    text = ", ".join(f"name{i}\u00a0{i} B" for i in range(30))
    lines = str(Examination([Fact("section", "fact", {}, text)], [])).splitlines()
    assert len(lines) > 4 and all(len(line) <= 100 for line in lines)
    assert "\u00a0" not in "".join(lines)


def test_a_probe_never_raises():
    def ask(machine, facts):
        raise RuntimeError("a fault\n  on two lines")

    fact = Probe("section", "name", ask, str).fact(Machine(), Facts())
    assert fact.text == "RuntimeError: a fault on two lines"


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (48 << 10, "48 KiB"),
        (1 << 20, "1 MiB"),
        (3 << 29, "1.5 GiB"),
        (1000 << 20, "1000 MiB"),
        (1 << 60, "1048576 TiB"),
    ],
)
def test_binary(nbytes, text):
    assert binary(nbytes) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "yes"),
        (3, "3"),
        ([], "none"),
        (["a", False], "a, no"),
        ({"a": 1, "b": "c"}, "a\u00a01, b\u00a0c"),
        ({}, "none"),
    ],
)
def test_plain(value, text):
    assert plain(value) == text
