"""Other runtimes that a benchmark compares with, each given the same ONNX model and threads.

A model is the bytes of an ONNX file, or the path of one.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Runs the model once; outputs in the model's order.
Runner = Callable[[], list[np.ndarray]]
Inputs = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Peer:
    """A runtime. `package` is imported for it; `load` takes a model, inputs, the threads of a call
    and a number of streams, and gives a runner for each stream, all of which may run at once."""

    package: str
    load: Callable[[bytes | str, Inputs, int, int], list[Runner]]

    def runner(self, model: bytes | str, inputs: Inputs, threads: int) -> Runner:
        """For one caller."""
        return self.load(model, inputs, threads, 1)[0]

    @property
    def is_installed(self) -> bool:
        return importlib.util.find_spec(self.package) is not None

    @property
    def version(self) -> str:
        """Of its package; empty if there is none."""
        try:
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            return ""


def onnxruntime(model: bytes | str, inputs: Inputs, threads: int, streams: int) -> list[Runner]:
    """Several threads call one session, as its documentation has it. Callers compute with the
    session's own threads, so there are as many of both as `threads` and `streams` multiply to."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads * streams - streams + 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    ports = [*session.get_inputs(), *session.get_overridable_initializers()]
    given = {port.name: inputs[port.name] for port in ports if port.name in inputs}
    return [lambda: list(session.run(None, given))] * streams


def openvino(model: bytes | str, inputs: Inputs, threads: int, streams: int) -> list[Runner]:
    """With the hint for latency, or as many streams of its own, each with a request for inference
    that is begun and waited for, as benchmark_app does."""
    import openvino as ov

    core = ov.Core()
    settings: dict[str, Any] = {
        "INFERENCE_NUM_THREADS": threads * streams,
        "INFERENCE_PRECISION_HINT": "f32",
        **({"PERFORMANCE_HINT": "LATENCY"} if streams == 1 else {"NUM_STREAMS": streams}),
    }
    read = core.read_model(model)
    names = [next(name for name in inputs if name in port.get_names()) for port in read.inputs]
    read.reshape({name: inputs[name].shape for name in names})
    compiled = core.compile_model(read, "CPU", settings)
    given = {port: inputs[name] for port, name in zip(compiled.inputs, names, strict=True)}

    def stream() -> Runner:
        request = compiled.create_infer_request()

        # outputs are copied, as the other runtimes hand out arrays of their own
        def run() -> list[np.ndarray]:
            made = request.infer(given, share_inputs=True, share_outputs=False)
            return [made[port] for port in compiled.outputs]

        def start() -> list[np.ndarray]:
            request.start_async(given, share_inputs=True)
            request.wait()
            return [np.array(request.get_tensor(port).data) for port in compiled.outputs]

        return run if streams == 1 else start

    return [stream() for _ in range(streams)]


def torch(model: bytes | str, inputs: Inputs, threads: int, streams: int) -> list[Runner]:
    """PyTorch's ops one by one."""
    from layercc.tools.bench.torch_peers import runners

    return runners(model, inputs, threads, streams, compiled=False)


def inductor(model: bytes | str, inputs: Inputs, threads: int, streams: int) -> list[Runner]:
    """`torch.compile` with its default backend, the weights frozen."""
    from layercc.tools.bench.torch_peers import runners

    return runners(model, inputs, threads, streams, compiled=True)


@contextmanager
def settings_kept() -> Iterator[None]:
    """Puts back what runtimes set for the whole process: PyTorch's number of threads."""
    module = sys.modules.get("torch")
    threads = module.get_num_threads() if module else None
    try:
        yield
    finally:
        if module:
            module.set_num_threads(threads)


PEERS: dict[str, Peer] = {
    "onnxruntime": Peer("onnxruntime", onnxruntime),
    "openvino": Peer("openvino", openvino),
    "torch": Peer("torch", torch),
    "inductor": Peer("torch", inductor),
}


def installed_peers() -> list[str]:
    """The runtimes of `PEERS` that can be imported here."""
    return [name for name, peer in PEERS.items() if peer.is_installed]
