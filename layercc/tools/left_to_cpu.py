"""Jobs, ops and element types that have kernels on the CPU and none on a GPU: the CPU runs them.

`docs/cuda.md` prints these tables. Tests hold them to what CUDA's emitters and its code generation
refuse.
"""

from __future__ import annotations

import importlib
import pkgutil

from ir.dtypes import DTYPE_SETS, DType
from ir.registry import Op
from layercc import jobs
from layercc.jobs.job import Job
from layercc.tools.left_to_numpy import Left

#: Jobs without an emitter, and why.
LEFT_JOBS: dict[str, str] = {"CallArrays": "functions that users wrote for a CPU"}

#: Ops that have no kernels, or none at some element types, and why.
LEFT_TO_CPU: tuple[Left, ...] = ()


def left_to_cpu(op: type[Op], variable: str) -> set[DType]:
    """Element types of an op, for a type variable of its definition or the name of a set of types,
    at which a GPU has no kernels though the CPU has."""
    allowed = DTYPE_SETS[op.constraints.get(variable, variable)]
    return {
        dtype
        for row in LEFT_TO_CPU
        if op.name in row.ops and row.variable in ("", variable)
        for dtype in (allowed if row.types is None else allowed & row.types)
    }


def all_jobs() -> list[type[Job]]:
    """The classes of jobs that there are instances of, by the files of `layercc/jobs`."""
    modules = [
        importlib.import_module(f"{jobs.__name__}.{found.name}")
        for found in pkgutil.iter_modules(jobs.__path__)
    ]
    return [
        item
        for module in modules
        for item in vars(module).values()
        if isinstance(item, type)
        and issubclass(item, Job)
        and item.__module__ == module.__name__
        and not item.__subclasses__()
    ]
