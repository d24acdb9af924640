"""A function of arrays as an op: called by the executor, its indices checked."""

# mypy: ignore-errors

from __future__ import annotations

import linecache
import pickle
import re
import warnings

import numpy as np
import pytest

import layercc as lc
from ir.diagnostics import LayerccError
from layercc.passes import run_passes
from tests.own.own_ops import beyond, largest, product, running_sums, swish


def arrays(*shapes, dtype=np.float32):
    random = np.random.default_rng(0)
    return [random.normal(size=shape).astype(dtype) for shape in shapes]


def network(columns=5, rows="N", **attributes):
    x = lc.Input(batch_shape=(rows, columns), name="x")
    (w,) = arrays((columns, 3))
    return w, lc.Model(x, swish(product(x * 2.0, w, **attributes)) + 1.0)


@pytest.mark.parametrize("rows", [0, 1, 7, 131])
def test_called_between_compiled_nodes(rows):
    w, model = network(scale=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fn = lc.compile(model, threads=2)
    (x,) = arrays((rows, 5))
    np.testing.assert_allclose(fn(x), swish(x * 2 @ w * 0.5) + 1, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fn))(x), fn(x))


@pytest.mark.parametrize("dtype", ["f32", "i32", "bool"])
def test_element_types(dtype):
    numpy = np.dtype(lc.DType[dtype].value)
    graph = lc.parse_graph(
        f"graph g(x: {dtype}[N, 5]) -> (v: {dtype}[N, 2], i: i64[N, 2])"
        " { v, i = tests.largest(x) }"
    )
    x = (np.random.default_rng(0).permuted(np.arange(35).reshape(7, 5), axis=1) % 35).astype(numpy)
    values, indices = lc.compile(graph, threads=1)(x)
    wanted = largest(x)
    np.testing.assert_array_equal(values, wanted[0])
    np.testing.assert_array_equal(indices, wanted[1])
    assert values.dtype == numpy and indices.dtype == np.int64
    np.testing.assert_array_equal(values, np.sort(x, axis=1)[:, :2:-1])


def test_scalars_and_absent_inputs():
    @lc.op(domain="tests.forms", shape="x")
    def shifted(x, out, by=None, also=None):
        for i in range(x.shape[0]):
            out[i] = x[i]
            if by is not None:
                out[i] += by[()]
            if also is not None:
                out[i] += also[i]

    x, also = arrays((5,), (5,))
    kinds, one = "x: f32[5], b: f32[], a: f32[5]", np.float32(1)
    graph = lc.parse_graph(
        f"graph g({kinds}) -> (p: f32[5], q: f32[5], r: f32[5])"
        " { p = tests.forms.shifted(x)  q = tests.forms.shifted(x, b)"
        " r = tests.forms.shifted(x, _, a) }".replace("  q", "\n q").replace(" r =", "\n r =")
    )
    p, q, r = lc.compile(graph, threads=1)(x, one, also)
    for found, wanted in ((p, x), (q, x + 1), (r, x + also)):
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(shifted(x, also=also), x + also)


def test_one_of_two_results():
    graph = lc.parse_graph("graph g(x: f32[N, 5]) -> (i: i64[N, 2]) { _, i = tests.largest(x) }")
    (x,) = arrays((4, 5))
    np.testing.assert_array_equal(lc.compile(graph, threads=1)(x), np.argsort(-x)[:, :2])


def test_attributes_of_several_kinds():
    w, model = network(scale=2.0, skip_first=True)
    (x,) = arrays((3, 5))
    wanted = lc.interpret(model, {"x": x})[model.output_names[0]]
    got = lc.compile(model, threads=1)(x)
    np.testing.assert_allclose(got, wanted, rtol=1e-5)
    np.testing.assert_allclose(got, swish(x[:, 1:] * 2 @ w[1:] * 2) + 1, rtol=1e-5, atol=1e-6)


def test_the_shape_rule_is_that_of_check():
    _, model = network()
    assert str(model.types["product"]) == "f32[N, 3]"
    text = "graph g(x: f32[2, 5], w: f32[5]) -> (y: f32[2, 5]) { y = tests.product(x, w) }"
    (problem,) = lc.check(lc.parse_graph(text)).errors
    assert "shape of product (" in problem.message and "IndexError" in problem.message

    @lc.op(domain="tests.rules", shape=lambda x: x[0])
    def one_dim(x, out):
        out[:] = 0

    @lc.op(domain="tests.rules", shape=lambda x: (x[0],), dtype="text")
    def of_text(x, out):
        out[:] = 0

    for name, message in [
        ("one_dim", "gives 2; a tuple of dims would fit"),
        ("of_text", "is 'text', neither an element type nor an input"),
    ]:
        text = f"graph g(x: f32[2, 5]) -> (y: f32[2]) {{ y = tests.rules.{name}(x) }}"
        (problem,) = lc.check(lc.parse_graph(text)).errors
        assert message in problem.message and __file__ in problem.message


def test_what_it_raises_names_the_node_and_the_line():
    graph = lc.parse_graph(
        "graph g(x: f32[N, C]) -> (v: f32[N, 4], i: i64[N, 4]) { v, i = tests.largest(x) {k=4} }"
    )
    fn = lc.compile(graph, threads=1)
    assert fn(np.ones((2, 4), np.float32))[0].shape == (2, 4)
    raised = r"largest \(.*own_ops.py:\d+\) raised ValueError"
    with pytest.raises(LayerccError, match=rf"'v': {raised} at .*:\d+: k is more") as caught:
        fn(np.ones((2, 3), np.float32))
    file, line = re.search(r"at (.*):(\d+): k", str(caught.value)).groups()
    assert "raise ValueError" in linecache.getline(file, int(line))
    with pytest.raises(LayerccError, match=rf"'largest': {raised}: k is more"):
        largest(np.ones((2, 3), np.float32), k=4)
    assert fn(np.ones((2, 4), np.float32))[0].shape == (2, 4)  # the plan goes on working


def test_a_rule_that_lies_writes_nothing_outside():
    graph = lc.parse_graph("graph g(x: f32[N, 3]) -> (y: f32[N]) { y = tests.beyond(x) }")
    with pytest.raises(LayerccError, match=r"beyond .* raised IndexError: index is"):
        lc.compile(graph, threads=1)(np.ones((4, 3), np.float32))
    with pytest.raises(LayerccError, match="raised IndexError"):
        beyond(np.ones((4, 3), np.float32))


def test_what_no_kernel_can_do_runs_by_itself():
    x = lc.Input((5,), name="x")
    model = lc.Model(x, running_sums(x * 2.0) + 1.0)
    with pytest.warns(
        RuntimeWarning, match=r"running_sums .*for 'total = np.zeros\(x.shape\[0\]\)'"
    ):
        fn = lc.compile(model, threads=1)
    (given,) = arrays((4, 5))
    np.testing.assert_allclose(fn(given), np.cumsum(given * 2, 1) + 1, rtol=1e-5)


def test_inputs_cannot_be_written():
    @lc.op(domain="tests.writes", shape="x")
    def writes(x, out):
        x[0, 0] = 1.0
        out[:] = x

    (x,) = arrays((2, 3))
    with pytest.raises(LayerccError, match="Cannot modify readonly array"):
        writes(x)


def test_blocks_of_rows_are_its_tasks():
    _, model = network(rows=130)
    (x,) = arrays((130, 5))
    one, two = (lc.compile(model, threads=threads)(x) for threads in (1, 2))
    np.testing.assert_array_equal(one, two)
    text = "graph g(x: f32[2, 5], w: f32[5, 3]) -> (y: f32[2, 3]) { y = tests.product(x, w) }"
    (node,) = run_passes(lc.parse_graph(text)).nodes
    assert node.op == "tests.product"

    @lc.op(domain="tests.split", shape=lambda x, y: (y[0],), parallel=("x", "out"))
    def unequal(x, y, out):
        out[:] = 0

    text = "graph g(x: f32[2, 5], y: f32[3]) -> (z: f32[3]) { z = tests.split.unequal(x, y) }"
    (problem,) = lc.check(lc.parse_graph(text)).errors
    assert "parallel= splits 'x', f32[2, 5], and 'out', f32[3], whose" in problem.message


def test_written_as_a_node_of_its_domain():
    pytest.importorskip("onnx")
    _, model = network(scale=0.5)
    again = lc.from_onnx(lc.to_onnx(model))
    assert [node.op for node in again.nodes] == [node.op for node in model.nodes]
    (x,) = arrays((3, 5))
    np.testing.assert_array_equal(lc.compile(again, threads=1)(x), lc.compile(model, threads=1)(x))
