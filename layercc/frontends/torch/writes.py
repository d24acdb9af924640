"""Ops that write in place, where that is the same as making a new value.

PyTorch turns every write into a value when it decomposes a program, which takes longer than
capturing it. `relu_` on what nobody else reads needs none of that.
"""

from __future__ import annotations

from typing import Any

import torch

from layercc.frontends.torch.registry import TRANSLATIONS, full_name

#: Ops defined by others (so their schemas say little) whose result shares no memory with anything.
_FRESH = frozenset(
    map(
        full_name,
        (
            "conv1d", "conv2d", "conv3d", "conv1d.padding", "conv2d.padding", "conv3d.padding",
            "conv_transpose1d", "conv_transpose2d.input", "conv_transpose3d.input", "linear",
            "batch_norm", "layer_norm", "group_norm", "instance_norm", "matmul",
        ),
    )
)  # fmt: skip


def translated_as(node: Any) -> str:
    """The overload whose translation is that of a node: its own; or for a write in place, where it
    may be one, that of the op that makes a new value."""
    name = str(node.target)
    if not isinstance(node.target, torch._ops.OpOverload) or name in TRANSLATIONS:
        return name
    packet, _, overload = name.rpartition(".")
    functional = f"{packet[:-1]}.{overload}"
    if not packet.endswith("_") or packet.endswith("__") or functional not in TRANSLATIONS:
        return name
    written = node.args[0] if node.args else None
    alone = isinstance(written, torch.fx.Node) and set(written.users) == {node}
    return functional if alone and _is_fresh(written) else name


def _is_fresh(node: Any) -> bool:
    """Whether a node makes a tensor of its own, of which nothing before it is a part."""
    if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
        return False
    name = translated_as(node)
    if name in _FRESH or name != str(node.target):
        return True
    aliases = any(result.alias_info is not None for result in node.target._schema.returns)
    return not aliases and not node.target._can_decompose()
