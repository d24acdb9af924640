"""Where a node of an exported program comes from: the module that was called, the user's line."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch

from ir.diagnostics import Source

#: The custom op that stands for calls of modules that an op of the user's stands for
#: (`layercc.frontends.torch.own_ops`).
KEPT = "layercc_own.call.default"
_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
_SCRIPT_ROOT = re.compile(r"^L\['self'\]\.?|^L__self___?")
_INSIDE_TORCH = os.path.dirname(torch.__file__) + os.sep


def module_of(node: Any) -> tuple[str, str]:
    """Path and class of the innermost module whose forward made the node; `("", "")` if unknown."""
    stack = node.meta.get("nn_module_stack") or {}
    if not stack:
        return "", ""
    path, kind = list(stack.values())[-1]
    name = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
    return plain_path(path), name


def plain_path(path: str) -> str:
    """`layer1.0.conv`, as `named_modules` has it, of a path as an export writes it."""
    path = _SCRIPT_ROOT.sub("", path)
    return re.sub(r"\[['\"]?([^\]'\"]+)['\"]?\]", r".\1", path).strip(".")


def source_of(node: Any) -> Source | None:
    """The innermost line outside PyTorch's own files, as the stack trace of the node has it."""
    frames = _FRAME.findall(node.meta.get("stack_trace") or "")
    own = [frame for frame in frames if not frame[0].startswith(_INSIDE_TORCH)]
    if not own:
        return None
    file, line = own[-1]
    return Source(file, int(line))


class NodeHints:
    """What each node is to be called: the path of its module; where several nodes are of one
    module, or the module is not PyTorch's own, the op behind it."""

    def __init__(self, nodes: Iterable[Any]) -> None:
        self._counts = Counter(module_of(node)[0] for node in nodes)

    def of(self, node: Any) -> str:
        path, kind = module_of(node)
        whole = kind.startswith("torch.nn.") or str(node.target) == KEPT
        if path and whole and self._counts[path] == 1:
            return path
        op = short_op(node.target)
        return f"{path}.{op}" if path else op


def short_op(target: Any) -> str:
    """`add` of `aten.add.Tensor`."""
    packet = getattr(target, "overloadpacket", None)
    name = getattr(packet, "__name__", None) or getattr(target, "__name__", str(target))
    return str(name).strip("_")
