"""Random graphs of common ops, for tests that compare a graph before and after passes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st

from ir.dtypes import DType
from ir.graph import Graph, Node, Value
from ir.inference import infer_types
from ir.types import TensorType

Draw = Callable[[st.SearchStrategy], object]

UNARY = ("Relu", "Sigmoid", "Tanh", "Abs", "Neg", "HardSwish", "Gelu", "Erf", "Softplus")
BINARY = ("Add", "Mul", "Sub", "Max")


class _Builder:
    """A graph in the making; each method adds an op to a value of rank 4, or to any value."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.rng = np.random.default_rng(draw(st.integers(0, 99)))
        batch, channels, side = draw(st.sampled_from([(1, 4, 5), (2, 6, 4), (2, 2, 7), (1, 1, 3)]))
        kind = TensorType(DType.f32, (batch, channels, side, side + 1))
        self.graph = Graph("random", [Value("x", kind)])
        self.types = {"x": kind}

    def constant(
        self, shape: tuple[int, ...], dtype: str = "float32", values: object = None
    ) -> str:
        name = f"c{len(self.graph.constants)}"
        made = self.rng.uniform(-1, 1, shape) if values is None else np.array(values)
        self.graph.constants[name] = np.asarray(made, dtype).reshape(shape)
        return name

    def indices(self, *values: int) -> str:
        return self.constant((len(values),), "int64", values)

    def add(self, op: str, *inputs: str, outputs: int = 1, **attributes: object) -> str:
        """Adds a node; returns its first output."""
        names = tuple(f"v{len(self.types)}_{i}" for i in range(outputs))
        self.graph.nodes.append(Node(op, inputs, names, attributes))
        self.graph.outputs = []
        self.types = infer_types(self.graph).types
        assert names[0] in self.types, f"{op} on {[self.types.get(name) for name in inputs]}"
        return names[0]

    def value(self, rank: int | None = None) -> str:
        """A float value, of this rank if one is given."""
        made = ["x", *(name for node in self.graph.nodes for name in node.outputs)]
        floats = [name for name in made if self.types[name].dtype is DType.f32]
        fitting = [name for name in floats if rank in (None, self.types[name].rank)]
        return self.draw(st.sampled_from(fitting[-4:]))  # recent ones: chains grow long

    def alike(self, x: str) -> str:
        """A value or constant of the type of `x`, perhaps `x` itself."""
        same = [name for name, kind in self.types.items() if kind == self.types[x]]
        return self.draw(st.sampled_from(same))

    def grow(self) -> None:
        step = self.draw(st.sampled_from(STEPS))
        shapes = [self.types[name].shape for name in self.types]
        if len(self.graph.nodes) < 25 and all(np.prod(shape) < 20_000 for shape in shapes):
            step(self)

    def finish(self) -> Graph:
        read = {name for node in self.graph.nodes for name in node.inputs}
        made = [name for node in self.graph.nodes for name in node.outputs]
        made = [name for name in made if self.types[name].dtype is not DType.bool]
        ends = [name for name in made if name not in read or self.draw(st.integers(0, 9)) == 0]
        self.graph.outputs = [Value(name, self.types[name]) for name in ends]
        return self.graph


def _unary(b: _Builder) -> None:
    b.add(b.draw(st.sampled_from(UNARY)), b.value())


def _binary(b: _Builder) -> None:
    x = b.value()
    shape = b.types[x].shape
    y = b.alike(x)
    if b.draw(st.booleans()):
        kept = [dim if b.draw(st.booleans()) else 1 for dim in shape]
        y = b.constant(tuple(kept[b.draw(st.integers(0, len(kept))) :]))
    operands = (x, y) if b.draw(st.booleans()) else (y, x)
    b.add(b.draw(st.sampled_from(BINARY)), *operands)


def _conv(b: _Builder) -> None:
    x = b.value(4)
    channels = b.types[x].shape[1]
    group = channels if b.draw(st.booleans()) else 1
    filters = group * b.draw(st.integers(1, 3))
    size = b.draw(st.sampled_from([1, 3]))
    inputs = [x, b.constant((filters, channels // group, size, size))]
    if b.draw(st.booleans()):
        inputs.append(b.constant((filters,)))
    b.add("Conv", *inputs, group=group, pads=(size // 2,) * 4)


def _conv_transpose(b: _Builder) -> None:
    x = b.value(4)
    weight = b.constant((b.types[x].shape[1], 2, 2, 2))
    b.add("ConvTranspose", x, weight, strides=(2, 2))


def _batch_normalization(b: _Builder) -> None:
    x = b.value(4)
    channels = b.types[x].shape[1]
    parameters = [b.constant((channels,)) for _ in range(3)]
    variance = b.constant((channels,), values=b.rng.uniform(0.5, 2, channels))
    b.add("BatchNormalization", x, *parameters, variance)


def _pool(b: _Builder) -> None:
    op = b.draw(st.sampled_from(["MaxPool", "AveragePool"]))
    b.add(op, b.value(4), kernel_shape=(3, 3), pads=(1, 1, 1, 1))


def _global_pool(b: _Builder) -> None:
    b.add("GlobalAveragePool", b.value(4))


def _transpose(b: _Builder) -> None:
    x = b.value()
    b.add("Transpose", x, perm=tuple(b.draw(st.permutations(range(b.types[x].rank)))))


def _reshape(b: _Builder) -> None:
    """Merges two neighbouring dims, or splits one in two."""
    x = b.value()
    shape = list(b.types[x].shape)
    axis = b.draw(st.integers(0, len(shape) - 1))
    if b.draw(st.booleans()) and axis + 1 < len(shape):
        shape[axis : axis + 2] = [shape[axis] * shape[axis + 1]]
    elif shape[axis] % 2 == 0 and len(shape) < 6:
        shape[axis : axis + 1] = [2, shape[axis] // 2]
    elif len(shape) < 6:
        shape.insert(axis, 1)
    b.add("Reshape", x, b.indices(*shape))


def _concat(b: _Builder) -> None:
    x = b.value()
    rank = b.types[x].rank
    b.add("Concat", x, b.alike(x), x, axis=b.draw(st.integers(-rank, rank - 1)))


def _split(b: _Builder) -> None:
    x = b.value()
    axis = b.draw(st.integers(0, b.types[x].rank - 1))
    if b.types[x].shape[axis] > 1:
        b.add("Split", x, outputs=2, axis=axis, num_outputs=2)


def _softmax(b: _Builder) -> None:
    x = b.value()
    rank = b.types[x].rank
    b.add("Softmax", x, axis=b.draw(st.integers(-rank, rank - 1)))


def _reduce(b: _Builder) -> None:
    x = b.value()
    rank = b.types[x].rank
    axes = b.draw(st.sets(st.integers(0, rank - 1), min_size=1, max_size=rank - 1 or 1))
    op = b.draw(st.sampled_from(["ReduceMean", "ReduceMax", "ReduceSum"]))
    keepdims = b.draw(st.integers(0, 1)) if rank - len(axes) >= 2 else 1
    b.add(op, x, b.indices(*axes), keepdims=keepdims)


def _pad(b: _Builder) -> None:
    x = b.value()
    amounts = [b.draw(st.integers(0, 1)) for _ in range(2 * b.types[x].rank)]
    b.add("Pad", x, b.indices(*amounts))


def _slice(b: _Builder) -> None:
    x = b.value()
    axis = b.draw(st.integers(0, b.types[x].rank - 1))
    if b.types[x].shape[axis] > 2:
        b.add("Slice", x, b.indices(1), b.indices(100), b.indices(axis))


def _matmul(b: _Builder) -> None:
    x = b.value()
    b.add("MatMul", x, b.constant((b.types[x].shape[-1], 3)))


def _gemm(b: _Builder) -> None:
    x = b.value()
    x = b.add("Flatten", x, axis=b.draw(st.integers(0, b.types[x].rank)))
    flip = b.draw(st.integers(0, 1))
    inputs = [x, b.constant((b.types[x].shape[1 - flip], 3)), b.constant((3,))]
    b.add("Gemm", *inputs, transA=flip, beta=b.draw(st.sampled_from([1.0, 2.0])))


def _normalization(b: _Builder) -> None:
    """Over channels, or a layer normalisation written out."""
    x = b.value()
    shape = b.types[x].shape
    if len(shape) == 4 and b.draw(st.booleans()):
        op = b.draw(st.sampled_from(["InstanceNormalization", "GroupNormalization"]))
        groups = {"num_groups": 1} if op == "GroupNormalization" else {}
        b.add(op, x, b.constant((shape[1],)), b.constant((shape[1],)), epsilon=1e-2, **groups)
        return
    mean = b.add("ReduceMean", x, b.indices(-1))
    centred = b.add("Sub", x, mean)
    variance = b.add("ReduceMean", b.add("Mul", centred, centred), b.indices(-1))
    spread = b.add("Sqrt", b.add("Add", variance, b.constant((), values=1e-2)))
    b.add("Mul", b.add("Div", centred, spread), b.constant(shape[-1:]))


def _resize(b: _Builder) -> None:
    scales = b.constant((4,), values=[1, 1, 2, b.draw(st.sampled_from([1, 1.5]))])
    b.add("Resize", b.value(4), "", scales, mode=b.draw(st.sampled_from(["nearest", "linear"])))


def _blocks(b: _Builder) -> None:
    x = b.value(4)
    _, channels, height, width = b.types[x].shape
    if channels % 4 == 0:
        b.add("DepthToSpace", x, blocksize=2)
    elif height % 2 == width % 2 == 0:
        b.add("SpaceToDepth", x, blocksize=2)


def _where(b: _Builder) -> None:
    """Continuous, so that rounding that decides for the other side does not matter."""
    x = b.value()
    positive = b.add("Greater", x, b.constant((), values=0.0))
    b.add("Where", positive, x, b.add("Neg", x))


def _gather(b: _Builder) -> None:
    x = b.value()
    axis = b.draw(st.integers(0, b.types[x].rank - 1))
    b.add("Gather", x, b.indices(0, -1, 0), axis=axis)


def _reshape_by_shape(b: _Builder) -> None:
    """Two neighbouring dims merged, by a target worked out from the shape."""
    x = b.value()
    rank = b.types[x].rank
    axis = b.draw(st.integers(0, rank - 1))
    shape = b.add("Shape", x)
    kept = [b.add("Slice", shape, b.indices(0), b.indices(axis)), b.indices(-1)]
    kept.append(b.add("Slice", shape, b.indices(axis + 2), b.indices(rank)))
    b.add("Reshape", x, b.add("Concat", *kept, axis=0))


def _again(b: _Builder) -> None:
    """A node of the graph once more."""
    node = b.draw(st.sampled_from(b.graph.nodes))
    b.add(node.op, *node.inputs, outputs=len(node.outputs), **node.attributes)


STEPS = (
    _unary, _unary, _binary, _binary, _binary, _conv, _conv, _conv_transpose, _batch_normalization,
    _pool, _global_pool, _transpose, _transpose, _reshape, _reshape, _concat, _split, _softmax,
    _reduce, _pad, _slice, _matmul, _gemm, _normalization, _resize, _blocks, _where, _gather,
    _reshape_by_shape, _again,
)  # fmt: skip


@st.composite
def graphs(draw: Draw, max_steps: int = 14) -> Graph:
    """A graph of up to `max_steps` nodes, most of them spatial, pointwise or moving data."""
    builder = _Builder(draw)
    _conv(builder)
    for _ in range(draw(st.integers(1, max_steps - 1))):
        builder.grow()
    return builder.finish()
