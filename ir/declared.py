"""Types that a model declares of its values, beside those that inference finds."""

from __future__ import annotations

from collections.abc import Iterator

from ir.diagnostics import Diagnostic
from ir.dims import may_equal
from ir.graph import Graph
from ir.inferred import Inference
from ir.types import TensorType


def contradictions(graph: Graph, found: Inference) -> Iterator[Diagnostic]:
    """What is declared of values and outputs, and differs from what inference `found`.

    Another dtype is an error, another shape a warning, as in onnxruntime, which fails with "Type
    Error" and "falls back to lenient merge": exporters write shapes of the sizes they traced.
    """
    makers = graph.producers()
    claims: dict[str, TensorType] = dict(graph.types)
    claims.update((value.name, value.type) for value in graph.outputs)
    outputs = set(graph.output_names)
    for name, claim in claims.items():
        kind = found.types.get(name)
        if kind is None or claim == kind or _agree(claim, kind):
            continue
        node = makers.get(name)
        same_dtype = claim.dtype is kind.dtype
        yield Diagnostic(
            "declared-shape" if same_dtype else "declared-dtype",
            f"{'output' if name in outputs else 'value'} {name!r} is declared as {claim},"
            f" but is {kind}",
            node.name if node else graph.name,
            node.op if node else "graph",
            node.source if node else None,
            "warning" if same_dtype else "error",
        )


def _agree(claim: TensorType, found: TensorType) -> bool:
    if claim.dtype is not found.dtype:
        return False
    return not claim.ranked or (
        claim.rank == found.rank and all(map(may_equal, claim.shape, found.shape))
    )
