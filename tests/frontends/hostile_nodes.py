"""Hostile ONNX models of one node or one tensor: sizes and attributes that make no sense."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tests.frontends.onnx_models import model_of

node = helper.make_node
RNG = np.random.default_rng(2025)


def f32(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def single(
    op: str,
    constants: dict[str, np.ndarray] | None = None,
    inputs: dict[str, np.ndarray] | None = None,
    **attributes: Any,
) -> ModelProto:
    """One node on the inputs, then the constants."""
    given, fixed = inputs or {}, constants or {}
    return model_of([node(op, [*given, *fixed], ["y"], **attributes)], given, ["y"], 21, fixed)


def i64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def with_tensor(**fields: Any) -> ModelProto:
    """A model whose only initialiser has these fields."""
    model = model_of([node("Identity", ["w"], ["y"])], {}, ["y"])
    model.graph.initializer.append(TensorProto(name="w", **fields))
    return model


def with_input_dims(dims: list[Any], element: int = 1) -> ModelProto:
    model = model_of([node("Relu", ["x"], ["y"])], {}, ["y"])
    model.graph.input.append(helper.make_tensor_value_info("x", element, dims))
    return model


def with_sparse(dims: list[int], values: np.ndarray, indices: np.ndarray) -> ModelProto:
    model = model_of([node("Identity", ["w"], ["y"])], {}, ["y"])
    sparse = model.graph.sparse_initializer.add(dims=dims)
    sparse.values.CopyFrom(numpy_helper.from_array(values, "w"))
    sparse.indices.CopyFrom(numpy_helper.from_array(indices))
    return model


def bad_sizes() -> Iterator[tuple[str, ModelProto]]:
    """Shapes and data that do not agree, or ask for absurd amounts of memory."""
    huge = 1 << 40
    for dims in ([huge, huge], [1 << 62], [-5, 3], [-1, -1], [0, 1 << 62], [1 << 31, 1 << 31]):
        yield f"input{dims}", with_input_dims(dims)
    for text in (
        "N" * 5000, "(" * 900 + "N" + ")" * 900, "N**99999", "N/0", "2" * 900, "N*" * 400 + "N",
        "max(N,M)" * 50, "\ud7ff", "N\n}", "-N", "0", "floor(N/0)",
    ):  # fmt: skip
        yield f"dim-{len(text)}-{text[:6]!r}", with_input_dims([text, 2])
    yield "rank-500", with_input_dims([1] * 500)
    yield "rank-64", with_input_dims([1] * 64)
    for element in (0, 8, 27, 999):
        yield f"element-{element}", with_input_dims([2], element)
    yield "data-too-short", with_tensor(data_type=1, dims=[3], raw_data=bytes(11))
    yield "data-too-long", with_tensor(data_type=1, dims=[3], raw_data=bytes(13))
    yield "data-none", with_tensor(data_type=1, dims=[3])
    yield "data-huge-dims", with_tensor(data_type=1, dims=[huge, 4], raw_data=bytes(16))
    yield "data-overflow", with_tensor(data_type=1, dims=[1 << 32, 1 << 32], raw_data=b"")
    yield "data-overflow-to-zero", with_tensor(data_type=1, dims=[1 << 62, 4], raw_data=b"")
    yield "data-zero-times-huge", with_tensor(data_type=1, dims=[0, 1 << 61], raw_data=b"")
    yield "data-negative-dims", with_tensor(data_type=1, dims=[-1, -4], raw_data=bytes(16))
    yield "data-rank-200", with_tensor(data_type=1, dims=[1] * 200, raw_data=bytes(4))
    yield "data-int4-odd", with_tensor(data_type=22, dims=[3], raw_data=bytes(1))
    yield "data-bool-7", with_tensor(data_type=9, dims=[2], raw_data=b"\7\0")
    yield "data-fields-short", with_tensor(data_type=1, dims=[9], float_data=[1.0])
    yield "data-wrong-field", with_tensor(data_type=1, dims=[1], int64_data=[1])
    yield "data-of-strings", with_tensor(data_type=8, dims=[1], string_data=[b"a"])
    yield "data-of-999", with_tensor(data_type=999, dims=[1], raw_data=b"a")
    yield (
        "data-in-segments",
        with_tensor(
            data_type=1, dims=[1], raw_data=bytes(4), segment=TensorProto.Segment(begin=0, end=9)
        ),
    )
    yield "sparse-bomb", with_sparse([huge, huge], f32(1), i64(0))
    yield "sparse-4GB", with_sparse([1 << 15, 1 << 15], f32(1), i64(0))
    yield "sparse-outside", with_sparse([4], f32(1), i64(9))
    yield "sparse-negative", with_sparse([4], f32(1), i64(-1))
    yield "sparse-misfit", with_sparse([4, 4], f32(3), i64(1, 2))
    yield "ConstantOfShape-4TB", single("ConstantOfShape", {"s": i64(huge)})
    yield "ConstantOfShape-64GB", single("ConstantOfShape", {"s": i64(1 << 34)})
    yield "ConstantOfShape-overflow", single("ConstantOfShape", {"s": i64(1 << 62, 1 << 62)})
    yield "ConstantOfShape-negative", single("ConstantOfShape", {"s": i64(-3)})
    yield "Expand", single("Expand", {"x": f32(1), "s": i64(huge, huge)})
    yield "Tile", single("Tile", {"x": f32(3), "r": i64(1 << 60)})
    yield "Tile-negative", single("Tile", {"x": f32(3), "r": i64(-1)})
    yield "Range", single("Range", {"a": np.array(0), "b": np.array(1 << 62), "c": np.array(1)})
    yield "Range-step-0", single("Range", {"a": np.array(0), "b": np.array(9), "c": np.array(0)})
    yield (
        "OneHot",
        single("OneHot", {"i": i64(1), "d": np.array(1 << 50), "v": np.array([0, 1], np.float32)}),
    )
    yield "EyeLike", model_of(
        [node("ConstantOfShape", ["s"], ["z"]), node("EyeLike", ["z"], ["y"])],
        {}, ["y"], constants={"s": i64(1 << 20, 1 << 20)},
    )  # fmt: skip
    yield (
        "Resize",
        single(
            "Resize",
            {"x": f32(1, 1, 2, 2), "r": f32(0), "s": np.array([1, 1, 1e30, 1e30], np.float32)},
        ),
    )
    yield (
        "Resize-nan",
        single("Resize", {"x": f32(1, 1, 2, 2), "r": f32(0), "s": np.full(4, np.nan, np.float32)}),
    )
    yield "Pad", single("Pad", {"x": f32(2), "p": i64(huge, huge)})
    yield "Pad-and-Slice", model_of(
        [node("Pad", ["x", "p"], ["h"]), node("Slice", ["h", "a", "b"], ["y"])],
        {}, ["y"],
        constants={"x": f32(2), "p": i64(1 << 36, 0), "a": i64(0), "b": i64(2)},
    )  # fmt: skip
    for op in ("Expand", "Reshape", "Tile", "ConstantOfShape"):  # the length of a shape is a rank
        model = single(
            op, {}, {"x": f32(1), "s": i64(1)} if op != "ConstantOfShape" else {"s": i64(1)}
        )
        model.graph.input[-1].type.tensor_type.shape.dim[0].dim_value = (1 << 31) - 1
        yield f"{op}-rank", model
    yield "Gather-outside", single("Gather", {"x": f32(3), "i": i64(99)})
    yield (
        "Slice-step-0",
        single("Slice", {"x": f32(3), "a": i64(0), "b": i64(3), "c": i64(0), "d": i64(0)}),
    )
    for name, shape in (("twice", (-1, -1)), ("misfit", (7, 7)), ("negative", (-2, 3))):
        yield f"Reshape-{name}", single("Reshape", {"s": i64(*shape)}, {"x": f32(2, 3)})


def bad_attributes() -> Iterator[tuple[str, ModelProto]]:
    """Attributes that make no sense."""
    huge = 1 << 40
    image, kernel = {"x": f32(1, 1, 4, 4)}, {"w": f32(1, 1, 3, 3)}
    both = {**image, **kernel}
    for key, value in [
        ("strides", [0, 0]), ("strides", [-1, 1]), ("strides", [huge, huge]), ("strides", [1]),
        ("pads", [huge] * 4), ("pads", [-9] * 4), ("pads", [1]), ("dilations", [0, 1]),
        ("dilations", [huge, 1]), ("group", 0), ("group", -1), ("group", huge),
        ("kernel_shape", [huge, huge]), ("auto_pad", "SOMEHOW"),
    ]:  # fmt: skip
        yield f"Conv-{key}-{value}", single("Conv", kernel, image, **{key: value})
    #: Known weights and data: inference may want to compute these.
    yield "Conv-known", single("Conv", both, pads=[huge] * 4, strides=[huge, huge])
    yield (
        "Conv-known-dilated",
        single(
            "Conv", both, pads=[1 << 33] * 4, dilations=[1 << 32, 1 << 32], strides=[1 << 33] * 2
        ),
    )
    for shape in ([0, 0], [huge, huge], [-1, 2], [2]):
        yield f"MaxPool-{shape}", single("MaxPool", {}, image, kernel_shape=shape)
        yield f"AveragePool-{shape}", single("AveragePool", {}, image, kernel_shape=shape)
    yield (
        "MaxPool-known",
        single(
            "MaxPool",
            image,
            kernel_shape=[1 << 30, 1 << 30],
            pads=[1 << 30] * 4,
            strides=[1 << 30] * 2,
        ),
    )
    for perm in ([0, 0, 1, 2], [9, 8, 7, 6], [0], [-1, 0, 1, 2]):
        yield f"Transpose-{perm}", single("Transpose", {}, image, perm=perm)
    for op in ("Softmax", "Flatten", "LogSoftmax", "Hardmax", "LpNormalization"):
        yield f"{op}-axis", single(op, {}, image, axis=99)
    for size in (0, -1, huge):
        yield f"DepthToSpace-{size}", single("DepthToSpace", {}, image, blocksize=size)
        yield f"LRN-{size}", single("LRN", {}, image, size=size)
    for equation in (
        "",
        "->",
        "ab" * 5000,
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ->a",
        "...,..->...",
    ):
        yield f"Einsum-{equation[:8]}", single("Einsum", {}, image, equation=equation)
    yield "Split-zero", single("Split", {}, image, num_outputs=0)
    yield "Split-many", single("Split", {}, image, num_outputs=huge)
    yield "Cast-999", single("Cast", {}, image, to=999)
    yield "Cast-string", single("Cast", {}, image, to=8)
    weights = {"x": f32(5, 2, 3), "w": f32(1, 16, 3), "r": f32(1, 16, 4)}
    yield "LSTM-size", single("LSTM", weights, hidden_size=huge)
    yield "HannWindow", single("HannWindow", {"n": np.array(1 << 50)})
    yield (
        "GroupNormalization",
        single("GroupNormalization", {"s": f32(1), "b": f32(1)}, image, num_groups=0),
    )
