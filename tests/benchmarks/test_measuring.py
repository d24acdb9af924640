"""Exporting to other runtimes, the double-precision reference, and how times become figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.export import export
from benchmarks.measure import error
from benchmarks.reference import reference_outputs
from benchmarks.turns import turns
from ir.interpreter import interpret
from layercc import layers as L
from tests.test_timing import Clock


def _segmenter() -> L.Model:
    x = L.Input((8, 12, 3))
    y = L.Conv2D(4, 3, padding="same", activation="relu")(x)
    z = L.Conv2DTranspose(4, 2, strides=2)(L.MaxPooling2D(2)(y))
    return L.Model(x, L.Conv2D(2, 1, activation="softmax")(L.Concatenate()([y, z])))


def _tokens() -> L.Model:
    ids = L.Input((6,), dtype="int64", name="ids")
    y = L.Embedding(50, 8)(ids)
    seen = L.MultiHeadAttention(2, 4, 3)(y, y, value_mask=ids)  # token 0 is hidden
    return L.Model(ids, [seen, L.GlobalAveragePooling1D()(y)])


@pytest.mark.parametrize("build", [_segmenter, _tokens])
def test_an_exported_model_computes_the_same(build, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    model = build()
    random = np.random.default_rng(0)
    shape = [1, *model.inputs[0].shape[1:]]
    floats = model.inputs[0].dtype.value == np.float32
    array = (
        random.standard_normal(shape).astype(np.float32) if floats else random.integers(0, 3, shape)
    )
    inputs = {model.input_names[0]: array}
    exported = export(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(exported.path, providers=["CPUExecutionProvider"])
    found = exported.outputs(session.run(None, exported.inputs(inputs)))
    wanted = reference_outputs(model, inputs)
    assert [o.dtype for o in wanted] == [np.float64] * len(wanted)
    assert error(found, wanted) < 1e-6
    assert error(list(interpret(model, inputs).values()), wanted) < 1e-6
    if build is _segmenter:  # images go in and out channels-first, without a Transpose
        assert session.get_inputs()[0].shape[1:] == [3, 8, 12]
        assert session.get_outputs()[0].shape[1:] == [2, 8, 12]


def test_errors_are_relative_to_the_largest_value() -> None:
    assert error([np.array([1.0, 2.5])], [np.array([1.0, 2.0])]) == pytest.approx(0.25)
    assert error([np.array([np.nan])], [np.array([1.0])]) == np.inf


def test_turns_alternate_call_by_call(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("layercc.timing.time", clock)
    first, second, both = turns(clock.runner("a", 1, 2, 3), clock.runner("b", 5, 20, 4), 3)
    assert clock.called == ["a", "b"] * 3
    assert (first, second, both) == (2, 5, 7)  # the median of 6, 22 and 7
