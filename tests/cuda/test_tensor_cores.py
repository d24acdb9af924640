"""Tensor cores and asynchronous copies: the interpreter on PTX written by hand, and intrinsics."""

# mypy: ignore-errors

import numpy as np
import pytest

from layercc.cuda.architecture import architecture_named
from layercc.cuda.codegen.assembler import assemble, find_assembler
from layercc.cuda.codegen.compiler import compile_kernel
from layercc.cuda.family import gpu_kernel_family
from layercc.cuda.kernels.implicit_gemm import TILES, implicit_gemm
from layercc.kernels.declaration import I32, pointer
from tests.cuda.ptx.machine import launch
from tests.cuda.ptx.memory import Memory
from tests.cuda.ptx.parser import PtxError, parse
from tests.cuda.ptx.tensor_cores import added

RNG = np.random.default_rng(0)


def bf16(values):
    """Rounded to bfloat16, as its bits."""
    bits = np.asarray(values, "f4").view("u4")
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("u2")


def from_bf16(bits):
    return (bits.astype("u4") << 16).view("f4")


HEAD = """
.version 8.0
.target sm_90a
.address_size 64
.visible .entry k(.param .u64 .ptr .align 1 a, .param .u64 .ptr .align 1 b)
.maxntid 64
{
  .reg .pred %p<4>; .reg .b32 %r<48>; .reg .b64 %rd<16>;
  .shared .align 16 .b8 tile[1024];
  ld.param.b64 %rd0, [a]; ld.param.b64 %rd1, [b];
  mov.u32 %r0, %tid.x; mul.wide.u32 %rd2, %r0, 16; shl.b32 %r1, %r0, 4;
  add.s64 %rd3, %rd0, %rd2; mov.b32 %r2, tile; add.s32 %r3, %r2, %r1; add.s64 %rd4, %rd1, %rd2;
"""
COPY = "cp.async.cg.shared.global [%r3], [%rd3], 16; cp.async.commit_group;"
WAIT = "cp.async.wait_group 0;"
BARRIER = "bar.sync 0;"
LOAD = "ld.shared.v4.b32 {%r4, %r5, %r6, %r7}, [%r3];"
STORE = "st.global.v4.b32 [%rd4], {%r4, %r5, %r6, %r7};"
OTHER = "xor.b32 %r8, %r1, 512; add.s32 %r3, %r2, %r8;"  # of the other warp
OWN = "add.s32 %r3, %r2, %r1;"


def run(body: str, given: np.ndarray, threads: int = 64) -> np.ndarray:
    """A kernel in which thread i has 16 bytes at %rd3 of `given`, at %r3 of shared memory and at
    %rd4 of the result."""
    memory = Memory()
    b = memory.allocate(16 * threads)
    launch(HEAD + body + "ret;\n}", memory, (1, 1, 1), threads, [memory.put(given), b])
    return memory.read(b, (16 * threads,), np.uint8)


BYTES = RNG.integers(0, 256, 1024, dtype=np.uint8)


def test_copies_land_when_they_are_waited_for():
    other = BYTES.reshape(2, -1)[::-1].reshape(-1)
    found = run(COPY + WAIT + BARRIER + OTHER + LOAD + STORE, BYTES)
    np.testing.assert_array_equal(found, other)
    np.testing.assert_array_equal(run(COPY + WAIT + LOAD + STORE, BYTES), BYTES)  # own bytes


def test_zeros_behind_what_is_copied():
    """Of 8 bytes some, from an address that need not be read beyond."""
    body = """
      shl.b32 %r9, %r0, 3; add.s32 %r10, %r2, %r9; mul.wide.u32 %rd5, %r0, 8;
      add.s64 %rd6, %rd0, %rd5; add.s32 %r12, %r10, 512; add.s64 %rd7, %rd6, 512;
      rem.u32 %r11, %r0, 9; cp.async.ca.shared.global [%r10], [%rd6], 8, %r11;
      cp.async.ca.shared.global [%r12], [%rd7], 8, 0; cp.async.commit_group;
    """
    found = run(body + WAIT + BARRIER + LOAD + STORE, BYTES[:512])
    kept = np.arange(8) < (np.arange(64) % 9)[:, None]
    expected = np.where(kept, BYTES[:512].reshape(64, 8), 0).reshape(-1)
    np.testing.assert_array_equal(found[:512], expected)
    assert not found[512:].any()


def test_groups_land_in_order():
    """With one left pending, the group before it is there."""
    first = "setp.lt.u32 %p1, %r0, 32; @%p1 cp.async.cg.shared.global [%r3], [%rd3], 16;"
    second = "@!%p1 cp.async.cg.shared.global [%r3], [%rd3], 16;"
    body = f"{first} cp.async.commit_group; {second} cp.async.commit_group;"
    body += "cp.async.wait_group 1; bar.sync 0; and.b32 %r8, %r1, 511; add.s32 %r3, %r2, %r8;"
    found = run(body + LOAD + STORE + WAIT, BYTES)
    np.testing.assert_array_equal(found.reshape(2, -1), np.stack([BYTES[:512]] * 2))


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (COPY + BARRIER + LOAD, "under way is read"),
        (COPY + "cp.async.wait_group 1;" + LOAD, "under way is read"),
        (COPY.replace("cp.async.commit_group;", WAIT) + LOAD, "under way is read"),
        (COPY + WAIT + OTHER + LOAD, "another thread writes"),
        (COPY + BARRIER + WAIT + OTHER + LOAD, "another thread writes"),
        (COPY + COPY, "under way is written"),
        (COPY + WAIT + BARRIER + OTHER + LOAD + OWN + COPY, "another thread reads"),
        (COPY + BARRIER + "st.shared.b32 [%r3], %r0;", "under way is written"),
        (COPY, "not waited for"),
        ("add.s32 %r3, %r3, 8;" + COPY, "misaligned"),
        ("add.s64 %rd3, %rd3, 8;" + COPY, "misaligned"),
        ("add.s64 %rd3, %rd3, 16;" + COPY, "outside of all"),
        ("cp.async.cg.shared.global [%r3], [%rd3], 16, 17;", "more bytes"),
        ("cp.async.cg.shared.global [%r3], [%rd3], 8;", "not known"),
        ("cp.async.bulk.shared.global [%r3], [%rd3], 16;", "not known"),
    ],
)
def test_refuses_copies(body, complaint):
    with pytest.raises(PtxError, match=complaint):
        run(body, BYTES)


FILL = "mov.b32 %r4, 0; mov.b32 %r5, 0; mov.b32 %r6, 0; mov.b32 %r7, 0;"


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_matrices(count, transposed):
    """Rows of 16 bytes lie one behind the other here."""
    registers = ", ".join(f"%r{4 + i}" for i in range(count))
    trans = ".trans" if transposed else ""
    body = COPY + WAIT + BARRIER + FILL
    body += f"ldmatrix.sync.aligned.m8n8.x{count}{trans}.shared.b16 {{{registers}}}, [%r3];"
    found = run(body + STORE, BYTES).view("u4").reshape(2, 32, 4)
    matrices = BYTES.view("u2").reshape(2, 4, 8, 8)
    for lane in range(32):
        row, pair = lane // 4, lane % 4 * 2
        for i in range(4):
            for warp in range(2):
                m = matrices[warp, i].T if transposed else matrices[warp, i]
                expected = m[row, pair] | np.uint32(m[row, pair + 1]) << np.uint32(16)
                assert found[warp, lane, i] == (expected if i < count else 0)


LDMATRIX = "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r4, %r5, %r6, %r7}, [%r3];"


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (COPY + LDMATRIX, "under way is read"),
        (COPY + WAIT + LDMATRIX.replace("[%r3]", "[%r3+8]"), "misaligned"),
        (COPY + WAIT + OTHER + LDMATRIX, "another thread writes"),
        ("setp.lt.u32 %p1, %r0, 20; " + COPY + WAIT + "@%p1 " + LDMATRIX, "not all lanes"),
        (COPY + WAIT + LDMATRIX.replace("m8n8", "m16n16"), "not known"),
        (COPY + WAIT + LDMATRIX.replace("x4", "x2"), "4 registers"),
    ],
)
def test_refuses_matrices(body, complaint):
    with pytest.raises(PtxError, match=complaint):
        run(body, BYTES)


#: By kind, elements of a register and how to make them of integers, as words and as numbers.
KINDS = {
    "bf16": (2, lambda v: (bf16(v), from_bf16(bf16(v)))),
    "f16": (2, lambda v: (v.astype("f2"), v.astype("f2"))),
    "tf32": (1, lambda v: (v.astype("f4"), v.astype("f4"))),
    "s8": (4, lambda v: (v.astype("i1"), v.astype("i1"))),
    "u8": (4, lambda v: (v.astype("u1"), v.astype("u1"))),
}


def lane_registers(matrix, e):
    """[rows, terms] words as registers of lanes, by the letter of the table of the PTX ISA."""
    rows = len(matrix)
    registers = np.zeros((32, rows // 4, e), matrix.dtype)
    for lane in range(32):
        g, t = lane // 4, lane % 4
        for h in range(2):
            for r in range(rows // 8):
                start = 4 * e * h + e * t
                part = matrix[g + 8 * r, start : start + e]
                registers[lane, h * (rows // 8) + r] = part
    return np.ascontiguousarray(registers).view("u4").reshape(32, rows // 4)


@gpu_kernel_family(threads=32)
def one_product(kind: str, total: str):
    """A warp's product of what its lanes are given."""
    from numba import cuda

    from layercc.cuda.intrinsics import load_vector, store_vector
    from layercc.cuda.tensor_cores import mma
    from layercc.kernels.intrinsics import offset

    def body(a: pointer("u32"), b: pointer("u32"), c: pointer(total), y: pointer(total)):
        lane = cuda.threadIdx.x
        left, right = load_vector(offset(a, 4 * lane), 4), load_vector(offset(b, 2 * lane), 2)
        store_vector(
            offset(y, 4 * lane), mma(kind, load_vector(offset(c, 4 * lane), 4), left, right)
        )

    return body


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("bf16", "m16n8k16"), ("f16", "m16n8k16"), ("tf32", "m16n8k8"), ("s8.s8", "m16n8k32"),
     ("s8.u8", "m16n8k32"), ("u8.s8", "m16n8k32"), ("u8.u8", "m16n8k32")],
)  # fmt: skip
def test_products(kind, shape):
    """Of integers that each type has exactly."""
    left, _, right = kind.partition(".")
    integer = bool(right)
    e, made = KINDS[left]
    a, exact_a = made(RNG.integers(-100 if left != "u8" else 0, 128, (16, 8 * e)))
    low = 0 if right == "u8" else -100
    b, exact_b = KINDS[right or left][1](RNG.integers(low, 128, (8, 8 * e)))
    c = RNG.integers(-1000, 1000, (16, 8)).astype("i4" if integer else "f4")
    memory = Memory()
    c_lanes = c.reshape(2, 8, 4, 2).transpose(1, 2, 0, 3).reshape(32, 4)
    given = [lane_registers(a, e), lane_registers(b, e), np.ascontiguousarray(c_lanes)]
    key = one_product.key(kind, "i32" if integer else "f32")
    text = compile_kernel(key, architecture_named("sm_80"), None).code.decode()
    assert f"mma.sync.aligned.{shape}.row.col." in text
    y = memory.allocate(512)
    launch(text, memory, (1, 1, 1), 32, [*map(memory.put, given), y])
    found = memory.read(y, (8, 4, 2, 2), c.dtype).transpose(2, 0, 1, 3).reshape(16, 8)
    np.testing.assert_array_equal(found, exact_a.astype("f8") @ exact_b.astype("f8").T + c)
    if (tool := find_assembler()) is not None:
        _, taken = assemble(text, architecture_named("sm_80"), tool)
        assert not taken.spilled


MMA = """mov.b32 %r9, 0f3F800000;
  mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%r4, %r5, %r6, %r7}, {%r9, %r9, %r9, %r9},
  {%r9, %r9}, {%r9, %r9, %r9, %r9};"""


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (MMA.replace("m16n8k8", "m16n8k4"), "not known"),
        (MMA.replace("tf32.tf32", "tf32.bf16"), "not known"),
        (MMA.replace("{%r9, %r9},", "{%r9},"), "1 registers where 2 fit"),
        ("setp.lt.u32 %p1, %r0, 20; @%p1 bra $A;" + MMA + "$A:", "not all lanes"),
        (MMA.replace("mov.b32 %r9, 0f3F800000;", ""), "%r9 is read before"),
    ],
)
def test_refuses_products(body, complaint):
    with pytest.raises(PtxError, match=complaint):
        run(body, BYTES)
    assert run(MMA + STORE, BYTES).view("f4")[0] == 9
    inexact = MMA.replace("0f3F800000", "0f3F801FFF")  # 1 with bits that tf32 has not: only C has
    assert abs(run(inexact + STORE, BYTES).view("f4")[0] - (9 + 8191 * 2.0**-23)) < 2e-6


def test_how_tensor_cores_add():
    """Small terms beside a large one are cut off, sums are rounded to zero, and what is not finite
    comes out as it would by itself."""
    ones = np.ones((16, 8))

    def sum_of(values, start=0.0):
        a, c = np.zeros((16, 8)), np.full((16, 8), start, "f4")
        a[0, : len(values)] = values
        with np.errstate(all="ignore"):
            return added(a, ones, c, 8)[0, 0]

    assert sum_of([2.0**-24] * 4, 1.0) == 1 + 2.0**-22  # one bit more than f32 has
    assert sum_of([2.0**-25] * 8, 1.0) == 1
    assert sum_of([3 * 2.0**-25] * 1, 1.0) == 1
    assert sum_of([-(2.0**-24)], 1.0) == np.float32(1 - 2.0**-24)
    assert sum_of([1.0, -1.0, 2.0**-30]) == 0
    assert np.isnan(sum_of([np.inf, -np.inf])) and sum_of([np.inf, 1.0]) == np.inf
    assert sum_of([3e38, 3e38]) == np.inf


@gpu_kernel_family(threads=64)
def staged_product(dtype: str):
    """y[m, n] = Σ_k a[m, k] b[n, k] + Σ_k a[m, k] d[k, n] of 16-bit matrices, 16 by 16 by 8, a
    warp each sum; `valid` bytes of each 16 are copied."""
    from numba import cuda

    from layercc.cuda.intrinsics import first_of, store_vector
    from layercc.cuda.tensor_cores import (
        cp_async,
        cp_async_commit,
        cp_async_wait,
        ldmatrix,
        ldmatrix_transposed,
        mma,
        shared_address,
    )
    from layercc.cuda.tile import zero_tile
    from layercc.kernels.intrinsics import offset

    def body(
        a: pointer("u16"), b: pointer("u16"), d: pointer("u16"), y: pointer("f32"), valid: I32
    ):
        tiles = shared_address(first_of(cuda.shared.array(512, np.uint16)))
        t = cuda.threadIdx.x
        if t < 32:
            cp_async(tiles + 16 * t, offset(a, 8 * t), 16, valid)
        elif t < 48:
            cp_async(tiles + 16 * t, offset(b, 8 * (t - 32)), 16, 16)
        else:
            cp_async(tiles + 16 * t, offset(d, 8 * (t - 48)), 16, 16)
        cp_async_commit()
        cp_async_wait(0)
        cuda.syncthreads()
        lane = t % 32
        left = ldmatrix(tiles + lane % 16 * 32 + lane // 16 * 16, 4)
        row = lane % 8
        if t < 32:
            right = ldmatrix(tiles + 512 + row * 32 + lane // 8 % 2 * 16, 2)
        else:
            right = ldmatrix_transposed(tiles + 768 + lane % 16 * 16, 2)
        store_vector(offset(y, 4 * t), mma(dtype, zero_tile("f32", 4), left, right))

    return body


@pytest.mark.parametrize("valid", [16, 6, 0])
@pytest.mark.parametrize("name", ["sm_80", "sm_90a"])
def test_copies_matrices_and_products(name, valid):
    a, b, d = (RNG.integers(-9, 10, shape).astype("f2") for shape in ((16, 16), (8, 16), (16, 8)))
    memory = Memory()
    y = memory.allocate(1024)
    architecture = architecture_named(name)
    text = compile_kernel(staged_product.key("f16"), architecture, None).code.decode()
    launch(text, memory, (1, 1, 1), 64, [*map(memory.put, (a, b, d)), y, valid])
    found = memory.read(y, (2, 8, 4, 2, 2), "f4").transpose(0, 3, 1, 2, 4).reshape(2, 16, 8)
    a.reshape(16, 2, 8)[..., valid // 2 :] = 0
    wide = a.astype("f4")
    np.testing.assert_array_equal(found, [wide @ b.T.astype("f4"), wide @ d.astype("f4")])
    if (tool := find_assembler()) is not None:
        _, taken = assemble(text, architecture, tool)
        assert not taken.spilled


@gpu_kernel_family(threads=32)
def conversions(dtype: str):
    from numba import cuda

    from layercc.cuda.tensor_cores import pack_bf16, pack_f16, tf32

    def body(x: pointer(dtype), y: pointer("u32")):
        i = cuda.threadIdx.x
        y[i] = pack_bf16(x[i], x[i + 32])
        y[i + 32] = pack_f16(x[i], x[i + 32])
        y[i + 64] = tf32(x[i])

    return body


def test_conversions():
    x = RNG.standard_normal(64).astype("f4")
    x[:6] = [np.inf, -np.inf, 0.0, 1 + 2.0**-8, 1 + 2.0**-11, 65520]
    memory = Memory()
    y = memory.allocate(4 * 96)
    text = compile_kernel(conversions.key("f32"), architecture_named("sm_80"), None).code.decode()
    launch(text, memory, (1, 1, 1), 32, [memory.put(x), y])
    found = memory.read(y, (96,), "u4")
    pairs = np.stack([x[:32], x[32:]], axis=1)
    np.testing.assert_array_equal(found[:32].view("u2").reshape(32, 2), bf16(pairs))
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(found[32:64].view("f2").reshape(32, 2), pairs.astype("f2"))
    rounded = (x[:32].view("u4") + np.uint32(0x1000)) & np.uint32(0xFFFFE000)
    np.testing.assert_array_equal(found[64:], rounded)


def _key(arithmetic, tile, words, split):
    dtype = arithmetic if arithmetic in ("bf16", "f16") else "f32"
    plain = ((dtype,), (), (0,))
    return implicit_gemm.key(arithmetic, dtype, plain, (), 0, words, TILES[tile], 16, 16, split)


#: Products on tensor cores: arithmetic, tile, words of taps, split → most registers, and the least
#: share of matrix instructions in the inner loop, as PTX has it. Registers are what ptxas 13.0 took
#: and some; where the loop of slices is the inner one, what copies the next slice counts in it.
#: Tiles of 16 rows wait for memory, not for this. `bf16x2` and `rounded` convert in the loop.
LIMITS = {
    ("tf32x3", 1, 1, False): (240, 0.28),
    ("tf32x3", 2, 0, False): (244, 0.28),
    ("bf16", 0, 1, False): (224, 0.28),
    ("tf32x3", 0, 2, True): (244, 0.28),
    ("tf32x3", 3, 0, True): (168, 0.17),
    ("bf16x2", 0, 1, False): (255, 0.17),
    ("rounded", 0, 1, False): (232, 0.13),
    ("bf16", 1, 0, False): (224, 0.26),
    ("f16", 3, 0, True): (128, 0.12),
}
#: How many of them are seen on both architectures.
_ON_BOTH = 3


def share_of_products(text):
    """Of the instructions of the innermost loop that has any."""
    kernel = parse(text)
    loops = [
        kernel.instructions[kernel.labels[each.operands[0]] : place + 1]
        for place, each in enumerate(kernel.instructions)
        if each.op.startswith("bra") and kernel.labels[each.operands[0]] <= place
    ]
    counts = [(len(loop), sum(each.op.startswith("mma") for each in loop)) for loop in loops]
    length, products = min(each for each in counts if each[1])
    return products / length


@pytest.mark.parametrize("name", ["sm_80", "sm_90a"])
def test_limits(name):
    """Nothing is spilled, a block fits, and no thread takes more registers than it did."""
    architecture, tool = architecture_named(name), find_assembler()
    for key, (most, least) in [*LIMITS.items()][: _ON_BOTH if name == "sm_80" else None]:
        made = compile_kernel(_key(*key), architecture, None)
        text = made.code.decode()
        assert share_of_products(text) >= least, key
        assert made.facts["shared"] <= architecture.shared_of_block
        if tool is not None:
            _, taken = assemble(text, architecture, tool)
            assert not taken.spilled and taken.registers <= most, (key, taken)
