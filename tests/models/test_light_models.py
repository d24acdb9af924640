"""The nine networks that the onnx package carries, end to end.

Their weights are constants, so outputs hardly tell elements apart: they also run with random
weights, beside onnxruntime.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, numpy_helper

import layercc as lc
from tests.models.comparing import assert_close, run_onnxruntime

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
NAMES = sorted(path.stem.removeprefix("light_") for path in LIGHT.glob("*.onnx"))
#: Hundreds of megabytes of weights, in layers that the others have too.
HEAVY = {"vgg19", "zfnet512"}


def read_model(name: str) -> ModelProto:
    return onnx.load(LIGHT / f"light_{name}.onnx")


def ramp(model: lc.Graph) -> np.ndarray:
    """The input that the outputs beside the models belong to: onnx.backend.test.runner makes it."""
    shape = model.inputs[0].shape
    size = int(np.prod(shape))
    return (np.arange(size).reshape(shape) / size).astype(np.float32)


def with_random_weights(model: ModelProto) -> ModelProto:
    """The model with random numbers where it has constants: weights that keep activations near 1,
    and vectors (biases, means, variances, scales) around 1."""
    rng = np.random.default_rng(7)
    shapes = {
        t.name: numpy_helper.to_array(t) for t in model.graph.initializer if "SHAPE" in t.name
    }
    kept = []
    for node in model.graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape = tuple(map(int, shapes[node.input[0]]))
        if len(shape) == 1:
            array = rng.uniform(0.5, 1.5, shape).astype(np.float32)
        else:
            array = rng.standard_normal(shape, np.float32)
            array *= np.float32(np.sqrt(2 / np.prod(shape[1:])))
        model.graph.initializer.append(numpy_helper.from_array(array, node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model


def test_there_are_nine() -> None:
    assert len(NAMES) == 9


@pytest.mark.parametrize("name", NAMES)
def test_outputs_beside_the_models(name: str) -> None:
    fn = lc.compile(read_model(name))
    wanted = TensorProto()
    wanted.ParseFromString((LIGHT / f"light_{name}_output_0.pb").read_bytes())
    assert_close([fn(ramp(fn.graph))], [numpy_helper.to_array(wanted)])


@pytest.mark.parametrize("name", [name for name in NAMES if name not in HEAVY])
def test_random_weights(name: str) -> None:
    model = with_random_weights(read_model(name))
    fn = lc.compile(model)
    x = np.random.default_rng(1).standard_normal(fn.graph.inputs[0].shape).astype(np.float32)
    wanted = run_onnxruntime(model, {fn.graph.input_names[0]: x})
    found = fn(x)
    assert np.std(found) > 1e-5 * np.max(np.abs(found))
    assert_close([found], list(wanted.values()))
