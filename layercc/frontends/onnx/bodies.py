"""What the nodes of control flow hand to their bodies."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import NodeProto

from ir.dtypes import DType
from ir.types import TensorType


def body_input_types(
    node: NodeProto, count: int, given: Sequence[TensorType | None]
) -> list[TensorType | None]:
    """Types of the `count` inputs of a body of `node`; None where they are not known.

    `given` are the types of the node's own inputs. Of values that a Loop or Scan carries
    along, dtype and rank are certain; a dim can change from one iteration to the next.
    """
    found: list[TensorType | None] = []
    if node.op_type == "Loop":
        found = [TensorType(DType.i64, ()), TensorType(DType.bool, ()), *given[2:]]
    elif node.op_type == "Scan":
        found = _scan_types(node, given)
    return [*found[:count], *[None] * (count - len(found))]


def _scan_types(node: NodeProto, given: Sequence[TensorType | None]) -> list[TensorType | None]:
    attributes = {attribute.name: attribute for attribute in node.attribute}
    scanned = attributes["num_scan_inputs"].i if "num_scan_inputs" in attributes else 0
    states = max(len(given) - scanned, 0)
    axes = list(attributes["scan_input_axes"].ints) if "scan_input_axes" in attributes else []
    found = list(given[:states])
    for position, kind in enumerate(given[states:]):
        axis = axes[position] if position < len(axes) else 0
        if kind is not None and -kind.rank <= axis < kind.rank:
            shape = list(kind.shape)
            del shape[axis]
            kind = kind.with_shape(shape)
        found.append(kind)
    return found
