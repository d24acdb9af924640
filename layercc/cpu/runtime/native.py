"""Native code for kernels: from memory, from the cache on disk, or compiled now.

Only compiling imports Numba.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field

from ir.diagnostics import UnsupportedError
from layercc.cpu.executor import EXECUTOR_KEYS
from layercc.cpu.families import family_of
from layercc.cpu.isa import Isa, host_isa
from layercc.cpu.runtime.kernel_cache import entry_name
from layercc.cpu.runtime.loading import load_object
from layercc.kernels.cache import CompiledKernel, KernelCache, open_cache
from layercc.kernels.declaration import KernelKey, Signature
from layercc.kernels.functions import described, users_functions
from layercc.kernels.store import KernelStore, Progress
from layercc.runtime.threads import Executor, provide_executor

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedKernel:
    """A kernel in memory: ``void (*address)(int64_t task, const int64_t *words)``.

    The code stays in memory while this object, or ``code_owner``, is referenced. ``compiled`` has
    the object code, for artifacts and shared libraries.
    """

    compiled: CompiledKernel
    address: int
    code_owner: object = field(repr=False)

    @property
    def key(self) -> KernelKey:
        return self.compiled.key

    @property
    def signature(self) -> Signature:
        return self.compiled.signature


def compile_kernel(key: KernelKey, isa: Isa) -> CompiledKernel:
    """Compile ``key`` for ``isa`` in this process; imports Numba."""
    from layercc.cpu.numba_target import compile_to_object

    family = family_of(key)
    symbol = symbol_of(key)
    log.debug("compiling %s", key)
    try:
        body = family.body(key, isa)
        signature = family.signature(body)
        code = compile_to_object(
            body,
            family.parameters(body),
            symbol,
            isa,
            noalias=family.noalias,
            abi=family.abi,
            unroll=family.unroll,
        )
    except Exception as error:
        error.add_note(f"while building the kernel {key} for {isa.name}")
        if users := users_functions(key.params):
            named = ", ".join(described(name) for name in dict.fromkeys(users))
            raise UnsupportedError(f"a kernel of {named} does not compile: {error}") from error
        raise
    return CompiledKernel(key, signature, symbol, code)


def symbol_of(key: KernelKey) -> str:
    """The name of the C function of ``key``: readable, and unlike any other kernel's."""
    digest = hashlib.sha256(repr(key).encode()).hexdigest()
    return f"layercc_{key.family}_{digest[:16]}"


class Kernels(KernelStore):
    """The kernels of a process for one instruction set. Safe to use from several threads."""

    def __init__(self, cache: KernelCache | None, isa: Isa) -> None:
        super().__init__(cache)
        self.isa = isa
        self._loaded: dict[KernelKey, LoadedKernel] = {}
        self._reset_locks()

    def _reset_locks(self) -> None:
        self._lock = threading.Lock()
        self._key_locks: dict[KernelKey, threading.Lock] = {}

    def get(self, key: KernelKey) -> LoadedKernel:
        """The kernel ``key``, ready to call; compiled if no earlier process did."""
        return self._loaded.get(key) or self.prepare([key])[key]

    def prepare(
        self, keys: Iterable[KernelKey], progress: Progress | None = None
    ) -> dict[KernelKey, LoadedKernel]:
        """All of ``keys``, ready to call; missing ones are compiled, by other processes first.

        ``progress(key, done, total)`` is called after each kernel that had to be compiled.
        """
        wanted = list(dict.fromkeys(keys))
        missing = [key for key in wanted if key not in self._loaded and self.find(key) is None]
        self.ensure(missing, self._load, progress)
        return {key: self._load(key) for key in wanted}

    def entry_name(self, key: KernelKey) -> str | None:
        return entry_name(key, self.isa)

    def compile_here(self, key: KernelKey) -> CompiledKernel:
        return compile_kernel(key, self.isa)

    def compile_elsewhere(
        self, keys: Sequence[KernelKey], report: Callable[[KernelKey], None]
    ) -> None:
        from layercc.kernels.compile_pool import compile_in_processes

        compile_in_processes(
            keys,
            lambda key: family_of(key).module,
            "layercc.cpu.runtime.compile_worker",
            {"isa": asdict(self.isa)},
            report,
        )

    def _load(self, key: KernelKey) -> LoadedKernel:
        with self._lock_of(key):
            if key not in self._loaded:
                compiled = self.compile(key)
                self._loaded[key] = LoadedKernel(
                    compiled, *load_object(compiled.code, compiled.symbol)
                )
            return self._loaded[key]

    def _lock_of(self, key: KernelKey) -> threading.Lock:
        with self._lock:
            return self._key_locks.setdefault(key, threading.Lock())


_defaults: dict[Isa, Kernels] = {}
_defaults_lock = threading.Lock()


def default_kernels(isa: Isa) -> Kernels:
    """The process's kernels for ``isa``, with the cache that the environment asked for at first
    use."""
    with _defaults_lock:
        if isa not in _defaults:
            known = next(iter(_defaults.values()), None)
            _defaults[isa] = Kernels(open_cache() if known is None else known.cache, isa)
        return _defaults[isa]


def _default_executor() -> Executor:
    """The executor's code for this machine, whatever instruction set models are for."""
    kernels = default_kernels(host_isa())
    walk, attend = (kernels.get(key) for key in EXECUTOR_KEYS)
    return Executor(walk.address, attend.address, (walk, attend))


provide_executor(_default_executor)


def _after_fork_in_child() -> None:
    # Another thread of the parent may have held any of these.
    global _defaults_lock
    _defaults_lock = threading.Lock()
    for kernels in _defaults.values():
        kernels._reset_locks()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
