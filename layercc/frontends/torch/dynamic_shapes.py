"""Which dims of the inputs are dynamic: what callers say, as `torch.export` takes it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import sympy
import torch
from torch.export import Dim as TorchDim
from torch.utils import _pytree as pytree

from ir.diagnostics import InvalidModelError
from ir.dims import Dim, SymbolicDim, parse
from ir.dims.expression import terms_of
from layercc.frontends.torch.trees import keys_of

#: How PyTorch suggests that a size is fixed, or that of another dim: `T = 7`, `M = N`.
_TIED = re.compile(r"^ *\w+ = \w+$", re.MULTILINE)
#: How PyTorch suggests a range: `T = Dim('T', max=512)`.
_BOUNDS = re.compile(r"^ *(\w+) = Dim\('\1'(?:, min=(\d+))?(?:, max=(\d+))?\)", re.MULTILINE)
#: How it says what it demands: `Not all values of T = ... the generated guard 60 <= ... <= ...`.
_DEMANDED = re.compile(r"Not all values of (\w+) = .* generated guard (\d+) <= .* <= (\w+)")


class DynamicShapes:
    """`dynamic_shapes` of a call with `arguments` by name.

    `spec` is what `torch.export.export` takes. `names` are those that callers gave to sizes, by
    path of the input and axis: for `torch.export` makes up symbols of its own; `least` are the
    minima of `Dim`s, likewise.
    """

    def __init__(
        self,
        given: Any,
        arguments: Mapping[str, Any],
        bounds: Mapping[str, tuple[int, int | None]] | None = None,
    ) -> None:
        """`bounds` are the least and the largest size of symbols in strings, by torch's name."""
        self._given, self._arguments, self._bounds = given, arguments, bounds or {}
        self._dims: dict[str, Any] = {}  # symbol of a string → torch's Dim
        self.names: dict[tuple[str, int], Dim] = {}
        self.least: dict[tuple[str, int], int] = {}
        self.spec: dict[str, Any] | None = None
        if given is not None:
            by_name = self._by_name(given, arguments)
            self.spec = {
                name: self._converted(by_name.get(name), value, name)
                for name, value in arguments.items()
            }

    @staticmethod
    def _by_name(given: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
        if isinstance(given, Mapping):
            if unknown := [name for name in given if name not in arguments]:
                raise InvalidModelError(
                    f"dynamic_shapes names {', '.join(map(repr, unknown))}; the arguments are "
                    f"{', '.join(map(repr, arguments))}"
                )
            return dict(given)
        entries = list(given)
        if len(arguments) == 1 and any(isinstance(entry, str | int) for entry in entries):
            return {next(iter(arguments)): tuple(entries)}
        if len(entries) != len(arguments):
            raise InvalidModelError(
                f"dynamic_shapes has {len(entries)} entries; {len(arguments)}, one for each of "
                f"{', '.join(map(repr, arguments))}, would fit"
            )
        return dict(zip(arguments, entries, strict=True))

    def _converted(self, spec: Any, value: Any, path: str) -> Any:
        if spec is None:
            return None
        if isinstance(value, torch.Tensor):
            return self._tensor(spec, value, path)
        if isinstance(value, Mapping) and isinstance(spec, Mapping):
            return {k: self._converted(spec.get(k), v, f"{path}.{k}") for k, v in value.items()}
        if isinstance(value, list | tuple) and isinstance(spec, Sequence):
            if len(spec) != len(value):
                raise InvalidModelError(
                    f"dynamic_shapes has {len(spec)} entries for the {len(value)} items of {path!r}"
                )
            parts = zip(spec, value, keys_of(pytree.tree_structure(value)), strict=True)
            found = [self._converted(s, v, f"{path}.{key}") for s, v, key in parts]
            fields = getattr(value, "_fields", None)
            return type(value)(*found) if fields else type(value)(found)
        kind = pytree.SUPPORTED_NODES.get(type(value))
        if kind is None or not isinstance(spec, Sequence):
            return spec
        # an object that pytree knows: its children, as torch.export has it
        children, keys = list(kind.flatten_fn(value)[0]), keys_of(pytree.tree_structure(value))
        parts = zip(spec, children, keys, strict=True)
        return [self._converted(s, v, f"{path}.{key}") for s, v, key in parts]

    def _tensor(self, spec: Any, value: Any, path: str) -> Any:
        if not isinstance(spec, Mapping | list | tuple):
            return spec
        if not isinstance(spec, Mapping) and len(spec) != value.ndim:
            raise InvalidModelError(
                f"dynamic_shapes has {len(spec)} dims for {path!r} of shape {list(value.shape)}"
            )
        found = {}
        for axis, dim in spec.items() if isinstance(spec, Mapping) else enumerate(spec):
            axis += value.ndim if axis < 0 else 0
            if type(dim) is int and not isinstance(spec, Mapping) and dim != value.shape[axis]:
                raise InvalidModelError(
                    f"dynamic_shapes has {dim} for dim {axis} of {path!r}, whose shape is "
                    f"{list(value.shape)}"
                )
            found[axis] = self._dim(dim, path, axis)
        return {axis: dim for axis, dim in found.items() if dim is not None}

    def _dim(self, dim: Any, path: str, axis: int) -> Any:
        if dim is None or type(dim) is int:
            return None
        if not isinstance(dim, str):
            if isinstance(name := getattr(dim, "__name__", None), str):
                self.names[path, axis] = parse(name)
            if isinstance(low := getattr(dim, "min", None), int):
                self.least[path, axis] = low
            return dim
        expression = parse(dim)
        if isinstance(expression, int):
            return None
        self.names[path, axis] = expression
        terms = dict(terms_of(expression))
        offset = terms.pop((), 0)
        ((monomial, factor),) = terms.items() if len(terms) == 1 else [((), 0)]
        if len(monomial) != 1 or monomial[0].kind != "symbol":
            raise InvalidModelError(
                f"dynamic_shapes: {dim!r} for dim {axis} of {path!r}; a symbol, or a multiple of "
                "one and a number, as in '2*N + 1', would fit"
            )
        root = self._symbol(str(monomial[0]))
        made = root if factor == 1 else factor * root
        return made + offset if offset else made

    def _symbol(self, name: str) -> Any:
        if name not in self._dims:
            plain = isinstance(sympy.sympify(name), sympy.Symbol)  # N, S, E, ... are functions
            theirs = name if plain else f"{name}_"
            low, high = self._bounds.get(theirs, (0, None))
            self._dims[name] = TorchDim(theirs, min=low, max=high)
        return self._dims[name]

    def within(self, problem: str) -> DynamicShapes | None:
        """The same with the bounds that PyTorch suggests for symbols in strings, which have none of
        their own; None if it suggests something else, or nothing."""
        theirs = {dim.__name__ for dim in self._dims.values()}
        fixes = problem.partition("Suggested fixes:")[2]
        found = {}
        for pattern, text in ((_BOUNDS, fixes.strip().split("\n\n")[0]), (_DEMANDED, problem)):
            for name, low, high in pattern.findall(text):
                if name in theirs and name not in self._bounds:
                    found[name] = int(low or 0), int(high) if high.isdigit() else None
        bounds = {**self._bounds, **found}
        return DynamicShapes(self._given, self._arguments, bounds) if found else None

    @staticmethod
    def is_tied(problem: str) -> bool:
        """Whether PyTorch finds that sizes said to be free are fixed, or the same."""
        return bool(_TIED.search(problem.partition("Suggested fixes:")[2]))

    def renamed(self, path: str, axis: int) -> SymbolicDim | None:
        """The name that a caller gave to a size, if it is a plain one."""
        found = self.names.get((path, axis))
        is_symbol = isinstance(found, SymbolicDim) and str(found).isidentifier()
        return found if is_symbol else None  # type: ignore[return-value]
