"""Layer by layer: what each side makes of a value, and what it makes of it from the same inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ir.diagnostics import LayerccError
from ir.graph import Graph, Node
from ir.inference import Inference
from ir.registry import find_op
from layercc.tools.compare.align import Pair
from layercc.tools.compare.conditioning import within_conditioning
from layercc.tools.compare.difference import Difference, compare_arrays
from layercc.tools.compare.extract import frontier
from layercc.tools.compare.sides import Arrays, Side
from layercc.tools.compare.tolerance import Variances, tolerance

#: Values at once, however small they are: each is an output of what is compiled.
_MOST_VALUES = 256
#: How often a value is held: by either side, from either side's and from the same inputs, and as
#: an input of others; an exact side takes twice the bytes.
_COPIES, _EXACT_COPIES = 5, 7
#: Characters of an error in a note.
_MOST_SAID = 200


@dataclass(frozen=True)
class Layer:
    """What was found of one value.

    `accumulated`: how the sides' own values differ. `local`: how they differ where both compute the
    layer from the same inputs, those of the second side. None where a side cannot tell; `note`
    says why.
    """

    pair: Pair
    accumulated: Difference | None = None
    local: Difference | None = None
    note: str = ""

    @property
    def departs(self) -> bool:
        """Whether the layer itself is at fault."""
        return self.local is not None and self.local.departs

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        node = self.pair.node
        return {
            "value": self.pair.left,
            "partner": self.pair.right,
            "node": node.name,
            "op": node.op,
            "source": str(node.source) if node.source else None,
            "accumulated": self.accumulated and self.accumulated.to_dict(),
            "local": self.local and self.local.to_dict(),
            "note": self.note,
        }


def examine(
    left: Side,
    right: Side,
    pairs: Sequence[Pair],
    inputs: tuple[Arrays, Arrays],
    ports: Mapping[str, str],
    bounds: Variances,
    types: Inference,
    memory: int,
) -> Iterator[tuple[Layer, Arrays]]:
    """Compares the values of `pairs`, in order; with each, the values (by their names on the left)
    from which both sides have computed it, among others.

    `inputs` are those of the left and of the right; `ports` maps the names of the ones to those of
    the others; `bounds` and `types` are those of the left graph. Values of up to `memory` bytes
    are held at a time, weights and what a side needs while it runs apart.
    """
    partner = {**ports, **{pair.left: pair.right for pair in pairs}}
    copies = _EXACT_COPIES if right.exact else _COPIES
    for chunk in _chunks(pairs, types, memory // copies):
        yield from _examine_together(left, right, chunk, partner, inputs, bounds, types)


def _examine_together(
    left: Side,
    right: Side,
    pairs: Sequence[Pair],
    partner: Mapping[str, str],
    inputs: tuple[Arrays, Arrays],
    bounds: Variances,
    types: Inference,
) -> list[tuple[Layer, Arrays]]:
    """What `examine` yields of a few pairs; `partner` maps all values on the left that have one."""
    back = {other: name for name, other in partner.items()}
    names = [pair.left for pair in pairs]
    others = [pair.right for pair in pairs]
    read = frontier(left.graph, names, partner.keys())
    also = frontier(right.graph, others, back.keys())
    common = dict.fromkeys([*(partner[name] for name in read), *also])
    wanted = dict.fromkeys([*others, *(n for n in common if n in right.names)])
    mine, failed = evaluate_all(left, inputs[0], names)
    theirs, failed_too = evaluate_all(right, inputs[1], list(wanted))
    found = {**inputs[1], **theirs}
    given = {n: _as_declared(found[n], back[n], types) for n in common if n in found}
    own = {back[name]: array for name, array in given.items()}
    local, failed_alone = evaluate_all(left, own, names)
    held, failed_held = evaluate_all(right, given, others)
    layers: list[tuple[Layer, Arrays]] = []
    for pair in pairs:
        reasons = [failed.get(pair.left), failed_too.get(pair.right)]
        reasons += [failed_alone.get(pair.left), failed_held.get(pair.right)]
        note = next(filter(None, reasons), "")
        whole = mine.get(pair.left), theirs.get(pair.right)
        alone = local.get(pair.left), held.get(pair.right)
        kind = types.types.get(pair.left)
        dtype = kind.dtype.value if right.exact and kind is not None else None
        layer = _layer(left.graph, pair, note, bounds, dtype, whole, alone, own)
        layers.append((layer, own))
    return layers


def _layer(
    graph: Graph,
    pair: Pair,
    note: str,
    bounds: Variances,
    dtype: np.dtype | None,
    whole: tuple[np.ndarray | None, np.ndarray | None],
    alone: tuple[np.ndarray | None, np.ndarray | None],
    given: Arrays,
) -> Layer:
    if is_random(pair.node):
        return Layer(pair, note="random: not compared")
    found = Layer(pair, note=note)
    if whole[0] is not None and whole[1] is not None:
        arrays = whole[0], whole[1]
        bound = tolerance(bounds.accumulated[pair.left])
        found = replace(found, accumulated=compare_arrays(*arrays, bound, dtype=dtype))
    if alone[0] is not None and alone[1] is not None:
        arrays = alone[0], alone[1]
        bound = tolerance(bounds.local[pair.left])
        difference = compare_arrays(*arrays, bound, dtype=dtype)
        if difference.kind == "error" and within_conditioning(
            graph, pair.left, given, alone[0], alone[1], difference
        ):
            note = "ill-conditioned: rounding its inputs moves it as much"
            difference = replace(difference, kind="same", count=0)
            found = replace(found, note=note)
        found = replace(found, local=difference)
    return found


def is_random(node: Node) -> bool:
    """Whether a node, or one in its bodies, draws random numbers."""
    bodies = list(node.subgraphs())
    if bodies:
        return any(is_random(inner) for body in bodies for inner in body.nodes)
    op = find_op(node.op)
    return op is not None and not op.deterministic


def _as_declared(array: np.ndarray, name: str, types: Inference) -> np.ndarray:
    """What an exact side made, in the element type that the model has there."""
    kind = types.types.get(name)
    if array.dtype == np.float64 and kind is not None and kind.dtype.kind == "float":
        with np.errstate(all="ignore"):
            return array.astype(kind.dtype.value)
    return array


def evaluate_all(
    side: Side, given: Arrays, names: Sequence[str]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The values that a side can compute, and why it cannot compute the others."""
    if not names:
        return {}, {}
    try:
        return side.evaluate(given, names), {}
    except LayerccError as error:
        if len(names) == 1:
            return {}, {names[0]: " ".join(str(error).split())[:_MOST_SAID]}
    half = len(names) // 2
    first, failed = evaluate_all(side, given, names[:half])
    second, failed_too = evaluate_all(side, given, names[half:])
    return {**first, **second}, {**failed, **failed_too}


def _chunks(pairs: Sequence[Pair], types: Inference, memory: int) -> Iterator[list[Pair]]:
    chunk: list[Pair] = []
    total = 0
    for pair in pairs:
        kind = types.types.get(pair.left)
        nbytes = int(kind.nbytes) if kind is not None and kind.is_static else 0
        if chunk and (total + nbytes > memory or len(chunk) >= _MOST_VALUES):
            yield chunk
            chunk, total = [], 0
        chunk.append(pair)
        total += nbytes
    if chunk:
        yield chunk
