"""Networks on a GPU: layercc's rows, and those of PyTorch and onnxruntime beside it."""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

import layercc as lc
from benchmarks.gpu_kernels import Row
from benchmarks.measure import error
from benchmarks.networks import Network
from benchmarks.prebuilt import Folder, thinned
from benchmarks.reference import reference_outputs
from ir.graph import Graph
from layercc.compiler import as_graph
from layercc.layers import Conv2D, Dense, Flatten, Input, Model

if TYPE_CHECKING:
    from benchmarks.export import Exported


def _tiny() -> Model:
    x = Input((8, 8, 3))
    y = Flatten()(Conv2D(4, 3, activation="relu")(x))
    return Model(x, Dense(5, activation="softmax")(y), name="tiny")


#: Of the kinds of layers that the others have, for trials of this script.
TINY = Network("tiny", _tiny, {"x": ((1, 8, 8, 3), "float32")}, 837)

Arrays = Mapping[str, np.ndarray]


@dataclass
class Bench:
    """What rows share: where they run, how often, and what was made once.

    `peers` is where PyTorch and onnxruntime run, `"cuda"` or, to try this script, `"cpu"`.
    """

    target: Any
    rounds: int
    folder: Folder
    peers: str = "cuda"
    _graphs: dict[str, Graph] = field(default_factory=dict)
    _models: dict[tuple[str, str], lc.CompiledModel] = field(default_factory=dict)
    _modules: dict[tuple[str, int], Any] = field(default_factory=dict)
    _exports: dict[str, Exported] = field(default_factory=dict)
    _files: TemporaryDirectory[str] = field(default_factory=TemporaryDirectory)

    def graph(self, network: Network) -> Graph:
        if network.name not in self._graphs:
            self._graphs[network.name] = as_graph(network.build())
        return self._graphs[network.name]

    def exported(self, network: Network) -> Exported:
        """The ONNX file that others are given, images channels-first."""
        if network.name not in self._exports:
            from benchmarks.export import export  # needs the package onnx

            path = Path(self._files.name, f"{network.name}.onnx")
            self._exports[network.name] = export(self.graph(network), path)
        return self._exports[network.name]

    def reference(self, network: Network) -> list[np.ndarray]:
        """Outputs for the first sample in double precision, thinned out."""
        found = self.folder.reference(network.name)
        if found is None:
            exact = reference_outputs(self.graph(network), network.example_inputs())
            found = [thinned(array) for array in exact]
        return found

    def layercc(self, network: Network, precision: str, batch: int) -> Row:
        """A network compiled at a precision: errors, and times in seconds.

        `device` is the graph's own time, `call` that of a call on arrays that lie on the device
        until its results do (what it costs `beyond` the graph), `host` that of one with NumPy's.
        """
        inputs = batched(network, batch)
        model = self._models.get((network.name, precision))
        begun = time.perf_counter()
        if model is None:
            model = lc.compile(self.graph(network), inputs, target=self.target, precision=precision)
            self._models[network.name, precision] = model
        outputs = list(model.run(inputs).values())
        row: Row = {"first": time.perf_counter() - begun}
        row["error"] = self._error(network, outputs, batch)
        plan = model.plan({name: array.shape for name, array in inputs.items()}, inputs)
        row["host"] = median(lambda: model.run(inputs), max(self.rounds // 2, 1))
        if not hasattr(plan, "device_seconds"):  # in parts: something falls back
            return row | {"fallback": True}
        row["device"] = plan.device_seconds(self.rounds)
        memory = model._inputs.memory
        there = {name: memory.put(array, memory.stream(None)) for name, array in inputs.items()}

        def call() -> None:
            for array in model.run(there, device=True).values():
                array.wait()

        row["call"] = median(call, self.rounds)
        row["beyond"] = row["call"] - row["device"]
        summary = plan.summary()
        row["launches"], row["limit"] = summary["launches"], summary["floor"]
        row["share"] = summary["floor"] / row["device"] if row["device"] else None
        return row

    def _error(self, network: Network, outputs: list[np.ndarray], batch: int) -> float:
        """Of the first sample; all samples are equal, and so must be their results."""
        first = [thinned(array[:1]) for array in outputs]
        for array in outputs:
            assert batch == 1 or np.array_equal(array[0], array[-1]), "samples of a batch differ"
        return error(first, self.reference(network))

    def torch(self, network: Network, precision: str, batch: int, mode: str) -> Row:
        """The same graph written in PyTorch's functions, arrays on the device.

        Precision is that of `torch.set_float32_matmul_precision`, of cuDNN's convolutions too.
        Raises ImportError without PyTorch, RuntimeError where it sees no device.
        """
        import torch

        from layercc.frontends.onnx import from_onnx
        from layercc.tools.bench.torch_peers import to_torch

        on_card = self.peers == "cuda"
        if on_card and not torch.cuda.is_available():
            raise RuntimeError(f"PyTorch {torch.__version__} sees no device")
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = precision != "highest"
        torch.backends.cudnn.benchmark = True
        exported = self.exported(network)
        inputs = exported.inputs(batched(network, batch))
        module = self._modules.get((network.name, batch))
        if module is None:
            self._modules.clear()
            module = to_torch(from_onnx(exported.path), inputs).to(self.peers)
            self._modules[network.name, batch] = module
        tensors = [torch.from_numpy(inputs[n].copy()).to(self.peers) for n in module.input_names]
        function: Any = module
        if mode != "eager":
            if "torch._dynamo" in sys.modules:
                torch._dynamo.reset()
            function = torch.compile(module, mode=mode, dynamic=False, fullgraph=True)
        with torch.no_grad():
            begun = time.perf_counter()
            outputs = exported.outputs([made.cpu().numpy() for made in function(*tensors)])
            row: Row = {"first": time.perf_counter() - begun}
            row["error"] = self._error(network, outputs, batch)

            def call() -> None:
                function(*tensors)
                if on_card:
                    torch.cuda.synchronize()

            row["call"] = median(call, self.rounds)
            if on_card:
                events = [torch.cuda.Event(enable_timing=True) for _ in range(self.rounds + 1)]
                events[0].record()
                for event in events[1:]:
                    function(*tensors)
                    event.record()
                events[-1].synchronize()
                pairs = itertools.pairwise(events)
                times = [first.elapsed_time(last) / 1e3 for first, last in pairs]
                row["device"] = statistics.median(times)
        return row

    def onnxruntime(self, network: Network, precision: str, batch: int) -> Row:
        """The same graph as an ONNX model, bound to arrays on the device.

        Raises ImportError without onnxruntime, RuntimeError where it has no such provider.
        """
        import onnxruntime as ort

        provider = "CUDAExecutionProvider" if self.peers == "cuda" else "CPUExecutionProvider"
        if provider not in ort.get_available_providers():
            raise RuntimeError(f"onnxruntime {ort.__version__} has no {provider}")
        options = {"use_tf32": int(precision != "highest")} if self.peers == "cuda" else {}
        exported = self.exported(network)
        session = ort.InferenceSession(exported.path, providers=[(provider, options)])
        binding = session.io_binding()
        for name, array in exported.inputs(batched(network, batch)).items():
            binding.bind_ortvalue_input(
                name, ort.OrtValue.ortvalue_from_numpy(array, self.peers, 0)
            )
        for output in session.get_outputs():
            binding.bind_output(output.name, self.peers)
        begun = time.perf_counter()
        session.run_with_iobinding(binding)
        outputs = exported.outputs(binding.copy_outputs_to_cpu())
        row: Row = {"first": time.perf_counter() - begun}
        row["error"] = self._error(network, outputs, batch)

        def call() -> None:
            session.run_with_iobinding(binding)
            binding.synchronize_outputs()

        return row | {"call": median(call, self.rounds)}


def batched(network: Network, batch: int) -> dict[str, np.ndarray]:
    """The same sample so often."""
    given = network.example_inputs().items()
    return {name: np.concatenate([array] * batch) for name, array in given}


def median(call: Callable[[], Any], rounds: int) -> float:
    """Seconds of a call, after some that do not count."""
    for _ in range(min(rounds, 3)):
        call()
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)
