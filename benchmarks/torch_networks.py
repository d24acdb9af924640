"""Networks of timm and transformers by `torch.compile`: layercc beside inductor and eager mode.

    python -m benchmarks.torch_networks                        # every network, as it is used
    python -m benchmarks.torch_networks bert vit --threads 2 --small

A line a network: the median time of a call of each, in turns; that time over layercc's (median over
rounds); how far results are from eager's, relatively to the largest; and seconds from
`torch.compile` to the first result. Inductor needs a C++ compiler.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

from benchmarks.machine import this_machine
from benchmarks.torch_models import MODELS, Model
from ir.units import align
from layercc.timing import in_turns
from layercc.tools.bench.measure import reason

RUNTIMES = ("layercc", "inductor", "eager")


def measure(name: str, small: bool, threads: int, seconds: float) -> list[list[str]]:
    """The rows of a network."""
    import torch

    model: Model = MODELS[name]
    module = model.build(small)
    inputs = model.inputs(*(model.small if small else model.usual)[0])
    with torch.no_grad():
        wanted = _leaves(model.call(module, copy.deepcopy(inputs)))
    runners: dict[str, Callable[[], Any]] = {}
    rows = {runtime: [name, runtime] for runtime in RUNTIMES}
    for runtime in RUNTIMES:
        torch._dynamo.reset()
        start = time.perf_counter()
        try:
            run = _runner(runtime, model, module, inputs, threads)
            found = _leaves(run())
        except Exception as problem:  # another runtime may raise anything
            rows[runtime] += ["-", "-", "-", reason(problem)]
            continue
        first = time.perf_counter() - start
        error = max(map(_distance, found, wanted))
        rows[runtime] += [f"{error:.1e}", f"{first:.1f}" if runtime != "eager" else "-"]
        runners[runtime] = run
    measured = in_turns(runners, seconds)
    for runtime, times in measured.items():
        ratio = times.over(measured["layercc"]) if "layercc" in measured else float("nan")
        rows[runtime][2:2] = [f"{times.median * 1e3:.3f}", f"{ratio:.2f}"]
    return list(rows.values())


def _runner(
    runtime: str, model: Model, module: Any, inputs: Any, threads: int
) -> Callable[[], Any]:
    import torch

    from layercc.integrations.dynamo import backend

    if runtime == "layercc":
        options: dict[str, Any] = {"backend": backend, "options": {"threads": threads}}
        called = torch.compile(module, **options)
    elif runtime == "inductor":
        called = torch.compile(module, backend="inductor")
    else:
        called = module

    def run() -> Any:
        # a cache of keys and values is written by the call
        given = copy.deepcopy(inputs) if "cache" in inputs else inputs
        with torch.no_grad():
            return model.call(called, given)

    return run


def _leaves(made: Any) -> list[Any]:
    from torch.utils import _pytree as pytree

    return [leaf for leaf in pytree.tree_leaves(made) if hasattr(leaf, "shape")]


def _distance(found: Any, wanted: Any) -> float:
    largest = float(wanted.abs().max()) or 1.0
    return float((found - wanted).abs().max()) / largest


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.torch_networks",
        description="torch.compile, layercc beside others",
    )
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=", ".join(MODELS))
    parser.add_argument("--threads", type=int, default=0, help="default: all cores")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each runtime")
    parser.add_argument("--small", action="store_true", help="the small networks of the tests")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.networks if name not in MODELS]:
        parser.error(f"unknown: {', '.join(unknown)}")
    import torch

    machine = this_machine()
    threads = given.threads or machine.cores
    torch.set_num_threads(threads)
    warnings.simplefilter("always", RuntimeWarning)  # what is left to PyTorch
    rows = [["network", "runtime", "ms", "x layercc", "error", "first s"]]
    for name in given.networks or MODELS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows += measure(name, given.small, threads, given.seconds)
    print(f"{machine.processor} ({machine.isa}), {threads} threads, PyTorch {torch.__version__}\n")
    print("\n".join(align(rows, right=range(2, 6))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
