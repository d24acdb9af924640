"""Keras' masks: which positions of a sequence count, as a boolean tensor beside the sequence.

`Masking` and `Embedding(mask_zero=True)` make them. A layer takes the masks of its arguments as
`mask`, or as `query_mask` for an argument `query`; its results carry on what `compute_mask` says.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from layercc.layers.tensor import SymbolicTensor, map_tensors, tensors_in


@cache
def _parameters(call: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a `call` method's parameters, without `self`."""
    return tuple(inspect.signature(call).parameters)[1:]


def takes_mask(call: Callable[..., Any]) -> bool:
    """Whether a `call` method has a parameter `mask`."""
    return "mask" in _parameters(call)


def masks_of(tree: Any) -> Any:
    """The masks of the tensors in a tree, in its form; None if there is none."""
    if all(tensor.mask is None for tensor in tensors_in(tree)):
        return None
    return map_tensors(lambda tensor: tensor.mask, tree)


def with_masks(
    call: Callable[..., Any], arguments: Sequence[Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """The options of a call, and the masks of its tensors for parameters that take them.

    As in Keras, `mask` is that of the only argument with tensors; where several have some, each
    has its own parameter, `value_mask` for `value`. Those that were given stay.
    """
    names = _parameters(call)
    bound = {**dict(zip(names, arguments, strict=False)), **options}
    holders = [name for name, value in bound.items() if tensors_in(value)]
    found = dict(options)
    for name in holders:
        wanted = "mask" if len(holders) == 1 else f"{name}_mask"
        if wanted in names and bound.get(wanted) is None:
            found[wanted] = masks_of(bound[name])
    return found


def set_masks(results: Any, masks: Any) -> None:
    """Attaches masks to results that have none."""
    given = masks if isinstance(masks, list | tuple) else [masks]
    for tensor, mask in zip(tensors_in(results), given, strict=False):
        if tensor.mask is None and isinstance(mask, SymbolicTensor):
            tensor.mask = mask
