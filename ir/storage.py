"""A graph as two files: the text form, and its weights in safetensors. No pickle anywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ir.diagnostics import InvalidModelError
from ir.dtypes import DTYPE_SETS, NUMPY_DTYPES, DType, dtype_of
from ir.graph import Graph
from ir.parser import parse_graph
from ir.text import print_with_weights
from ir.verifier import verify

TEXT_FILE = "model.graph"
WEIGHTS_FILE = "model.safetensors"
#: Dtypes that safetensors' NumPy interface has; others are stored as unsigned integers of their
#: width, complex128 as pairs of them. The real dtypes are in the file's metadata.
_NATIVE = NUMPY_DTYPES - DTYPE_SETS["complex"]


def save_text(graph: Graph, folder: str | Path) -> None:
    """Writes `model.graph` and, if there are weights to refer to, `model.safetensors`.

    `folder` is made if missing.
    """
    from safetensors.numpy import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text, weights = print_with_weights(graph)
    if weights:
        stored = {key: _to_stored(array) for key, array in weights.items()}
        dtypes = {key: str(dtype_of(array)) for key, array in weights.items()}
        save_file(stored, folder / WEIGHTS_FILE, metadata=dtypes)
    else:
        (folder / WEIGHTS_FILE).unlink(missing_ok=True)
    (folder / TEXT_FILE).write_text(text, encoding="utf-8")


def load_text(folder: str | Path) -> Graph:
    """Reads what `save_text` wrote.

    Raises InvalidModelError when a file is malformed or the two do not fit together.
    """
    from safetensors import SafetensorError, safe_open

    folder = Path(folder)
    dtypes: dict[str, str] = {}
    stored: dict[str, np.ndarray] = {}
    try:
        text = (folder / TEXT_FILE).read_text(encoding="utf-8")
        if (folder / WEIGHTS_FILE).exists():
            with safe_open(folder / WEIGHTS_FILE, framework="numpy") as file:
                dtypes = file.metadata() or {}
                stored = {key: file.get_tensor(key) for key in dtypes}
    except (SafetensorError, UnicodeDecodeError, OSError) as error:
        raise InvalidModelError(f"cannot read the graph in {folder}: {error}") from error
    weights = {key: _from_stored(array, dtypes[key], key) for key, array in stored.items()}
    graph = parse_graph(text, weights=weights, file=TEXT_FILE)
    verify(graph)
    return graph


def _to_stored(array: np.ndarray) -> np.ndarray:
    dtype = dtype_of(array)
    array = np.ascontiguousarray(array, dtype.value).reshape(array.shape)
    if dtype in _NATIVE:
        return array
    width = min(dtype.itemsize, 8)
    parts = (dtype.itemsize // width,) if dtype.itemsize > width else ()
    return array.reshape(-1).view(f"u{width}").reshape(*array.shape, *parts)


def _from_stored(array: np.ndarray, name: str, key: str) -> np.ndarray:
    if name not in DType.__members__:
        raise InvalidModelError(f"weights {key!r}: unknown element type {name!r}")
    dtype = DType[name]
    if dtype in _NATIVE:
        return array
    shape = array.shape[:-1] if dtype.itemsize > 8 else array.shape
    try:
        return array.reshape(-1).view(dtype.value).reshape(shape)
    except ValueError as error:
        raise InvalidModelError(f"weights {key!r} are stored wrongly: {error}") from error
