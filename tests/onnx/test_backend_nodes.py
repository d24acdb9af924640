"""The tests that come with the onnx package: its node tests, and models of opsets 6 to 12.

Each runs through a *runner*: the importer with the reference interpreter, and
`layercc.onnx_backend`. What is not meant to work is listed here, with its reason.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper
from onnx.backend.test.case.test_case import TestCase as Case
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

from ir.interpreter import interpret
from layercc import onnx_backend
from layercc.frontends.onnx import from_onnx
from layercc.lower import lowered_ops

Run = Callable[[ModelProto, Sequence[np.ndarray]], Sequence[np.ndarray]]

#: Tests that are not meant to run, by name.
EXCLUDED = {
    r"^test_training_dropout": "training only: random",
    r"^test_bernoulli": "random",
    r"^test_scan_sum$": "Scan of opset 8 had a batch axis",
    r"^test_resize_downsample_scales_(linear|cubic)_align_corners$": "corners of no tensor aligned:"
    " PyTorch and onnxruntime take the size as rounded",
}
#: Ops with kernels that some cases do not reach, and why.
LEFT_TO_NUMPY = {
    "BatchNormalization": "training only",
    "Cast": "elements of 4 or 8 bit floats",
    "DequantizeLinear": "elements of 8 bit floats",
    "Dropout": "training only",
    "OneHot": "the depth is an input",
    "QuantizeLinear": "elements of 4 or 8 bit floats",
    "Range": "floats that are inputs say how many",
    "Resize": "scales are an input",
    "STFT": "the window is an input",
}
#: Ops that are not meant to run: no tensors go in, or none come out.
NO_TENSORS = frozenset({
    "ImageDecoder", "Optional", "OptionalGetElement", "OptionalHasElement", "RegexFullMatch",
    "SequenceMap", "StringConcat", "StringNormalizer", "StringSplit",
})  # fmt: skip
#: Domains that are not meant to run.
NO_DOMAINS = {
    "ai.onnx.ml": "classical machine learning",
    "ai.onnx.preview.training": "training only",
}
KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")


def interpreter(model: ModelProto, inputs: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    graph = from_onnx(model)
    return list(interpret(graph, dict(zip(graph.input_names, inputs, strict=True))).values())


def compiled(model: ModelProto, inputs: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    """Runs the model. What has kernels may not be left to NumPy, but as `LEFT_TO_NUMPY` says."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        made = onnx_backend.prepare(model, threads=1).run(inputs)
    left = {op for each in said for op in re.findall(r"([\w.]+) ×\d", str(each.message))}
    assert not left & {*lowered_ops()} - LEFT_TO_NUMPY.keys()
    return made


RUNNERS: dict[str, Run] = {"interpreter": interpreter, "compiled": compiled}


@cache
def cases(kind: str) -> dict[str, Case]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some expected outputs overflow on purpose
        return {case.name: case for case in load_model_tests(kind=kind)}


ALL = [(kind, name) for kind in KINDS for name in sorted(cases(kind))]


def read_model(case: Case) -> ModelProto:
    return case.model if case.model is not None else onnx.load(f"{case.model_dir}/model.onnx")


def read_data(case: Case) -> list[tuple[list[Any], list[Any]]]:
    """Pairs of inputs and expected outputs."""
    if case.data_sets is not None:
        return [tuple(list(map(as_array, part)) for part in pair) for pair in case.data_sets]
    found = []
    for folder in sorted(Path(case.model_dir).glob("test_data_set*")):
        parts = []
        for what in ("input", "output"):
            count = len(list(folder.glob(f"{what}_*.pb")))
            tensors = [TensorProto() for _ in range(count)]
            for i, tensor in enumerate(tensors):
                tensor.ParseFromString((folder / f"{what}_{i}.pb").read_bytes())
            parts.append([as_array(tensor) for tensor in tensors])
        found.append(tuple(parts))
    return found


def as_array(item: Any) -> Any:
    if isinstance(item, TensorProto):
        return numpy_helper.to_array(item)
    return item if isinstance(item, list) else np.asarray(item)


def all_nodes(graph: GraphProto) -> Iterator[NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from all_nodes(attribute.g)


def reason_to_skip(name: str, model: ModelProto) -> str | None:
    for pattern, reason in EXCLUDED.items():
        if re.search(pattern, name):
            return reason
    for node in all_nodes(model.graph):
        if node.op_type in NO_TENSORS:
            return f"{node.op_type} works on strings, sequences or optionals"
        if node.domain in NO_DOMAINS:
            return f"{node.domain} is {NO_DOMAINS[node.domain]}"
    for value in [*model.graph.input, *model.graph.output]:
        kind = value.type.WhichOneof("value")
        if kind != "tensor_type" or value.type.tensor_type.elem_type == TensorProto.STRING:
            return "strings, sequences or optionals go in or come out"
    return None


def assert_same(expected: Sequence[np.ndarray], found: Sequence[np.ndarray], case: Case) -> None:
    """The test's own tolerance, and a few units in the last place of the largest element."""
    assert len(expected) == len(found)
    for want, have in zip(expected, found, strict=True):
        rtol, atol = case.rtol, case.atol
        if want.dtype.type in (np.float16, np.float32, np.float64):
            eps = np.finfo(want.dtype).eps
            finite = np.abs(want[np.isfinite(want)])
            rtol = max(rtol, 4 * float(eps))
            atol = max(atol, 4 * float(eps) * float(finite.max(initial=0)))
        Runner.assert_similar_outputs([want], [have], rtol, atol)


@pytest.mark.parametrize("runner", RUNNERS.values(), ids=RUNNERS)
@pytest.mark.parametrize(("kind", "name"), ALL, ids=[f"{kind}-{name}" for kind, name in ALL])
def test_onnx_case(kind: str, name: str, runner: Run) -> None:
    case = cases(kind)[name]
    model = read_model(case)
    if reason := reason_to_skip(name, model):
        pytest.skip(reason)
    for inputs, expected in read_data(case):
        assert_same(expected, runner(model, inputs), case)
