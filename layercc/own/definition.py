"""`lc.op`: a function of a user's becomes an op."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

import numpy as np

from ir.graph import Node
from ir.interpreter import run_node
from ir.registry import Op, find_op, register
from layercc.layers.layer import Layer
from layercc.layers.tensor import SymbolicTensor, tensors_in
from layercc.own.arrays import arrays_class
from layercc.own.bindings import Translation, bind
from layercc.own.composite import composite_class, results_of, weights_of
from layercc.own.layer import layer_class
from layercc.own.parameters import (
    Parameters,
    as_attributes,
    described,
    fail,
    parameters_of,
    python_function,
    source_of,
)
from layercc.own.pointwise import pointwise_class
from layercc.own.rules import DtypeRule, ShapeRule, Types, constraints_of

#: What arrays can hold for a function that Numba compiles.
_ARRAY_TYPES = "array"
_RESERVED = ("", "ai.onnx", "ai.onnx.ml", "layercc", "com.microsoft")


class OwnOp:
    """An op that a user defined.

    Called on tensors of the builder, it is applied to them as a layer; on arrays or numbers, it
    computes, as the interpreter does. `layer(...)` is a layer of it, for a `Sequential`.
    """

    def __init__(self, function: Any, name: str, parameters: Parameters) -> None:
        functools.update_wrapper(self, python_function(function))
        self.py_func = python_function(function)
        self.name = name
        self.parameters = parameters
        self._layer_class = layer_class(self.py_func.__name__)

    @property
    def definition(self) -> type[Op]:
        """The op as the registry has it."""
        found = find_op(self.name)
        assert found is not None
        return found

    @property
    def count(self) -> int:
        """How many inputs the function has."""
        return len(self.parameters.inputs)

    def __call__(self, *inputs: Any, **attributes: Any) -> Any:
        """The op of tensors, arrays or numbers; attributes by keyword.

        Raises TypeError for attributes that the op does not have, ShapeError for tensors that do
        not fit, LayerccError for arrays that do not.
        """
        names = [item.name for item in self.parameters.inputs if not item.variadic]
        inputs = (*inputs, *(attributes.pop(name, None) for name in names[len(inputs) :]))
        while inputs and inputs[-1] is None:
            inputs = inputs[:-1]
        if tensors_in(list(inputs)):
            return self.layer(**attributes)(*inputs)
        made = as_attributes(self.py_func, self.parameters, attributes)
        arrays = {f"x{i}": np.asarray(x) for i, x in enumerate(inputs) if x is not None}
        given = tuple(f"x{i}" if f"x{i}" in arrays else "" for i in range(len(inputs)))
        node = Node(self.name, given, ("y",), made, self.py_func.__name__)
        with np.errstate(all="ignore"):
            found = run_node(node, arrays)
        return found[0] if len(found) == 1 else found

    def layer(self, *, name: str | None = None, **attributes: Any) -> Layer:
        """A layer that applies the op with these attributes."""
        made = as_attributes(self.py_func, self.parameters, attributes)
        return self._layer_class(self, made, name=name)

    def emitted(
        self, layer: Layer, inputs: Sequence[Any], attributes: Mapping[str, Any]
    ) -> tuple[list[SymbolicTensor], int]:
        """What a layer of the op gives it besides the inputs, weights of layers inside of a
        composite; and how many results it has."""
        asked = self.definition, layer, inputs, attributes
        return weights_of(*asked), results_of(*asked)

    @property
    def is_importable(self) -> bool:
        """Whether its module has it under its name, so that another process can find it there."""
        found: Any = sys.modules.get(self.__module__)
        for part in self.py_func.__qualname__.split("."):
            found = getattr(found, part, None)
        return found is self

    def __reduce__(self) -> str:
        return self.py_func.__qualname__

    def __repr__(self) -> str:
        return f"<op {self.name} of {described(self.py_func)}>"


@overload
def op(function: Callable[..., Any], /) -> OwnOp: ...


@overload
def op(
    *,
    domain: str = "own",
    name: str | None = None,
    version: int = 1,
    types: Types | None = None,
    dtype: DtypeRule = None,
    shape: ShapeRule | None = None,
    outputs: Sequence[str] = ("out",),
    parallel: Sequence[str] = (),
    composite: bool = False,
    torch: Any = None,
    keras: Any = None,
) -> Callable[[Callable[..., Any]], OwnOp]: ...


def op(
    function: Callable[..., Any] | None = None,
    /,
    *,
    domain: str = "own",
    name: str | None = None,
    version: int = 1,
    types: Types | None = None,
    dtype: DtypeRule = None,
    shape: ShapeRule | None = None,
    outputs: Sequence[str] = ("out",),
    parallel: Sequence[str] = (),
    composite: bool = False,
    torch: Any = None,
    keras: Any = None,
) -> Any:
    """Decorator: makes an op of a function.

    A function of scalars gives a pointwise op, which broadcasts its inputs and is fused with its
    neighbours. It may use operators, functions of `math`, and NumPy's on single elements; branches
    are compiled, but `np.where` is what vectorises.

    With `shape`, a function of arrays, Numba's or plain Python that Numba can compile, gives an op
    of its own: `def f(x, y, out)` writes into `out`, which has the shape that the rule tells.
    `outputs` are the parameters that it writes. With `parallel`, the names of inputs and outputs,
    it may be called on parts of these, split along their first axis, several at once.

    With `composite`, a function of tensors of the builder gives an op that stands for what it
    makes. Layers in it that have weights get them as further inputs of the op.

    Positional parameters without a default are inputs, None is the default of one that may be left
    out, `*xs` any number; parameters with other defaults are attributes.

    `domain`, `name` (the function's) and `version`: what ONNX files call the op. `types`: the set
    of element types that inputs may have, by input if it is not the same for all. `dtype`: the
    element type of the output, the name of an input that has it, or a function of the inputs'
    types (`"f32"`) and the attributes; the first input's if None. `shape`: a function of the
    inputs' shapes, which may be symbolic, and the attributes; it refuses shapes by an exception.
    `torch`: a module class, or a custom op, that the op stands for; `keras`: a layer class.

    Raises OpDefinitionError for a function that cannot become an op, a name that another has, or
    options that contradict each other.
    """

    def decorate(function: Callable[..., Any]) -> OwnOp:
        plain = python_function(function)
        arrays = shape is not None
        if arrays and composite:
            fail(function, "composite=True and shape= exclude each other: a composite has no rule")
        if not arrays and plain is not function and not isinstance(function, OwnOp):
            fail(
                function,
                "a Numba function of arrays needs a rule for the shape of its result, "
                "shape=lambda x: x for instance; a function of scalars needs no @njit",
            )
        if not arrays and (parallel or tuple(outputs) != ("out",)):
            fail(function, "parallel= and outputs= are for functions of arrays, which have shape=")
        parameters = parameters_of(function, outputs if arrays else ())
        own = f"{_checked_domain(function, domain)}.{name or plain.__name__}"
        allowed = types or (_ARRAY_TYPES if arrays else "any" if composite else "float")
        declared, constraints = constraints_of(function, parameters, allowed)
        common = function, parameters, declared, constraints
        if composite:
            if dtype is not None:
                fail(function, "dtype= is for functions of scalars and arrays")
            made: type[Op] = composite_class(own, *common, version)
        elif arrays:
            assert shape is not None
            made = arrays_class(own, *common, dtype, shape, tuple(parallel), version)
        else:
            made = pointwise_class(own, *common, dtype, version)
        _register(function, made)
        applied = OwnOp(function, own, parameters)
        made.handle = applied
        translation = Translation(own, function, parameters, applied)
        for front_end, given in (("torch", torch), ("keras", keras)):
            if given is not None:
                bind(front_end, given, translation)
        return applied

    return decorate if function is None else decorate(function)


def _checked_domain(function: Any, domain: str) -> str:
    if domain in _RESERVED:
        fail(function, f"domain {domain!r} is not yours; any other would fit, 'own' for instance")
    return domain


def _register(function: Any, definition: type[Op]) -> None:
    """Enters the op. The same function defined again (a cell of a notebook run twice, a module that
    is reloaded) replaces what it was."""
    known = find_op(definition.name)
    if known is not None:
        before = getattr(known.handle, "py_func", None)
        if before is None or _place(before) != _place(function):
            where = f"of {known.origin}" if known.origin else "of layercc"
            fail(
                function, f"there is an op {definition.name} already, {where}; name= gives another"
            )
    register(definition, replaces=True)


def _place(function: Any) -> tuple[str, str]:
    return source_of(function).file, python_function(function).__qualname__
