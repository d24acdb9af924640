"""PTX to cubin by ptxas, where there is one; else the driver assembles when it loads.

ptxas is part of the CUDA toolkit and of the wheels nvidia-cuda-nvcc and nvidia-cuda-nvcc-cu12, of
which the second needs no other, and makes what drivers of CUDA 12 and 13 take. `LAYERCC_PTXAS`
names another, or none where it is empty.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from layercc.cuda.architecture import Architecture

VARIABLE = "LAYERCC_PTXAS"
_TOOLKIT = "/usr/local/cuda/bin/ptxas"


class AssemblyError(Exception):
    """ptxas refuses PTX, or gives up."""


@dataclass(frozen=True)
class Assembler:
    """A ptxas; `version` as it tells it, such as 13.0.88."""

    path: str
    version: str


@dataclass(frozen=True)
class Resources:
    """What a thread and a block of a kernel take: registers, bytes of shared memory, and bytes of
    registers that did not fit and go through memory."""

    registers: int
    shared: int
    spilled: int


@functools.cache
def find_assembler() -> Assembler | None:
    """The ptxas of this machine, if there is one that runs."""
    wanted = os.environ.get(VARIABLE)
    candidates = [wanted] if wanted is not None else [shutil.which("ptxas"), _TOOLKIT, *_wheels()]
    for path in candidates:
        if path and os.path.isfile(path) and (version := _version(path)):
            return Assembler(path, version)
    return None


def _wheels() -> list[str]:
    """Where they lay it: nvidia/cu13/bin and nvidia/cuda_nvcc/bin."""
    found = importlib.util.find_spec("nvidia")
    folders = [] if found is None else list(found.submodule_search_locations or [])
    return [str(path) for folder in folders for path in Path(folder).glob("cu*/bin/ptxas")]


def _version(path: str) -> str:
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    match = re.search(r"V(\d[\d.]*)", said.stdout)
    return "" if match is None else match[1]


def assemble(ptx: str, architecture: Architecture, assembler: Assembler) -> tuple[bytes, Resources]:
    """The cubin of a PTX module with one kernel, and what the kernel takes.

    Raises AssemblyError with ptxas's own words where it refuses.
    """
    with tempfile.TemporaryDirectory(prefix="layercc") as folder:
        source, target = Path(folder, "kernel.ptx"), Path(folder, "kernel.cubin")
        source.write_text(ptx, encoding="ascii")
        command = [assembler.path, f"-arch={architecture.name}", "-v", str(source)]
        command += ["-o", str(target)]
        done = subprocess.run(command, capture_output=True, text=True)
        said = done.stdout + done.stderr
        if done.returncode or not target.exists():
            raise AssemblyError(f"{assembler.path} {assembler.version}: {said.strip()}")
        return target.read_bytes(), _resources(said)


def _resources(said: str) -> Resources:
    def number(pattern: str) -> int:
        match = re.search(pattern, said)
        return 0 if match is None else int(match[1])

    spilled = number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads")
    return Resources(number(r"Used (\d+) registers"), number(r"(\d+) bytes smem"), spilled)
