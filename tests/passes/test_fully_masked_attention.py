"""Rows of attention that see no key: NaN where the model wrote Softmax out, zeros from the op.

Both meanings hold in the interpreter, after the passes, compiled, and after export.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import layercc as lc
from ir.dtypes import dtype_of
from ir.graph import Graph, Node, Value
from ir.inference import infer
from ir.interpreter import interpret
from ir.types import TensorType
from layercc.frontends.onnx import from_onnx, to_onnx
from layercc.passes import run_passes

NONE = -math.inf
Masks = Callable[[int, int], np.ndarray]


def written_out(
    inputs: dict[str, np.ndarray], chosen: bool = False, flipped: bool = False, packed: bool = False
) -> Graph:
    """softmax(0.5 * q @ k' + mask) @ v in MatMul, Mul, Add or Where, Softmax; the mask if given."""
    dtype = inputs["q"].dtype
    constants = {"scale": np.array(0.5, dtype), "none": np.array(NONE, dtype)}
    nodes = []
    q, k, v = "q", "k", "v"
    perm: tuple[int, ...] = (0, 1, 3, 2)
    if packed:
        constants |= {"split": np.array([0, 0, 2, -1]), "joined": np.array([0, 0, -1])}
        nodes += [Node("Reshape", (x, "split"), (f"{x}4",)) for x in "qkv"]
        nodes += [Node("Transpose", (f"{x}4",), (f"{x}h",), {"perm": (0, 2, 1, 3)}) for x in "qv"]
        q, k, v, perm = "qh", "k4", "vh", (0, 2, 3, 1)
    nodes.append(Node("Transpose", (k,), ("kt",), {"perm": perm}))
    nodes += [Node("MatMul", (q, "kt"), ("s",)), Node("Mul", ("s", "scale"), ("scores",))]
    masked = "scores"
    if "mask" in inputs:
        masked = "masked"
        if not chosen:
            nodes.append(Node("Add", ("scores", "mask"), (masked,)))
        else:
            both = ("none", "scores") if flipped else ("scores", "none")
            nodes.append(Node("Where", ("mask", *both), (masked,)))
    nodes.append(Node("Softmax", (masked,), ("p",), {"axis": -1}))
    nodes.append(Node("MatMul", ("p", v), ("o" if packed else "y",)))
    if packed:
        nodes.append(Node("Transpose", ("o",), ("ot",), {"perm": (0, 2, 1, 3)}))
        nodes.append(Node("Reshape", ("ot", "joined"), ("y",)))
    kinds = {name: TensorType(dtype_of(a), a.shape) for name, a in inputs.items()}
    graph = Graph("g", [Value(n, t) for n, t in kinds.items()], [], nodes, constants)
    graph.outputs = [Value("y", infer(graph).types["y"])]
    return graph


def qkv(
    queries: int, keys: int, dtype: Any = np.float32, packed: bool = False, batch: int = 2
) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(queries * 100 + keys)
    shapes = [(batch, 2, n, 8) for n in (queries, keys, keys)]
    if packed:
        shapes = [(batch, n, 16) for n in (queries, keys, keys)]
    return {
        name: rng.standard_normal(shape).astype(dtype)
        for name, shape in zip("qkv", shapes, strict=True)
    }


def rows(*hidden: int) -> Masks:
    """Hides all keys from some queries."""

    def mask(queries: int, keys: int) -> np.ndarray:
        seen = np.ones((queries, keys), bool)
        seen[list(hidden)] = False
        return seen

    return mask


def late(queries: int, keys: int) -> np.ndarray:
    """Causal, the last query at the last key: with more queries than keys the first see none."""
    return np.tri(queries, keys, keys - queries, dtype=bool)


def few(queries: int, keys: int) -> np.ndarray:
    """A third of the keys at random, and none for query 1."""
    seen = np.random.default_rng(7).random((queries, keys)) < 0.3
    seen[1] = False
    return seen


def batched(queries: int, keys: int) -> np.ndarray:
    """Nothing to see for all of the second sequence, as if it were padding."""
    return np.array([True, False]).reshape(2, 1, 1, 1) & np.ones((1, 1, queries, keys), bool)


def padded(queries: int, keys: int) -> np.ndarray:
    """Over keys alone; the second sequence is empty."""
    seen = np.arange(keys) < np.array([keys - 1, 0])[:, None]
    return seen[:, None, None, :]


@dataclass(frozen=True)
class Variant:
    seen: Masks | None
    queries: int = 7
    keys: int = 7
    dtype: Any = np.float32
    chosen: bool = False  # by Where, of booleans; else -inf is added
    flipped: bool = False
    packed: bool = False
    spoil: Callable[[dict[str, np.ndarray]], object] | None = None
    recognized: bool = True  # not if K' of one row needs no Transpose

    def __call__(self) -> tuple[Graph, dict[str, np.ndarray]]:
        inputs = qkv(self.queries, self.keys, self.dtype, self.packed)
        if self.seen is not None:
            mask = self.seen(self.queries, self.keys)
            if self.chosen:
                inputs["mask"] = ~mask if self.flipped else mask
            else:
                inputs["mask"] = np.where(mask, 0, NONE).astype(self.dtype)
        if self.spoil is not None:
            self.spoil(inputs)
        return written_out(inputs, self.chosen, self.flipped, self.packed), inputs


def nan_in_mask(inputs: dict[str, np.ndarray]) -> None:
    inputs["mask"][2, 3] = np.nan
    inputs["mask"][4, 1] = np.inf


def nan_in_hidden_query(inputs: dict[str, np.ndarray]) -> None:
    inputs["q"][0, 0, 1, 3] = np.nan


def nan_in_hidden_key(inputs: dict[str, np.ndarray]) -> None:
    inputs["k"][0, 0, 6] = np.nan
    inputs["k"][1, 1, 6] = np.inf


def last_hidden(queries: int, keys: int) -> np.ndarray:
    seen = np.ones((queries, keys), bool)
    seen[:, -1] = False
    seen[2] = False
    return seen


def low_scores(inputs: dict[str, np.ndarray]) -> None:
    """Scores of query 2 that are all -inf without a mask."""
    inputs["q"][0, 0, 2] = 0
    inputs["q"][0, 0, 2, 0] = NONE
    inputs["k"][0, 0, :, 0] = 1


VARIANTS = {
    "a row, added": Variant(rows(3)),
    "a row, chosen": Variant(rows(3), chosen=True),
    "a row, chosen by its negation": Variant(rows(0, 6), chosen=True, flipped=True),
    "all rows": Variant(rows(*range(7))),
    "all rows, chosen": Variant(rows(*range(7)), chosen=True),
    "no row": Variant(rows()),
    "partial rows": Variant(few, 7, 70),
    "partial rows, chosen": Variant(few, 7, 70, chosen=True),
    "more queries than keys, causal": Variant(late, 9, 4),
    "more queries than keys, causal, chosen": Variant(late, 9, 4, chosen=True),
    "fewer queries than keys, causal": Variant(late, 4, 9),
    "causal": Variant(lambda q, k: np.tri(q, k, dtype=bool)),
    "a sequence of the batch": Variant(batched),
    "a sequence of the batch, chosen": Variant(batched, chosen=True),
    "padding alone": Variant(padded),
    "padding alone, chosen": Variant(padded, chosen=True),
    "packed": Variant(rows(3), packed=True),
    "packed, chosen": Variant(few, 7, 70, chosen=True, packed=True),
    "several blocks of keys": Variant(few, 5, 1100),
    "many queries": Variant(rows(0, 100, 149), 150, 3),
    "f64": Variant(rows(3), dtype=np.float64),
    "f64, chosen": Variant(few, dtype=np.float64, chosen=True),
    "f16": Variant(rows(3), dtype=np.float16),
    "f16, chosen": Variant(few, dtype=np.float16, chosen=True),
    "no keys": Variant(None, 7, 0),
    "no keys, a mask": Variant(rows(), 7, 0),
    "no queries": Variant(rows(), 0, 7),
    "one key, hidden": Variant(rows(0), 1, 1, recognized=False),
    "NaN and infinity in the mask": Variant(rows(1), spoil=nan_in_mask),
    "NaN in a hidden query, added": Variant(rows(1), spoil=nan_in_hidden_query),
    "NaN in a hidden query, chosen": Variant(rows(1), chosen=True, spoil=nan_in_hidden_query),
    "NaN in a hidden key, added": Variant(last_hidden, spoil=nan_in_hidden_key),
    "NaN in a hidden key, chosen": Variant(last_hidden, chosen=True, spoil=nan_in_hidden_key),
    "scores of -inf without a mask": Variant(None, spoil=low_scores),
}


def same(found: np.ndarray, wanted: np.ndarray) -> None:
    tolerance = {2: 4e-3, 4: 3e-6, 8: 1e-12}[wanted.dtype.itemsize]
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


def softmax_definition(inputs: dict[str, np.ndarray], variant: Variant) -> np.ndarray:
    """What the graph of a variant computes, by NumPy alone."""
    q, k, v = (inputs[name].astype(np.float64) for name in "qkv")
    if variant.packed:
        q, k, v = (x.reshape(*x.shape[:2], 2, 8).transpose(0, 2, 1, 3) for x in (q, k, v))
    scores = 0.5 * q @ k.swapaxes(-1, -2)
    if "mask" in inputs and variant.chosen:
        scores = np.where(inputs["mask"] ^ variant.flipped, scores, NONE)
    elif "mask" in inputs:
        scores = scores + inputs["mask"]
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True, initial=NONE))
    y = powers / powers.sum(axis=-1, keepdims=True) @ v
    if variant.packed:
        y = y.transpose(0, 2, 1, 3).reshape(2, variant.queries, 16)
    return y.astype(inputs["q"].dtype)


@pytest.mark.parametrize("name", VARIANTS)
def test_softmax_written_out_keeps_its_nan(name: str) -> None:
    graph, inputs = VARIANTS[name]()
    with np.errstate(all="ignore"):
        wanted = softmax_definition(inputs, VARIANTS[name])
    optimized = run_passes(graph)
    assert VARIANTS[name].recognized == any(node.op == "Attention" for node in optimized.nodes)
    same(interpret(graph, inputs)["y"], wanted)
    same(interpret(optimized, inputs)["y"], wanted)
    same(lc.compile(graph, threads=1).run(inputs)["y"], wanted)


@pytest.mark.parametrize("name", VARIANTS)
def test_export_of_what_was_recognized_keeps_it(name: str) -> None:
    graph, inputs = VARIANTS[name]()
    model = to_onnx(run_passes(graph))
    assert "Attention" not in {node.op_type for node in model.graph.node}
    back = from_onnx(model)
    wanted = interpret(graph, inputs)["y"]
    same(interpret(back, inputs)["y"], wanted)
    same(interpret(run_passes(back), inputs)["y"], wanted)
    again = any(node.op == "Attention" for node in run_passes(back).nodes)
    assert again == VARIANTS[name].recognized


@pytest.mark.parametrize("name", [name for name in VARIANTS if not VARIANTS[name].packed])
@pytest.mark.parametrize("fully_masked", ["zeros", "nan"])
def test_the_op_says_which(name: str, fully_masked: str) -> None:
    """Compiled as in the reference: rows that see no key are zeros, or NaN if it says so."""
    _, inputs = VARIANTS[name]()
    node = Node("Attention", tuple(inputs), ("y",), {"scale": 0.5, "fully_masked": fully_masked})
    kinds = {key: TensorType(dtype_of(a), a.shape) for key, a in inputs.items()}
    graph = Graph("g", [Value(key, kind) for key, kind in kinds.items()], [], [node])
    graph.outputs = [Value("y", infer(graph).types["y"])]
    wanted = interpret(graph, inputs)["y"]
    same(lc.compile(graph, threads=1).run(inputs)["y"], wanted)
    mask = inputs.get("mask")
    if mask is not None and inputs["k"].shape[2]:
        hidden = ~mask if mask.dtype == bool else mask == NONE
        blind = np.broadcast_to(hidden.all(axis=-1), wanted.shape[:-1])
        expected = 0.0 if fully_masked == "zeros" else np.nan
        np.testing.assert_array_equal(wanted[blind], expected)


@pytest.mark.parametrize("mode", range(4))
@pytest.mark.parametrize("fully_masked", ["zeros", "nan"])
def test_scores_that_are_shown(mode: int, fully_masked: str) -> None:
    """Weights of a fully masked row are zeros, or NaN, too; grouped heads, windows, lengths."""
    inputs = qkv(9, 70)
    inputs |= {"k": inputs["k"][:, :1], "v": inputs["v"][:, :1]}
    inputs["lengths"] = np.array([70, 4])
    attributes = {
        "is_causal": 1, "left_window_size": 20, "qk_matmul_output_mode": mode,
        "fully_masked": fully_masked,
    }  # fmt: skip
    node = Node("Attention", ("q", "k", "v", "", "", "", "lengths"), ("y", "", "", "w"), attributes)
    kinds = {key: TensorType(dtype_of(a), a.shape) for key, a in inputs.items()}
    graph = Graph("g", [Value(key, kind) for key, kind in kinds.items()], [], [node])
    found = infer(graph)
    graph.outputs = [Value(key, found.types[key]) for key in ("y", "w")]
    wanted = interpret(graph, inputs)
    assert np.isnan(wanted["y"][1, :, :5]).all() == (fully_masked == "nan")
    assert np.isfinite(wanted["y"][1, :, 5:]).all()
    made = lc.compile(graph, threads=1).run(inputs)
    same(made["y"], wanted["y"])
    same(made["w"], wanted["w"])


def test_onnx_attention_keeps_its_zeros() -> None:
    """The op as a model has it: exported as it came, compiled to zeros."""
    _, inputs = VARIANTS["a row, chosen"]()
    node = Node("Attention", tuple(inputs), ("y",), {"scale": 0.5})
    kinds = {key: TensorType(dtype_of(a), a.shape) for key, a in inputs.items()}
    graph = Graph("g", [Value(key, kind) for key, kind in kinds.items()], [], [node])
    graph.outputs = [Value("y", infer(graph).types["y"])]
    model = to_onnx(run_passes(graph))
    assert [made.op_type for made in model.graph.node] == ["Attention"]
    np.testing.assert_array_equal(lc.compile(model, threads=1).run(inputs)["y"][:, :, 3], 0)


def test_what_cannot_be_written_out_is_refused() -> None:
    _, inputs = VARIANTS["a row, chosen"]()
    attributes = {"softcap": 2.0, "fully_masked": "nan"}
    node = Node("Attention", tuple(inputs), ("y",), attributes)
    kinds = {key: TensorType(dtype_of(a), a.shape) for key, a in inputs.items()}
    graph = Graph("g", [Value(key, kind) for key, kind in kinds.items()], [], [node])
    graph.outputs = [Value("y", infer(graph).types["y"])]
    with pytest.raises(lc.UnsupportedError, match="Attention with fully_masked=nan"):
        to_onnx(graph)
