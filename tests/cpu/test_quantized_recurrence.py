"""The job of a quantised LSTM in the layout that no op has: the batch first."""

from __future__ import annotations

import numpy as np

from ir.dtypes import DType, dtype_of
from layercc.buffers import Buffer, Tensor
from layercc.cpu.programs import program_of
from layercc.cpu.runtime.native import default_kernels
from layercc.cpu.runtime.plan import Plan
from layercc.jobs.quantized_recurrence import QuantizedRecurrence, QuantizedWeights
from layercc.jobs.workload import NodeJob, Port, Workload
from layercc.weights import Weights
from tests.support import chosen_isa

TIME, BATCH, FEATURES, HIDDEN, DIRECTIONS = 5, 3, 7, 11, 2


def constant(array: np.ndarray) -> Tensor:
    return Tensor(Buffer("constant", array.nbytes, array=array), dtype_of(array), array.shape)


def weights(rng: np.random.Generator, depth: int) -> QuantizedWeights:
    shape = (DIRECTIONS, depth, 4 * HIDDEN)
    return QuantizedWeights(
        constant(rng.integers(-128, 128, shape).astype(np.int8)),
        constant(rng.uniform(1e-3, 5e-3, DIRECTIONS).astype(np.float32)),
        constant(np.full(DIRECTIONS, 3, np.int8)),
    )


def run(batch_first: bool) -> list[np.ndarray]:
    """Y, Y_h and Y_c with the batch second."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((TIME, BATCH, FEATURES), np.float32)
    states = [rng.standard_normal((DIRECTIONS, BATCH, HIDDEN), np.float32) for _ in range(2)]
    shapes: list[tuple[int, ...]] = [(TIME, DIRECTIONS, BATCH, HIDDEN)]
    shapes += [(DIRECTIONS, BATCH, HIDDEN)] * 2
    if batch_first:
        x, *states = (np.ascontiguousarray(np.swapaxes(a, 0, 1)) for a in (x, *states))
        shapes = [(BATCH, TIME, DIRECTIONS, HIDDEN)] + [(BATCH, DIRECTIONS, HIDDEN)] * 2
    outputs = [
        Tensor(Buffer("output", int(np.prod(shape)) * 4, slot), DType.f32, shape)
        for slot, shape in enumerate(shapes)
    ]
    gates = [(("f32",), ((name, (0,), (), "f32"),), (1,)) for name in ("sigmoid", "tanh", "tanh")]
    job = QuantizedRecurrence(
        x=Tensor(Buffer("input", x.nbytes, 0), DType.f32, x.shape),
        w=weights(rng, FEATURES),
        r=weights(rng, HIDDEN),
        bias=None,
        lengths=constant(np.array([5, 0, 3], np.int32)),
        initial=(constant(states[0]), constant(states[1])),
        y=outputs[0],
        states=(outputs[1], outputs[2]),
        hidden=HIDDEN,
        direction="bidirectional",
        activations=(tuple(gates),) * DIRECTIONS,
        batch_first=batch_first,
    )
    workload = Workload(
        "lstm",
        [Port("x", x.dtype, x.shape)],
        [Port(f"y{i}", x.dtype, shape) for i, shape in enumerate(shapes)],
        [NodeJob(job, "lstm", "LSTM 'lstm'")],
    )
    isa = chosen_isa()
    program = program_of(workload, Weights(), isa)
    y, *last = Plan(program, default_kernels(isa)).run([x], 1)
    if batch_first:
        y, last = y.transpose(1, 2, 0, 3), [state.swapaxes(0, 1) for state in last]
    return [y, *last]


def test_batch_first() -> None:
    """The same to the bit, wherever samples and steps lie."""
    for found, wanted in zip(run(True), run(False), strict=True):
        np.testing.assert_array_equal(found, wanted)
        assert np.isfinite(wanted).all() and wanted.any()
