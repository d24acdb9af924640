"""Tries things out in a process of its own: `python -m layercc.tools.doctor.worker WHAT THREADS`.

Wrong code, or an instruction that the processor does not have, ends this process and not the one
that asks. What it found is the last line that it prints, JSON.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any


def check(threads: int) -> dict[str, Any]:
    """Compiles a small model and compares it with the reference, on one thread and on several.

    `seconds`: of compiling and of the first run. `error`: the largest relative one (of the largest
    value). `same`: whether one thread and several gave the same to the bit. `result`: its begin.
    """
    import numpy as np

    import layercc as lc

    model = lc.Sequential(
        [
            lc.Input((16, 16, 3)),
            lc.Conv2D(8, 3, activation="relu"),
            lc.Flatten(),
            lc.Dense(10, activation="softmax"),
        ]
    )
    x = np.random.default_rng(0).standard_normal((5, 16, 16, 3)).astype(np.float32)
    expected = next(iter(lc.interpret(model, {model.input_names[0]: x}).values()))
    begun = time.perf_counter()
    one = np.asarray(lc.compile(model, threads=1)(x))
    seconds = time.perf_counter() - begun
    several = np.asarray(lc.compile(model, threads=threads)(x))
    error = float(np.abs(one - expected).max() / np.abs(expected).max())
    return {
        "seconds": seconds,
        "error": error,
        "same": one.tobytes() == several.tobytes(),
        "result": one.tobytes().hex()[:64],
        "threads": threads,
    }


def limits(threads: int) -> dict[str, Any]:
    """Measures the machine on so many threads, whatever is in the cache."""
    from layercc.cpu.isa import host_isa
    from layercc.cpu.runtime.measured_limits import measured_limits

    return measured_limits(host_isa(), threads, again=True).to_dict()


def main() -> None:
    """Runs what the command line asks for."""
    work = {"check": check, "limits": limits}[sys.argv[1]]
    print(json.dumps(work(int(sys.argv[2]))))


if __name__ == "__main__":
    main()
