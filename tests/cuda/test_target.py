"""The CUDA target as callers see it, on the stand-in device and without one."""

from __future__ import annotations

import gc
import importlib.machinery
import importlib.util
import os
import pickle
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

import layercc as lc
from layercc.cuda import card, driver
from layercc.cuda.architecture import architecture_named
from layercc.cuda.arenas import PATIENCE
from layercc.cuda.codegen import assembler
from layercc.cuda.codegen.assembler import find_assembler
from tests.cuda.stand_in import LAUNCH_FAILED, OUT_OF_MEMORY, Handle, StandIn

RELU = "graph g(x: f32[N]) -> (y) {\n a = Relu(x)\n y = Add(a, a)\n}"
X = np.array([-1, 2, 3], np.float32)


def model(text: str = RELU, **options) -> lc.CompiledModel:
    return lc.compile(lc.parse_graph(text), **({"target": "cuda"} | options))


@pytest.fixture
def nothing(monkeypatch):
    """A machine without a device."""

    def missing():
        raise driver.NoDeviceError("no cuda-bindings: pip install 'layercc[cuda]'")

    monkeypatch.setattr(driver, "bindings", missing)
    driver.device.cache_clear()
    yield
    driver.device.cache_clear()


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "sm_80", "sm_90a"])
def test_a_target_is_a_value(name):
    target = lc.CudaTarget(name)
    assert pickle.loads(pickle.dumps(target)) == target == lc.CudaTarget(name)
    assert target.ordinal == (1 if name == "cuda:1" else 0)


def test_names(stand_in):
    with pytest.raises(ValueError, match="no architecture 'sm_12'; known are sm_80, sm_90"):
        lc.CudaTarget("sm_12")
    with pytest.raises(ValueError, match="cuda:x"):
        model(target="cuda:x")
    with pytest.raises(driver.NoDeviceError, match="no device cuda:1; there are 1"):
        model(target="cuda:1")
    with pytest.raises(lc.UnsupportedError, match="'cpu', 'cuda' and 'cuda:1' are"):
        model(target="tpu")
    with pytest.raises(ValueError, match="threads: none run a model on cuda"):
        model(threads=2)


def test_runs(stand_in):
    fn = model()
    np.testing.assert_array_equal(fn(X), [0, 4, 6])
    np.testing.assert_array_equal(fn(np.repeat(X, 100)), np.repeat([0, 4, 6], 100))
    np.testing.assert_array_equal(fn(X), [0, 4, 6])
    again = pickle.loads(pickle.dumps(fn))
    np.testing.assert_array_equal(again(X), [0, 4, 6])


def test_a_call_is_a_copy_a_graph_and_a_copy(stand_in):
    fn = model()
    fn(X)
    stand_in.calls.clear()
    fn(X)
    assert stand_in.calls == [
        "cuCtxGetCurrent", "cuCtxSetCurrent", "cuMemcpyHtoDAsync", "cuGraphLaunch",
        "cuMemcpyDtoHAsync", "cuStreamSynchronize", "cuCtxSetCurrent",
    ]  # fmt: skip


def test_constants_are_uploaded_once_and_memory_goes_with_the_model(stand_in):
    text = "graph g(x: f32[N,64]) -> (y) {\n y = Add(x, w)\n}"
    graph = lc.parse_graph(text.replace("(x: f32[N,64])", "(x: f32[N,64], w: f32[64])"))
    graph.inputs, weight = graph.inputs[:1], np.arange(64, dtype=np.float32)
    graph.constants["w"] = weight
    fn = lc.compile(graph, target="cuda")
    for n in (1, 2, 3):
        x = np.zeros((n, 64), np.float32)
        np.testing.assert_array_equal(fn(x), x + weight)
    assert stand_in.calls.count("cuMemcpyHtoD") == 1
    assert stand_in.memory.sizes
    del fn
    gc.collect()
    assert not stand_in.memory.sizes


def test_several_threads(stand_in):
    fn = model()
    found = [None] * 4
    lock = threading.Lock()  # of the interpreter: it is no device

    launch = type(stand_in)._cuStreamSynchronize

    def one_at_a_time(self, stream):
        with lock:
            launch(self, stream)

    type(stand_in)._cuStreamSynchronize, before = one_at_a_time, launch

    def call(i):
        found[i] = [fn(X + i) for _ in range(3)]

    threads = [threading.Thread(target=call, args=(i,)) for i in range(4)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        type(stand_in)._cuStreamSynchronize = before
    for i, outputs in enumerate(found):
        for y in outputs:
            np.testing.assert_array_equal(y, 2 * np.maximum(X + i, 0))


def test_plans_share_an_arena(stand_in):
    text = "graph g(x: f32[N,64]) -> (y) {\n a = Softmax(x)\n y = MatMul(a, a)\n}"
    text = text.replace("MatMul(a, a)", "Softmax(a)")
    fn = model(text)
    for rows in (64, 3, 1, 64, 3):
        fn(np.ones((rows, 64), np.float32))
    (arena,) = fn._inputs.memory.arenas
    assert len(arena.instances) == 3 and arena.memory.nbytes == 64 * 64 * 4
    taken = len(stand_in.memory.sizes)
    fn(np.ones((1, 64), np.float32))
    assert len(stand_in.memory.sizes) == taken


def test_an_arena_that_nobody_needs_goes(stand_in):
    stand_in.execute = False
    text = "graph g(x: f32[N,64]) -> (y) {\n a = Softmax(x)\n y = Softmax(a)\n}"
    fn = model(text)
    fn(np.ones((500, 64), np.float32))
    arenas = fn._inputs.memory.arenas
    assert arenas.nbytes > 500 * 64 * 4
    for _ in range(2 * PATIENCE):
        fn(np.ones((1, 64), np.float32))
    assert arenas.nbytes < 10_000


def test_graphs_go_with_their_plan(stand_in):
    fn = model()
    fn(X)
    fn(X[:2])
    (arena,) = fn._inputs.memory.arenas
    assert len(arena.instances) == 2
    fn._planner.plans.clear()
    gc.collect()
    assert not arena.instances


def test_the_callers_context_is_left_as_it_was(stand_in):
    fn = model()
    other = Handle("context")
    stand_in._cuCtxSetCurrent(other)
    fn(X)
    assert stand_in._cuCtxGetCurrent() is other
    fn.run({"x": X}, device=True)["y"].numpy()
    with pytest.raises(lc.MemoryLimitError):
        fn(np.zeros(1 << 29, np.float32))
    assert stand_in._cuCtxGetCurrent() is other


def test_another_device(monkeypatch, stand_in):
    stand_in.devices = 2
    driver.device.cache_clear()
    fn = model(target="cuda:1")
    y = fn.run({"x": X}, device=True)["y"]
    assert y.device == "cuda:1" and y.__dlpack_device__() == (2, 1)
    with pytest.raises(lc.InputError, match="'x': it lies on cuda:1; the model runs on cuda:0"):
        model()(y)


def test_launches_are_timed_by_the_device(stand_in):
    fn = model("graph g(x: f32[N,64]) -> (y) {\n a = Softmax(x)\n y = Softmax(a)\n}")
    x = np.ones((3, 64), np.float32)
    fn(x)
    plan = fn.plan({"x": x.shape})
    (y,), recording = plan.record([x], 1)
    np.testing.assert_array_equal(y, fn(x))
    assert [call.node for call in recording.calls] == ["a", "y"]
    np.testing.assert_allclose(recording.events["start"], [0, 1e-3])
    np.testing.assert_allclose(recording.events["end"], [1e-3, 2e-3])
    assert recording.arena_bytes == 3 * 64 * 4
    assert plan.device_seconds(4) == pytest.approx(1e-3)
    np.testing.assert_array_equal(fn(x), y)
    assert "a" in str(fn.profile(x, seconds=0.01))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_after_a_fork(stand_in):
    fn = model()
    fn(X)

    def refused(run):
        with pytest.raises(lc.LayerccError, match=r"forked from one that had used the GPU.*spawn"):
            run()

    child = os.fork()
    if not child:
        code = 1
        try:
            refused(lambda: fn(X))
            refused(lambda: fn.run({"x": X}, device=True))
            refused(lambda: model())
            calls = len(stand_in.calls)
            del fn
            gc.collect()
            code = 0 if len(stand_in.calls) == calls else 2  # the driver is left alone
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(fn(X), [0, 4, 6])


def test_a_model_goes_to_another_target(stand_in):
    fn = model(precision="high")
    there = fn.to("cpu")
    assert str(there.options.target) == "cpu" and there.options.precision == "high"
    np.testing.assert_array_equal(there(X), fn(X))
    back = lc.compile(there.graph, threads=2).to("cuda")
    assert back.options.threads is None
    np.testing.assert_array_equal(back(X), fn(X))
    with pytest.raises(lc.UnsupportedError, match="tpu"):
        fn.to("tpu")


def test_a_model_that_is_loaded_where_there_is_no_device(stand_in, monkeypatch):
    saved = pickle.dumps(model())

    def missing():
        raise driver.NoDeviceError("no cuda-bindings: pip install 'layercc[cuda]'")

    monkeypatch.setattr(driver, "bindings", missing)
    driver.device.cache_clear()
    fn = pickle.loads(saved)
    message = r"compiled for cuda, .*pip install 'layercc\[cuda\]'\); model\.to\('cpu'\) would run"
    for use in (
        lambda: fn(X),
        lambda: fn.run({"x": X}),
        lambda: fn.run({"x": X}, device=True),
        lambda: fn.plan({"x": (3,)}),
        lambda: fn.profile(X),
    ):
        with pytest.raises(lc.LayerccError, match=message):
            use()
    np.testing.assert_array_equal(fn.to("cpu")(X), [0, 4, 6])
    again = pickle.loads(pickle.dumps(fn))
    with pytest.raises(lc.LayerccError, match=r"to\('cpu'\)"):
        again(X)


def test_no_memory_left(stand_in):
    fn = model()
    stand_in.limit = sum(stand_in.memory.sizes.values()) + 1000
    with pytest.raises(
        lc.MemoryLimitError, match=r"for inputs and outputs \(80\.4 kB\) in the memory of Stand-in"
    ):
        fn(np.zeros(10000, np.float32))
    np.testing.assert_array_equal(fn(X), [0, 4, 6])  # it goes on


@pytest.mark.parametrize("function", ["cuGraphLaunch", "cuStreamSynchronize", "cuMemcpyHtoDAsync"])
def test_a_lost_device(stand_in, function):
    fn = model()
    fn(X)
    stand_in.faults[function] = LAUNCH_FAILED
    with pytest.raises(driver.DeviceError, match=f"{function}, .*, says CUDA_ERROR_LAUNCH_FAILED"):
        fn(X)
    with pytest.raises(driver.DeviceError, match=r"is lost to this process: .*LAUNCH_FAILED"):
        fn(X)


@pytest.mark.parametrize(
    "function",
    ["cuModuleLoadData", "cuModuleGetFunction", "cuMemAlloc", "cuMemHostAlloc", "cuStreamCreate",
     "cuGraphCreate", "cuGraphAddKernelNode", "cuGraphInstantiate"],
)  # fmt: skip
def test_what_fails_once_is_told_and_forgotten(stand_in, function):
    """A plan, or an instance of one, that could not be made is made again."""
    fn = model()
    stand_in.faults[function] = OUT_OF_MEMORY
    with pytest.raises(lc.MemoryLimitError, match=function):
        fn(np.zeros(5, np.float32))
        fn(np.zeros(6, np.float32))
    np.testing.assert_array_equal(fn(X), [0, 4, 6])


def test_without_a_device(nothing):
    with pytest.raises(driver.NoDeviceError, match=r"pip install 'layercc\[cuda\]'"):
        model()
    fn = model(target=lc.CudaTarget("sm_90a"), example_inputs=[X])
    with pytest.raises(lc.LayerccError, match=r"cuda \(sm_90a\), .* pip install 'layercc\[cuda\]'"):
        fn(X)
    plan = fn.plan({"x": (3,)})
    (call,) = plan.program.calls
    kernel = plan.kernels[call.key]
    assert call.tasks == 1 and kernel.facts["threads"] == 256
    again = pickle.loads(pickle.dumps(fn))
    with pytest.raises(lc.LayerccError, match="cannot run"):
        again(X)


def test_bindings_are_not_there():
    """Without the package, in a process of its own."""
    script = """
import sys
sys.modules["cuda"] = None
import layercc as lc
try:
    lc.compile(lc.parse_graph("graph g(x: f32[N]) -> (y) {\\n y = Relu(x)\\n}"), target="cuda")
except lc.LayerccError as error:
    assert "pip install 'layercc[cuda]'" in str(error), error
else:
    raise SystemExit("no error")
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_device_that_is_too_old(monkeypatch):
    monkeypatch.setattr(driver, "bindings", lambda: StandIn(capability=(7, 5)))
    driver.device.cache_clear()
    with pytest.raises(lc.LayerccError, match=r"capability 7\.5; 8\.0 and later would fit"):
        model()
    fn = model(target=lc.CudaTarget("sm_90a"))
    with pytest.raises(lc.LayerccError, match=r"Stand-in has compute capability 7\.5"):
        fn(X)
    driver.device.cache_clear()


def test_a_plan_is_looked_at_without_a_device(nothing):
    """Registers, shared memory and launches of a plan for a named architecture."""
    text = "graph g(x: f32[N,300], w: f32[300,9]) -> (y) {\n m = MatMul(x, w)\n y = Relu(m)\n}"
    plan = model(text, target=lc.CudaTarget("sm_80")).plan({"x": (70, 300), "w": (300, 9)})
    described = plan.described()
    assert [row["node"] for row in described] == [call.node for call in plan.program.calls]
    (tiles,) = described
    assert tiles["algorithm"] == "cuda_cores" and tiles["blocks"] == 2 and tiles["threads"] == 128
    assert tiles["flops"] == 2 * 70 * 300 * 9 and tiles["shared"] > 16000
    assert (tiles["kind"], tiles["dtype"]) == ("contraction", "f32")
    moved = 4 * (70 * 300 + 300 * 9 + 70 * 9)
    assert moved <= tiles["bytes"] < 1.2 * moved
    summary = plan.summary()
    assert summary["device"] == "A100 SXM 80 GB (on paper)" and summary["launches"] == 1
    assert summary["flops"] == tiles["flops"] and summary["floor"] >= moved / 2.039e12
    assert tiles["floor"] == pytest.approx(tiles["flops"] / (108 * 1.41e9 * 1024 / 3))
    if find_assembler() is not None:
        assert 32 < tiles["registers"] <= 255 and not tiles["spilled"]
        assert tiles["blocks_at_once"] >= 1 and tiles["waves"] < 1
        assert tiles["occupancy"] == tiles["blocks_at_once"] * 128 / 2048


def test_tables_that_are_indexed_are_not_read_whole(nothing):
    graph = lc.parse_graph("graph g(t: f32[9999,64], i: i64[N]) -> (y) {\n y = Gather(t, i)\n}")
    graph.inputs.pop(0)
    graph.constants["t"] = np.zeros((9999, 64), np.float32)
    fn = lc.compile(graph, [np.zeros(5, np.int64)], target=lc.CudaTarget("sm_90a"))
    plan = fn.plan({"i": (5,)})
    row, summary = plan.described()[0], plan.summary()
    assert 2 * 5 * 64 * 4 <= row["bytes"] <= 2 * 5 * 64 * 4 + 5 * 8
    assert summary["constant_bytes"] == 9999 * 64 * 4
    assert summary["floor"] < 5000 / 3e12


def test_what_a_card_reaches(stand_in):
    """NVIDIA's data sheets, dense: H100 SXM 67 TFLOP/s in f32, 3.35 TB/s; A100 312 in bf16."""
    limits = lc.CudaTarget("cuda").limits(1)
    assert limits.device == "Stand-in"
    assert limits.flops["f32"] == pytest.approx(495e12 / 3, rel=0.1)  # as products of tf32
    assert limits.bytes_per_second["memory"] == pytest.approx(3.35e12, rel=0.01)
    paper = card.usual_card(architecture_named("sm_80")).limits("medium")
    assert paper.flops["f32"] == paper.flops["bf16"] == pytest.approx(312e12, rel=0.01)
    assert paper.flops["f64"] == pytest.approx(9.7e12, rel=0.01)
    pieces = card.usual_card(architecture_named("sm_80")).limits("high")
    assert pieces.flops["f32"] == pytest.approx(312e12 / 3, rel=0.01)
    unknown = card.Card("new", (12, 0), 100, 0.0, 0.0, 0).limits()
    assert unknown.seconds(1e12, 1e12) == 0 and not unknown.flops
    (tiles,) = model("graph g(x: f32[N]) -> (y) {\n y = Relu(x)\n}").plan({"x": (9,)}).described()
    assert tiles["bytes"] == 72 and tiles["kind"] == "pointwise" and tiles["floor"] > 0


@pytest.mark.parametrize(
    ("capability", "version", "cubins"),
    [((9, 0), 13000, True), ((9, 0), 13020, True), ((12, 0), 13000, False), ((9, 0), 12090, False)],
)
def test_cubins_are_made_where_they_run(monkeypatch, capability, version, cubins):
    """Not for a later generation of devices, nor by a ptxas that is newer than the driver."""
    made = assembler.Assembler("ptxas", "13.5.37")
    monkeypatch.setattr("layercc.cuda.backend.find_assembler", lambda: made)
    here = StandIn(capability=capability)
    here.version = version
    monkeypatch.setattr(driver, "bindings", lambda: here)
    driver.device.cache_clear()
    backend = lc.CudaTarget("cuda").open(precision="highest", choices={})
    assert backend.kernels.assembler == (made if cubins else None)
    driver.device.cache_clear()


def test_the_wheel_of_ptxas_is_found(monkeypatch, tmp_path):
    """Where nvidia-cuda-nvcc 13 and nvidia-cuda-nvcc-cu12 lay it."""
    monkeypatch.delenv(assembler.VARIABLE, raising=False)
    monkeypatch.setattr(assembler, "_TOOLKIT", str(tmp_path / "none"))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    for place in ("cu13", "cuda_nvcc"):
        tool = tmp_path / place / "nvidia" / place / "bin" / "ptxas"
        tool.parent.mkdir(parents=True)
        tool.write_text("#!/bin/sh\necho 'Cuda compilation tools, release 13.5, V13.5.37'\n")
        tool.chmod(0o755)
        spec = importlib.machinery.ModuleSpec("nvidia", None, is_package=True)
        spec.submodule_search_locations = [str(tmp_path / place / "nvidia")]
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, spec=spec: spec)
        find_assembler.cache_clear()
        assert find_assembler() == assembler.Assembler(str(tool), "13.5.37")
    find_assembler.cache_clear()
