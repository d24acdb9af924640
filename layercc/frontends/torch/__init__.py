"""PyTorch: `from_torch` reads a module into `ir.Graph`, `torch_module` makes one of a callable.

PyTorch is imported when they are called.
"""

from __future__ import annotations

from typing import Any

from ir.structured import StructuredGraph

__all__ = ["from_torch", "torch_module"]


def from_torch(
    module: Any, example_inputs: Any = None, dynamic_shapes: Any = None
) -> StructuredGraph:
    """Reads a `torch.nn.Module`, captured by `torch.export`, or a `torch.export.ExportedProgram`.

    `example_inputs`: what `module` is called with; a tuple or list by position, a dict by name, or
    a single tensor. Their values do not matter, but for those that are no tensors: these become
    part of the graph. `dynamic_shapes` says which sizes may differ from the example's, as for
    `torch.export.export`: by position or by name, in the structure of the arguments, and for each
    tensor a dict from axis to dim or a tuple of dims. A dim is a `torch.export.Dim`, `Dim.AUTO`, a
    string such as `"N"` or `"2*N + 1"`, or None or an int for one that is fixed. Equal names are
    equal sizes. For a module of one tensor, its tuple will do: `("N", 3, 224, 224)`.

    Nodes are named by the paths of their modules, constants as parameters and buffers are, inputs
    and outputs by their places in arguments and results (`batch.mask`). Parameters share memory
    with the module. Nodes come from ATen ops, what has no translation after its decomposition.

    Raises UnsupportedError that lists every op without a translation and the modules that use it;
    or for control flow that hangs on data, for a module that is scripted, and for one that changes
    its buffers or inputs (a BatchNorm in training mode; `module.eval()` would fit).
    InvalidModelError where `dynamic_shapes` and the module contradict each other. TypeError for
    what is no module, or lacks example inputs. ImportError if PyTorch is not installed.
    """
    _need_torch("from_torch")
    from layercc.frontends.torch.importer import imported

    return imported(module, example_inputs, dynamic_shapes)


def torch_module(model: Any) -> Any:
    """A compiled model as a `torch.nn.Module`, which takes and returns tensors.

    Tensors are handed over without copies. There are no gradients: UnsupportedError if one is
    asked of an input. ImportError if PyTorch is not installed.
    """
    _need_torch("torch_module")
    from layercc.frontends.torch.module import CompiledModule

    return CompiledModule(model)


def _need_torch(what: str) -> None:
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise ImportError(f"{what} needs PyTorch: pip install 'layercc[torch]'") from error
