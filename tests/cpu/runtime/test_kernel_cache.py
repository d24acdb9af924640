"""The cache of compiled kernels on disk, and getting kernels through it."""

# mypy: ignore-errors

import dataclasses
import logging
import os
import platform
import stat
import subprocess
import sys
import threading
import time

import pytest

from layercc.cpu.isa import choose_isa, host_isa
from layercc.cpu.kernels.copy import copy
from layercc.cpu.runtime import native
from layercc.cpu.runtime.kernel_cache import COMPILER, entry_name
from layercc.cpu.runtime.native import Kernels, compile_kernel
from layercc.kernels import cache as kernel_cache
from layercc.kernels.cache import (
    CompiledKernel,
    CorruptEntry,
    ForeignEntry,
    KernelCache,
    open_cache,
)

KEY = copy.key("f32")


@pytest.fixture(scope="module")
def compiled():
    return compile_kernel(KEY, host_isa())


@pytest.fixture
def cache(tmp_path):
    return KernelCache(tmp_path)


def test_round_trip(cache, compiled):
    assert cache.load("name") is None
    assert cache.store("name", compiled)
    assert cache.load("name") == compiled
    assert [file.name for file in cache.folder.iterdir()] == ["name.kernel"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:10],
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: b"layercc0" + data[8:],
        lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:],
        lambda data: data[:-5] + bytes([data[-5] ^ 1]) + data[-4:],
    ],
    ids=["empty", "header", "short", "long", "version", "header bit", "code bit"],
)
def test_damage_is_found_and_mended(cache, compiled, damage, caplog, monkeypatch):
    data = damage(compiled.to_bytes())
    with pytest.raises(CorruptEntry):
        CompiledKernel.from_bytes(data)
    name = entry_name(KEY, host_isa())
    path = cache.folder / f"{name}.kernel"
    path.write_bytes(data)
    monkeypatch.setattr(native, "compile_kernel", lambda key, isa: compiled)
    with caplog.at_level(logging.DEBUG):
        assert Kernels(cache, host_isa()).get(KEY).compiled == compiled
    assert "unusable" in caplog.text
    assert path.read_bytes() == compiled.to_bytes()


def test_another_format_is_told_from_damage(compiled):
    with pytest.raises(ForeignEntry, match="layercc0"):
        CompiledKernel.from_bytes(b"layercc0" + compiled.to_bytes()[8:])
    with pytest.raises(CorruptEntry) as damaged:
        CompiledKernel.from_bytes(b"another1" + compiled.to_bytes()[8:])
    assert not isinstance(damaged.value, ForeignEntry)


def test_second_process_does_not_compile(cache, compiled, monkeypatch):
    monkeypatch.setattr(native, "compile_kernel", lambda key, isa: compiled)
    Kernels(cache, host_isa()).get(KEY)
    monkeypatch.setattr(native, "compile_kernel", None)
    kernels = Kernels(cache, host_isa())
    assert kernels.get(KEY).signature == compiled.signature
    assert kernels.get(KEY) is kernels.get(KEY)


def test_without_cache(compiled, monkeypatch):
    calls = []
    monkeypatch.setattr(native, "compile_kernel", lambda key, isa: calls.append(key) or compiled)
    kernels = Kernels(None, host_isa())
    assert kernels.get(KEY).address == kernels.get(KEY).address
    assert calls == [KEY]


def test_one_compile_for_many_threads(cache, compiled, monkeypatch):
    calls = []

    def slow_compile(key, isa):
        calls.append(key)
        time.sleep(0.05)
        return compiled

    monkeypatch.setattr(native, "compile_kernel", slow_compile)
    kernels = Kernels(cache, host_isa())
    threads = [threading.Thread(target=kernels.get, args=(KEY,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == [KEY]


def test_names_depend_on_all_that_matters(monkeypatch):
    name = entry_name(KEY, host_isa())
    assert name == entry_name(copy.key("f32"), host_isa())
    isa = choose_isa(frozenset(), "x86_64")
    others = {
        entry_name(copy.key("f64"), host_isa()),
        entry_name(KEY, isa),
        entry_name(KEY, dataclasses.replace(isa, features=("avx512vnni",))),
    }
    digest = kernel_cache._digest
    monkeypatch.setattr(
        kernel_cache, "_digest", lambda path: digest(path) + ("." if "intrinsics" in path else "")
    )
    assert entry_name(KEY, host_isa()) == name  # copy does not import the intrinsics
    monkeypatch.setattr(
        kernel_cache, "_digest", lambda path: digest(path) + ("." if "target" in path else "")
    )
    others.add(entry_name(KEY, host_isa()))
    monkeypatch.undo()
    monkeypatch.setattr(kernel_cache, "_numba_version", lambda: "0.1")
    kernel_cache._toolchain.cache_clear()
    others.add(entry_name(KEY, host_isa()))
    kernel_cache._toolchain.cache_clear()
    assert len(others | {name}) == 6


def test_sources_are_followed():
    from layercc.cpu import executor

    def followed(path):
        return {os.path.basename(file) for file in kernel_cache._closure(path)}

    files = followed(executor.__file__)
    assert {"executor.py", "atomics.py", "control.py", "declaration.py", "helper.py"} <= files
    files = followed(COMPILER)
    assert {
        "numba_target.py",
        "front_end.py",
        "codegen.py",
        "wrapper.py",
        "isa.py",
        "objects.py",
    } <= files
    assert {"declaration.py", "helper.py", "numba_types.py"} <= files


def test_sources_edited_since_the_start_are_not_cached(monkeypatch):
    assert entry_name(KEY, host_isa()) is not None
    monkeypatch.setattr(kernel_cache, "_edited", lambda path: path.endswith("copy.py"))
    assert entry_name(KEY, host_isa()) is None


def test_trim_removes_the_oldest(tmp_path, compiled):
    size = len(compiled.to_bytes())
    cache = KernelCache(tmp_path, limit_bytes=3 * size)
    for age, name in enumerate("abcde"):
        cache.store(name, compiled)
        os.utime(tmp_path / f"{name}.kernel", (0, 1000 + age))
    assert cache.load("a") == compiled  # now the youngest
    (tmp_path / "left.partial").write_bytes(b"x")
    os.utime(tmp_path / "left.partial", (0, 0))
    (tmp_path / "writing.partial").write_bytes(b"x")
    cache.trim()
    assert {file.name for file in tmp_path.iterdir()} == {
        "a.kernel", "d.kernel", "e.kernel", "writing.partial",
    }  # fmt: skip


def test_a_folder_that_cannot_be_written(tmp_path, compiled):
    cache = KernelCache(tmp_path / "missing")
    assert not cache.store("name", compiled)
    assert cache.load("name") is None
    cache.trim()


def test_folder_from_environment(tmp_path, monkeypatch):
    folder = tmp_path / "new" / "cache"
    monkeypatch.setenv("LAYERCC_CACHE_DIR", str(folder))
    assert open_cache().folder == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    monkeypatch.setenv("LAYERCC_CACHE", "0")
    assert open_cache() is None


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_others_may_not_write_to_the_folder(tmp_path, monkeypatch, mode):
    tmp_path.chmod(mode)
    monkeypatch.setenv("LAYERCC_CACHE_DIR", str(tmp_path))
    with pytest.warns(RuntimeWarning, match="others may write to it"):
        assert open_cache() is None


def test_the_folder_must_be_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("LAYERCC_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.warns(RuntimeWarning, match="belongs to another user"):
        assert open_cache() is None


def test_the_folder_must_be_a_folder(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LAYERCC_CACHE_DIR", str(tmp_path / "file"))
    with pytest.warns(RuntimeWarning, match="does not cache"):
        assert open_cache() is None


def test_a_kernel_that_fails_is_named(monkeypatch):
    with pytest.raises(ValueError, match="no pointer type") as caught:
        Kernels(None, host_isa()).get(copy.key("f31"))
    assert caught.value.__notes__ == [f"while building the kernel copy[f31] for {host_isa().name}"]


def _python(script, folder, *arguments):
    environment = {
        **os.environ,
        "LAYERCC_CACHE_DIR": str(folder),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


START = """
import sys
import numpy as np
import layercc as lc
from layercc.cpu.runtime import native
from layercc.kernels import compile_pool
if len(sys.argv) > 1:
    compile_pool.compile_in_processes = native.compile_kernel = None
fn = lc.compile(lc.Sequential([lc.Input((4,)), lc.Dense(3, activation="relu")]), threads=2)
for rows in (2, 2, 300):
    assert fn(np.ones((rows, 4), np.float32)).shape == (rows, 3)
print(*{"numba", "llvmlite.binding", "networkx"} & set(sys.modules))
"""


def test_a_process_that_runs_a_model_has_no_compiler_in_it(tmp_path):
    links = sys.platform == "linux" and platform.machine() == "x86_64"
    wanted = [] if links else ["llvmlite.binding"]
    assert _python(START, tmp_path) == wanted  # other processes compile
    assert _python(START, tmp_path, "warm") == wanted  # nobody does


PREPARE = """
import sys
from layercc.cpu.kernels.copy import copy
from layercc.cpu.isa import host_isa
from layercc.kernels.declaration import *
from layercc.cpu.runtime.native import default_kernels

@kernel_family
def of_main(value: int):
    def body(task: INT, y: pointer("i64")):
        y[0] = value
    return body

keys = [copy.key(d) for d in ("f32", "f64", "i8", "i16", "i32", "i64")] + [of_main.key(3)]
seen = []
kernels = default_kernels(host_isa())
loaded = kernels.prepare(keys, lambda key, done, total: seen.append((done, total)))
assert list(loaded) == keys
print(len(seen), seen[-1] == (7, 7))
kernels.prepare(keys, lambda *_: print("again"))
"""


def test_prepare_compiles_in_processes(tmp_path, monkeypatch):
    assert _python(PREPARE, tmp_path) == ["7", "True"]
    assert len(list(tmp_path.iterdir())) == 6  # of_main is in no file


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("executable", "/no/such/python"), ("executable", ""), ("frozen", True)],
)
def test_prepare_without_processes(cache, compiled, monkeypatch, attribute, value):
    """Processes that cannot be started leave the work to the caller."""
    monkeypatch.setattr(sys, attribute, value, raising=False)
    keys = [copy.key(dtype) for dtype in ("f32", "f64", "i8", "i16", "u8")]
    loaded = Kernels(cache, host_isa()).prepare(keys)
    assert len({kernel.address for kernel in loaded.values()}) == 5
