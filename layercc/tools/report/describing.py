"""How parts of a graph read on the page: attributes, constants, kinds of ops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ir.dims import Dim, evaluate, symbols
from ir.dtypes import ONNX_DTYPES, dtype_of
from ir.graph import Graph, Node
from ir.registry import find_op
from ir.types import format_shape
from ir.units import amount

#: Elements of a constant that are shown, and characters of an attribute.
SHOWN, LONGEST = 24, 600
#: Statistics are taken of this many elements at a time.
_CHUNK = 1 << 20

#: Family of ops (`ir/ops/FAMILY.py`) → what its ops are coloured as.
KINDS: dict[str, str] = {
    **dict.fromkeys(
        ("algebra", "attention", "convolution", "dynamic_lstm", "matrix", "recurrent", "signal"),
        "contraction",
    ),
    **dict.fromkeys(("pointwise", "casts"), "pointwise"),
    **dict.fromkeys(("normalization", "pooling", "reductions", "losses", "searching"), "reduction"),
    **dict.fromkeys(
        (
            "gathering",
            "generators",
            "joining",
            "movement",
            "random",
            "regions",
            "resizing",
            "sampling",
            "shapes",
        ),
        "movement",
    ),
    "quantization": "quantization",
    "control_flow": "control",
    "fused": "pointwise",
    "ngrams": "other",
}


def kind_of(node: Node) -> str:
    """What a node is coloured as; a fused group as what has most work in it."""
    if node.op == "layercc.Fused":
        kinds = [kind_of(inner) for body in node.subgraphs() for inner in body.nodes]
        return "contraction" if "contraction" in kinds else "pointwise"
    found = find_op(node.op)
    return KINDS.get(found.__module__.rpartition(".")[2], "other") if found else "other"


def title_of(node: Node) -> str:
    """The op; of a fused group, the ops in it: `Conv + Add + Relu`."""
    if node.op != "layercc.Fused":
        return node.op
    ops = [inner.op for body in node.subgraphs() for inner in body.nodes]
    shown = ops if len(ops) <= 4 else [*ops[:2], "…", ops[-1]]
    return " + ".join(shown)


def brief(node: Node) -> str:
    """The attributes that people ask for first, in a few characters: `3×3 /2`."""
    found = node.attributes
    if node.op == "layercc.Fused":
        inner = [each for body in node.subgraphs() for each in body.nodes]
        return next(filter(None, map(brief, inner)), "")
    parts = []
    if found.get("kernel_shape"):
        parts.append("×".join(map(str, found["kernel_shape"])))
    steps = found.get("strides") or ()
    if any(step != 1 for step in steps):
        parts.append("/" + "×".join(map(str, dict.fromkeys(steps))))
    if isinstance(found.get("group"), int) and found["group"] > 1:
        parts.append(f"{found['group']} groups")
    if "perm" in found:
        parts.append("[" + ", ".join(map(str, found["perm"])) + "]")
    if isinstance(found.get("axis"), int):
        parts.append(f"axis {found['axis']}")
    if "to" in found:
        parts.append(f"to {_attribute('to', found['to'])}")
    return " ".join(parts)


def attributes(node: Node) -> list[list[str]]:
    """Names and values as text, subgraphs aside, which are shown as graphs."""
    return [
        [name, clipped(_attribute(name, value))]
        for name, value in node.attributes.items()
        if not isinstance(value, Graph)
    ]


def _attribute(name: str, value: Any) -> str:
    """Element types have numbers in ONNX; people know them by name."""
    if name in ("to", "dtype") and isinstance(value, int) and value in ONNX_DTYPES:
        return str(ONNX_DTYPES[value])
    return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{dtype_of(value)}{format_shape(value.shape)} {elements(value)}"
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating):
        return f"{float(value):.9g}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_text, value[: SHOWN + 1])) + "]"
    return str(value)


def clipped(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def elements(array: np.ndarray) -> str:
    """The first elements, in the order in which they lie in memory."""
    shown = [_element(value) for value in array.ravel()[:SHOWN].tolist()]
    rest = array.size - len(shown)
    more = f", … {rest} more" if rest else ""
    return clipped(", ".join(shown) + more)


def _element(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def constant(array: np.ndarray, counted: bool = True) -> dict[str, Any]:
    """A constant: its bytes, first elements, and, if it is to be `counted`, `statistics`."""
    return {
        "bytes": amount(int(array.nbytes), "B"),
        "elements": elements(array),
        "statistics": statistics(array) if counted else [],
    }


def statistics(array: np.ndarray) -> list[list[str]]:
    """Least, greatest, mean and deviation of the finite elements of numbers, in float64; how many
    are zero, NaN or infinite, if any are. Nothing for a few elements, which are shown, or text."""
    if array.size <= SHOWN or array.dtype.kind in "OUSbc":
        return []
    flat = array.reshape(-1)
    low, high = math.inf, -math.inf
    count, mean, spread, zeros, odd = 0, 0.0, 0.0, 0, 0
    for start in range(0, flat.size, _CHUNK):
        part = flat[start : start + _CHUNK].astype(np.float64)
        finite = np.isfinite(part)
        if not finite.all():
            odd += int(part.size - np.count_nonzero(finite))
            part = part[finite]
        if not part.size:
            continue
        low, high = min(low, float(part.min())), max(high, float(part.max()))
        zeros += int(part.size - np.count_nonzero(part))
        own = float(part.mean())
        joint = count + part.size  # Chan, Golub and LeVeque 1979
        spread += float(np.square(part - own).sum())
        spread += (own - mean) ** 2 * count * part.size / joint
        mean += (own - mean) * part.size / joint
        count = joint
    rows = []
    if count:
        deviation = math.sqrt(spread / count)
        figures = (("min", low), ("max", high), ("mean", mean), ("deviation", deviation))
        rows = [[name, f"{value:.4g}"] for name, value in figures]
    if zeros:
        rows.append(["zeros", f"{zeros} ({zeros / array.size:.1%})"])
    if odd:
        rows.append(["NaN or infinite", str(odd)])
    return rows


def quantity(value: Dim | None, unit: str = "") -> list[Any]:
    """An amount as people read it, and as a number to sort by, with 1 for symbols."""
    if value is None:
        return ["?", None]
    try:
        number = evaluate(value, dict.fromkeys(symbols(value), 1))
    except (ArithmeticError, ValueError, LookupError):
        return [amount(value, unit), None]
    return [amount(value, unit), number]
