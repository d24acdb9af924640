"""Symbolic tensors: what layers take and give while a model is described.

A tensor remembers the application of an op that made it, so that `Model(inputs, outputs)` finds
every one between its inputs and its outputs by walking back from the outputs.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

import ir.ops  # noqa: F401  fills the op registry
from ir.diagnostics import Diagnostic, ShapeError, Source
from ir.dims import Dim
from ir.dtypes import DType, dtype_of
from ir.graph import Node
from ir.inference import Inference, extend
from ir.types import TensorType

if TYPE_CHECKING:
    from layercc.layers.layer import Layer

_counter = itertools.count()


class SymbolicTensor:
    """A value with a known type and no data: a model input, a weight, or the result of a layer.

    `+ - * / **` with tensors, arrays and numbers make new tensors, as in Keras.
    """

    def __init__(self, kind: TensorType, application: Application | None = None) -> None:
        self.type = kind
        self.application = application
        #: The value, where it is known while the model is described (shapes, axes).
        self.value: np.ndarray | None = None
        #: Keras' mask: a boolean tensor, false for positions that do not count.
        self.mask: SymbolicTensor | None = None

    @property
    def shape(self) -> tuple[Dim, ...]:
        return self.type.shape

    @property
    def dtype(self) -> DType:
        return self.type.dtype

    @property
    def rank(self) -> int:
        return self.type.rank

    def __add__(self, other: Any) -> SymbolicTensor:
        return _operator("Add", self, other)

    def __radd__(self, other: Any) -> SymbolicTensor:
        return _operator("Add", other, self)

    def __sub__(self, other: Any) -> SymbolicTensor:
        return _operator("Sub", self, other)

    def __rsub__(self, other: Any) -> SymbolicTensor:
        return _operator("Sub", other, self)

    def __mul__(self, other: Any) -> SymbolicTensor:
        return _operator("Mul", self, other)

    def __rmul__(self, other: Any) -> SymbolicTensor:
        return _operator("Mul", other, self)

    def __truediv__(self, other: Any) -> SymbolicTensor:
        return _operator("Div", self, other)

    def __rtruediv__(self, other: Any) -> SymbolicTensor:
        return _operator("Div", other, self)

    def __pow__(self, other: Any) -> SymbolicTensor:
        return _operator("Pow", self, other)

    def __matmul__(self, other: Any) -> SymbolicTensor:
        return _operator("MatMul", self, other)

    def __neg__(self) -> SymbolicTensor:
        return _operator("Neg", self)

    __array_ufunc__ = None  # an array on the left leaves the operator to this class

    def __bool__(self) -> bool:
        raise TypeError("a symbolic tensor has no truth value: it holds no data yet")

    def __repr__(self) -> str:
        return f"SymbolicTensor({self.type})"


class Placeholder(SymbolicTensor):
    """A model input; made by `Input`."""

    def __init__(self, kind: TensorType, name: str | None) -> None:
        super().__init__(kind)
        self.name = name


class Constant(SymbolicTensor):
    """An array that is no weight: a shape, axes, a factor. `name`: in the graph, if free."""

    def __init__(self, array: Any, name: str | None = None) -> None:
        array = np.asarray(array)
        super().__init__(TensorType(dtype_of(array), array.shape))
        self.value = array
        self.name = name


@dataclass(eq=False)
class LayerCall:
    """One use of a layer. `arguments` and `results` are what a model needs to replay the use."""

    layer: Layer
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    index: int = field(default_factory=lambda: next(_counter))
    results: Any = None


@dataclass(eq=False)
class Application:
    """One node to be: an op applied to tensors, in the course of a layer call."""

    op: str
    inputs: tuple[SymbolicTensor | None, ...]
    attributes: dict[str, Any]
    call: LayerCall
    layer: Layer  # the innermost layer: a wrapper's call runs the layers inside it
    outputs: tuple[SymbolicTensor | None, ...] = ()
    index: int = field(default_factory=lambda: next(_counter))


#: The layer call under way, and the layer that is emitting ops in it.
_current: ContextVar[tuple[LayerCall, Layer] | None] = ContextVar("layer_call", default=None)


@contextmanager
def calling(
    layer: Layer, arguments: tuple[Any, ...], options: dict[str, Any]
) -> Iterator[LayerCall]:
    """Ops emitted inside belong to a call of `layer`; nested calls join the outermost one."""
    outer = _current.get()
    call = outer[0] if outer else LayerCall(layer, arguments, options)
    token = _current.set((call, layer))
    try:
        yield call
    finally:
        _current.reset(token)


def current_layer() -> Layer | None:
    """The layer whose call is under way."""
    current = _current.get()
    return current[1] if current else None


def emit(
    op: str, *inputs: Any, results: int = 1, absent: Sequence[int] = (), **attributes: Any
) -> Any:
    """Applies an ONNX op inside a layer's `call`; the result is a tensor, or a tuple of `results`,
    None for those named in `absent`.

    Inputs are tensors, arrays or numbers (which take the dtype of the first tensor), or None for
    an absent optional input. Attributes that are None are left out. Raises ShapeError that names
    the layer when the types do not fit.
    """
    current = _current.get()
    if current is None:
        raise RuntimeError(f"emit({op!r}) outside a layer's call")
    call, layer = current
    like = next((given.dtype for given in inputs if isinstance(given, SymbolicTensor)), None)
    tensors = tuple(given if given is None else as_tensor(given, like) for given in inputs)
    attributes = {name: value for name, value in attributes.items() if value is not None}
    application = Application(op, tensors, attributes, call, layer)
    names = ["" if i in absent else f"out{i}" for i in range(results)]
    application.outputs = tuple(_typed_outputs(application, names))
    return application.outputs[0] if results == 1 else application.outputs


def as_tensor(given: Any, like: DType | None = None) -> SymbolicTensor:
    """A tensor as it is; an array or number as a constant (a plain number in the dtype `like`)."""
    if isinstance(given, SymbolicTensor):
        return given
    if isinstance(given, int | float) and like is not None:
        return Constant(np.asarray(given, like.value))
    return Constant(given)


def _typed_outputs(
    application: Application, names: Sequence[str]
) -> Iterator[SymbolicTensor | None]:
    """The application's outputs, typed by the op's own shape rule."""
    given = [
        (f"in{i}" if tensor is not None else "", tensor)
        for i, tensor in enumerate(application.inputs)
    ]
    node = Node(
        application.op, tuple(name for name, _ in given), tuple(names), application.attributes
    )
    present = {name: tensor for name, tensor in given if tensor is not None}
    found = Inference(
        {name: t.type for name, t in present.items()},
        {name: t.value for name, t in present.items() if t.value is not None},
    )
    extend(found, [node])
    if found.errors:
        problem = found.errors[0]
        seen = ", ".join("absent" if t is None else str(t.type) for t in application.inputs)
        raise layer_error(
            application.layer, f"{problem.message} ({application.op} of {seen})", problem.code
        )
    for name in names:
        if not name:
            yield None
            continue
        tensor = SymbolicTensor(found.types[name], application)
        tensor.value = found.values.get(name)
        yield tensor


def layer_error(layer: Layer, message: str, code: str = "shape-mismatch") -> ShapeError:
    """The error for a layer that its inputs do not fit: names it and where it was made."""
    kind = type(layer).__name__
    problem = Diagnostic(code, message, layer.path or kind.lower(), kind, layer.source)
    return ShapeError(str(problem), [problem])


def caller() -> Source | None:
    """The user's line: the innermost frame outside this package, and what makes layers of ops."""
    frame = sys._getframe(1)
    ours = (__package__, "layercc.own.")
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith(ours):
        frame = frame.f_back  # type: ignore[assignment]
    return Source(frame.f_code.co_filename, frame.f_lineno) if frame is not None else None


def map_tensors(function: Callable[[SymbolicTensor], Any], tree: Any) -> Any:
    """`tree` (tensors in lists, tuples and dicts) with each tensor replaced."""
    if isinstance(tree, SymbolicTensor):
        return function(tree)
    if isinstance(tree, list | tuple):
        return type(tree)(map_tensors(function, part) for part in tree)
    if isinstance(tree, dict):
        return {key: map_tensors(function, part) for key, part in tree.items()}
    return tree


def tensors_in(tree: Any) -> list[SymbolicTensor]:
    """The tensors of a tree, in order."""
    found: list[SymbolicTensor] = []
    map_tensors(found.append, tree)
    return found


def _operator(op: str, *operands: Any) -> SymbolicTensor:
    return emit(op, *operands) if current_layer() else _as_layer[0](op, *operands)


#: Applies an op outside of any layer. `layercc.layers.layer` says how, for layers are made of
#: tensors, not they of layers.
_as_layer: list[Callable[..., SymbolicTensor]] = []


def applies_operators(function: Callable[..., SymbolicTensor]) -> Callable[..., SymbolicTensor]:
    """Says what applies operators (its arguments: the op, the operands) outside of any layer."""
    _as_layer[:] = [function]
    return function


def ints(*values: Any) -> np.ndarray:
    """An operand of shapes, axes or sizes."""
    return np.array(values, np.int64)
