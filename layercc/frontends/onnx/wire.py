"""Large weights, left in the file while the rest of a model is parsed.

Protocol Buffers copies a file twice on the way to arrays: all of it into a message, then each
weight out of it. So before parsing, the bytes of large tensors (`raw_data`) are taken out of the
message and a short ticket is put in their place; whoever finds a ticket reads the bytes from the
file, straight into the memory where they stay.

The encoding: https://protobuf.dev/programming-guides/encoding; field numbers: onnx.proto.
"""

from __future__ import annotations

import io
import mmap
import secrets
from collections.abc import Mapping

import numpy as np

from ir.diagnostics import InvalidModelError

#: Bytes from which on a weight is left in the file.
LARGE = 4096
#: Messages inside messages that are looked into: a model, its graph, a node, an attribute, its
#: tensor; more for the bodies of control flow. What lies deeper is parsed with the rest.
MOST_LEVELS = 16

_ALIGNMENT = 64  # as kernels want it: they can use the memory as it is
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # how a field is encoded
_RAW = "raw"
#: Fields that lead to weights: message → field number → message, or the bytes of a weight.
_FIELDS: Mapping[str, Mapping[int, str]] = {
    "ModelProto": {7: "GraphProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {5: "TensorProto", 6: "GraphProto"},
    "TensorProto": {9: _RAW},
}


class FileWeights:
    """The weights that were left in one file, which is open without a buffer of Python's."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self._places: list[tuple[int, int]] = []  # offset and size, by number
        self._mark = secrets.token_bytes(16)  # so that no file can have tickets of its own

    def leave(self, offset: int, size: int) -> bytes:
        """The ticket for bytes of the file."""
        self._places.append((offset, size))
        return self._mark + (len(self._places) - 1).to_bytes(8, "little")

    def read(self, ticket: bytes) -> memoryview | None:
        """The bytes that a ticket stands for; None where it is no ticket.

        Raises InvalidModelError where the file has become shorter.
        """
        if len(ticket) != len(self._mark) + 8 or not ticket.startswith(self._mark):
            return None
        offset, size = self._places[int.from_bytes(ticket[len(self._mark) :], "little")]
        memory = np.empty(size + _ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % _ALIGNMENT
        data = memory.data[start : start + size]
        self._file.seek(offset)
        done = 0
        while done < size:
            count = self._file.readinto(data[done:])
            if not count:
                raise InvalidModelError(f"{self._file.name}: it was cut short while it was read")
            done += count
        return data.toreadonly()


def without_weights(data: bytes | mmap.mmap, weights: FileWeights) -> bytes:
    """The serialized ModelProto `data` with tickets in place of its large weights.

    What is malformed stays as it is, for the parser to complain about.
    """
    view = memoryview(data)
    try:
        return b"".join(_message(view, 0, "ModelProto", weights, 0))
    except _Malformed:
        return bytes(view)
    finally:
        view.release()


class _Malformed(Exception):
    pass


def _message(
    view: memoryview, start: int, kind: str, weights: FileWeights, level: int
) -> list[bytes | memoryview]:
    """The pieces of the message `view`, which starts at byte `start` of the file."""
    pieces: list[bytes | memoryview] = []
    kept = at = 0  # the bytes up to `kept` are in `pieces`
    while at < len(view):
        tag_at = at
        tag, at = _varint(view, at)
        encoding = tag & 7
        if encoding == _VARINT:
            _, at = _varint(view, at)
        elif encoding == _FIXED64:
            at += 8
        elif encoding == _FIXED32:
            at += 4
        elif encoding == _BYTES:
            size, at = _varint(view, at)
            end = at + size
            if end > len(view):
                raise _Malformed
            inner = _FIELDS[kind].get(tag >> 3)
            if inner is not None and size >= LARGE and level < MOST_LEVELS:
                if inner is _RAW:
                    replaced: list[bytes | memoryview] = [weights.leave(start + at, size)]
                else:
                    replaced = _message(view[at:end], start + at, inner, weights, level + 1)
                pieces += [view[kept:tag_at], _encoded(tag)]
                pieces += [_encoded(sum(map(len, replaced))), *replaced]
                kept = end
            at = end
        else:
            raise _Malformed
    if at != len(view):
        raise _Malformed
    return [*pieces, view[kept:]]


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """The integer at `at`, seven bits a byte, lowest first; and where it ends."""
    value = shift = 0
    while at < len(view) and shift < 64:
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise _Malformed


def _encoded(value: int) -> bytes:
    result = bytearray()
    while value >= 0x80:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)
