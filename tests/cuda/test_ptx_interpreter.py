"""The PTX interpreter of the tests, on PTX written by hand: what it computes, what it refuses."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from tests.cuda.ptx.arithmetic import fused
from tests.cuda.ptx.machine import launch
from tests.cuda.ptx.memory import Memory
from tests.cuda.ptx.parser import PtxError

THREADS = 64


def kernel(body: str, shared: str = "") -> str:
    """A kernel of two pointers and an integer, with the thread's place in %r0 and its byte offset
    in %rd2; the pointers in %rd0 and %rd1."""
    return f"""
.version 8.0
.target sm_90a
.address_size 64
.visible .entry k(.param .u64 .ptr .align 1 a, .param .u64 .ptr .align 1 b, .param .u32 n)
.maxntid 128
{{
  .reg .pred %p<8>; .reg .b16 %rs<8>; .reg .b32 %r<32>; .reg .b64 %rd<16>;
  {shared}
  ld.param.b64 %rd0, [a]; ld.param.b64 %rd1, [b];
  mov.u32 %r30, %ctaid.x; mov.u32 %r31, %ntid.x; mov.u32 %r29, %tid.x;
  mad.lo.s32 %r0, %r30, %r31, %r29;
  mul.wide.u32 %rd2, %r0, 4;
  {body}
  ret;
}}
"""


def high_of_square(x):
    return (x.astype("u8") ** 2 >> np.uint64(32)).astype("u4")


LOAD = "add.s64 %rd3, %rd0, %rd2; ld.global.b32 %r1, [%rd3];"
STORE = "add.s64 %rd4, %rd1, %rd2; st.global.b32 [%rd4], %r2;"


def run(body: str, values: np.ndarray, shared: str = "", threads: int = THREADS) -> np.ndarray:
    memory = Memory()
    a, b = memory.put(values), memory.allocate(values.nbytes)
    launch(kernel(body, shared), memory, (values.size // threads, 1, 1), threads, [a, b, 5])
    return memory.read(b, values.shape, values.dtype)


VALUES = np.arange(128, dtype=np.uint32) * 2654435761 % (1 << 31)
FLOATS = np.random.default_rng(0).standard_normal(128).astype(np.float32)


@pytest.mark.parametrize(
    ("instruction", "function"),
    [
        ("add.s32 %r2, %r1, -7;", lambda x: x - np.uint32(7)),
        ("mul.lo.s32 %r2, %r1, %r1;", lambda x: x * x),
        ("mul.hi.u32 %r2, %r1, %r1;", high_of_square),
        ("shr.s32 %r2, %r1, 3;", lambda x: (x.view("i4") >> 3).view("u4")),
        ("shl.b32 %r2, %r1, 40;", lambda x: 0 * x),
        ("rem.s32 %r2, %r1, -10;", lambda x: x % np.uint32(10)),
        ("neg.s32 %r3, %r1; div.s32 %r2, %r3, 7;", lambda x: (-(x // 7).astype("i4")).view("u4")),
        ("bfe.u32 %r2, %r1, 4, 8;", lambda x: x >> np.uint32(4) & np.uint32(255)),
        ("popc.b32 %r2, %r1;", lambda x: np.bitwise_count(x).astype("u4")),
        ("cvt.u16.u32 %rs1, %r1; cvt.u32.u16 %r2, %rs1;", lambda x: x & np.uint32(65535)),
        ("cvt.u16.u32 %rs1, %r1; cvt.s32.s8 %r2, %rs1;",
         lambda x: x.astype("u1").view("i1").astype("i4").view("u4")),
        ("setp.lt.u32 %p1, %r1, 1000000000; selp.b32 %r2, 1, 2, %p1;",
         lambda x: np.where(x < 10**9, 1, 2).astype("u4")),
        ("mov.b32 {%rs1, %rs2}, %r1; mov.b32 %r2, {%rs2, %rs1};",
         lambda x: x << np.uint32(16) | x >> np.uint32(16)),
        ("prmt.b32 %r2, %r1, 0, 0x0123;", lambda x: x.byteswap()),
    ],
)  # fmt: skip
def test_integers(instruction, function):
    np.testing.assert_array_equal(run(LOAD + instruction + STORE, VALUES), function(VALUES))


@pytest.mark.parametrize(
    ("instruction", "function"),
    [
        ("add.rn.f32 %r2, %r1, 0f3F800000;", lambda x: x + np.float32(1)),
        ("mul.f32 %r2, %r1, %r1;", lambda x: x * x),
        ("sqrt.rn.f32 %r2, %r1;", np.sqrt),
        ("abs.f32 %r3, %r1; div.rn.f32 %r2, %r1, %r3;", np.sign),
        ("max.NaN.f32 %r2, %r1, 0f00000000;", lambda x: np.maximum(x, np.float32(0))),
        ("max.f32 %r2, %r1, 0f00000000;", lambda x: np.fmax(x, np.float32(0))),
        ("cvt.rzi.s32.f32 %r3, %r1; cvt.rn.f32.s32 %r2, %r3;", np.trunc),
        ("cvt.rmi.f32.f32 %r2, %r1;", np.floor),
        ("cvt.rn.f16.f32 %rs1, %r1; cvt.f32.f16 %r2, %rs1;",
         lambda x: x.astype("f2").astype("f4")),
        ("setp.gtu.f32 %p1, %r1, 0f00000000; selp.f32 %r2, 0f3F800000, 0f00000000, %p1;",
         lambda x: (~(x <= 0)).astype("f4")),
    ],
)  # fmt: skip
def test_floats(instruction, function):
    values = FLOATS.copy()
    values[:3] = [np.nan, -0.0, 1e-40]
    with np.errstate(all="ignore"):
        expected = function(values).astype(np.float32)
    if "cvt.rzi" in instruction:
        expected[0] = 0  # NaN as an integer
    if instruction.startswith("abs"):
        expected[1] = np.nan
    np.testing.assert_array_equal(run(LOAD + instruction + STORE, values), expected)


def test_a_fused_multiply_add_rounds_once():
    a, b = FLOATS[:64], FLOATS[64:]
    c = (-a * b).astype(np.float32) * np.float32(1 + 2.0**-20)
    exact = [Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
             for x, y, z in zip(a, b, c, strict=True)]  # fmt: skip
    found = fused(a, b, c)
    for one, value in zip(exact, found, strict=True):
        neighbours = [np.nextafter(value, np.float32(side)) for side in (-np.inf, np.inf)]
        off = abs(Fraction(float(value)) - one)
        assert all(off <= abs(Fraction(float(other)) - one) for other in neighbours)
    tie = np.float32(1 + 2.0**-12)
    assert fused(tie, tie, np.float32(2.0**-60)) == np.float32(1 + 2.0**-11 + 2.0**-23)


def test_threads_part_and_meet():
    body = LOAD + """
      mov.b32 %r2, 0;
      and.b32 %r4, %r0, 7;
    $LOOP: setp.eq.s32 %p1, %r4, 0; @%p1 bra $DONE;
      add.s32 %r2, %r2, %r1; add.s32 %r4, %r4, -1; bra.uni $LOOP;
    $DONE:
    """  # fmt: skip
    expected = VALUES * (np.arange(128, dtype=np.uint32) % 8)
    np.testing.assert_array_equal(run(body + STORE, VALUES), expected)


SHARED = ".shared .align 16 .b8 tile[256];"
TO_SHARED = "mul.wide.u32 %rd5, %r29, 4; mov.b64 %rd6, tile; add.s64 %rd7, %rd6, %rd5;"
FROM_OTHER = """xor.b32 %r5, %r29, 1; mul.wide.u32 %rd8, %r5, 4; add.s64 %rd9, %rd6, %rd8;
  ld.shared.b32 %r2, [%rd9];"""


def test_shared_memory_and_barriers():
    body = LOAD + TO_SHARED + "st.shared.b32 [%rd7], %r1; bar.sync 0;" + FROM_OTHER + STORE
    swapped = VALUES.reshape(-1, 2)[:, ::-1].reshape(-1)
    np.testing.assert_array_equal(run(body, VALUES, SHARED), swapped)


def test_shuffles():
    body = LOAD + "shfl.sync.bfly.b32 %r2, %r1, 16, 31, -1;" + STORE
    swapped = VALUES.reshape(-1, 2, 16)[:, ::-1].reshape(-1)
    np.testing.assert_array_equal(run(body, VALUES), swapped)
    body = LOAD + "shfl.sync.down.b32 %r2|%p1, %r1, 1, 31, -1; @!%p1 mov.b32 %r2, 0;" + STORE
    down = np.roll(VALUES, -1)
    down[31::32] = 0
    np.testing.assert_array_equal(run(body, VALUES), down)


def test_atomic_minima():
    """Of all threads, in any order; what they give must not be used."""
    memory = Memory()
    a, b = memory.put(VALUES), memory.put(np.full(1, 1 << 31, np.uint32))
    body = LOAD + "atom.global.min.u32 %r3, [%rd1], %r1;"
    launch(kernel(body), memory, (2, 1, 1), THREADS, [a, b, 5])
    assert memory.read(b, (1,), np.uint32) == VALUES.min()
    with pytest.raises(PtxError, match="%r3 is read before it is written"):
        launch(kernel(body + "mov.b32 %r2, %r3;"), memory, (2, 1, 1), THREADS, [a, b, 5])


def test_lanes_wait_for_their_warp():
    """Those that go another way first meet the others at a shuffle."""
    body = LOAD + """
      mov.b32 %r6, 0; setp.lt.u32 %p1, %r29, 7;
    $TOP: @%p1 bra $LONG;
    $NEXT: add.s32 %r6, %r6, 1; setp.lt.s32 %p2, %r6, 3; @!%p2 bra $OUT;
      shfl.sync.bfly.b32 %r1, %r1, 1, 31, -1; bra.uni $TOP;
    $OUT: mov.b32 %r2, %r1; bra.uni $END;
    $LONG: add.s32 %r7, %r6, 1; bra.uni $NEXT;
    $END:
    """  # fmt: skip
    np.testing.assert_array_equal(run(body + STORE, VALUES), VALUES)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (LOAD + "frobnicate.b32 %r2, %r1;" + STORE, "not known"),
        (LOAD + "add.sat.s32 %r2, %r1, %r1;" + STORE, "not known"),
        (LOAD + STORE, "%r2 is read before it is written"),
        (LOAD + "setp.lt.u32 %p1, %r0, 3; @%p1 mov.b32 %r2, 0;" + STORE, "not written it"),
        (LOAD + "mov.b64 %r2, %rd0;" + STORE, "into register"),
        (LOAD + "mov.b32 %r2, %rd0;" + STORE, "read as"),
        ("add.s64 %rd3, %rd0, 2; ld.global.b32 %r2, [%rd3];", "misaligned"),
        ("add.s64 %rd3, %rd0, -4; ld.global.b32 %r2, [%rd3];", "outside"),
        ("add.s64 %rd3, %rd0, 512; ld.global.b32 %r2, [%rd3];", "outside"),
        ("ld.global.b32 %r2, [%rd1];", "nobody has written"),
        ("mov.b32 %r2, 1; st.global.b32 [%rd1], %r2;", "two threads write"),
        (LOAD + "mov.b32 %r2, 1; st.global.b32 [%rd0], %r2;", "two threads write|another thread"),
        (LOAD + "mov.b32 %r2, 1; xor.b64 %rd5, %rd2, 4; add.s64 %rd4, %rd0, %rd5; "
         "st.global.b32 [%rd4], %r2;", "another thread reads"),
        (TO_SHARED + "ld.shared.b32 %r2, [%rd7];", "nobody has written"),
        (LOAD + TO_SHARED + "st.shared.b32 [%rd7+252], %r1;", "outside of shared"),
        (LOAD + TO_SHARED + "st.shared.b32 [%rd7], %r1;" + FROM_OTHER, "another thread writes"),
        (LOAD + TO_SHARED + "st.shared.b32 [%rd7], %r1; bar.sync 0;" + FROM_OTHER
         + "st.shared.b32 [%rd7], %r1;", "another thread reads"),
        ("setp.lt.u32 %p1, %r29, 32; @%p1 bra $A; bar.sync 0; $A: ret;", "barrier"),
        ("setp.lt.u32 %p1, %r29, 32; @%p1 bar.sync 0;", "part of the threads"),
        (LOAD + "setp.lt.u32 %p1, %r29, 3; @%p1 shfl.sync.bfly.b32 %r2, %r1, 1, 31, -1;", "lanes"),
        ("bra.uni $B; $B: ret; mov.b32 %r1, 0;", ""),
        ("$C: bra.uni $C;", "does not end"),
    ],
)  # fmt: skip
def test_refuses(body, complaint, monkeypatch):
    monkeypatch.setattr("tests.cuda.ptx.machine._MOST_STEPS", 1000)
    memory = Memory()
    a, b = memory.put(VALUES), memory.allocate(512)

    def go():
        launch(kernel(body, SHARED), memory, (2, 1, 1), THREADS, [a, b, 5])

    if complaint:
        with pytest.raises(PtxError, match=complaint):
            go()
    else:
        go()


def test_refuses_launches():
    memory = Memory()
    with pytest.raises(PtxError, match="128 would fit"):
        launch(kernel(""), memory, (1, 1, 1), 256, [0, 0, 0])
    with pytest.raises(PtxError, match="takes 3 arguments"):
        launch(kernel(""), memory, (1, 1, 1), 64, [0, 0])
    with pytest.raises(PtxError, match="grid"):
        launch(kernel(""), memory, (0, 1, 1), 64, [0, 0, 0])
    memory.free(memory.allocate(8))
    with pytest.raises(PtxError, match="no allocation"):
        memory.free(123)
