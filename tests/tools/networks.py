"""Small networks to plant faults in: a CNN, a residual one, an attention block, an LSTM."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import ir


class Maker:
    """Makes a graph node by node; weights are random, of odd sizes."""

    def __init__(self, name: str, seed: int = 3) -> None:
        self.graph = ir.Graph(name)
        self.random = np.random.default_rng(seed)

    def input(self, name: str, shape: Sequence[int]) -> str:
        self.graph.inputs.append(ir.Value(name, ir.TensorType(ir.DType.f32, tuple(shape))))
        return name

    def weight(self, name: str, shape: Sequence[int], around: float = 0.0) -> str:
        scale = 0.2 if around else (2 / np.prod(shape[1:])) ** 0.5
        array = around + scale * self.random.standard_normal(shape)
        self.graph.constants[name] = array.astype(np.float32)
        return name

    def constant(self, name: str, value: object, dtype: object = np.float32) -> str:
        self.graph.constants[name] = np.asarray(value, dtype)
        return name

    def node(self, op: str, inputs: Sequence[str], name: str, **attributes: object) -> str:
        self.graph.nodes.append(ir.Node(op, tuple(inputs), (name,), attributes, name))
        return name

    def done(self, *outputs: str) -> ir.Graph:
        known = ir.infer(self.graph)
        known.raise_for_errors()
        self.graph.types = known.types
        self.graph.outputs = [ir.Value(name, known.types[name]) for name in outputs]
        return self.graph

    def conv(self, x: str, name: str, channels: tuple[int, int], pads: int = 1) -> str:
        taps = 2 * pads + 1
        weight = self.weight(f"{name}.weight", (channels[1], channels[0], taps, taps))
        bias = self.weight(f"{name}.bias", (channels[1],), 0.5)
        return self.node("Conv", [x, weight, bias], name, pads=(pads,) * 4)

    def norm(self, x: str, name: str, channels: int) -> str:
        parts = [
            self.weight(f"{name}.{part}", (channels,), 1) for part in ("scale", "bias", "mean")
        ]
        self.graph.constants[f"{name}.var"] = self.random.uniform(0.5, 2, channels).astype("f4")
        return self.node("BatchNormalization", [x, *parts, f"{name}.var"], name)

    def dense(self, x: str, name: str, sizes: tuple[int, int]) -> str:
        product = self.node("MatMul", [x, self.weight(f"{name}.weight", sizes)], f"{name}.product")
        return self.node("Add", [product, self.weight(f"{name}.bias", sizes[1:], 0.5)], name)


def cnn(size: int = 11) -> ir.Graph:
    """Convolutions, batch normalisations, activations, a pool and a dense layer."""
    make = Maker("cnn")
    x = make.input("x", (1, 3, size, size))
    x = make.node("Relu", [make.norm(make.conv(x, "conv1", (3, 7)), "norm1", 7)], "relu1")
    x = make.node("MaxPool", [x], "pool", kernel_shape=(2, 2), strides=(2, 2))
    x = make.node("Sigmoid", [make.norm(make.conv(x, "conv2", (7, 5)), "norm2", 5)], "sigmoid2")
    x = make.node("GlobalAveragePool", [x], "mean")
    x = make.node("Flatten", [x], "flat")
    x = make.dense(x, "logits", (5, 13))
    return make.done(make.node("Softmax", [x], "probabilities"))


def residual() -> ir.Graph:
    """As ResNet is made: two blocks with shortcuts."""
    make = Maker("residual")
    x = make.node("Relu", [make.norm(make.conv(make.input("x", (1, 3, 9, 9)), "stem", (3, 6)), "stem.norm", 6)], "stem.relu")  # fmt: skip # noqa: E501
    for block in ("block1", "block2"):
        y = make.norm(make.conv(x, f"{block}.conv1", (6, 6)), f"{block}.norm1", 6)
        y = make.node("Relu", [y], f"{block}.relu1")
        y = make.norm(make.conv(y, f"{block}.conv2", (6, 6)), f"{block}.norm2", 6)
        x = make.node("Relu", [make.node("Add", [x, y], f"{block}.sum")], f"{block}.relu2")
    return make.done(make.node("GlobalAveragePool", [x], "mean"))


def attention(tokens: int = 7, width: int = 12, heads: int = 3) -> ir.Graph:
    """A transformer's block: attention spelled out, normalisations, a GELU in between."""
    make = Maker("attention")
    x = make.input("x", (1, tokens, width))
    shape = make.constant("heads", (1, tokens, heads, width // heads), np.int64)
    parts = []
    for part, perm in (("query", (0, 2, 1, 3)), ("key", (0, 2, 3, 1)), ("value", (0, 2, 1, 3))):
        y = make.node("Reshape", [make.dense(x, part, (width, width)), shape], f"{part}.heads")
        parts.append(make.node("Transpose", [y], f"{part}.turned", perm=perm))
    scores = make.node("MatMul", parts[:2], "scores")
    scaled = make.node("Div", [scores, make.constant("root", 2.0)], "scaled")
    weights = make.node("Softmax", [scaled], "weights", axis=-1)
    y = make.node("MatMul", [weights, parts[2]], "context")
    y = make.node("Transpose", [y], "context.turned", perm=(0, 2, 1, 3))
    y = make.node("Reshape", [y, make.constant("flat", (1, tokens, width), np.int64)], "merged")
    y = make.node("Add", [x, make.dense(y, "projection", (width, width))], "sum1")
    scale, bias = make.weight("norm1.scale", (width,), 1), make.weight("norm1.bias", (width,), 1)
    x = make.node("LayerNormalization", [y, scale, bias], "norm1", axis=-1)
    y = make.dense(x, "wide", (width, 19))
    halves = make.node("Div", [y, make.constant("sqrt2", 2**0.5)], "gelu.scaled")
    erf = make.node("Erf", [halves], "gelu.erf")
    y = make.node(
        "Mul", [y, make.node("Add", [erf, make.constant("one", 1)], "gelu.one")], "gelu.y"
    )
    y = make.node("Mul", [y, make.constant("half", 0.5)], "gelu")
    return make.done(make.node("Add", [x, make.dense(y, "narrow", (19, width))], "sum2"))


def lstm(steps: int = 5, width: int = 6, hidden: int = 7) -> ir.Graph:
    """An LSTM and a dense layer on its last step."""
    make = Maker("lstm")
    x = make.input("x", (steps, 1, width))
    make.weight("w", (1, 4 * hidden, width))
    make.weight("r", (1, 4 * hidden, hidden))
    make.weight("b", (1, 8 * hidden), 0.1)
    node = ir.Node("LSTM", (x, "w", "r", "b"), ("y", "y_h", "y_c"), {"hidden_size": hidden}, "lstm")
    make.graph.nodes.append(node)
    last = make.node("Squeeze", ["y_h", make.constant("axis", [0], np.int64)], "last")
    return make.done(make.node("Tanh", [make.dense(last, "dense", (hidden, 4))], "out"), "y")


def quantized() -> ir.Graph:
    """Products of levels of 8 bits in the three ways in which ONNX writes them."""
    make = Maker("quantized")
    x = make.input("x", (6, 16))
    scale, zero = make.constant("scale", 0.1), make.constant("zero", 3, np.uint8)
    weights = make.random.integers(-99, 99, (16, 16))
    make.constant("w", weights, np.int8)
    make.constant("w_scale", 0.01)
    make.constant("w_zero", 0, np.int8)
    levels = make.node("QuantizeLinear", [x, scale, zero], "levels")
    read = [levels, scale, zero, "w", "w_scale", "w_zero", scale, zero]
    product = make.node("QLinearMatMul", read, "product")
    y = make.node("Tanh", [make.node("DequantizeLinear", [product, scale, zero], "real")], "tanh")
    node = ir.Node("DynamicQuantizeLinear", (y,), ("dyn", "dyn_scale", "dyn_zero"), {}, "dynamic")
    make.graph.nodes.append(node)
    sums = make.node("MatMulInteger", ["dyn", "w", "dyn_zero"], "sums")
    wide = make.node("Cast", [sums], "wide", to=1)
    return make.done(make.node("Mul", [wide, "dyn_scale"], "out"), "product")
