"""GPUs, as the driver tells: no package of CUDA is imported."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from typing import Any

from layercc.tools.doctor.registry import Facts, Machine, fact

_PATIENCE_SECONDS = 20
_FIELDS = ("name", "memory.total", "driver_version", "compute_cap")


def _show(found: list[dict[str, str]]) -> str:
    return "; ".join(
        f"{each['name']}, {each['memory.total']}, compute capability {each['compute_cap']}, "
        f"driver {each['driver_version']}"
        for each in found
    )


@fact("GPU", "NVIDIA", show=_show, none="none seen")
def nvidia(machine: Machine) -> list[dict[str, str]] | None:
    """What `nvidia-smi` lists; None where there is no such program."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = [program, f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader"]
    done = subprocess.run(
        query, capture_output=True, text=True, check=False, timeout=_PATIENCE_SECONDS
    )
    if done.returncode:
        raise RuntimeError((done.stdout + done.stderr).strip() or f"exit code {done.returncode}")
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    return [dict(zip(_FIELDS, map(str.strip, line.split(",")), strict=True)) for line in lines]


@fact("GPU", "CUDA that the driver knows", none="no driver")
def driver(machine: Machine, facts: Facts) -> str | None:
    """The newest version of CUDA that the driver's library serves."""
    name = "nvcuda.dll" if machine.system == "Windows" else "libcuda.so.1"
    try:
        library: Any = ctypes.CDLL(name)
    except OSError:
        return None
    version = ctypes.c_int()
    fault = library.cuDriverGetVersion(ctypes.byref(version))
    if fault:
        raise RuntimeError(f"cuDriverGetVersion failed with {fault}")
    return f"{version.value // 1000}.{version.value % 1000 // 10}"
