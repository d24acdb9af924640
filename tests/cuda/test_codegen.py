"""From Python kernels to PTX and cubins."""

# mypy: ignore-errors

import os
import re
import subprocess
import sys

import numpy as np
import pytest

from layercc.cuda.architecture import ARCHITECTURES, architecture_named, architecture_of
from layercc.cuda.codegen import assembler
from layercc.cuda.codegen.assembler import AssemblyError, assemble, find_assembler
from layercc.cuda.codegen.compiler import compile_kernel
from layercc.cuda.family import gpu_kernel_family
from layercc.cuda.kernels.attention import attention
from layercc.cuda.kernels.attention_tiles import attention_tiles
from layercc.cuda.kernels.byte_products import byte_tiles
from layercc.cuda.kernels.contraction import direct, tiles
from layercc.cuda.kernels.cumulate import cumulate, piece_totals
from layercc.cuda.kernels.indexing import gather, gather_elements, gather_nd
from layercc.cuda.kernels.movement import fill, strided_copy, transpose
from layercc.cuda.kernels.normalize import normalize_rows, softmax_columns, softmax_rows
from layercc.cuda.kernels.placing import one_hot, reverse_sequence, triangle, write_sequence
from layercc.cuda.kernels.pointwise import pointwise
from layercc.cuda.kernels.pooling import pool
from layercc.cuda.kernels.recurrent import recurrent_layer
from layercc.cuda.kernels.reduce import reduce_columns, reduce_rows
from layercc.cuda.kernels.resampling import grid_sample
from layercc.cuda.kernels.rotary import rotary
from layercc.cuda.kernels.scatter import scatter_elements, scatter_nd
from layercc.cuda.kernels.selection import merged_runs, sorted_tiles
from layercc.cuda.store import GpuKernels
from layercc.kernels.cache import KernelCache
from layercc.kernels.declaration import F32, I32, INT, pointer
from tests.cuda.ptx.machine import launch
from tests.cuda.ptx.memory import Memory
from tests.cuda.ptx.parser import PtxError

HOPPER = architecture_named("sm_90a")


@gpu_kernel_family(threads=64)
def words(dtype: str):
    """All of numba.cuda's words that kernels may use."""
    from numba import cuda, float32

    @cuda.jit(device=True)
    def doubled(x):
        return x + x

    def body(x: pointer(dtype), y: pointer(dtype), n: I32, factor: F32, start: INT):
        tile = cuda.shared.array(64, float32)
        t = cuda.threadIdx.x
        i = cuda.grid(1)
        tile[t] = x[start + i] if i < n else np.float32(0)
        cuda.syncthreads()
        value = tile[cuda.blockDim.x - 1 - t]
        cuda.syncwarp()
        value = cuda.fma(value, factor, cuda.shfl_xor_sync(0xFFFFFFFF, value, 1))
        value += np.float32(cuda.gridsize(1) + cuda.gridDim.x + cuda.blockIdx.x + cuda.laneid)
        if i < n:
            y[i] = doubled(value)

    return body


def test_words():
    made = compile_kernel(words.key("f32"), HOPPER, None)
    memory = Memory()
    x = np.random.default_rng(0).standard_normal(103).astype(np.float32)
    y = memory.allocate(400)
    launch(made.code.decode(), memory, (2, 1, 1), 64, [memory.put(x), y, 100, 0.5, 3])
    padded = np.zeros(128, np.float32)
    padded[:100] = x[3:]
    turned = padded.reshape(2, 64)[:, ::-1].reshape(-1)
    value = turned * np.float32(0.5) + turned.reshape(-1, 2)[:, ::-1].reshape(-1)
    value += np.float32(128 + 2) + np.arange(128) // 64 + np.arange(128) % 32
    np.testing.assert_allclose(memory.read(y, (100,), "f4"), 2 * value[:100], rtol=1e-6)
    assert made.facts == {"threads": 64, "dynamic": 0, "form": "ptx", "shared": 256}


@gpu_kernel_family(threads=lambda dtype, n: n, dynamic_shared=lambda dtype, n: 4096 * n)
def turned(dtype: str, n: int):
    """Through more memory than a block has unasked."""
    from numba import cuda

    def body(x: pointer(dtype), y: pointer(dtype)):
        t = cuda.threadIdx.x
        fixed = cuda.shared.array(n, np.uint32)
        tile = cuda.shared.array(0, np.uint32)
        fixed[t] = x[t]
        tile[1023 * n + t] = x[t]
        cuda.syncthreads()
        y[t] = tile[1024 * n - 1 - t] + fixed[t]

    return body


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_dynamic_shared_memory(name):
    architecture, x = architecture_named(name), np.arange(32, dtype="u4") ** 2
    made = compile_kernel(turned.key("u32", 32), architecture, None)
    assert made.facts == {"threads": 32, "dynamic": 131072, "form": "ptx", "shared": 131200}
    memory = Memory()
    y = memory.allocate(128)
    given = (made.code.decode(), memory, (1, 1, 1), 32, [memory.put(x), y])
    launch(*given, dynamic_shared=131072)
    np.testing.assert_array_equal(memory.read(y, (32,), "u4"), x + x[::-1])
    with pytest.raises(PtxError, match="outside of shared memory"):
        launch(*given, dynamic_shared=131068)
    if (tool := find_assembler()) is not None:
        facts = compile_kernel(turned.key("u32", 32), architecture, tool).facts
        assert facts["shared"] - (1024 if name != "sm_80" else 0) in (131200, 131200 - 1024)


def lstm(*params: int):
    """An LSTM of f32 with its usual functions, and outputs of all steps."""
    functions = ("sigmoid", "tanh", "tanh")
    steps = tuple((("f32",), ((name, (0,), (), "f32"),), (1,)) for name in functions)
    return recurrent_layer.key("LSTM", "f32", steps, *params, *[False] * 5, True)


BYTES = (("i32",), (), (0,))
SUM, TOTAL = (("f32",), (), (0,)), (("f32", "f64"), (), (0,))
#: Kernels of all families, with the registers that a thread may take: they must not grow unseen.
LIMITS = {
    tiles.key("f32", SUM, (), 0, False, "columns"): 200,
    tiles.key("f32", SUM, (), 1, True, "columns"): 168,
    tiles.key("f64", (("f64",), (), (0,)), (), 0, False, "depth"): 224,
    direct.key("f32", SUM, (), 1, True, True): 64,
    byte_tiles.key("u8", "i8", True, BYTES, (), 0, True, True, True): 255,
    attention_tiles.key("f32", "bf16", 3, 128, 64, False, "added", True, True, True): 216,
    attention.key("f32", 2, "added", True, True, True, ""): 128,
    reduce_rows.key(SUM, TOTAL, "sum", False): 56,
    reduce_columns.key(SUM, TOTAL, "max"): 64,
    softmax_rows.key("f32", False, True): 64,
    softmax_columns.key("f16", True): 96,
    normalize_rows.key("f32", "f32", True, True, "f32", False): 72,
    pool.key("average", "f32", 0): 96,
    gather.key("u32", "i64", True): 40,
    grid_sample.key("f32", "f32", "cubic", "reflection", False, 3): 240,
    lstm(1, 24): 128,  # weights in registers: of 24 hidden units, for four gates
    lstm(4, 8): 128,
    gather_elements.key("u32", "i64", 3): 32,
    gather_nd.key("u64", 2): 32,
    scatter_elements.key("f32", "i64", "add", 32, 2): 64,
    scatter_nd.key("f16", "max", 1, 2): 64,
    write_sequence.key("u32", True): 32,
    one_hot.key("u32", "f32"): 24,
    reverse_sequence.key("u16", False): 24,
    triangle.key("u8", True): 24,
    rotary.key("f32", True, True): 32,
    sorted_tiles.key("f64", True, False): 40,
    merged_runs.key("f16", False, True): 32,
    piece_totals.key("f32", "f64", False): 24,
    cumulate.key("f32", "f64", False, True, True): 24,
}
KEYS = [
    fill.key("u32", True),
    strided_copy.key("u64", 3, 2),
    transpose.key("u16", 2),
    pointwise.key((("f32", "f16"), (("add", (0, 1), (), "f32"),), (2,)), (1, 0), 2, 4),
    words.key("f32"),
]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_ptx_is_of_the_version_asked_for_and_assembles(name):
    architecture = architecture_named(name)
    tool = find_assembler()
    for key in KEYS:
        text = compile_kernel(key, architecture, None).code.decode()
        assert f".version {architecture.ptx}\n" in text
        assert re.search(rf"^\.target {name}$", text, re.MULTILINE)
        assert re.search(r"\.maxntid\s+(64|256)", text)
        if tool is not None:
            _, taken = assemble(text, architecture, tool)
            assert 0 < taken.registers <= 64 and not taken.spilled
            shared = sum(map(int, re.findall(r"\.b8 shared_\d+\[(\d+)\]", text)))
            assert taken.shared - (1024 if name != "sm_80" else 0) in (shared, shared - 1024)


def test_registers():
    """Nothing is spilled, and no thread takes more registers than it did."""
    tool = find_assembler()
    if tool is None:
        pytest.skip("no ptxas")
    for key, most in LIMITS.items():
        facts = compile_kernel(key, HOPPER, tool).facts
        assert not facts["spilled"] and facts["registers"] <= most, (str(key), facts)


def test_roundings_are_named():
    """Without, ptxas would fuse products and sums that LLVM has left apart."""
    steps = (("sigmoid", (0,), (), "f32"), ("multiply", (1, 0), (), "f32"))
    key = pointwise.key((("f32",), (*steps, ("add", (2, 0), (), "f32")), (3,)), (1,), 1, 1)
    text = compile_kernel(key, HOPPER, None).code.decode()
    assert "mul.rn.f32" in text and "add.rn.f32" in text and "fma.rn.f32" in text
    assert not re.search(r"\b(add|sub|mul)\.f(32|64)", text)


def test_wide_accesses():
    key = pointwise.key((("f32",), (("relu", (0,), (), "f32"),), (1,)), (1,), 1, 4)
    text = compile_kernel(key, HOPPER, None).code.decode()
    assert "ld.global.v4" in text and "st.global.v4" in text
    text = compile_kernel(strided_copy.key("u64", 1, 2), HOPPER, None).code.decode()
    assert "ld.global.v2.b64" in text and "st.global.v2.b64" in text


def test_a_barrier_is_not_moved_into_a_branch():
    """A call of what has a barrier inside is convergent, whatever the condition behind it."""

    @gpu_kernel_family(threads=64)
    def around(dtype: str):
        from numba import cuda

        def body(x: pointer(dtype), y: pointer(dtype), n: I32):
            tile = cuda.shared.array(64, np.uint32)
            t = cuda.threadIdx.x
            tile[t] = x[t]
            cuda.syncthreads()
            value = tile[t ^ 1]
            if n > t:
                cuda.syncthreads()
                tile[t] = value
            else:
                cuda.syncthreads()
            y[t] = value

        return body

    text = compile_kernel(around.key("u32"), HOPPER, None).code.decode()
    assert text.count("bar.sync") == 3  # neither joined nor doubled


@gpu_kernel_family(threads=32)
def of_the_library(dtype: str):
    """y[0] = lgamma(x[0])."""
    from layercc.kernels.math_intrinsics import c_function

    function = c_function("lgamma")

    def body(x: pointer(dtype), y: pointer(dtype)):
        y[0] = function(x[0])

    return body


def test_what_a_gpu_has_not():
    made = compile_kernel(of_the_library.key("f64"), HOPPER, None)
    assert made.facts["refused"] == "it calls lgamma, which there is on a CPU only"
    assert not made.code


@pytest.mark.parametrize(
    ("capability", "name"),
    [((7, 5), None), ((8, 0), "sm_80"), ((8, 9), "sm_80"), ((9, 0), "sm_90a"), ((12, 0), "sm_90")],
)
def test_architecture_of_a_device(capability, name):
    found = architecture_of(capability)
    assert (found and found.name) == name


def test_occupancy():
    """Limits by threads, by registers and shared memory, and by blocks."""
    assert HOPPER.occupancy(256, 32, 0) == 8
    assert HOPPER.occupancy(128, 168, 64 << 10) == 3
    assert HOPPER.occupancy(256, 255, 0) == 1
    assert HOPPER.occupancy(32, 16, 0) == 32
    assert architecture_named("sm_80").occupancy(256, 32, 100 << 10) == 1


def test_the_cache_tells_machines_and_assemblers_apart(tmp_path):
    cache = KernelCache(tmp_path)
    tool = assembler.Assembler("ptxas", "13.0.88")
    newer = assembler.Assembler("ptxas", "13.1")
    stores = [
        GpuKernels(cache, architecture_named(name), each)
        for name in ("sm_80", "sm_90a")
        for each in (None, tool, newer)
    ]
    assert len({store.entry_name(KEYS[0]) for store in stores}) == 6
    assert None not in {store.entry_name(KEYS[0]) for store in stores}


def test_kernels_are_compiled_elsewhere_and_kept(tmp_path):
    """A process that runs models imports no Numba."""
    script = """
import sys
from pathlib import Path
from layercc.cuda.architecture import architecture_named
from layercc.cuda.kernels.attention import attention
from layercc.cuda.kernels.contraction import direct, tiles
from layercc.cuda.kernels.indexing import gather
from layercc.cuda.kernels.movement import fill
from layercc.cuda.store import GpuKernels
from layercc.kernels.cache import open_cache
keys = [fill.key("u32", True), fill.key("u16", False)]
made = GpuKernels(open_cache(), architecture_named("sm_80"), None).get(keys)
assert ".target sm_80" in made[keys[1]].code.decode()
assert "numba" not in sys.modules
"""
    environment = {"LAYERCC_CACHE_DIR": str(tmp_path), "PYTHONPATH": "."}
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, **environment})
    assert len(list(tmp_path.glob("*.kernel"))) == 2


def test_ptxas_speaks(monkeypatch):
    tool = find_assembler()
    if tool is None:
        pytest.skip("no ptxas")
    with pytest.raises(AssemblyError, match="ptxas"):
        assemble(".version 8.0\n.target sm_90a\n.address_size 64\nnonsense;", HOPPER, tool)
    monkeypatch.setenv(assembler.VARIABLE, "/nowhere/ptxas")
    find_assembler.cache_clear()
    assert find_assembler() is None
    monkeypatch.undo()
    find_assembler.cache_clear()
