"""All that the page shows, as JSON data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ir.checking import check
from ir.defaults import bind_defaults
from ir.diagnostics import Diagnostic, LayerccError
from ir.dims import DimLike
from ir.graph import Graph, Node, Value
from ir.inference import infer
from ir.report import Report
from ir.types import format_shape
from ir.units import amount
from layercc.passes import run_passes
from layercc.tools.report.graph_data import Constants, GraphData, graph_data
from layercc.tools.report.links import became


def page_data(
    graph: Graph,
    inputs: Mapping[str, Sequence[DimLike]] | None = None,
    profile: Mapping[str, Any] | None = None,
    missing: str = "",
) -> tuple[dict[str, Any], Report]:
    """The data of the page, and what `ir.check` found, which is part of it.

    `inputs`: dims to check and optimize with, as `ir.check` takes them. `profile`: what
    `Profile.to_dict` gives; without one, `missing` says why.
    """
    report = check(graph, inputs)
    bound = bind_defaults(graph, inputs or {})
    given = {name: report.types[name] for name in bound.input_names if name in report.types}
    bound.inputs = [Value(v.name, given.get(v.name, v.type)) for v in bound.inputs]
    constants = Constants()
    before = graph_data(bound, infer(bound), constants)
    after, why = _after_passes(bound, report, constants)
    links: list[list[int]] = []
    if after is not None:
        for node, later in zip(bound.nodes, became(bound, after.graph), strict=True):
            number = before.numbers[id(node)]
            links += [[number, after.numbers[id(each)]] for each in later]
    data = {
        "name": graph.name,
        "before": before.to_dict(),
        "after": after.to_dict() if after else None,
        "after_missing": why,
        "links": links,
        "problems": [_problem(found, report, before) for found in report.diagnostics],
        "summary": _summary(report),
        "profile": {**profile, "events": _joined(profile.get("events", ()))} if profile else None,
        "profile_missing": "" if profile else missing or "no profile was taken",
        "calls": _nodes_of_calls(profile, before, after),
    }
    return data, report


def _after_passes(
    graph: Graph, report: Report, constants: Constants
) -> tuple[GraphData | None, str]:
    if report.errors:
        return None, "The model has errors; passes run on graphs that fit together."
    try:
        optimized = run_passes(graph)
    except LayerccError as error:
        return None, f"Passes need the types of all values. {error}"
    return graph_data(optimized, infer(optimized), constants), ""


def _summary(report: Report) -> list[list[str]]:
    sums = report.totals
    rows = [
        ["nodes", str(len(report.graph.nodes))],
        ["parameters", f"{amount(sums.parameters)} ({amount(sums.parameter_bytes, 'B')})"],
        ["work", amount(sums.flops, "FLOP")],
        ["activations", amount(sums.activation_bytes, "B")],
    ]
    if sums.peak_activation_bytes is not None:
        rows.append(["alive at once", amount(sums.peak_activation_bytes, "B")])
    return rows


def _problem(found: Diagnostic, report: Report, before: GraphData) -> dict[str, Any]:
    """A diagnostic, the node that it marks, what the node reads, and the way of shapes to it."""
    node = _node_of(found, before)
    trace = report.traces.get(found.node)
    message, advice = found.message, ""
    if trace and trace.advice and message.endswith(trace.advice):
        message, advice = message[: -len(trace.advice)].rstrip(), trace.advice
    steps = trace.steps if trace else ()
    return {
        "severity": found.severity,
        "code": found.code,
        "node": -1 if node is None else before.numbers[id(node)],
        "name": found.node,
        "op": found.op,
        "source": str(found.source) if found.source else "",
        "message": message,
        "advice": advice,
        "reads": [
            [name, str(report.types[name])]
            for name in (node.inputs if node else ())
            if name in report.types
        ],
        "way": [
            [
                step.name,
                step.op or "input",
                format_shape(step.type.shape),
                format_shape(step.fitting.shape)
                if step.fitting and step.fitting.shape != step.type.shape
                else "",
            ]
            for step in steps
        ],
    }


def _node_of(found: Diagnostic, before: GraphData) -> Node | None:
    pending = [before.graph]
    while pending:
        graph = pending.pop()
        for node in graph.nodes:
            if (node.name, node.op) == (found.node, found.op) and id(node) in before.numbers:
                return node
            pending.extend(node.subgraphs())
    return None


def _joined(events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Events of a profile, those of one call that follow each other on a thread as one: a call may
    have thousands of tasks."""
    last: dict[int, dict[str, Any]] = {}
    found = []
    for event in sorted(events, key=lambda event: event["start"]):
        before = last.get(event["thread"])
        if before and before["call"] == event["call"]:
            before["end"] = max(before["end"], event["end"])
            continue
        new = {name: event[name] for name in ("call", "thread", "start", "end")}
        last[event["thread"]] = new
        found.append(new)
    return found


def _nodes_of_calls(
    profile: Mapping[str, Any] | None, before: GraphData, after: GraphData | None
) -> list[list[int]]:
    """For each call of a profile, the number of its node before and after passes; -1 for none.

    Before, it is the first that is known of the nodes that the call computes (its `sources`).
    """

    def numbers(data: GraphData | None) -> dict[str, int]:
        if data is None:
            return {}
        return {node.name: data.numbers[id(node)] for node in reversed(data.graph.nodes)}

    own, optimized = numbers(before), numbers(after)
    found = []
    for call in (profile or {}).get("calls", ()):
        names = [*call.get("sources", ()), call["node"], call["layer"]]
        known = [own[name] for name in names if name in own]
        found.append([known[0] if known else -1, optimized.get(call["node"], -1)])
    return found
