"""Running a script of checks under each instruction set that this machine has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from layercc.cpu.isa import ENVIRONMENT_VARIABLE, choose_isa, cpu_flags


def isas_of_this_machine() -> list[str]:
    """The names that LAYERCC_ISA may have here."""
    names = []
    for name in ("avx512", "avx2", "portable", "neon"):
        try:
            choose_isa(cpu_flags(), "aarch64" if "asimd" in cpu_flags() else "x86_64", name)
        except ValueError:
            continue
        names.append(name)
    return names


def check_under(isa: str, script: str) -> None:
    """Runs a script of this folder, which is to end with `checked under ISA`."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name(script))],
        env={**os.environ, ENVIRONMENT_VARIABLE: isa, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == f"checked under {isa}", done.stderr
