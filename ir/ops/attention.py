"""Scaled dot-product attention and rotary position embeddings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ir.dims import Dim, exact_div, may_equal
from ir.ops.layout import widened
from ir.registry import Attr, Call, Op, Range, register
from ir.types import TensorType, format_shape


@dataclass(frozen=True, slots=True)
class AttentionDims:
    """Sizes of one Attention node, whichever of the two layouts its inputs are in.

    With `packed` Q, K, V and Y are [batch, sequence, heads * head_size], else
    [batch, heads, sequence, head_size].
    """

    packed: bool
    batch: Dim
    q_heads: Dim
    kv_heads: Dim
    q_length: Dim
    kv_length: Dim  # of the inputs K and V alone
    past_length: Dim
    head_size: Dim
    v_head_size: Dim

    @property
    def total_length(self) -> Dim:
        """Keys that a query may see: past and present."""
        return self.past_length + self.kv_length


def attention_dims(call: Call) -> AttentionDims:
    """Sizes of an ONNX Attention node; fails unless Q, K, V, past and masks fit together."""
    q, k, v = call.shape(0), call.shape(1), call.shape(2)
    seen = f"Q is {call.type(0)}, K is {call.type(1)}, V is {call.type(2)}"
    if not (len(q) == len(k) == len(v) and len(q) in (3, 4)):
        call.fail(f"{seen}; three tensors of rank 4, or of rank 3, would fit")
    if len(q) == 4:
        q_heads, kv_heads = q[1], k[1]
        head_size, k_head_size, v_head_size = q[3], k[3], v[3]
        q_length, kv_length, v_length = q[2], k[2], v[2]
        _need(call, may_equal(k[1], v[1]), f"{seen}: K and V must have equally many heads (dim 1)")
    else:
        q_heads, kv_heads = call.q_num_heads, call.kv_num_heads
        if not q_heads or not kv_heads:
            call.fail(
                f"{seen}: q_num_heads and kv_num_heads are needed with rank 3", "missing-attribute"
            )
        head_size = _per_head(call, 0, q[2], q_heads)
        k_head_size = _per_head(call, 1, k[2], kv_heads)
        v_head_size = _per_head(call, 2, v[2], kv_heads)
        q_length, kv_length, v_length = q[1], k[1], v[1]
    batches = all(may_equal(q[0], shape[0]) for shape in (k, v))
    _need(call, batches, f"{seen}: batch dims must be equal")
    _need(
        call,
        may_equal(head_size, k_head_size),
        f"{seen}: a head of Q has {head_size} elements and one of K {k_head_size}; equal sizes "
        "would fit",
    )
    _need(
        call,
        may_equal(kv_length, v_length),
        f"{seen}: K has {kv_length} positions and V {v_length}; equal lengths would fit",
    )
    if isinstance(q_heads, int) and isinstance(kv_heads, int):
        _need(
            call,
            kv_heads > 0 and q_heads % kv_heads == 0,
            f"{seen}: {q_heads} query heads are no multiple of {kv_heads} key heads",
        )
    past: Dim = 0
    if call.has(4) != call.has(5):
        call.fail("past_key and past_value must be given together", "missing-input")
    if call.has(4):
        past = _past_length(call, q[0], kv_heads, head_size, v_head_size)
    return AttentionDims(
        len(q) == 3, q[0], q_heads, kv_heads, q_length, kv_length, past, head_size, v_head_size
    )


def _need(call: Call, holds: bool, message: str) -> None:
    if not holds:
        call.fail(message)


def _per_head(call: Call, index: int, hidden: Dim, heads: int) -> Dim:
    size = exact_div(hidden, heads)
    if size is None and isinstance(hidden, int):
        call.fail(
            f"{call.op.input_name(index)} is {call.type(index)}: its {hidden} elements a position "
            f"cannot be divided among {heads} heads"
        )
    return hidden // heads if size is None else size


def _past_length(call: Call, batch: Dim, heads: Dim, head_size: Dim, v_head_size: Dim) -> Dim:
    key, value = call.shape(4), call.shape(5)
    for index, size in ((4, head_size), (5, v_head_size)):
        shape = call.shape(index)
        if len(shape) != 4 or not all(
            map(may_equal, (shape[0], shape[1], shape[3]), (batch, heads, size))
        ):
            fits = format_shape((batch, heads, "past", size))  # type: ignore[arg-type]
            call.fail(f"{call.op.input_name(index)} is {call.type(index)}; {fits} would fit")
    if not may_equal(key[2], value[2]):
        call.fail(
            f"past_key is {call.type(4)} and past_value is {call.type(5)}: lengths must be equal"
        )
    return key[2]


@register
class Attention(Op):
    """`softmax(scale * Q K' + bias) V` for each head, with an optional cache of keys and values.

    Several query heads may share one key head (grouped queries). The bias is a float `attn_mask`.
    The score of a key that a query may not see, by `is_causal`, the sliding window, a boolean
    `attn_mask` or `nonpad_kv_seqlen`, is -inf, whatever the product was. `qk_matmul_output` is
    taken after the product (mode 0), the soft cap (1), the bias (2) or the softmax (3).

    A *fully masked* query, which may see no key or has a bias of -inf for all, gives zeros, as
    ONNX has it; with `fully_masked="nan"` NaN, which is what Softmax makes of scores that are all
    -inf. So does a query whose scores are all -inf without a mask. Without keys (length 0) there
    is nothing to be NaN: the sum is zero either way.

    `V` of a key that may not be seen counts with weight 0, but a kernel need not read it: whether
    NaN there reaches the result is left open.
    """

    inputs = (
        "Q: T1",
        "K: T1",
        "V: T2",
        "attn_mask: U?",
        "past_key: T1?",
        "past_value: T2?",
        "nonpad_kv_seqlen: i64?",
    )
    outputs = ("Y: T1", "present_key: T1", "present_value: T2", "qk_matmul_output: T1")
    constraints = {"T1": "float", "T2": "float", "U": "ordered"}
    attributes = {
        "fully_masked": Attr("string", "zeros"),
        "is_causal": Attr("int", 0),
        "kv_num_heads": Attr("int", None),
        "left_window_size": Attr("int", -1),
        "q_num_heads": Attr("int", None),
        "qk_matmul_output_mode": Attr("int", 0),
        "right_window_size": Attr("int", -1),
        "scale": Attr("float", None),
        "softcap": Attr("float", 0.0),
        "softmax_precision": Attr("int", None),
    }

    @staticmethod
    def ranges(call: Call) -> Mapping[int, Range]:
        return {6: (0, call.shape(1)[-2])} if call.has(6) else {}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        dims = attention_dims(call)
        mode = call.qk_matmul_output_mode
        if mode not in range(4):
            call.fail(f"qk_matmul_output_mode is {mode}; 0 to 3 would fit", "bad-attribute")
        if call.fully_masked not in ("zeros", "nan"):
            call.fail(
                f"fully_masked is {call.fully_masked!r}; 'zeros' or 'nan' would fit",
                "bad-attribute",
            )
        if dims.head_size == 0 and call.scale is None:
            call.fail(
                f"a head of Q, {call.type(0)}, has no elements, and the scale is 1 over the root "
                "of their number; heads of one element or more, or a scale, would fit"
            )
        scores = (dims.batch, dims.q_heads, dims.q_length, dims.total_length)
        if call.has(3):
            _check_mask(call, scores)
        if call.has(6):
            if call.has(4):
                call.fail("nonpad_kv_seqlen and past_key cannot be used together", "bad-arity")
            if call.rank(6) != 1 or not may_equal(call.shape(6)[0], dims.batch):
                call.fail(f"nonpad_kv_seqlen is {call.type(6)}; [{dims.batch}] would fit")
        y: tuple[Dim, ...] = (dims.batch, dims.q_heads, dims.q_length, dims.v_head_size)
        if dims.packed:
            y = (dims.batch, dims.q_length, dims.q_heads * dims.v_head_size)
        kept = (dims.batch, dims.kv_heads, dims.total_length)
        return [
            call.type(0).with_shape(y),
            call.type(1).with_shape((*kept, dims.head_size)),
            call.type(2).with_shape((*kept, dims.v_head_size)),
            call.type(0).with_shape(scores),
        ]

    @staticmethod
    def reference(
        call: Call,
        q: Any,
        k: Any,
        v: Any,
        mask: Any = None,
        past_key: Any = None,
        past_value: Any = None,
        lengths: Any = None,
    ) -> tuple[np.ndarray, ...]:
        dims = attention_dims(call)
        dtype = q.dtype
        if dims.packed:
            q, k, v = (
                _split_heads(x, heads)
                for x, heads in ((q, dims.q_heads), (k, dims.kv_heads), (v, dims.kv_heads))
            )
        if past_key is not None:
            k = np.concatenate([past_key, k], axis=2)
            v = np.concatenate([past_value, v], axis=2)
        shared = int(dims.q_heads) // int(dims.kv_heads)
        keys, values = (np.repeat(widened(x), shared, axis=1) for x in (k, v))
        scale = 1 / math.sqrt(int(dims.head_size)) if call.scale is None else call.scale
        products = scale * (widened(q) @ keys.swapaxes(-1, -2))
        capped = call.softcap * np.tanh(products / call.softcap) if call.softcap else products
        seen, bias = attention_masks(call, dims, mask, lengths)
        biased = np.where(seen, capped + bias, -np.inf)
        weights = _softmax(biased)
        y = weights @ values
        if call.fully_masked == "zeros":
            none = ~(seen & ~np.isneginf(bias)).any(axis=-1, keepdims=True)
            none = none | np.isneginf(biased).all(axis=-1, keepdims=True)
            weights, y = np.where(none, 0, weights), np.where(none, 0, y)
        if dims.packed:
            batch, heads, length, size = y.shape
            y = y.transpose(0, 2, 1, 3).reshape(batch, length, heads * size)
        stages = (products, capped, biased, weights)
        shown = stages[call.qk_matmul_output_mode]
        return y.astype(dtype), k, v, shown.astype(dtype)

    @staticmethod
    def flops(call: Call) -> Dim:
        dims = attention_dims(call)
        pairs = dims.batch * dims.q_heads * dims.q_length * dims.total_length
        return 2 * pairs * (dims.head_size + dims.v_head_size)


def _check_mask(call: Call, scores: Sequence[Dim]) -> None:
    """A mask broadcasts to the scores; its last dim may be shorter than theirs."""
    mask = call.shape(3)
    fits = len(mask) <= 4 and all(
        dim == 1 or may_equal(dim, other)
        for dim, other in zip(mask[-2::-1], tuple(scores)[-2::-1], strict=False)
    )
    if fits and mask and isinstance(mask[-1], int) and isinstance(scores[-1], int):
        fits = mask[-1] <= scores[-1]
    if not fits:
        call.fail(
            f"attn_mask is {call.type(3)}; a shape that broadcasts to {format_shape(scores)}"
            " ([batch, query heads, queries, keys]) would fit"
        )


def attention_masks(
    call: Call, dims: AttentionDims, mask: np.ndarray | None, lengths: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Which keys a query may see, and what is added to the scores; both broadcast to them."""
    queries, keys = int(dims.q_length), int(dims.total_length)
    if lengths is not None:
        offset = (lengths.reshape(-1) - queries).reshape(-1, 1, 1, 1)
    else:
        offset = np.full((1, 1, 1, 1), int(dims.past_length))
    query = np.arange(queries)[:, None] + offset  # absolute positions
    key = np.arange(keys)
    seen = np.ones((1, 1, queries, keys), bool)
    if call.is_causal:
        seen = seen & (key <= query)
    if call.left_window_size >= 0:
        seen = seen & (key >= query - call.left_window_size)
    if call.right_window_size >= 0:
        seen = seen & (key <= query + call.right_window_size)
    if lengths is not None:
        seen = seen & (key < lengths.reshape(-1, 1, 1, 1))
    if mask is None:
        return seen, np.zeros((1, 1, 1, 1))
    missing = keys - mask.shape[-1] if mask.ndim else 0
    if missing > 0:  # the specification pads even a last dim of 1, which it could broadcast
        widths = [(0, 0)] * (mask.ndim - 1) + [(0, missing)]
        mask = np.pad(mask, widths, constant_values=mask.dtype.type(0))
        seen = seen & (key < keys - missing)
    if mask.dtype == bool:
        return seen & mask, np.zeros((1, 1, 1, 1))
    return seen, widened(mask)


def _softmax(scores: np.ndarray) -> np.ndarray:
    """Over the last axis; a row of -inf alone gives NaN."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True, initial=-np.inf))
    return powers / powers.sum(axis=-1, keepdims=True)


def _split_heads(x: np.ndarray, heads: Any) -> np.ndarray:
    """[batch, length, heads * size] → [batch, heads, length, size]."""
    batch, length, hidden = x.shape
    return x.reshape(batch, length, heads, hidden // heads).transpose(0, 2, 1, 3)


@register
class RotaryEmbedding(Op):
    """Rotates pairs of elements by angles that grow with the position (RoPE, Su et al. 2021).

    X is [batch, heads, sequence, head_size], or [batch, sequence, heads * head_size] with
    `num_heads`. The caches hold the cosines and sines, [positions, half] with `position_ids`,
    else [batch, sequence, half]. Pairs are neighbours if `interleaved`, else half a head apart.
    """

    inputs = ("X: T", "cos_cache: T", "sin_cache: T", "position_ids: i64?")
    constraints = {"T": "float"}
    attributes = {
        "interleaved": Attr("int", 0),
        "num_heads": Attr("int", 0),
        "rotary_embedding_dim": Attr("int", 0),
    }

    @staticmethod
    def ranges(call: Call) -> Mapping[int, Range]:
        return {3: (0 - call.shape(1)[0], call.shape(1)[0] - 1)}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        shape = call.shape(0)
        if len(shape) not in (3, 4):
            call.fail(f"X is {call.type(0)}; rank 3 or 4 would fit")
        if len(shape) == 3 and not call.num_heads:
            call.fail(f"X is {call.type(0)}: num_heads is needed with rank 3", "missing-attribute")
        head_size = shape[3] if len(shape) == 4 else _per_head(call, 0, shape[2], call.num_heads)
        batch, length = shape[0], shape[2] if len(shape) == 4 else shape[1]
        rotated = call.rotary_embedding_dim or head_size
        half = exact_div(rotated, 2)
        if half is None and isinstance(rotated, int):
            call.fail(f"X is {call.type(0)}: {rotated} elements a head cannot be rotated in pairs")
        if isinstance(rotated, int) and isinstance(head_size, int) and rotated > head_size:
            call.fail(f"rotary_embedding_dim={rotated} exceeds the head size {head_size}")
        half = rotated // 2 if half is None else half
        for index in (1, 2):
            cache = call.shape(index)
            wanted: tuple[Any, ...] = ("positions", half) if call.has(3) else (batch, length, half)
            fits = len(cache) == len(wanted) and may_equal(cache[-1], half)
            if fits and not call.has(3):
                fits = all(map(may_equal, cache[:2], (batch, length)))
            if not fits:
                call.fail(
                    f"X is {call.type(0)} and {call.op.input_name(index)} is {call.type(index)}; "
                    f"{format_shape(wanted)} would fit"
                )
        if not all(map(may_equal, call.shape(1), call.shape(2))):
            call.fail(f"cos_cache is {call.type(1)} and sin_cache is {call.type(2)}: they differ")
        if call.has(3):
            ids, wanted = call.shape(3), (batch, length)
            if len(ids) != 2 or not all(map(may_equal, ids, wanted)):
                call.fail(
                    f"X is {call.type(0)} and position_ids is {call.type(3)}; "
                    f"{format_shape(wanted)} would fit"
                )
        return [call.type(0)]

    @staticmethod
    def reference(
        call: Call, x: Any, cosines: Any, sines: Any, positions: Any = None
    ) -> np.ndarray:
        heads = widened(x if x.ndim == 4 else _split_heads(x, call.num_heads))
        cos, sin = widened(cosines), widened(sines)
        if positions is not None:
            cos, sin = cos[positions], sin[positions]
        cos, sin = cos[:, None], sin[:, None]  # the same for all heads
        width = call.rotary_embedding_dim or heads.shape[-1]
        turned, rest = heads[..., :width], heads[..., width:]
        if call.interleaved:
            a, b = turned[..., 0::2], turned[..., 1::2]
        else:
            a, b = np.split(turned, 2, axis=-1)
        real, imaginary = cos * a - sin * b, sin * a + cos * b
        if call.interleaved:
            turned = np.stack([real, imaginary], axis=-1).reshape(turned.shape)
        else:
            turned = np.concatenate([real, imaginary], axis=-1)
        y = np.concatenate([turned, rest], axis=-1)
        if x.ndim == 3:
            y = y.transpose(0, 2, 1, 3).reshape(x.shape)
        return y.astype(x.dtype)

    @staticmethod
    def flops(call: Call) -> Dim:
        return 3 * call.outputs[0].size
