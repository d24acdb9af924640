"""What inference finds out about a graph."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ir.diagnostics import Diagnostic, ShapeError
from ir.graph import Node
from ir.types import TensorType


@dataclass
class Inference:
    """What is known of a graph before running it.

    `types`: every value that could be typed. `values`: known small values; dtype object where an
    element is a symbolic dim. `diagnostics`: all problems found. `bodies`: for nodes with subgraphs
    (control flow, fused groups), what is known of those that may run, in attribute order; an If
    whose condition is known has one.
    """

    types: dict[str, TensorType] = field(default_factory=dict)
    values: dict[str, np.ndarray] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    bodies: dict[Node, list[Inference]] = field(default_factory=dict)
    #: Tell the symbols apart that inference makes up.
    numbers: Iterator[int] = field(default_factory=itertools.count, repr=False)

    @property
    def errors(self) -> list[Diagnostic]:
        return [found for found in self.diagnostics if found.severity == "error"]

    @property
    def faults(self) -> list[Diagnostic]:
        """The errors that remain whatever the values of the inputs are: those which do not only
        say that something is not known before running."""
        return [found for found in self.errors if found.code != "data-dependent"]

    def raise_for_errors(self, what: str = "the graph") -> None:
        """Raises ShapeError listing every error, if there is any."""
        if self.errors:
            text = "\n".join(str(found) for found in self.errors)
            raise ShapeError(f"{what} has {len(self.errors)} error(s):\n{text}", self.errors)
