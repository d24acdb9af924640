"""Scaled dot-product attention."""

from __future__ import annotations

from typing import Any

from ir.dims import product
from layercc.frontends.torch.registry import Refused, translates
from layercc.frontends.torch.reshaping import expanded, reshaped
from layercc.frontends.torch.translator import Tensor, Translator


@translates("scaled_dot_product_attention")
def scaled_dot_product_attention(
    t: Translator,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Attention of [batch, heads, sequence, size]; more or fewer dims in front are made two.

    A query that may see no key gives zeros, as in PyTorch and ONNX.
    """
    if dropout_p > 0:
        raise Refused(f"dropout_p={dropout_p} in training mode; module.eval() would fit")
    tensors = (query, key, value)
    if query.rank > 4 or query.rank == 2 or not enable_gqa:
        outer = t.shape[:-2]
        tensors = tuple(expanded(t, x, (*outer, *x.shape[-2:])) for x in tensors)  # type: ignore[assignment]
    if attn_mask is not None and attn_mask.shape[-1] != key.shape[-2]:  # in ONNX, one that ends
        attn_mask = expanded(t, attn_mask, (*attn_mask.shape[:-1], key.shape[-2]))
    query, key, value = (_rank_4(t, x) for x in tensors)
    if attn_mask is not None and attn_mask.rank > 4:
        shape = (*t.shape[:-2], *attn_mask.shape[-2:])
        attn_mask = _rank_4(t, expanded(t, attn_mask, shape))
    elif attn_mask is not None and len(t.shape) == 3 and attn_mask.rank == 3:
        attn_mask = reshaped(t, attn_mask, (1, *attn_mask.shape))
    if attn_mask is not None and attn_mask.dtype.kind == "float":
        attn_mask = t.cast(attn_mask, query.dtype)
    y = t.emit(
        "Attention", query, key, value, attn_mask, is_causal=int(is_causal),
        scale=None if scale is None else float(scale),
    )  # fmt: skip
    return reshaped(t, y, t.shape)


def _rank_4(t: Translator, x: Tensor) -> Tensor:
    if x.rank == 4:
        return x
    if x.rank < 4:
        return reshaped(t, x, (*[1] * (4 - x.rank), *x.shape))
    *outer, heads, length, size = x.shape
    return reshaped(t, x, (product(outer), heads, length, size))


@translates("_scaled_dot_product_flash_attention_for_cpu")
def flash_attention(
    t: Translator, query: Tensor, key: Tensor, value: Tensor, dropout_p: float = 0.0,
    is_causal: bool = False, attn_mask: Tensor | None = None, scale: float | None = None,
) -> tuple[Any, ...]:  # fmt: skip
    y = scaled_dot_product_attention(t, query, key, value, attn_mask, dropout_p, is_causal, scale)
    return y, None
