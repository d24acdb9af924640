"""The result of `check`, and how it reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from textwrap import TextWrapper
from typing import Any

from ir.diagnostics import Diagnostic, ShapeError
from ir.dims import Dim
from ir.graph import Graph, Node
from ir.text import print_node
from ir.totals import LayerRow, Totals, type_dict
from ir.trace import Trace, TraceStep
from ir.types import TensorType, format_shape
from ir.units import align, amount

#: Tensors of a chain of shapes that are shown before and after the ones left out.
_CHAIN_ENDS = 6
_WRAP = TextWrapper(100, initial_indent="  ", subsequent_indent="  ", break_long_words=False)


@dataclass
class Report:
    """What `check` found: every problem, and the layer table.

    `types` holds the type of every tensor that has one under the input shapes asked for.
    `traces` explains errors by the name of their node.
    """

    graph: Graph
    diagnostics: list[Diagnostic]
    types: dict[str, TensorType]
    layers: list[LayerRow]
    totals: Totals
    traces: dict[str, Trace] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.errors

    @property
    def errors(self) -> list[Diagnostic]:
        return [found for found in self.diagnostics if found.severity == "error"]

    @property
    def warnings(self) -> list[Diagnostic]:
        return [found for found in self.diagnostics if found.severity == "warning"]

    @property
    def notes(self) -> list[Diagnostic]:
        """What can be told only when the model runs. It does not make it wrong."""
        return [found for found in self.diagnostics if found.severity == "note"]

    @property
    def shapes(self) -> dict[str, tuple[Dim, ...]]:
        """Tensor name → dims: integers, or expressions over the model's own symbols."""
        return {name: kind.shape for name, kind in self.types.items()}

    def raise_for_errors(self) -> None:
        """Raises ShapeError with every error, if there is any."""
        if self.errors:
            text = "\n".join(self._explained(self.errors))
            count = f"{len(self.errors)} error{'s' * (len(self.errors) > 1)}"
            raise ShapeError(f"{self.graph.name} has {count}\n\n{text}", self.errors)

    def to_dict(self) -> dict[str, Any]:
        """All of the report as JSON data."""
        return {
            "graph": self.graph.name,
            "ok": self.ok,
            "diagnostics": [
                {
                    "severity": found.severity,
                    "code": found.code,
                    "node": found.node,
                    "op": found.op,
                    "message": found.message,
                    "source": str(found.source) if found.source else None,
                }
                for found in self.diagnostics
            ],
            "traces": {node: found.to_dict() for node, found in self.traces.items()},
            "tensors": {name: type_dict(kind) for name, kind in self.types.items()},
            "layers": [layer.to_dict() for layer in self.layers],
            "totals": self.totals.to_dict(),
        }

    def __str__(self) -> str:
        parts = [*self._table(), "", *self._summary()]
        if self.diagnostics:
            parts += ["", *self._explained(self.diagnostics)]
        return "\n".join(parts)

    # --- how it reads

    def _table(self) -> Iterator[str]:
        inputs, outputs = (
            [f"{value.name}: {self.types.get(value.name, value.type)}" for value in group]
            for group in (self.graph.inputs, self.graph.outputs)
        )
        required = len(inputs) - len(self.graph.defaults)
        inputs[required:] = [f"{text} = default" for text in inputs[required:]]
        signature = f"{', '.join(inputs)} -> {', '.join(outputs)}"
        yield f"{self.graph.name}: {signature}"
        yield ""
        rows = [["layer", "op", "output", "parameters", "work", "activations"]]
        for layer in self.layers:
            made = ", ".join("?" if kind is None else str(kind) for kind in layer.outputs)
            rows.append(
                [
                    layer.name,
                    layer.op,
                    made,
                    amount(layer.parameters) if layer.parameters else "",
                    "" if layer.flops == 0 else amount(layer.flops, "FLOP"),
                    amount(layer.activation_bytes, "B"),
                ]
            )
        lines = align(rows, right={3, 4, 5})
        yield lines[0]
        yield "─" * max(map(len, lines))
        yield from lines[1:]

    def _summary(self) -> list[str]:
        sums = self.totals
        rows = [
            ["parameters", f"{amount(sums.parameters)} ({amount(sums.parameter_bytes, 'B')})"],
            ["work", amount(sums.flops, "FLOP")],
            ["activations", amount(sums.activation_bytes, "B")],
        ]
        if sums.peak_activation_bytes is not None:
            rows[-1][1] += f", at most {amount(sums.peak_activation_bytes, 'B')} alive at once"
        return align(rows)

    def _explained(self, shown: Iterable[Diagnostic]) -> Iterator[str]:
        nodes = {(node.name, node.op): node for node in reversed(self.graph.nodes)}
        for index, found in enumerate(shown):
            if index:
                yield ""
            yield from self._pointing(found, nodes.get((found.node, found.op)))

    def _pointing(self, found: Diagnostic, node: Node | None) -> Iterator[str]:
        """The problem below the node it is about, with carets under the op."""
        title = f"{found.severity}[{found.code}]"
        message = [part for line in found.message.split("\n") for part in _WRAP.wrap(line)]
        if node is None:
            yield f"{title} in {found.node}" if found.node else title
            yield from message
            return
        yield f"{title} in {node.op} {node.name!r}" + (f" ({found.source})" if found.source else "")
        line = print_node(node).split("\n")[0]
        yield f"  {line}"
        yield " " * (line.index(" = ") + 5) + "^" * len(node.op)
        yield from message
        seen = [[name, str(self.types[name])] for name in node.inputs if name in self.types]
        if found.severity == "error" and seen:
            yield "  it reads"
            yield from (f"    {line}" for line in align(seen))
        if found.severity == "error" and len(self._steps(node)) > 1:
            yield "  the way there"
            yield from (f"    {line}" for line in _chain(self._steps(node)))

    def _steps(self, node: Node) -> tuple[TraceStep, ...]:
        return self.traces[node.name].steps if node.name in self.traces else ()


def _chain(steps: tuple[TraceStep, ...]) -> list[str]:
    """A line for each tensor whose shape differs from the one before it; the middle left out."""
    kept = [
        step
        for index, step in enumerate(steps)
        if index == 0 or step.type.shape != steps[index - 1].type.shape
    ]
    rows = []
    for step in kept:
        fitting = ""
        if step.fitting and step.fitting.shape != step.type.shape:
            fitting = f"would be {format_shape(step.fitting.shape)}"
        rows.append([step.name, step.op or "input", format_shape(step.type.shape), fitting])
    lines = align(rows)
    left_out = len(lines) - 2 * _CHAIN_ENDS
    if left_out > 1:
        lines[_CHAIN_ENDS:-_CHAIN_ENDS] = [f"... {left_out} more"]
    return lines
