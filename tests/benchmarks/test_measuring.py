"""Exporting to other runtimes, the double-precision reference, and how times become figures."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.export import export
from benchmarks.measure import MIN_ROUNDS, error, ratio, rounds
from benchmarks.reference import reference_outputs
from benchmarks.turns import turns
from ir.interpreter import interpret
from layercc import layers as L


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


def sleeper(order: list[str], name: str, seconds: float):
    """A run that enters its name and takes some time."""

    def run() -> None:
        order.append(name)
        time.sleep(seconds)

    return run


def test_rounds_take_turns_and_ratios_are_of_rounds() -> None:
    order: list[str] = []
    medians = rounds({"a": sleeper(order, "a", 0.04), "b": sleeper(order, "b", 0.08)}, seconds=0.1)
    assert {len(times) for times in medians.values()} == {MIN_ROUNDS}
    turns = [name for i, name in enumerate(order) if i == 0 or order[i - 1] != name]
    assert turns[:4] == ["b", "a", "b", "a"]
    assert ratio(medians["b"], medians["a"]) == pytest.approx(2, rel=0.4)
    assert ratio([2.0, 40.0, 6.0], [1.0, 10.0, 2.0]) == 3.0


def test_turns_alternate_call_by_call() -> None:
    order: list[str] = []
    first, second, both = turns(sleeper(order, "a", 0.01), sleeper(order, "b", 0.03), 5)
    assert order == ["a", "b"] * 5
    assert first < second < both
    assert both == pytest.approx(first + second, rel=0.2)
