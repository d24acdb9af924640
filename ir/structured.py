"""Graphs that know how the model that they were made of is called.

A graph has flat inputs and outputs; a model of a framework takes and gives tuples, dicts and
objects that hold tensors. A front end says by a `Structure` how the one becomes the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ir.graph import Graph


class Structure(Protocol):
    """How arguments of a call become the arrays of a graph's inputs, and outputs what it returns.

    It is pickled with the graph.
    """

    def arguments(self, example_inputs: Any) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """Positional and keyword arguments of the call that `example_inputs` stands for."""

    def flatten(self, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> list[Any]:
        """What the call gives to each input of the graph, in order. Raises InputError."""

    def restore(self, outputs: Sequence[Any]) -> Any:
        """What the call returns, made of the graph's outputs."""


@dataclass(eq=False, repr=False)
class StructuredGraph(Graph):
    """A graph and the structure of its inputs and outputs. Copies are plain graphs."""

    structure: Structure | None = None
