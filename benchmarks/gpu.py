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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import layercc as lc
from benchmarks import gpu_kernels
from benchmarks.gpu_kernels import Row, Work, kernel_rows, table_rows
from benchmarks.gpu_networks import TINY, Bench, batched
from benchmarks.networks import NETWORKS, Network
from benchmarks.prebuilt import Folder
from benchmarks.reference import reference_outputs

BATCHES = (1, 8, 64)
PRECISIONS = ("highest", "medium", "high")
#: In the order of their importance.
MODELS = ("resnet50", "bert_base", "vit_b16", "mobilenet_v2", "unet", "gpt2")
_FIRST = 3  # models whose first and last batch come before all else
PEERS = ("torch eager", "torch max-autotune", "onnxruntime")


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
    for name in gpu_kernels.CASES:
        graph, inputs = gpu_kernels.case(name)
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
        yield from kernel_rows(target)
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
