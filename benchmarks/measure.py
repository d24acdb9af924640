"""How far results are off, and what fresh processes take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np


def error(outputs: list[np.ndarray], reference: list[np.ndarray]) -> float:
    """max|a - b| / max|b|, the largest over the outputs; NaN anywhere gives infinity."""
    worst = 0.0
    for found, wanted in zip(outputs, reference, strict=True):
        gap = np.max(np.abs(found.astype(np.float64) - wanted), initial=0.0)
        scale = np.max(np.abs(wanted), initial=0.0) or 1.0
        worst = max(worst, float("inf") if np.isnan(gap) else float(gap / scale))
    return worst


def in_subprocess(runtime: str, model: Path, inputs: Path, threads: int) -> dict[str, Any]:
    """Cold and warm seconds to the first result, and peak memory, each in a fresh process.

    Cold: nothing in layercc's kernel cache. Runtimes without a cache are run once.
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


def _worker(runtime: str, model: Path, inputs: Path, threads: int, cache: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.worker", runtime]
    command += [str(model), str(inputs), str(threads)]
    done = subprocess.run(
        command,
        env={**os.environ, "LAYERCC_CACHE_DIR": cache},
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    if done.returncode:
        raise RuntimeError(f"{runtime} on {model.name}: {done.stderr.strip().splitlines()[-1:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
