"""Timing a compiled model, side by side with other runtimes (`layercc.timing`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ir.diagnostics import InputError
from ir.graph import Graph
from ir.units import align
from ir.units import seconds as readable
from layercc.timing import TURN_SECONDS, in_turns
from layercc.tools.arrays import make_inputs
from layercc.tools.peers import PEERS, Runner, installed_peers

__all__ = ["PEERS", "Benchmark", "Timing", "benchmark", "installed_peers"]


@dataclass(frozen=True, slots=True)
class Timing:
    """One runtime's figures. Times are seconds a call.

    `ratio`: over layercc's in the same rounds. `difference`: the largest, over the outputs, of
    max|a - b| / max|b| with layercc's output a and this runtime's b.
    """

    runtime: str
    median: float
    best: float
    p90: float
    calls: int
    ratio: float
    difference: float


@dataclass(frozen=True, slots=True)
class Benchmark:
    """The result of `benchmark`; `str` of it is a table."""

    graph: str
    threads: int
    inputs: dict[str, tuple[int, ...]]
    timings: list[Timing]

    def to_dict(self) -> dict[str, Any]:
        """JSON data; seconds."""
        return {
            "graph": self.graph,
            "threads": self.threads,
            "inputs": {name: list(shape) for name, shape in self.inputs.items()},
            "timings": [asdict(timing) for timing in self.timings],
        }

    def __str__(self) -> str:
        rows = [["runtime", "median", "best", "90 %", "calls", "time ratio", "difference"]]
        for timing in self.timings:
            times = (readable(t) for t in (timing.median, timing.best, timing.p90))
            own = timing is self.timings[0]
            compared = ["", ""] if own else [f"{timing.ratio:.2f}", f"{timing.difference:.1e}"]
            rows.append([timing.runtime, *times, str(timing.calls), *compared])
        lines = align(rows, right=range(1, 7))
        plural = "s" * (self.threads != 1)
        title = f"{self.graph}, {self.threads} thread{plural}"
        return "\n".join([title, "", lines[0], "─" * max(map(len, lines)), *lines[1:]])


def benchmark(
    fn: Any,
    *inputs: Any,
    against: Sequence[str] = (),
    seconds: float = 2.0,
) -> Benchmark:
    """Times a compiled model on the given inputs, in turns with the runtimes named in `against`.

    `inputs`: arrays by position, or one mapping of arrays by name. `seconds` is spent on each
    runtime, in rounds in which all take turns (`layercc.timing`). The others get the same model as
    ONNX, the same arrays and as many threads, and compute in f32.
    Raises ValueError for an unknown runtime, ImportError for one not installed, InputError for
    inputs that do not fit.
    """
    unknown = [name for name in against if name not in PEERS]
    if unknown:
        raise ValueError(f"unknown runtime {unknown[0]!r}; there are {', '.join(PEERS)}")
    if not isinstance(getattr(fn, "graph", None), Graph):
        raise TypeError(f"fn: a compiled model would fit; a {type(fn).__name__} was given")
    arrays = _by_name(fn, inputs)
    names = fn.graph.output_names

    def own() -> list[np.ndarray]:
        made = fn.run(arrays)
        return [made[name] for name in names]

    runners: dict[str, Runner] = {"layercc": own}
    if against:
        from layercc.frontends.onnx import to_onnx
        from layercc.passes.channels_first import channels_first

        # channels first, as ONNX has it: no runtime pays for Transposes between layers
        model = to_onnx(channels_first.run(fn.graph)).SerializeToString()
        for name in against:
            runners[name] = PEERS[name](model, arrays, fn.threads)
    reference = own()
    differences = {
        name: max(map(difference, reference, run()), default=0.0) for name, run in runners.items()
    }
    measured = in_turns(runners, seconds, turn=min(TURN_SECONDS, seconds))
    timings = [
        Timing(
            name,
            times.median,
            min(times.calls),
            float(np.quantile(times.calls, 0.9)),
            len(times.calls),
            times.over(measured["layercc"]),
            differences[name],
        )
        for name, times in measured.items()
    ]
    shapes = {name: array.shape for name, array in arrays.items()}
    return Benchmark(fn.graph.name, fn.threads, shapes, timings)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """max|a - b| / max|b|; infinite where shapes, or the places of NaN and Inf, differ."""
    if a.shape != b.shape:
        return float("inf")
    wide = np.complex128 if "c" in (a.dtype.kind, b.dtype.kind) else np.float64
    x, y = a.astype(wide), b.astype(wide)
    finite = np.isfinite(x) & np.isfinite(y)
    if not np.array_equal(x[~finite], y[~finite], equal_nan=True):
        return float("inf")
    error = float(np.max(np.abs(x[finite] - y[finite]), initial=0.0))
    scale = float(np.max(np.abs(y[finite]), initial=0.0))
    return error / scale if scale else error


def _as_array(name: str, given: Any) -> np.ndarray:
    try:
        return np.asarray(given)
    except Exception as error:  # whatever the conversion of a foreign object raises
        raise InputError(f"input {name!r} does not become an array: {error}") from error


def _by_name(fn: Any, inputs: Sequence[Any]) -> dict[str, np.ndarray]:
    if len(inputs) == 1 and isinstance(inputs[0], Mapping):
        given = dict(inputs[0])
    else:
        given = dict(zip(fn.graph.input_names, inputs, strict=False))
    arrays = {name: _as_array(name, array) for name, array in given.items()}
    optional = fn.graph.defaults
    missing = [n for n in fn.graph.input_names if n not in arrays and n not in optional]
    if missing or len(inputs) > max(len(given), 1):
        raise InputError(
            f"{len(inputs)} arrays given; the inputs are {', '.join(fn.graph.input_names)}"
        )
    return make_inputs(fn.graph, arrays)
