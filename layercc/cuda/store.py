"""GPU kernels of a process: from memory, from the cache on disk, or compiled now."""

from __future__ import annotations

import importlib
import pkgutil
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from layercc.cuda import kernels
from layercc.cuda.architecture import Architecture
from layercc.cuda.codegen.assembler import Assembler
from layercc.cuda.family import GpuKernelFamily, gpu_family_of
from layercc.kernels import cache
from layercc.kernels.cache import CompiledKernel, KernelCache
from layercc.kernels.declaration import KernelKey
from layercc.kernels.store import KernelStore, Progress

#: The source file that makes code.
COMPILER = str(Path(__file__).with_name("codegen") / "compiler.py")


class GpuKernels(KernelStore):
    """Kernels for an architecture, as cubins if there is an assembler."""

    def __init__(
        self, cache: KernelCache | None, architecture: Architecture, assembler: Assembler | None
    ) -> None:
        super().__init__(cache)
        self.architecture = architecture
        self.assembler = assembler

    def get(
        self, keys: Iterable[KernelKey], progress: Progress | None = None
    ) -> dict[KernelKey, CompiledKernel]:
        """All of `keys`; missing ones are compiled, by other processes first.

        `progress(key, done, total)` is called after each kernel that had to be compiled.
        """
        wanted = list(dict.fromkeys(keys))
        with _lock:
            missing = [key for key in wanted if self.find(key) is None]
            self.ensure(missing, self.compile, progress)
            return {key: self.compile(key) for key in wanted}

    def entry_name(self, key: KernelKey) -> str | None:
        by = "none" if self.assembler is None else self.assembler.version
        machine = f"{self.architecture.name} PTX {self.architecture.ptx} ptxas {by}"
        return cache.entry_name(key, _family_of(key), machine, COMPILER)

    def compile_here(self, key: KernelKey) -> CompiledKernel:
        from layercc.cuda.codegen.compiler import compile_kernel

        _family_of(key)
        return compile_kernel(key, self.architecture, self.assembler)

    def compile_elsewhere(
        self, keys: Sequence[KernelKey], report: Callable[[KernelKey], None]
    ) -> None:
        from layercc.kernels.compile_pool import compile_in_processes

        settings = {
            "architecture": self.architecture.name,
            "assembler": None if self.assembler is None else asdict(self.assembler),
        }
        compile_in_processes(
            keys,
            lambda key: _family_of(key).module,
            "layercc.cuda.compile_worker",
            settings,
            report,
        )


def _family_of(key: KernelKey) -> GpuKernelFamily:
    """The family of a key; a process that is only given one imports all of them.

    Raises KeyError where its module was never imported.
    """
    try:
        return gpu_family_of(key)
    except KeyError:
        for module in pkgutil.iter_modules(kernels.__path__):
            importlib.import_module(f"{kernels.__name__}.{module.name}")
        return gpu_family_of(key)


_lock = threading.RLock()
