"""layercc beside other runtimes, on one machine, in one run.

    python -m benchmarks.run                          # every network
    python -m benchmarks.run resnet50 bert_base --threads 2 --peers onnxruntime --json

A line a runtime: the median time of a call; that time over layercc's (median over rounds in which
all take turns); the error against double precision; the share of the machine's multiply-add peak;
the peak memory of a process that loads the model and runs it; seconds from the model file to the
first result, with an empty kernel cache and with a filled one.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.export import Exported, export
from benchmarks.machine import Machine, this_machine
from benchmarks.measure import error
from benchmarks.networks import NETWORKS, Network
from benchmarks.reference import reference_outputs
from ir.cost import graph_cost
from ir.diagnostics import LayerccError
from ir.graph import Graph
from ir.inference import infer
from ir.units import align
from layercc.timing import in_turns
from layercc.tools.bench.measure import reason
from layercc.tools.bench.processes import in_processes
from layercc.tools.peers import PEERS, installed_peers


@dataclass
class Row:
    """Figures of one runtime on one network. Times in seconds, memory in bytes; None: not measured.

    `time_ratio`: its time over layercc's. `failure` says why there is nothing.
    """

    network: str
    runtime: str
    seconds: float | None = None
    time_ratio: float | None = None
    error: float | None = None
    peak_share: float | None = None
    peak_memory: int | None = None
    cold: float | None = None
    warm: float | None = None
    failure: str = ""


@dataclass
class Settings:
    """What is asked for on the command line."""

    peers: list[str]
    threads: int
    seconds: float
    reference: bool
    processes: bool


Run = Callable[[], list[np.ndarray]]


def measure(network: Network, settings: Settings, machine: Machine) -> list[Row]:
    """The rows of one network: layercc first."""
    inputs = network.example_inputs()
    graph: Graph = network.build()
    shapes = {name: array.shape for name, array in inputs.items()}
    flops = graph_cost(graph, infer(graph, shapes)).flops
    wanted = reference_outputs(graph, inputs) if settings.reference else None
    with tempfile.TemporaryDirectory() as folder:
        exported = export(graph, Path(folder) / f"{network.name}.onnx")
        rows, runners = _load(graph, exported, inputs, settings)
        if wanted is not None:
            for name, run in runners.items():
                rows[name].error = error(run(), wanted)
        measured = in_turns(runners, settings.seconds)
        peak = machine.peak(settings.threads)
        for name, times in measured.items():
            rows[name].seconds = times.median
            rows[name].peak_share = flops / times.median / peak  # type: ignore[operator]
            if "layercc" in measured:
                rows[name].time_ratio = times.over(measured["layercc"])
        names = list(runners)
        runners.clear()
        del graph
        gc.collect()
        if settings.processes:
            arrays = Path(folder) / "inputs.npz"
            np.savez(arrays, **exported.inputs(inputs))  # type: ignore[arg-type]
            for name in names:
                try:
                    found = in_processes(name, exported.path, arrays, settings.threads)
                except RuntimeError as problem:
                    rows[name].failure = str(problem)
                    continue
                for field in ("cold", "warm", "peak_memory"):
                    setattr(rows[name], field, found[field])
    for row in rows.values():
        row.network = network.name
    return list(rows.values())


def _load(
    graph: Graph, exported: Exported, inputs: dict[str, np.ndarray], settings: Settings
) -> tuple[dict[str, Row], dict[str, Run]]:
    """A row for each runtime, and a function that runs the network for each that can."""
    rows = {name: Row("", name) for name in ("layercc", *settings.peers)}
    runners: dict[str, Run] = {}
    try:
        runners["layercc"] = _own_runner(graph, inputs, settings.threads)
    except LayerccError as problem:
        rows["layercc"].failure = str(problem).partition("\n")[0]
    given = exported.inputs(inputs)
    for name in settings.peers:
        try:
            runner = PEERS[name].runner(str(exported.path), given, settings.threads)
            runner()
        except Exception as problem:  # another runtime may raise anything
            rows[name].failure = reason(problem)
            continue
        runners[name] = lambda runner=runner: exported.outputs(runner())  # type: ignore[misc]
    return rows, runners


def _own_runner(graph: Graph, inputs: dict[str, np.ndarray], threads: int) -> Run:
    import layercc

    fn = layercc.compile(graph, threads=threads)
    names = graph.output_names

    def run() -> list[np.ndarray]:
        made = fn.run(inputs)
        return [made[name] for name in names]

    run()
    return run


def table(rows: list[Row]) -> str:
    """The rows as text; a dash where nothing was measured."""

    def show(value: float | None, pattern: str, factor: float = 1.0) -> str:
        return "-" if value is None else pattern.format(value * factor)

    head = ["network", "runtime", "ms", "x layercc", "error", "of peak", "MB", "cold s", "warm s"]
    lines = [head]
    for row in rows:
        lines.append(
            [
                row.network,
                row.runtime,
                show(row.seconds, "{:.3f}", 1e3),
                show(row.time_ratio, "{:.2f}"),
                show(row.error, "{:.1e}"),
                show(row.peak_share, "{:.0f} %", 100),
                show(row.peak_memory, "{:.0f}", 1e-6),
                show(row.cold, "{:.2f}"),
                show(row.warm, "{:.2f}"),
            ]
        )
    text = align(lines, right=range(2, len(head)))
    failures = [f"{row.network}, {row.runtime}: {row.failure}" for row in rows if row.failure]
    return "\n".join([*text, *failures])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run", description="Measure layercc beside other runtimes."
    )
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=", ".join(NETWORKS))
    parser.add_argument("--peers", default=",".join(installed_peers()), help="comma-separated")
    parser.add_argument("--threads", type=int, default=0, help="default: all cores")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each runtime")
    parser.add_argument("--no-reference", action="store_true", help="skip errors (saves minutes)")
    parser.add_argument("--no-processes", action="store_true", help="skip memory and load times")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.networks if name not in NETWORKS]
    peers = [name for name in given.peers.split(",") if name]
    unknown += [name for name in peers if name not in PEERS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    machine = this_machine()
    settings = Settings(
        peers,
        given.threads or machine.cores,
        given.seconds,
        not given.no_reference,
        not given.no_processes,
    )
    rows: list[Row] = []
    for name in given.networks or NETWORKS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows += measure(NETWORKS[name], settings, machine)
    peak = machine.peak(settings.threads)
    if given.json:
        about: dict[str, Any] = {
            "processor": machine.processor,
            "isa": machine.isa,
            "threads": settings.threads,
            "peak_flops": peak,
        }
        print(json.dumps({"machine": about, "rows": [asdict(row) for row in rows]}, indent=1))
    else:
        print(f"{machine.processor} ({machine.isa}), {settings.threads} threads, ", end="")
        print(f"multiply-add peak {peak / 1e9:.0f} GFLOP/s\n\n{table(rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
