"""What profiling costs, and whether its figures add up.

    python -m benchmarks.profile_overhead                      # networks, 1 and 2 threads
    python -m benchmarks.profile_overhead lenet5 --against ../other/checkout

A line for each network and number of threads: the median time of a run; that of a recorded run over
it (median over rounds in which both take turns); the sum of the calls and of what is between them
and around the run, as `profile` has them, over the time of a call of the model.

With `--against`: the time of a run that is not recorded, here over that of another checkout, in two
processes that take turns. Here over here, in two processes, tells what of it is noise.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.networks import NETWORKS
from ir.units import align
from layercc.timing import Times, in_turns

_NETWORKS = ("lenet5", "mobilenet_v2", "resnet18", "resnet50", "bert_base")
_TURN_SECONDS = 0.1
_ROOT = Path(__file__).resolve().parents[1]


def model_of(name: str, threads: int) -> tuple[Any, list[np.ndarray]]:
    """A compiled network, and arrays for it."""
    import layercc

    network = NETWORKS[name]
    inputs = network.example_inputs()
    fn = layercc.compile(network.build(), threads=threads)
    arrays = [inputs[name] for name in fn.graph.input_names]
    fn(*arrays)
    return fn, arrays


def overhead(fn: Any, arrays: list[np.ndarray], seconds: float) -> tuple[float, float]:
    """Median seconds of a run, and what recording adds to it, as a ratio."""
    shapes = {n: array.shape for n, array in zip(fn.graph.input_names, arrays, strict=True)}
    plan = fn.plan(shapes, dict(zip(fn.graph.input_names, arrays, strict=True)))
    plan.record(arrays, fn.threads)
    took: list[float] = []
    rounds: list[tuple[float, ...]] = []

    def record() -> None:
        took.append(plan.record(arrays, fn.threads)[1].seconds)

    def plain() -> None:
        if took:  # a turn of the other is over
            rounds.append(tuple(took[1:]))  # without the call that warms caches
            took.clear()
        plan.run(arrays, fn.threads)

    runners = {"plain": plain, "recorded": record}
    found = in_turns(runners, seconds, turn=_TURN_SECONDS, alternate=False)
    plain()
    return found["plain"].median, Times(tuple(rounds)).over(found["plain"])


def figures(name: str, threads: int, seconds: float) -> list[str]:
    """The line of a network."""
    fn, arrays = model_of(name, threads)
    run, ratio = overhead(fn, arrays, seconds)
    profile = fn.profile(*arrays, seconds=3 * seconds)
    return [
        name,
        str(threads),
        f"{1e3 * run:.4g}",
        f"{ratio:.3f}",
        f"{profile.total / profile.seconds:.3f}",
        f"{profile.accounted:.3f}",
    ]


def work(name: str, threads: int) -> None:
    """A process that measures a turn whenever it is asked to."""
    fn, arrays = model_of(name, threads)
    for _ in sys.stdin:
        (times,) = in_turns({"": lambda: fn(*arrays)}, rounds=1, turn=_TURN_SECONDS).values()
        print(json.dumps(times.median), flush=True)


def against(other: Path, name: str, threads: int, seconds: float) -> list[str]:
    """The line of a network: here over there, and here over here, with the quartiles of rounds."""
    command = [sys.executable, str(Path(__file__).resolve()), name]  # this file, any compiler
    command += ["--threads", str(threads), "--worker"]
    workers = []
    for root in (_ROOT, other, _ROOT):
        environment = {**os.environ, "PYTHONPATH": str(root)}
        workers.append(
            subprocess.Popen(
                command, cwd=root, env=environment, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )
        )  # fmt: skip
    rounds: list[list[float]] = []
    for count in range(max(int(seconds / _TURN_SECONDS), 9)):
        times = [0.0] * len(workers)
        for index in range(len(workers))[:: -1 if count % 2 else 1]:
            assert workers[index].stdin and workers[index].stdout
            workers[index].stdin.write("\n")
            workers[index].stdin.flush()
            times[index] = float(json.loads(workers[index].stdout.readline()))
        rounds.append(times)
    for worker in workers:
        worker.communicate()
    here, there, again = np.transpose(rounds)
    cells = [name, str(threads), f"{1e3 * float(np.median(there)):.4g}"]
    for ratios in (here / there, here / again):
        low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
        cells.append(f"{middle:.3f} ({low:.3f} to {high:.3f})")
    return cells


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.profile_overhead", description="What profiling costs."
    )
    parser.add_argument("networks", nargs="*", default=_NETWORKS, metavar="NETWORK")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure")
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.worker:
        work(given.networks[0], given.threads[0])
        return 0
    head = ["network", "threads", "ms", "recorded / plain", "sum / call", "calls / call"]
    if given.against:
        head = ["network", "threads", "ms there", "here / there", "here / here"]
    rows = [head]
    for name in given.networks:
        for threads in given.threads:
            rows.append(
                against(given.against.resolve(), name, threads, given.seconds)
                if given.against
                else figures(name, threads, given.seconds)
            )
            print("  ".join(rows[-1]), file=sys.stderr, flush=True)
    print("\n".join(align(rows, right=range(1, len(head)))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
