"""Problems found in a graph, and the errors raised for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal


class LayerccError(Exception):
    """Base of every error that layercc raises on purpose."""


class ShapeError(LayerccError, ValueError):
    """Shapes or dtypes in a graph do not fit together. `.diagnostics` lists every problem."""

    def __init__(self, message: str, diagnostics: Iterable[Diagnostic] = ()) -> None:
        super().__init__(message)
        self.diagnostics = tuple(diagnostics)


class InvalidModelError(LayerccError, ValueError):
    """The model itself is malformed: cyclic, truncated, missing inputs, absurd sizes."""


class UnsupportedError(LayerccError, NotImplementedError):
    """The model is well formed but uses something layercc has no implementation for.

    `.ops` names the ops that are missing, if it is for ops that it was raised; `.nodes` the nodes
    concerned, if they are known.
    """

    def __init__(self, message: str, ops: Iterable[str] = (), nodes: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.ops = tuple(ops)
        self.nodes = tuple(nodes)


class InputError(LayerccError, ValueError):
    """The arrays given to a compiled model do not fit its inputs."""


def out_of_range(value: int, position: Sequence[int], low: int, high: int) -> str:
    """What is said of an input that holds a value outside of `low`..`high` at a position."""
    where = f" at [{', '.join(map(str, position))}]" if position else ""
    fits = f"{low}..{high} would fit" if low <= high else "nothing would fit, the dim is empty"
    return f"holds {value}{where}; {fits}"


class MemoryLimitError(LayerccError, MemoryError):
    """Running the model would take more memory than is left."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a node came from: a file or a Python line. `layer` is the path of the module of another
    framework that made it, if the file says so."""

    file: str
    line: int | None = None
    layer: str = ""

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem in a graph, and the node to blame for it.

    `code` is stable and short (`shape-mismatch`, `unsupported-op`, ...): tools match on it.
    `severity`: an error stops the model from being compiled; a warning does not, but is a likely
    mistake; a note says what only running can tell.
    """

    code: str
    message: str
    node: str = ""
    op: str = ""
    source: Source | None = None
    severity: Literal["error", "warning", "note"] = "error"

    def __str__(self) -> str:
        where = f"{self.op} {self.node!r}: " if self.node else ""
        origin = f"\n  from {self.source}" if self.source else ""
        return f"{self.severity}[{self.code}]: {where}{self.message}{origin}"
