"""From a module to a program of ATen ops that have translations, by `torch.export`."""

from __future__ import annotations

import contextlib
import functools
import inspect
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch._decomp import decomposition_table
from torch._dynamo.exc import UserError, UserErrorType
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
)
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _pytree as pytree

from ir.arguments import described
from ir.diagnostics import InvalidModelError, UnsupportedError
from layercc.frontends.torch.dynamic_shapes import DynamicShapes
from layercc.frontends.torch.own_ops import kept
from layercc.frontends.torch.plain_forms import PACKED, plain_forms
from layercc.frontends.torch.recurrent_shapes import without_unrolling
from layercc.frontends.torch.registry import IGNORED, TRANSLATIONS
from layercc.frontends.torch.writes import translated_as


def call_arguments(example_inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments that `example_inputs` stand for."""
    if isinstance(example_inputs, Mapping):
        return (), dict(example_inputs)
    if isinstance(example_inputs, tuple | list):
        return tuple(example_inputs), {}
    return (example_inputs,), {}


def arguments_by_name(module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The arguments of a call of `module` by the names of its forward's parameters. TypeError, as
    Python's, if they do not fit."""
    return _signature(module, kwargs).bind(*args, **kwargs).arguments


def _signature(module: Any, kwargs: Mapping[str, Any]) -> inspect.Signature:
    """The signature of a module's forward, a parameter `**kwargs` of it replaced by those that a
    call gives."""
    signature = inspect.signature(module.forward)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    if len(own) == len(signature.parameters):
        return signature
    names = {p.name for p in own if p.kind is not p.POSITIONAL_ONLY}
    more = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY) for n in kwargs if n not in names]
    return signature.replace(parameters=[*own, *more])


@contextlib.contextmanager
def _with_signature(module: Any, kwargs: Mapping[str, Any]) -> Iterator[None]:
    """`module` with a forward whose parameters are named one by one: `torch.export` takes no
    dynamic shapes of what `**kwargs` holds."""
    signature = _signature(module, kwargs)
    if signature == inspect.signature(module.forward):
        yield
        return
    own = module.forward

    @functools.wraps(own)
    def forward(*args: Any, **kwargs: Any) -> Any:
        return own(*args, **kwargs)

    forward.__signature__ = signature  # type: ignore[attr-defined]
    held = module.__dict__.get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if held is None:
            del module.forward
        else:
            module.forward = held


def exported(module: Any, example_inputs: Any, dynamic_shapes: Any) -> tuple[Any, DynamicShapes]:
    """The program of a module, or the one given, and what is said of its sizes.

    Raises TypeError for what is no module or lacks example inputs, UnsupportedError for what
    `torch.export` cannot capture, InvalidModelError for dynamic shapes that do not fit.
    """
    if isinstance(module, torch.export.ExportedProgram):
        if dynamic_shapes is not None:
            raise TypeError("dynamic_shapes: an ExportedProgram has its own; None would fit")
        return module, DynamicShapes(None, {})
    if isinstance(module, torch.jit.ScriptModule):
        raise UnsupportedError(
            f"{_title(module)} is scripted or traced, which torch.export does not take; the module "
            "before torch.jit.script would fit"
        )
    if not isinstance(module, torch.nn.Module):
        raise TypeError(
            f"a torch.nn.Module or a torch.export.ExportedProgram would fit; "
            f"{described(module)} was given"
        )
    if example_inputs is None:
        raise TypeError(f"{_title(module)} needs example_inputs, which torch.export runs it with")
    args, kwargs = call_arguments(example_inputs)
    shapes = DynamicShapes(dynamic_shapes, arguments_by_name(module, args, kwargs))
    return _exported(module, args, kwargs, shapes)


def _exported(
    module: Any, args: Any, kwargs: Any, shapes: DynamicShapes, deferred: bool = False
) -> Any:
    if any(isinstance(x, PackedSequence) for x in _with_packed((args, kwargs))):
        raise UnsupportedError(f"{_title(module)}: {PACKED}")
    try:
        return _captured(module, args, kwargs, shapes, deferred=deferred), shapes
    except UnsupportedError as error:  # of what is captured in another form
        raise UnsupportedError(f"{_title(module)}: {error}") from error
    except _DATA_DEPENDENT as error:
        raise UnsupportedError(
            f"{_title(module)}: control flow or a shape hangs on data: {_shortened(error)}\n"
            "torch.where, or torch.cond with both branches, would fit"
        ) from error
    except UserError as error:
        bounded = shapes.within(str(error))
        if bounded is not None:
            return _exported(module, args, kwargs, bounded, deferred)
        violated = error.error_type is UserErrorType.CONSTRAINT_VIOLATION
        if violated and not deferred and not shapes.is_tied(str(error)):
            with contextlib.suppress(InvalidModelError):  # the first error is the one to be seen
                return _exported(module, args, kwargs, shapes, deferred=True)
        raise InvalidModelError(f"{_title(module)}: {_shortened(error)}") from error
    except Exception as first:
        with contextlib.suppress(Exception):  # the first error is the one to be seen
            return _captured(module, args, kwargs, shapes, strict=True), shapes
        raise first


def _with_packed(arguments: Any) -> list[Any]:
    """The leaves of arguments, packed sequences whole."""
    leaves: list[Any] = pytree.tree_leaves(
        arguments, is_leaf=lambda given: isinstance(given, PackedSequence)
    )
    return leaves


_DATA_DEPENDENT: tuple[type[Exception], ...] = (
    GuardOnDataDependentSymNode,
    DataDependentOutputException,
    DynamicOutputShapeException,
)


def _captured(
    module: Any,
    args: Any,
    kwargs: Any,
    shapes: DynamicShapes,
    strict: bool = False,
    deferred: bool = False,
) -> Any:
    """`strict`: by Dynamo rather than by running the module. `deferred`: what is assumed of sizes
    becomes part of the program, where else it is an error."""
    with _plain_torch(), kept(module), _with_signature(module, kwargs):
        return torch.export.export(
            module,
            args,
            kwargs or None,
            dynamic_shapes=shapes.spec,
            strict=strict,
            prefer_deferred_runtime_asserts_over_guards=deferred,
        )


@contextlib.contextmanager
def _plain_torch() -> Iterator[None]:
    """PyTorch as it computes in eager mode, layer by layer: its fused encoder layers, which nothing
    else has, left out, and what looks at values in forms that do not."""
    fast = torch.backends.mha.get_fastpath_enabled()
    with warnings.catch_warnings(), torch.enable_grad(), without_unrolling(), plain_forms():
        warnings.simplefilter("ignore")
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)


def decomposed(program: Any) -> Any:
    """The program with every op that has no translation decomposed, as far as PyTorch knows how;
    and with writes in place turned into values.

    Ops that are functions of others (`aten.linear`) are kept where the program has them itself:
    each one that PyTorch is told to keep costs it time. One without need of any of this is
    returned as it is.
    """
    used = {
        translated_as(node)
        for graph in _graphs(program.graph_module)
        for node in graph.nodes
        if isinstance(node.target, torch._ops.OpOverload)
    }
    if used <= TRANSLATIONS.keys() | IGNORED:
        return program
    table = torch.export.default_decompositions()
    for overload, decomposition in decomposition_table.items():
        # those of torch._refs are written in prims, which say nothing to who wrote the module
        known = getattr(decomposition, "__module__", "") != "torch._refs"
        if known and overload not in table and not _is_composite(overload):
            table[overload] = decomposition
    for name in TRANSLATIONS:
        overload = overload_named(name)
        if overload is not None and (name in used or not _is_composite(overload)):
            table.pop(overload, None)
    with warnings.catch_warnings(), without_unrolling():
        warnings.simplefilter("ignore")
        return program.run_decompositions(table)


def _graphs(module: Any) -> Iterator[Any]:
    """The graph of a program and those of the regions in it."""
    for part in module.modules():
        if isinstance(part, torch.fx.GraphModule):
            yield part.graph


def _is_composite(overload: Any) -> bool:
    """Whether PyTorch defines an op by others, unless told to keep it."""
    return isinstance(overload, torch._ops.OpOverload) and overload._can_decompose()


def overload_named(name: str) -> Any:
    """PyTorch's op of that name, `aten.add.Tensor`; None if this version has none."""
    found = torch.ops
    for part in name.split("."):
        found = getattr(found, part, None)
        if found is None:
            return None
    return found


def _title(module: Any) -> str:
    return f"module {type(module).__name__}"


def _shortened(error: Exception) -> str:
    """The first paragraph of an error of PyTorch, and the line of the user's that it names."""
    text = str(error).strip()
    first = text.split("\n\n")[0]
    where = [line.strip() for line in text.splitlines() if line.strip().startswith("File ")]
    return f"{first}\n  {where[-1]}" if where and where[-1] not in first else first
