"""How a Keras model is called: one argument that holds tensors, or several; and what it returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ir.diagnostics import InputError


@dataclass(frozen=True)
class Place:
    """Where a tensor stands in a tree: its number in the graph, and the name of the input."""

    number: int
    name: str = ""
    dtype: Any = None
    rank: int = -1


@dataclass(frozen=True)
class KerasSignature:
    """The structure of arguments and results (`ir.structured.Structure`), without Keras.

    `takes` is a tuple of trees of `Place`s, one for each argument, which are called `parameters`;
    `gives` is the tree of results. Trees are lists, tuples and dicts.
    """

    parameters: tuple[str, ...]
    takes: tuple[Any, ...]
    gives: Any

    def arguments(self, example_inputs: Any) -> tuple[Sequence[Any], Mapping[str, Any]]:
        several = len(self.takes) > 1
        if isinstance(example_inputs, tuple) and (several or len(example_inputs) == 1):
            return example_inputs, {}
        if isinstance(example_inputs, dict) and several:
            return (), example_inputs
        return (example_inputs,), {}

    def flatten(self, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> list[Any]:
        """What the call gives to the graph's inputs, in their dtypes, as Keras casts them.

        A list of inputs may be given one by one, or by name in a dict. Raises InputError.
        """
        found: dict[int, Any] = {}
        given = list(arguments)
        if len(self.takes) == 1:
            tree = self.takes[0]
            if not given and keywords and self.parameters[0] not in keywords:
                given, keywords = [dict(keywords)], {}
            elif len(given) > 1 and isinstance(tree, list | tuple) and not keywords:
                given = [given]
        for name in self.parameters[len(given) :]:
            if name not in keywords:
                raise InputError(f"argument {name!r} is missing; {self._expected()} would fit")
            given.append(keywords[name])
        extra = set(keywords) - set(self.parameters)
        if len(given) > len(self.takes) or extra:
            raise InputError(f"more is given than the model takes; {self._expected()} would fit")
        for tree, value in zip(self.takes, given, strict=True):
            self._take(tree, value, found)
        return [found[number] for number in range(len(found))]

    def restore(self, outputs: Sequence[Any]) -> Any:
        return _restored(self.gives, outputs)

    def _take(self, tree: Any, value: Any, found: dict[int, Any]) -> None:
        if isinstance(tree, Place):
            if isinstance(value, list | tuple) and len(value) == 1 and np.ndim(value[0]) > 0:
                value = value[0]
            if isinstance(value, Mapping) and tree.name in value:
                value = value[tree.name]
            found[tree.number] = _as_declared(value, tree)
            return
        if isinstance(tree, dict):
            if not isinstance(value, Mapping) or set(tree) - set(value):
                raise InputError(f"called with {_kind(value)}; {_drawn(tree)} would fit")
            for key, part in tree.items():
                self._take(part, value[key], found)
            return
        if isinstance(value, Mapping):
            names = [part.name if isinstance(part, Place) else "" for part in tree]
            if set(names) <= set(value):
                value = [value[name] for name in names]
        elif len(tree) == 1 and not isinstance(value, list | tuple):
            value = [value]
        if not isinstance(value, list | tuple) or len(value) != len(tree):
            raise InputError(f"called with {_kind(value)}; {_drawn(tree)} would fit")
        for part, item in zip(tree, value, strict=True):
            self._take(part, item, found)

    def _expected(self) -> str:
        return f"({', '.join(map(_drawn, self.takes))})"


def _as_declared(value: Any, place: Place) -> Any:
    """An array in the dtype and rank of the input, as Keras converts what a model is given."""
    try:
        if type(value).__module__.partition(".")[0] == "torch":
            value = value.detach()
        array = np.asarray(value)
    except Exception as error:  # whatever the conversion of a foreign object raises
        raise InputError(
            f"input {place.name!r}: a {type(value).__name__} does not become an array: {error}"
        ) from error
    if array.dtype.kind not in "biuf" and array.dtype != place.dtype:
        return array  # the model says what would fit
    if array.dtype != place.dtype:
        array = array.astype(place.dtype)
    if array.ndim == place.rank + 1 and array.shape[-1] == 1:
        return array[..., 0]
    return array[..., None] if array.ndim == place.rank - 1 and array.ndim > 0 else array


def _restored(tree: Any, outputs: Sequence[Any]) -> Any:
    if isinstance(tree, Place):
        return outputs[tree.number]
    if isinstance(tree, dict):
        return {key: _restored(part, outputs) for key, part in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_restored(part, outputs) for part in tree)
    return tree


def _drawn(tree: Any) -> str:
    if isinstance(tree, Place):
        return tree.name or "*"
    if isinstance(tree, dict):
        return f"{{{', '.join(f'{key!r}: {_drawn(part)}' for key, part in tree.items())}}}"
    return f"[{', '.join(map(_drawn, tree))}]"


def _kind(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, Mapping):
        return f"a dict of {', '.join(map(repr, value))}"
    return f"a {type(value).__name__}"
