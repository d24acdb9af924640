"""Measuring what the machine can do, and keeping it on disk."""

# mypy: ignore-errors

import json
import subprocess
import sys
import types
from dataclasses import replace

import pytest

import layercc.cpu.limits
from layercc.cpu.isa import Isa, host_isa
from layercc.cpu.kernels.microbenchmarks import chain_elements
from layercc.cpu.runtime import measured_limits as module
from layercc.cpu.runtime.measured_limits import (
    Kept,
    conditions,
    file_name,
    load,
    measured_limits,
    store,
)
from layercc.cpu.runtime.measuring import held_bytes, measure, working_sets
from layercc.cpu.target import CpuTarget
from layercc.cpu.tiles import BF16_PAIRS, PAIRS, QUADS
from layercc.kernels.cache import KernelCache
from layercc.limits import LEVELS, Limits
from layercc.processor import Cache, caches
from layercc.target import Target

LIMITS = Limits("this machine", 1, {"f32": 100.0, "f64": 50.0}, {"L1": 50.0, "memory": 10.0})
ABOUT = conditions(host_isa(), 1)


@pytest.fixture
def cache(tmp_path):
    return KernelCache(tmp_path)


@pytest.fixture
def counted(cache, monkeypatch):
    """Measurements that are told rather than made; the list of what has been asked for."""
    asked = []

    def measured(isa, threads):
        asked.append(threads)
        return replace(LIMITS, threads=threads), not module.busy

    kernels = types.SimpleNamespace(cache=cache)
    monkeypatch.setattr(module, "busy", False, raising=False)
    monkeypatch.setattr(module, "measure", measured)
    monkeypatch.setattr(module, "default_kernels", lambda isa: kernels)
    monkeypatch.setattr(module, "_known", {})
    return asked


@pytest.mark.every_isa
@pytest.mark.parametrize("threads", [1, 2])
def test_measured(isa, threads):
    limits, undisturbed = measure(isa, threads)
    assert undisturbed in (True, False)
    assert limits.threads == threads and isa.name in limits.device
    assert limits.flops.keys() == chain_elements(isa).keys()
    known = [f"L{level}" for level in range(1, 4) if any(c.level == level for c in caches())]
    assert set(limits.bytes_per_second) <= set(LEVELS) and "memory" in limits.bytes_per_second
    assert set(known[:2]) <= set(limits.bytes_per_second)
    # No processor of today is as slow, or as fast.
    assert all(1e6 < rate < 1e16 for rate in limits.flops.values())
    assert all(1e6 < rate < 1e15 for rate in limits.bytes_per_second.values())


def test_more_threads_than_processors():
    assert measure(host_isa(), 19)[0].threads == 19


def test_measured_once(counted):
    first = measured_limits(host_isa(), 1)
    assert measured_limits(host_isa(), 1) is first and counted == [1]
    assert measured_limits(host_isa(), 2).threads == 2 and counted == [1, 2]


def test_kept_for_other_processes(counted, cache, monkeypatch):
    first = measured_limits(host_isa(), 1)
    monkeypatch.setattr(module, "_known", {})
    assert measured_limits(host_isa(), 1) == first and counted == [1]
    assert [path.name for path in cache.folder.iterdir()] == [file_name(ABOUT)]


def test_measured_again_keeps_the_larger_rate(counted, cache, monkeypatch):
    stored = replace(LIMITS, flops={"f32": 90.0, "f64": 70.0})
    assert store(cache, ABOUT, Kept(stored))
    assert measured_limits(host_isa(), 1).flops == stored.flops and counted == []
    again = measured_limits(host_isa(), 1, again=True)
    assert again.flops == {"f32": 100.0, "f64": 70.0} and counted == [1]
    assert load(cache, ABOUT) == Kept(again, 2)
    assert measured_limits(host_isa(), 1) is again


def test_measured_again_where_other_work_disturbed(counted, cache, monkeypatch):
    """By the next process, until nothing disturbs it, or it is not worth the time any more."""

    def next_process():
        monkeypatch.setattr(module, "_known", {})
        return measured_limits(host_isa(), 1)

    module.busy = True
    for count in (1, 2, 3):
        assert next_process() == LIMITS and load(cache, ABOUT) == Kept(LIMITS, count, False)
    assert measured_limits(host_isa(), 1) == LIMITS and len(counted) == 3
    module.busy = False
    for _ in range(3):
        assert next_process() == LIMITS and load(cache, ABOUT) == Kept(LIMITS, 4, True)
    store(cache, ABOUT, Kept(LIMITS, 4, False))
    module.busy = True
    for _ in range(3):
        next_process()
    assert load(cache, ABOUT) == Kept(LIMITS, 5, False) and len(counted) == 5


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "\0" + text,
        lambda text: "[]",
        lambda text: "{}",
        lambda text: text.replace('"conditions"', '"other"'),
        lambda text: text.replace('"measurements": 1', '"measurements": "one"'),
        lambda text: text.replace("100.0", "-1.0"),
        lambda text: text.replace("100.0", '"fast"'),
        lambda text: text.replace("this machine", "\udcff"),
        lambda text: text.replace(f'"version": {ABOUT["version"]}', '"version": 0'),
        lambda text: json.dumps({**json.loads(text), "limits": {}}),
    ],
)
def test_a_damaged_file_is_measured_anew(counted, cache, damage):
    store(cache, ABOUT, Kept(LIMITS))
    path = cache.folder / file_name(ABOUT)
    path.write_bytes(damage(path.read_text()).encode(errors="surrogateescape"))
    assert load(cache, ABOUT) is None
    assert measured_limits(host_isa(), 1) == LIMITS and counted == [1]
    assert load(cache, ABOUT) == Kept(LIMITS)


def test_a_file_of_other_conditions(cache):
    """Another processor, number of threads or cores: another file."""
    for change in ("processor", "isa", "threads", "cores", "version", "caches"):
        assert file_name({**ABOUT, change: "another"}) != file_name(ABOUT)
    store(cache, ABOUT, Kept(LIMITS))
    other = {**ABOUT, "processor": "another"}
    (cache.folder / file_name(ABOUT)).rename(cache.folder / file_name(other))
    assert load(cache, other) is None


def test_a_folder_that_takes_no_file(counted, tmp_path, monkeypatch):
    nowhere = KernelCache(tmp_path / "not there")
    assert not store(nowhere, ABOUT, Kept(LIMITS))
    module.default_kernels(None).cache = nowhere
    assert measured_limits(host_isa(), 1) == LIMITS and counted == [1]
    module.default_kernels(None).cache = None  # the cache is off
    monkeypatch.setattr(module, "_known", {})
    assert measured_limits(host_isa(), 1) == LIMITS and counted == [1, 1]


def test_processes_that_measure_at_once(tmp_path):
    """Readers see a whole file or none, whoever writes."""
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from layercc.kernels.cache import KernelCache\n"
        "from layercc.cpu.runtime.measured_limits import Kept, load, store\n"
        "from layercc.limits import Limits\n"
        "cache, about = KernelCache(Path(sys.argv[1])), {'threads': 1}\n"
        "for i in range(200):\n"
        "    assert store(cache, about, Kept(Limits('x' * i, 1, {'f32': 1.0 + i}, {})))\n"
        "    assert load(cache, about) is not None\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert load(KernelCache(tmp_path), {"threads": 1}).limits.flops == {"f32": 200.0}
    assert len(list(tmp_path.iterdir())) == 1


def test_targets(counted):
    class Unknown(Target):
        def open(self, **options):
            raise NotImplementedError

    assert Unknown().limits(1) is None
    assert CpuTarget().limits(2).threads == 2
    with pytest.raises(ValueError, match="one thread or more, not of 0"):
        CpuTarget().limits(0)


def test_a_target_that_this_machine_is_not(counted, monkeypatch):
    monkeypatch.setattr(CpuTarget, "runs_here", lambda self: False)
    assert CpuTarget().limits(1) is None and counted == []


def test_estimated_limits_are_the_same_everywhere():
    """Choices of algorithms hang on them, and on nothing measured."""
    isa = replace(host_isa(), name="avx512", vector_bytes=64)
    limits = layercc.cpu.limits.estimated(isa)
    assert limits.flops == {"f32": 192e9} and limits.bytes_per_second == {"memory": 10e9}


def test_a_process_that_measures_holds_no_compiler():
    script = (
        "import sys\n"
        "from layercc.cpu.target import CpuTarget\n"
        "assert CpuTarget().limits(1).flops['f32'] > 0\n"
        "assert not {'numba', 'llvmlite.binding'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ((), {"i8": PAIRS}),
        (("avx512vnni",), {"i8": QUADS}),
        (("avx512bf16",), {"i8": PAIRS, "bf16": BF16_PAIRS}),
    ],
)
def test_products_that_are_measured(features, expected):
    isa = Isa("avx512", 64, 32, "x86-64-v4", features)
    assert chain_elements(isa) == {"f32": "f32", "f64": "f64"} | expected


CORES = tuple(
    Cache(level, size, frozenset({cpu, cpu + 8}))
    for level, size in ((1, 32 << 10), (2, 1 << 20))
    for cpu in range(8)
)
SHARED = (Cache(3, 32 << 20, frozenset(range(16))),)


@pytest.mark.parametrize(
    ("known", "threads", "expected"),
    [
        ((), 1, {"memory": 64 << 20}),
        ((), 4, {"memory": 16 << 20}),
        (CORES + SHARED, 1, {"L1": 16, "L2": 512, "L3": 16 << 10, "memory": 128 << 10}),
        # Two threads may be on one core, and both on one third level.
        (CORES + SHARED, 2, {"L1": 8, "L2": 256, "L3": 8 << 10, "memory": 64 << 10}),
        (CORES + SHARED, 8, {"L1": 8, "L2": 256, "L3": 2 << 10, "memory": 16 << 10}),
        # With as many, no part of the third level is larger than what the second one holds.
        (CORES + SHARED, 32, {"L1": 4, "L2": 128, "memory": 4 << 10}),
    ],
)
def test_working_sets(known, threads, expected):
    sets = working_sets(known, threads, 1 << 40)
    scale = 1 if not known else 1 << 10
    assert sets == {level: size * scale for level, size in expected.items()}


def test_working_sets_leave_memory():
    assert working_sets(CORES + SHARED, 1, 256 << 20)["memory"] == 32 << 20
    assert working_sets(CORES + SHARED, 1, 0)["memory"] == 1 << 20


@pytest.mark.parametrize(("threads", "cores"), [(1, 1), (3, 3), (16, 8)])
def test_held_bytes(threads, cores):
    """Each thread may have the caches of a core for itself, and all share the third level."""
    held = held_bytes(CORES + SHARED, threads)
    assert held == {"L1": cores * 32 << 10, "L2": cores << 20, "L3": 32 << 20}
    assert held_bytes((), threads) == {}
