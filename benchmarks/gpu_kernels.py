"""Kernels on a GPU, each against double precision, and the table of ops that the tests have."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import layercc as lc
from benchmarks.measure import error
from benchmarks.reference import reference_outputs
from ir.graph import Graph

Row = dict[str, Any]
#: What a row is of, and what makes the rest of it.
Work = Iterator[tuple[Row, Callable[[], Row]]]

#: Kernel cases: a graph, and the inputs' shapes; ints are drawn below the first input's rows.
CASES = {
    "pointwise": "graph g(x: f32[1027,513], b: f32[513]) -> (y) {\n s = Add(x, b)\n y = Gelu(s)\n}",
    "transpose": "graph g(x: f32[3,257,129]) -> (y) {\n y = Transpose(x) {perm=[0, 2, 1]}\n}",
    "copy": "graph g(x: f32[5,12,64,32]) -> (y) {\n y = Transpose(x) {perm=[0, 2, 1, 3]}\n}",
    "matmul": "graph g(x: f32[517,301], w: f32[301,259]) -> (y) {\n y = MatMul(x, w)\n}",
    "matvec": "graph g(x: f32[1,768], w: f32[768,769]) -> (y) {\n y = MatMul(x, w)\n}",
    "batched": "graph g(x: f32[3,5,65,33], w: f32[5,33,70]) -> (y) {\n y = MatMul(x, w)\n}",
    "convolution": "graph g(x: f32[2,17,29,31], w: f32[33,17,3,3]) -> (y) {\n"
    " y = Conv(x, w) {pads=[1, 1, 1, 1], strides=[2, 2]}\n}",
    "depthwise": "graph g(x: f32[2,65,29,31], w: f32[65,1,3,3]) -> (y) {\n"
    " y = Conv(x, w) {pads=[1, 1, 1, 1], group=65}\n}",
    "sum of rows": "graph g(x: f32[333,1027]) -> (y) {\n y = ReduceMean(x, a)\n}",
    "sum of columns": "graph g(x: f32[7,515,129]) -> (y) {\n y = ReduceMean(x, a)\n}",
    "softmax": "graph g(x: f32[1111,515]) -> (y) {\n y = Softmax(x)\n}",
    "long softmax": "graph g(x: f32[33,5151]) -> (y) {\n y = Softmax(x)\n}",
    "layer norm": "graph g(x: f32[515,769], s: f32[769], b: f32[769]) -> (y) {\n"
    " y = LayerNormalization(x, s, b)\n}",
    "max pool": "graph g(x: f32[2,33,57,55]) -> (y) {\n"
    " y = MaxPool(x) {kernel_shape=[3, 3], strides=[2, 2]}\n}",
    "gather": "graph g(x: f32[997,129], i: i64[515]) -> (y) {\n y = Gather(x, i)\n}",
    "attention": "graph g(q: f32[2,5,65,64], k: f32[2,5,131,64], v: f32[2,5,131,64]) -> (y) {\n"
    " y = Attention(q, k, v) {is_causal=1}\n}",
}
#: How far a kernel may be off: plain float32 arithmetic is as far.
MOST_ERROR = 5e-6


def case(name: str, seed: int = 0) -> tuple[Graph, dict[str, np.ndarray]]:
    """A kernel case and its inputs."""
    text = CASES[name]
    if "ReduceMean" in text:
        text = text.replace(") -> (y)", ", a: i64[1]) -> (y)")
    graph = lc.parse_graph(text)
    random = np.random.default_rng(seed)
    inputs: dict[str, np.ndarray] = {}
    for value in graph.inputs:
        shape = tuple(int(dim) for dim in value.type.shape)  # type: ignore[union-attr]
        if value.name == "a":
            graph.constants["a"] = np.array([1])
        elif value.name == "i":
            inputs["i"] = random.integers(-500, 500, shape)
        else:
            inputs[value.name] = random.standard_normal(shape).astype(np.float32)
    graph.inputs = [value for value in graph.inputs if value.name != "a"]
    return graph, inputs


def run_case(name: str, target: Any) -> Row:
    """Compiles and runs a kernel case."""
    graph, inputs = case(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # nothing may fall back
        found = lc.compile(graph, target=target, example_inputs=inputs).run(inputs)
    off = error(list(found.values()), reference_outputs(graph, inputs))
    return {"error": off, "right": off <= MOST_ERROR}


def kernel_rows(target: Any) -> Work:
    """The kernel cases."""
    for name in CASES:
        yield {"kernel": name}, lambda name=name: run_case(name, target)  # type: ignore[misc]


def table_rows(target: Any) -> Work:
    """The table of ops that the tests have: an entry a row."""
    from tests.cuda import table

    for entry in table.cases():

        def run(entry: Any = entry) -> Row:
            wrong = table.departures(entry, table.run(entry, lc.CudaTarget(target)))
            return {"right": not wrong, **({"departs": str(wrong)[:500]} if wrong else {})}

        yield {"op": entry.name}, run
