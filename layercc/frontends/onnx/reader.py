"""Reading the file: bytes → `ModelProto`, with every way to be malformed turned into one error."""

from __future__ import annotations

import contextlib
import io
import mmap
import os
from collections.abc import Iterable, Iterator, Mapping

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from ir.diagnostics import InvalidModelError, UnsupportedError
from layercc.frontends.onnx.limits import MAX_FILE_BYTES
from layercc.frontends.onnx.wire import LARGE, FileWeights, without_weights

#: The first version of the file format (`ir_version`) in which an initialiser that is a graph input
#: too is a default that callers may override. Before it every initialiser had to be an input, and
#: none could be overridden (onnx/docs/IR.md, "Graphs"; onnxruntime reads both versions like that).
FIRST_WITH_DEFAULTS = 4


@contextlib.contextmanager
def open_model(
    path: str | os.PathLike[str],
) -> Iterator[tuple[onnx.ModelProto, FileWeights]]:
    """The model in a file, without its external data; large weights are yet to be read.

    Raises InvalidModelError when the file is no ONNX model; OSError when it cannot be read.
    """
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_FILE_BYTES:
            raise InvalidModelError(
                f"{path}: {size} bytes; an ONNX file holds at most {MAX_FILE_BYTES} "
                "(larger models keep their weights in external files)"
            )
        weights = FileWeights(file)
        model = onnx.ModelProto()
        try:
            model.ParseFromString(_without_weights(file, size, weights))
        except DecodeError as error:
            raise InvalidModelError(
                f"{path}: not an ONNX model, or truncated ({size} bytes): {error}"
            ) from None
        check_header(model, str(path))
        yield model, weights


def _without_weights(file: io.FileIO, size: int, weights: FileWeights) -> bytes:
    if size < LARGE:
        return file.read()
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return without_weights(data, weights)


def check_header(model: onnx.ModelProto, where: str) -> None:
    """Raises InvalidModelError if `model` holds no graph or names no opset it can be read by."""
    if not model.HasField("graph"):
        raise InvalidModelError(f"{where}: not an ONNX model: it holds no graph")
    if not model.opset_import and model.ir_version >= 3:
        raise InvalidModelError(f"{where}: the model imports no opset")


def optional_inputs(model: onnx.ModelProto) -> set[str]:
    """Inputs that have a default: an initialiser of the same name."""
    if model.ir_version < FIRST_WITH_DEFAULTS:
        return set()
    graph = model.graph
    names = {tensor.name for tensor in graph.initializer}
    names |= {sparse.values.name for sparse in graph.sparse_initializer}
    return names & {value.name for value in graph.input}


def opset_versions(
    imports: Iterable[onnx.OperatorSetIdProto], where: str, outer: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Domain → opset version; the default domain is "" however it is written.

    What is not imported is taken from `outer` (of the caller, for a function). Raises
    UnsupportedError for an opset newer than the installed onnx package knows.
    """
    versions = dict(outer or {})
    versions |= {plain_domain(entry.domain): entry.version for entry in imports}
    versions.setdefault("", 1)
    for domain, version in versions.items():
        if not 0 <= version < 1 << 31:
            raise InvalidModelError(f"{where}: version {version} of domain {domain!r} is absurd")
    newest = onnx.defs.onnx_opset_version()
    if not 1 <= versions[""] <= newest:
        raise UnsupportedError(
            f"{where}: the model uses ONNX opset {versions['']}; "
            f"the installed onnx package (version {onnx.__version__}) knows 1 to {newest}"
        )
    return versions


def plain_domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def op_name(node: onnx.NodeProto) -> str:
    """The IR's name of a node's op: domains other than ONNX's own are written in front."""
    domain = plain_domain(node.domain)
    return f"{domain}.{node.op_type}" if domain else node.op_type
