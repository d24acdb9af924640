"""Reads ONNX files whose paths come on standard input; prints what became of each, as JSON lines.

Runs in a process of its own, with its memory limited: what one file does cannot hide behind
another, and nothing can take the test run down.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

from ir.diagnostics import LayerccError
from ir.graph import Graph
from ir.inference import Inference, infer
from ir.interpreter import interpret
from layercc.frontends.onnx import from_onnx

#: Address space that the files may take beyond what the imports took.
ALLOWED_BYTES = 1 << 30
#: Models whose values take at most this are run as well.
RUN_BYTES = 1 << 24


def main() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ALLOWED_BYTES,) * 2)
    for line in sys.stdin:
        start = time.perf_counter()
        outcome, message = outcome_of(line.strip())
        seconds = time.perf_counter() - start
        print(json.dumps([line.strip(), outcome, message[:300], seconds]), flush=True)


def outcome_of(path: str) -> tuple[str, str]:
    try:
        graph = from_onnx(path)
        found = infer(graph)
        found.raise_for_errors(path)
        if not is_small(graph, found):
            return "read", ""
        rng = np.random.default_rng(0)
        inputs = {
            value.name: rng.standard_normal(value.shape).astype(value.dtype.value)  # type: ignore[arg-type]
            for value in graph.inputs
        }
        for name, array in interpret(graph, inputs).items():
            if array.shape != found.types[name].shape:
                return "wrong", f"{name}: inferred {found.types[name]}, computed {array.shape}"
        return "ran", ""
    except LayerccError as error:
        return "refused", f"{type(error).__name__}: {error}"
    except BaseException as error:  # everything else is what this worker looks for
        return "crashed", f"{type(error).__name__}: {error}"


def is_small(graph: Graph, found: Inference) -> bool:
    if any(node.op in ("Loop", "Scan") for node in graph.nodes):
        return False  # may rightly run for as long as it says
    return all(kind.is_static for kind in found.types.values()) and (
        sum(kind.nbytes for kind in found.types.values()) <= RUN_BYTES  # type: ignore[operator, misc]
    )


if __name__ == "__main__":
    main()
