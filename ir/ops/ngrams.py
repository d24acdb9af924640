"""Counting n-grams of integers."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from ir.dims import Dim, product
from ir.dtypes import DType
from ir.registry import Attr, Call, Op, register
from ir.types import TensorType


@register
class TfIdfVectorizer(Op):
    """How often each n-gram of a pool occurs in each row, with up to `max_skip_count` skips.

    The pool lists all 1-grams, then all 2-grams, and so on; `ngram_counts` says where each length
    begins. Mode IDF counts once at most; IDF and TFIDF scale by `weights`. Strings are not covered.
    """

    inputs = ("X: T",)
    outputs = ("Y: f32",)
    constraints = {"T": "index"}
    attributes = {
        "mode": Attr("string"),
        "min_gram_length": Attr("int"),
        "max_gram_length": Attr("int"),
        "max_skip_count": Attr("int"),
        "ngram_counts": Attr("ints"),
        "ngram_indexes": Attr("ints"),
        "pool_int64s": Attr("ints", None),
        "pool_strings": Attr("strings", None),
        "weights": Attr("floats", None),
    }

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        if call.mode not in ("TF", "IDF", "TFIDF"):
            call.fail(f"mode is {call.mode!r}; TF, IDF, TFIDF would fit", "bad-attribute")
        if call.pool_int64s is None:
            call.fail("attribute 'pool_int64s' is missing", "missing-attribute")
        bounds = [0, *call.ngram_counts, len(call.pool_int64s)]
        if sorted(bounds) != bounds:
            call.fail(
                f"ngram_counts={list(call.ngram_counts)}; ascending positions in a pool of"
                f" {bounds[-1]} would fit",
                "bad-attribute",
            )
        if not call.ngram_indexes or len(list(_pool(call))) != len(call.ngram_indexes):
            call.fail("ngram_indexes must have one element for each n-gram", "bad-attribute")
        if call.rank(0) not in (1, 2):
            call.fail(f"input is {call.type(0)}; one row or a matrix of rows would fit")
        size = max(call.ngram_indexes) + 1
        return [TensorType(DType.f32, (*call.shape(0)[:-1], size))]

    @staticmethod
    def reference(call: Call, x: np.ndarray) -> np.ndarray:
        grams = {gram: position for position, gram in enumerate(_pool(call))}
        rows = np.atleast_2d(x)
        made = np.zeros((len(rows), max(call.ngram_indexes) + 1), np.float32)
        for row, items in zip(made, rows.tolist(), strict=True):
            for gram, count in Counter(_grams(call, items)).items():
                if gram in grams:
                    position = grams[gram]
                    weight = 1 if call.mode == "TF" or not call.weights else call.weights[position]
                    row[call.ngram_indexes[position]] = weight * (
                        1 if call.mode == "IDF" else count
                    )
        return made.reshape(*x.shape[:-1], made.shape[-1])

    @staticmethod
    def flops(call: Call) -> Dim:
        lengths = call.max_gram_length - call.min_gram_length + 1
        return product(call.shape(0)) * lengths * (call.max_skip_count + 1)


def _pool(call: Call) -> Iterator[tuple[int, ...]]:
    """The n-grams of the pool, in the order of `ngram_indexes`."""
    bounds = [*call.ngram_counts, len(call.pool_int64s)]
    for length, (first, last) in enumerate(itertools.pairwise(bounds), start=1):
        for start in range(first, last, length):
            yield tuple(call.pool_int64s[start : start + length])


def _grams(call: Call, items: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Every n-gram of a row, of each length and with each number of skips."""
    for length in range(max(call.min_gram_length, 1), min(call.max_gram_length, len(items)) + 1):
        for stride in range(1, 2 if length == 1 else min(call.max_skip_count + 2, len(items))):
            for start in range(len(items) - (length - 1) * stride):
                yield tuple(items[start : start + (length - 1) * stride + 1 : stride])
