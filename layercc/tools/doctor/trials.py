"""What layercc does here: a small model, compiled and compared, and the machine's limits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from typing import Any

from layercc.tools.doctor.registry import Facts, Machine, NotTold, fact, unbroken

_PATIENCE_SECONDS = 300


class TrialError(NotTold):
    """A process that tried something out failed."""


def run_worker(what: str, threads: int, variables: dict[str, str] | None = None) -> dict[str, Any]:
    """What `layercc.tools.doctor.worker` found. Raises TrialError where it failed."""
    if not sys.executable or getattr(sys, "frozen", False):
        raise TrialError("there is no Python interpreter to run it in")
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    # -P: only what this process imports from, not the working folder ahead of it.
    module = "layercc.tools.doctor.worker"
    command = [sys.executable, "-P", "-m", module, what, str(threads)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE_SECONDS,
            env={**os.environ, "PYTHONPATH": path, **(variables or {})},
        )
    except subprocess.TimeoutExpired:
        raise TrialError(f"it took more than {_PATIENCE_SECONDS} s") from None
    lines = done.stdout.strip().splitlines()
    if done.returncode < 0:
        raise TrialError(f"the process died of {signal.Signals(-done.returncode).name}")
    if done.returncode or not lines:
        told = done.stderr.strip().splitlines()
        raise TrialError(told[-1] if told else f"exit code {done.returncode}")
    try:
        found = json.loads(lines[-1])
    except ValueError:
        raise TrialError(f"the process said {lines[-1]!r}") from None
    assert isinstance(found, dict)
    return found


def _show_check(found: dict[str, Any]) -> str:
    right = "right" if found["right"] else "WRONG"
    threads = f", the same on {found['threads']} threads" if found["threads"] > 1 else ""
    return (
        f"{right} (error {found['error']:.1e}){threads if found['same'] else ', THREADS DIFFER'}; "
        f"{found['cold_seconds']:.2f} s cold, {found['warm_seconds']:.3f} s from the cache"
    )


@fact("check", "a small model", show=_show_check)
def small_model(machine: Machine, facts: Facts) -> dict[str, Any]:
    """Compiled in a process with an empty cache and run in a second one from what the first left;
    both compared with the reference interpreter, and with each other."""
    threads = facts.value("processor", "layercc runs on") or 1
    with tempfile.TemporaryDirectory() as folder:
        variables = {"LAYERCC_CACHE": "1", "LAYERCC_CACHE_DIR": folder}
        cold = run_worker("check", threads, variables)
        left = len(os.listdir(folder))
        warm = run_worker("check", threads, variables)
        compiled = len(os.listdir(folder)) - left
    return {
        "right": max(cold["error"], warm["error"]) < 1e-5,
        "error": max(cold["error"], warm["error"]),
        "same": cold["same"] and warm["same"] and cold["result"] == warm["result"],
        "threads": threads,
        "cold_seconds": cold["seconds"],
        "warm_seconds": warm["seconds"],
        "kept": left > 0 and not compiled,
    }


def _rate(value: float, unit: str) -> str:
    for scale, prefix in ((1e12, "T"), (1e9, "G")):
        if value >= scale:
            return f"{value / scale:.3g} {prefix}{unit}"
    return f"{value / 1e6:.3g} M{unit}"


def _show_limits(found: dict[str, Any]) -> str:
    rates = [f"{name} {_rate(value, 'OP/s')}" for name, value in found["flops"].items()]
    moved = found["bytes_per_second"].items()
    return unbroken(rates + [f"{name} {_rate(value, 'B/s')}" for name, value in moved])


@fact("limits", "on 1 thread", show=_show_limits, none="not measured")
def limits_of_one(machine: Machine) -> dict[str, Any] | None:
    return run_worker("limits", 1) if machine.measure else None


@fact("limits", "on all cores", show=_show_limits, none="not measured")
def limits_of_all(machine: Machine, facts: Facts) -> dict[str, Any] | None:
    threads = facts.value("processor", "layercc runs on") or 1
    return run_worker("limits", threads) if machine.measure and threads > 1 else None
