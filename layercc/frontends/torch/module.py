"""A compiled model as a module of PyTorch."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils import _pytree as pytree

from ir.diagnostics import UnsupportedError
from layercc.frontends.torch.tensors import as_array, as_tensor


class CompiledModule(torch.nn.Module):
    """Runs a callable on arrays, tensors in and out; memory is shared, nothing copied."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, *arguments: Any, **keywords: Any) -> Any:
        if hasattr(self.model, "structure"):  # what was made of a module, and is called as one
            pytree.tree_map_only_(torch.Tensor, _check, (arguments, keywords))
            return self.model.call(arguments, keywords, as_tensor)
        arguments, keywords = pytree.tree_map_only(torch.Tensor, _array, (arguments, keywords))
        return pytree.tree_map(_tensor, self.model(*arguments, **keywords))


def _array(tensor: Any) -> Any:
    return as_array(_check(tensor), "an input")


def _check(tensor: Any) -> Any:
    """The tensor; UnsupportedError if a gradient is asked of it."""
    if tensor.requires_grad and torch.is_grad_enabled():
        raise UnsupportedError(
            "a compiled model has no gradients; a call under torch.no_grad(), or of inputs without "
            "requires_grad, would fit"
        )
    return tensor


def _tensor(made: Any) -> Any:
    return as_tensor(made) if hasattr(made, "__array_interface__") else made
