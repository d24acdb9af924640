"""layercc on a GPU: are its kernels right there, and how fast are networks.

    python -m benchmarks.gpu --out results.json --seconds 420
    python -m benchmarks.gpu --stand-in          # on the tests' stand-in device: nothing is timed

First a table of kernels, each against double precision; then networks at batch 1, 8 and 64, beside
PyTorch (eager, and torch.compile) where it sees the device. The JSON file is written after each
row, so the script can be stopped at any time with what it has; no row is begun after `--seconds`.
Times are medians, in seconds: of a call with NumPy arrays, and of the device alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import layercc as lc
from benchmarks.measure import error
from benchmarks.networks import NETWORKS, Network
from benchmarks.reference import reference_outputs
from ir.graph import Graph
from layercc.compiler import as_graph

#: Kernel cases: a graph, and the inputs' shapes; ints are drawn below the first input's rows.
CASES = {
    "pointwise": "graph g(x: f32[1027,513], b: f32[513]) -> (y) {\n s = Add(x, b)\n y = Gelu(s)\n}",
    "transpose": "graph g(x: f32[3,257,129]) -> (y) {\n y = Transpose(x) {perm=[0, 2, 1]}\n}",
    "copy": "graph g(x: f32[5,12,64,32]) -> (y) {\n y = Transpose(x) {perm=[0, 2, 1, 3]}\n}",
    "matmul": "graph g(x: f32[517,301], w: f32[301,259]) -> (y) {\n y = MatMul(x, w)\n}",
    "matvec": "graph g(x: f32[1,768], w: f32[768,769]) -> (y) {\n y = MatMul(x, w)\n}",
    "batched": "graph g(x: f32[3,5,65,33], w: f32[5,33,70]) -> (y) {\n y = MatMul(x, w)\n}",
    "convolution": "graph g(x: f32[2,17,29,31], w: f32[33,17,3,3]) -> (y) {\n"
    " y = Conv(x, w) {pads=[1, 1, 1, 1], strides=[2, 2]}\n}",
    "depthwise": "graph g(x: f32[2,65,29,31], w: f32[65,1,3,3]) -> (y) {\n"
    " y = Conv(x, w) {pads=[1, 1, 1, 1], group=65}\n}",
    "sum of rows": "graph g(x: f32[333,1027]) -> (y) {\n y = ReduceMean(x, a)\n}",
    "sum of columns": "graph g(x: f32[7,515,129]) -> (y) {\n y = ReduceMean(x, a)\n}",
    "softmax": "graph g(x: f32[1111,515]) -> (y) {\n y = Softmax(x)\n}",
    "long softmax": "graph g(x: f32[33,5151]) -> (y) {\n y = Softmax(x)\n}",
    "layer norm": "graph g(x: f32[515,769], s: f32[769], b: f32[769]) -> (y) {\n"
    " y = LayerNormalization(x, s, b)\n}",
    "max pool": "graph g(x: f32[2,33,57,55]) -> (y) {\n"
    " y = MaxPool(x) {kernel_shape=[3, 3], strides=[2, 2]}\n}",
    "gather": "graph g(x: f32[997,129], i: i64[515]) -> (y) {\n y = Gather(x, i)\n}",
    "attention": "graph g(q: f32[2,5,65,64], k: f32[2,5,131,64], v: f32[2,5,131,64]) -> (y) {\n"
    " y = Attention(q, k, v) {is_causal=1}\n}",
}
#: How far a kernel may be off: plain float32 arithmetic is as far.
MOST_ERROR = 5e-6
BATCHES = (1, 8, 64)
MODELS = ("lenet5", "mlp", "resnet18")

Row = dict[str, Any]


def case(name: str, seed: int = 0) -> tuple[Graph, dict[str, np.ndarray]]:
    """A kernel case and its inputs."""
    text = CASES[name]
    if "ReduceMean" in text:
        text = text.replace(") -> (y)", ", a: i64[1]) -> (y)")
    graph = lc.parse_graph(text)
    random = np.random.default_rng(seed)
    inputs: dict[str, np.ndarray] = {}
    for value in graph.inputs:
        shape = tuple(int(dim) for dim in value.type.shape)  # type: ignore[union-attr]
        if value.name == "a":
            graph.constants["a"] = np.array([1])
        elif value.name == "i":
            inputs["i"] = random.integers(-500, 500, shape)
        else:
            inputs[value.name] = random.standard_normal(shape).astype(np.float32)
    graph.inputs = [value for value in graph.inputs if value.name != "a"]
    return graph, inputs


def run_case(name: str, target: Any) -> Row:
    """Compiles and runs a kernel case."""
    graph, inputs = case(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # nothing may fall back
        found = lc.compile(graph, target=target, example_inputs=inputs).run(inputs)
    off = error(list(found.values()), reference_outputs(graph, inputs))
    return {"error": off, "right": off <= MOST_ERROR}


def run_network(network: Network, batch: int, target: Any, rounds: int) -> Row:
    """A network's error and times."""
    graph = as_graph(network.build())
    inputs = {
        name: np.concatenate([array] * batch) for name, array in network.example_inputs().items()
    }
    begun = time.perf_counter()
    model = lc.compile(graph, target=target, example_inputs=inputs)
    outputs = model.run(inputs)
    first = time.perf_counter() - begun
    one = {name: array[:1] for name, array in inputs.items()}
    off = error([array[:1] for array in outputs.values()], reference_outputs(graph, one))
    plan = model.plan({name: array.shape for name, array in inputs.items()}, inputs)
    row: Row = {
        "batch": batch,
        "error": off,
        "first": first,
        "call": median(lambda: model.run(inputs), rounds),
    }
    if hasattr(plan, "device_seconds"):
        row |= {"device": plan.device_seconds(), "launches": len(plan.program.calls)}
    return row


def run_torch(network: Network, batch: int, mode: str, rounds: int) -> Row:
    """The same network in PyTorch, arrays on the device: what its own kernels take.

    Raises ImportError without PyTorch, RuntimeError where it sees no device, or for a network that
    is none of torchvision's.
    """
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError("PyTorch sees no device")
    import torchvision

    if not hasattr(torchvision.models, network.name):
        raise RuntimeError(f"torchvision has no {network.name}")
    net = getattr(torchvision.models, network.name)().eval().cuda()
    if mode != "eager":
        net = torch.compile(net, mode=mode)
    x = torch.randn(batch, 3, 224, 224, device="cuda")
    with torch.no_grad():

        def call() -> None:
            net(x)
            torch.cuda.synchronize()

        call()
        return {"batch": batch, "call": median(call, rounds)}


def median(call: Callable[[], Any], rounds: int) -> float:
    """Seconds of a call, after one that does not count."""
    call()
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def work(
    target: Any, models: tuple[str, ...], batches: tuple[int, ...], rounds: int
) -> Iterator[tuple[Row, Callable[[], Row]]]:
    """What is to be done, in order: what a row is of, and what makes the rest of it."""
    for name in CASES:
        yield {"kernel": name}, lambda name=name: run_case(name, target)  # type: ignore[misc]
    for name in models:
        for batch in batches:
            network = NETWORKS[name]
            yield (
                {"network": name, "runtime": "layercc"},
                lambda n=network, b=batch: run_network(n, b, target, rounds),  # type: ignore[misc]
            )
            for mode in ("eager", "max-autotune"):
                yield (
                    {"network": name, "runtime": f"torch {mode}"},
                    lambda n=network, b=batch, m=mode: run_torch(n, b, m, rounds),  # type: ignore[misc]
                )


def main(arguments: list[str] | None = None) -> int:
    """Runs all, prints a line and writes the file after each row; 1 if a kernel was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="cuda")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seconds", type=float, default=420, help="no row is begun later")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--stand-in", action="store_true", help="the tests' device; lenet5 alone")
    options = parser.parse_args(arguments)
    models, batches = MODELS, BATCHES
    if options.stand_in:
        from tests.cuda.stand_in import install

        install()
        models, batches, options.rounds = ("lenet5",), (1,), 1
    from layercc.cuda.driver import device

    here = device(lc.CudaTarget(options.target).ordinal)
    report: dict[str, Any] = {"device": here.name, "capability": here.capability, "rows": []}
    begun = time.perf_counter()
    wrong = False
    for row, make in work(options.target, models, batches, options.rounds):
        if time.perf_counter() - begun > options.seconds:
            report["stopped"] = f"after {options.seconds} s"
            break
        try:
            row |= make()
        except Exception as failure:  # the next rows are worth having, whatever this one met
            row["failure"] = f"{type(failure).__name__}: {failure}"
        wrong |= "kernel" in row and not row.get("right", False)
        report["rows"].append(row)
        print(json.dumps(row), flush=True)
        if options.out is not None:
            options.out.write_text(json.dumps(report, indent=1))
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
