"""How a module is called: its arguments and results as trees of tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from ir.diagnostics import InputError
from ir.types import format_shape
from layercc.frontends.torch.assumptions import Assumption
from layercc.frontends.torch.exporting import call_arguments
from layercc.frontends.torch.tensors import as_array, as_tensor

_SHAPES_KEPT = 256


@dataclass(frozen=True)
class Leaf:
    """A place in arguments or results: its path (`batch.mask`), and the number of the tensor that
    stands there; None for a `value` that is no tensor. `is_size`: an int, of a tensor's shape."""

    path: str
    number: int | None
    value: Any = None
    is_size: bool = False


@dataclass(frozen=True)
class SizeRange:
    """What a dim of an input may be: between two sizes, both included."""

    number: int  # of the input
    axis: int
    name: str
    low: int
    high: int | None

    def check(self, shape: Sequence[int], path: str) -> None:
        size = shape[self.axis] if self.axis < len(shape) else self.low
        if size < self.low or (self.high is not None and size > self.high):
            fits = f"at least {self.low}" if self.high is None else f"{self.low}..{self.high}"
            raise InputError(
                f"input {path!r} is {format_shape(shape)}: dim {self.axis} ({self.name}) is {size};"
                f" {fits} would fit"
            )


@dataclass(frozen=True)
class ModuleSignature:
    """The structure of a module's arguments and results (`ir.structured.Structure`).

    `positional` are the names of the parameters that examples were given for by position.
    """

    positional: tuple[str, ...]
    in_spec: Any
    out_spec: Any
    inputs: tuple[Leaf, ...]
    outputs: tuple[Leaf, ...]
    ranges: tuple[SizeRange, ...] = ()
    assumptions: tuple[Assumption, ...] = ()

    @cached_property
    def are_tensors(self) -> bool:
        """Whether the arguments are tensors by position, and nothing else."""
        args = self.in_spec.child(0)
        leaves = all(args.child(i).is_leaf() for i in range(args.num_children))
        alone = leaves and args.num_children == len(self.inputs)
        return alone and all(leaf.number is not None for leaf in self.inputs)

    @cached_property
    def is_tensor(self) -> bool:
        """Whether the result is one tensor."""
        return self.out_spec.is_leaf() and not self.outputs[0].is_size

    def arguments(self, example_inputs: Any) -> tuple[Sequence[Any], Mapping[str, Any]]:
        return call_arguments(example_inputs)

    def flatten(self, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> list[Any]:
        """What the call gives to the graph's inputs; memory of tensors is shared.

        Raises InputError where arguments are missing or have another structure, where one that is
        no tensor differs from the example's, and for sizes out of range.
        """
        leaves: Sequence[Any] = arguments
        if not self.are_tensors or keywords or not _all_tensors(arguments, len(self.inputs)):
            leaves, spec = pytree.tree_flatten(self._as_exported(arguments, keywords))
            if spec != self.in_spec:
                fits = _pattern(self.in_spec)
                raise InputError(f"called with {_pattern(spec)}; {fits} would fit")
        found: list[Any] = []
        for leaf, given in zip(self.inputs, leaves, strict=True):
            if leaf.number is None:
                if type(given) is not type(leaf.value) or given != leaf.value:
                    raise InputError(
                        f"argument {leaf.path!r} is {given!r}; the model was made for "
                        f"{leaf.value!r}, which is part of it"
                    )
            elif isinstance(given, torch.Tensor):
                found.append(as_array(given, f"input {leaf.path!r}"))
            else:
                found.append(given)
        for limits in self.ranges:
            limits.check(np.shape(found[limits.number]), self._path_of(limits.number))
        if self.assumptions:
            self._check_assumptions(tuple(map(np.shape, found)))
        return found

    def _check_assumptions(self, shapes: tuple[tuple[int, ...], ...]) -> None:
        if shapes in self._fitting:
            return
        for assumption in self.assumptions:
            assumption.check(shapes)
        if len(self._fitting) >= _SHAPES_KEPT:
            self._fitting.clear()
        self._fitting.add(shapes)

    @cached_property
    def _fitting(self) -> set[Any]:
        """Shapes that have been found to keep the assumptions."""
        return set()

    def restore(self, outputs: Sequence[Any]) -> Any:
        if self.is_tensor:
            return outputs[0]
        leaves = [self._restored(leaf, outputs) for leaf in self.outputs]
        if self.holds_arrays:
            try:
                return pytree.tree_unflatten(leaves, self.out_spec)
            except (TypeError, AttributeError, ValueError):
                self.__dict__["holds_arrays"] = False
        leaves = [as_tensor(x) if isinstance(x, np.ndarray) else x for x in leaves]
        return pytree.tree_unflatten(leaves, self.out_spec)

    @cached_property
    def holds_arrays(self) -> bool:
        """Whether the classes in the result can be made of arrays; those that cannot, as the caches
        of keys and values of transformers, are made of tensors."""
        return True

    @staticmethod
    def _restored(leaf: Leaf, outputs: Sequence[Any]) -> Any:
        if leaf.number is None:
            return leaf.value
        return int(outputs[leaf.number]) if leaf.is_size else outputs[leaf.number]

    def _as_exported(
        self, arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments by position and by name as the examples were."""
        given, named = list(arguments), dict(keywords)
        for name in self.positional[len(given) :]:
            if name not in named:
                raise InputError(f"argument {name!r} is missing; {self._expected()} would fit")
            given.append(named.pop(name))
        by_name = self._keywords()
        extra, given = given[len(self.positional) :], given[: len(self.positional)]
        free = [name for name in by_name if name not in named]
        if len(extra) > len(free) or (extra and self.positional and not by_name):
            raise InputError(
                f"{len(arguments)} arguments given by position; {self._expected()} would fit"
            )
        named |= dict(zip(free, extra, strict=False))
        for name in by_name:
            if name not in named:
                raise InputError(f"argument {name!r} is missing; {self._expected()} would fit")
        for name in named:
            if name not in by_name:
                raise InputError(f"there is no argument {name!r}; {self._expected()} would fit")
        return tuple(given), {name: named[name] for name in by_name}

    def _keywords(self) -> list[str]:
        return list(self.in_spec.child(1).context)

    def _expected(self) -> str:
        return f"({', '.join([*self.positional, *self._keywords()])})"

    def _path_of(self, number: int) -> str:
        return next(leaf.path for leaf in self.inputs if leaf.number == number)


def _all_tensors(arguments: Sequence[Any], count: int) -> bool:
    return len(arguments) == count and all(
        type(given) is torch.Tensor or type(given) is np.ndarray for given in arguments
    )


def _pattern(spec: Any) -> str:
    """A tree of arguments as text: `(*, {'mask': *})`."""
    args, kwargs = spec.child(0), spec.child(1)
    parts = [_drawn(args.child(i)) for i in range(args.num_children)]
    for i, name in enumerate(kwargs.context):
        parts.append(f"{name}={_drawn(kwargs.child(i))}")
    return f"({', '.join(parts)})"


def _drawn(spec: Any) -> str:
    if spec.is_leaf():
        return "*"
    parts = [_drawn(spec.child(i)) for i in range(spec.num_children)]
    if spec.type in (list, tuple):
        return ("[{}]" if spec.type is list else "({})").format(", ".join(parts))
    if spec.type is dict:
        named = [f"{key!r}: {part}" for key, part in zip(spec.context, parts, strict=True)]
        return f"{{{', '.join(named)}}}"
    return f"{spec.type.__name__}({', '.join(parts)})"
