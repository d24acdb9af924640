"""Layers that PyTorch computes in one op in evaluation mode."""

from __future__ import annotations

from layercc.frontends.torch.ops.linear_algebra import linear
from layercc.frontends.torch.ops.normalization import layer_norm
from layercc.frontends.torch.promotion import truth
from layercc.frontends.torch.registry import Refused, translates
from layercc.frontends.torch.reshaping import reshaped, sliced, transposed, unsqueezed
from layercc.frontends.torch.translator import Tensor, Translator


@translates("_transformer_encoder_layer_fwd")
def transformer_encoder_layer(
    t: Translator, x: Tensor, embed_dim: int, num_heads: int, qkv_weight: Tensor,
    qkv_bias: Tensor, proj_weight: Tensor, proj_bias: Tensor, use_gelu: bool, norm_first: bool,
    eps: float, norm_weight_1: Tensor, norm_bias_1: Tensor, norm_weight_2: Tensor,
    norm_bias_2: Tensor, ffn_weight_1: Tensor, ffn_bias_1: Tensor, ffn_weight_2: Tensor,
    ffn_bias_2: Tensor, mask: Tensor | None = None, mask_type: int | None = None,
) -> Tensor:  # fmt: skip
    """Self-attention and a feed-forward network, each with a residual and a norm, over
    [batch, time, embed_dim]."""

    def attention(y: Tensor) -> Tensor:
        made = _self_attention(t, y, num_heads, qkv_weight, qkv_bias, mask, mask_type)
        return linear(t, made, proj_weight, proj_bias)

    def feed_forward(y: Tensor) -> Tensor:
        wide = linear(t, y, ffn_weight_1, ffn_bias_1)
        wide = t.emit("Gelu", wide) if use_gelu else t.emit("Relu", wide)
        return linear(t, wide, ffn_weight_2, ffn_bias_2)

    def norm(y: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return layer_norm(t, y, [embed_dim], weight, bias, eps)

    first, second = (norm_weight_1, norm_bias_1), (norm_weight_2, norm_bias_2)
    if norm_first:
        x = t.emit("Add", x, attention(norm(x, *first)))
        return t.emit("Add", x, feed_forward(norm(x, *second)))
    x = norm(t.emit("Add", x, attention(x)), *first)
    return norm(t.emit("Add", x, feed_forward(x)), *second)


@translates("_native_multi_head_attention")
def multi_head_attention(
    t: Translator, query: Tensor, key: Tensor, value: Tensor, embed_dim: int, num_head: int,
    qkv_weight: Tensor, qkv_bias: Tensor, proj_weight: Tensor, proj_bias: Tensor,
    mask: Tensor | None = None, need_weights: bool = True, average_attn_weights: bool = True,
    mask_type: int | None = None,
) -> tuple[Tensor, None]:  # fmt: skip
    """What it gives besides, the weights, has no translation."""
    if need_weights and t.wants(1):
        raise Refused("with its weights; need_weights=False would fit")
    if not query.name == key.name == value.name:
        raise Refused("of other tensors than one")
    made = _self_attention(t, query, num_head, qkv_weight, qkv_bias, mask, mask_type)
    return linear(t, made, proj_weight, proj_bias), None


def _self_attention(
    t: Translator, x: Tensor, heads: int, weight: Tensor, bias: Tensor, mask: Tensor | None,
    mask_type: int | None,
) -> Tensor:  # fmt: skip
    """Heads side by side, before the last projection. A mask is true where nothing may be seen: it
    is [time, time] (type 0), [batch, time] for keys (1), or of all scores (2)."""
    batch, time, size = x.shape
    joint = linear(t, x, weight, bias)
    parts = [sliced(t, joint, 2, i * size, (i + 1) * size) for i in range(3)]
    q, k, v = (
        transposed(t, reshaped(t, part, (batch, time, heads, size // heads)), [0, 2, 1, 3])
        for part in parts
    )
    seen = None
    if mask is not None:
        if mask_type not in (0, 1, 2):
            raise Refused(f"a mask of type {mask_type}")
        seen = t.emit("Not", truth(t, mask))
        seen = unsqueezed(t, seen, 1, 2) if mask_type == 1 else seen
    y = t.emit("Attention", q, k, v, seen)
    return reshaped(t, transposed(t, y, [0, 2, 1, 3]), (batch, time, size))
