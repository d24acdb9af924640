"""Measuring several runtimes side by side."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

ROUND_SECONDS = 0.15
PAUSE_SECONDS = 0.02
MIN_ROUNDS = 7


def rounds(runners: Mapping[str, Callable[[], object]], seconds: float) -> dict[str, list[float]]:
    """The median time of a call, of each runner in each round.

    Runners take turns, in alternating order, until each has had `seconds` and `MIN_ROUNDS` rounds;
    a pause before each turn lets the threads of the one before go to sleep.
    """
    medians: dict[str, list[float]] = {name: [] for name in runners}
    spent = dict.fromkeys(runners, 0.0)
    count = 0
    while count < MIN_ROUNDS or min(spent.values()) < seconds:
        for name in list(runners)[:: 1 if count % 2 else -1]:
            time.sleep(PAUSE_SECONDS)
            runners[name]()  # wakes threads and warms caches
            calls: list[float] = []
            while not calls or sum(calls) < ROUND_SECONDS:
                start = time.perf_counter()
                runners[name]()
                calls.append(time.perf_counter() - start)
            medians[name].append(float(np.median(calls)))
            spent[name] += sum(calls)
        count += 1
    return medians


def ratio(times: list[float], own: list[float]) -> float:
    """The median of the rounds' ratios: a drift of the machine's speed meets both sides alike."""
    return float(np.median(np.divide(times, own)))


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
