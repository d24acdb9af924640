"""Module classes and custom ops of PyTorch that an op of the user's stands for.

While a module is captured, a call of a module whose class has an op becomes one node of it, a
custom op of PyTorch that only the importer knows. Its results have the shapes that the op's own
rule tells, so nothing of such a module needs to be traceable.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import torch

from ir.diagnostics import ShapeError
from ir.dims import Dim, symbol
from ir.dims.expression import terms_of
from ir.graph import Node
from ir.registry import Call, OpError, find_op
from ir.signature import check_signature
from ir.types import TensorType
from layercc.frontends.torch.dims import expression_of
from layercc.frontends.torch.paths import KEPT
from layercc.frontends.torch.registry import TRANSLATIONS, Refused
from layercc.frontends.torch.tensors import dtype_of, torch_dtype
from layercc.frontends.torch.translator import Translator
from layercc.own.bindings import Translation, translated, translation_of

_capturing: ContextVar[bool] = ContextVar("capturing", default=False)
_library = torch.library.Library("layercc_own", "DEF")
_library.define("call(str op, Tensor?[] inputs, str attributes) -> Tensor[]")


@torch.library.register_fake("layercc_own::call", lib=_library)  # type: ignore[misc]
def _shaped(op: str, inputs: Sequence[Any], attributes: str) -> list[Any]:
    """Tensors without data, of the shapes that the op's rule tells."""
    sizes: dict[str, Any] = {}  # our symbols → PyTorch's sizes
    kinds = [None if x is None else _type_of(x, sizes) for x in inputs]
    like = next(x for x in inputs if x is not None)
    return [
        like.new_empty([_size(dim, sizes) for dim in kind.shape], dtype=torch_dtype(kind.dtype))
        for kind in _results(op, kinds, _attributes(attributes))
    ]


def _attributes(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return {name: tuple(v) if isinstance(v, list) else v for name, v in found.items()}


def _type_of(tensor: Any, sizes: dict[str, Any]) -> TensorType:
    dims: list[Dim] = []
    for size in tensor.shape:
        expression = expression_of(size)
        if isinstance(expression, int):
            dims.append(expression)
            continue
        name = f"size_{abs(hash(expression))}"  # equal sizes are equal symbols
        sizes[name] = size
        dims.append(symbol(name))
    return TensorType(dtype_of(tensor.dtype), tuple(dims))


def _results(
    op: str, kinds: Sequence[TensorType | None], attributes: dict[str, Any]
) -> Sequence[TensorType]:
    """Types of all results of an op. ShapeError where the inputs do not fit."""
    definition = find_op(op)
    assert definition is not None
    names = tuple(f"x{i}" if kind else "" for i, kind in enumerate(kinds))
    call = Call(definition, Node(op, names, ("y",), attributes), kinds, dim_maker=symbol)
    try:
        check_signature(call)
        return definition.infer(call)
    except OpError as error:
        seen = ", ".join("absent" if kind is None else str(kind) for kind in kinds)
        raise ShapeError(f"op {op} (from {definition.origin}) on inputs {seen}: {error}") from None


def _size(dim: Dim, sizes: dict[str, Any]) -> Any:
    """A dim as PyTorch's size."""
    if isinstance(dim, int):
        return dim
    total: Any = 0
    for monomial, coefficient in terms_of(dim).items():
        total = total + coefficient * math.prod(_atom(atom, sizes) for atom in monomial)
    return total


def _atom(atom: Any, sizes: dict[str, Any]) -> Any:
    if atom.kind == "symbol":
        return sizes[str(atom)]
    a, *rest = (_size(arg, sizes) for arg in atom.args)
    if atom.kind in ("max", "min"):
        combine = torch.sym_max if atom.kind == "max" else torch.sym_min
        for b in rest:
            a = combine(a, b)
        return a
    return a // rest[0] if atom.kind == "floor" else a % rest[0]


@contextlib.contextmanager
def kept(module: Any) -> Iterator[None]:
    """Meanwhile, modules whose class has an op call that op."""
    classes = {type(each) for each in module.modules()}
    before = {cls: cls.__dict__.get("forward") for cls in classes if translation_of("torch", cls)}
    token = _capturing.set(True)
    try:
        for cls in before:
            found = translation_of("torch", cls)
            assert found is not None
            cls.forward = _forward(found, cls.forward)
        yield
    finally:
        _capturing.reset(token)
        for cls, forward in before.items():
            if forward is None:
                del cls.forward
            else:
                cls.forward = forward


def _forward(translation: Translation, forward: Callable[..., Any]) -> Callable[..., Any]:
    """What the forward of a module is while it is captured."""
    signature = inspect.signature(forward)

    def call(self: Any, *args: Any, **keywords: Any) -> Any:
        if not _capturing.get():  # another thread runs a module of this class
            return forward(self, *args, **keywords)
        bound = signature.bind(self, *args, **keywords)
        given = [x for x in bound.args[1:] if x is None or isinstance(x, torch.Tensor)]
        inputs, attributes = translation.of_layer(given, self, lambda held: held)
        made = torch.ops.layercc_own.call(translation.name, inputs, json.dumps(attributes))
        return made[0] if len(made) == 1 else tuple(made)

    call.__signature__ = signature  # type: ignore[attr-defined]
    return call


def _kept_call(t: Translator, op: str, inputs: Sequence[Any], attributes: str) -> Any:
    return _emitted(t, op, inputs, _attributes(attributes))


def _emitted(t: Translator, op: str, inputs: Sequence[Any], attributes: dict[str, Any]) -> Any:
    """A node of the op; a tuple of its results."""
    kinds = [None if x is None else t.operand(x).type for x in inputs]
    try:
        count = len(_results(op, kinds, attributes))
    except ShapeError as error:
        raise Refused(str(error)) from error
    made = t.emit(op, *inputs, outputs=count, **attributes)
    return (made,) if count == 1 else made


def enter_custom_ops() -> None:
    """Enters a translation for each custom op of PyTorch's that an op of the user's stands for."""
    for key in translated("torch"):
        if isinstance(key, str):
            space, _, name = key.partition("::")
            overload = name if "." in name else f"{name}.default"
            TRANSLATIONS[f"{space}.{overload}"] = _custom_op(key)


def _custom_op(key: str) -> Callable[..., Any]:
    def translate(t: Translator, *args: Any, **keywords: Any) -> Any:
        found = translation_of("torch", key)
        assert found is not None
        try:
            inputs, attributes = found.of_call(args, keywords)
        except TypeError as error:
            raise Refused(str(error)) from error
        made = _emitted(t, found.name, inputs, attributes)
        return made[0] if len(made) == 1 and len(t.results) == 1 else made

    return translate


TRANSLATIONS[KEPT] = _kept_call
