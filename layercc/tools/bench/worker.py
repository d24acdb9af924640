"""One runtime in a process of its own: time from a model file to the first result, peak memory.

    python -m layercc.tools.bench.worker RUNTIME MODEL.onnx INPUTS.npz THREADS

prints JSON. Memory is the high-water mark of the process' resident set (`VmHWM`, which unlike
getrusage's `ru_maxrss` does not inherit the parent's).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

#: Runs before the memory is read.
RUNS = 3


def load(
    runtime: str, model: str, inputs: dict[str, np.ndarray], threads: int
) -> Callable[[], Any]:
    """A function that runs the model once."""
    if runtime == "layercc":
        from layercc.compiler import compile

        fn = compile(model, threads=threads)
        return lambda: fn.run(inputs)
    from layercc.tools.peers import PEERS

    return PEERS[runtime].runner(model, inputs, threads)


def memory(key: str) -> int:
    """Bytes of a field of /proc/self/status: `VmHWM` or `VmRSS`; 0 where there is none."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:")), 0)


def import_runtime(runtime: str) -> None:
    """Imports what `load` needs, so that the clock measures loading only."""
    if runtime == "layercc":
        import layercc.compiler
        import layercc.frontends.onnx.importer  # noqa: F401
    else:
        from layercc.tools.peers import PEERS

        __import__(PEERS[runtime].package)


def main() -> None:
    runtime, model, inputs, threads = sys.argv[1:]
    arrays = dict(np.load(inputs, allow_pickle=False))
    import_runtime(runtime)
    before = memory("VmRSS")
    start = time.perf_counter()
    run = load(runtime, model, arrays, int(threads))
    run()
    seconds = time.perf_counter() - start
    for _ in range(RUNS):
        run()
    print(json.dumps({"seconds": seconds, "peak": memory("VmHWM"), "before": before}))


if __name__ == "__main__":
    main()
