"""What a runtime takes in a fresh process: memory, and the time to a first result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

#: Seconds that a process may take.
_PATIENCE = 1800


def in_processes(runtime: str, model: Path, inputs: Path, threads: int) -> dict[str, float]:
    """Seconds from a model file to the first result, with an empty kernel cache (`cold`) and a
    filled one (`warm`); bytes of memory at the peak (`peak_memory`) and before loading.

    `inputs` is a .npz file. Runtimes without a cache are run once. Raises RuntimeError where the
    process fails.
    """
    with tempfile.TemporaryDirectory() as cache:
        cold = _worker(runtime, model, inputs, threads, cache)
        warm = _worker(runtime, model, inputs, threads, cache) if runtime == "layercc" else cold
    return {
        "cold": cold["seconds"],
        "warm": warm["seconds"],
        "peak_memory": warm["peak"],
        "memory_before_load": warm["before"],
    }


def _worker(runtime: str, model: Path, inputs: Path, threads: int, cache: str) -> dict[str, float]:
    command = [sys.executable, "-m", "layercc.tools.bench.worker", runtime]
    command += [str(model), str(inputs), str(threads)]
    done = subprocess.run(
        command,
        env={**os.environ, "LAYERCC_CACHE_DIR": cache},
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE,
    )
    if done.returncode:
        raise RuntimeError(f"{runtime} on {model.name}: {done.stderr.strip().splitlines()[-1:]}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result
