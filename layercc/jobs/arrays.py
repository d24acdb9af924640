"""Functions of users' that compute with whole arrays."""

from __future__ import annotations

from dataclasses import dataclass

from ir.diagnostics import LayerccError
from layercc.buffers import Tensor
from layercc.jobs.job import Check, Job


@dataclass(frozen=True)
class Raising(Check):
    """A function that may raise: `function` names it for a reader, `file` is where it stands."""

    function: str = ""
    file: str = ""

    def error(self, position: int, value: int, low: int, high: int) -> LayerccError:  # type: ignore[override]
        """The error for what the function raised, of which there is a record at `value`."""
        from layercc.kernels.raised import read

        found = read(value)
        line = f" at {found['file']}:{found['line']}" if found.get("line") else ""
        said = f": {found['message']}" if found["message"] else ""
        origin = f"\n  from {self.source}" if self.source else ""
        return LayerccError(
            f"{self.node}: {self.function} raised {found['kind']}{line}{said}{origin}"
        )


@dataclass(frozen=True, eq=False)
class CallArrays(Job):
    """f(*arguments) with dense arrays; it writes the outputs, and no other tensor.

    `function`: its name (`layercc.kernels.functions`). `arguments`: in its order, places of tensors
    ("x0" of the inputs, "y0" of the outputs), "none" for an absent input, and constants in tuples
    of one. It may be called with blocks of the first axis of the tensors in `split`.
    """

    function: str
    arguments: tuple[str | tuple, ...]
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    split: frozenset[str]
    check: Raising
