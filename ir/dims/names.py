"""Symbols: the names of unknown sizes, and the dimension that any given text stands for."""

from __future__ import annotations

import json
import operator
import re
from functools import lru_cache
from typing import SupportsIndex

from ir.dims.expression import Dim, DimLike, SymbolicDim, make_atom, terms_of
from ir.dims.limits import CACHE_SIZE, MAX_TEXT

_NAME = re.compile(r"[^\W\d]\w*")


def _quote(name: str) -> str:
    return json.dumps(name, ensure_ascii=not name.isprintable())


def make_symbol(name: str) -> SymbolicDim:
    """The symbol of this name, whatever its text; printed in JSON quotes if no identifier."""
    return make_atom("symbol", name if _NAME.fullmatch(name) else _quote(name))


@lru_cache(CACHE_SIZE)
def symbol(name: str) -> SymbolicDim:
    """The symbol or expression that an ONNX `dim_param` text stands for.

    Identifiers are symbols, text that `parse` reads as an expression is that expression, and any
    other text ("batch size", "?", "-1") is an opaque symbol, printed in JSON quotes: distinct
    texts stay distinct, and `parse` reads the quoted form. ValueError if the text is too long.
    """
    if len(name) > MAX_TEXT:
        raise ValueError(f"dimension name is longer than {MAX_TEXT} characters: {name[:60]}...")
    if _NAME.fullmatch(name):
        return make_symbol(name)
    try:
        return SymbolicDim(name)
    except ValueError:  # no expression, or a constant
        return make_symbol(name)


def symbols(dim: DimLike) -> frozenset[str]:
    """The symbols in `dim`, as printed (names that are no identifiers are in quotes)."""
    found: set[str] = set()
    pending = [as_dim(dim)]
    while pending:
        for monomial in terms_of(pending.pop()):
            for atom in monomial:
                if atom.kind == "symbol":
                    found.add(str(atom))
                pending.extend(atom.args)
    return frozenset(found)


def as_dim(value: DimLike | SupportsIndex) -> Dim:
    """An int, a dimension, or the `symbol` for plain text; TypeError for anything else."""
    if isinstance(value, SymbolicDim):
        return value
    return symbol(value) if isinstance(value, str) else operator.index(value)
