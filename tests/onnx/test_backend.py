"""`layercc.onnx_backend`: the interface that the onnx package defines for backends."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.backend.base import Backend, BackendRep

from ir.diagnostics import InputError
from layercc import onnx_backend
from tests.cuda.stand_in import StandIn
from tests.frontends.onnx_models import model_of

X = np.array([[-1.0, 2.0, 3.0]], np.float32)


def model() -> onnx.ModelProto:
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Add", ["a", "b"], ["sum/1"])]
    return model_of(nodes, {"x": X, "b": X}, ["sum/1", "a"])


def test_it_is_a_backend() -> None:
    assert issubclass(onnx_backend.LayerccBackend, Backend)
    assert onnx_backend.supports_device("CPU")
    assert onnx_backend.supports_device("CPU:0")
    assert not onnx_backend.supports_device("NPU")


@pytest.mark.parametrize(
    "inputs", [[X, X], (X, X), {"b": X, "x": X}], ids=lambda i: type(i).__name__
)
def test_prepared_models_run(inputs: object) -> None:
    rep = onnx_backend.prepare(model())
    assert isinstance(rep, BackendRep)
    result = rep.run(inputs)
    assert isinstance(result, tuple)
    np.testing.assert_array_equal(result[0], np.maximum(X, 0) + X)
    np.testing.assert_array_equal(result["a"], np.maximum(X, 0))


def test_run_model() -> None:
    total, _ = onnx_backend.run_model(model(), [X, X])
    np.testing.assert_array_equal(total, np.maximum(X, 0) + X)


def test_run_node() -> None:
    (y,) = onnx_backend.run_node(helper.make_node("Relu", ["x"], ["y"]), X)
    np.testing.assert_array_equal(y, np.maximum(X, 0))


def test_run_node_of_an_older_opset() -> None:
    node = helper.make_node("Clip", ["x"], ["y"], min=0.0, max=2.5)
    (y,) = onnx_backend.run_node(node, [X], opset_version=6)
    np.testing.assert_array_equal(y, np.clip(X, 0, 2.5))


def test_wrong_number_of_inputs() -> None:
    with pytest.raises(InputError, match="1 arrays given for inputs x, b"):
        onnx_backend.prepare(model()).run([X])


def test_compatibility() -> None:
    unknown = model_of([helper.make_node("Nonsense", ["x"], ["y"])], {"x": X}, ["y"])
    assert onnx_backend.is_compatible(model())
    assert not onnx_backend.is_compatible(unknown)


def test_devices(monkeypatch) -> None:
    """CUDA is asked of the driver, by number too; an error says what is missing."""
    from layercc.cuda import driver

    def missing():
        raise driver.NoDeviceError("no cuda-bindings: pip install 'layercc[cuda]'")

    monkeypatch.setattr(driver, "bindings", missing)
    driver.device.cache_clear()
    assert not onnx_backend.supports_device("CUDA")
    assert not onnx_backend.is_compatible(model(), "CUDA:1")
    assert not onnx_backend.supports_device("CUDA:x")
    with pytest.raises(driver.NoDeviceError, match=r"pip install 'layercc\[cuda\]'"):
        onnx_backend.prepare(model(), "CUDA")
    monkeypatch.setattr(driver, "bindings", lambda: StandIn(devices=2))
    driver.device.cache_clear()
    assert [onnx_backend.supports_device(f"CUDA{n}") for n in ("", ":0", ":1", ":2")] == [
        True, True, True, False,
    ]  # fmt: skip
    driver.device.cache_clear()


def test_arrays_on_a_device_are_not_copied_first() -> None:
    class Elsewhere:
        def __dlpack__(self, **asked):
            raise AssertionError

        def __dlpack_device__(self):
            return 2, 0

    with pytest.raises(InputError, match="'x' lies on cuda:0"):
        onnx_backend.prepare(model()).run([Elsewhere(), X])
