"""Compiles and runs ONNX files whose paths come on standard input; prints what became of each, as
JSON lines.

Runs in a process of its own, with its memory limited: what one file does cannot hide behind
another, and nothing can take the test run down.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import traceback
from pathlib import Path

import numpy as np

from ir.diagnostics import LayerccError
from ir.graph import Graph
from ir.inference import Inference, infer
from ir.interpreter import interpret
from layercc import compile
from layercc.frontends.onnx import from_onnx

#: Address space that the files may take beyond what the imports took.
ALLOWED_BYTES = 1 << 30
#: Models whose values take at most this are run as well.
RUN_BYTES = 1 << 24
#: Largest difference between compiled and interpreted outputs, by the size of floats.
TOLERANCES = {4: 1e-4, 8: 1e-9}
TOLERANCE_OF_SMALL_FLOATS = 0.03


def main() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ALLOWED_BYTES,) * 2)
    for line in sys.stdin:
        start = time.process_time()  # not that of a clock: other tests may run beside this
        outcome, message = outcome_of(line.strip())
        seconds = time.process_time() - start
        print(json.dumps([line.strip(), outcome, message[:300], seconds]), flush=True)


def outcome_of(path: str) -> tuple[str, str]:
    """What became of a file, and why.

    `refused` with a LayerccError; `read`, but too large to run; `interpreted`, but refused by the
    compiler; `ran` compiled; `wrong` for outputs that are not what they should be; `crashed`.
    """
    try:
        graph = from_onnx(path)
        found = infer(graph)
        found.raise_for_errors(path)
        if not is_small(graph, found):
            compile(graph)
            return "read", ""
        rng = np.random.default_rng(0)
        inputs = {
            value.name: rng.standard_normal(value.shape).astype(value.dtype.value)  # type: ignore[arg-type]
            for value in graph.inputs
        }
        expected = interpret(graph, inputs)
        for name, array in expected.items():
            if array.shape != found.types[name].shape:
                return "wrong", f"{name}: inferred {found.types[name]}, computed {array.shape}"
        try:
            outputs = compile(graph, threads=1).run(inputs)
        except LayerccError as error:
            return "interpreted", f"{type(error).__name__}: {error}"
        return next(
            (
                ("wrong", f"{name}: {largest} off")
                for name, array in outputs.items()
                if (largest := difference(array, expected[name])) > tolerance(array)
            ),
            ("ran", ""),
        )
    except LayerccError as error:
        return "refused", f"{type(error).__name__}: {error}"
    except BaseException as error:  # everything else is what this worker looks for
        where = traceback.extract_tb(error.__traceback__)[-1]
        return "crashed", f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})"


def tolerance(array: np.ndarray) -> float:
    if array.dtype.kind in "biu":
        return 0
    return TOLERANCES.get(array.dtype.itemsize, TOLERANCE_OF_SMALL_FLOATS)


def difference(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference, as a share of the largest finite element; inf for other shapes,
    types, or places of NaN and infinity."""
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return float("inf")
    finite = np.isfinite(wanted.astype(np.float64))
    if not np.array_equal(found[~finite], wanted[~finite], equal_nan=True):
        return float("inf")
    error = np.abs(found[finite].astype(np.float64) - wanted[finite].astype(np.float64))
    scale = np.abs(wanted[finite].astype(np.float64)).max(initial=1e-30)
    return float(error.max(initial=0) / scale)


def is_small(graph: Graph, found: Inference) -> bool:
    if any(node.op in ("Loop", "Scan") for node in graph.nodes):
        return False  # may rightly run for as long as it says
    return all(kind.is_static for kind in found.types.values()) and (
        sum(kind.nbytes for kind in found.types.values()) <= RUN_BYTES  # type: ignore[operator, misc]
    )


if __name__ == "__main__":
    main()
