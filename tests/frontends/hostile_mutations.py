"""The onnx package's node tests with attributes and input shapes changed at random.

Unlike damaged files most of these are read, and many fit together: they reach the compiler.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator

import numpy as np
from onnx import AttributeProto, ModelProto, ValueInfoProto
from onnx.backend.test.loader import load_model_tests

INTS = (0, 1, -1, 2, 3, 5, -2, 7, 63, -100, 1 << 31, 1 << 40, -(1 << 62))
FLOATS = (0.0, -1.0, float("nan"), float("inf"), 1e30, 0.5)
DIMS = (0, 1, 2, 3, 5, 17, 64)


def mutated_nodes(count: int, seed: int) -> Iterator[tuple[str, ModelProto]]:
    """Name and model of `count` mutations of node tests."""
    rng = np.random.default_rng(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some expected outputs overflow on purpose
        cases = load_model_tests(kind="node")
    for i in range(count):
        while True:
            case = cases[int(rng.integers(len(cases)))]
            model = copy.deepcopy(case.model)
            if mutate(model, rng):
                break
        yield f"mutated-{i}-{case.name}", model


def mutate(model: ModelProto, rng: np.random.Generator) -> bool:
    """Changes one or two attributes or input shapes; False if there are none."""
    places: list[AttributeProto | ValueInfoProto] = [
        attribute
        for node in model.graph.node
        for attribute in node.attribute
        if attribute.type in (AttributeProto.INT, AttributeProto.INTS, AttributeProto.FLOAT)
    ]
    places += [v for v in model.graph.input if v.type.WhichOneof("value") == "tensor_type"]
    if not places:
        return False
    for _ in range(int(rng.integers(1, 3))):
        place = places[int(rng.integers(len(places)))]
        if isinstance(place, AttributeProto):
            change_attribute(place, rng)
        else:
            change_shape(place, rng)
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    return True


def change_attribute(attribute: AttributeProto, rng: np.random.Generator) -> None:
    ints = INTS if rng.random() < 0.5 else INTS[:8]
    number = ints[int(rng.integers(len(ints)))]
    if attribute.type == AttributeProto.INT:
        attribute.i = number
    elif attribute.type == AttributeProto.FLOAT:
        attribute.f = FLOATS[int(rng.integers(len(FLOATS)))]
    elif attribute.ints:
        attribute.ints[int(rng.integers(len(attribute.ints)))] = number


def change_shape(value: ValueInfoProto, rng: np.random.Generator) -> None:
    dims = value.type.tensor_type.shape.dim
    choice = rng.random() if dims else 0.8
    if choice < 0.7:
        dims[int(rng.integers(len(dims)))].dim_value = int(rng.choice(DIMS))
    elif choice < 0.85:
        dims.add().dim_value = 2
    else:
        del dims[-1]
