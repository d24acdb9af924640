"""Random graphs of common ops on floats, for tests that compare a graph before and after passes."""

from __future__ import annotations

import random
from collections.abc import Callable

from hypothesis import strategies as st

from ir.graph import Graph
from tests.passes.random_builder import Builder, Step

UNARY = ("Relu", "Sigmoid", "Tanh", "Abs", "Neg", "HardSwish", "Gelu", "Erf", "Softplus")
BINARY = ("Add", "Mul", "Sub", "Max")


def _unary(b: Builder) -> None:
    b.add(b.random.choice(UNARY), b.value())


def _binary(b: Builder) -> None:
    x = b.value()
    shape = b.types[x].shape
    y = b.alike(x)
    if b.flag():
        kept = [dim if b.flag() else 1 for dim in shape]
        y = b.constant(tuple(kept[b.random.randint(0, len(kept)) :]))
    operands = (x, y) if b.flag() else (y, x)
    b.add(b.random.choice(BINARY), *operands)


def conv(b: Builder) -> None:
    x = b.value(4)
    channels = b.types[x].shape[1]
    group = channels if b.flag() else 1
    filters = group * b.random.randint(1, 3)
    size = b.random.choice([1, 3])
    inputs = [x, b.constant((filters, channels // group, size, size))]
    if b.flag():
        inputs.append(b.constant((filters,)))
    b.add("Conv", *inputs, group=group, pads=(size // 2,) * 4)


def _conv_transpose(b: Builder) -> None:
    x = b.value(4)
    weight = b.constant((b.types[x].shape[1], 2, 2, 2))
    b.add("ConvTranspose", x, weight, strides=(2, 2))


def _batch_normalization(b: Builder) -> None:
    x = b.value(4)
    channels = b.types[x].shape[1]
    parameters = [b.constant((channels,)) for _ in range(3)]
    variance = b.constant((channels,), values=b.rng.uniform(0.5, 2, channels))
    b.add("BatchNormalization", x, *parameters, variance)


def _pool(b: Builder) -> None:
    op = b.random.choice(["MaxPool", "AveragePool"])
    b.add(op, b.value(4), kernel_shape=(3, 3), pads=(1, 1, 1, 1))


def _global_pool(b: Builder) -> None:
    b.add("GlobalAveragePool", b.value(4))


def _transpose(b: Builder) -> None:
    x = b.any_value()
    b.add("Transpose", x, perm=tuple(b.random.sample(range(b.types[x].rank), b.types[x].rank)))


def _reshape(b: Builder) -> None:
    """Merges two neighbouring dims, or splits one in two."""
    x = b.any_value()
    shape = list(b.types[x].shape)
    axis = b.random.randint(0, len(shape) - 1)
    if b.flag() and axis + 1 < len(shape):
        shape[axis : axis + 2] = [shape[axis] * shape[axis + 1]]
    elif shape[axis] % 2 == 0 and len(shape) < 6:
        shape[axis : axis + 1] = [2, shape[axis] // 2]
    elif len(shape) < 6:
        shape.insert(axis, 1)
    b.add("Reshape", x, b.indices(*shape))


def _concat(b: Builder) -> None:
    x = b.any_value()
    rank = b.types[x].rank
    b.add("Concat", x, b.alike(x), x, axis=b.random.randint(-rank, rank - 1))


def _split(b: Builder) -> None:
    x = b.any_value()
    axis = b.random.randint(0, b.types[x].rank - 1)
    if b.types[x].shape[axis] > 1:
        b.add("Split", x, outputs=2, axis=axis, num_outputs=2)


def _softmax(b: Builder) -> None:
    x = b.value()
    rank = b.types[x].rank
    b.add("Softmax", x, axis=b.random.randint(-rank, rank - 1))


def _reduce(b: Builder) -> None:
    x = b.value()
    rank = b.types[x].rank
    axes = b.random.sample(range(rank), b.random.randint(1, rank - 1 or 1))
    op = b.random.choice(["ReduceMean", "ReduceMax", "ReduceSum"])
    keepdims = b.random.randint(0, 1) if rank - len(axes) >= 2 else 1
    b.add(op, x, b.indices(*axes), keepdims=keepdims)


def _pad(b: Builder) -> None:
    x = b.any_value()
    amounts = [b.random.randint(0, 1) for _ in range(2 * b.types[x].rank)]
    b.add("Pad", x, b.indices(*amounts))


def _slice(b: Builder) -> None:
    x = b.any_value()
    axis = b.random.randint(0, b.types[x].rank - 1)
    if b.types[x].shape[axis] > 2:
        b.add("Slice", x, b.indices(1), b.indices(100), b.indices(axis))


def _matmul(b: Builder) -> None:
    x = b.value()
    b.add("MatMul", x, b.constant((b.types[x].shape[-1], 3)))


def _gemm(b: Builder) -> None:
    x = b.value()
    x = b.add("Flatten", x, axis=b.random.randint(0, b.types[x].rank))
    flip = b.random.randint(0, 1)
    inputs = [x, b.constant((b.types[x].shape[1 - flip], 3)), b.constant((3,))]
    b.add("Gemm", *inputs, transA=flip, beta=b.random.choice([1.0, 2.0]))


def _normalization(b: Builder) -> None:
    """Over channels, or a layer normalisation written out."""
    x = b.value()
    shape = b.types[x].shape
    if len(shape) == 4 and b.flag():
        op = b.random.choice(["InstanceNormalization", "GroupNormalization"])
        groups = {"num_groups": 1} if op == "GroupNormalization" else {}
        b.add(op, x, b.constant((shape[1],)), b.constant((shape[1],)), epsilon=1e-2, **groups)
        return
    mean = b.add("ReduceMean", x, b.indices(-1))
    centred = b.add("Sub", x, mean)
    variance = b.add("ReduceMean", b.add("Mul", centred, centred), b.indices(-1))
    spread = b.add("Sqrt", b.add("Add", variance, b.constant((), values=1e-2)))
    b.add("Mul", b.add("Div", centred, spread), b.constant(shape[-1:]))


def _resize(b: Builder) -> None:
    scales = b.constant((4,), "float32", [1, 1, 2, b.random.choice([1, 1.5])])
    b.add("Resize", b.value(4), "", scales, mode=b.random.choice(["nearest", "linear"]))


def _blocks(b: Builder) -> None:
    x = b.value(4)
    _, channels, height, width = b.types[x].shape
    if channels % 4 == 0:
        b.add("DepthToSpace", x, blocksize=2)
    elif height % 2 == width % 2 == 0:
        b.add("SpaceToDepth", x, blocksize=2)


def _where(b: Builder) -> None:
    """Continuous, so that rounding that decides for the other side does not matter."""
    x = b.value()
    positive = b.add("Greater", x, b.constant((), values=0.0))
    b.add("Where", positive, x, b.add("Neg", x))


def _gather(b: Builder) -> None:
    x = b.any_value()
    axis = b.random.randint(0, b.types[x].rank - 1)
    if b.types[x].shape[axis]:
        b.add("Gather", x, b.indices(0, -1, 0), axis=axis)


def _reshape_by_shape(b: Builder) -> None:
    """Two neighbouring dims merged, by a target worked out from the shape."""
    x = b.any_value()
    rank = b.types[x].rank
    axis = b.random.randint(0, rank - 1)
    shape = b.add("Shape", x)
    kept = [b.add("Slice", shape, b.indices(0), b.indices(axis)), b.indices(-1)]
    kept.append(b.add("Slice", shape, b.indices(axis + 2), b.indices(rank)))
    b.add("Reshape", x, b.add("Concat", *kept, axis=0))


def _again(b: Builder) -> None:
    """A node of the graph once more."""
    node = b.random.choice(b.graph.nodes)
    b.add(node.op, *node.inputs, outputs=len(node.outputs), **node.attributes)


STEPS: tuple[Step, ...] = (
    _unary, _unary, _binary, _binary, _binary, conv, conv, _conv_transpose, _batch_normalization,
    _pool, _global_pool, _transpose, _transpose, _reshape, _reshape, _concat, _split, _softmax,
    _reduce, _pad, _slice, _matmul, _gemm, _normalization, _resize, _blocks, _where, _gather,
    _reshape_by_shape, _again,
)  # fmt: skip


@st.composite
def graphs(draw: Callable[[st.SearchStrategy], random.Random], max_steps: int = 14) -> Graph:
    """A graph of up to `max_steps` nodes, most of them spatial, pointwise or moving data."""
    builder = Builder(draw(st.randoms(use_true_random=False)))
    conv(builder)
    for _ in range(builder.random.randint(1, max_steps - 1)):
        builder.grow(STEPS)
    return builder.finish()
