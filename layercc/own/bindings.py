"""Which op of a user's stands for a class or an op of another framework.

Front ends ask `translation_of`; it knows nothing of the frameworks.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ir.registry import Op, find_op
from layercc.own.parameters import Parameters, as_attributes, described, fail

#: Front end, and the class or the name of a custom op → what stands for it.
_TRANSLATIONS: dict[tuple[str, Any], Translation] = {}


@dataclass(frozen=True)
class Translation:
    """An op that stands for something of another framework; `function` is what it was made of.

    `applied` is the op as `lc.op` gives it: what the builder applies to tensors.
    """

    name: str
    function: Any
    parameters: Parameters
    applied: Any

    @property
    def op(self) -> type[Op]:
        """The definition."""
        found = find_op(self.name)
        assert found is not None
        return found

    def of_call(
        self, args: Sequence[Any], keywords: Mapping[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        """Inputs and attributes of the op, from the arguments of a function of the same parameters.

        Raises TypeError where they do not fit.
        """
        names = {item.name for item in self.parameters.inputs}
        variadic = {item.name for item in self.parameters.inputs if item.variadic}
        parameter, behind = inspect.Parameter, False
        parameters = []
        for name in self.parameters.order:
            kind = parameter.KEYWORD_ONLY if behind else parameter.POSITIONAL_OR_KEYWORD
            if name in variadic:
                parameters.append(parameter(name, parameter.VAR_POSITIONAL))
                behind = True
            else:
                parameters.append(parameter(name, kind, default=None))
        bound = inspect.Signature(parameters).bind(*args, **keywords).arguments
        inputs: list[Any] = []
        for item in self.parameters.inputs:
            if item.variadic:
                inputs += bound.get(item.name, ())
            else:
                inputs.append(bound.get(item.name))
        given = {n: v for n, v in bound.items() if n not in names and v is not None}
        return inputs, as_attributes(self.function, self.parameters, given)

    def of_layer(
        self, given: Sequence[Any], layer: object, as_input: Callable[[Any], Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        """Inputs and attributes of the op, from a call of a layer of another framework.

        What the layer is called with are the first inputs. Further inputs (weights) and attributes
        are the layer's own, under the same names; `as_input` makes an input of what it holds.
        Raises TypeError for an input that the layer does not have.
        """
        inputs = list(given)
        for item in self.parameters.inputs[len(inputs) :]:
            if item.variadic:
                break
            held = getattr(layer, item.name, None)
            if held is None and not item.optional:
                raise TypeError(
                    f"{described(self.function)} takes {item.name!r}; "
                    f"{type(layer).__name__} has no such attribute"
                )
            inputs.append(None if held is None else as_input(held))
        missing = object()
        held = {name: getattr(layer, name, missing) for name in self.parameters.attributes}
        found = {name: value for name, value in held.items() if value is not missing}
        return inputs, as_attributes(self.function, self.parameters, found)


def translation_of(front_end: str, key: Any) -> Translation | None:
    """What a user registered for a class, or the classes that it derives from, or for the name of
    a custom op (`"my::op"`)."""
    for each in key.__mro__ if isinstance(key, type) else (key,):
        found = _TRANSLATIONS.get((front_end, each))
        if found is not None:
            return found
    return None


def translated(front_end: str) -> list[Any]:
    """The classes and names that have a translation."""
    return [key for name, key in _TRANSLATIONS if name == front_end]


def bind(front_end: str, given: Any, translation: Translation) -> None:
    """Enters what stands for a class or custom op. OpDefinitionError if another op does already."""
    key = _key(given)
    if not isinstance(key, type) and (front_end != "torch" or "::" not in (key or "")):
        fits = "a class" if front_end != "torch" else "a class, or a custom op or its name 'my::op'"
        fail(translation.function, f"{front_end}={given!r}: {fits} would fit")
    known = _TRANSLATIONS.get((front_end, key))
    if known is not None and known.name != translation.name:
        fail(
            translation.function,
            f"{front_end}={given!r} is bound to {known.name} of {described(known.function)}",
        )
    _TRANSLATIONS[front_end, key] = translation


def _key(given: Any) -> Any:
    """A class, or the name of a custom op, of what a user may give for one."""
    if isinstance(given, str | type):
        return given
    for name in ("_qualname", "_qualified_op_name"):  # torch.library.custom_op, torch.ops.my.op
        if isinstance(found := getattr(given, name, None), str):
            return found
    found = getattr(given, "_name", None)  # torch.ops.my.op.default
    return found.partition(".")[0] if isinstance(found, str) else None
