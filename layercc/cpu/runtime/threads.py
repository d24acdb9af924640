"""The thread pool: runs tables of kernel calls on one thread or several.

Workers are daemon threads that enter native code (``layercc.cpu.executor.attend``) and stay there
until the interpreter exits. There is one pool a process; it grows to what a run asks for. A run
that finds the pool at work for another thread runs alone, on its caller's thread.
"""

from __future__ import annotations

import atexit
import ctypes
import logging
import os
import threading
from collections.abc import Callable

from layercc.cpu import executor
from layercc.cpu.isa import host_isa
from layercc.cpu.runtime.native import default_kernels

log = logging.getLogger(__name__)

_SPINS_BEFORE_SLEEP = 4000  # pauses; 50 to 150 microseconds
_ALIGNMENT = 128
_EXIT_PATIENCE_SECONDS = 1.0

# These functions release the GIL.
_WALK_TYPE = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_ATTEND_TYPE = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)

_lock = threading.Lock()
_walk: Callable[[int, int, int, int], None]
_attend: Callable[[int, int], None]
_control = 0  # the address of the control block
_size = 0  # threads the pool was last grown to, its caller included; 0: nothing is loaded
_workers: list[threading.Thread] = []


def run_table(table: int, n_calls: int, threads: int) -> None:
    """Run the ``n_calls`` calls of the table at address ``table`` on up to ``threads`` threads.

    The table, the argument words and all they point to must stay alive and unchanged until this
    returns. The GIL is released meanwhile.
    """
    if threads > _size:
        _grow(threads)
    _walk(_control, table, n_calls, threads)


def _grow(threads: int) -> None:
    global _size, _walk, _attend, _control
    with _lock:
        if _size == 0:
            kernels = default_kernels(host_isa())
            walk = kernels.get(executor.walk_table.key())
            _keep(walk)
            _walk = _WALK_TYPE(walk.address)
            _control = _new_control()
        if threads > 1 and not _workers:
            attend = default_kernels(host_isa()).get(executor.attend.key())
            _keep(attend)
            _attend = _ATTEND_TYPE(attend.address)
        for index in range(len(_workers) + 1, threads):
            worker = threading.Thread(
                target=_attend, args=(_control, index), name=f"layercc-{index}", daemon=True
            )
            try:
                worker.start()
            except RuntimeError as error:  # no more threads to be had, or the interpreter exits
                log.warning("layercc runs on %d of %d threads: %s", index, threads, error)
                break
            _workers.append(worker)
        _size = max(_size, threads)


def _keep(owner: object) -> None:
    """Never free the memory of ``owner``: a worker may outlive this module."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(owner))


def _new_control() -> int:
    """Zeroed memory for a control block."""
    size = executor.CONTROL_WORDS * 8
    memory = ctypes.create_string_buffer(size + _ALIGNMENT)
    _keep(memory)
    address = -(-ctypes.addressof(memory) // _ALIGNMENT) * _ALIGNMENT
    words = (ctypes.c_int64 * executor.CONTROL_WORDS).from_address(address)
    words[executor.SPIN] = _SPINS_BEFORE_SLEEP
    return address


def _shut_down() -> None:
    """Let the workers return before the interpreter goes. Later runs are the caller's alone."""
    if not _workers:
        return
    _attend(_control, 0)
    for worker in _workers:
        worker.join(_EXIT_PATIENCE_SECONDS)


def _after_fork_in_child() -> None:
    """The child has none of its parent's threads: start anew, with a control block of its own."""
    global _size, _lock
    _lock = threading.Lock()
    _size = 0
    _workers.clear()


atexit.register(_shut_down)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
