"""What a comparison comes to: which layer departs, by whose fault; or what the outputs say."""

from __future__ import annotations

from layercc.tools.compare.conditioning import explained_by_rounding
from layercc.tools.compare.difference import Difference, compare_arrays
from layercc.tools.compare.exact import Arrays, evaluate
from layercc.tools.compare.extract import extract
from layercc.tools.compare.layers import Layer
from layercc.tools.compare.run import Run
from layercc.tools.compare.tolerance import tolerance


def judge(run: Run, given: Arrays) -> None:
    """Sets the verdict, and says it. `given`: values from which both sides have computed the layer
    that departs, by their names in the first model."""
    result = run.result
    outputs_depart = [name for name, each in result.outputs.items() if each.departs]
    if result.culprit is not None:
        result.verdict = "layer"
        result.said = _said_of(run, result.culprit, given)
        if not outputs_depart:
            result.said += "\nThe outputs are within their tolerance all the same."
    elif outputs_depart:
        _judge_outputs(run, outputs_depart)
    elif any(layer.accumulated and layer.accumulated.departs for layer in result.layers):
        _judge_inner(run)
    if result.weights and result.same:
        result.verdict = "weights"
        several = len(result.weights) > 1
        differ = f"{len(result.weights)} weights differ" if several else "one weight differs"
        result.said = f"{differ} (see above); no layer departs by it on these inputs"
    elif not result.said:
        compared = sum(layer.local is not None for layer in result.layers)
        result.said = f"no layer departs: {compared} compared, {_worst(run)}"
        if compared < len(result.layers):
            others = len(result.layers) - compared
            result.said += f"; {others} could not be compared (see the notes in the table)"


def _worst(run: Run) -> str:
    """How near a layer comes to its tolerance."""
    shares = [
        (layer.local.error / layer.local.tolerance, layer)
        for layer in run.result.layers
        if layer.local is not None and layer.local.tolerance and not layer.note
    ]
    share, layer = max(shares, key=lambda pair: pair[0], default=(0.0, None))
    if layer is None or not share:
        return "all equal to the bit"
    return f"the worst local error is {share:.0%} of its tolerance, at {layer.pair.node}"


def _said_of(run: Run, layer: Layer, given: Arrays) -> str:
    """What is said of the layer that departs."""
    node, local = layer.pair.node, layer.local
    assert local is not None
    shape = run.types.types.get(layer.pair.left)
    lines = [f"the first layer that departs is {node}: value {layer.pair.left!r} {shape}"]
    if node.source:
        lines.append(f"  from {node.source}")
    lines.append(f"  from the same inputs: {local}")
    if layer.accumulated is not None:
        lines.append(f"  accumulated to there: {_errors(layer.accumulated)}")
    after = run.result.layers[-1].accumulated
    if after is not None:
        lines.append(f"  accumulated to the last layer: {_errors(after)}")
    same_graph = run.left.graph is run.right.graph
    if same_graph and not (run.left.exact or run.right.exact):
        lines += _against_exact(run, layer, given)
    if not same_graph:
        lines += _explained_by_weights(run, layer, given)
    if run.left.compiled is not None and same_graph and not run.passes:
        lines.append("  `--passes` tells whether a pass, a kernel or an algorithm is at fault")
    return "\n".join(lines)


def _errors(found: Difference) -> str:
    return f"error {found.error:.1e}, norm {found.norm:.1e}"


def _against_exact(run: Run, layer: Layer, given: Arrays) -> list[str]:
    """Which of two sides is at fault, by float64."""
    name, bound = layer.pair.left, tolerance(run.bounds.local[layer.pair.left])
    part, ports = extract(run.left.graph, given, [name])
    truth = evaluate(part, {p: given[n] for n, p in ports.items()}, exact=True)[name]
    lines = []
    for side in (run.left, run.right):
        made = side.evaluate(given, [name])[name]
        found = compare_arrays(made, truth, bound, dtype=made.dtype)
        lines.append(_beside_exact(side.label, found))
    return lines


def _outputs_against_exact(run: Run, names: list[str]) -> list[str]:
    """Whose outputs are at fault, by float64, where both sides run the same graph."""
    if run.left.graph is not run.right.graph or run.left.exact or run.right.exact:
        return []
    truth = evaluate(run.left.graph, run.inputs, exact=True)
    lines = []
    for side in (run.left, run.right):
        made = side.run(run.inputs)
        found = [run.output_difference(name, made[name], truth[name], True) for name in names]
        lines.append(_beside_exact(side.label, max(found, key=lambda each: each.error)))
    return lines


def _beside_exact(label: str, found: Difference) -> str:
    verdict = "departs from float64" if found.departs else "agrees with float64"
    return f"  {label} {verdict}: error {found.error:.1e}"


def _explained_by_weights(run: Run, layer: Layer, given: Arrays) -> list[str]:
    """Whether the layer would be the same with the other model's weights."""
    name, other = layer.pair.left, layer.pair.right
    ports = {**run.alignment.inputs, **{p.left: p.right for p in run.alignment.pairs}}
    mine, reads = extract(run.left.graph, given, [name])
    used = [each for each in run.result.weights if each.name in mine.constants]
    inside = [each for each in run.result.weights if layer.pair.node in each.users]
    if not used and inside:
        names = ", ".join(repr(each.name) for each in inside)
        return [f"  weights in its body differ: {names}"]
    if not used:
        return ["  its weights are the same: op, attributes or structure differ"]
    theirs = {ports[n]: array for n, array in given.items() if n in ports}
    held, read = extract(run.right.graph, theirs, [other])
    mine.constants |= {each.name: run.right.graph.constants[each.other] for each in used}
    a = evaluate(mine, {p: given[n] for n, p in reads.items()}, exact=True)[name]
    b = evaluate(held, {p: theirs[n] for n, p in read.items()}, exact=True)[other]
    found = compare_arrays(a, b, tolerance(run.bounds.local[name]))
    names = ", ".join(repr(each.name) for each in used)
    if found.departs:
        return [f"  the weights {names} differ, which does not explain it all: {found}"]
    return [f"  that is explained by the weights: {names}"]


def _judge_outputs(run: Run, names: list[str]) -> None:
    """No layer departs by itself, yet outputs do."""
    result = run.result
    grown = next((x for x in result.layers if x.accumulated and x.accumulated.departs), None)
    shown = ", ".join(map(repr, names))
    where = ""
    if grown is not None:
        where = f"; the first value to do so is that of {grown.pair.node}: {grown.accumulated}"
    if grown is None and (run.left.compiled or run.right.compiled):
        result.verdict = "whole"
        result.said = (
            f"output {shown} departs, but not where the model is cut between layers: what "
            "fuses or joins them is at fault"
        )
    elif all(_is_rounding(run, name, result.outputs[name]) for name in names):
        result.verdict = "amplified"
        result.said = _amplifies(shown) + where
    else:
        result.verdict = "grows"
        result.said = (
            f"output {shown} departs, by more than if inputs and weights were rounded, though "
            f"no layer departs by itself{where}"
        )
        result.said = "\n".join([result.said, *_outputs_against_exact(run, names)])


def judge_unexplained(run: Run) -> None:
    """Outputs depart in the uncut model only, and nothing was found in layercc: by rounding, or by
    what other runtimes do."""
    result = run.result
    names = [name for name, each in result.outputs.items() if each.departs]
    if all(_is_rounding(run, name, result.outputs[name]) for name in names):
        result.verdict = "amplified"
        result.said = _amplifies(", ".join(map(repr, names)))
    else:
        result.said = "\n".join([result.said, *_outputs_against_exact(run, names)])


def _amplifies(outputs: str) -> str:
    return (
        f"no layer departs. Output {outputs} is outside of its tolerance, by no more than if "
        "inputs and weights were rounded once: the model amplifies errors"
    )


def _judge_inner(run: Run) -> None:
    """No layer departs by itself, and no output; yet values in between have drifted apart."""
    result = run.result
    grown = next(x for x in result.layers if x.accumulated and x.accumulated.departs)
    found = grown.accumulated
    assert found is not None
    said = f"{grown.pair.node} is the first whose accumulated error is out of bounds: {found}"
    if _is_rounding(run, grown.pair.left, found):
        result.verdict = "amplified"
        result.said = (
            f"no layer departs, nor does an output. {said}; it is no more than if inputs and "
            "weights were rounded once"
        )
    else:
        result.verdict = "grows"
        result.said = (
            f"{said}; that is more than if inputs and weights were rounded, though no layer "
            "departs from the same inputs"
        )


def _is_rounding(run: Run, name: str, found: Difference) -> bool:
    return explained_by_rounding(run.left.graph, name, run.inputs, found)
