"""Limits on untrusted model files. Beyond them a file is refused before memory or time is spent."""

from __future__ import annotations

#: Protocol buffers cannot be longer; larger models keep their weights in external files.
MAX_FILE_BYTES = (1 << 31) - 1
#: Nodes after all functions are inlined, subgraphs included.
MAX_NODES = 100_000
#: Subgraphs (If, Loop, Scan bodies) inside subgraphs.
MAX_SUBGRAPH_DEPTH = 24
#: Items of all sequences together that are followed: each op that changes one makes a new one.
MAX_SEQUENCE_ITEMS = 1 << 22
#: Functions that call functions.
MAX_CALL_DEPTH = 32
#: Bytes beyond which a declared shape is refused as absurd, zero dims not counted.
MAX_TENSOR_BYTES = 1 << 40
#: Dims of a tensor (NumPy's own limit).
MAX_RANK = 64
#: Bytes of a sparse initialiser made dense: its file size says nothing about them.
MAX_SPARSE_BYTES = 1 << 28
