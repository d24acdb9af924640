"""Which layers and ops of Keras have a translation, and what a translation is.

That of a layer class is a function of the tracer and the layer; it returns a layer of the builder,
with the weights of the Keras one, which is then called on what the Keras one is called on. That of
an op class of `keras.ops` is a function of an `OpCall` and the arguments of the call; it emits ops
and returns tensors. Either raises `Refused` for settings that it cannot express.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

#: Name of a class of `keras.layers` → its translation.
LAYERS: dict[str, Callable[..., Any]] = {}
_STRINGS = "it takes strings, which compiled models do not"
_OTHERS = "it calls a model of another framework"
#: Name of a class of `keras.layers` → why a compiled model cannot have it.
REFUSED_LAYERS: dict[str, str] = {
    "ContrastLimitedAdaptiveHistogramEqualization": "it gathers histograms of tiles",
    "FlaxLayer": _OTHERS,
    "HashedCrossing": "it hashes strings",
    "Hashing": "it hashes strings",
    "IntegerLookup": "Keras leaves it to TensorFlow's hash tables",
    "JaxLayer": _OTHERS,
    "MaxNumBoundingBoxes": "it prepares boxes for training",
    "StringLookup": _STRINGS,
    "TFSMLayer": _OTHERS,
    "TextVectorization": _STRINGS,
    "TorchModuleWrapper": f"{_OTHERS}: lc.from_torch takes it",
}
#: `numpy.Add`, module and class of `keras.ops` → its translation.
OPS: dict[str, Callable[..., Any]] = {}

#: What a subclass may define anew and still be translated as the class that it is made of.
_HARMLESS = frozenset(
    {
        "__init__", "__doc__", "__module__", "__qualname__", "__firstlineno__", "__annotations__",
        "__static_attributes__", "get_config", "from_config", "build", "compute_output_shape",
        "compute_output_spec", "__parameters__", "__orig_bases__",
    }
)  # fmt: skip


class Refused(Exception):
    """Raised by a translation for what it cannot express; the text says which and why."""


def translates_layer(*names: str) -> Callable[[F], F]:
    """Registers a function as the translation of classes of `keras.layers`."""

    def register(function: F) -> F:
        for name in names:
            enter(LAYERS, name, function)
        return function

    return register


def translates_op(*names: str) -> Callable[[F], F]:
    """Registers a function as the translation of classes of `keras.ops`: `numpy.Add`."""

    def register(function: F) -> F:
        for name in names:
            enter(OPS, name, function)
        return function

    return register


def enter(table: dict[str, Callable[..., Any]], name: str, function: Callable[..., Any]) -> None:
    """Enters one translation. ValueError if there is one."""
    if name in table:
        raise ValueError(f"{name} has two translations")
    table[name] = function


def is_kerass(cls: type) -> bool:
    """Whether a class is Keras' own."""
    return cls.__module__.partition(".")[0] == "keras"


def layer_class(kind: type) -> str | None:
    """The class of `keras.layers` whose table entry counts for a layer of that type.

    That is its own, or that of a class that it derives from without changing what is computed.
    """
    overridden: set[str] = set()
    for cls in kind.__mro__:
        if is_kerass(cls):
            known = cls.__name__ in LAYERS or cls.__name__ in REFUSED_LAYERS
            return cls.__name__ if known and not overridden & set(dir(cls)) else None
        overridden |= set(vars(cls)) - _HARMLESS
    return None


def op_name(kind: type) -> str:
    """`numpy.Add` for the class of a Keras op, the full name for another's."""
    if is_kerass(kind):
        return f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}"
    return f"{kind.__module__}.{kind.__qualname__}"
