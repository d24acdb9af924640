"""Where layercc itself is at fault: its passes, then its kernels, then its plan of the whole."""

from __future__ import annotations

import warnings

import numpy as np

from ir.diagnostics import LayerccError
from ir.dims import Dim, may_equal
from layercc.compiler import compile
from layercc.cpu.target import CpuTarget
from layercc.options import Options
from layercc.passes.infrastructure import watching
from layercc.tools.compare.comparison import Comparison
from layercc.tools.compare.exact import Arrays
from layercc.tools.compare.extract import extract
from layercc.tools.compare.kernels import NodesAlone
from layercc.tools.compare.layers import is_random
from layercc.tools.compare.rewrites import Chain, PassRun, chains, first_fault
from layercc.tools.compare.run import Run
from layercc.tools.compare.sides import Compiled, Side, Source
from layercc.tools.compare.whole import Whole

#: Passes that were followed, arrays for the inputs of their graphs, and the values of the last.
Final = tuple[Chain, Arrays, Arrays]


def bisect(result: Comparison, side: Side, inputs: dict[str, np.ndarray], memory: int) -> bool:
    """Adds to a comparison what is wrong with how layercc compiles a model; whether anything is."""
    options = side.compiled
    assert options is not None
    scope: dict[str, np.ndarray] = dict(inputs)
    followed = chains(_passes(side, inputs, options))
    finals: list[Final] = []
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
        if any(map(is_random, chain.first.nodes)):
            result.steps.append(f"passes on {chain.first.name!r} not followed: it is random")
            continue
        try:
            fault, values = first_fault(chain, given, memory)
        except LayerccError as error:
            result.steps.append(f"passes on {chain.first.name!r} not followed: {error}")
            continue
        if fault is not None:
            result.verdict, result.said = "pass", str(fault)
            result.found = fault.to_dict()
            return True
        rewrites += len(chain.changes())
        scope = {**values, **scope}
        finals.append((chain, given, values))
    result.steps.append(f"passes: {rewrites} changes of the graph, none of what it computes")
    if not isinstance(options.target, CpuTarget):
        return False
    return any(
        _wrong(result, NodesAlone(chain.last, given, values, options, memory))
        for chain, given, values in _distinct(finals)
    )


def _wrong(result: Comparison, alone: NodesAlone) -> bool:
    """Adds what is wrong with the kernels or the plan of a graph; whether anything is."""
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
        return False
    if found is None:
        result.steps.append("plan: threads and memory plan make no difference")
        return False
    result.verdict = "plan"
    result.said, result.found = found
    return True


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


def _distinct(finals: list[Final]) -> list[Final]:
    """The graphs that are planned: of those that passes have gone on with, the last."""
    last = {(final[0].last.name, *final[0].last.output_names): final for final in finals}
    return list(last.values())


def look_inside(run: Run, given: Arrays) -> bool:
    """Looks for the fault inside layercc, and says whether it was found: in the models as they are;
    then in the layer that departs, alone, on the values `given`; or in the first model with its
    inner values as outputs, as they were compared."""
    result = run.result
    said, same = result.said, result.same
    for side, inputs in ((run.left, run.inputs), (run.right, run.other_inputs)):
        if side.compiled is None:
            continue
        if run.right.compiled is not None:
            result.steps.append(f"{side.label}:")
        found = bisect(result, side, inputs, run.memory)
        if not found and side is run.left:
            found = _look_closer(run, given)
        if found:
            if not same:
                result.steps.insert(0, said)
            return True
    return False


def _look_closer(run: Run, given: Arrays) -> bool:
    """Looks into what was compared, where that is not the first model as it is."""
    result = run.result
    if result.culprit is not None:
        result.steps.append(f"then {result.culprit.pair.node} alone:")
        names, values = [result.culprit.pair.left], given
    elif result.verdict == "grows":
        result.steps.append("then with inner values as outputs:")
        names, values = [layer.pair.left for layer in result.layers], run.inputs
    else:
        return False
    part, ports = extract(run.left.graph, values, names)
    arrays = {port: values[name] for name, port in ports.items()}
    assert run.left.compiled is not None
    return bisect(result, Compiled(Source(part), run.left.compiled), arrays, run.memory)
