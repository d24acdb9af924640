"""Values of inputs that a running kernel cannot use: reported, and never followed."""

import re
from collections.abc import Callable

import numpy as np
import pytest

import layercc as lc

#: Enough slices for several tasks, and for the call to be worth sharing between threads.
MANY = 40_000
FAR = 1 << 40

Arrays = dict[str, np.ndarray]


def _data(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def _zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.int64)


# op → the graph, its arrays, the input that holds indices, the size of the dim they point into
INDEXED: dict[str, tuple[str, Callable[[], Arrays], int]] = {
    "Gather": (
        "(x: f32[7, 5], i: i64[n]) -> (y) { found = Gather(x, i)  y = Neg(found) }",
        lambda: {"x": _data(7, 5), "i": _zeros(MANY)},
        7,
    ),
    "GatherElements": (
        "(x: f32[7, 3], i: i64[n, 3]) -> (y) { found = GatherElements(x, i)  y = Neg(found) }",
        lambda: {"x": _data(7, 3), "i": _zeros(MANY, 3)},
        7,
    ),
    "GatherND": (
        "(x: f32[3, 7, 2], i: i64[n, 2]) -> (y) { found = GatherND(x, i)  y = Neg(found) }",
        lambda: {"x": _data(3, 7, 2), "i": _zeros(MANY, 2)},
        7,
    ),
    "ScatterElements": (
        "(x: f32[7, 3], i: i64[n, 3], u: f32[n, 3]) -> (y)"
        " { found = ScatterElements(x, i, u)  y = Neg(found) }",
        lambda: {"x": _data(7, 3), "i": _zeros(MANY, 3), "u": _data(MANY, 3)},
        7,
    ),
    "ScatterND": (
        "(x: f32[3, 7, 2], i: i64[n, 2], u: f32[n, 2]) -> (y)"
        " { found = ScatterND(x, i, u)  y = Neg(found) }",
        lambda: {"x": _data(3, 7, 2), "i": _zeros(MANY, 2), "u": _data(MANY, 2)},
        7,
    ),
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("op", INDEXED)
def test_an_index_out_of_range_is_reported(op: str, threads: int) -> None:
    text, make, size = INDEXED[op]
    graph = lc.parse_graph(f"graph g{text}")
    fn = lc.compile(graph, threads=threads)
    arrays = make()
    indices = arrays["i"]
    expected = lc.interpret(graph, arrays)["y"]
    last = (*(n - 1 for n in indices.shape[:-1]), indices.shape[-1] - 1)
    middle = (len(indices) // 2, *last[1:])
    for index in (-size - 1, size, FAR, -FAR):
        for place in (last, middle):  # the first of several, in an earlier task than the others
            indices[place] = index
            shown = f"{op} 'found': indices 'i' holds {index} at {list(place)}; {-size}..{size - 1}"
            with pytest.raises(lc.InputError, match=f"^{re.escape(shown)} would fit$"):
                fn.run(arrays)
        with pytest.raises(lc.InputError, match=f"^{re.escape(shown)} would fit$"):
            lc.interpret(graph, arrays)
        indices[:] = 0
    indices[middle] = -size
    indices[last] = size - 1
    expected = lc.interpret(graph, arrays)["y"]
    np.testing.assert_array_equal(fn.run(arrays)["y"], expected)  # nothing of the faults is left


# A value out of range: the graph, the arrays, and what is said.
VALUES: list[tuple[str, Arrays, str]] = []


def _case(text: str, said: str, **arrays: np.ndarray) -> None:
    VALUES.append((f"graph g{text}", arrays, said))


for _op, _gates in (("RNN", 1), ("GRU", 3), ("LSTM", 4)):
    for _length in (5, 9, 100_000, -1, 2**31 - 1):
        _case(
            f"(x: f32[4, 2, 3], w: f32[1, {_gates * 2}, 3], r: f32[1, {_gates * 2}, 2], l: i32[2])"
            f" -> (y) {{ y, h = {_op}(x, w, r, _, l) {{hidden_size = 2}} }}",
            f"{_op} 'y': sequence_lens 'l' holds {_length} at [1]; 0..4 would fit",
            x=_data(4, 2, 3), w=_data(1, _gates * 2, 3), r=_data(1, _gates * 2, 2),
            l=np.array([1, _length], np.int32),
        )  # fmt: skip
for _op in ("CumSum", "CumProd"):
    for _axis in (2, -3, 77, FAR):
        _case(
            f"(x: f32[3, 4], a: i64[]) -> (y) {{ y = {_op}(x, a) }}",
            f"{_op} 'y': axis 'a' holds {_axis}; -2..1 would fit",
            x=_data(3, 4), a=np.array(_axis),
        )  # fmt: skip
_EMPTY = "nothing would fit, the dim is empty"
_case(
    "(x: f32[0, 4], i: i64[2]) -> (y) { y = Gather(x, i) }",
    f"Gather 'y': indices 'i' holds 0 at [0]; {_EMPTY}",
    x=_data(0, 4), i=_zeros(2),
)  # fmt: skip
_case(
    "(x: f32[0, 4], i: i64[2]) -> (y) { y = Gather(x, i) {axis = 1} }",
    "Gather 'y': indices 'i' holds 4 at [1]; -4..3 would fit",
    x=_data(0, 4), i=np.array([0, 4]),
)  # fmt: skip
_case(
    "(x: f32[0, 4], i: i64[2, 4]) -> (y) { y = GatherElements(x, i) }",
    f"GatherElements 'y': indices 'i' holds 0 at [0, 0]; {_EMPTY}",
    x=_data(0, 4), i=_zeros(2, 4),
)  # fmt: skip
_case(
    "(x: f32[3, 0, 4], i: i64[2, 2]) -> (y) { y = GatherND(x, i) }",
    f"GatherND 'y': indices 'i' holds 0 at [0, 1]; {_EMPTY}",
    x=_data(3, 0, 4), i=_zeros(2, 2),
)  # fmt: skip
_case(
    "(x: f32[0, 4], i: i64[2, 4], u: f32[2, 4]) -> (y) { y = ScatterElements(x, i, u) }",
    f"ScatterElements 'y': indices 'i' holds 0 at [0, 0]; {_EMPTY}",
    x=_data(0, 4), i=_zeros(2, 4), u=_data(2, 4),
)  # fmt: skip
_case(
    "(x: f32[0, 4], i: i64[2, 1], u: f32[2, 4]) -> (y) { y = ScatterND(x, i, u) }",
    f"ScatterND 'y': indices 'i' holds 0 at [0, 0]; {_EMPTY}",
    x=_data(0, 4), i=_zeros(2, 1), u=_data(2, 4),
)  # fmt: skip
for _length in (4, -1, FAR):
    _case(
        "(x: f32[3, 2], l: i64[2]) -> (y) { y = ReverseSequence(x, l) }",
        f"ReverseSequence 'y': sequence_lens 'l' holds {_length} at [0]; 0..3 would fit",
        x=_data(3, 2), l=np.array([_length, 2]),
    )  # fmt: skip
for _start in (3, -1, FAR, -FAR):
    _case(
        "(c: f32[2, 4, 3], u: f32[2, 2, 3], s: i64[2]) -> (y) { y = TensorScatter(c, u, s) }",
        f"TensorScatter 'y': write_indices 's' holds {_start} at [1]; 0..2 would fit",
        c=_data(2, 4, 3), u=_data(2, 2, 3), s=np.array([0, _start]),
    )  # fmt: skip
for _position in (6, -7, FAR):
    _case(
        "(x: f32[1, 2, 3, 4], c: f32[6, 2], s: f32[6, 2], p: i64[1, 3]) -> (y)"
        " { y = RotaryEmbedding(x, c, s, p) }",
        f"RotaryEmbedding 'y': position_ids 'p' holds {_position} at [0, 2]; -6..5 would fit",
        x=_data(1, 2, 3, 4), c=_data(6, 2), s=_data(6, 2), p=np.array([[0, 5, _position]]),
    )  # fmt: skip
_case(
    "(x: f32[1, 2, 3, 4], c: f32[0, 2], s: f32[0, 2], p: i64[1, 3]) -> (y)"
    " { y = RotaryEmbedding(x, c, s, p) }",
    f"RotaryEmbedding 'y': position_ids 'p' holds 0 at [0, 0]; {_EMPTY}",
    x=_data(1, 2, 3, 4), c=_data(0, 2), s=_data(0, 2), p=_zeros(1, 3),
)  # fmt: skip
for _length in (6, -1, FAR):
    _case(
        "(q: f32[2, 1, 3, 4], k: f32[2, 1, 5, 4], l: i64[2]) -> (y)"
        " { y = Attention(q, k, k, _, _, _, l) }",
        f"Attention 'y': nonpad_kv_seqlen 'l' holds {_length} at [0]; 0..5 would fit",
        q=_data(2, 1, 3, 4), k=_data(2, 1, 5, 4), l=np.array([_length, 5]),
    )  # fmt: skip
for _index in (16, -1, FAR):
    _case(
        "(x: f32[1, 1, 2, 2], i: i64[1, 1, 2, 2]) -> (y)"
        " { y = MaxUnpool(x, i) {kernel_shape = [2, 2], strides = [2, 2]} }",
        f"MaxUnpool 'y': I 'i' holds {_index} at [0, 0, 1, 0]; 0..15 would fit",
        x=_data(1, 1, 2, 2), i=np.array([[[[0, 2], [_index, 15]]]]),
    )  # fmt: skip
_case(
    "(x: f32[2, 1, 4, 4], r: f32[2, 4], b: i64[2]) -> (y) { y = RoiAlign(x, r, b) }",
    "RoiAlign 'y': batch_indices 'b' holds 2 at [1]; 0..1 would fit",
    x=_data(2, 1, 4, 4), r=np.array([[0, 0, 2, 2]] * 2, np.float32), b=np.array([0, 2]),
)  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*NumPy runs:RuntimeWarning")
@pytest.mark.parametrize(("text", "arrays", "said"), VALUES, ids=[case[2] for case in VALUES])
def test_a_value_out_of_range_is_reported(text: str, arrays: Arrays, said: str) -> None:
    graph = lc.parse_graph(text)
    fn = lc.compile(graph, threads=1)
    for run in (fn.run, lambda given: lc.interpret(graph, given)):
        with pytest.raises(lc.InputError, match=f"^{re.escape(said)}$"):
            run(arrays)


@pytest.mark.parametrize(
    ("op", "axes"),
    [("Squeeze", 0), ("Squeeze", 5), ("Unsqueeze", 9), ("ReduceSum", -3), ("Reshape", 7)],
)
def test_values_that_decide_shapes_and_do_not_fit_are_refused(op: str, axes: int) -> None:
    fn = lc.compile(lc.parse_graph(f"graph g(x: f32[2, 3], a: i64[1]) -> (y) {{ y = {op}(x, a) }}"))
    with pytest.raises(lc.InputError, match=rf"(?s)with a = \[{axes}\] has .*{op} 'y': "):
        fn(_data(2, 3), np.array([axes]))


def test_squeeze_by_axes_of_a_run() -> None:
    text = "graph g(x: f32[1, 3, 1], a: i64[1]) -> (y) { y = Squeeze(x, a) }"
    fn = lc.compile(lc.parse_graph(text))
    x = _data(1, 3, 1)
    assert fn(x, np.array([0])).shape == (3, 1)
    assert fn(x, np.array([-1])).shape == (1, 3)


def test_the_first_node_that_met_a_fault_is_named() -> None:
    fn = lc.compile(
        lc.parse_graph(
            "graph g(x: f32[4], i: i64[2], j: i64[2]) -> (y, z)"
            " { second = Gather(x, j)  first = Gather(x, i)  y = Neg(first)  z = Neg(second) }"
        )
    )
    bad = np.array([0, 9])
    with pytest.raises(lc.InputError, match="Gather 'second'"):
        fn(_data(4), bad, bad)
    with pytest.raises(lc.InputError, match="Gather 'first'"):
        fn(_data(4), bad, np.array([0, 1]))


def test_constants_out_of_range_are_found_before_running() -> None:
    for op, more in (("Gather", ""), ("GatherElements", ""), ("ScatterElements", ", u")):
        nodes = f"const i: i64[2] = [0, 3]  y = {op}(x, i{more})"
        text = f"graph g(x: f32[3], u: f32[2]) -> (y: f32[2]) {{ {nodes} }}"
        report = lc.check(lc.parse_graph(text, infer=False))
        assert [error.code for error in report.errors] == ["bad-index"]
        assert "indices 'i' holds 3 at [1]; -3..2 would fit" in str(report.errors[0])
