"""Other runtimes that a benchmark compares with, each given the same ONNX model and threads.

A model is the bytes of an ONNX file, or the path of one.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping

import numpy as np

#: Runs the model once; outputs in the model's order.
Runner = Callable[[], list[np.ndarray]]


def onnxruntime(model: bytes | str, inputs: Mapping[str, np.ndarray], threads: int) -> Runner:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    ports = [*session.get_inputs(), *session.get_overridable_initializers()]
    given = {port.name: inputs[port.name] for port in ports if port.name in inputs}
    return lambda: list(session.run(None, given))


def openvino(model: bytes | str, inputs: Mapping[str, np.ndarray], threads: int) -> Runner:
    import openvino as ov

    core = ov.Core()
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    read = core.read_model(model)
    names = [next(name for name in inputs if name in port.get_names()) for port in read.inputs]
    read.reshape({name: inputs[name].shape for name in names})
    compiled = core.compile_model(read, "CPU", settings)
    request = compiled.create_infer_request()
    given = {port: inputs[name] for port, name in zip(compiled.inputs, names, strict=True)}

    def run() -> list[np.ndarray]:
        # outputs are copied, as the other runtimes hand out arrays of their own
        made = request.infer(given, share_inputs=True, share_outputs=False)
        return [made[port] for port in compiled.outputs]

    return run


PEERS: dict[str, Callable[[bytes | str, Mapping[str, np.ndarray], int], Runner]] = {
    "onnxruntime": onnxruntime,
    "openvino": openvino,
}


def installed_peers() -> list[str]:
    """The runtimes of `PEERS` that can be imported here."""
    return [name for name in PEERS if importlib.util.find_spec(name) is not None]
