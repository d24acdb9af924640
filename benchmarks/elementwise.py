"""Pointwise ops, reductions and normalizations beside onnxruntime, on about a million elements.

    python -m benchmarks.elementwise                    # every case, one thread
    python -m benchmarks.elementwise Softmax Tanh --threads 2

A line a case: the median time of a call of each, and onnxruntime's over layercc's.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np
from onnx import ModelProto, helper, numpy_helper

import layercc as lc
from layercc.timing import Times, in_turns

OPSET, IR_VERSION = 20, 9
SECONDS = 0.3
SQUARE = (1024, 1024)

#: Op, shapes of its inputs (an array: a constant), attributes.
CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    *((op, [SQUARE], {}) for op in ("Relu", "Sqrt", "Exp", "Tanh", "Sigmoid", "Erf", "Gelu")),
    ("Sin", [SQUARE], {}),
    ("Log", [SQUARE], {}),
    ("Add", [SQUARE, SQUARE], {}),
    ("Mul", [SQUARE, (1024, 1)], {}),
    ("Mul", [(65536, 16), (16,)], {}),
    ("Mul", [(200704, 3), (3,)], {}),
    ("Softmax", [SQUARE], {}),
    ("Softmax", [(8192, 128)], {}),
    ("Softmax", [(12, 197, 197)], {}),
    ("Softmax", [(64, 128, 128)], {"axis": 1}),
    ("LogSoftmax", [SQUARE], {}),
    ("LayerNormalization", [(1, 1024, 768), (768,), (768,)], {}),
    ("InstanceNormalization", [(4, 256, 32, 32), (256,), (256,)], {}),
    *(("ReduceSum", [SQUARE, np.array(axes)], {}) for axes in ([1], [0], [0, 1])),
    *(("ReduceMax", [SQUARE, np.array(axes)], {}) for axes in ([1], [0])),
    ("GlobalAveragePool", [(4, 256, 32, 32)], {}),
    ("ArgMax", [SQUARE], {"axis": 1}),
    ("ArgMax", [SQUARE], {"axis": 0}),
]


def model_of(
    op: str, inputs: list[Any], attributes: dict[str, Any]
) -> tuple[ModelProto, dict[str, np.ndarray]]:
    """A model of one node, and arrays for its inputs."""
    random = np.random.default_rng(0)
    given = {
        f"x{i}": np.abs(random.standard_normal(shape)).astype(np.float32)
        for i, shape in enumerate(inputs)
        if isinstance(shape, tuple)
    }
    constants = {f"x{i}": item for i, item in enumerate(inputs) if not isinstance(item, tuple)}
    result = "i64" if op == "ArgMax" else "f32"
    element = {"f32": 1, "i64": 7}
    graph = helper.make_graph(
        [helper.make_node(op, [f"x{i}" for i in range(len(inputs))], ["y"], **attributes)],
        op,
        [helper.make_tensor_value_info(n, element["f32"], a.shape) for n, a in given.items()],
        [helper.make_tensor_value_info("y", element[result], None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION), given


def measured(threads: int, wanted: set[str]) -> Iterator[tuple[str, list[Any], dict[str, Times]]]:
    """Each case with the times of a call of both runtimes."""
    import onnxruntime

    for op, inputs, attributes in CASES:
        if wanted and op not in wanted:
            continue
        model, given = model_of(op, inputs, attributes)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        compiled = lc.compile(model, threads=threads)
        runners = {
            "layercc": lambda run=compiled, given=given: run.run(given),
            "onnxruntime": lambda run=session, given=given: run.run(None, given),
        }
        yield op, inputs, in_turns(runners, SECONDS)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ops", nargs="*", help="only these ops")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    print(f"{'op':24}{'inputs':34}{'layercc':>12}{'onnxruntime':>13}{'ratio':>8}")
    for op, inputs, times in measured(options.threads, set(options.ops)):
        shapes = " ".join(str(i if isinstance(i, tuple) else i.tolist()) for i in inputs)
        own, other = times["layercc"], times["onnxruntime"]
        figures = f"{own.median * 1e6:9.1f} us{other.median * 1e6:10.1f} us{other.over(own):8.2f}"
        print(f"{op:24}{shapes:34}{figures}")


if __name__ == "__main__":
    main()
