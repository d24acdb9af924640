"""Two runtimes in one process, call by call in turn, without a pause.

    python -m benchmarks.turns resnet50 --threads 2

That is how a pipeline of several models runs, and it measures neighbours as much as runtimes:
threads that keep spinning after a call take processors from the next one. So each runtime meets
each other, and a second copy of itself. A line a pair: the median time of a call of either, and of
both. (`benchmarks.run` lets threads go to sleep between turns.)
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

import layercc
from benchmarks.export import export
from benchmarks.machine import this_machine
from benchmarks.networks import NETWORKS, Network
from ir.units import align
from layercc.timing import in_turns
from layercc.tools.peers import PEERS, installed_peers

Run = Callable[[], object]


def turns(first: Run, second: Run, calls: int) -> tuple[float, float, float]:
    """Median seconds of a call of the first, of the second, and of one call of each."""
    runners = {"first": first, "second": second}
    found = in_turns(runners, rounds=calls, turn=0, pause=0, alternate=False)
    own, other = found["first"], found["second"]
    return own.median, other.median, float(np.median(np.add(own.calls, other.calls)))


def measure(network: Network, peers: list[str], threads: int, calls: int) -> list[list[str]]:
    """The lines of the table: names and milliseconds."""
    inputs = network.example_inputs()
    graph = network.build()
    with tempfile.TemporaryDirectory() as folder:
        exported = export(graph, Path(folder) / "network.onnx")
        given = exported.inputs(inputs)

        def load(runtime: str) -> Run:
            if runtime == "layercc":
                fn = layercc.compile(graph, threads=threads)
                return lambda: fn.run(inputs)
            return PEERS[runtime].runner(str(exported.path), given, threads)

        lines = []
        for names in itertools.combinations_with_replacement(["layercc", *peers], 2):
            first, second = map(load, names)
            turns(first, second, 3)
            lines.append([*names, *(f"{1e3 * s:.3f}" for s in turns(first, second, calls))])
        return lines


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turns", description=__doc__)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=installed_peers())
    parser.add_argument("--threads", type=int, default=0, help="default: all cores")
    parser.add_argument("--calls", type=int, default=40, help="of each runtime in a pair")
    given = parser.parse_args(arguments)
    threads = given.threads or this_machine().cores
    lines = measure(NETWORKS[given.network], given.peers, threads, given.calls)
    head = ["first", "second", "first ms", "second ms", "both ms"]
    print("\n".join(align([head, *lines], right=range(2, len(head)))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
