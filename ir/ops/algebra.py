"""Einsum and determinants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.dims import Dim, may_equal, product
from ir.ops.layout import widened
from ir.registry import Attr, Call, Op, register
from ir.types import TensorType

_ELLIPSIS = "..."


@register
class Einsum(Op):
    """Einstein summation: NumPy's notation, explicit or implicit, with or without ellipsis."""

    inputs = ("Inputs: T*",)
    outputs = ("Output: T",)
    constraints = {"T": "numeric"}
    attributes = {"equation": Attr("string")}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        terms, result = parse_equation(call)
        sizes = _index_sizes(call, terms)
        unknown = [index for index in result if index not in sizes]
        if unknown:
            call.fail(f"{call.equation!r}: output index {unknown[0]!r} is in no input")
        return [call.type(0).with_shape(sizes[index] for index in result)]

    @staticmethod
    def reference(call: Call, *inputs: np.ndarray) -> np.ndarray:
        equation = call.equation.replace(" ", "")
        made = np.einsum(equation, *map(widened, inputs))
        return np.asarray(made).astype(inputs[0].dtype)

    @staticmethod
    def flops(call: Call) -> Dim:
        """A multiply-add for each combination of indices: without reordering."""
        terms, _ = parse_equation(call)
        return product(_index_sizes(call, terms).values()) * max(len(terms), 1)


def parse_equation(call: Call) -> tuple[list[list[str]], list[str]]:
    """Index names of each input and of the output.

    Dims under an ellipsis are named `...0`, `...1` from the last one backwards, as they broadcast.
    """
    left, arrow, right = call.equation.replace(" ", "").partition("->")
    parts = left.split(",")
    for term in [*parts, right]:
        letters = term.replace(_ELLIPSIS, "", 1)
        if not (letters.isascii() and letters.isalpha()) and letters:
            call.fail(
                f"{call.equation!r}: term {term!r} is malformed; letters from a to z and A to Z"
                " and one ellipsis would fit",
                "bad-attribute",
            )
    if len(set(right.replace(_ELLIPSIS, ""))) < len(right.replace(_ELLIPSIS, "")):
        twice = next(index for index in right if index != "." and right.count(index) > 1)
        call.fail(f"{call.equation!r}: output index {twice!r} is there twice", "bad-attribute")
    if arrow and _ELLIPSIS in left and _ELLIPSIS not in right:
        call.fail(
            f"{call.equation!r}: the inputs have an ellipsis, the output none", "bad-attribute"
        )
    if len(parts) != len(call.types):
        call.fail(f"{call.equation!r} has {len(parts)} terms for {len(call.types)} inputs")
    terms = [_indices(call, part, call.rank(i)) for i, part in enumerate(parts)]
    hidden = max((sum(i.startswith(_ELLIPSIS) for i in term) for term in terms), default=0)
    spread = [f"{_ELLIPSIS}{k}" for k in reversed(range(hidden))]
    if arrow:
        return terms, _expand(right, spread)
    letters = [index for term in terms for index in term if not index.startswith(_ELLIPSIS)]
    return terms, spread + sorted(i for i in set(letters) if letters.count(i) == 1)


def _indices(call: Call, part: str, rank: int) -> list[str]:
    letters = len(part.replace(_ELLIPSIS, ""))
    hidden = rank - letters
    if hidden < 0 or (hidden and _ELLIPSIS not in part):
        call.fail(f"{call.equation!r}: term {part!r} names {letters} dims, its input has {rank}")
    return _expand(part, [f"{_ELLIPSIS}{k}" for k in reversed(range(hidden))])


def _expand(part: str, spread: Sequence[str]) -> list[str]:
    before, dots, after = part.partition(_ELLIPSIS)
    return [*before, *(spread if dots else ()), *after]


def _index_sizes(call: Call, terms: Sequence[Sequence[str]]) -> dict[str, Dim]:
    sizes: dict[str, Dim] = {}
    for position, term in enumerate(terms):
        for index, dim in zip(term, call.shape(position), strict=True):
            old = sizes.setdefault(index, dim)
            if old == 1 or (isinstance(dim, int) and dim != 1 and not isinstance(old, int)):
                sizes[index] = dim
            elif dim != 1 and not may_equal(old, dim):
                call.fail(f"{call.equation!r}: index {index!r} is both {old} and {dim}")
    return sizes


@register
class Det(Op):
    """Determinants of square matrices."""

    inputs = ("X: T",)
    constraints = {"T": "float"}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        kind = call.type(0)
        if kind.rank < 2 or not may_equal(kind.shape[-1], kind.shape[-2]):
            call.fail(f"input is {kind}; square matrices would fit")
        return [kind.with_shape(kind.shape[:-2])]

    @staticmethod
    def reference(call: Call, x: np.ndarray) -> Any:
        return np.asarray(np.linalg.det(widened(x))).astype(x.dtype)

    @staticmethod
    def flops(call: Call) -> Dim:
        """Two thirds of n cubed, by LU decomposition."""
        return product(call.shape(0)) * call.shape(0)[-1] * 2 // 3
