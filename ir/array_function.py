"""Ops that a function of whole arrays computes, which writes into arrays given to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ir.registry import Call, Op


class ArrayFunction(Op):
    """Base of such ops.

    `function` takes arrays and attributes by position, in the order of `arguments`: input numbers
    ("x0"), output numbers ("y0") and names of attributes. An input that is absent is None.
    `split` are inputs and outputs, named so, whose first axis is that of independent parts: the
    function may be called on some of these alone. It has none if that is empty.
    """

    lowered_as = "own:arrays"
    function: ClassVar[Callable[..., None]]
    arguments: ClassVar[tuple[str, ...]]
    split: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def settings(cls, call: Call) -> dict[str, Any]:
        """The attributes as the function takes them."""
        raise NotImplementedError
