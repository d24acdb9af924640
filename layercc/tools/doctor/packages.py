"""Installed packages: what layercc needs, what it can use, and variables that are heeded."""

from __future__ import annotations

import os
import re
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

from layercc.tools.doctor.registry import Machine, fact, unbroken

#: Packages that are not needed, and what for they can be had.
OPTIONAL = {
    "onnxruntime": "to compare with: layercc bench",
    "openvino": "to compare with: layercc bench",
    "torch": "models of PyTorch, by its export",
    "keras": "models of Keras, by its export",
    "matplotlib": "pictures in reports",
    "numba-cuda": "NVIDIA GPUs",
    "cuda-bindings": "NVIDIA GPUs",
}

#: What variables that may matter start with, or are called.
_PREFIXES = ("LAYERCC_", "NUMBA_", "OMP_", "KMP_", "OPENBLAS_", "MKL_", "GLIBC_", "MALLOC_")
_NAMES = (
    "CUDA_VISIBLE_DEVICES",
    "KERAS_BACKEND",
    "LD_PRELOAD",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONHASHSEED",
    "PYTHONMALLOC",
    "PYTHONNOUSERSITE",
    "PYTHONOPTIMIZE",
    "PYTHONPATH",
    "PYTHONPYCACHEPREFIX",
    "XDG_CACHE_HOME",
)

_REQUIREMENT = re.compile(r"^([\w.-]+)\s*(?:\[[^\]]*\])?\s*\(?([^;)]*)\)?\s*(;.*)?$")
_CLAUSE = re.compile(r"^(>=|<=|==|!=|~=|>|<)\s*([\w.*+-]+)$")


def _show_needed(found: dict[str, dict[str, Any]]) -> str:
    return unbroken(
        f"{name} {each['version'] or 'missing'}"
        + ("" if each["fits"] is not False else f" ({', '.join(each['wanted'])} wanted)")
        for name, each in found.items()
    )


@fact("packages", "needed", show=_show_needed)
def needed(machine: Machine) -> dict[str, dict[str, Any]]:
    """Of each package that layercc needs: its version, what is wanted by layercc and by the others,
    and whether that fits (None where that cannot be told)."""
    wanted: dict[str, list[str]] = {}
    for line in _own_requirements():
        name, clause = parse_requirement(line)
        if name:
            wanted[name] = [clause] if clause else []
    for package in list(wanted):
        for line in _requirements(package):
            name, clause = parse_requirement(line)
            if name in wanted and clause:
                wanted[name].append(clause)
    found = {}
    for name, clauses in wanted.items():
        version = version_of(name)
        fits = [False] if version is None else [fits_all(version, each) for each in clauses]
        verdict = False if False in fits else None if None in fits else True
        found[name] = {"version": version, "wanted": clauses, "fits": verdict}
    return found


def _register_optional(name: str, purpose: str) -> None:
    missing = f"not installed: pip install {name} ({purpose})"

    @fact("optional packages", name, none=missing)
    def optional(machine: Machine) -> str | None:
        return version_of(name)


for _name, _purpose in OPTIONAL.items():
    _register_optional(_name, _purpose)


@fact("environment", "variables")
def variables(machine: Machine) -> dict[str, str]:
    """Those that are set and that layercc, or what it is built on, may heed."""
    return {
        name: value
        for name, value in sorted(os.environ.items())
        if name in _NAMES or name.startswith(_PREFIXES)
    }


def version_of(package: str) -> str | None:
    """The version of an installed package, or None; it is not imported."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _requirements(package: str) -> list[str]:
    try:
        return metadata.requires(package) or []
    except metadata.PackageNotFoundError:
        return []


def _own_requirements() -> list[str]:
    """As installed, or as written where layercc runs from its source."""
    found = _requirements("layercc")
    if found:
        return found
    project = Path(__file__).parents[3] / "pyproject.toml"
    return list(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"])


def parse_requirement(line: str) -> tuple[str, str]:
    """Name and clauses of a requirement such as `numpy<2.6,>=1.22`; the name is empty for one that
    goes with an extra, or with another system."""
    match = _REQUIREMENT.match(line)
    if match is None or match[3]:
        return "", ""
    return match[1], match[2].strip()


def fits_all(version: str, clauses: str) -> bool | None:
    """Whether a version fits `>=1.22,<2.6`; None where a clause is written otherwise."""
    found = [_fits(version, clause.strip()) for clause in clauses.split(",")]
    return False if False in found else None if None in found else True


def _fits(version: str, clause: str) -> bool | None:
    match = _CLAUSE.match(clause)
    if match is None or "*" in match[2]:
        return None
    have, want = _release(version), _release(match[2])
    length = max(len(have), len(want))
    have, want = (each + (0,) * (length - len(each)) for each in (have, want))
    if match[1] == "~=":
        kept = match[2].count(".")
        return have >= want and have[:kept] == want[:kept]
    return {
        ">=": have >= want,
        "<=": have <= want,
        "==": have == want,
        "!=": have != want,
        ">": have > want,
        "<": have < want,
    }[match[1]]


def _release(version: str) -> tuple[int, ...]:
    """The numbers of a version, without what marks it as a pre-release or a local build."""
    return tuple(int(part) for part in re.findall(r"(?:^|(?<=\.))\d+", version.split("+")[0]))
