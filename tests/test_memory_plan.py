"""The memory plan: what is alive at the same time never overlaps, and little is wasted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import layercc as lc
from layercc import memory_plan
from layercc.cpu.isa import host_isa
from layercc.cpu.programs import program_of
from layercc.kernels.declaration import KernelKey
from layercc.lower import lower
from layercc.memory_plan import ALIGNMENT, plan_memory
from layercc.passes import run_passes
from layercc.program import Address, Buffer, KernelCall, Program
from layercc.weights import Weights

KEY = KernelKey("any")


def program_with(lifetimes):
    """A program in which buffer i, of `nbytes`, is used by the calls `first` and `last`."""
    buffers = [Buffer("arena", nbytes) for nbytes, _, _ in lifetimes]
    count = max((last for _, _, last in lifetimes), default=-1) + 1
    calls = [KernelCall(KEY, 1, {}) for _ in range(count)]
    for buffer, (_, first, last) in zip(buffers, lifetimes, strict=True):
        for index in (first, last):
            calls[index].arguments[f"p{len(calls[index].arguments)}"] = Address(buffer)
    return Program([], [], calls), buffers


def live_buffers(program):
    """For each call, the arena buffers that hold something while it runs."""
    spans = {}
    for index, call in enumerate(program.calls):
        for buffer in call.buffers():
            if buffer.space == "arena":
                _, first, _ = spans.setdefault(id(buffer), (buffer, index, index))
                spans[id(buffer)] = buffer, first, index
    return [
        [buffer for buffer, first, last in spans.values() if first <= index <= last]
        for index in range(len(program.calls))
    ]


def rounded(buffer):
    return -(-buffer.nbytes // ALIGNMENT) * ALIGNMENT


def check_plan(program):
    """Aligned, inside the arena, and apart from all that is alive with it."""
    for buffers in live_buffers(program):
        end = 0
        for buffer in sorted(buffers, key=lambda b: (b.offset, b.nbytes)):
            assert buffer.offset % ALIGNMENT == 0
            assert buffer.offset >= (end if buffer.nbytes else 0)
            end = max(end, buffer.offset + buffer.nbytes)
        assert end <= program.arena_bytes


def least_bytes(program):
    """What any plan needs: the most bytes alive at once."""
    return max((sum(map(rounded, buffers)) for buffers in live_buffers(program)), default=0)


LIFETIMES = st.lists(
    st.tuples(st.integers(0, 3000), st.integers(0, 30), st.integers(0, 12)).map(
        lambda item: (item[0], item[1], item[1] + item[2])
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(LIFETIMES)
def test_no_two_live_buffers_overlap(lifetimes):
    program, _ = program_with(lifetimes)
    plan_memory(program)
    check_plan(program)
    assert program.arena_bytes >= least_bytes(program)


@settings(max_examples=300, deadline=None)
@given(LIFETIMES)
def test_no_two_live_buffers_overlap_where_there_are_too_many_to_compare_orders(lifetimes):
    program, _ = program_with(lifetimes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory_plan, "_FEW_PAIRS", -1)
        patch.setattr(memory_plan, "_MOST_OTHERS", -1)
        plan_memory(program)
    check_plan(program)
    least = least_bytes(program)
    assert least <= program.arena_bytes <= 2 * least + 4096


def test_thousands_of_buffers_at_once():
    """All are alive until the last call; and a stack, where the first is needed last."""
    for lasts in ([5000] * 5000, list(range(10_000, 5000, -1))):
        sizes = [64 * (1 + i % 7) for i in range(5000)]
        program, _ = program_with(list(zip(sizes, range(5000), lasts, strict=True)))
        plan_memory(program)
        assert program.arena_bytes == sum(sizes)


def test_random_programs_waste_little():
    random = np.random.default_rng(0)
    ratios = []
    for _ in range(100):
        firsts = random.integers(0, 60, 60)
        lasts = firsts + random.geometric(0.3, 60)
        sizes = 64 * random.integers(1, 2000, 60)
        program, _ = program_with(
            list(zip(sizes.tolist(), firsts.tolist(), lasts.tolist(), strict=True))
        )
        plan_memory(program)
        check_plan(program)
        ratios.append(program.arena_bytes / least_bytes(program))
    assert np.mean(ratios) < 1.05 and max(ratios) < 1.25


EXACT = [
    # lifetimes (bytes, first call, last call), arena
    ("nothing", [], 0),
    ("a chain takes turns", [(640, i, i + 1) for i in range(10)], 1280),
    ("a long branch stays", [(64, 0, 9), *[(640, i, i + 1) for i in range(10)]], 1344),
    ("sizes are rounded up", [(1, 0, 1), (65, 0, 1)], 192),
    ("an empty buffer", [(0, 0, 3), (64, 0, 3)], 64),
    ("the smallest gap", [(640, 0, 9), (128, 0, 1), (64, 0, 9), (128, 2, 9)], 832),
]


@pytest.mark.parametrize(("name", "lifetimes", "arena"), EXACT, ids=[case[0] for case in EXACT])
def test_exact_plans(name, lifetimes, arena):
    program, _ = program_with(lifetimes)
    plan_memory(program)
    check_plan(program)
    assert program.arena_bytes == arena


NETWORKS = {
    "a chain": """graph g(x: f32[N, 64]) -> (d) {
        const w: f32[64, 64] = random(1, 0.2)
        a = MatMul(x, w)
        b = MatMul(a, w)
        c = MatMul(b, w)
        d = MatMul(c, w)
    }""",
    "residual": """graph g(x: f32[N, 8, 9, 9]) -> (y) {
        const w: f32[8, 8, 3, 3] = random(1, 0.2)
        a = Conv(x, w) {pads=[1, 1, 1, 1]}
        b = Relu(a)
        c = Conv(b, w) {pads=[1, 1, 1, 1]}
        d = Add(c, b)
        e = Conv(d, w) {pads=[1, 1, 1, 1]}
        f = Conv(b, w) {pads=[1, 1, 1, 1]}
        y = Add(e, f)
    }""",
    "views": """graph g(x: f32[N, 16]) -> (y, a) {
        const w: f32[16, 16] = random(1, 0.2)
        const s: i64[3] = [-1, 4, 4]
        a = MatMul(x, w)
        b = Reshape(a, s)
        c = Transpose(b) {perm=[0, 2, 1]}
        d = MatMul(b, c)
        e = Exp(d)
        f = Neg(c)
        y = Add(e, f)
    }""",
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("batch", [1, 5])
def test_networks(name, batch):
    graph = lc.parse_graph(NETWORKS[name])
    (x,) = graph.inputs
    shape = (batch, *x.shape[1:])
    program = program_of(lower(run_passes(graph), {x.name: shape}), Weights(), host_isa())
    check_plan(program)
    assert program.arena_bytes <= 1.3 * least_bytes(program)
    array = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    found = lc.compile(graph, threads=1).run({x.name: array})
    for output, wanted in lc.interpret(graph, {x.name: array}).items():
        np.testing.assert_allclose(found[output], wanted, rtol=1e-4, atol=1e-4)


def test_a_chain_of_elementwise_ops_works_in_place():
    """Exp of a transposed value may overwrite it; the transposed value may not overwrite x."""
    text = "graph g(x: f32[64, 32]) -> (y) { t = Transpose(x)\n e = Exp(t)\n y = Transpose(e) }"
    program = program_of(lower(lc.parse_graph(text), {"x": (64, 32)}), Weights(), host_isa())
    assert program.arena_bytes == 64 * 32 * 4


def test_a_value_that_is_read_later_is_not_overwritten():
    text = """graph g(x: f32[64, 32]) -> (y) {
        t = Transpose(x)
        e = Exp(t)
        s = Transpose(e)
        u = Transpose(t)
        y = Add(s, u)
    }"""
    graph = lc.parse_graph(text)
    program = program_of(lower(graph, {"x": (64, 32)}), Weights(), host_isa())
    check_plan(program)
    x = np.random.default_rng(0).standard_normal((64, 32)).astype(np.float32)
    np.testing.assert_allclose(lc.compile(graph, threads=1)(x), np.exp(x) + x, rtol=1e-5, atol=1e-6)


def test_nodes_that_nobody_needs_do_not_run():
    text = """graph g(x: f32[64, 32]) -> (y, n) {
        t = Transpose(x)
        e = Exp(t)
        n = Shape(e)
        y = Neg(x)
    }"""
    graph = lc.parse_graph(text)
    program = program_of(lower(graph, {"x": (64, 32)}), Weights(), host_isa())
    assert [call.node for call in program.calls] == ["y", ""]  # and a copy of the constant n
