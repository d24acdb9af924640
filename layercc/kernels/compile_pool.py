"""Compiles kernels in other processes, which leave them in the cache on disk.

That is faster where there are several kernels, and keeps Numba and LLVM, over 100 MB, out of the
process that runs the model. The processes run ``python -m MODULE``, a worker of the target's, not
``multiprocessing``: that would run the user's main script again where it has no ``__main__``
guard. A process that cannot be started or dies costs nothing but time: what it left undone, the
caller compiles.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from layercc.cores import usable_cores
from layercc.kernels.declaration import KernelKey

log = logging.getLogger(__name__)

_WORTH_A_PROCESS = 2  # kernels a process must have, for its start to pay
_MOST_PROCESSES = 8


def compile_in_processes(
    keys: Sequence[KernelKey],
    module_of: Callable[[KernelKey], str],
    worker: str,
    settings: Mapping[str, Any],
    report: Callable[[KernelKey], None],
) -> None:
    """Compile ``keys`` into the cache; ``report(key)`` after each that succeeded.

    The module ``worker`` reads one JSON object a line, ``{"module": …, "key": …, **settings}``,
    imports the module, which defines the key's family, and answers ``{"fault": ""}``, or what went
    wrong. It ends with its input.

    Does nothing where this process has Numba already and more processes would not be faster, nor
    where ``sys.executable`` is not a Python interpreter but the application itself.
    """
    if not sys.executable or getattr(sys, "frozen", False):
        return
    # of those whose module another process can import
    portable = [key for key in keys if module_of(key) != "__main__"]
    count = min(usable_cores(), len(portable) // _WORTH_A_PROCESS, _MOST_PROCESSES)
    if not portable or (count < 2 and "numba" in sys.modules):
        return
    todo: queue.SimpleQueue[KernelKey] = queue.SimpleQueue()
    for key in portable:
        todo.put(key)
    lock = threading.Lock()

    def serve() -> None:
        try:
            _serve(todo, module_of, worker, settings, report, lock)
        except OSError as error:
            log.debug("a compile process failed: %s", error)

    threads = [threading.Thread(target=serve, daemon=True) for _ in range(max(count, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _serve(
    todo: queue.SimpleQueue[KernelKey],
    module_of: Callable[[KernelKey], str],
    worker: str,
    settings: Mapping[str, Any],
    report: Callable[[KernelKey], None],
    lock: threading.Lock,
) -> None:
    """Start a process and give it one key after another."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    with subprocess.Popen(
        [sys.executable, "-m", worker],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        while True:
            try:
                key = todo.get_nowait()
            except queue.Empty:
                break
            request = {"module": module_of(key), "key": key.to_json(), **settings}
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            if not answer:
                raise OSError(f"it ended while compiling {key}")
            fault = json.loads(answer)["fault"]
            if fault:
                log.debug("compiling %s in a process failed: %s", key, fault)
                continue
            with lock:
                report(key)
        process.stdin.close()
