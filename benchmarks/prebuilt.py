"""Kernels of a GPU made here and run elsewhere: on a machine with a card, but no compiler.

A folder of them is not a kernel cache, whose names hang on versions of Numba, LLVM and ptxas, which
that machine need not have. `sources` in its manifest is a digest of the project's own code: kernels
of other sources are refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from layercc.cuda import backend, store
from layercc.kernels.cache import SUFFIX, CompiledKernel
from layercc.kernels.declaration import KernelKey

_ROOT = Path(__file__).parents[1]
_MANIFEST = "manifest.json"
#: Elements of a reference that are kept.
_MOST_ELEMENTS = 1 << 16


def sources() -> str:
    """A digest of all files that kernels are made of."""
    digest = hashlib.sha256()
    for folder in ("ir", "layercc/kernels", "layercc/cuda"):
        for path in sorted((_ROOT / folder).rglob("*.py")):
            digest.update(path.relative_to(_ROOT).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


class Folder:
    """A folder of kernels and references."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def _kernel(self, key: KernelKey) -> Path:
        return self.path / (hashlib.sha256(repr(key).encode()).hexdigest() + SUFFIX)

    def begin(self, architecture: str, assembler: str) -> None:
        """Makes the folder, or goes on in one of the same sources."""
        self.path.mkdir(parents=True, exist_ok=True)
        for old in [*self.path.glob(f"*{SUFFIX}"), *self.path.glob("*.npz")]:
            if self.fault():
                old.unlink()
        made = {"sources": sources(), "architecture": architecture, "assembler": assembler}
        (self.path / _MANIFEST).write_text(json.dumps(made, indent=1))

    def fault(self) -> str:
        """Why nothing in it can be used; empty if it can."""
        try:
            manifest = json.loads((self.path / _MANIFEST).read_text())
        except OSError as error:
            return f"no prebuilt kernels: {error}"
        return "" if manifest["sources"] == sources() else "prebuilt of other sources"

    def put(self, kernels: Iterable[CompiledKernel]) -> None:
        for kernel in kernels:
            self._kernel(kernel.key).write_bytes(kernel.to_bytes())

    def get(self, key: KernelKey) -> CompiledKernel | None:
        path = self._kernel(key)
        return CompiledKernel.from_bytes(path.read_bytes()) if path.exists() else None

    def use(self) -> None:
        """Has models of this process take kernels from here first."""
        folder = self

        class Kernels(store.GpuKernels):
            def find(self, key: KernelKey) -> CompiledKernel | None:
                if key not in self._known and (found := folder.get(key)) is not None:
                    self._known[key] = found
                return super().find(key)

        backend.GpuKernels = Kernels  # type: ignore[misc]

    def reference(self, name: str, outputs: list[np.ndarray] | None = None) -> Any:
        """Outputs in double precision, thinned out; kept if they are given. None if there are
        none."""
        path = self.path / f"{name}.npz"
        if outputs is not None:
            np.savez_compressed(path, *map(thinned, outputs))
        if not path.exists():
            return None
        with np.load(path) as found:
            return [found[f"arr_{index}"] for index in range(len(found.files))]


def thinned(array: np.ndarray) -> np.ndarray:
    """Elements spread over an array, all of them if they are few."""
    flat = array.reshape(-1)
    return flat[:: max(-(-flat.size // _MOST_ELEMENTS), 1)]
