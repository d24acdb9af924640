"""The tests that come with the onnx package: its node tests, and models of opsets 6 to 12.

Each runs through a *runner*: the importer and the reference interpreter always, the compiler as
soon as `layercc.compile` is there. What is not meant to work is listed with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, numpy_helper
from onnx.backend.test.case.test_case import TestCase as Case
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

from ir.diagnostics import UnsupportedError
from ir.interpreter import interpret
from layercc.frontends.onnx import from_onnx

Run = Callable[[ModelProto, Sequence[np.ndarray]], Sequence[np.ndarray]]

#: Tests that are not meant to run, by name.
EXCLUDED = {
    r"^test_(training_)?dropout_(default_mask|default|random|mask).*training": "training only",
    r"^test_training_dropout": "training only: random",
    r"^test_(adagrad|adam|momentum|nesterov_momentum|gradient)": "training only",
    r"^test_bernoulli": "random",
}


def interpreter(model: ModelProto, inputs: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    graph = from_onnx(model)
    return list(interpret(graph, dict(zip(graph.input_names, inputs, strict=True))).values())


def compiled(model: ModelProto, inputs: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    from layercc import onnx_backend

    return onnx_backend.run_model(model, list(inputs))


RUNNERS: dict[str, Run] = {"interpreter": interpreter}


@cache
def cases(kind: str) -> dict[str, Case]:
    return {case.name: case for case in load_model_tests(kind=kind)}


def read_data(case: Case) -> list[tuple[list[Any], list[Any]]]:
    """Pairs of inputs and expected outputs."""
    if case.data_sets is not None:
        return [tuple(list(map(as_array, part)) for part in pair) for pair in case.data_sets]
    from pathlib import Path

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
    return numpy_helper.to_array(item) if isinstance(item, TensorProto) else np.asarray(item)


def reason_to_skip(name: str, model: ModelProto) -> str | None:
    for pattern, reason in EXCLUDED.items():
        if re.search(pattern, name):
            return reason
    for value in [*model.graph.input, *model.graph.output]:
        kind = value.type.WhichOneof("value")
        if kind != "tensor_type":
            return f"{value.name} is a {kind.removesuffix('_type')}"
        if value.type.tensor_type.elem_type == TensorProto.STRING:
            return f"{value.name} holds strings"
    return None


KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
ALL = [(kind, name) for kind in KINDS for name in sorted(cases(kind))]


@pytest.mark.parametrize("runner", RUNNERS.values(), ids=RUNNERS)
@pytest.mark.parametrize(("kind", "name"), ALL, ids=[f"{kind}-{name}" for kind, name in ALL])
def test_onnx_case(kind: str, name: str, runner: Run) -> None:
    case = cases(kind)[name]
    model = case.model if case.model is not None else onnx.load(f"{case.model_dir}/model.onnx")
    if reason := reason_to_skip(name, model):
        pytest.skip(reason)
    for inputs, expected in read_data(case):
        try:
            found = runner(model, inputs)
        except UnsupportedError as error:
            pytest.skip(str(error))
        Runner.assert_similar_outputs(expected, found, case.rtol, case.atol)
