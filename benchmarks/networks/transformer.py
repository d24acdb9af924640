"""Transformers: BERT-base, ViT-B/16 and GPT-2."""

from __future__ import annotations

from typing import Any

import numpy as np

from layercc.layers import (
    Add,
    Conv2D,
    Dense,
    Embedding,
    Input,
    Lambda,
    Layer,
    LayerNormalization,
    Model,
    MultiHeadAttention,
    Reshape,
    SymbolicTensor,
    emit,
)

WIDTH, HEADS, LAYERS = 768, 12, 12


class PositionEmbedding(Layer):
    """Adds a learned vector for each position, up to `length` of them."""

    def __init__(self, length: int, **options: Any) -> None:
        super().__init__(**options)
        self.length = length

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        self.expect_rank(x, 3, "[batch, positions, features]")
        table = self.weight("embeddings", (self.length, x.shape[2]), "random_normal")
        if x.shape[1] == self.length:
            return x + table
        steps = np.array([0], np.int64), np.array([x.shape[1]], np.int64), np.array([0], np.int64)
        return x + emit("Slice", table, *steps)


class ClassToken(Layer):
    """Puts a learned vector in front of the positions."""

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        width = int(x.shape[2])
        token = self.weight("token", (1, 1, width), "random_normal")
        shape = emit("Concat", emit("Shape", x, end=1), np.array([1, width], np.int64), axis=0)
        return emit("Concat", emit("Expand", token, shape), x, axis=1)


def _feed_forward(x: SymbolicTensor) -> SymbolicTensor:
    return Dense(WIDTH)(Dense(4 * WIDTH, activation="gelu")(x))


def attend(
    query: SymbolicTensor,
    key: SymbolicTensor,
    value: SymbolicTensor,
    heads: int,
    causal: bool = False,
) -> SymbolicTensor:
    """Attention of projections `[batch, positions, features]`, whose heads lie side by side."""
    settings: dict[str, Any] = {
        "q_num_heads": heads,
        "kv_num_heads": heads,
        "is_causal": int(causal),
    }
    layer = Lambda(lambda *given: emit("Attention", *given, **settings), name="attend")
    return layer(query, key, value)


def bert_base() -> Model:
    """Devlin et al. 2019, base, uncased vocabulary, 128 tokens: hidden states and pooled output."""
    ids = Input((128,), dtype="int64", name="input_ids")
    kinds = Input((128,), dtype="int64", name="token_type_ids")
    mask = Input((128,), dtype="int64", name="attention_mask")
    words = Embedding(30522, WIDTH, "random_normal", name="word_embeddings")(ids)
    y = Add()([words, Embedding(2, WIDTH, "random_normal", name="token_type_embeddings")(kinds)])
    y = LayerNormalization(epsilon=1e-12)(PositionEmbedding(512)(y))
    for _ in range(LAYERS):
        seen = MultiHeadAttention(HEADS, WIDTH // HEADS)(y, y, value_mask=mask)
        y = LayerNormalization(epsilon=1e-12)(Add()([y, seen]))
        y = LayerNormalization(epsilon=1e-12)(Add()([y, _feed_forward(y)]))
    first = Lambda(lambda x: emit("Gather", x, np.int64(0), axis=1), name="first_token")(y)
    pooled = Dense(WIDTH, activation="tanh", name="pooler")(first)
    return Model([ids, kinds, mask], [y, pooled], name="bert_base")


def vit_b16() -> Model:
    """Dosovitskiy et al. 2021, base, patches of 16×16 of a 224×224 image."""
    x = Input((224, 224, 3))
    y = Reshape((196, WIDTH))(Conv2D(WIDTH, 16, strides=16)(x))
    y = PositionEmbedding(197)(ClassToken()(y))
    for _ in range(LAYERS):
        normed = LayerNormalization(epsilon=1e-6)(y)
        y = Add()([y, MultiHeadAttention(HEADS, WIDTH // HEADS)(normed, normed)])
        y = Add()([y, _feed_forward(LayerNormalization(epsilon=1e-6)(y))])
    y = LayerNormalization(epsilon=1e-6)(y)
    first = Lambda(lambda t: emit("Gather", t, np.int64(0), axis=1), name="first_token")(y)
    return Model(x, Dense(1000, name="head")(first), name="vit_b16")


class Vocabulary(Layer):
    """A vector for each token, and, of a vector, how near each token's is to it."""

    def __init__(self, size: int, width: int, **options: Any) -> None:
        super().__init__(**options)
        self.size, self.width = size, width

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        table = self.weight("embeddings", (self.size, self.width), "random_normal")
        if x.rank == 2:
            return emit("Gather", table, x, axis=0)
        return emit("MatMul", x, emit("Transpose", table, perm=(1, 0)))


def gpt2() -> Model:
    """Radford et al. 2019, small: the next token behind each of 64."""
    ids = Input((64,), dtype="int64", name="input_ids")
    vocabulary = Vocabulary(50257, WIDTH)
    y = PositionEmbedding(1024)(vocabulary(ids))
    for _ in range(LAYERS):
        projected = Dense(3 * WIDTH)(LayerNormalization(epsilon=1e-5)(y))
        split = Lambda(lambda x: emit("Split", x, results=3, axis=-1, num_outputs=3), name="split")
        query, key, value = split(projected)
        y = Add()([y, Dense(WIDTH)(attend(query, key, value, HEADS, causal=True))])
        made = Dense(4 * WIDTH)(LayerNormalization(epsilon=1e-5)(y))
        made = Lambda(lambda x: emit("Gelu", x, approximate="tanh"), name="gelu")(made)
        y = Add()([y, Dense(WIDTH)(made)])
    return Model(ids, vocabulary(LayerNormalization(epsilon=1e-5)(y)), name="gpt2")
