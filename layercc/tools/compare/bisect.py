"""Where layercc itself is at fault: its passes, then its kernels, then its plan of the whole."""

from __future__ import annotations

import warnings

import numpy as np

from ir.diagnostics import LayerccError
from ir.dims import Dim, may_equal
from layercc.compiler import compile
from layercc.options import Options
from layercc.passes.infrastructure import watching
from layercc.tools.compare.comparison import Comparison
from layercc.tools.compare.exact import Arrays
from layercc.tools.compare.extract import extract
from layercc.tools.compare.kernels import NodesAlone
from layercc.tools.compare.rewrites import Chain, PassRun, chains, first_fault
from layercc.tools.compare.run import Run
from layercc.tools.compare.sides import Compiled, Side, Source
from layercc.tools.compare.whole import Whole


def bisect(result: Comparison, side: Side, inputs: dict[str, np.ndarray], memory: int) -> bool:
    """Adds to a comparison what is wrong with how layercc compiles a model; whether anything is."""
    options = side.compiled
    assert options is not None
    scope: dict[str, np.ndarray] = dict(inputs)
    followed = chains(_passes(side, inputs, options))
    finals: list[tuple[Chain, Arrays]] = []
    rewrites = 0
    for chain in followed:
        if any(name not in scope for name in chain.first.input_names):
            result.steps.append(
                f"passes on {chain.first.name!r} ({len(chain.first.nodes)} nodes) not followed: a "
                "body of control flow, or behind one"
            )
            continue
        given = {name: scope[name] for name in chain.first.input_names}
        if not all(_fits(value.shape, given[value.name].shape) for value in chain.first.inputs):
            continue  # for inputs of other dims
        fault, values = first_fault(chain, given, memory)
        if fault is not None:
            result.verdict, result.said = "pass", str(fault)
            result.found = fault.to_dict()
            return True
        rewrites += len(chain.changes())
        scope = {**values, **scope}
        finals.append((chain, {**values, **given}))
    result.steps.append(f"passes: {rewrites} changes of the graph, none of what it computes")
    for chain, values in _distinct(finals):
        if any(n not in values for node in chain.last.nodes for n in node.outputs if n):
            result.steps.append("kernels: not looked at, the values take more than --memory")
            continue
        alone = NodesAlone(chain.last, values, options, memory)
        faulty = next(alone.faults(), None)
        if faulty is not None:
            result.verdict, result.said = "kernel", str(faulty)
            result.found = faulty.to_dict()
            return True
        result.steps.append(f"kernels: {len(alone.checked)} nodes compiled alone, none departs")
        try:
            found = Whole(alone).fault()
        except LayerccError:
            result.steps.append("plan: none runs the graph whole, it is in sections")
            continue
        if found is not None:
            result.verdict = "plan"
            result.said, result.found = found
            return True
        result.steps.append("plan: threads and memory plan make no difference")
    return False


def _passes(side: Side, inputs: Arrays, options: Options) -> list[PassRun]:
    """The passes that run when a model is compiled for some inputs."""
    steps: list[PassRun] = []
    with warnings.catch_warnings(), watching(lambda *step: steps.append(PassRun(*step))):
        warnings.simplefilter("ignore", RuntimeWarning)
        model = compile(
            side.graph,
            example_inputs=dict(inputs),
            target=options.target,
            precision=options.precision,
            threads=options.threads,
        )
        model.run(dict(inputs))
    return steps


def _fits(declared: tuple[Dim, ...], shape: tuple[int, ...]) -> bool:
    return len(declared) == len(shape) and all(map(may_equal, declared, shape))


def _distinct(finals: list[tuple[Chain, Arrays]]) -> list[tuple[Chain, Arrays]]:
    """The graphs that are planned: of those that passes have gone on with, the last."""
    last: dict[tuple[str, ...], tuple[Chain, Arrays]] = {}
    for chain, values in finals:
        last[(chain.last.name, *chain.last.output_names)] = chain, values
    return list(last.values())


def look_inside(run: Run, given: Arrays) -> None:
    """Looks for the fault inside layercc: in the models as they are; then in the layer that
    departs, alone, on the values `given`; or in the first model with its inner values as outputs,
    as they were compared."""
    result = run.result
    if result.verdict == "whole":
        result.steps.append(result.said)
    for side, inputs in ((run.left, run.inputs), (run.right, run.other_inputs)):
        if side.compiled is None:
            continue
        if run.right.compiled is not None:
            result.steps.append(f"{side.label}:")
        if bisect(result, side, inputs, run.memory):
            return
        if side is run.right:
            continue
        if result.culprit is not None:
            result.steps.append(f"then {result.culprit.pair.node} alone:")
            names, values = [result.culprit.pair.left], given
        elif result.verdict == "grows":
            result.steps.append("then with inner values as outputs:")
            names, values = [layer.pair.left for layer in result.layers], run.inputs
        else:
            continue
        part, ports = extract(side.graph, values, names)
        arrays = {port: values[name] for name, port in ports.items()}
        if bisect(result, Compiled(Source(part), side.compiled), arrays, run.memory):
            return
