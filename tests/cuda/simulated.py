"""Kernels in numba.cuda's simulator.

    NUMBA_ENABLE_CUDASIM=1 python -m tests.cuda.simulated FILE

The bodies run as the Python functions that they are, each thread of a block a thread of Python.
What they use beyond numba.cuda's words is a handful of functions, which are written in Python
here: pointers, 31-bit division, wide accesses, a choice. Helpers under `layercc.kernels.helper.jit`
are plain functions.

FILE is a pickle of launches, `(key, module of the family, blocks, arguments by name)`, of which
arrays stand for pointers; they are written back when all have run.
"""

from __future__ import annotations

import importlib
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np


class Pointer:
    """A pointer into an array; strict about what is outside of it."""

    def __init__(self, array: Any, start: int = 0) -> None:
        self.array, self.start = array, start

    def _at(self, index: Any) -> int:
        place = self.start + int(index)
        assert 0 <= place < len(self.array), f"element {place} of {len(self.array)}"
        return place

    def __getitem__(self, index: Any) -> Any:
        return self.array[self._at(index)]

    def __setitem__(self, index: Any, value: Any) -> None:
        self.array[self._at(index)] = value


def store_vector(pointer: Pointer, values: Any) -> None:
    for index, value in enumerate(values):
        pointer[index] = value


#: What kernels use of these modules.
MODULES = (
    "layercc.cuda.intrinsics", "layercc.kernels.intrinsics", "layercc.kernels.math_intrinsics",
)  # fmt: skip
WORDS = {
    "quotient": lambda a, b: a // b,
    "rest": lambda a, b: a % b,
    "load_vector": lambda pointer, count: tuple(pointer[i] for i in range(count)),
    "store_vector": store_vector,
    "first_of": Pointer,
    "select": lambda condition, yes, no: yes if condition else no,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "offset": lambda pointer, n: Pointer(pointer.array, pointer.start + int(n)),
}


class CudaInKernels:
    """Stands for `numba.cuda` in kernels, wherever they have it from: the running one's."""

    def __getattr__(self, name: str) -> Any:
        from numba.cuda.simulator import kernel

        return getattr(kernel._get_kernel_context(), name)


def prepare() -> Any:
    """Puts all that in place; gives the simulator's `jit`."""
    import numba
    from numba import cuda

    from layercc.kernels.helper import Helper

    assert hasattr(cuda, "simulator") or "simulator" in cuda.jit.__module__, "no simulator"
    jit = cuda.jit
    for module in map(importlib.import_module, MODULES):
        for name in WORDS.keys() & vars(module).keys():
            setattr(module, name, WORDS[name])  # others are not usable in Python, Numba says
    Helper.__call__ = lambda self, *args: self.py_func(*args)  # type: ignore[method-assign]
    numba.cuda = CudaInKernels()
    return jit


def run(jit: Any, key: Any, module: str, blocks: int, given: dict[str, Any]) -> None:
    """One launch; arrays are written where they lie."""
    importlib.import_module(module)
    from layercc.cuda.family import gpu_family_of

    family = gpu_family_of(key)
    body = family.body(key, None)
    words = [given.get(item.name, 0) for item in family.signature(body)]
    words = [Pointer(word) if isinstance(word, np.ndarray) else word for word in words]
    jit(body)[blocks, family.block(key).threads](*words)


def main(path: Path) -> None:
    launches = pickle.loads(path.read_bytes())
    jit = prepare()
    with np.errstate(all="ignore"):
        for launch in launches:
            run(jit, *launch)
    path.write_bytes(pickle.dumps(launches))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
