"""The thread pool: runs tables of kernel calls on one thread or several.

Workers are daemon threads that enter native code (`layercc.cpu.executor`) and stay there until the
interpreter exits. There is one pool a process; it grows to what a run asks for. A run that finds
the pool at work for another thread runs alone, on its caller's thread.
"""

from __future__ import annotations

import atexit
import ctypes
import logging
import os
import threading
from collections.abc import Callable
from typing import NamedTuple

from layercc.runtime.control import CONTROL_WORDS, SPIN

log = logging.getLogger(__name__)

_SPINS_BEFORE_SLEEP = 4000  # pauses; 50 to 150 microseconds
_ALIGNMENT = 128
_EXIT_PATIENCE_SECONDS = 1.0

# These functions release the GIL.
_WALK_TYPE = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_ATTEND_TYPE = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)


class Executor(NamedTuple):
    """The addresses of the executor's functions, and what keeps their code in memory."""

    walk_table: int
    attend: int
    owner: object


_lock = threading.Lock()
_executor: Callable[[], Executor] | None = None
_walk: Callable[[int, int, int, int], None]
_attend: Callable[[int, int], None]
_control = 0  # the address of the control block
_size = 0  # threads the pool was last grown to, its caller included; 0: nothing is loaded
_workers: list[threading.Thread] = []


def provide_executor(executor: Callable[[], Executor]) -> None:
    """Says where the executor's code comes from. The first to say so is asked, once, at the first
    run: any will do."""
    global _executor
    if _executor is None:
        _executor = executor


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
            if _executor is None:
                raise RuntimeError("no executor was provided")
            code = _executor()
            _keep(code.owner)
            _walk, _attend = _WALK_TYPE(code.walk_table), _ATTEND_TYPE(code.attend)
            _control = _new_control()
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
    size = CONTROL_WORDS * 8
    memory = ctypes.create_string_buffer(size + _ALIGNMENT)
    _keep(memory)
    address = -(-ctypes.addressof(memory) // _ALIGNMENT) * _ALIGNMENT
    words = (ctypes.c_int64 * CONTROL_WORDS).from_address(address)
    words[SPIN] = _SPINS_BEFORE_SLEEP
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
