"""Kernels as code: from memory, from the cache on disk, or compiled now.

Only compiling imports Numba.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence

from layercc.kernels.cache import CompiledKernel, KernelCache
from layercc.kernels.declaration import KernelKey

Progress = Callable[[KernelKey, int, int], None]


class KernelStore(ABC):
    """The kernels of a process for one machine. Safe to use from several threads."""

    def __init__(self, cache: KernelCache | None) -> None:
        self.cache = cache
        self._known: dict[KernelKey, CompiledKernel] = {}

    @abstractmethod
    def entry_name(self, key: KernelKey) -> str | None:
        """Under what name the cache keeps a kernel; None for one that it may not."""

    @abstractmethod
    def compile_here(self, key: KernelKey) -> CompiledKernel:
        """The kernel, compiled by this very process; imports Numba."""

    @abstractmethod
    def compile_elsewhere(
        self, keys: Sequence[KernelKey], report: Callable[[KernelKey], None]
    ) -> None:
        """Has other processes compile into the cache what they can; `report` after each kernel."""

    def find(self, key: KernelKey) -> CompiledKernel | None:
        """A kernel as compiled before, by this process or another."""
        compiled = self._known.get(key)
        if compiled is None and self.cache is not None:
            name = self.entry_name(key)
            compiled = self.cache.load(name) if name is not None else None
            if compiled is not None:
                self._known[key] = compiled
        return compiled

    def compile(self, key: KernelKey) -> CompiledKernel:
        """The code of a kernel: as it was found, or compiled by this process."""
        compiled = self.find(key)
        if compiled is None:
            compiled = self.compile_here(key)
            name = self.entry_name(key) if self.cache is not None else None
            if self.cache is not None and name is not None:
                self.cache.store(name, compiled)
            self._known[key] = compiled
        return compiled

    def ensure(
        self,
        missing: Iterable[KernelKey],
        make: Callable[[KernelKey], object],
        progress: Progress | None = None,
    ) -> None:
        """Compiles kernels, by other processes first; what these leave is for `make`, in this one.

        ``progress(key, done, total)`` is called after each of them.
        """
        wanted = list(missing)
        done = itertools.count(1)

        def report(key: KernelKey) -> None:
            if progress is not None:
                progress(key, next(done), len(wanted))

        if self.cache is not None and wanted:
            self.compile_elsewhere(wanted, report)
        for key in wanted:
            if self.find(key) is None:
                make(key)
                report(key)
