"""The comparison itself: inputs, outputs as they are, layers, the verdict, and a look inside."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ir.diagnostics import InputError
from layercc.options import Options, Precision
from layercc.tools.arrays import make_inputs
from layercc.tools.compare.bisect import look_inside
from layercc.tools.compare.comparison import Comparison
from layercc.tools.compare.run import Run
from layercc.tools.compare.sides import Source, side_of
from layercc.tools.compare.verdict import judge, judge_unexplained
from layercc.tools.compare.weights import differing_weights

#: Bytes of values that are held at a time, by default.
MEMORY = 1 << 30


def compare(
    model: Any,
    other: Any = None,
    *,
    on: str = "layercc",
    against: str | None = None,
    inputs: Mapping[str, np.ndarray] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    seed: int = 0,
    precision: Precision = "highest",
    threads: int | None = None,
    passes: bool = False,
    memory: int = MEMORY,
) -> Comparison:
    """Runs two models, or one on two runtimes, on the same inputs, and names the first layer that
    departs.

    `model`, and `other` if there are two: a graph, or a path to an ONNX file. `on` runs the first,
    `against` the second (by default: for one model the interpreter in float64, for two the same as
    `on`): `layercc`, `reference` (the NumPy interpreter), `reference64` (the same in float64),
    `onnxruntime`, `openvino`, or layercc with other settings: `precision=medium`, `isa=avx2`,
    `threads=1`. `inputs` are arrays by name of the first model's inputs; others are random by
    `seed`, of the dims that `shapes` gives. `passes`: look for the fault in layercc's own passes,
    kernels and memory plan as well; that is done anyway where a fault shows in the uncut model
    only. `memory`: bytes of values that are held at a time.

    Raises InputError where inputs or models do not fit together, and what compiling and running
    raise.
    """
    options = Options(precision=precision, threads=threads)
    first = as_source(model)
    second = first if other is None else as_source(other)
    against = against or ("reference64" if other is None else on)
    left, right = side_of(first, on, options), side_of(second, against, options)
    if other is not None:
        left.label = f"{_named(first, 'the first model')} on {left.label}"
        right.label = f"{_named(second, 'the second')} on {right.label}"
    if passes and left.compiled is None:
        raise InputError(f"passes are those of layercc; {on} has none that can be looked into")
    run = Run(left, right, make_inputs(first.graph, inputs, shapes, seed), memory, passes)
    result, alignment = run.result, run.alignment
    result.notes += alignment.notes
    result.alone = [str(n) for n in alignment.alone[0]], [str(n) for n in alignment.alone[1]]
    if first is not second:
        result.weights = differing_weights(first.graph, second.graph, alignment.pairs)
    result.outputs = run.outputs()
    given: Mapping[str, np.ndarray] = {}
    for layer, values in run.layers():
        result.layers.append(layer)
        if layer.departs and result.culprit is None:
            result.culprit, given = layer, values
    judge(run, given)
    found = (passes or result.verdict == "whole") and look_inside(run, given)
    if result.verdict == "whole" and not found:
        judge_unexplained(run)
    return result


def _named(source: Source, otherwise: str) -> str:
    return otherwise if source.path is None else source.path.name


def as_source(model: Any) -> Source:
    """A model in any form that `lc.compile` takes. Raises as that does."""
    from layercc.compiler import as_graph, checked

    if isinstance(model, str | os.PathLike):
        from layercc.tools.options import load_model

        path = Path(model)
        graph = load_model(path)
        onnx = path if path.is_file() and path.suffix != ".graph" else None
    else:
        graph, onnx = as_graph(model), None
    known = checked(graph)
    graph = graph.copy()
    graph.types = known.types
    return Source(graph, onnx)
