"""Attention layers, on `[batch, positions, features]`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.dtypes import DType
from layercc.layers.activations import softmax
from layercc.layers.initializers import Initializer
from layercc.layers.layer import Layer, cast, unsupported
from layercc.layers.masking import zero
from layercc.layers.tensor import Constant, SymbolicTensor, emit, ints
from layercc.layers.weight import Layout, Weight


def reshaped(target: Sequence[int]) -> Layout:
    """The operand is the Keras array in another shape of the same size."""
    made = tuple(target)
    return Layout(
        lambda shape: made,
        lambda array: array.reshape(made),
        lambda array, shape: array.reshape(shape),
    )


def as_mask(mask: SymbolicTensor) -> SymbolicTensor:
    """A boolean mask; numbers other than 0 are true."""
    return cast(mask, DType.bool)


def merge_masks(
    query: SymbolicTensor | None,
    keys: Sequence[SymbolicTensor | None],
    pairs: SymbolicTensor | None,
) -> SymbolicTensor | None:
    """One mask `[batch, queries, keys]` from masks of queries, keys and pairs, or None."""
    found = [emit("Unsqueeze", as_mask(query), ints(2))] if query is not None else []
    found += [emit("Unsqueeze", as_mask(key), ints(1)) for key in keys if key is not None]
    if pairs is not None:
        found.append(as_mask(pairs))
    merged = None
    for mask in found:
        merged = mask if merged is None else emit("And", merged, mask)
    return merged


def causal_mask(query: SymbolicTensor, key: SymbolicTensor) -> SymbolicTensor:
    """True where the key does not come after the query; `[1, queries, keys]`."""
    queries, keys = query.shape[1], key.shape[1]
    if isinstance(queries, int) and isinstance(keys, int):
        return Constant(np.tri(queries, keys, dtype=bool)[None])
    sizes = [emit("Shape", x, start=1, end=2) for x in (query, key)]
    ones = emit("Expand", np.ones(1, bool), emit("Concat", *sizes, axis=0))
    return emit("Unsqueeze", emit("Trilu", ones, upper=0), ints(0))


class HeadsAttention(Layer):
    """Base of attention with heads: projections to heads, attention, and a projection back."""

    masking = True

    def __init__(
        self,
        heads: tuple[int, int],
        head_dims: tuple[int, int],
        use_bias: bool,
        kernel_initializer: Initializer,
        bias_initializer: Initializer,
        dropout: float,
        *,
        sliding_window: int | None = None,
        use_gate: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if sliding_window is not None or use_gate:
            raise unsupported(self, "sliding_window and use_gate are not supported")
        self.query_heads, self.key_heads = heads
        self.key_dim, self.value_dim = head_dims
        self.use_bias, self.dropout = use_bias, dropout
        self.kernel_initializer, self.bias_initializer = kernel_initializer, bias_initializer
        self.result_dim: int | None = None

    def call(
        self,
        query: SymbolicTensor,
        value: SymbolicTensor,
        key: SymbolicTensor | None = None,
        query_mask: SymbolicTensor | None = None,
        value_mask: SymbolicTensor | None = None,
        key_mask: SymbolicTensor | None = None,
        attention_mask: SymbolicTensor | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        key = value if key is None else key
        for tensor in (query, value, key):
            self.expect_rank(tensor, 3, "[batch, positions, features]")
        q = self._project("query", query, self.query_heads, self.key_dim)
        k = self._project("key", key, self.key_heads, self.key_dim)
        v = self._project("value", value, self.key_heads, self.value_dim)
        mask = merge_masks(query_mask, (value_mask, key_mask), attention_mask)
        if mask is not None:
            if use_causal_mask:
                mask = emit("And", mask, causal_mask(query, value))
                use_causal_mask = False
            mask = emit("Unsqueeze", mask, ints(1))
            if not (return_attention_scores or self.dropout):
                # Keras' fused attention gives a query that may see no key the mean of all values
                low = -0.7 * (65500.0 if q.dtype is DType.f16 else 3.38953e38)
                mask = emit("Where", mask, zero(q), np.asarray(low, q.dtype.value))
        made = emit(
            "Attention",
            q,
            k,
            v,
            *([] if mask is None else [mask]),
            results=4 if return_attention_scores else 1,
            absent=(1, 2),
            q_num_heads=self.query_heads,
            kv_num_heads=self.key_heads,
            is_causal=1 if use_causal_mask else None,
            qk_matmul_output_mode=3 if return_attention_scores else None,
        )
        y = made[0] if return_attention_scores else made
        features = int(query.shape[-1]) if self.result_dim is None else self.result_dim
        y = self._project_back(y, features)
        return (y, made[3]) if return_attention_scores else y

    def _project(self, name: str, x: SymbolicTensor, heads: int, dim: int) -> SymbolicTensor:
        """`[batch, positions, features]` → `[batch, positions, heads * dim]`."""
        kernel = self.weight(
            f"{name}.kernel",
            (x.shape[-1], heads, dim),
            self.kernel_initializer,
            reshaped((x.shape[-1], heads * dim)),  # type: ignore[arg-type]
        )
        y = emit("MatMul", x, kernel)
        if not self.use_bias:
            return y
        layout = reshaped((heads * dim,))
        return y + self.weight(f"{name}.bias", (heads, dim), self.bias_initializer, layout)

    def _project_back(self, x: SymbolicTensor, features: int) -> SymbolicTensor:
        shape = (self.query_heads, self.value_dim, features)
        kernel = self.weight(
            "attention_output.kernel",
            shape,
            self.kernel_initializer,
            reshaped((math.prod(shape[:2]), features)),
        )
        y = emit("MatMul", x, kernel)
        if not self.use_bias:
            return y
        return y + self.weight("attention_output.bias", (features,), self.bias_initializer)


class MultiHeadAttention(HeadsAttention):
    """Multi-head attention (Vaswani et al. 2017): `layer(query, value, key=value)`.

    Masks: `attention_mask` `[batch, queries, keys]`, `query_mask`, `value_mask`, `key_mask`
    `[batch, positions]`, true where attention is allowed. A query that may see no key gives the
    mean of all values, and zeros with dropout or `return_attention_scores`, as in Keras. (When
    a Keras model runs, the tensors given lose their masks, for layers behind too. Here they stay.)
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: int | Sequence[int] | None = None,
        attention_axes: int | Sequence[int] | None = None,
        *,
        kernel_initializer: Initializer = "glorot_uniform",
        bias_initializer: Initializer = "zeros",
        **options: Any,
    ) -> None:
        super().__init__(
            (num_heads, num_heads),
            (key_dim, value_dim or key_dim),
            use_bias,
            kernel_initializer,
            bias_initializer,
            dropout,
            **options,
        )
        if attention_axes not in (None, 1, (1,), [1]):
            raise unsupported(self, f"attention_axes {attention_axes}: only axis 1 is supported")
        if output_shape is not None:
            shape = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
            if len(shape) != 1:
                raise unsupported(self, f"output_shape {shape}: one dim is supported")
            self.result_dim = shape[0]


class GroupQueryAttention(HeadsAttention):
    """Attention in which groups of query heads share a key head (Ainslie et al. 2023)."""

    def __init__(
        self,
        head_dim: int,
        num_query_heads: int,
        num_key_value_heads: int,
        dropout: float = 0.0,
        use_bias: bool = True,
        *,
        kernel_initializer: Initializer = "glorot_uniform",
        bias_initializer: Initializer = "zeros",
        **options: Any,
    ) -> None:
        super().__init__(
            (num_query_heads, num_key_value_heads),
            (head_dim, head_dim),
            use_bias,
            kernel_initializer,
            bias_initializer,
            dropout,
            **options,
        )
        if num_query_heads % num_key_value_heads:
            raise ValueError(
                f"GroupQueryAttention: {num_query_heads} query heads are no multiple of "
                f"{num_key_value_heads} key heads"
            )


class Attention(Layer):
    """Attention without projections: `layer([query, value])` or `layer([query, value, key])`.

    score_mode: `dot`, the product of query and key, times a weight with `use_scale`; or `concat`,
    the sum of `tanh(query + key)`. `mask` is `[query_mask, value_mask]`.
    """

    masking = True

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if score_mode not in ("dot", "concat"):
            raise ValueError(f"Attention: score_mode {score_mode!r}; dot or concat would fit")
        self.use_scale, self.score_mode = use_scale, score_mode

    def call(
        self,
        inputs: Sequence[SymbolicTensor],
        mask: Sequence[SymbolicTensor | None] | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        if isinstance(inputs, SymbolicTensor) or len(inputs) not in (2, 3):
            self.fail("takes a list: [query, value] or [query, value, key]")
        query, value = inputs[:2]
        key = inputs[2] if len(inputs) > 2 else value
        for tensor in (query, value, key):
            self.expect_rank(tensor, 3, "[batch, positions, features]")
        scores = self.scores(query, key)
        query_mask, value_mask = (*mask, None)[:2] if mask else (None, None)
        causal = causal_mask(query, key) if use_causal_mask else None
        allowed = merge_masks(None, (value_mask,), causal)
        if allowed is not None:
            low = 65504.0 if scores.dtype is DType.f16 else 1e9  # as Keras has it
            scores = emit("Where", allowed, scores, scores - low)
        weights = softmax(scores)
        y = emit("MatMul", weights, value)
        if query_mask is not None:
            y = emit("Where", emit("Unsqueeze", as_mask(query_mask), ints(2)), y, zero(y))
        return (y, weights) if return_attention_scores else y

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        """That of the query."""
        return mask[0]

    def scores(self, query: SymbolicTensor, key: SymbolicTensor) -> SymbolicTensor:
        """`[batch, queries, keys]`."""
        scale = self.weight("scale", (), "ones") if self.use_scale else None
        if self.score_mode == "dot":
            product = emit("MatMul", query, emit("Transpose", key, perm=(0, 2, 1)))
            return product if scale is None else product * scale
        pairs = emit("Unsqueeze", query, ints(2)) + emit("Unsqueeze", key, ints(1))
        pairs = emit("Tanh", pairs if scale is None else pairs * scale)
        weight = self.weight("concat_score_weight", (), "ones")
        return weight * emit("ReduceSum", pairs, ints(3), keepdims=0)


class AdditiveAttention(Attention):
    """Attention with scores `sum(scale * tanh(query + key))` (Bahdanau et al. 2015)."""

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, **options: Any) -> None:
        super().__init__(use_scale=use_scale, **options)

    def scores(self, query: SymbolicTensor, key: SymbolicTensor) -> SymbolicTensor:
        pairs = emit("Tanh", emit("Unsqueeze", query, ints(2)) + emit("Unsqueeze", key, ints(1)))
        if self.use_scale:
            scale: Weight = self.weight("scale", (query.shape[-1],), "glorot_uniform")
            pairs = scale * pairs
        return emit("ReduceSum", pairs, ints(3), keepdims=0)
