"""What a user's function raised in a kernel: a record among the constants of its code.

A record is MAGIC, the number of bytes that follow as a 32-bit integer, and JSON: `kind`, the name
of the exception's class; `message`; `function`, `file` and `line`, as far as they are known.
"""

from __future__ import annotations

import ctypes
import json
import struct
from typing import Any

MAGIC = b"lcraised"


def record(kind: str, message: str, **where: Any) -> bytes:
    """The bytes of a record."""
    text = json.dumps({"kind": kind, "message": message, **where}).encode()
    return MAGIC + struct.pack("<i", len(text)) + text


def read(address: int) -> dict[str, Any]:
    """The record at an address in loaded code, or one that says that there is none."""
    if ctypes.string_at(address, len(MAGIC)) != MAGIC:
        return {"kind": "an exception", "message": ""}
    (length,) = struct.unpack("<i", ctypes.string_at(address + len(MAGIC), 4))
    found: dict[str, Any] = json.loads(ctypes.string_at(address + len(MAGIC) + 4, length))
    return found
