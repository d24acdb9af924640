"""layercc on a GPU: are its kernels right there, and how fast are networks.

    python -m benchmarks.gpu --prebuild build/gpu        # here, without a GPU: kernels, references
    python -m benchmarks.gpu --prebuilt build/gpu --out results.json --seconds 440
    python -m benchmarks.gpu --stand-in                  # on the tests' device: nothing is timed

First a table of kernels, each against double precision, and the table of ops of `tests/cuda`; then
ResNet-50, BERT-base, ViT-B/16, MobileNetV2, U-Net and GPT-2 at batch 1, 8 and 64, in every
precision, beside PyTorch (eager, and `torch.compile(mode="max-autotune")`) and onnxruntime's CUDA
provider, where they are installed and see the device; the rows that matter most come first. The
JSON file is written after each row, so the script can be stopped at any time with what it has; no
row is begun after `--seconds`, and none may take longer than `--row-seconds`. Times are medians, in
seconds; `benchmarks/gpu_networks.py` says of what.

A machine with a card may have no network and little else. It needs Python, NumPy, ml_dtypes and
cuda-bindings with cuda-pathfinder; with `--prebuilt` neither Numba, llvmlite, onnx nor ptxas,
unless something falls back to the CPU. Wheels to carry for that, 26 MB:

    pip download --no-deps --only-binary :all: -d build/wheels \\
        numpy ml_dtypes cuda-bindings cuda-pathfinder
    pip install --no-index --no-deps --target build/site build/wheels/*.whl  # there
    PYTHONPATH=build/site python -m benchmarks.gpu ...

The kernels and references of a network take one or two megabytes. PyTorch and onnxruntime are too
large to be carried: their rows say that they are missing.
"""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import layercc as lc
from benchmarks.gpu_networks import TINY, Bench, Row, batched
from benchmarks.measure import error
from benchmarks.networks import NETWORKS, Network
from benchmarks.prebuilt import Folder
from benchmarks.reference import reference_outputs
from ir.graph import Graph

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
PRECISIONS = ("highest", "medium", "high")
#: In the order of their importance.
MODELS = ("resnet50", "bert_base", "vit_b16", "mobilenet_v2", "unet", "gpt2")
_FIRST = 3  # models whose first and last batch come before all else
PEERS = ("torch eager", "torch max-autotune", "onnxruntime")

#: What a row is of, and what makes the rest of it.
Work = Iterator[tuple[Row, Callable[[], Row]]]


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


def table_rows(target: Any) -> Work:
    """The table of ops that the tests have: an entry a row."""
    from tests.cuda import table

    for entry in table.cases():

        def run(entry: Any = entry) -> Row:
            wrong = table.departures(entry, table.run(entry, lc.CudaTarget(target)))
            return {"right": not wrong, **({"departs": str(wrong)[:500]} if wrong else {})}

        yield {"op": entry.name}, run


def network_rows(bench: Bench, networks: dict[str, Network]) -> Work:
    """Networks in the order of importance; what compiles for minutes comes behind what tells more
    in the same time."""
    names = [*networks]
    first, rest = names[:_FIRST], names[_FIRST:]
    quick = tuple(name for name in ("layercc", *PEERS) if "autotune" not in name)
    stages = [
        (first, BATCHES[:1], PRECISIONS[:2], quick),
        (first, BATCHES[-1:], PRECISIONS[:2], quick),
        (rest, BATCHES[:1], PRECISIONS[:2], quick),
        (first, BATCHES[:1], PRECISIONS[:2], PEERS),
        (names, BATCHES, PRECISIONS, ("layercc",)),
        (first, BATCHES[-1:], PRECISIONS[:2], PEERS),
        (names, BATCHES, PRECISIONS, PEERS),
    ]
    done = set()
    for some, *ways in stages:
        for key in itertools.product(some, *ways):
            if key not in done:
                done.add(key)
                name, batch, precision, runtime = key
                yield _row(bench, networks[name], batch, precision, runtime)


def _row(
    bench: Bench, network: Network, batch: int, precision: str, runtime: str
) -> tuple[Row, Callable[[], Row]]:
    row = {"network": network.name, "runtime": runtime, "precision": precision, "batch": batch}
    if runtime == "layercc":
        return row, lambda: bench.layercc(network, precision, batch)
    if runtime == "onnxruntime":
        return row, lambda: bench.onnxruntime(network, precision, batch)
    mode = runtime.removeprefix("torch ")
    return row, lambda: bench.torch(network, precision, batch, mode)


def prebuild(folder: Folder, networks: dict[str, Network], architecture: str) -> None:
    """Fills a folder with the kernels of all rows, and references; needs no GPU."""
    from layercc.cuda.codegen.assembler import find_assembler
    from tests.cuda import table

    target = lc.CudaTarget(architecture)
    tool = find_assembler()
    folder.begin(architecture, "none: PTX" if tool is None else tool.version)
    missing = []
    for entry in table.cases():
        backend = target.open(precision="highest", choices={})
        try:
            folder.put(table.planned(entry, backend).kernels.values())
        except lc.UnsupportedError as error:
            missing.append(f"{entry.name} ({str(error)[:200]})")
    for name in CASES:
        graph, inputs = case(name)
        folder.put(_kernels(lc.compile(graph, inputs, target=target), inputs))
    bench = Bench(target, 1, folder)
    for name, network in networks.items():
        for precision in PRECISIONS:
            for batch in BATCHES:
                inputs = batched(network, batch)
                model = lc.compile(bench.graph(network), inputs, target=target, precision=precision)
                kernels = _kernels(model, inputs)
                missing += [] if kernels else [f"{name} {precision} {batch}"]
                folder.put(kernels)
        if folder.reference(name) is None:
            exact = reference_outputs(bench.graph(network), network.example_inputs())
            folder.reference(name, exact)
        size = sum(path.stat().st_size for path in folder.path.iterdir())
        print(f"{name}: {size / 1e6:.1f} MB in {folder.path}", flush=True)
    if missing:
        print(f"in parts, or without kernels: {', '.join(missing)}")


def _kernels(model: lc.CompiledModel, inputs: dict[str, np.ndarray]) -> list[Any]:
    plan = model.plan({name: array.shape for name, array in inputs.items()}, inputs)
    return [*plan.kernels.values()] if hasattr(plan, "kernels") else []


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raises TimeoutError if it takes longer, where signals can tell."""
    if (
        not hasattr(signal, "setitimer")
        or threading.current_thread() is not threading.main_thread()
    ):
        yield
        return

    def stop(number: int, frame: Any) -> None:
        raise TimeoutError(f"it took more than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def versions() -> dict[str, str]:
    """Of what is installed here."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": sys.version.split()[0]}
    for name in ("numpy", "numba", "llvmlite", "cuda-bindings", "torch", "onnxruntime-gpu"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def main(arguments: list[str] | None = None) -> int:
    """Runs all, prints a line and writes the file after each row; 1 if a kernel was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--target", default="cuda")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seconds", type=float, default=440, help="no row is begun later")
    parser.add_argument("--row-seconds", type=float, default=100, help="no row takes longer")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--prebuild", type=Path, help="fill a folder of kernels, and stop")
    parser.add_argument("--architecture", default="sm_90a", help="that --prebuild is for")
    parser.add_argument("--prebuilt", type=Path, default=Path("build/gpu"), help="such a folder")
    parser.add_argument("--models", nargs="*", default=None, help=f"of {', '.join(NETWORKS)}")
    parser.add_argument("--no-table", action="store_true", help="networks only")
    parser.add_argument("--peers", default="cuda", help="where they run: cuda, or cpu for a trial")
    parser.add_argument("--stand-in", action="store_true", help="the tests' device; a tiny model")
    options = parser.parse_args(arguments)
    if options.stand_in:
        from tests.cuda.stand_in import install

        install()
        options.models, options.rounds = options.models or [TINY.name], 1
    names = MODELS if options.models is None else options.models
    networks = {name: {TINY.name: TINY, **NETWORKS}[name] for name in names}
    folder = Folder(options.prebuilt)
    if options.prebuild is not None:
        prebuild(Folder(options.prebuild), networks, options.architecture)
        return 0
    if fault := folder.fault():
        print(f"{fault}; kernels are compiled here", flush=True)
        folder = Folder(Path("/nonexistent"))
    else:
        folder.use()
    from layercc.cuda.driver import device

    here = device(lc.CudaTarget(options.target).ordinal)
    report: dict[str, Any] = {
        "device": here.name,
        "capability": here.capability,
        "driver": ".".join(map(str, here.version)),
        "versions": versions(),
        "prebuilt": fault or "used",
        "rows": [],
    }
    bench = Bench(options.target, options.rounds, folder, options.peers)
    begun = time.perf_counter()
    wrong = False
    for row, make in work(options.target, bench, networks, not options.no_table):
        if time.perf_counter() - begun > options.seconds:
            report["stopped"] = f"after {options.seconds} s"
            break
        started = time.perf_counter()
        try:
            with at_most(options.row_seconds):
                row |= make()
        except Exception as failure:  # the next rows are worth having, whatever this one met
            row["failure"] = f"{type(failure).__name__}: {str(failure)[:500]}"
        row["took"] = time.perf_counter() - started
        wrong |= ("kernel" in row or "op" in row) and not row.get("right", False)
        report["rows"].append(row)
        print(json.dumps(row), flush=True)
        write(report, options.out)
    write(report, options.out)
    return int(wrong)


def work(target: Any, bench: Bench, networks: dict[str, Network], table: bool) -> Work:
    """All rows, in order."""
    if table:
        for name in CASES:
            yield {"kernel": name}, lambda name=name: run_case(name, target)  # type: ignore[misc]
        yield from table_rows(target)
    yield from network_rows(bench, networks)


def write(report: dict[str, Any], out: Path | None) -> None:
    """Writes the file so that it is whole at any time."""
    if out is not None:
        part = out.with_suffix(".part")
        part.write_text(json.dumps(report, indent=1))
        part.replace(out)


if __name__ == "__main__":
    sys.exit(main())
