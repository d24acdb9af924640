"""Where nodes come from: the file, and the module of the model's author, where the file has it.

PyTorch's exporter (`torch.onnx.export(..., dynamo=True)`) numbers its nodes (`node_conv2d_3`), and
writes the modules around each into its metadata: under `pkg.torch.onnx.name_scopes`, their paths
from the outermost in, then a name of the node, as a list of Python strings.
"""

from __future__ import annotations

import re

from onnx import NodeProto

from ir.diagnostics import Source

_SCOPES = "pkg.torch.onnx.name_scopes"
_STRING = re.compile(r"'([^'\\]*)'")


def module_of(node: NodeProto) -> str:
    """The path of the module whose code made the node, "" where the file does not say."""
    for entry in node.metadata_props:
        if entry.key == _SCOPES:
            paths = _STRING.findall(entry.value)
            return paths[-2] if len(paths) > 1 else ""
    return ""


class Sources:
    """The sources of the nodes of one file; None without a file."""

    def __init__(self, file: str | None) -> None:
        self._file = file
        self._known: dict[str, Source] = {}

    def of(self, module: str) -> Source | None:
        """That of a node of a module, the same object for all of them."""
        if self._file is None:
            return None
        if module not in self._known:
            self._known[module] = Source(self._file, layer=module)
        return self._known[module]
